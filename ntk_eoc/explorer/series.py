"""From an activation to the few Chebyshev series from which a page computes everything else.

A layer needs the moments E[phi^2], E[phi'^2] at a variance q, and for a pair of inputs the slope gap
g = E[phi'(u)^2] - E[phi'(u) phi'(v)] and its mean r over [0, delta], as in ``ntk_eoc.tables``. With s = sqrt(q):

- moments are series in t = s/(1 + s), which reaches from no variance to an infinite one;
- the law's coefficient is made of series in log(1 + s);
- g and r are series in log(1 + s) and in w, a coordinate of the angle theta that is fine, on the scale 1/s, where u and
  v are nearly equal or nearly opposite. What is expanded is g/N, with N the way in which g vanishes with delta.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from numpy.polynomial import chebyshev

from ntk_eoc.activations import Activation
from ntk_eoc.asymptotics import coefficient, curvature_terms, kink_terms
from ntk_eoc.explorer.catalogue import Entry
from ntk_eoc.gaussian import second_moment, slope_gap
from ntk_eoc.meanfield import variance_slope
from ntk_eoc.regularity import first_kink

DEGREE_T, DEGREE_S, DEGREE_W = 64, 40, 48  # numbers of coefficients
FAR_KAPPA = 2.0  # the angle coordinate where only the slopes at infinity matter
# by the first derivative of phi that jumps: (constant, power) of coefficient = constant + y/x^power
LAWS = {1: (3 / 8, 2.0), 2: (0.0, 1.5), 3: (1 / 3, 2.0), None: (1 / 3, 2.0)}
CLOSE = 1e-4  # below this delta quadrature takes a dearer rule
_LEGENDRE, _WEIGHTS = np.polynomial.legendre.leggauss(40)
_X, _DX = 0.5 * (_LEGENDRE + 1.0), 0.5 * _WEIGHTS


class Series(NamedTuple):
    """Coefficients of one activation, all in Chebyshev polynomials scaled to their intervals.

    ``moments`` (3, n): E[phi^2]/(phi(0)^2 + q), E[phi'^2], E[x phi phi']/q in t over [0, t_max]; ``law`` (2, n): x
    and y of the law's coefficient on the Edge of Chaos, see ``LAWS``, in log(1 + s) over [0, log(1 + s_max)]; ``pair``
    (2, m, k): r/N and g/N in log(1 + s) and w over [0, 1], m = 0 for a homogeneous phi; ``far`` (2, k): the same at
    infinite q.
    """

    moments: Float64[ndarray, "3 n"]
    law: Float64[ndarray, "2 n"]
    pair: Float64[ndarray, "2 m k"]
    far: Float64[ndarray, "2 k"]


def t_max(entry: Entry) -> float:
    """The end of the moments' interval: 1 (an infinite variance) unless phi is bounded.

    >>> from ntk_eoc.explorer.catalogue import CATALOGUE
    >>> t_max(CATALOGUE["relu"])
    1.0
    """
    return 1.0 if entry.far else entry.s_max / (1.0 + entry.s_max)


def fit(values: ndarray) -> ndarray:
    """Chebyshev coefficients along the last axis from values at ``chebyshev.chebpts1``.

    >>> fit(np.asarray(chebyshev.chebpts1(3))).round(12).tolist()
    [0.0, 1.0, 0.0]
    """
    n = values.shape[-1]
    matrix = 2.0 / n * chebyshev.chebvander(chebyshev.chebpts1(n), n - 1)
    matrix[:, 0] *= 0.5
    return np.asarray(values @ matrix)


def trimmed(coefficients: ndarray) -> ndarray:
    """Without the last coefficients of every axis but the first that are only rounding, below 1e-11 of the largest.

    >>> trimmed(np.array([[1.0, 0.5, 1e-15, 0.0]])).tolist()
    [[1.0, 0.5]]
    """
    for axis in range(1, coefficients.ndim if coefficients.size else 0):
        others = tuple(k for k in range(coefficients.ndim) if k != axis)
        size = np.abs(coefficients).max(axis=others, initial=0.0)
        kept = np.flatnonzero(size > 1e-11 * size.max(initial=0.0))
        coefficients = np.take(coefficients, range(kept[-1] + 1 if kept.size else 1), axis=axis)
    return coefficients


def nodes(n: int, end: float) -> ndarray:
    """The n Chebyshev points of [0, end]."""
    return np.asarray(0.5 * end * (1.0 + chebyshev.chebpts1(n)))


def angle(w: ndarray, kappa: float) -> tuple[ndarray, ndarray]:
    """(theta, d theta/dw) of w in [0, 1]: 2 kappa-graded, from w = log((1 + kappa T)/(1 + T/kappa))/(2 log kappa)
    with T = tan(theta/2).

    >>> angle(np.array([0.5]), 3.0)[0] / np.pi
    array([0.5])
    """
    grown = np.exp(2.0 * w * np.log(kappa))
    below = kappa - grown / kappa
    tangent = np.expm1(2.0 * w * np.log(kappa)) / below
    slope = 2.0 * np.log(kappa) * grown * (kappa - 1.0 / kappa) / below**2
    return 2.0 * np.arctan(tangent), 2.0 * slope / (1.0 + tangent**2)


def norm(power: int, s: float, sine: ndarray) -> ndarray:
    """N, the size of g at sine = sin(theta/2): with a kink in phi like sqrt(delta), else like delta up to where the
    pre-activations differ by 1 and like sqrt(delta) from there."""
    apart = 2.0 * s * sine
    return sine if power == 1 else apart**2 / ((1.0 + apart) * (1.0 + s))


def pair_row(act: Activation, power: int, s: float, kappa: float, size: int) -> Float64[ndarray, "2 k"]:
    """Coefficients of r/N and g/N in w at one variance q = s^2."""
    theta, _ = angle(nodes(size, 1.0), kappa)
    sine = np.sin(0.5 * theta)
    delta = 2.0 * sine**2
    gap = np.empty(size)
    for some in (delta < CLOSE, delta >= CLOSE):
        if some.any():
            gap[some] = np.asarray(slope_gap(act, jnp.array(s * s), jnp.asarray(delta[some])))
    series = fit(gap / norm(power, s, sine))
    return np.stack([fit(_mean(series, power, s, kappa, nodes(size, 1.0)) / norm(power, s, sine)), series])


def _mean(series: ndarray, power: int, s: float, kappa: float, w: ndarray) -> ndarray:
    """r = the mean of g over [0, delta], as an integral over w: every term is positive, nothing cancels."""
    inner = w[:, None] * _X
    theta, slope = angle(inner, kappa)
    gap = chebyshev.chebval(2.0 * inner - 1.0, series) * norm(power, s, np.sin(0.5 * theta))
    delta = 2.0 * np.sin(0.5 * angle(w, kappa)[0]) ** 2
    return np.asarray(w * ((gap * np.sin(theta) * slope) @ _DX) / delta)


def kink_power(act: Activation) -> int:
    """1 if phi has a kink, 2 if not: how fast g vanishes, like a power of the angle."""
    return 1 if first_kink(act, 1) else 2


def build(entry: Entry) -> Series:
    """All series of one activation; seconds for a homogeneous phi, a minute or two for others.

    Raises ``ValueError`` if the variance map is not increasing: the page follows it to its next fixed point.

    >>> from ntk_eoc.explorer.catalogue import CATALOGUE
    >>> build(CATALOGUE["relu"]).moments.tolist()
    [[0.5], [0.5], [0.5]]
    """
    act = entry.act
    homogeneous = act.slopes is not None
    size = 1 if homogeneous else DEGREE_T
    t = nodes(size, t_max(entry))
    q = jnp.asarray((t / (1.0 - t)) ** 2)
    phi0 = float(act.phi(jnp.array(0.0)))
    values = [second_moment(act, q) / (phi0**2 + q), second_moment(act, q, 1), variance_slope(act, q, sigma_w=1.0)]
    if min(values[2]) < 0.0:
        raise ValueError(f"entry: expected an activation whose variance map increases, got {entry.name}")
    return Series(fit(np.array(values)), fit(_law(entry)), *_pairs(entry))


def _law(entry: Entry) -> ndarray:
    """(x, y) of coefficient = constant + y/x^power, see ``LAWS``: both stay smooth where the coefficient has a pole."""
    act = entry.act
    constant, power = LAWS[first_kink(act)]
    q = np.expm1(nodes(1 if act.slopes else DEGREE_T, np.log1p(entry.s_max))) ** 2
    slopes = second_moment(act, jnp.asarray(q), 1)
    found = []
    for variance, slope in zip(q.tolist(), slopes.tolist(), strict=True):
        terms = kink_terms if first_kink(act) == 1 else curvature_terms
        x = terms(act, variance, slope**-0.5)[0]
        y = (coefficient(act, variance, slope**-0.5)[2] - constant) * x**power if x > 1e-7 else 0.0
        found.append((x, y))
    return np.array(found).T


def _pairs(entry: Entry) -> tuple[ndarray, ndarray]:
    act, power = entry.act, kink_power(entry.act)
    far = np.zeros((2, 0))
    if entry.far:
        slopes = entry.far
        line = act._replace(phi=lambda x: jnp.where(x > 0, slopes[0] * x, slopes[1] * x), kinks=(0.0,), slopes=slopes)
        far = pair_row(line, 1, 1.0, FAR_KAPPA, DEGREE_W)
    if act.slopes is not None:
        return np.zeros((2, 0, DEGREE_W)), far
    s = np.expm1(nodes(DEGREE_S, np.log1p(entry.s_max)))
    rows = np.array([pair_row(act, power, root, 1.0 + root, DEGREE_W) for root in s])
    return fit(rows.transpose(1, 2, 0)).transpose(0, 2, 1), far
