"""One step of SGD on a deep ReLU network, batch 64, in float32: the step that ``ntk-eoc reproduce`` repeats."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from common.contest import Match, main
from common.inputs import network
from jax import Array, lax

from ntk_eoc.networks import Dense
from ntk_eoc.training import Config, Model, Network, Sgd, program, step

SIZES, ROWS, RATE = ((300, 300), (200, 100)), 64, 1e-3


def ours(width: int, depth: int) -> Callable[[], Array]:
    """A call is a step, on the weights that the last one left; returns the sum of all losses so far."""
    given = network(width, depth, ROWS)
    first, *hidden, last = (Dense(jnp.asarray(w), jnp.zeros(w.shape[1], w.dtype)) for w in given["weights"])
    stack = jax.tree.map(lambda *layers: jnp.stack(layers)[:, None], *hidden)
    ends = (jax.tree.map(lambda a: a[None], layer) for layer in (first, last))
    weights = step.Weights(next(ends), stack, next(ends), jnp.zeros((depth - 1, 1), jnp.float32))
    state = step.State(weights, None, program.blank(1))
    rates = program.rates(Config(Model("relu", Network(width, depth, 0.0, 2**0.5)), Sgd(RATE, 1)), 784, 10)
    rows = program.Rows(jnp.asarray(given["x"]), jnp.asarray(given["labels"]))
    order, begin, end = jnp.arange(ROWS, dtype=jnp.int32).reshape(1, 1, ROWS), jnp.int32(0), jnp.int32(1)
    run = program.advance(step.kind("relu", False), state, rates, rows, order).run

    def call() -> Array:
        nonlocal state
        state = run(state, rates, rows, order, begin, end)
        return state.tally.loss

    return call


def products(width: int, depth: int, block: int) -> Callable[[], Array]:
    """The three products of each hidden layer and nothing else, on matrices that stay in the cache.

    ``block`` products that give gradients are one batched call.
    """

    def three(size: int, w: Array, up: Array, down: Array) -> tuple[Array, Array]:
        hs, gs = [], []
        for _ in range(size):
            up, down = up @ w, down @ w.T
            hs, gs = [*hs, up], [*gs, down]
        grads = jnp.einsum("kbi,kbj->kij", jnp.stack(hs), jnp.stack(gs))
        return grads[-1, :ROWS] / ROWS, down

    @jax.jit
    def run(w: Array, up: Array) -> Array:
        blocks, rest = divmod(depth - 2, block)
        up, down = lax.fori_loop(0, blocks, lambda _, carry: three(block, w, *carry), (up, up))
        return three(rest, w, up, down)[0] if rest else up

    return partial(run, jnp.full((width, width), 1 / width, jnp.float32), jnp.ones((ROWS, width), jnp.float32))


def traffic(width: int, depth: int) -> Callable[[], Array]:
    """The hidden weights read twice, layer by layer, and replaced: what has to come from memory and to go there."""
    stack = jnp.ones((depth - 2, width, width), jnp.float32)

    @partial(jax.jit, donate_argnums=0)
    def run(stack: Array) -> tuple[Array, Array]:
        def read(i: Array, total: Array) -> Array:
            return total + lax.dynamic_index_in_dim(stack, i % (depth - 2), keepdims=False)

        total = lax.fori_loop(0, 2 * (depth - 2), read, jnp.zeros((width, width), jnp.float32))
        return stack - 1e-9 * total[0, 0], total

    def call() -> Array:
        nonlocal stack
        stack, total = run(stack)
        return total

    return call


def flops(width: int, depth: int) -> float:
    """Three products for each weight matrix, but two for the first, whose input needs no gradient."""
    return 2 * ROWS * (2 * 784 * width + 3 * (depth - 2) * width**2 + 3 * 10 * width)


WORK = "width {0}, depth {1}"
LIMIT = WORK + ": its products alone, one after the other"
PARTS = {
    WORK + ": its products as they are called": partial(products, block=step.BLOCK),
    WORK + ": its weights through memory": traffic,
}
TOLERANCE = 3e-3  # between the losses: 300 layers multiply rounding; weights that stand still would differ by more
METHODS = ("Sequential and SGD(foreach)", "weights updated by hooks", "by hand, in place")
KINDS = {WORK: ours, LIMIT: partial(products, block=1), **PARTS}
CASES = {name.format(*size): partial(case, *size) for size in SIZES for name, case in KINDS.items()}
MATCHES = [
    Match(
        WORK.format(*size),
        tuple(f"training {size[0]} {size[1]}: {method}" for method in METHODS),
        TOLERANCE,
        limit=LIMIT.format(*size),
        parts=tuple(part.format(*size) for part in PARTS),
        flops=flops(*size),
        script="peer_torch.py",
    )
    for size in SIZES
]

if __name__ == "__main__":
    main("A training step, batch 64, float32", CASES, MATCHES, __file__)
