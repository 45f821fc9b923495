"""The kernel as a function of one number: one table per activation and variance, then a scan over depth.

At a variance fixed point (and for a positively homogeneous phi with sigma_b = 0 at any variance) one layer sees two
inputs through delta = 1 - c alone. Both things a layer needs come from one function of delta, the slope gap
g(delta) = E[phi'(u)^2] - E[phi'(u) phi'(v)]:

    qdot = sigma_w^2 (E[phi'^2] - g(delta)),     delta' = delta sigma_w^2 (E[phi'^2] - r(delta)),

with r(delta) the mean of g over [0, delta], because d E[phi phi]/dc = q E[phi' phi']. Tabulating g and integrating
the table keeps the two consistent to rounding, which is what a scan over 10^7 layers is sensitive to.
"""

from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.polynomial import Chebyshev

from ntk_eoc.activations import Activation
from ntk_eoc.errors import Scalar, require_x64
from ntk_eoc.gaussian import second_moment, slope_gap
from ntk_eoc.regularity import first_kink

DEGREE = 24  # of the Chebyshev series on one panel of angles
ON_THE_EDGE = 1e-12  # |chi - 1| up to which a scan is run at chi = 1 exactly
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

    >>> from ntk_eoc.activations import NAMED
    >>> table(NAMED["relu"], 1.0).slopes
    0.5
    """
    require_x64()
    variance = jnp.array(float(q))
    slopes = float(second_moment(act, variance, 1))
    edges = _edges(act, q)
    smooth = act.slopes is not None and act.slopes[0] == act.slopes[1]
    power = 3 if smooth else 1 if first_kink(act, 1) else 2
    unit = np.asarray(np.polynomial.chebyshev.chebpts1(DEGREE), dtype=float)
    inner_s = np.sin(edges[0] / 2) * 0.5 * (1 + np.polynomial.chebyshev.chebpts1(SERIES))
    theta = 0.5 * (edges[1:] + edges[:-1])[:, None] + 0.5 * np.diff(edges)[:, None] * unit
    s = np.concatenate([inner_s, np.sin(theta / 2).ravel()])
    delta, order = 2 * s * s, np.argsort(s)
    g = np.empty_like(delta)
    for some in np.split(order, [np.searchsorted(delta[order], 1e-4)]):  # close pairs take a dearer rule
        g[some] = np.asarray(slope_gap(act, variance, jnp.asarray(delta[some])))
    inner = _inner_series(inner_s, g[:SERIES], np.sin(edges[0] / 2), power)
    outer, integral = (
        [],
        _series_mean(inner, power, 1.0, np.sin(edges[0] / 2)) * 2 * np.sin(edges[0] / 2) ** 2,
    )
    for angles, row, low, high in zip(theta, g[SERIES:].reshape(theta.shape), edges[:-1], edges[1:], strict=True):
        domain = [low, high]
        mass = Chebyshev.fit(angles, row * np.sin(angles), DEGREE - 1, domain=domain).integ(lbnd=low)
        mean = (integral + mass(angles)) / (2 * np.sin(angles / 2) ** 2)
        fits = [Chebyshev.fit(angles, values, DEGREE - 1, domain=domain).coef for values in (mean, row)]
        outer.append(np.stack(fits, axis=-1))
        integral += mass(high)
    return Table(edges, np.array(outer), inner, slopes, power)


def _edges(act: Activation, q: Scalar) -> np.ndarray:
    """Panels that halve towards theta = 0 until nothing of the activation is left to resolve, and towards pi too."""
    kinks = np.array(sorted({0.0, *act.kinks})) if act.slopes is None else np.zeros(1)
    closest = np.diff(kinks).min(initial=2.0)
    halvings = 6 if act.slopes else 6 + int(np.ceil(max(0.0, np.log2(np.sqrt(2 * q) * 2.0 / closest))))
    down = np.pi * 0.5 ** np.arange(halvings, 0, -1)
    return np.concatenate([down, np.pi - down[-2::-1][: max(1, halvings - 5)], [np.pi]])


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
    return _look_up(tab.power, _arrays(tab), s)


def _arrays(tab: Table) -> tuple[Array, Array, Array]:
    return jnp.asarray(tab.edges), jnp.asarray(tab.outer), jnp.asarray(tab.inner)


def _look_up(power: int, arrays: tuple[Array, Array, Array], s: Array) -> tuple[Array, Array]:
    edges, outer, inner = arrays
    x = jnp.minimum(s / jnp.sin(edges[0] / 2), 1.0)
    mean, value = jnp.zeros_like(s), jnp.zeros_like(s)
    for k in range(SERIES - 1, -1, -1):
        mean = mean * x + inner[k]
        value = value * x + inner[k] * (1 + 0.5 * (power + k))
    theta = 2.0 * jnp.arcsin(jnp.clip(s, 0.0, 1.0))
    panel = jnp.sum(theta[..., None] > edges[1:-1], axis=-1)
    low, high = edges[panel], edges[panel + 1]
    far = _clenshaw(outer[panel], ((2 * theta - low - high) / (high - low))[..., None])
    inside = theta < edges[0]
    return (
        jnp.where(inside, mean * s**power, far[..., 0]),
        jnp.where(inside, value * s**power, far[..., 1]),
    )


def _clenshaw(coefficients: Array, x: Array) -> Array:
    last = before = jnp.zeros_like(coefficients[..., 0, :])
    for k in range(DEGREE - 1, 0, -1):
        last, before = coefficients[..., k, :] + 2 * x * last - before, last
    return coefficients[..., 0, :] + x * last - before


class Layer(NamedTuple):
    """One layer at a fixed correlation geometry, in units of the current variance q^l:

    delta' = delta (chi - scale r),  kappa' = (chi - scale g) kappa + share - delta' + (1 - share) delta,

    with kappa = K/q. A dense layer at a variance fixed point has scale = sigma_w^2, share = 1. A homogeneous phi
    without bias is brought to chi = 1 by dividing by the growth of q per layer, exp(``log_growth``); with a
    residual connection share = s/(1 + s), the branch's part of the variance, s = sigma_w^2 E[phi'^2].
    """

    chi: float
    scale: float
    share: float
    log_growth: float


def homogeneous_layer(tab: Table, sigma_w: Scalar, architecture: str = "ffnn") -> Layer:
    """The Layer of a positively homogeneous phi without bias, in units of its own variance, where chi = 1.

    A residual branch takes the share s/(1 + s) of the next variance, and damps what one layer does by as much.

    >>> from ntk_eoc.activations import NAMED
    >>> layer = homogeneous_layer(table(NAMED["relu"], 1.0), 2**0.5, "residual")
    >>> round(layer.share, 12), round(layer.log_growth / float(np.log(2)), 12)
    (0.5, 1.0)
    """
    slope = float(sigma_w) ** 2 * tab.slopes
    slope = 1.0 if abs(slope - 1.0) <= ON_THE_EDGE else slope
    growth = 1.0 + slope if architecture == "residual" else slope
    share = slope / growth if architecture == "residual" else 1.0
    return Layer(1.0, float(sigma_w) ** 2 / growth, share, float(np.log(growth)))


class DepthScan(NamedTuple):
    """Kernels of one pair of inputs at some depths L, each an array like ``depth``.

    ``delta`` = 1 - correlation of the outputs; ``kappa`` = K^L/q^L; ``deviation`` = what is left of kappa after its
    limiting behaviour, without cancellation: kappa - limit * share * L on the Edge of Chaos, kappa - 1/(1 - chi)
    in the ordered phase, kappa in the chaotic phase; ``log_scale`` = log(q^L/q^1).
    """

    depth: np.ndarray
    delta: np.ndarray
    kappa: np.ndarray
    deviation: np.ndarray
    log_scale: np.ndarray


def eoc_limit(tab: Table) -> float:
    """lim K^L/(L q) off the diagonal, on the Edge of Chaos: 1/4 where phi has a kink, 1/3 where it has none (0 for
    a linear phi, whose correlations never move and for which there is no common limit)."""
    return {1: 0.25, 2: 1.0 / 3.0, 3: 0.0}[tab.power]


def depth_scan(
    tab: Table, layer: Layer, delta: Scalar, depths: np.ndarray, *, start: int = 1, kappa: Scalar | None = None
) -> DepthScan:
    """Iterate one pair from layer ``start``, where 1 - correlation is ``delta``, to each of the sorted ``depths``.

    ``kappa`` is K/q there, 1 - delta by default (the first layer's). Cost: about 0.4 microseconds a layer. delta is
    carried as s = sqrt(delta/2) and both carried sums are compensated, so the rounding of 10^7 steps does not add
    up.

    >>> from ntk_eoc.activations import NAMED
    >>> tab = table(NAMED["relu"], 1.0)
    >>> scan = depth_scan(tab, Layer(1.0, 2.0, 1.0, 0.0), 1.0, np.array([1, 2]))
    >>> round(float(scan.kappa[1]), 12) == round(1 / np.pi, 12)
    True
    """
    depths = np.asarray(depths, dtype=np.int64)
    constant, slope = _line(tab, layer)
    first = 1.0 - delta if kappa is None else kappa
    state = (np.sqrt(0.5 * delta), 0.0, first - constant - slope * start, 0.0, float(start))
    # what the source and the reference line leave over where delta = 0: nothing in the ordered phase
    left_over = layer.share - slope if layer.chi >= 1.0 else 0.0
    scalars = (layer.chi, layer.scale, layer.share, constant, slope, left_over)
    steps = jnp.asarray(np.diff(np.concatenate([[start], depths])))
    s, rest = (np.asarray(a) for a in _scan(tab.power, _arrays(tab), scalars, state, steps))
    return DepthScan(depths, 2 * s * s, constant + slope * depths + rest, rest, layer.log_growth * (depths - 1.0))


def _line(tab: Table, layer: Layer) -> tuple[float, float]:
    """(constant, slope) of the straight line in L that kappa is compared with."""
    if layer.chi == 1.0:
        return 0.0, eoc_limit(tab) * layer.share
    return (1.0 / (1.0 - layer.chi), 0.0) if layer.chi < 1.0 else (0.0, 0.0)


@partial(jax.jit, static_argnums=0)
def _scan(power: int, arrays: tuple, scalars: tuple, state: tuple, steps: Array) -> tuple[Array, Array]:
    chi, scale, share, constant, slope, left_over = scalars

    def one(_: Array, state: tuple) -> tuple:
        s, s_low, rest, rest_low, level = state
        r, g = _look_up(power, arrays, s)
        turn = chi - 1.0 - scale * r
        new_s, s_low = _add(s, s_low, s * turn / (1.0 + jnp.sqrt(1.0 + turn)))
        drift = left_over - 2 * new_s * new_s + (1.0 - share) * 2 * s * s - scale * g * (constant + slope * level)
        rest, rest_low = _add(rest, rest_low, drift + (chi - 1.0 - scale * g) * rest)
        return new_s, s_low, rest, rest_low, level + 1.0

    def segment(state: tuple, count: Array) -> tuple[tuple, tuple[Array, Array]]:
        state = jax.lax.fori_loop(0, count, one, state)
        return state, (state[0], state[2])

    state = tuple(jnp.asarray(part, dtype=float) for part in state)
    return jax.lax.scan(segment, state, steps)[1]


def _add(high: Array, low: Array, term: Array) -> tuple[Array, Array]:
    """Compensated summation: high + low + term, with the rounding error carried in the new low."""
    term = term + low
    total = high + term
    return total, term - (total - high)
