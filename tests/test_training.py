"""The trainer against plain automatic differentiation of ``networks``; its data order, its choices, its programs."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import networks
from ntk_eoc.activations import get
from ntk_eoc.data import Split, digits, train_test
from ntk_eoc.networks import Params
from ntk_eoc.training import Config, Inputs, Model, Network, Seeds, Sgd, batches, train
from ntk_eoc.training.step import Weights

DATA = train_test(digits(300))
NET = Network(24, 7, 0.2, 1.2)
CONFIG = Config(Model("tanh", NET), Sgd(0.1, 2, 60), Inputs(), Seeds(2, first=5))


def weights_of(p: Params) -> Weights:
    """One network as a group of one."""
    depth = p.hidden.weight.shape[0] + 1
    slopes = jnp.zeros(depth, jnp.float32) if p.slopes is None else p.slopes
    assert p.last is not None
    one = jax.tree.map(lambda a: a[None], (p.first, p.last))
    return Weights(one[0], jax.tree.map(lambda a: a[:, None], p.hidden), one[1], slopes[:, None])


def witness(config: Config, seed: int, data: Split = DATA) -> tuple[list[float], list[float], list[float], Params]:
    """Mean training loss, test loss and test accuracy by epoch, and the last weights, by ``jax.value_and_grad``.

    It shares ``networks`` and the order of the rows with the trainer, and neither step nor loop. The NTK
    parameterisation is trained as it is defined.
    """
    model, sgd, net = config.model, config.sgd, config.model.layers
    act = get(model.activation)
    x, y = (np.asarray(a, t) for a, t in zip(data.train[1:3], (np.float32, np.int32), strict=True))
    p = networks.init(
        jax.random.key(seed), net, x.shape[1], 10, act=act, parameterisation=model.parameterisation, dtype=jnp.float32
    )

    def cross_entropy(p: Params, x: np.ndarray, y: np.ndarray) -> tuple[jax.Array, jax.Array]:
        z = networks.apply(p, act, net, jnp.asarray(x, jnp.float32))
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(len(y)), y]), jnp.mean(z.argmax(1) == y)

    @jax.jit
    def step(p: Params, v: Params, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Params, Params]:
        (loss, _), g = jax.value_and_grad(cross_entropy, has_aux=True)(p, x, y)
        v = jax.tree.map(lambda v, g: np.float32(sgd.momentum) * v + g, v, g)
        return loss, jax.tree.map(lambda p, v: p - np.float32(sgd.rate) * v, p, v), v

    v, losses, tests, accuracies = jax.tree.map(jnp.zeros_like, p), [], [], []
    for epoch in range(sgd.epochs + 1):
        total, count = 0.0, 0
        for rows in batches.order(sgd, len(y), seed, epoch) if epoch else ():
            rows = rows[rows >= 0]
            loss, p, v = step(p, v, x[rows], y[rows])
            total, count = total + float(loss) * len(rows), count + len(rows)
        losses += [total / count] if epoch else []
        loss, right = jax.jit(cross_entropy)(p, *data.test[1:3])
        tests.append(float(loss))
        accuracies.append(float(right))
    return losses, tests, accuracies, p


CASES = {
    "relu": replace(CONFIG, model=Model("relu", replace(NET, sigma_b=0.0, sigma_w=1.4))),
    "elu and momentum": replace(CONFIG, model=Model("elu", NET), sgd=Sgd(0.03, 2, 64, momentum=0.7)),
    "softplus, two layers": replace(CONFIG, model=Model("softplus", replace(NET, depth=2))),
    "prelu, three layers": replace(CONFIG, model=Model("prelu", replace(NET, depth=3))),
    "residual prelu and momentum": replace(
        CONFIG,
        model=Model("prelu:0.1", replace(NET, architecture="residual", sigma_w=0.7)),
        sgd=Sgd(0.03, 2, 60, momentum=0.5),
    ),
    "residual tanh": replace(CONFIG, model=Model("tanh", replace(NET, architecture="residual"))),
    "ntk": replace(CONFIG, model=Model("tanh", NET, parameterisation="ntk"), sgd=Sgd(1.0, 2, 60)),
    "hidden layers counted, whole batches": replace(
        CONFIG, model=Model("gelu", replace(NET, depth=4), depth_counts="hidden"), sgd=Sgd(0.1, 2, 32, 0.0, "full")
    ),
    "replacement": replace(CONFIG, sgd=Sgd(0.1, 2, 50, 0.0, "replacement")),
}


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
@pytest.mark.thorough(first=1)
def test_training_is_plain_sgd(config: Config) -> None:
    result = train(config, DATA, group=2)
    assert result.diverged == (None, None)
    for i, seed in enumerate(config.seeds):
        losses, tests, accuracies, _ = witness(config, seed)
        assert abs(tests[-1] - tests[0]) > 0.05, "the case must move far enough to tell"
        curves = jax.tree.map(lambda a, i=i: a[i], result.curves)
        np.testing.assert_allclose(curves.train_loss, losses, rtol=2e-5)
        np.testing.assert_allclose(curves.test_loss, tests, rtol=2e-5)
        np.testing.assert_allclose(curves.test_accuracy, accuracies, atol=1e-6)


def test_one_seed_at_a_time_or_together_is_the_same() -> None:
    config = CASES["residual prelu and momentum"]
    for a, b in zip(train(config, DATA, group=2).curves[:4], train(config, DATA, group=1).curves[:4], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_every_row_comes_once_an_epoch_in_an_order_of_its_own() -> None:
    sgd = Sgd(0.1, 2, batch=32)
    seen = {}
    for seed, epoch in [(0, 1), (0, 2), (1, 1)]:
        order = batches.order(sgd, 100, seed, epoch)
        assert order.shape == (4, 32) and order.dtype == np.int32
        flat = order.ravel()
        assert sorted(flat[:100]) == list(range(100)) and (flat[100:] == -1).all()
        np.testing.assert_array_equal(order, batches.order(sgd, 100, seed, epoch))
        seen[seed, epoch] = tuple(flat)
    assert len(set(seen.values())) == 3
    whole = batches.order(replace(sgd, batches="full"), 100, 0, 1)
    np.testing.assert_array_equal(whole, batches.order(sgd, 100, 0, 1)[:3])
    drawn = np.concatenate([batches.order(replace(sgd, batches="replacement"), 100, 0, e).ravel() for e in range(99)])
    counts = np.bincount(drawn, minlength=100)
    assert len(drawn) == 99 * 128 and len(counts) == 100
    # Chi-squared of uniform draws: mean 99, standard deviation sqrt(2 * 99) = 14.
    chi_squared = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert abs(chi_squared - 99) < 5 * 14.07


def test_a_longer_run_begins_as_a_shorter_one() -> None:
    short, long = (train(replace(CONFIG, sgd=replace(CONFIG.sgd, epochs=e)), DATA).curves for e in (1, 2))
    for a, b in zip(short[:4], long[:4], strict=True):
        np.testing.assert_array_equal(a, b[:, : a.shape[1]])
    assert (long.train_loss[:, 0] != long.train_loss[:, 1]).all()


def test_a_diverged_seed_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    # One row overflows whatever the weights, so a seed diverges when it first draws that row.
    row, x = 17, DATA.train.x.copy()
    x[row] = 3e38
    data = DATA._replace(train=DATA.train._replace(x=x))
    config = Config(
        Model("relu", replace(NET, sigma_b=0.0, sigma_w=1.4)), Sgd(0.1, 3, 20, batches="replacement"), seeds=Seeds(12)
    )
    expected: list[tuple[int, int] | None] = []
    for seed in config.seeds:
        drawn = [np.argwhere(batches.order(config.sgd, 240, seed, epoch) == row) for epoch in (1, 2, 3)]
        met = [(epoch, int(found[0, 0])) for epoch, found in enumerate(drawn, start=1) if len(found)]
        expected.append(met[0] if met else None)
    assert {at and at[0] for at in expected} == {None, 1, 2, 3} and {at and at[1] for at in expected} >= {0, 2, 4, 5}
    alone, together = train(config, data, out=tmp_path), train(config, data, group=12)
    assert alone.diverged == together.diverged == tuple(expected)
    for result in (alone, together):
        for name, column in result.curves._asdict().items():
            for i, at in enumerate(expected):
                good = np.arange(column.shape[1]) < (at[0] if at else 9) - (column.shape[1] == 3)
                if name != "seconds":
                    np.testing.assert_array_equal(np.isfinite(column[i]), good, err_msg=f"{name} of seed {i}")
    assert train(config, data, out=tmp_path, resume=True).diverged == alone.diverged
    rows = [json.loads(row) for row in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = {row["seed"]: tuple(row["diverged"]) for row in rows if row["diverged"]}
    assert found == {i: at for i, at in enumerate(expected) if at}
    assert len(rows) == sum(1 + (at[0] if at else 3) for at in expected)


def test_a_step_that_ruins_the_weights_is_seen_by_the_test_set() -> None:
    result = train(replace(CASES["relu"], sgd=Sgd(1e37, 2, 240)), DATA)
    assert result.diverged == ((1, 1), (1, 1))
    assert np.isfinite(result.curves.train_loss[:, 0]).all() and np.isnan(result.curves.test_loss[:, 1]).all()


def test_a_network_that_overflows_before_training_has_diverged_at_step_zero() -> None:
    net = Network(16, 200, 0.0, 8.0, "residual")
    result = train(Config(Model("relu", net), Sgd(0.1, 2, 60), Inputs(), Seeds(1)), DATA)
    assert result.diverged == ((0, 0),)
    assert all(np.isnan(column).all() for column in result.curves)


def test_progress_is_shown_in_a_terminal_only(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    train(CONFIG, DATA)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    train(CONFIG, DATA, watch=lambda row: time.sleep(0.12))  # the bar is drawn ten times a second at most
    shown = capsys.readouterr().err
    assert "seed 6, epoch 2" in shown and "loss " in shown and "accuracy " in shown and "step/s" in shown
