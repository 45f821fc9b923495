"""Signal propagation at infinite width: variance and correlation maps, their fixed points, the Edge of Chaos.

Section 3.1 and the start of Section 4 of the paper. The maps are JAX functions; the searches for fixed points run
on the host, are bracketed, and either return a root with a tiny residual or say that they did not converge.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.optimize import brentq

from ntk_eoc.activations import Activation
from ntk_eoc.errors import LARGEST, Scalar, check_nonnegative, check_positive, check_sigma, require_x64
from ntk_eoc.gaussian import TINY, pair, resolved, second_moment
from ntk_eoc.maps import chi as chi
from ntk_eoc.maps import correlation_map as correlation_map
from ntk_eoc.maps import variance_map as variance_map
from ntk_eoc.maps import variance_slope as variance_slope
from ntk_eoc.rays import correlation_limit, far, near

ON_THE_EDGE = 1e-8  # |chi - 1| up to which (sigma_b, sigma_w) is said to lie on the Edge of Chaos
SEARCH = (1e-8, 1e8)  # variances between which Edge-of-Chaos points are searched for
CLOSE = 1e-17  # 1 - c* is looked for down to it; on the Edge of Chaos, within ON_THE_EDGE, it would be smaller
FAR = 1e12  # a variance that grows past this is said to diverge
LEAST = 1e-270  # a variance whose slope is still known at a tenth of it


class EocPoint(NamedTuple):
    """A point of the Edge of Chaos. ``q`` is None where every variance is a fixed point (ReLU-like, sigma_b = 0);
    ``stable``: the variance fixed point attracts, ``variance_slope`` < 1."""

    sigma_w: float
    q: float | None
    chi: float
    variance_slope: float
    stable: bool


class Phase(NamedTuple):
    """Where (sigma_b, sigma_w) lies. ``q`` is None where the variance diverges, and where every q is a fixed point;
    ``c_star`` is the correlation that any two different inputs tend to, None if that depends on the inputs; ``xi`` is
    the depth scale of that, None if the approach is slower than exponential or there is none."""

    phase: str
    q: float | None
    chi: float
    c_star: float | None
    xi: float | None


def eoc_points(act: Activation, sigma_b: Scalar) -> list[EocPoint]:
    """Every point of the Edge of Chaos at the standard deviation ``sigma_b``, by increasing q; empty if there is none.

    sigma_w^2 = 1/E[phi'^2] and q = sigma_b^2 + E[phi^2]/E[phi'^2], both at sqrt(q) Z: the roots in q between 1e-8
    and 1e8. At sigma_b = 0 a phi with phi(0) = 0 has the degenerate point q = 0 and no other, and a positively
    homogeneous one the single point at which every q is fixed.

    >>> from ntk_eoc.activations import NAMED
    >>> [round(point.sigma_w, 6) for point in eoc_points(NAMED["tanh"], 0.2)]
    [1.304146]
    """
    require_x64()
    sigma_b = check_sigma("sigma_b", sigma_b)
    if act.slopes is not None:
        if sigma_b > 0 or not any(act.slopes):
            return []
        sigma_w = float(1.0 / jnp.sqrt(second_moment(act, jnp.array(1.0), 1)))
        return [EocPoint(sigma_w, None, 1.0, 1.0, False)]
    if sigma_b == 0 and float(act.phi(jnp.array(0.0))) == 0.0:  # phi = x psi: q E[phi'^2] - E[phi^2] = q E[(x psi')^2]
        return [point] if (point := _eoc_point(act, 0.0)) is not None else []
    grid = np.geomspace(*SEARCH, 321)
    excess = np.asarray(_eoc_excess(act, jnp.asarray(grid), sigma_b))
    good = resolved(act, grid)
    if not good.all():
        least = f"{act.name} varies too fast for the quadrature at variances from {grid[~good].min():.2g}"
        warnings.warn(f"{least}; Edge-of-Chaos points there are not looked for", stacklevel=2)
    noise = np.where(good, 1e-11, np.inf)  # neither rounding nor bad quadrature is a change of sign
    sign = np.where(np.abs(excess) < noise, 0.0, np.sign(excess))
    clear = np.flatnonzero(sign)  # next to each other but for a root on the grid itself
    crossed = [(i, j) for i, j in zip(clear[:-1], clear[1:], strict=True) if sign[i] != sign[j] and good[i:j].all()]
    roots = [_root(lambda q: _eoc_excess(act, jnp.array(q), sigma_b), grid[i], grid[j]) for i, j in crossed]
    return [point for q in roots if (point := _eoc_point(act, q)) is not None]


@partial(jax.jit, static_argnums=0)
def _eoc_excess(act: Activation, q: Array, sigma_b: Scalar) -> Array:
    return (sigma_b**2 + second_moment(act, q) / second_moment(act, q, 1)) / q - 1.0


def _eoc_point(act: Activation, q: float) -> EocPoint | None:
    slopes = float(second_moment(act, jnp.array(q), 1))
    if slopes < LARGEST**-2:  # phi is flat there, and no sigma_w makes up for it
        return None
    sigma_w = slopes**-0.5
    # at q = 0 phi is its tangent (or two half-tangents), for which the variance map is linear with slope chi
    slope = float(variance_slope(act, jnp.array(q), sigma_w=sigma_w)) if q > 0 else 1.0
    return EocPoint(sigma_w, q, float(chi(act, jnp.array(q), sigma_w=sigma_w)), slope, slope < 1.0)


def _root(fn: Callable[[float], Scalar], low: float, high: float) -> float:
    """The root of fn between two values of opposite sign, searched in the logarithm."""
    ends = np.log(low), np.log(high)
    t, report = brentq(lambda t: float(fn(np.exp(t))), *ends, xtol=1e-15, full_output=True, disp=False)
    if not report.converged:
        residual = float(fn(np.exp(t)))
        raise RuntimeError(f"fixed point: no convergence after {report.iterations} steps, residual {residual:.2e}")
    return float(np.exp(t))


def limit_variance(act: Activation, *, sigma_b: Scalar, sigma_w: Scalar, q0: Scalar = 1.0) -> float:
    """The variance that q^l tends to from an input of squared norm ``q0`` per dimension; ``inf`` if it diverges.

    The variance map of a monotone activation is increasing, so the orbit runs to the next fixed point in its
    direction. ``RuntimeError``, with the residual, where the map decreases on the way and the orbit does not settle.

    >>> from ntk_eoc.activations import NAMED
    >>> round(limit_variance(NAMED["relu"], sigma_b=0.3, sigma_w=1.0), 12)
    0.18
    """
    require_x64()
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w)
    sigma_b, q0 = (sigma_b if sigma_b > TINY else 0.0), check_nonnegative("q0", q0)
    start = sigma_b**2 + sigma_w**2 * q0
    if start == 0.0:
        return float(_settle(act, 0.0, sigma_b, sigma_w)) if float(act.phi(jnp.array(0.0))) else 0.0
    excess, origin = partial(_variance_excess, act, sigma_b=sigma_b, sigma_w=sigma_w), start
    start = max(start, LEAST)  # whatever is smaller goes where it does
    first = float(excess(jnp.array(start)))
    if abs(first) < 1e-14:
        return origin
    end = max(FAR, 10 * start) if first > 0 else min(1e-12, 0.1 * start) if sigma_b == 0 else 0.5 * sigma_b**2
    path = np.geomspace(start, end, 241)
    values = np.asarray(excess(jnp.asarray(path)))
    slopes = np.asarray(variance_slope(act, jnp.asarray(path), sigma_w=sigma_w))
    crossed = np.flatnonzero(values <= 0 if first > 0 else values >= 0)
    if (slopes[: crossed[0] + 1 if crossed.size else None] < -1e-12).any():
        return float(_settle(act, start, sigma_b, sigma_w))
    if not crossed.size:
        return float("inf") if first > 0 else 0.0
    i = crossed[0]
    return _root(lambda q: excess(jnp.array(q)), path[i - 1], path[i])


@partial(jax.jit, static_argnums=0)
def _variance_excess(act: Activation, q: Array, sigma_b: Scalar, sigma_w: Scalar) -> Array:
    return variance_map(act, q, sigma_b=sigma_b, sigma_w=sigma_w) / q - 1.0


def _settle(act: Activation, q: Scalar, sigma_b: Scalar, sigma_w: Scalar, steps: int = 2000) -> float:
    step = jax.jit(lambda q: variance_map(act, q, sigma_b=sigma_b, sigma_w=sigma_w))
    for _ in range(steps):
        last, q = q, float(step(jnp.array(q)))
        if abs(q - last) <= 1e-14 * q:
            return q
    raise RuntimeError(f"variance: no convergence after {steps} layers, residual {abs(q - last):.2e}")


def phase(act: Activation, *, sigma_b: Scalar, sigma_w: Scalar) -> Phase:
    """The phase of (sigma_b, sigma_w), two standard deviations, for inputs of squared norm 1 per dimension.

    Ordered, eoc or chaotic as chi is below, at (within 1e-8) or above 1 at the limiting variance (Sec. 4). A
    diverging variance with chi >= 1 counts as chaotic: there is no fixed point to be on the edge of.

    Where the variance dies, diverges or moves in nothing but its scale, chi is not the slope of the correlation map and
    no scale is exponential (``rays``): xi is None, and c_star 1, or None where correlations freeze wherever they are.

    >>> from ntk_eoc.activations import NAMED
    >>> phase(NAMED["relu"], sigma_b=0.0, sigma_w=1.0).phase
    'ordered'
    """
    require_x64()
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w)
    q = limit_variance(act, sigma_b=sigma_b, sigma_w=sigma_w)
    slope = float(chi(act, jnp.array(min(q, FAR)), sigma_w=sigma_w))
    edge, bare = abs(slope - 1.0) <= ON_THE_EDGE, act.slopes is not None and sigma_b == 0
    name = "eoc" if edge and (bare or np.isfinite(q)) else "ordered" if slope < 1.0 else "chaotic"
    if np.isinf(q) or (bare and edge):
        gathers = edge and sigma_b > 0 and act.slopes is not None  # the bias outgrows what the inputs brought
        return Phase(name, None, slope, 1.0 if gathers else correlation_limit(far(act)), None)
    if q == 0.0:
        return Phase(name, q, slope, correlation_limit(near(act)) if sigma_w > 0 else None, None)
    if edge or slope < 1.0:
        return Phase(name, q, slope, 1.0, None if edge else -1.0 / float(np.log(slope)) if slope > 0 else 0.0)
    delta = chaotic_delta(act, q, sigma_b=sigma_b, sigma_w=sigma_w)
    rate = sigma_w**2 * float(pair(act, jnp.array(q), jnp.array(q), jnp.array(delta)).slope_product)
    return Phase("chaotic", q, slope, 1.0 - delta, -1.0 / float(np.log(rate)) if 0 < rate < 1 else None)


def chaotic_delta(act: Activation, q: Scalar, *, sigma_b: Scalar, sigma_w: Scalar) -> float:
    """1 - c* at a fixed point q with chi > 1: the correlation c* < 1 to which any two different inputs tend.

    Raises ``ValueError`` if nearly equal inputs do not part there.

    >>> from ntk_eoc.activations import NAMED
    >>> chaotic_delta(NAMED["tanh"], 2.1214735682, sigma_b=0.0, sigma_w=2.0)
    1.0
    """
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w, positive=True)
    q = check_positive("q", q)

    def growth(delta: float) -> float:
        nxt = correlation_map(act, jnp.array(q), jnp.array(delta), sigma_b=sigma_b, sigma_w=sigma_w)
        return float(nxt) / delta - 1.0

    if not growth(CLOSE) > 0:
        raise ValueError(f"q: expected a variance at which inputs part (chi > 1), got {q:g}")
    return 1.0 if growth(1.0) > -1e-13 else _root(growth, CLOSE, 1.0)
