"""What the trainer is asked for: configurations, initial weights, compiled programs, and complaints about bad input."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc.data import Split, digits, train_test
from ntk_eoc.training import Config, Inputs, Model, Network, Seeds, Sgd, from_json, program, run, to_json, train
from ntk_eoc.training.config import differences
from ntk_eoc.training.step import State, kind

DATA = train_test(digits(300))
NET = Network(24, 7, 0.2, 1.2)
CONFIG = Config(Model("tanh", NET), Sgd(0.1, 2, 60), Inputs(), Seeds(2, first=5))
OTHER = Config(
    Model("prelu:0.1", replace(NET, sigma_w=0.7, architecture="residual"), "ntk", "hidden", "average"),
    Sgd(0.03, 3, 32, 0.5, "full"),
    Inputs("mnist", "unit"),
    Seeds(4, 5),
)


def compiled(depth: int, seeds: int = 1) -> program.Program:
    config = Config(Model("tanh", Network(64, depth, 0.2, 1.3)), Sgd(0.1, 1), Inputs(), Seeds(seeds))
    weights = program.start(config, range(seeds), 64, 10)
    state = State(weights, None, program.blank(seeds))
    rows = program.Rows(jnp.zeros((240, 64), jnp.float32), jnp.zeros(240, jnp.int32))
    order = jnp.zeros((4, seeds, 64), jnp.int32)
    return program.advance(kind("tanh", False), state, program.rates(config, 64, 10), rows, order)


def test_the_program_has_one_size_at_every_depth_and_copies_no_weights() -> None:
    small, large = compiled(20), compiled(200)
    sizes = [len(p.run.as_text().splitlines()) for p in (small, large)]
    assert sizes[0] == sizes[1]
    use = large.run.memory_analysis()
    stack = 198 * 64 * 64 * 4
    assert use.alias_size_in_bytes > stack, "the weights must be updated in their own memory"
    # One pre-activation for each layer and what one layer needs: less than one copy of the weights.
    assert use.temp_size_in_bytes < 198 * 64 * 64 * 4 * 0.2 + 198 * 64 * 64 * 4
    assert not [row for row in large.run.as_text().splitlines() if "f32[198,1,64,64]" in row and " copy(" in row]


@pytest.mark.thorough
def test_one_program_serves_every_rate_sigma_and_seed() -> None:
    program._compiled.cache_clear()
    for sigma_w, rate, first in [(1.0, 0.1, 0), (1.2, 0.1, 0), (1.2, 0.2, 0), (1.2, 0.2, 7)]:
        model = Model("tanh", replace(NET, sigma_w=sigma_w))
        train(Config(model, Sgd(rate, 2, 60), Inputs(), Seeds(2, first)), DATA)
    assert program._compiled.cache_info().misses == 2  # the step and the test


def test_peak_memory_is_what_must_be_there() -> None:
    result = train(Config(Model("tanh", Network(64, 50, 0.2, 1.3)), Sgd(0.1, 1, 60), Inputs(), Seeds(1)), DATA)
    weights = 4 * (64 * 64 + 48 * 64 * 64 + 64 * 10)
    kept = 4 * 48 * 60 * 64  # pre-activations
    data = 4 * 240 * 64
    assert weights + kept + data < result.peak_bytes < 1.25 * (weights + kept + data)


def test_what_cannot_fit_is_refused_before_a_weight_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Config(Model("tanh", Network(64, 50, 0.2, 1.3)), Sgd(0.1, 1, 60), Inputs(), Seeds(1))
    least = train(small, DATA).peak_bytes
    assert train(small, DATA, memory=least).peak_bytes == least
    monkeypatch.setattr(run, "train_group", None)
    said = f"memory: expected at least {least} bytes, to train one seed of it, got {least - 1}"
    with pytest.raises(ValueError, match=said):
        train(small, DATA, memory=least - 1)
    file = Path(__file__).parents[1] / "book/my_activation.py"  # checked with values while shapes are asked for
    huge = replace(small, model=Model(f"{file}:mish", Network(100_000, 50, 0.2, 1.3)))
    with pytest.raises(ValueError, match=r"memory: expected at least \d{13} bytes"):  # not of this machine
        train(huge, DATA)


@pytest.mark.thorough
def test_initial_weights_have_the_stated_spread() -> None:
    model = Model("relu", Network(128, 6, 0.3, 1.5))
    config = Config(model, Sgd(0.1, 1), Inputs(), Seeds(3))
    glorot = replace(config, model=replace(model, fan="average"))
    drawn = program.start(config, range(3), 400, 10)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(drawn))
    for name, fan_in, fan_out in (("first", 400, 128), ("hidden", 128, 128), ("last", 128, 10)):
        layer = getattr(drawn, name)
        assert layer.weight.shape[-2:] == (fan_in, fan_out)
        for values, sigma in ((layer.weight, 1.5 / np.sqrt(fan_in)), (layer.bias, 0.3)):
            assert abs(values.std() / sigma - 1) < 5 / np.sqrt(2 * values.size)
        scaled = getattr(program.start(glorot, range(3), 400, 10), name).weight
        np.testing.assert_allclose(scaled, layer.weight * np.sqrt(2 * fan_in / (fan_in + fan_out)), rtol=1e-6)
    assert len({float(w) for w in drawn.hidden.weight[0, :, 0, 0]}) == 3


def test_configurations_read_back_and_show_their_differences() -> None:
    assert all(from_json(to_json(config)) == config for config in (CONFIG, OTHER))
    assert differences(json.loads(to_json(CONFIG)), json.loads(to_json(OTHER))) == [
        "inputs.dataset (digits there, mnist here)",
        "inputs.scaling (centred there, unit here)",
        "model.activation (tanh there, prelu:0.1 here)",
        "model.depth_counts (all there, hidden here)",
        "model.fan (in there, average here)",
        "model.net.architecture (ffnn there, residual here)",
        "model.net.sigma_w (1.2 there, 0.7 here)",
        "model.parameterisation (standard there, ntk here)",
        "sgd.batch (60 there, 32 here)",
        "sgd.batches (permuted there, full here)",
        "sgd.momentum (0.0 there, 0.5 here)",
        "sgd.rate (0.1 there, 0.03 here)",
    ]
    more = replace(CONFIG, sgd=replace(CONFIG.sgd, epochs=9), seeds=Seeds(5, 5))
    assert differences(json.loads(to_json(CONFIG)), json.loads(to_json(more))) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Model("rellu", NET), "activation: expected one of .* did you mean 'relu'"),
        (lambda: Model("relu", replace(NET, depth=1)), "depth: expected at least 2 dense layers, got 1"),
        (lambda: Model("relu", NET, "mean field"), "parameterisation: expected one of standard, ntk, got"),
        (lambda: Model("relu", NET, depth_counts="most"), "depth_counts: expected"),
        (lambda: Model("relu", NET, fan="out"), "fan: expected"),
        (lambda: Sgd(0.0, 1), "rate: expected a number above 0"),
        (lambda: Sgd(0.1, 0), "epochs: expected a whole number, at least 1, got 0"),
        (lambda: Sgd(0.1, 1, 0), "batch: expected a whole number, at least 1, got 0"),
        (lambda: Sgd(0.1, 1, momentum=1.0), "momentum: expected a number from 0 to below 1, got 1"),
        (lambda: Sgd(0.1, 1, batches="all"), "batches: expected"),
        (lambda: Inputs("mnits"), "dataset: expected .* did you mean 'mnist'"),
        (lambda: Inputs("mnist", augmentation="flips"), "augmentation: expected one of none"),
        (lambda: Seeds(0), "seeds: expected a whole number, at least 1, got 0"),
        (lambda: Seeds(2, -1), "first seed: expected a whole number, at least 0, got -1"),
        (lambda: train(replace(CONFIG, inputs=Inputs("mnist")), DATA), "data: expected the data set mnist .* digits"),
        (lambda: train(CONFIG, DATA, group=0), "group: expected a whole number, at least 1, got 0"),
        (lambda: train(CONFIG, DATA, resume=True), "resume: expected a folder out"),
        (
            lambda: train(replace(CONFIG, sgd=Sgd(0.1, 1, 300, batches="full")), DATA),
            "batch: expected at most the 240 training rows, got 300",
        ),
        (lambda: train(CONFIG, spoilt(x=np.nan)), "data: expected finite inputs, got NaN or infinity"),
        (lambda: train(CONFIG, spoilt(y=10)), "data: expected labels from 0 to 9, got 0 to 10"),
    ],
)
def test_bad_input(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def spoilt(x: float | None = None, y: int | None = None) -> Split:
    """The data with one number changed."""
    test = DATA.test._replace(x=DATA.test.x.copy(), y=DATA.test.y.copy())
    if x is not None:
        test.x[3, 5] = x
    if y is not None:
        test.y[2] = y
    return DATA._replace(test=test)
