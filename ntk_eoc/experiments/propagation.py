"""Signal propagation and the Edge of Chaos (Sec. 3.1 and the start of Sec. 4): one function per figure.

Every sigma is a standard deviation, q a pre-activation variance, c a correlation and delta = 1 - c.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.activations import get
from ntk_eoc.data import digits, train_test
from ntk_eoc.gaussian import pair, second_moment
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import eoc_points, phase
from ntk_eoc.networks import Network, layer_moments
from ntk_eoc.panels import Rule

# Panels for curves that are looked at: six digits up to variance 9 at a tenth of the usual cost.
PICTURE = Rule(tuple(np.linspace(-10.0, 10.0, 9)), (), False)


@dataclass(frozen=True)
class Phases:
    """One sigma_w in the ordered phase, one in the chaotic phase; the edge between them is computed."""

    activation: str = "tanh"
    sigma_b: float = 0.2
    ordered: float = 0.9
    chaotic: float = 2.0


def sigma_ws(phases: Phases) -> tuple[float, float, float]:
    """sigma_w in the ordered phase, on the Edge of Chaos and in the chaotic phase.

    Raises ``ValueError`` if the two given values do not lie on their sides of the edge.
    """
    points = eoc_points(get(phases.activation), phases.sigma_b)
    if len(points) != 1 or not phases.ordered < points[0].sigma_w < phases.chaotic:
        edges = [round(point.sigma_w, 4) for point in points]
        raise ValueError(f"phases: expected one edge between {phases.ordered} and {phases.chaotic}, found {edges}")
    return phases.ordered, points[0].sigma_w, phases.chaotic


class Cobweb(NamedTuple):
    """A scalar map y(x) for S values of sigma_w: its stable fixed points, and orbits from one start."""

    x: Float64[ndarray, " P"]
    y: Float64[ndarray, "S P"]
    fixed: Float64[ndarray, " S"]
    orbit: Float64[ndarray, "S steps"]


class Maps(NamedTuple):
    """The variance map and the correlation map (at the variance fixed point) in the three phases."""

    sigma_w: Float64[ndarray, " S"]
    variance: Cobweb
    correlation: Cobweb


@dataclass(frozen=True)
class MapsConfig:
    """Maps on variances up to ``q_max`` and on correlations from 0 to 1, and orbits of ``steps`` layers.

    The orbits start at the variance q_max and at the correlations ``starts``, one for each phase.
    """

    phases: Phases = Phases()
    q_max: float = 3.0
    starts: tuple[float, float, float] = (0.0, 0.0, 0.98)
    points: int = 61
    steps: int = 9


def maps(config: MapsConfig) -> Maps:
    """Variance map q -> sigma_b^2 + sigma_w^2 E[phi^2] and correlation map c -> f(c), with cobwebs.

    >>> found = maps(MapsConfig(Phases("erf", 0.2, 0.5, 3.0), points=3, steps=2))
    >>> [round(float(c), 3) for c in found.correlation.fixed]
    [1.0, 1.0, 0.025]
    """
    act, sigma_b = get(config.phases.activation), config.phases.sigma_b
    sigma_w = np.array(sigma_ws(config.phases))
    settled = [phase(act, sigma_b=sigma_b, sigma_w=value) for value in sigma_w]
    if not all(found.q and found.c_star is not None for found in settled):
        raise ValueError("phases: expected fixed points of variance and correlation, got a variance that has no limit")
    q_star, c_star = np.array([(found.q, found.c_star) for found in settled], dtype=float).T

    def next_q(q: ndarray) -> ndarray:
        return sigma_b**2 + sigma_w[:, None] ** 2 * np.asarray(second_moment(act, jnp.asarray(q)))

    def next_c(c: ndarray) -> ndarray:
        q = jnp.asarray(q_star)[:, None]
        gap = np.asarray(pair(act, q, q, jnp.asarray(1.0 - c), PICTURE).gap)
        return 1.0 - gap * (1.0 - sigma_b**2 / q_star[:, None])

    variance = _cobweb(next_q, np.linspace(0.0, config.q_max, config.points), q_star, [config.q_max] * 3, config.steps)
    correlation = _cobweb(next_c, np.linspace(0.0, 1.0, config.points), c_star, config.starts, config.steps)
    return Maps(sigma_w, variance, correlation)


def _cobweb(step: Callable, x: ndarray, fixed: ndarray, starts: Sequence[float], steps: int) -> Cobweb:
    """The curve and the orbits together: every step has one shape, which is compiled once."""
    orbit = [np.array(starts)]
    for _ in range(steps):
        values = step(np.concatenate([np.broadcast_to(x, (len(starts), x.size)), orbit[-1][:, None]], axis=1))
        orbit.append(values[:, -1])
    return Cobweb(x, values[:, :-1], fixed, np.stack(orbit, axis=1))


class Band(NamedTuple):
    """Infinite width beside the mean over networks and its standard error: (phase, layer, image or pair)."""

    theory: Float64[ndarray, "S L K"]
    mean: Float64[ndarray, "S L K"]
    standard_error: Float64[ndarray, "S L K"]


class Propagation(NamedTuple):
    """Variances q^l(x, x) of images and delta^l = 1 - c^l of pairs of images through the layers."""

    sigma_w: Float64[ndarray, " S"]
    variance: Band
    delta: Band


@dataclass(frozen=True)
class DigitsConfig:
    """Images of digits through ``seeds`` random networks in each phase."""

    phases: Phases = Phases()
    images: int = 4
    depth: int = 16
    width: int = 200
    seeds: int = 40


def digits_through_layers(config: DigitsConfig) -> Propagation:
    """Centred digits of their own norms through the recursions and through finite random networks (seed 0).

    The correlation of a finite network is formed from its own three moments, then averaged over networks.
    """
    act, sigma_b = get(config.phases.activation), config.phases.sigma_b
    x = train_test(digits()).train.x[: config.images]
    pairs = np.triu_indices(config.images, 1)
    bands: list[tuple[Band, Band]] = []
    sigmas = sigma_ws(config.phases)
    for key, sigma_w in zip(jax.random.split(jax.random.key(0), len(sigmas)), sigmas, strict=True):
        exact = kernels(act, jnp.asarray(x), sigma_b=sigma_b, sigma_w=sigma_w, depth=config.depth, every_depth=True)
        net = Network(config.width, config.depth, sigma_b, sigma_w)
        keys = jax.random.split(key, config.seeds)
        moments = np.asarray(jax.lax.map(lambda k, net=net: layer_moments(k, act, net, x), keys))
        squares = np.einsum("slii->sli", moments)
        norms = np.sqrt(squares[..., pairs[0]] * squares[..., pairs[1]])
        theory = np.einsum("lii->li", np.asarray(exact.nngp)), np.asarray(exact.delta)[:, *pairs]
        samples = squares, 1.0 - moments[..., *pairs] / norms
        bands.append((_band(theory[0], samples[0]), _band(theory[1], samples[1])))
    variance, delta = ([found[kind] for found in bands] for kind in (0, 1))
    return Propagation(np.array(sigmas), _stack(variance), _stack(delta))


def _stack(bands: list[Band]) -> Band:
    return Band(*(np.stack(parts) for parts in zip(*bands, strict=True)))


def _band(theory: ndarray, samples: ndarray) -> Band:
    return Band(theory, samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples)))


class Agreement(NamedTuple):
    """Largest |z| and the fraction of |z| < 2 in each phase, z = (mean - theory)/standard error."""

    worst: Float64[ndarray, " S"]
    within_two: Float64[ndarray, " S"]


def agreement(band: Band) -> Agreement:
    """How far the networks are from infinite width, in standard errors.

    >>> one = np.ones((1, 1, 2))
    >>> agreement(Band(one, one + np.array([1.0, -3.0]), one))
    Agreement(worst=array([3.]), within_two=array([0.5]))
    """
    z = np.abs(band.mean - band.theory) / band.standard_error
    return Agreement(z.max(axis=(1, 2)), (z < 2).mean(axis=(1, 2)))
