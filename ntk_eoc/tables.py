"""One layer's action on a pair of inputs as a function of their angle alone, tabulated once per (activation, variance).

Both things a layer needs come from one function of delta, the slope gap g(delta) = E[phi'(u)^2] - E[phi'(u) phi'(v)]:

    qdot = sigma_w^2 (E[phi'^2] - g(delta)),     delta' = delta sigma_w^2 (E[phi'^2] - r(delta)),

with r(delta) the mean of g over [0, delta], because d E[phi phi]/dc = q E[phi' phi']. Tabulating g and integrating
the table keeps the two consistent to rounding, which is what a scan over 10^7 layers is sensitive to.
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.polynomial import Chebyshev
from numpy.polynomial.chebyshev import chebpts1, chebvander

from ntk_eoc import bends, exponential, lines
from ntk_eoc.activations import Activation
from ntk_eoc.closed_forms import slope_gap_form
from ntk_eoc.errors import Scalar, require_x64
from ntk_eoc.gaussian import second_moment, slope_gap
from ntk_eoc.regularity import first_kink

DEGREE = 24  # of the Chebyshev series on one panel of angles
FINEST = 51  # halvings of the angle towards 0, as a variance of 1e26 asks for
FINEST_OBTUSE = 35  # towards pi, where angles have fewer digits: what is closer to pi differs by less than rounding
SERIES = 12  # of the power series in s = sin(theta/2) on the innermost panel


class Table(NamedTuple):
    """g and r of one (activation, variance), see the module's text; not scaled by sigma_w^2.

    ``edges``: panel ends in the angle theta, from the innermost one to pi; ``outer``: (panels, DEGREE, 2), the
    Chebyshev coefficients of r and g on each; ``inner``: coefficients of r = s^power sum_k inner_k (s/s_0)^k for
    angles below edges[0], where s_0 = sin(edges[0]/2); ``slopes`` = E[phi'^2]; ``power``: 1 if phi has a kink,
    2 if only its derivatives do, 3 if phi is linear.
    """

    edges: np.ndarray
    outer: np.ndarray
    inner: np.ndarray
    slopes: float
    power: int


@lru_cache(maxsize=64)
def table(act: Activation, q: Scalar) -> Table:
    """The table of (act, q); q is the variance of both pre-activations (any value does for a homogeneous phi).

    Raises ``RuntimeError`` for a variance so large, beside where phi changes, that angles do not resolve it.

    >>> from ntk_eoc.activations import NAMED
    >>> table(NAMED["relu"], 1.0).slopes
    0.5
    """
    return table_on(panels_of(act, q), act, q)


def table_on(edges: np.ndarray, act: Activation, q: Scalar) -> Table:
    """``table`` on given panels: those of q, or those of a larger variance, which are finer."""
    require_x64()
    variance = jnp.array(float(q))
    slopes = float(second_moment(act, variance, 1))
    smooth = act.slopes is not None and act.slopes[0] == act.slopes[1]
    power = 3 if smooth else 1 if first_kink(act, 1) else 2
    unit = np.asarray(chebpts1(DEGREE), dtype=float)
    to_series = np.linalg.inv(chebvander(unit, DEGREE - 1)).T
    inner_s = np.sin(edges[0] / 2) * 0.5 * (1 + chebpts1(SERIES))
    theta = 0.5 * (edges[1:] + edges[:-1])[:, None] + 0.5 * np.diff(edges)[:, None] * unit
    g = _at_nodes(act, float(q), inner_s, theta, edges)
    inner, rows = _inner_series(inner_s, g[:SERIES], np.sin(edges[0] / 2), power), g[SERIES:].reshape(theta.shape)
    innermost = _series_mean(inner, power, 1.0, np.sin(edges[0] / 2)) * 2 * np.sin(edges[0] / 2) ** 2
    mean = bends.integrals(rows * np.sin(theta), edges, innermost) / (2 * np.sin(theta / 2) ** 2)
    return Table(edges, np.stack([mean @ to_series, rows @ to_series], axis=-1), inner, slopes, power)


def _at_nodes(act: Activation, q: float, s: np.ndarray, theta: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """g at ``s`` = sin(theta/2) on the innermost panel, then at ``theta``; by a way for all of them if there is one."""
    if slope_gap_form(act) is None:
        for way in (bends, exponential):
            if way.applies(act):
                return way.slope_gaps(act, q, s, theta, edges)
        if lines.applies(act):
            return lines.slope_gaps(act, q, np.append(2 * np.arcsin(s), theta))
    return _slope_gaps(act, jnp.array(q), 2 * np.concatenate([s, np.sin(theta / 2).ravel()]) ** 2)


def _slope_gaps(act: Activation, q: Array, delta: np.ndarray) -> np.ndarray:
    g, order = np.empty_like(delta), np.argsort(delta)
    for some in np.split(order, np.searchsorted(delta[order], [1e-4, 1.0])):  # each part takes the rule that does
        g[some] = np.asarray(slope_gap(act, q, jnp.asarray(delta[some])))
    return g


def panels_of(act: Activation, q: Scalar) -> np.ndarray:
    """Panels that halve towards theta = 0 until nothing of the activation is left to resolve, and towards pi too."""
    kinks = np.array(sorted({0.0, *act.kinks})) if act.slopes is None else np.zeros(1)
    closest = np.diff(kinks).min(initial=2.0)
    halvings = 6 if act.slopes else 6 + int(np.ceil(max(0.0, np.log2(np.sqrt(2 * q) * 2.0 / closest))))
    if halvings > FINEST:
        bound = 0.5 * (2.0 ** (FINEST - 6) * 0.5 * closest) ** 2
        raise RuntimeError(
            f"table: {act.name} is not resolved in the angle at variance {q:.3g}; expected at most {bound:.3g}"
        )
    down = np.pi * 0.5 ** np.arange(halvings, 0, -1)
    return np.concatenate([down, np.pi - down[-2::-1][: max(1, min(halvings - 5, FINEST_OBTUSE))], [np.pi]])


def _inner_series(s: np.ndarray, g: np.ndarray, s_0: float, power: int) -> np.ndarray:
    """Coefficients of r/s^power from values of g: term by term, r_k = g_k/(1 + (power + k)/2)."""
    if not g.any():
        return np.zeros(SERIES)
    fit = Chebyshev.fit(s, g / s**power, SERIES - 1, domain=[0, s_0])
    series = np.asarray(fit.convert(kind=np.polynomial.Polynomial).coef, dtype=float)
    series = np.pad(series, (0, SERIES - series.size))
    order = np.arange(SERIES)
    return series * s_0**order / (1 + 0.5 * (power + order))


def _series_mean(inner: np.ndarray, power: int, x: float, s_0: float) -> float:
    return float((x * s_0) ** power * np.polynomial.polynomial.polyval(x, inner))


def look_up(tab: Table, s: Array) -> tuple[Array, Array]:
    """(r, g) of a Table at s = sin(theta/2) = sqrt(delta/2) in [0, 1], elementwise.

    >>> from ntk_eoc.activations import NAMED
    >>> r, g = look_up(table(NAMED["relu"], 1.0), jnp.array(1.0))
    >>> float(g.round(12))
    0.5
    """
    return _evaluate(tab.power, arrays_of(tab), s)


def arrays_of(tab: Table, multiple: int = 1) -> tuple[Array, Array, Array]:
    """What a compiled loop needs of a Table; with panels beyond pi, which no angle meets, up to a ``multiple`` of them:
    tables of many sizes then share a program."""
    more = -len(tab.outer) % multiple
    beyond = np.pi + np.arange(1.0, more + 1.0)
    outer = np.pad(tab.outer, [(0, more), (0, 0), (0, 0)])
    return jnp.asarray(np.append(tab.edges, beyond)), jnp.asarray(outer), jnp.asarray(tab.inner)


def evaluate(
    power: int, arrays: tuple[Array, Array, Array], s: Array, theta: Array | None = None, *, inside: bool = False
) -> tuple[Array, Array]:
    """``look_up`` for compiled loops. ``theta`` tells angles near pi apart, which s does not; ``inside`` promises that
    s lies on the innermost panel, where the power series alone is twenty times as fast."""
    edges, outer, inner = arrays
    x = jnp.minimum(s / jnp.sin(edges[0] / 2), 1.0)
    mean, value = jnp.zeros_like(s), jnp.zeros_like(s)
    for k in range(SERIES - 1, -1, -1):
        mean = mean * x + inner[k]
        value = value * x + inner[k] * (1 + 0.5 * (power + k))
    if inside:
        return mean * s**power, value * s**power
    theta = 2.0 * jnp.arcsin(jnp.clip(s, 0.0, 1.0)) if theta is None else theta
    panel = jnp.sum(theta[..., None] > edges[1:-1], axis=-1)
    low, high = edges[panel], edges[panel + 1]
    far = _clenshaw(outer[panel], ((2 * theta - low - high) / (high - low))[..., None])
    near = theta < edges[0]
    return jnp.where(near, mean * s**power, far[..., 0]), jnp.where(near, value * s**power, far[..., 1])


_evaluate = jax.jit(evaluate, static_argnums=0)  # operation by operation it takes 300 times as long


def _clenshaw(coefficients: Array, x: Array) -> Array:
    last = before = jnp.zeros_like(coefficients[..., 0, :])
    for k in range(DEGREE - 1, 0, -1):
        last, before = coefficients[..., k, :] + 2 * x * last - before, last
    return coefficients[..., 0, :] + x * last - before
