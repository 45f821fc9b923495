"""Gaussian expectations of an activation, at one point and at a pair of points, by composite Gauss-Legendre panels.

Panels are split at the kinks of the activation, so the rule converges as for a smooth function. What two nearly
equal inputs need is a difference, phi(u) - phi(v), and it is computed as one: nothing subtracts from one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ntk_eoc.activations import Activation, Function, derivative
from ntk_eoc.closed_forms import closed_form, slope_gap_form
from ntk_eoc.errors import deltas, require_x64, variances
from ntk_eoc.panels import SCALE, STEPS, TAIL, Rule, choose_rule, normal_rule

TINY = 1e-140  # stands for a standard deviation of 0: expectations are their limits there

_SHORT, _SHORT_WEIGHTS = np.array([[0.5], [0.5]]) * (np.array(np.polynomial.legendre.leggauss(6)) + [[1.0], [0.0]])


def expectation(
    fn: Function, q: Float[Array, "*batch"], kinks: tuple[float, ...] = (), *, halved: bool = False
) -> Float[Array, "*batch"]:
    """E[fn(sqrt(q) Z)] for a standard normal Z and a *variance* q >= 0, elementwise in q.

    Relative error against mpmath: at most 1e-12 for the squares of every named activation and of its first two
    derivatives, q from 1e-4 to 1e3. A function that varies faster than tanh does (sin at q > 30, say) gets fewer
    digits; the sine's own expectations are taken in closed form instead. ``kinks`` are where fn is not smooth;
    ``halved`` panels show how many digits there are. Requires float64 (``RuntimeError``).

    >>> float(expectation(lambda x: x**2, jnp.array(0.7)).round(12))
    0.7
    """
    require_x64()

    def one(variance: Array) -> Array:
        root = jnp.maximum(jnp.sqrt(variance), TINY)
        z, weight = normal_rule(jnp.concatenate([STEPS, np.concatenate([SCALE, TAIL, kinks]) / root]), halved)
        return jnp.sum(weight * fn(root * z))

    q = variances("q", q)
    return jax.vmap(one)(q.ravel()).reshape(q.shape) if q.ndim else one(q)


def second_moment(act: Activation, q: Float[Array, "*batch"], order: int = 0) -> Float[Array, "*batch"]:
    """E[phi^(order)(sqrt(q) Z)^2] for the variance q: in closed form where there is one, by panels elsewhere.

    Jumps carry no mass: for ReLU, order 2 is 0.

    >>> from ntk_eoc.activations import NAMED
    >>> float(second_moment(NAMED["relu"], jnp.array(3.0)))
    1.5
    """
    require_x64()
    q, form = variances("q", q), closed_form(act)
    if form is not None and order < form.orders:
        return form.moment(q, order)
    return second_moment_by_panels(act, q, order)


def second_moment_by_panels(act: Activation, q: Float[Array, "*batch"], order: int = 0) -> Float[Array, "*batch"]:
    """``second_moment`` by quadrature whatever the activation: the closed forms' witness."""
    require_x64()
    return _squares(act, variances("q", q), order)


@partial(jax.jit, static_argnums=(0, 2))
def _squares(act: Activation, q: Array, order: int) -> Array:
    fn = derivative(act, order)
    return expectation(lambda x: fn(x) ** 2, q, act.kinks)


def resolved(act: Activation, q: np.ndarray) -> np.ndarray:
    """At which variances q the panels give E[phi'^2] to nine digits: halving them changes nothing there."""
    slope = derivative(act)
    found, finer = (expectation(lambda x: slope(x) ** 2, jnp.asarray(q), act.kinks, halved=h) for h in (False, True))
    return (np.abs(np.asarray(found) / np.asarray(finer) - 1.0) <= 1e-9) | (closed_form(act) is not None)


class Pair(NamedTuple):
    """What one layer does to two pre-activations: see ``pair``."""

    gap: Array
    slope_product: Array
    slope_gap: Array


