"""Proposition 3 of the paper: residual networks with a positively homogeneous activation and no bias.

With s = sigma_w^2 E[phi'^2] the variance grows by 1 + s per layer, and in units of it every network of this family
obeys one recursion, damped by p = s/(1 + s). All arrays here are in those units (``kappa`` = K^L/q^L) or logarithms,
because (1 + s)^L leaves the range of float64 after a few hundred or thousand layers.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc import zonal
from ntk_eoc.activations import Activation, get
from ntk_eoc.data import digits, unit_norm
from ntk_eoc.gaussian import second_moment
from ntk_eoc.kernels import kernels


def depths_to(largest: int, count: int) -> tuple[int, ...]:
    """Whole depths, evenly spaced in the logarithm, from 1.

    >>> depths_to(100, 3)
    (1, 10, 100)
    """
    return tuple(int(d) for d in np.unique(np.geomspace(1, largest, count).round()))


class Branch(NamedTuple):
    """What the residual branch adds: ``gain`` s per layer, as a share ``damping`` p = s/(1 + s) of the variance."""

    gain: float
    damping: float


def branch(act: Activation, sigma_w: float) -> Branch:
    """s = sigma_w^2 E[phi'^2] (= sigma_w^2 E[phi^2]/q for a homogeneous phi) and p; sigma_w a standard deviation.

    >>> branch(get("relu"), 2**0.5)
    Branch(gain=1.0, damping=0.5)
    """
    gain = round(sigma_w**2 * float(second_moment(act, jnp.array(1.0), 1)), 15)
    return Branch(gain, gain / (1.0 + gain))


def scan(spec: str, sigma_w: float, cosine: float, depths: tuple[int, ...]) -> zonal.DepthScan:
    """kappa = K^L(x, x')/q^L, ``deviation`` = kappa - p L/4 and ``log_scale`` = log(q^L/q^1), at any depth.

    >>> found = scan("relu", 2**0.5, 0.0, (1, 10**5))
    >>> bool((found.log_scale > 6e4).any())
    True
    """
    act = get(spec)
    gain, damping = branch(act, sigma_w)
    layer = zonal.Layer(1.0, sigma_w**2 / (1.0 + gain), damping, float(np.log1p(gain)))
    return zonal.depth_scan(zonal.table(act, 1.0), layer, 1.0 - cosine, np.array(depths))


@dataclass(frozen=True)
class UniversalConfig:
    """Residual networks (activation, sigma_w), one pair of inputs, depths evenly spaced in the logarithm."""

    networks: tuple[tuple[str, float], ...] = (
        ("relu", 0.5),
        ("relu", 2**0.5),
        ("relu", 3.0),
        ("leaky_relu:0.3", 1.0),
    )
    cosine: float = 0.3
    depths: tuple[int, ...] = depths_to(10**6, 61)


class Universal(NamedTuple):
    """K^L(x, x')/K^L(x, x) (``ratio``), and p^-1 times (kappa - p L/4), which grows like C log L."""

    network: tuple[str, float]
    damping: float
    depth: Float64[ndarray, " L"]
    ratio: Float64[ndarray, " L"]
    rest: Float64[ndarray, " L"]


def universal(config: UniversalConfig) -> tuple[Universal, ...]:
    """The kernel in units of its own diagonal, 1 + (L - 1) p in units of q^L, for every network.

    >>> run = universal(UniversalConfig((("relu", 1.0),), depths=depths_to(10**5, 51)))[0]
    >>> round(coefficient(run), 3)
    0.375
    """
    runs = []
    for name, sigma_w in config.networks:
        found = scan(name, sigma_w, config.cosine, config.depths)
        damping = branch(get(name), sigma_w).damping
        depth = found.depth.astype(float)
        ratio = found.kappa / (1.0 + (depth - 1.0) * damping)
        runs.append(Universal((name, sigma_w), damping, depth, ratio, found.deviation / damping))
    return tuple(runs)


def coefficient(run: Universal) -> float:
    """The measured coefficient of log L: rest = C log L + constant + r/L solved at L, L/sqrt(10), L/10.

    The term r/L matters: r is about -20/p^2 for ReLU, so that a weak branch shows its coefficient only for L >> 1/p^2.
    """
    at = np.searchsorted(run.depth, run.depth[-1] / np.array([10.0, 10.0**0.5, 1.0]))
    depth = run.depth[at]
    terms = np.stack([np.log(depth), np.ones(3), 1.0 / depth], axis=1)
    return float(np.linalg.solve(terms, run.rest[at])[0])


@dataclass(frozen=True)
class NormaliserConfig:
    """ReLU networks on either side of sigma_w = sqrt(2), to a depth where the printed normaliser has shown itself."""

    sigma_w: tuple[float, ...] = (1.2, 1.4, 2**0.5, 1.43, 2.0)
    cosine: float = 0.3
    depths: tuple[int, ...] = depths_to(10**4, 49)


class Normalised(NamedTuple):
    """log10 of K^L(x, x')/(q^1 N_L), with N_L the ``printed`` normaliser alpha_L 2^L or ``ours``, L p (1 + s)^(L-1)."""

    sigma_w: float
    depth: Float64[ndarray, " L"]
    printed: Float64[ndarray, " L"]
    ours: Float64[ndarray, " L"]


def log_alpha(sigma_w: float, depth: Float64[ndarray, " L"]) -> Float64[ndarray, " L"]:
    """log alpha_L of Proposition 3: alpha_L = 1 below sigma_w = sqrt(2), L at it, ((1 + sigma_w^2/2)/2)^L above.

    >>> log_alpha(1.0, np.array([1.0, 2.0])).tolist()
    [0.0, 0.0]
    """
    if abs(sigma_w**2 - 2.0) < 1e-12:
        return np.log(depth)
    return depth * max(0.0, float(np.log((1.0 + sigma_w**2 / 2.0) / 2.0)))


def normalised(config: NormaliserConfig) -> tuple[Normalised, ...]:
    """K^L by the printed normaliser and by ours, in logarithms.

    >>> run = normalised(NormaliserConfig((2.0,), depths=(1000, 10000)))[0]
    >>> float((10**run.ours[-1]).round(3)), float(np.diff(run.printed)[0].round(2))
    (0.25, 1.0)
    """
    runs = []
    for sigma_w in config.sigma_w:
        found = scan("relu", sigma_w, config.cosine, config.depths)
        depth = found.depth.astype(float)
        log_kernel = np.log(found.kappa) + found.log_scale
        printed = log_kernel - log_alpha(sigma_w, depth) - depth * np.log(2.0)
        ours = np.log(found.kappa / depth / branch(get("relu"), sigma_w).damping)
        runs.append(Normalised(sigma_w, depth, printed / np.log(10.0), ours / np.log(10.0)))
    return tuple(runs)


@dataclass(frozen=True)
class InvertibleConfig:
    """A few digits of one norm under ReLU residual networks."""

    images: int = 40
    sigma_w: tuple[float, ...] = (0.5, 2**0.5, 2.0)
    depth: int = 300


class Invertible(NamedTuple):
    """The smallest eigenvalue of the Gram matrix with unit diagonal, at each depth."""

    sigma_w: float
    depth: Float64[ndarray, " L"]
    smallest: Float64[ndarray, " L"]


def invertible(config: InvertibleConfig) -> tuple[Invertible, ...]:
    """Smallest eigenvalues of K^L(X, X)/K^L(x, x) for digits: they tend to 1 - 1/4 whatever sigma_w is.

    >>> run = invertible(InvertibleConfig(images=5, sigma_w=(1.0,), depth=300))[0]
    >>> bool(0.4 < run.smallest[-1] < 0.75)
    True
    """
    act, x = get("relu"), jnp.asarray(unit_norm(digits(config.images).x))
    depths = np.array(depths_to(config.depth, 24))
    network: dict[str, Any] = {"architecture": "residual", "depth": config.depth, "every_depth": True}
    runs = []
    for sigma_w in config.sigma_w:
        ntk = np.asarray(kernels(act, x, sigma_b=0.0, sigma_w=sigma_w, **network).ntk)[depths - 1]
        values = np.linalg.eigvalsh(ntk / ntk[:, :1, :1])[:, 0]
        runs.append(Invertible(sigma_w, depths.astype(float), values))
    return tuple(runs)
