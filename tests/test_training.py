"""The trainer against plain automatic differentiation of ``networks``; its data order, its choices, its programs."""

from dataclasses import replace

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