def pair(act: Activation, q1: Array, q2: Array, delta: Array, rule: Rule | None = None) -> Pair:
    """Expectations over (u, v) ~ N(0, [[q1, r], [r, q2]]), r = sqrt(q1 q2)(1 - delta), elementwise.

    ``gap`` = 1 - E[phi(u) phi(v)] / sqrt(E[phi(u)^2] E[phi(v)^2]), computed as the positive integral
    E[(phi(u)/norm - phi(v)/norm')^2] / 2, so it keeps its relative accuracy as delta tends to 0 (at equal variances;
    at unequal ones errors are about 1e-15 sqrt(gap) by panels and 1e-15 in closed form);
    ``slope_product`` = E[phi'(u) phi'(v)]; ``slope_gap`` = E[(phi'(u) - phi'(v))^2] / 2, which for q1 = q2 = q
    is E[phi'(u)^2] - E[phi'(u) phi'(v)]. q1, q2 are variances, delta is in [0, 2]. Under ``jit`` the panels are
    the dearest ones unless a ``rule`` says which are enough.

    >>> from ntk_eoc.activations import NAMED
    >>> float(pair(NAMED["identity"], jnp.array(1.0), jnp.array(1.0), jnp.array(1e-20)).gap)
    1e-20
    """
    require_x64()
    q1, q2, delta = variances("q1", q1), variances("q2", q2), deltas("delta", delta)
    if closed_form(act) is None:
        return pair_by_panels(act, q1, q2, delta, rule)
    return _pair_in_closed_form(act, *jnp.broadcast_arrays(q1, q2, delta))


@partial(jax.jit, static_argnums=0)
def _pair_in_closed_form(act: Activation, q1: Array, q2: Array, delta: Array) -> Pair:
    form = closed_form(act)
    assert form is not None
    product = form.slope_product(q1, q2, delta)
    same = form.slope_gap(q1, delta)
    mixed = 0.5 * (form.moment(q1, 1) + form.moment(q2, 1)) - product
    gap = jnp.maximum(form.gap(q1, q2, delta), 0.0)  # compiled, a zero may come out a rounding below
    return Pair(gap, product, jnp.where(q1 == q2, same, mixed))


def pair_by_panels(act: Activation, q1: Array, q2: Array, delta: Array, rule: Rule | None = None) -> Pair:
    """``pair`` by quadrature whatever the activation, one pair after another: the closed forms' witness."""
    rule = rule or choose_rule((q1, q2), delta)
    moments = [second_moment(act, q) for q in (q1, q2)]  # of what was given, not of every pair
    whole = jnp.broadcast_arrays(q1, q2, delta, *moments)
    parts = _map_pairs(act, rule, tuple(a.ravel() for a in whole))
    return Pair(*(part.reshape(whole[0].shape) for part in parts))


@partial(jax.jit, static_argnums=(0, 1))
def _map_pairs(act: Activation, rule: Rule, columns: tuple[Array, ...]) -> Pair:
    return jax.lax.map(lambda row: _pair_quadrature(act, rule, *row), columns)


def _pair_quadrature(act: Activation, rule: Rule, q1: Array, q2: Array, delta: Array, m1: Array, m2: Array) -> Pair:
    phi, slope, bend = act.phi, derivative(act), derivative(act, 2)
    norm1, norm2 = (jnp.where(m > 0, jnp.sqrt(m), 1.0) for m in (m1, m2))
    larger, step = jnp.maximum(norm1, norm2), (m2 - m1) / (norm1 + norm2)

    def integrand(u: Array, v: Array, apart: Array) -> Pair:
        # phi(u)/norm1 - phi(v)/norm2, in terms of order 1 however far apart the norms are
        lead = _difference(phi, slope, act.kinks, rule.close, u, v, apart) / larger
        lead = lead + jnp.where(norm2 > norm1, phi(u) / norm1, phi(v) / norm2) * (step / larger)
        turn = _difference(slope, bend, act.kinks, rule.close, u, v, apart)
        return Pair(0.5 * lead**2, slope(u) * slope(v), 0.5 * turn**2)

    return _pair_expectation(integrand, act.kinks, rule, q1, q2, delta)


@partial(jax.jit, static_argnums=(0, 1))
def _map_slope_gaps(act: Activation, rule: Rule, q: Array, delta: Array) -> Array:
    def integrand(u: Array, v: Array, apart: Array) -> Array:
        return 0.5 * _difference(derivative(act), derivative(act, 2), act.kinks, rule.close, u, v, apart) ** 2

    return jax.lax.map(lambda d: _pair_expectation(integrand, act.kinks, rule, q, q, d), delta)


