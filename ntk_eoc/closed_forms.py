"""Gaussian expectations in closed form: ReLU-like (Cho and Saul 2009), erf (Williams 1997) and sine networks, and the
slope gap of GELU.

Every form takes ``delta = 1 - c`` and never subtracts from one, so nearly equal inputs keep their digits.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ntk_eoc.activations import NAMED, Activation


class ClosedForm(NamedTuple):
    """Expectations over (u, v) ~ N(0, [[q1, r], [r, q2]]) with r = sqrt(q1 q2)(1 - delta), elementwise in arrays.

    ``moment(q, order)`` is E[phi^(order)(u)^2] for order < ``orders``; ``gap(q1, q2, delta)`` is
    1 - E[phi(u) phi(v)] / sqrt(E[phi(u)^2] E[phi(v)^2]); ``slope_product(q1, q2, delta)`` is
    E[phi'(u) phi'(v)]; ``slope_gap(q, delta)`` is E[phi'(u)^2] - E[phi'(u) phi'(v)] for q1 = q2 = q.
    """

    moment: Callable[[Array, int], Array]
    gap: Callable[[Array, Array, Array], Array]
    slope_product: Callable[[Array, Array, Array], Array]
    slope_gap: Callable[[Array, Array], Array]
    orders: float = 2


def closed_form(act: Activation) -> ClosedForm | None:
    """The closed forms of ``act``, or None where there are none and quadrature serves.

    >>> closed_form(NAMED["tanh"]) is None
    True
    """
    if act.slopes is not None:
        return _relu_like(*act.slopes)
    if act.phi is NAMED["erf"].phi:
        return ClosedForm(_erf_moment, _erf_gap, _erf_slope_product, _erf_slope_gap)
    if act.phi is NAMED["sin"].phi:
        return ClosedForm(_sin_moment, _sin_gap, _sin_slope_product, _sin_slope_gap, math.inf)
    return None


def slope_gap_form(act: Activation) -> Callable[[Array, Array], Array] | None:
    """``ClosedForm.slope_gap`` of ``act``, of which there is one more than there are whole ClosedForms; or None."""
    form = closed_form(act)
    if form is not None:
        return form.slope_gap
    return _gelu_slope_gap if act.phi is NAMED["gelu"].phi else None


def angle(delta: Array) -> Array:
    """theta = arccos(1 - delta), exact to rounding however small delta is."""
    return 2.0 * jnp.arcsin(jnp.sqrt(jnp.clip(0.5 * delta, 0.0, 1.0)))


def sin_minus_theta_cos(theta: Array) -> Array:
    """sin(theta) - theta cos(theta) for theta in [0, pi], to full relative accuracy near 0."""
    t2 = theta * theta
    series = jnp.zeros_like(theta)
    for n in range(11, 0, -1):  # sum over n >= 1 of (-1)^(n+1) 2n theta^(2n+1)/(2n+1)!
        series = (-1.0) ** (n + 1) * 2 * n / math.factorial(2 * n + 1) + t2 * series
    return jnp.where(theta < 1.5, theta * t2 * series, jnp.sin(theta) - theta * jnp.cos(theta))


def _relu_like(right: float, left: float) -> ClosedForm:
    # phi(x) = even |x| + odd x; E|u||v| is the order-1 arc-cosine kernel, E[u |v|] = 0.
    even, odd = 0.5 * (right - left), 0.5 * (right + left)
    power = even**2 + odd**2
    share = 2.0 * even**2 / (math.pi * power) if power else 0.0

    def moment(q: Array, order: int) -> Array:
        return power * (q if order == 0 else jnp.ones_like(q))

    def gap(q1: Array, q2: Array, delta: Array) -> Array:
        return delta - share * sin_minus_theta_cos(angle(delta))

    def slope_product(q1: Array, q2: Array, delta: Array) -> Array:
        return power * (1.0 - share * angle(delta))

    def slope_gap(q: Array, delta: Array) -> Array:
        return power * share * angle(delta)

    return ClosedForm(moment, gap, slope_product, slope_gap)


def _unequal(spread: Array, gap: Array) -> Array:
    """1 - exp(-spread)(1 - gap): the gap at the mean argument, lowered by what unequal variances cost."""
    return -jnp.expm1(-spread) + jnp.exp(-spread) * gap


def _second_difference(direct: Array, step: Array, reach: Array | float, curvature: Callable[[Array], Array]) -> Array:
    """(F(t1) + F(t2))/2 - F((t1 + t2)/2) for step = t1 - t2, without cancellation for |step| below ``reach``:
    step^2/8 times the mean of F'' with a triangular weight, of which ``curvature(s)`` = F''((t1 + t2)/2 + s)."""
    small = jnp.where(jnp.abs(step) < reach, step, 0.0)
    side = 0.5 * math.sqrt(0.4) * small  # the three-point Gauss rule of the triangular weight
    mean = (7.0 * curvature(jnp.zeros_like(side)) + 2.5 * (curvature(side) + curvature(-side))) / 12.0
    return jnp.where(jnp.abs(step) < reach, mean * small**2 / 8.0, direct)


def _erf_argument(q: Array) -> Array:
    return 2.0 * q / (1.0 + 2.0 * q)


def _erf_moment(q: Array, order: int) -> Array:
    if order == 0:  # arcsin(2q/(1+2q)) as an arctangent, which keeps its digits for large q
        return (2.0 / math.pi) * jnp.arctan2(2.0 * q, jnp.sqrt(1.0 + 4.0 * q))
    return (4.0 / math.pi) / jnp.sqrt(1.0 + 4.0 * q)


def _erf_gap(q1: Array, q2: Array, delta: Array) -> Array:
    tiny = 1e-290
    x1, x2 = jnp.maximum(_erf_argument(q1), tiny), jnp.maximum(_erf_argument(q2), tiny)
    x = jnp.sqrt(x1) * jnp.sqrt(x2)
    # 1 - x^2 without cancellation: (1 + 2 q1 + 2 q2)/((1 + 2 q1)(1 + 2 q2)) where x^2 = x1 x2
    rest = (1.0 + 2.0 * (q1 + q2)) / ((1.0 + 2.0 * q1) * (1.0 + 2.0 * q2))
    top = jnp.arctan2(x, jnp.sqrt(rest))

    def curvature(shift: Array) -> Array:  # of log arcsin in log x
        moved, left = x * jnp.exp(shift), rest - x * x * jnp.expm1(2.0 * shift)
        slope = moved / (jnp.sqrt(left) * jnp.arctan2(moved, jnp.sqrt(left)))
        return slope * (1.0 / left - slope)

    step = jnp.log1p((q1 - q2) / (jnp.maximum(q2, tiny) * (1.0 + 2.0 * q1)))  # log(x1/x2)
    half = 0.5 * (_log_arcsin(x1, 1.0 + 4.0 * q1, q1) + _log_arcsin(x2, 1.0 + 4.0 * q2, q2))
    # log arcsin turns within a distance of order ``rest`` from x = 1
    spread = _second_difference(half - jnp.log(top), step, 0.02 * rest, curvature)
    return _unequal(jnp.maximum(spread, 0.0), _arcsin_difference(x, rest, delta) / top)


def _log_arcsin(x: Array, root2: Array, q: Array) -> Array:
    return jnp.log(jnp.arctan2(x, jnp.sqrt(root2) / (1.0 + 2.0 * q)))


def _arcsin_difference(x: Array, rest: Array, delta: Array) -> Array:
    """arcsin(x) - arcsin(x (1 - delta)) with rest = 1 - x^2: as one arctangent, without cancellation."""
    y = x * (1.0 - delta)
    other = rest + x * x * delta * (2.0 - delta)  # 1 - y^2
    root_x, root_y = jnp.sqrt(rest), jnp.sqrt(other)
    # sin of the difference is x root_y - y root_x = (x^2 - y^2)/(x root_y + y root_x) where both terms are positive
    stable = x * delta * (2.0 - delta) / jnp.where(y > 0, root_y + (1.0 - delta) * root_x, 1.0)
    sine = jnp.where(y > 0, stable, x * root_y - y * root_x)
    return jnp.arctan2(sine, root_x * root_y + x * y)


def _erf_slope_product(q1: Array, q2: Array, delta: Array) -> Array:
    return (4.0 / math.pi) / jnp.sqrt(1.0 + 2.0 * (q1 + q2) + 4.0 * q1 * q2 * delta * (2.0 - delta))


def _erf_slope_gap(q: Array, delta: Array) -> Array:
    small = 1.0 + 4.0 * q
    extra = 4.0 * q * q * delta * (2.0 - delta)
    a, b = jnp.sqrt(small), jnp.sqrt(small + extra)
    return (4.0 / math.pi) * extra / (a * b * (a + b))


def _sin_moment(q: Array, order: int) -> Array:
    return -0.5 * jnp.expm1(-2.0 * q) if order % 2 == 0 else 0.5 * (1.0 + jnp.exp(-2.0 * q))


def _sin_gap(q1: Array, q2: Array, delta: Array) -> Array:
    tiny = 1e-290
    q1, q2 = jnp.maximum(q1, tiny), jnp.maximum(q2, tiny)
    q = jnp.sqrt(q1) * jnp.sqrt(q2)
    tail, tail1, tail2 = (-jnp.expm1(-2.0 * p) for p in (q, q1, q2))
    direct = 0.5 * (jnp.sqrt(q1) - jnp.sqrt(q2)) ** 2 + 0.5 * jnp.log(tail1) + 0.5 * jnp.log(tail2) - jnp.log(tail)

    def curvature(shift: Array) -> Array:  # of log sinh q in log q
        p = q * jnp.exp(shift)
        end = -jnp.expm1(-2.0 * p)
        return p * (2.0 - end) / end - (2.0 * p * jnp.exp(-p) / end) ** 2

    spread = jnp.maximum(_second_difference(direct, jnp.log1p((q1 - q2) / q2), 0.05, curvature), 0.0)
    # 1 - sinh(q c)/sinh(q) = 2 cosh(q (1 - delta/2)) sinh(q delta/2)/sinh(q), each factor scaled by exponentials
    equal = (1.0 + jnp.exp(-q * (2.0 - delta))) * -jnp.expm1(-q * delta) / tail
    return _unequal(spread, equal)


def _sin_slope_product(q1: Array, q2: Array, delta: Array) -> Array:
    root1, root2 = jnp.sqrt(q1), jnp.sqrt(q2)
    near = jnp.exp(-0.5 * (root1 - root2) ** 2 - root1 * root2 * delta)
    far = jnp.exp(-0.5 * (root1 + root2) ** 2 + root1 * root2 * delta)
    return 0.5 * (near + far)


def _sin_slope_gap(q: Array, delta: Array) -> Array:
    return -0.5 * jnp.expm1(-q * delta) * -jnp.expm1(-q * (2.0 - delta))


@jax.jit
def _gelu_slope_gap(q: Array, delta: Array) -> Array:
    """With s = 1 + q, r = s sin(a) and D = s^2 - r^2, where (u, v) has covariance r, Price's theorem gives

        2 pi d E[phi'(u) phi'(v)]/dr = D^(-1/2) + 2 s D^(-3/2) + (s^2 + 2 r^2) D^(-5/2),

    whose integral is a + (2/s + 1/s^2) tan a + tan(a)^3/s^2; of it, the difference between r = q and (1 - delta) q.
    """
    s, r = 1.0 + q, q * (1.0 - delta)
    root, other = jnp.sqrt(1.0 + 2.0 * q), jnp.sqrt((1.0 + q * delta) * (1.0 + q * (2.0 - delta)))  # s cos(a)
    half = q * delta / (root + other)  # tan of half the angle between them
    tan, tan_other = q / root, r / other
    apart = 2.0 * half / (1.0 + half * half) * (s / root) * (s / other)  # tan - tan_other
    cubes = apart * (tan * tan + tan * tan_other + tan_other * tan_other)
    return (2.0 * jnp.arctan(half) + (2.0 + 1.0 / s) / s * apart + cubes / s**2) / (2.0 * math.pi)
