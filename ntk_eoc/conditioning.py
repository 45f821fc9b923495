"""How well a deep kernel tells inputs apart: the condition number of its Gram matrix on one fixed set of inputs.

The set is ``POINTS`` inputs at equal angles on a circle. The kernel of a dense network sees angles alone, so its Gram
matrix there is circulant: the eigenvalues are the cosine transform of one row,

    mu_0 = N - sum_j gap_j,    mu_m = - sum_j gap_j cos(2 pi m j/N),    gap_j = 1 - K^L(x_0, x_j)/K^L(x, x).

Gradient descent at the largest stable rate reduces the slowest mode by 1 - 2/condition in a step (Eq. 8), so the
condition number counts steps. It cannot be flattered: it is infinite for a constant kernel, which depth makes in the
ordered phase, and for a linear one, to which small weights and biases lead, because more inputs than dimensions make
that matrix singular. The spread of the off-diagonal entries alone would call the linear network the best. On the Edge
of Chaos it tends to (1 + (N - 1) l)/(1 - l), l = 1/4 or 1/3 of Proposition 2: 11/3 and 5 for eight points.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.activations import Activation
from ntk_eoc.errors import Scalar, check_depth, check_positive, check_sigma
from ntk_eoc.hermite import TERMS, applies, moments
from ntk_eoc.profile import is_odd, nngp_delta, ntk_gap, profile
from ntk_eoc.stretches import first_variance

POINTS = 8
RESOLVED = 1e-11  # an eigenvalue below it, relative to the largest gap, is rounding
SHORT = 1e-4  # what a series may leave out of f'(1): the condition is good to as much at 1000 layers


class Seen(NamedTuple):
    """A kernel on the reference set: ``gap`` = 1 - K^L(x_0, x_j)/K^L(x, x) and ``delta`` = 1 - correlation, (POINTS,);
    ``log_q`` and ``log_size``, the logarithms of q^L and K^L(x, x); ``cut``: what the series left out of f'(1) at most,
    0 by tables."""

    gap: Float64[ndarray, " N"]
    delta: Float64[ndarray, " N"]
    log_q: float
    log_size: float
    cut: float


def reference_gaps() -> Float64[ndarray, " N"]:
    """1 - cosine between the first of the reference inputs and each of them.

    >>> reference_gaps().round(3).tolist()
    [0.0, 0.293, 1.0, 1.707, 2.0, 1.707, 1.0, 0.293]
    """
    return np.asarray(2 * np.sin(np.pi * np.arange(POINTS) / POINTS) ** 2)


def condition(gap: Float64[ndarray, " N"]) -> float:
    """Largest over smallest eigenvalue of the circulant matrix with the row 1 - ``gap``; inf if that is singular.

    >>> condition(np.array([0.0, 1.0, 1.0, 1.0])), condition(2 * np.sin(np.pi * np.arange(4) / 4) ** 2)
    (1.0, inf)
    """
    n = len(gap)
    mode = np.arange(n)
    values = -gap @ np.cos(2 * np.pi * np.outer(mode, mode) / n)
    values[0] += n
    least = float(values.min())
    resolved = np.isfinite(values).all() and least > RESOLVED * float(np.abs(gap).max())
    return float(values.max()) / least if resolved else float("inf")


def by_table(act: Activation, depth: int, *, sigma_b: Scalar, sigma_w: Scalar, q0: float | None, skip: bool) -> Seen:
    """The kernel on the reference set from ``profile``, to all digits; errors are those of ``profile.profile``.

    >>> from ntk_eoc.activations import NAMED
    >>> deep = by_table(NAMED["relu"], 1000, sigma_b=0.0, sigma_w=2**0.5, q0=None, skip=False)
    >>> round(condition(deep.gap), 3)
    3.726
    """
    where = "residual" if skip else "ffnn"
    found = profile(act, [depth], sigma_b=sigma_b, sigma_w=sigma_w, q0=q0, architecture=where)
    gap, delta = ntk_gap(found, reference_gaps())[0], nngp_delta(found, reference_gaps())[0]
    return Seen(gap, delta, float(found.log_q[0]), float(found.log_diagonal[0]), 0.0)


def by_series(
    act: Activation, depth: int, *, sigma_b: Scalar, sigma_w: Scalar, q0: Scalar, skip: bool = False, held: bool = False
) -> Seen:
    """The same from Hermite series, whatever the variance does: quick, and exact for smooth activations.

    What a series of 256 terms leaves out of f(1) and f'(1) is put into one term of a higher order. ``held`` keeps the
    variance at its first value, for fixed points that would not hold it. Raises ``ValueError`` for kinks off zero, and
    where float64 cannot carry the kernel.

    >>> from ntk_eoc.activations import NAMED
    >>> found = by_series(NAMED["tanh"], 30, sigma_b=0.2, sigma_w=1.3, q0=1.0)
    >>> round(condition(found.gap), 1)
    7.0
    """
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w)
    depth, q0 = check_depth(depth), check_positive("q0", q0)
    if not applies(act):
        raise ValueError(f"activation: expected no kinks but at 0 for a series, got {act.name}")
    q = first_variance(act, sigma_b, sigma_w, q0)
    first = sigma_w**2 * q0 / q * reference_gaps()
    found = _iterate(act, skip, held, is_odd(act), depth - 1, q, sigma_b, sigma_w, jnp.asarray(first))
    after, delta, gap, _, log_kappa, cut = (np.asarray(part) for part in found)
    if not (np.isfinite(gap).all() and np.isfinite(log_kappa)):
        raise ValueError(f"depth: the kernel leaves the range of float64; expected fewer layers here, got {depth}")
    if is_odd(act) and sigma_b == 0:  # K(x, -x') = -K(x, x'), which rounding forgets
        delta, gap = (1.0 + 0.5 * (part - np.roll(part, POINTS // 2)) for part in (delta, gap))
    log_q = float(np.log(np.clip(after, 1e-300, 1e300)))
    return Seen(gap, delta, log_q, log_q + float(log_kappa), float(cut))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _iterate(
    act: Activation,
    skip: bool,
    held: bool,
    odd: bool,
    count: Scalar,
    q: Scalar,
    sigma_b: Scalar,
    sigma_w: Scalar,
    delta: Array,
) -> tuple[Array, ...]:
    """``count`` layers of (q, delta, gap, q/K(x, x), log(K(x, x)/q), what was cut)."""
    order = jnp.arange(1.0, TERMS)  # the constant term moves nothing
    present = order % 2 == 1 if odd else order > 0

    def powers(delta: Array, k: Array) -> Array:
        """1 - (1 - delta)^k without cancellation, (len(delta), len(k)); whole k."""
        c = (1.0 - delta)[:, None]
        near = -jnp.expm1(k * jnp.log1p(-jnp.minimum(delta, 0.5))[:, None])
        far = 1.0 - jnp.where(k % 2 == 1, jnp.sign(c), 1.0) * jnp.abs(c) ** k
        return jnp.where(delta[:, None] < 0.5, near, far)

    def series(q: Array) -> tuple[Array, ...]:
        found = sigma_w**2 * moments(act, q[None])[:, 0] ** jnp.where(jnp.arange(TERMS + 2) < TERMS, 2, 1)
        weights = jnp.where(present, found[1:TERMS], 0.0)
        rest = jnp.maximum(found[-2:] - jnp.stack([found[0] + weights.sum(), weights @ order]), 0.0)
        known = rest[0] > 1e-14 * found[-2]
        place = jnp.where(known, 2 * jnp.ceil(0.5 * rest[1] / jnp.where(known, rest[0], 1.0)) + 1, TERMS + 1.0)
        return weights, rest[1] / place, place, found[-2] + sigma_b**2, found[-1]

    def layer(state: tuple[Array, ...], known: tuple[Array, ...]) -> tuple[Array, ...]:
        q, delta, gap, small, log_kappa, cut = state
        weights, lump, place, added, slope = known
        kept = q if skip else 0.0
        after = added + kept
        moved = (powers(delta, order) @ weights + lump * powers(delta, place[None])[:, 0]) / after
        turned = powers(delta, order - 1.0) @ (order * weights)
        turned = (turned + lump * place * powers(delta, place[None] - 1.0)[:, 0]) / after
        new = jnp.clip(moved + kept / after * delta, 0.0, 2.0)  # chaos takes a correlation past -1 by rounding for good
        slope = (slope + kept) / after
        more = added / after * small + slope  # a layer's own parameters see its branch alone
        gap = (moved * small + (slope - turned) * gap + turned) / more
        cut = jnp.maximum(cut, lump * place / after)
        return (q if held else after), new, gap, small / more, log_kappa + jnp.log(more), cut

    start = (jnp.asarray(q, dtype=float), delta, delta, jnp.ones(()), jnp.zeros(()), jnp.zeros(()))
    once = series(start[0]) if held else None
    return jax.lax.fori_loop(0, count, lambda _, state: layer(state, once or series(state[0])), start)
