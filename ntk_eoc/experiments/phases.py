"""Proposition 1 of the paper: what a deep dense network's NTK becomes away from the Edge of Chaos.

Every function takes one frozen configuration and returns arrays. Pairs of inputs have the norm at which the variance
is at its fixed point from the first layer on, so that depth acts on the correlation alone; sigmas are standard
deviations, ``delta`` = 1 - correlation, ``kappa`` = K/q.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc import zonal
from ntk_eoc.activations import Activation, get
from ntk_eoc.asymptotics import curvature_terms, kink_terms
from ntk_eoc.data import digits, train_test, unit_norm
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import chaotic_delta, chi, eoc_points, limit_variance
from ntk_eoc.regularity import first_kink


class Setting(NamedTuple):
    """An activation, by the name that ``activations.get`` knows, and the standard deviations of its network."""

    activation: str
    sigma_b: float
    sigma_w: float


@dataclass(frozen=True)
class OrderedConfig:
    """Ordered networks, followed for ``depth`` layers for pairs at every cosine of a grid over [-1, 1]."""

    settings: tuple[Setting, ...] = (
        Setting("relu", 0.3, 1.2),
        Setting("selu", 0.3, 0.8),
        Setting("elu", 0.3, 1.0),
        Setting("tanh", 0.3, 1.0),
    )
    depth: int = 160
    cosines: int = 21


class Decay(NamedTuple):
    """How K approaches lambda = q/(1 - chi): ``worst`` is the largest abs(K/lambda - 1) of all pairs, ``theory`` its
    leading term, ``power`` whether that is like chi^(L/2) (0, a kink) or like L chi^L (1, smoother)."""

    activation: str
    chi: float
    power: int
    worst: Float64[ndarray, " L"]
    theory: Float64[ndarray, " L"]


def fixed_point(setting: Setting) -> tuple[Activation, float, float]:
    """(activation, q, chi) at the variance fixed point of a setting."""
    act = get(setting.activation)
    q = limit_variance(act, sigma_b=setting.sigma_b, sigma_w=setting.sigma_w)
    return act, q, float(chi(act, jnp.array(q), sigma_w=setting.sigma_w))


def ordered_decay(config: OrderedConfig) -> tuple[Decay, ...]:
    """abs(K^L/lambda - 1), the largest over all pairs, at depths 1..``depth`` for every setting of the ordered phase.

    >>> runs = ordered_decay(OrderedConfig((Setting("relu", 0.3, 1.2),), depth=80))
    >>> float((runs[0].worst[-1] / runs[0].theory[-1]).round(4))
    1.0
    """
    return tuple(_decay(setting, config) for setting in config.settings)


def _decay(setting: Setting, config: OrderedConfig) -> Decay:
    act, q, slope = fixed_point(setting)
    tab, layer = zonal.table(act, q), zonal.Layer(slope, setting.sigma_w**2, 1.0, 0.0)
    depth = np.arange(1, config.depth + 1)
    largest = 1.0 - setting.sigma_b**2 / q  # the bias is common to both inputs: q^1 q delta^1 = sigma_w^2 gap
    gaps = largest * (1.0 - np.linspace(-1.0, 1.0, config.cosines))
    scans = [zonal.depth_scan(tab, layer, gap, depth) for gap in gaps]
    last = int(np.argmax([abs(scan.deviation[-1]) for scan in scans]))
    theory = ordered_asymptote(act, q, setting.sigma_w, depth, float(scans[last].delta[-1]))
    worst = np.max(np.abs([scan.deviation for scan in scans]), axis=0)
    return Decay(setting.activation, slope, int(first_kink(act) != 1), (1 - slope) * worst, (1 - slope) * theory)


def ordered_asymptote(act: Activation, q: float, sigma_w: float, depth: ndarray, last_delta: float) -> ndarray:
    """The leading term of abs(K^L/q - 1/(1 - chi)), with D = lim delta^L/chi^L read off at the last depth.

    A kink in phi: (3/2) A sqrt(D) chi^(L/2)/((1 - chi)(sqrt(chi) - chi)), from qdot = chi - (3/2) A sqrt(delta).
    Smoother: D (1 + a/(chi (1 - chi))) L chi^L, from qdot = chi - a delta.
    """
    slope = float(chi(act, jnp.array(q), sigma_w=sigma_w))
    reach = last_delta / slope ** float(depth[-1])
    if first_kink(act) == 1:
        sharp = 1.5 * kink_terms(act, q, sigma_w)[0] * np.sqrt(reach)
        return sharp / ((1 - slope) * (np.sqrt(slope) - slope)) * slope ** (depth / 2)
    bend = curvature_terms(act, q, sigma_w)[0]
    return reach * (1 + bend / (slope * (1 - slope))) * depth * slope**depth


def measured_rate(run: Decay, first: int, last: int) -> float:
    """The rate of exponential decay between two depths, after dividing by L where the prefactor is L.

    >>> run = Decay("x", 0.5, 0, 2.0 ** -np.arange(1, 11), np.ones(10))
    >>> round(measured_rate(run, 5, 10), 4)
    0.6931
    """
    ratio = run.worst[first - 1] / run.worst[last - 1] * (last / first) ** run.power
    return float(np.log(ratio) / (last - first))


@dataclass(frozen=True)
class BiasConfig:
    """One ReLU-like network in the ordered phase with several bias standard deviations, from one pair of inputs."""

    activation: str = "relu"
    sigma_w: float = 1.2
    sigma_b: tuple[float, ...] = (0.0, 0.03, 0.3)
    cosine: float = 0.3
    depths: tuple[int, ...] = tuple(int(d) for d in np.unique(np.geomspace(1, 1000, 80).round()))


class Bias(NamedTuple):
    """K^L(x, x'), K^L(x, x')/K^L(x, x) and 1 - correlation of a pair at ``depth``, for one ``sigma_b``."""

    sigma_b: float
    depth: Float64[ndarray, " L"]
    ntk: Float64[ndarray, " L"]
    ratio: Float64[ndarray, " L"]
    delta: Float64[ndarray, " L"]


def bias(config: BiasConfig) -> tuple[Bias, ...]:
    """What the bias decides in the ordered phase of a ReLU-like network: a limit above zero, and its constancy.

    >>> float(bias(BiasConfig(depths=(500, 1000)))[0].ratio[-1].round(3))
    0.254
    """
    act, at = get(config.activation), np.array(config.depths) - 1
    far = (1.0 - config.cosine**2) ** 0.5
    x = 2**0.5 * jnp.array([[1.0, 0.0], [config.cosine, far]])
    runs = []
    for sigma_b in config.sigma_b:
        k = kernels(act, x, sigma_b=sigma_b, sigma_w=config.sigma_w, depth=config.depths[-1], every_depth=True)
        ntk, other, delta = (np.asarray(a)[at] for a in (k.ntk[:, 0, 1], k.ntk[:, 0, 0], k.delta[:, 0, 1]))
        runs.append(Bias(sigma_b, at + 1.0, ntk, ntk / other, delta))
    return tuple(runs)


@dataclass(frozen=True)
class ChaoticConfig:
    """A chaotic network and pairs of inputs at several distances ``gaps`` = 1 - cosine of the inputs."""

    setting: Setting = Setting("tanh", 0.3, 2.0)
    gaps: tuple[float, ...] = (1.0, 1e-2, 1e-4, 1e-6)
    depth: int = 140


class Chaotic(NamedTuple):
    """K^L/q of pairs (one row each) and of an input with itself; ``limit`` = c*/(1 - chi_*), ``rate`` = chi_*."""

    depth: Float64[ndarray, " L"]
    pairs: Float64[ndarray, "G L"]
    diagonal: Float64[ndarray, " L"]
    limit: float
    rate: float


def chaotic(config: ChaoticConfig) -> Chaotic:
    """K^L/q on and off the diagonal in the chaotic phase; chi_* = sigma_w^2 E[phi'(u) phi'(v)] at c*.

    >>> found = chaotic(ChaoticConfig(gaps=(1.0,), depth=200))
    >>> float((found.pairs[0, -1] / found.limit).round(9))
    1.0
    """
    setting = config.setting
    act, q, slope = fixed_point(setting)
    tab, layer = zonal.table(act, q), zonal.Layer(slope, setting.sigma_w**2, 1.0, 0.0)
    depth = np.arange(1, config.depth + 1)
    starts = [gap * (1.0 - setting.sigma_b**2 / q) for gap in config.gaps]
    pairs = np.array([zonal.depth_scan(tab, layer, delta, depth).kappa for delta in starts])
    delta = chaotic_delta(act, q, sigma_b=setting.sigma_b, sigma_w=setting.sigma_w)
    lost = setting.sigma_w**2 * float(zonal.look_up(tab, jnp.sqrt(jnp.array(delta) / 2))[1])
    rate = slope - lost
    diagonal = (slope**depth - 1.0) / (slope - 1.0)
    return Chaotic(depth.astype(float), pairs, diagonal, (1.0 - delta) / (1.0 - rate), rate)


@dataclass(frozen=True)
class DigitsConfig:
    """Some digits, half to train and half to test, under an erf network in each phase (None: the Edge of Chaos)."""

    images: int = 200
    sigma_b: float = 0.2
    sigma_w: tuple[float | None, ...] = (0.8, None, 2.0)
    depth: int = 50
    steps: float = 1000.0


class DigitRun(NamedTuple):
    """At depths 2..: the ``smallest`` eigenvalue of the Gram matrix with unit diagonal, and the squared error, relative
    to that of predicting nothing, on ``train`` and ``test`` images after a number of steps."""

    sigma_w: float
    depth: Float64[ndarray, " L"]
    smallest: Float64[ndarray, " L"]
    train: Float64[ndarray, " L"]
    test: Float64[ndarray, " L"]


def digit_runs(config: DigitsConfig) -> tuple[DigitRun, ...]:
    """Memory and generalisation of the infinitely wide network, layer by layer, in each phase.

    >>> run = digit_runs(DigitsConfig(images=20, sigma_w=(2.0,), depth=40))[0]
    >>> float(run.smallest[-1].round(3)), float(run.test[-1].round(3))
    (1.0, 1.0)
    """
    split = train_test(digits(config.images), test_fraction=0.5)
    inputs = jnp.concatenate([unit_norm(split.train.x), unit_norm(split.test.x)])
    train, test = (np.eye(10)[part.y] - 0.1 for part in split)
    edge = eoc_points(get("erf"), config.sigma_b)[0].sigma_w
    runs = []
    for sigma_w in (edge if value is None else value for value in config.sigma_w):
        network: dict[str, Any] = {"sigma_b": config.sigma_b, "sigma_w": sigma_w, "depth": config.depth}
        grams = np.asarray(kernels(get("erf"), inputs, every_depth=True, **network).ntk)
        rows = np.array([_learn(gram, train, test, config.steps) for gram in grams[1:]])
        runs.append(DigitRun(sigma_w, np.arange(2.0, config.depth + 1.0), *rows.T))
    return tuple(runs)


def _learn(ntk: ndarray, train: ndarray, test: ndarray, steps: float) -> tuple[float, float, float]:
    """(smallest eigenvalue, train and test error) of gradient descent from f = 0 with the largest steps but one half.

    Eq. 9 of the paper at time t = ``steps``/(largest eigenvalue); K with unit diagonal.
    """
    scale, n = np.sqrt(np.diag(ntk)), len(train)
    gram = ntk / scale[:, None] / scale
    value, vector = np.linalg.eigh(gram[:n, :n])
    learned = -np.expm1(-steps * value / value[-1]) / value
    found = gram[:, :n] @ (vector @ (learned[:, None] * (vector.T @ train)))
    errors = [np.sum((f - y) ** 2) / np.sum(y**2) for f, y in ((found[:n], train), (found[n:], test))]
    return float(value[0]), float(errors[0]), float(errors[1])
