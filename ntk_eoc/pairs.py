"""Inputs of any norms, pair by pair through the layers of ``hermite``, at any depths on the way.

Once all variances have settled at their fixed point the layers are one and the same, and what they do to a pair is a
function of its correlation: outside the chaotic phase a table of ``lookup`` goes through them, and no pair any more.
In it layers tear apart whatever is not the same input, rounding too: pairs of one input, and of opposite ones in an odd
network, go by K(x, x) of theirs, and what becomes of errors in the others depends on how close they are.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy import ndarray

from ntk_eoc.activations import Activation
from ntk_eoc.errors import LARGEST, Scalar
from ntk_eoc.gaussian import second_moment
from ntk_eoc.hermite import LAYERS, NEAR, ROUNDING, TILE, Layers, advance, bound, layers, within
from ntk_eoc.lookup import look_up
from ntk_eoc.settled import Functions, begin, functions, walk
from ntk_eoc.tables import Table, table

LIMITS = (np.inf, 1 - 1e-5, 0.999, 0.99, 0.95, 0.8)  # of |c|: up to which series may be good enough
SEEN = 1e-6  # share of f'(1) up to which two quadratures agree, where float32 carries the skip connection
SETTLED = {"float32": 1e-8, "float64": 4e-15}  # relative spread of variances that are as good as one
DIGITS = {"float32": 8, "float64": 14}  # to which a variance that stays is rounded, so that inputs share its table

State = tuple[Array, Array]  # correlations and K/sqrt(q q') of pairs
Shares = tuple[Array | ndarray, Array | ndarray]  # of bias and of input, in the root of the first variance


class Inputs(NamedTuple):
    """What kernels know of the inputs of rows and columns: ``fold`` (N, M) as in ``angles``, and |x|^2/d, ``v1`` (N,)
    and ``v2`` (M,), which are one array where the matrix is symmetric."""

    fold: Array
    v1: ndarray
    v2: ndarray

    @property
    def same(self) -> bool:
        return self.v1 is self.v2


class Pairs(NamedTuple):
    """Correlations ``c`` and ``kappa`` = K/sqrt(q q') of pairs, (N, M), with the variances of the inputs, (N,) and
    (M,). ``far`` (N, M): for how many of the LIMITS a pair is far enough, -1 of one input; and for each of these, (K,),
    how far K may be off, relative to K(x, x), and how much of it is due to series that are ``cut`` short."""

    c: Array
    kappa: Array
    q1: ndarray
    q2: ndarray
    far: Array
    error: ndarray
    cut: ndarray


def pairs(
    act: Activation, inputs: Inputs, depths: Sequence[int], *, dtype: str, odd: bool, **options: Any
) -> list[Pairs]:
    """All pairs of ``inputs`` at increasing depths; ``options`` are sigma_b, sigma_w and whether there is a ``skip``
    connection."""
    fold, v1, v2 = inputs
    (n, m), same = fold.shape, inputs.same
    sigma_b, sigma_w = options["sigma_b"], options["sigma_w"]
    v = v1 if same else np.concatenate([v1, v2])
    q = sigma_b**2 + sigma_w**2 * v
    root = np.sqrt(np.where(q > 0, q, 1.0))
    share, bias = sigma_w * np.sqrt(v) / root, sigma_b / root
    c = _first(fold, (bias[:n], share[:n]), (bias[-m:], share[-m:]), dtype)
    state, blocks = (c, c + 0.0), _blocks(c.shape[0], c.shape[1], same)
    alike = _alike(fold, jnp.asarray(v[:n]), jnp.asarray(v[-m:]), sigma_b, odd)
    far = _far(c, alike)
    second = 0 if same else c.shape[0]  # where the inputs of the columns are
    q = np.concatenate(
        [np.pad(part, (0, -part.size % TILE), mode="edge") for part in ([q] if same else [q[:n], q[n:]])]
    )
    found, tails, level, held, own, tab = [], [np.zeros((0, len(LIMITS), 7))], 1, 0, np.ones(q.size), None
    for depth in depths:
        while level < depth and tab is None:
            if not held:
                near = bool(q.min() > 0 and q.max() < NEAR * q.min())
                ahead = jnp.asarray(q), min(LAYERS, depths[-1] - level)
                chunk, held = layers(act, *ahead, near=near, odd=odd, dtype=dtype, **options), LAYERS
                missed = _missed(act, q, chunk, sigma_w)
                tab = None if options["skip"] else _settled(act, q, chunk, depths[-1], dtype)
            reach = _reach(state[0], far, same)
            if tab is not None:
                since = begin(dtype, reach, odd and sigma_b == 0)
                break
            first, count = LAYERS - held, min(held, depth - level)
            some = np.array(within(chunk, first, reach, ROUNDING[dtype], odd))[first : first + count]
            with np.errstate(invalid="ignore"):  # of variances that have left float64
                some[..., 1] += missed
            tails.append(some)
            own = _own(own, chunk, first, count)
            state = advance(*state, chunk, second, first, count, blocks, odd)
            level, held, q = level + count, held - count, np.asarray(chunk.q[first + count - 1])
        now, unresolved = state, 0.0
        if tab is not None:
            since, some = walk(since, tab, sigma_w, depth - level)
            tails.append(some)
            own, level = _repeated(own, sigma_w**2 * tab.slopes, depth - level), depth
            now, unresolved = _by_table(*state, functions(since, dtype))
        error, cut = (bound(np.concatenate(tails), rounded=rounded) for rounded in (True, False))
        c, kappa = _whole(*now, alike, jnp.asarray(own[:n]), same)
        found.append(Pairs(c, kappa, q[:n], q[second : second + m], far, error + unresolved, cut))
    return found


def _missed(act: Activation, q: ndarray, chunk: Layers, sigma_w: Scalar) -> float:
    """What the quadrature of the series does not see of f'(1) at the largest variance, where phi is steepest."""
    at = int(q.argmax())
    after = float(chunk.q[0, at])
    if not 0 < q[at] < LARGEST or not 0 < after < np.inf:
        return 0.0 if q[at] == 0 or after == 0 else np.inf
    slope = float(sigma_w) ** 2 * q[at] * float(second_moment(act, jnp.asarray(q[at]), 1)) / after
    missed = abs(float(chunk.slopes[0, at]) - float(chunk.rest[0, 1, at]) ** 2 - slope)
    return 0.0 if missed <= SEEN * max(slope, 1.0) else missed


def _settled(act: Activation, q: ndarray, chunk: Layers, layers: int, dtype: str) -> Table | None:
    """The table of all layers from here on: where variances stay at one value, that is not in chaos."""
    known = np.concatenate([q, np.asarray(chunk.q[: int(np.count_nonzero(chunk.steps))]).ravel()])
    low, high = known.min(), known.max()
    if not 0 < high * (1 - SETTLED[dtype]) <= low or not high < np.inf or chunk.tails[:, 2].max() > 1 + 1 / layers:
        return None
    try:
        return table(act, float(f"{q.max():.{DIGITS[dtype]}e}"))
    except RuntimeError:  # too large a variance for a table
        return None


@partial(jax.jit, static_argnames="dtype")
def _first(fold: Array, left: Shares, right: Shares, dtype: str) -> Array:
    """Correlations in the first layer, with zeros behind up to multiples of TILE."""
    cosine = jnp.copysign(1.0 - jnp.abs(fold), fold)
    c = left[0][:, None] * right[0] + left[1][:, None] * right[1] * cosine
    return jnp.pad(c, [(0, -size % TILE) for size in c.shape]).astype(dtype)


def _by_table(c: Array, kappa: Array, since: Functions) -> tuple[State, float]:
    """Pairs after the layers that these are functions of, and what they leave of K unresolved, over K(x, x)."""
    most = np.array([1.0, float(kappa.max())])  # K(x, x)/q
    error = float(max(since.unresolved[0], since.unresolved[1:] @ most / (since.scales[1:] @ most)))
    after, added = (_looked_up(*since[:2], c, kappa, which=which) for which in ("c", "kappa"))
    return (after, added), error


@partial(jax.jit, static_argnames="which")
def _looked_up(functions: Array, scales: Array, c: Array, kappa: Array, *, which: str) -> Array:
    after, added, kept = look_up(functions, jnp.copysign(1.0 - jnp.abs(c), c))
    found = scales[0] * after if which == "c" else scales[1] * added + scales[2] * kept * kappa
    return found.astype(c.dtype)


def _blocks(n: int, m: int, same: bool) -> Array:
    rows, columns = (part.ravel() for part in np.indices((n // TILE, m // TILE)))
    some = columns >= rows if same else columns >= 0
    return jnp.asarray(np.stack([rows[some], columns[some]], axis=1))


@partial(jax.jit, static_argnames="odd")
def _alike(fold: Array, left: Array, right: Array, sigma_b: Scalar, odd: bool) -> Array:
    """1 for pairs of one input, and -1 for opposite ones where an odd network keeps them so; 0 for all others."""
    same = (left[:, None] == right) & (left[:, None] > 0) & (fold == 0)
    sign = jnp.where(jnp.signbit(fold), -1 if odd else 0, 1)
    empty = (left[:, None] == 0) & (right == 0) & (sigma_b > 0)
    return jnp.where(same & ((sign > 0) | (sigma_b == 0)), sign, jnp.where(empty, 1, 0)).astype(jnp.int8)


@jax.jit
def _far(c: Array, alike: Array) -> Array:
    """How many of the LIMITS each pair keeps, by its |c| in the first layer; -1 of those that are alike."""
    size = jnp.abs(c[: alike.shape[0], : alike.shape[1]])
    kept = sum((size <= limit).astype(jnp.int8) for limit in LIMITS)
    return jnp.where(alike == 0, kept, -1).astype(jnp.int8)


@partial(jax.jit, static_argnames="same")
def _reach(c: Array, far: Array, same: bool) -> Array:
    """The largest |c| of pairs that keep each of the LIMITS (K,)."""
    size = jnp.abs(c[: far.shape[0], : far.shape[1]])
    size = jnp.triu(size) if same else size
    return jnp.stack([jnp.max(jnp.where(far > k, size, 0.0)) for k in range(len(LIMITS))])


def _repeated(own: ndarray, chi: float, count: int) -> ndarray:
    for _ in range(count):
        own = 1.0 + chi * own
    return own


def _own(own: ndarray, held: Layers, first: int, count: int) -> ndarray:
    """K(x, x)/q after ``count`` layers from the ``first`` of those held."""
    with np.errstate(over="ignore"):
        for level in range(first, first + count):
            own = 1.0 - np.asarray(held.rest[level, 1], float) ** 2 + np.asarray(held.slopes[level]) * own
    return own


@partial(jax.jit, static_argnames="same")
def _whole(c: Array, kappa: Array, alike: Array, own: Array, same: bool) -> State:
    """Both halves of the matrices, and pairs of one input as exact as it is."""
    (n, m), each = alike.shape, []
    for part, exact in ((c, jnp.ones_like(own)), (kappa, own)):
        part = part[:n, :m]
        # not as a choice between the two: of a power of two of rows that takes the compiler minutes, and then the stack
        part = jnp.triu(part) + jnp.triu(part, 1).T if same else part
        each.append(jnp.where(alike == 0, part, (alike * exact[:, None]).astype(part.dtype)))
    return each[0], each[1]
