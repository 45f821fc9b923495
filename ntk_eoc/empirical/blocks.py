"""Kernels of many inputs, block by block, so that the work for one block stays within a limit on memory."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, PyTree

from ntk_eoc.errors import Scalar, check_inputs_fit, number, plain

Inputs = Float[Array, "N ..."] | ArrayLike
Block = Callable[[Array, Array | None], PyTree]  # the kernel of two blocks of inputs, or of one with itself
MEMORY = 2**29  # bytes


def inner(first: Float[Array, "N o p"], second: Float[Array, "M o p"]) -> Float[Array, "N M o o"]:
    (n, o, p), m = first.shape, len(second)
    return (first.reshape(n * o, p) @ second.reshape(m * o, p).T).reshape(n, o, m, o).transpose(0, 2, 1, 3)


def rows_within(memory: Scalar, per_row: int, per_pair: int) -> int:
    """The most rows b on each side with b per_row + b^2 per_pair bytes in ``memory``."""
    limit, least = int(min(number("memory", memory), 2**62)), per_row + per_pair
    if limit < least:
        raise ValueError(f"memory: expected at least {least} bytes, for one row on each side, got {limit}")
    return (math.isqrt(per_row**2 + 4 * per_pair * limit) - per_row) // (2 * per_pair)


def by_blocks(kernel: Block, x1: Array, x2: Array | None, rows: int) -> PyTree:
    """``kernel`` on blocks of equal size, up to ``rows``, so that it is compiled once; mirrored where x2 is None."""
    n, m = len(x1), len(x1 if x2 is None else x2)
    if max(n, m) <= rows:
        return kernel(x1, x2)
    left = _split(x1, rows)
    right = left if x2 is None else _split(x2, rows)
    table: list[list[PyTree]] = []
    for i, a in enumerate(left):
        mirrored = [jax.tree.map(_transpose, table[j][i]) for j in range(i)] if x2 is None else []
        own = [kernel(a, None)] if x2 is None else []
        done = len(mirrored) + len(own)
        table.append(mirrored + own + [kernel(a, b) for b in right[done:]])
    lines = [jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-3), *line) for line in table]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-4)[..., :n, :m, :, :], *lines)


def _transpose(block: Float[Array, "*L N M o o"]) -> Float[Array, "*L M N o o"]:
    return block.swapaxes(-4, -3).swapaxes(-2, -1)


def _split(x: Array, rows: int) -> list[Array]:
    """Blocks of one size; the last is filled up with copies of the last row."""
    count = -(-len(x) // rows)
    size = -(-len(x) // count)
    return jnp.split(jnp.concatenate([x, jnp.repeat(x[-1:], count * size - len(x), axis=0)]), count)


def check_both(x1: ArrayLike, x2: ArrayLike | None) -> tuple[Array, Array | None]:
    x1, x2 = _inputs("x1", x1), None if x2 is None else _inputs("x2", x2)
    if x2 is not None and x1.shape[1:] != x2.shape[1:]:
        raise ValueError(f"x2: expected inputs of shape {x1.shape[1:]} as in x1, got {x2.shape[1:]}")
    return x1, x2


def _inputs(name: str, x: ArrayLike) -> Array:
    """``x`` as an array with a row per input; its values are checked only where they are known, outside a trace."""
    known = isinstance(x, jax.Array) or np.issubdtype(getattr(x, "dtype", object), np.number)
    array = jnp.asarray(x if known else plain(name, x))
    if array.ndim < 2 or 0 in array.shape:
        raise ValueError(f"{name}: expected inputs of shape (N, d), N and d at least 1, got shape {array.shape}")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name}: expected floating-point inputs, got dtype {array.dtype}")
    check_inputs_fit(name, array)
    return array
