"""The Edge of Chaos itself (Sec. 4 and 5.2 of the paper): who has one, where, and whether it attracts.

Every sigma is a standard deviation, q a pre-activation variance, c a correlation and delta = 1 - c.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from scipy.optimize import brentq

from ntk_eoc.activations import NAMED, Activation, get
from ntk_eoc.experiments.propagation import PICTURE
from ntk_eoc.gaussian import pair, second_moment
from ntk_eoc.meanfield import EocPoint, Phase, eoc_points, phase

# (sigma_b, sigma_w) that Sec. 5.2 of the paper places on the Edge of Chaos
PAPER_POINTS = {"relu": (0.0, 2**0.5), "elu": (0.2, 1.227), "tanh": (0.2, 1.302)}


class PaperPoint(NamedTuple):
    """A point that the paper names, the phase it lies in, and the edge at the same sigma_b."""

    name: str
    sigma_b: float
    sigma_w: float
    found: Phase
    edge: EocPoint


def paper_points() -> list[PaperPoint]:
    """The three points of Sec. 5.2, each with its chi and with the exact sigma_w of the edge at its sigma_b.

    >>> [point.found.phase for point in paper_points()][0]
    'eoc'
    """
    points = []
    for name, (sigma_b, sigma_w) in PAPER_POINTS.items():
        act = get(name)
        found = phase(act, sigma_b=sigma_b, sigma_w=sigma_w)
        points.append(PaperPoint(name, sigma_b, sigma_w, found, eoc_points(act, sigma_b)[0]))
    return points


@dataclass(frozen=True)
class EocConfig:
    """Activations, and sigma_b from 0 to ``sigma_b_max``: sigmoid and softplus have a figure of their own, and prelu
    is a leaky ReLU here."""

    activations: tuple[str, ...] = tuple(name for name in NAMED if name not in ("sigmoid", "softplus", "prelu"))
    sigma_b_max: float = 1.2
    points: int = 25


class EocCurves(NamedTuple):
    """The Edge of Chaos of each activation over sigma_b; NaN where there is none (and for q where every q is fixed).

    ``found`` is the number of edge points at that sigma_b; the arrays hold the first of them.
    """

    sigma_b: Float64[ndarray, " P"]
    sigma_w: Float64[ndarray, "A P"]
    q: Float64[ndarray, "A P"]
    variance_slope: Float64[ndarray, "A P"]
    found: Int64[ndarray, "A P"]


def eoc_curves(config: EocConfig) -> EocCurves:
    """sigma_w(sigma_b) on the edge, with the slope of the variance map: the fixed point attracts below 1.

    >>> eoc_curves(EocConfig(("relu", "softplus"), points=2)).found.tolist()
    [[1, 0], [0, 0]]
    """
    sigma_b = config.sigma_b_max * np.linspace(0.0, 1.0, config.points) ** 2  # denser where the curves are steep
    found = [[eoc_points(get(name), float(value)) for value in sigma_b] for name in config.activations]
    nothing = (np.nan, np.nan, np.nan)
    first = [[(p[0].sigma_w, p[0].q, p[0].variance_slope) if p else nothing for p in row] for row in found]
    sigma_w, q, slope = np.moveaxis(np.array(first, dtype=float), -1, 0)  # None becomes NaN
    return EocCurves(sigma_b, sigma_w, q, slope, np.array([[len(p) for p in row] for row in found]))


def stable_from(name: str, low: float = 0.05, high: float = 2.0) -> float:
    """The sigma_b between ``low`` and ``high`` from which on the edge of ``name`` attracts variances: slope 1.

    >>> 0 < stable_from("gelu") < 1
    True
    """
    act = get(name)
    return float(brentq(lambda sigma_b: eoc_points(act, sigma_b)[0].variance_slope - 1.0, low, high, xtol=1e-10))


class Chart(NamedTuple):
    """Points (sigma_b, sigma_w) on a curvilinear grid and the depth scale xi there."""

    sigma_b: Float64[ndarray, "M N"]
    sigma_w: Float64[ndarray, "M N"]
    xi: Float64[ndarray, "M N"]


class PhaseDiagram(NamedTuple):
    """The two phases, and the edge between them as columns sigma_b, sigma_w."""

    ordered: Chart
    chaotic: Chart
    edge: Float64[ndarray, "E 2"]


@dataclass(frozen=True)
class DiagramConfig:
    """The (sigma_b, sigma_w) plane of one activation that is odd, bounded and has a stable edge, like tanh."""

    activation: str = "tanh"
    sigma_b_max: float = 1.0
    q_max: float = 9.0
    points: int = 30


def phase_diagram(config: DiagramConfig) -> PhaseDiagram:
    """Depth scales xi = -1/log f'(c*) over the plane, without a search: each fixed point names its sigmas.

    Ordered: sigma_b and q give sigma_w^2 = (q - sigma_b^2)/E[phi^2] and xi = -1/log(chi). Chaotic: q and c* give
    sigma_w^2 = q (1 - c*)/(E[phi^2] - E[phi(u) phi(v)]), then sigma_b^2 = q - sigma_w^2 E[phi^2].
    """
    act = get(config.activation)
    sigma_b = config.sigma_b_max * np.linspace(0.1, 1.0, config.points) ** 2
    edge = [eoc_points(act, float(value))[0] for value in sigma_b]
    excess = np.array([point.q for point in edge], dtype=float) - sigma_b**2
    share = 1.0 / (1.0 + np.exp(-np.linspace(-12.0, 8.0, 3 * config.points)))  # dense at both ends
    q = sigma_b[:, None] ** 2 + excess[:, None] * share
    sigma_w2 = excess[:, None] * share / np.asarray(second_moment(act, jnp.asarray(q)))
    chi = sigma_w2 * np.asarray(second_moment(act, jnp.asarray(q), 1))
    ordered = Chart(np.broadcast_to(sigma_b[:, None], q.shape), np.sqrt(sigma_w2), -1.0 / np.log(chi))
    return PhaseDiagram(ordered, _chaotic(act, config), np.array([sigma_b, [point.sigma_w for point in edge]]).T)


def _chaotic(act: Activation, config: DiagramConfig) -> Chart:
    delta = np.geomspace(3e-3, 1.0, config.points)
    q, delta = np.meshgrid(np.geomspace(2e-3, config.q_max, config.points), delta, indexing="ij")
    layer = pair(act, jnp.asarray(q), jnp.asarray(q), jnp.asarray(delta), PICTURE)
    power = np.asarray(second_moment(act, jnp.asarray(q)))
    sigma_w2 = q * delta / (power * np.asarray(layer.gap))
    sigma_b = np.sqrt(np.maximum(q - sigma_w2 * power, 0.0))  # c* = 0 means sigma_b = 0 for odd phi, up to rounding
    return Chart(sigma_b, np.sqrt(sigma_w2), -1.0 / np.log(sigma_w2 * np.asarray(layer.slope_product)))


@dataclass(frozen=True)
class EdgeOrNotConfig:
    """Variances from 10^low to 10^high, and the tanh edge up to ``sigma_b_max``."""

    activations: tuple[str, ...] = ("tanh", "elu", "sigmoid", "softplus")
    low: float = -2.0
    high: float = 4.0
    sigma_b_max: float = 4.0
    points: int = 61


class EdgeOrNot(NamedTuple):
    """``needed`` = q - E[phi^2]/E[phi'^2]: the bias variance for which q would be a fixed point with chi = 1.

    ``tanh_edge`` and ``sigmoid_edge`` are columns (sigma_b, sigma_w) in tanh coordinates, see ``as_tanh``.
    """

    q: Float64[ndarray, " P"]
    needed: Float64[ndarray, "A P"]
    tanh_edge: Float64[ndarray, "E 2"]
    sigmoid_edge: Float64[ndarray, "F 2"]


def edge_or_not(config: EdgeOrNotConfig) -> EdgeOrNot:
    """Who has an Edge of Chaos: those for whom ``needed`` is somewhere positive or zero.

    >>> bool((edge_or_not(EdgeOrNotConfig(("softplus",), points=4)).needed < 0).all())
    True
    """
    q = jnp.logspace(config.low, config.high, config.points)
    acts = [get(name) for name in config.activations]
    needed = np.array([q - second_moment(act, q) / second_moment(act, q, 1) for act in acts])
    tanh_b = config.sigma_b_max * np.linspace(0.0, 1.0, config.points // 2) ** 2
    tanh_edge = [(value, eoc_points(get("tanh"), float(value))[0].sigma_w) for value in tanh_b]
    sigmoid_b = np.linspace(0.0, 1.5 * config.sigma_b_max, 7)
    sigmoid_edge = [as_tanh(float(b), eoc_points(get("sigmoid"), float(b))[0].sigma_w) for b in sigmoid_b]
    return EdgeOrNot(np.asarray(q), needed, np.array(tanh_edge), np.array(sigmoid_edge))


def as_tanh(sigma_b: float, sigma_w: float) -> tuple[float, float]:
    """(sigma_b, sigma_w) of the tanh network that carries half the pre-activations of this sigmoid network.

    sigmoid(x) = 1/2 + tanh(x/2)/2, so with y/2 in place of y the weights shrink by 4 and the constant 1/2 feeds the
    bias: sigma_b'^2 = sigma_b^2/4 + sigma_w^2/16, sigma_w' = sigma_w/4. From the second layer on.

    >>> as_tanh(0.0, 4.0)
    (1.0, 1.0)
    """
    return float(np.hypot(0.5 * sigma_b, 0.25 * sigma_w)), 0.25 * sigma_w
