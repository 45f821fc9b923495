"""NNGP and NTK of inputs of any norms without a quadrature for each pair: layers as polynomials in the correlation.

With normalised Hermite polynomials h_k and phi(sqrt(q) z) = sum_k a_k(q) h_k(z), Mehler's formula gives

    E[phi(u) phi(v)] = sum_k a_k(q) a_k(q') c^k =: f(c),    sqrt(q q') E[phi'(u) phi'(v)] = f'(c),

where sqrt(q) phi'(sqrt(q) z) has the coefficients sqrt(k + 1) a_{k+1}(q). The coefficients belong to single inputs; a
pair costs two polynomials a layer, which give the next c and K/sqrt(q q'). Variances are carried apart, so nothing
grows with depth. What a series leaves out is known at c = 1, from E[phi^2] and E[phi'^2], and bounds it everywhere.
"""

from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy import ndarray

from ntk_eoc.activations import Activation, derivative
from ntk_eoc.errors import Scalar
from ntk_eoc.gaussian import TINY
from ntk_eoc.panels import LEGENDRE, LEGENDRE_WEIGHTS

TERMS, STEP = 256, 32  # of the series at most; each layer takes as many STEPs of terms as are good enough
GOOD = {"float32": 1e-6, "float64": 1e-13}  # what a layer's series may leave out of f(1) and of f'(1)
ROUNDING = {"float32": 2.4e-7, "float64": 4.4e-16}  # of one layer's polynomial: two units in the last place of 1
ORDER = np.arange(TERMS, dtype=float)
WEIGHTS = np.stack([ORDER**0, ORDER, ORDER * (ORDER - 1)]).reshape(3, -1, STEP)  # of squares, in f(1), f'(1), f''(1)
LAYERS = 8  # whose coefficients are held at a time
VARIANCES, NEAR = 32, 100.0  # variances that coefficients are interpolated from, where no ratio of two is larger
SIDE = 32  # variances whose quadratures go side by side, where each has its own
TILE = 256  # pairs pass through the layers in squares that stay in the cache
GROUP = 16  # terms in one go: as many as the compiler turns into one good loop (8 and 32 are slower)
# Panels of the quadrature: fine enough for h_255, and finer where a steep phi turns.
PANELS = np.concatenate([0.5 ** np.arange(10, 1, -1), np.arange(0.5, 12.1, 0.5)])


class Layers(NamedTuple):
    """Of single inputs, layer by layer: ``series`` (L, 2, T, N) of phi and of sqrt(q) phi', and ``rest`` (L, 2, N),
    what bias and skip connection add, each divided by the root of the next variance; these variances ``q`` and f'(1),
    ``slopes`` (L, N); ``steps`` (L,), how many STEPs of terms are taken; and ``tails`` (L, 6): what is left out of f(1)
    and of f'(1) at most, the largest f'(1), a bound on the derivative of what is in it; the least f'(1), and the least
    of what a layer adds to K/q."""

    series: Array
    rest: Array
    q: Array
    slopes: Array
    steps: Array
    tails: Array


def applies(act: Activation) -> bool:
    """Whether one quadrature serves all variances: no kinks, or one at 0, which no scaling moves.

    >>> from ntk_eoc.activations import NAMED
    >>> [applies(NAMED[name]) for name in ("tanh", "elu", "hard_tanh")]
    [True, True, False]
    """
    return set(act.kinks) <= {0.0}


@lru_cache
def _rule() -> tuple[ndarray, ndarray]:
    """Nodes (M,), and weights times h_k at them, (M, T); the first column is the weights alone."""
    edges = np.concatenate([-PANELS[::-1], [0.0], PANELS])
    half = 0.5 * np.diff(edges)[:, None]
    z = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * LEGENDRE).ravel()
    columns = [(half * LEGENDRE_WEIGHTS).ravel() * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)]
    columns.append(columns[0] * z)
    for k in range(2, TERMS):
        columns.append((z * columns[-1] - np.sqrt(k - 1.0) * columns[-2]) / np.sqrt(k))
    return z, np.stack(columns, axis=1)


def moments(act: Activation, q: Array) -> Array:
    """a_k(q), E[phi^2] and q E[phi'^2] for variances q (N,): (T + 2, N).

    >>> from ntk_eoc.activations import NAMED
    >>> found = moments(NAMED["relu"], jnp.array([2.0]))[:, 0]
    >>> found[:2].round(6).tolist(), found[-2:].round(6).tolist()
    ([0.56419, 0.707107], [1.0, 1.0])
    """
    if not applies(act):  # kinks that move with the variance: panels for each
        return jax.lax.map(partial(_moments_of_one, act), q, batch_size=SIDE).T
    z, table = _rule()
    u = jnp.sqrt(q)[:, None] * z
    phi, slope = act.phi(u), derivative(act)(u)
    second = jnp.stack([phi**2 @ table[:, 0], q * (slope**2 @ table[:, 0])])
    return jnp.concatenate([(phi @ table).T, second])


