"""Compiled programs: many steps in one call, the test set in another; initial weights, rates and what a call keeps."""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float32, Int32

from ntk_eoc.activations import PReLU, get
from ntk_eoc.networks import Dense, init
from ntk_eoc.training.config import Config, Model
from ntk_eoc.training.step import Kind, Rates, State, Tally, Weights, forward, head, sgd_step

CHUNK = 1000  # rows of the test set at a time


class Rows(NamedTuple):
    """Inputs and labels on the device: (N, d) in float32 and (N,)."""

    x: Float32[Array, "N d"]
    y: Int32[Array, " N"]


class Program(NamedTuple):
    """A compiled function of arrays alone, and the bytes that are alive while it runs."""

    run: Callable[..., Any]
    peak: int


def start(config: Config, seeds: range, d: int, o: int) -> Weights:
    """The weights of the seeds before training: those of ``networks.init`` for ``jax.random.key(seed)``.

    >>> from ntk_eoc.training import Inputs, Network, Seeds, Sgd
    >>> config = Config(Model("relu", Network(8, 5, 0.0, 1.4)), Sgd(0.1, 1))
    >>> start(config, range(2), 64, 10).hidden.weight.shape
    (3, 2, 8, 8)
    """
    net, draws = config.model.layers, []
    with jax.ensure_compile_time_eval():  # the checks of the reader's own function need values where this is traced
        phi = get(config.model.activation).phi
    for seed in seeds:
        p = init(jax.random.key(seed), net, d, o, parameterisation="standard", dtype=jnp.float32)
        assert p.last is not None  # a Model has a hidden layer
        ends = (_scaled(config.model, layer) for layer in (p.first, p.last))
        draws.append((*ends, p.hidden))
    first, last = (jax.tree.map(lambda *a: jnp.stack(a), *(draw[i] for draw in draws)) for i in (0, 1))
    hidden = jax.tree.map(lambda *a: jnp.stack(a, axis=1), *(draw[2] for draw in draws))
    slope = phi.slope if isinstance(phi, PReLU) else 0.0
    return Weights(first, hidden, last, jnp.full((net.depth - 1, len(seeds)), slope, jnp.float32))


def rates(config: Config, d: int, o: int) -> Rates:
    """The rate of every group of weights in the standard parameterisation.

    A weight W = s G that is trained through G, at the rate eta, moves as at the rate s^2 eta: that is all that the
    NTK parameterisation is for gradient descent, with s = sigma_w/sqrt(fan_in) for weights, sigma_b for biases.
    """
    model, eta = config.model, config.sgd.rate

    def rate(fan_in: int, fan_out: int) -> Dense:
        if model.parameterisation == "standard":
            return Dense(jnp.float32(eta), jnp.float32(eta))
        weight = (model.net.sigma_w * _fan(model, fan_in, fan_out)) ** 2 / fan_in
        return Dense(jnp.float32(eta * weight), jnp.float32(eta * model.net.sigma_b**2))

    n = model.net.width
    groups = Weights(rate(d, n), rate(n, n), rate(n, o), jnp.float32(eta))
    return Rates(groups, jnp.float32(config.sgd.momentum))


def blank(seeds: int) -> Tally:
    """The tally before the first step of an epoch."""
    return Tally(jnp.zeros(seeds, jnp.float32), jnp.zeros(seeds, jnp.int32), jnp.full(seeds, -1, jnp.int32))


@partial(jax.jit, static_argnames="kind", donate_argnames="state")
def _advance(kind: Kind, state: State, rates: Rates, train: Rows, order: Array, begin: Array, end: Array) -> State:
    def step(carry: tuple[Array, State]) -> tuple[Array, State]:
        i, state = carry
        rows = lax.dynamic_index_in_dim(order, i, keepdims=False)
        label = jnp.where(rows >= 0, train.y[rows], -1)
        new = sgd_step(kind, rates, state, train.x[rows], label)
        lost = (state.tally.bad < 0) & ~jnp.isfinite(new.tally.loss)
        return i + 1, new._replace(tally=new.tally._replace(bad=jnp.where(lost, i, state.tally.bad)))

    def goes_on(carry: tuple[Array, State]) -> Array:
        return (carry[0] < end) & jnp.any(carry[1].tally.bad < 0)

    return lax.while_loop(goes_on, step, (begin, state))[1]


@partial(jax.jit, static_argnames="kind")
def _judge(kind: Kind, weights: Weights, rows: Rows) -> tuple[Array, Array]:
    def chunk(part: Rows) -> tuple[Array, Array]:
        z = forward(kind, weights, jnp.broadcast_to(part.x, (weights.slopes.shape[1], *part.x.shape)))
        loss, _, correct = head(z, jnp.broadcast_to(part.y, z.shape[:2]))
        return loss.sum(-1), correct.sum(-1)

    n, o = rows.y.shape[0], CHUNK
    pad = -n % min(n, o)
    parts = Rows(jnp.pad(rows.x, ((0, pad), (0, 0))), jnp.pad(rows.y, (0, pad), constant_values=-1))
    loss, correct = lax.map(chunk, jax.tree.map(lambda a: a.reshape(-1, min(n, o), *a.shape[1:]), parts))
    return loss.sum(0) / n, correct.sum(0).astype(jnp.float32) / n


def advance(kind: Kind, state: State, rates: Rates, train: Rows, order: Array) -> Program:
    """``run(state, rates, train, order, begin, end)``: steps begin, ..., end - 1 of an epoch.

    ``order`` is (steps, S, B), the rows of each batch, -1 for padding. Where the loss of a seed is not finite, its step
    goes into the tally; the others go on, and the loop ends when none is left. The state's memory is reused.
    """
    whole = jnp.int32(0)
    return _compiled("advance", kind, *_shapes((state, rates, train, order, whole, whole)))


def judge(kind: Kind, weights: Weights, rows: Rows) -> Program:
    """``run(weights, rows)``: mean cross-entropy and accuracy of each seed, (S,) both."""
    return _compiled("judge", kind, *_shapes((weights, rows)))


def _shapes(tree: Any) -> tuple[tuple, Any]:
    leaves, treedef = jax.tree.flatten(tree)
    return tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves), treedef


@lru_cache(maxsize=64)
def _compiled(name: str, kind: Kind, leaves: tuple, treedef: Any) -> Program:
    shapes = jax.tree.unflatten(treedef, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    compiled = {"advance": _advance, "judge": _judge}[name].lower(kind, *shapes).compile()
    use = compiled.memory_analysis()
    shared = use.alias_size_in_bytes if use else 0
    peak = use.argument_size_in_bytes + use.output_size_in_bytes + use.temp_size_in_bytes - shared if use else 0
    return Program(compiled, int(peak))


def _fan(model: Model, fan_in: int, fan_out: int) -> float:
    """Standard deviation in units of sigma_w/sqrt(fan_in)."""
    return 1.0 if model.fan == "in" else math.sqrt(2.0 * fan_in / (fan_in + fan_out))


def _scaled(model: Model, layer: Dense) -> Dense:
    return layer._replace(weight=layer.weight * np.float32(_fan(model, *layer.weight.shape)))