def slope_gap(act: Activation, q: Float[Array, ""], delta: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """E[phi'(u)^2] - E[phi'(u) phi'(v)] at one variance q and many delta: what the depth tables are made of.

    By panels, a kink of phi away from 0 cannot be told apart from points closer than rounding: the relative error
    is then about 1e-16/sqrt(delta).

    >>> from ntk_eoc.activations import NAMED
    >>> float(slope_gap(NAMED["relu"], jnp.array(1.0), jnp.array([2.0]))[0])
    0.5
    """
    require_x64()
    q, delta, form = variances("q", q), deltas("delta", delta), slope_gap_form(act)
    return form(q, delta) if form else slope_gap_by_panels(act, q, delta)


def slope_gap_by_panels(act: Activation, q: Array, delta: Array) -> Array:
    """``slope_gap`` by quadrature whatever the activation: the closed forms' witness."""
    return _map_slope_gaps(act, choose_rule((q,), delta), q, delta.ravel()).reshape(delta.shape)


def _pair_expectation(
    integrand: Callable, kinks: tuple[float, ...], rule: Rule, q1: Array, q2: Array, delta: Array
) -> Any:
    """E[integrand(u, v, u - v)] over one correlated pair.

    u = sqrt(q1)(B x + S y), v = +-sqrt(q2)(B x - S y) with B >= S: for fixed y the kinks of phi(u) and phi(v)
    are points in x, and the integral over x is smooth in y but where two of those points meet. Where the rule halves
    an axis, exchanging u and v mirrors it.
    """
    near, far = (jnp.sqrt(jnp.maximum(part, 0.0)) for part in (1.0 - 0.5 * delta, 0.5 * delta))
    big, small = jnp.maximum(near, far), jnp.minimum(near, far)
    floor = jnp.maximum(small, TINY)
    sign = jnp.where(delta > 1.0, -1.0, 1.0)
    root1, root2 = jnp.maximum(jnp.sqrt(q1), TINY), jnp.maximum(jnp.sqrt(q2), TINY)
    marks, points = (jnp.asarray(np.array(part)) for part in ([*rule.marks, *kinks], sorted({0.0, *kinks})))
    first, second = (axis.ravel() for axis in np.indices((points.size, points.size)))
    if rule.half:  # the other pairs of kinks meet at the mirror images
        first, second = first[first <= second], second[first <= second]
    meet = (points[first] / root1 - sign * points[second] / root2) / (2.0 * floor)
    spread = jnp.asarray(np.array(rule.marks)) * 0.5 * (1.0 / root1 + 1.0 / root2) / floor
    outer, outer_weight = _axis(rule, "y", [meet, spread])

    def inner(y: Array) -> Any:
        breaks = [(marks / root1 - small * y) / big, (sign * marks / root2 + small * y) / big]
        x, weight = _axis(rule, "x", breaks[:1] if rule.half == "x" else breaks)
        u = root1 * (big * x + small * y)
        v = sign * root2 * (big * x - small * y)
        # u - v from what it is made of: for c >= 0 the large parts cancel by algebra, not by rounding
        apart = jnp.where(sign > 0, (root1 - root2) * big * x + (root1 + root2) * small * y, u - v)
        return jax.tree.map(lambda part: jnp.sum(weight * part), integrand(u, v, apart))

    parts = jax.lax.map(inner, outer, batch_size=64)
    return jax.tree.map(lambda part: jnp.sum(outer_weight * part), parts)


def _axis(rule: Rule, name: str, breaks: list[Array]) -> tuple[Array, Array]:
    """Nodes and weights along the axis ``name``; if the rule halves it, those of the positive half, twice as heavy."""
    steps = np.array(rule.steps)
    if rule.half != name:
        return normal_rule(jnp.concatenate([steps, *breaks]))
    node, weight = normal_rule(jnp.concatenate([steps[steps >= 0], *(jnp.abs(part) for part in breaks)]))
    return node, 2.0 * weight


def _difference(
    fn: Function, slope: Function, kinks: tuple[float, ...], close: bool, u: Array, v: Array, apart: Array
) -> Array:
    """fn(u) - fn(v) with apart = u - v: for close points on one side of all kinks, the integral of the slope."""
    if not close:
        return fn(u) - fn(v)
    between = jnp.zeros(u.shape, dtype=bool)
    for kink in kinks:
        between = between | ((u > kink) != (v > kink))
    near = (jnp.abs(apart) < 0.4) & ~between
    mean_slope = sum(w * slope(v + p * apart) for p, w in zip(_SHORT, _SHORT_WEIGHTS, strict=True))
    return jnp.where(near, apart * mean_slope, fn(u) - fn(v))
