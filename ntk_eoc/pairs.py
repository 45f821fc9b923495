"""Inputs of any norms, pair by pair through the layers of ``hermite``, at any depths on the way."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy import ndarray

from ntk_eoc.activations import Activation
from ntk_eoc.hermite import GOOD, LAYERS, NEAR, ROUNDING, TILE, advance, bound, layers, padded, side


class Pairs(NamedTuple):
    """Correlations ``c`` and ``kappa`` = K/sqrt(q q') of pairs, (N, M), with the variances of the inputs, (N,) and
    (M,); how far K may be off, relative to K(x, x), and how much of it is due to series that are cut short."""

    c: Array
    kappa: Array
    q1: ndarray
    q2: ndarray
    error: float
    cut: float


def pairs(
    act: Activation,
    fold: Array,
    v1: ndarray,
    v2: ndarray,
    depths: Sequence[int],
    *,
    dtype: str,
    odd: bool,
    **options: Any,
) -> list[Pairs]:
    """Inputs with |x|^2/d = v1 (N,) and v2 (M,) at increasing depths; ``fold`` (N, M) as in ``angles``, symmetric if
    v1 is v2; ``options`` are sigma_b, sigma_w and whether there is a ``skip`` connection."""
    (n, m), same = fold.shape, v1 is v2
    sigma_b, sigma_w = options["sigma_b"], options["sigma_w"]
    v = v1 if same else np.concatenate([v1, v2])
    ends = ((0, n),) if same else ((0, n), (n, n + m))
    q = sigma_b**2 + sigma_w**2 * v
    root = np.sqrt(np.where(q > 0, q, 1.0))
    share, bias = sigma_w * np.sqrt(v) / root, sigma_b / root
    cosine = jnp.copysign(1.0 - jnp.abs(fold), fold)
    (bias1, share1), (bias2, share2) = (
        (part[first:last] for part in (bias, share)) for first, last in (ends[0], ends[-1])
    )
    c = padded(jnp.outer(bias1, bias2) + jnp.outer(share1, share2) * cosine, 2).astype(dtype)
    state, blocks = (c, c + 0.0), _blocks(c.shape[0], c.shape[1], same)
    found, tails, level, held = [], [np.zeros((4, 0))], 1, 0
    for depth in depths:
        while level < depth:
            if not held:
                near = bool(q.min() > 0 and q.max() < NEAR * q.min())
                chunk, held = layers(act, jnp.asarray(q), near=near, good=GOOD[dtype], **options), LAYERS
                parts = [side(chunk, *end, dtype=dtype, odd=odd) for end in ends]
            first, count = LAYERS - held, min(held, depth - level)
            state = advance(*state, parts[0], parts[-1], first, count, blocks, odd)
            tails.append(np.asarray(chunk.tails)[:, first : first + count])
            level, held, q = level + count, held - count, np.asarray(chunk.q[first + count - 1])
        error, cut = (bound(np.concatenate(tails, axis=1), rounding) for rounding in (ROUNDING[dtype], 0.0))
        c, kappa = (_mirrored(part, n, m, same) for part in state)
        found.append(Pairs(c, kappa, q[:n], q[-m:], error, cut))
    return found


def _blocks(n: int, m: int, same: bool) -> Array:
    rows, columns = (part.ravel() for part in np.indices((n // TILE, m // TILE)))
    some = columns >= rows if same else columns >= 0
    return jnp.asarray(np.stack([rows[some], columns[some]], axis=1))


@partial(jax.jit, static_argnames=("n", "m", "same"))
def _mirrored(part: Array, n: int, m: int, same: bool) -> Array:
    if same:
        row, column = (jax.lax.broadcasted_iota(jnp.int32, part.shape, axis) for axis in (0, 1))
        part = jnp.where(row <= column, part, part.T)
    return part[:n, :m]