def _moments_of_one(act: Activation, q: Array) -> Array:
    root = jnp.sqrt(q)
    kinks = jnp.clip(jnp.asarray(np.array(act.kinks)) / jnp.maximum(root, TINY), -PANELS[-1], PANELS[-1])
    edges = jnp.sort(jnp.concatenate([-PANELS, np.zeros(1), PANELS, kinks]))
    half = 0.5 * jnp.diff(edges)[:, None]
    z = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * LEGENDRE).ravel()
    weight = (half * LEGENDRE_WEIGHTS).ravel() * jnp.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    phi, slope = act.phi(root * z), derivative(act)(root * z)

    def term(h: tuple[Array, Array], k: Array) -> tuple[tuple[Array, Array], Array]:
        before, last = h
        return (last, (z * last - jnp.sqrt(k) * before) / jnp.sqrt(k + 1.0)), jnp.sum(weight * phi * last)

    _, found = jax.lax.scan(term, (jnp.zeros_like(z), jnp.ones_like(z)), jnp.asarray(ORDER))
    return jnp.append(found, jnp.stack([jnp.sum(weight * phi**2), q * jnp.sum(weight * slope**2)]))


def _interpolated(act: Activation, q: Array) -> Array:
    """The same from few variances: analytic in log q, where the nearest singularities are pi away, or pi/2 of a phi
    that has kinks elsewhere than at 0."""
    low, high = jnp.log(jnp.min(q)), jnp.log(jnp.max(q))
    middle, half = 0.5 * (low + high), 0.5 * (high - low) + 1e-9
    count = VARIANCES if applies(act) else 2 * VARIANCES
    nodes = (np.arange(count) + 0.5) * np.pi / count
    points, to_series = np.cos(nodes), np.cos(np.outer(nodes, np.arange(count))) * (2.0 / count)
    to_series[:, 0] *= 0.5
    values = moments(act, jnp.exp(middle + half * points)) @ to_series
    angle = jnp.arccos(jnp.clip((jnp.log(q) - middle) / half, -1.0, 1.0))
    return values @ jnp.cos(jnp.arange(count)[:, None] * angle)


@partial(jax.jit, static_argnames=("act", "skip", "near", "odd", "dtype"))
def layers(
    act: Activation,
    q: Array,
    count: Scalar,
    *,
    sigma_b: Scalar,
    sigma_w: Scalar,
    skip: bool,
    near: bool,
    odd: bool,
    dtype: str,
) -> Layers:
    """The next ``count`` layers of inputs with variances q (N,), ``near`` each other or not, and zeros up to LAYERS;
    series and rest in ``dtype``, of an ``odd`` phi the odd terms alone, and of its even phi' the even ones."""

    def one(q: Array) -> tuple[Array, Layers]:
        found = (_interpolated if near else moments)(act, q)
        moment, chi = found[-2], found[-1]
        after = sigma_b**2 + sigma_w**2 * moment + (q if skip else 0.0)
        root = jnp.sqrt(jnp.where(after > 0, after, 1.0))
        scale, kept = sigma_w / root, (jnp.sqrt(q) / root if skip else jnp.zeros_like(q))
        series = scale * found[:-2]
        sums = jnp.cumsum(jnp.einsum("wst,stn->wsn", WEIGHTS, (series**2).reshape(-1, STEP, q.size)), axis=1)
        left_out = jnp.abs(jnp.stack([scale**2 * moment, scale**2 * chi])[:, None] - sums[:2]).max(axis=-1)
        enough = (left_out <= GOOD[dtype]).all(axis=0)
        steps = jnp.where(enough.any(), jnp.argmax(enough), enough.size - 1)
        slope, bend = scale**2 * chi + kept**2, jnp.max(sums[2, jnp.minimum(steps + 1, enough.size - 1)])
        tails = jnp.stack([*left_out[:, steps], slope.max(), bend, slope.min(), (1.0 - kept**2).min()])
        slopes = jnp.sqrt(ORDER[1:, None]) * series[1:]
        both = [series[1::2], slopes[::2]] if odd else [series, jnp.pad(slopes, ((0, 1), (0, 0)))]
        rest = [jnp.broadcast_to(sigma_b / root, q.shape), kept]
        series, others = (jnp.stack(parts).astype(dtype) for parts in (both, rest))
        return after, Layers(series, others, after, slope, steps + 1, tails)

    nothing = jax.tree.map(lambda part: jnp.zeros(part.shape, part.dtype), jax.eval_shape(one, q))
    return jax.lax.scan(lambda q, k: jax.lax.cond(k < count, one, lambda _: nothing, q), q, jnp.arange(LAYERS))[1]


@partial(jax.jit, static_argnames="odd", donate_argnames=("c", "kappa"))
def advance(
    c: Array, kappa: Array, held: Layers, shift: Scalar, first: Scalar, count: Scalar, blocks: Array, odd: bool
) -> tuple[Array, Array]:
    """(c, K/sqrt(q q')) after ``count`` layers from the ``first`` of those held, in the squares ``blocks`` (B, 2); the
    inputs of the columns are held from ``shift`` on."""
    groups = STEP // GROUP // (2 if odd else 1)

    def layer(start: Array, level: Array, tile: tuple[Array, Array]) -> tuple[Array, Array]:
        (c, kappa), sides = tile, (start[0], start[1] + shift)
        x = c * c if odd else c
        many = held.steps[level] * groups

        def step(at: Array, sums: Array) -> Array:
            k = (many - 1 - at) * GROUP
            a1, a2 = (jax.lax.dynamic_slice(held.series, (level, 0, k, s), (1, 2, GROUP, TILE))[0] for s in sides)
            # one array for both polynomials: the compiler makes vector code of a loop with one result, not with two
            for j in range(GROUP - 1, -1, -1):
                sums = sums * x + a1[:, j, :, None] * a2[:, j, None]
            return sums

        value, slope = jax.lax.fori_loop(0, many, step, jnp.zeros((2, *c.shape), c.dtype))
        value = c * value if odd else value
        (bias1, skip1), (bias2, skip2) = (
            jax.lax.dynamic_slice_in_dim(held.rest[level], s, TILE, axis=1) for s in sides
        )
        added, kept = value + bias1[:, None] * bias2, skip1[:, None] * skip2
        return jnp.clip(added + kept * c, -1.0, 1.0), added + (slope + kept) * kappa

    def block(at: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        start = blocks[at] * TILE
        tile = tuple(jax.lax.dynamic_slice(part, start, (TILE, TILE)) for part in state)
        tile = jax.lax.fori_loop(first, first + count, partial(layer, start), tile)
        c, kappa = (jax.lax.dynamic_update_slice(part, new, start) for part, new in zip(state, tile, strict=True))
        return c, kappa

    return jax.lax.fori_loop(0, len(blocks), block, (c, kappa))


@partial(jax.jit, static_argnames="odd")
def within(held: Layers, first: Scalar, reach: Array, rounding: Scalar, odd: bool) -> Array:
    """``tails`` for pairs whose |c| is at most ``reach`` (K,) before the ``first`` of the layers, there and, by Cauchy
    and Schwarz, at what the layers before make of it; and the ``rounding`` of each: (L, K, 7)."""
    order = jnp.arange(held.series.shape[2]) * (2.0 if odd else 1.0)

    def layer(reach: Array, at: tuple[Array, ...]) -> tuple[Array, Array]:
        level, steps, series, rest, tails = at
        squares, kept = series.astype(float) ** 2, rest[1].astype(float) ** 2
        out, steep_out = tails[:2] * reach ** (steps * STEP - 1)
        steep = jnp.max(reach**order @ squares[1] + kept) + steep_out
        bend = jnp.max((order * reach ** jnp.maximum(order - 1.0, 0.0)) @ squares[1])
        after = (reach ** (order + 1.0 if odd else order)) @ squares[0] + rest[0].astype(float) ** 2 + kept * reach
        after = jnp.minimum(jnp.max(after) + out + rounding, 1.0)
        least = jnp.minimum(tails[:4], jnp.stack([out, steep_out, steep, bend]))
        return jnp.where(level < first, reach, after), jnp.concatenate([least, tails[4:], jnp.array([rounding])])

    levels = jnp.arange(len(held.q))
    each = (levels, held.steps, held.series, held.rest, held.tails)
    return jax.vmap(lambda one: jax.lax.scan(layer, one, each)[1], out_axes=1)(jnp.asarray(reach, float))


def bound(tails: ndarray, *, rounded: bool = True) -> ndarray:
    """What series cut short and, if ``rounded``, the rounding of each layer change in K at most, relative to K(x, x),
    or in chaos to what it would be with f'(1) = 1, after layers with these tails (L, K, 7) of ``within``: (K,).

    >>> bound(np.array([[[0.0, 1e-9, 1.0, 5.0, 1.0, 1.0, 0.0]]])).tolist()
    [5e-10]
    """
    error_c, error_k, largest, least = np.repeat([[0.0], [0.0], [1.0], [1.0]], tails.shape[1], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):  # chaos without end
        for left_out, slope_left_out, slope, curvature, flattest, added, rounding in np.moveaxis(tails, -1, 1):
            rounding = rounding if rounded else 0.0
            turned = slope_left_out + rounding * slope + curvature * error_c
            error_c = left_out + rounding + slope * error_c
            error_k = error_c + slope * error_k + largest * turned
            largest, least = 1.0 + slope * largest, added + np.minimum(flattest, 1.0) * least
        return np.where(np.isfinite(error_k), error_k / least, np.inf)
