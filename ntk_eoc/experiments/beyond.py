"""Beyond the paper's first version: terms by layer, scaled residual branches, spectra on the sphere and of digits.

Convolutions are in ``experiments.images``.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.activations import get
from ntk_eoc.angles import input_gaps
from ntk_eoc.data import digits
from ntk_eoc.depth import depth_kernels
from ntk_eoc.layerwise import contributions
from ntk_eoc.meanfield import eoc_points
from ntk_eoc.profile import ntk_gap, profile
from ntk_eoc.scaled import scaled_depths
from ntk_eoc.spectrum import Spectrum, spectrum

POWERS = {"relu": 3, "tanh": 2}  # of l/L in the term of layer l, on the Edge of Chaos


def edge(name: str, sigma_b: float = 0.2) -> dict[str, Any]:
    """A point of the Edge of Chaos as keywords; at sigma_b = 0 for a positively homogeneous activation.

    >>> edge("relu")["sigma_b"]
    0.0
    """
    sigma_b = 0.0 if get(name).slopes else sigma_b
    return {"sigma_b": sigma_b, "sigma_w": eoc_points(get(name), sigma_b)[0].sigma_w}


@dataclass(frozen=True)
class TermsConfig:
    """Two inputs in deep dense networks on the Edge of Chaos."""

    depth: int = 2000
    cosine: float = 0.2


def terms(config: TermsConfig) -> dict[str, Float64[ndarray, " L"]]:
    """The terms of layers 1..L of K^L(x, x'), over the last one, for each of ``POWERS``."""
    found = {name: contributions(get(name), config.cosine, config.depth, **edge(name)) for name in POWERS}
    return {name: parts / parts[-1] for name, parts in found.items()}


def phases_of(name: str, off: tuple[float, float]) -> dict[str, dict[str, Any]]:
    """Sigmas as keywords in the three phases: on the edge, and with the sigma_w of ``off`` below and above it.

    >>> list(phases_of("erf", (0.5, 2.0)))
    ['ordered', 'edge', 'chaotic']
    """
    on = edge(name)
    return {"ordered": {**on, "sigma_w": off[0]}, "edge": on, "chaotic": {**on, "sigma_w": off[1]}}


@dataclass(frozen=True)
class PhasesConfig:
    """Two inputs in networks of tanh in the three phases, and in a residual one of ReLU."""

    depth: int = 50
    cosine: float = 0.2
    off: tuple[float, float] = (1.0, 2.0)  # sigma_w of the ordered and of the chaotic network


def phases(config: PhasesConfig) -> dict[str, Float64[ndarray, "2 L"]]:
    """Shares of layers 1..L in K^L(x, x) and in K^L(x, x'), by kind of network."""
    kinds = {kind: ("tanh", sigmas, "ffnn") for kind, sigmas in phases_of("tanh", config.off).items()}
    kinds["residual"] = ("relu", edge("relu"), "residual")
    found = {}
    for kind, (name, sigmas, architecture) in kinds.items():
        pairs = (1.0, config.cosine)
        parts = [contributions(get(name), c, config.depth, **sigmas, architecture=architecture) for c in pairs]
        found[kind] = np.array([part / part.sum() for part in parts])
    return found


@dataclass(frozen=True)
class ApproachConfig:
    """One pair in ReLU networks: dense, residual and scaled residual; the last layer by layer up to ``engine``."""

    cosine: float = 0.0
    sigma_w: float = 2**0.5
    depths: tuple[int, ...] = tuple(int(d) for d in np.geomspace(2, 10**6, 25).round())
    beyond: tuple[int, ...] = (10**7, 10**8, 10**9)
    engine: int = 10**6


class Approach(NamedTuple):
    """K^L(x, x')/K^L(x, x) of the three architectures over ``depth``, of ``scaled`` also beyond; ``clock`` is
    K^L(x, x)/q^L of the scaled one, about s log L."""

    depth: Float64[ndarray, " D"]
    dense: Float64[ndarray, " D"]
    residual: Float64[ndarray, " D"]
    scaled: Float64[ndarray, " E"]
    clock: Float64[ndarray, " E"]


def approach(config: ApproachConfig) -> Approach:
    """How fast the three forget what their inputs were."""
    act = get("relu")
    sigmas: dict[str, Any] = {"sigma_b": 0.0, "sigma_w": config.sigma_w}
    dense = depth_kernels(act, config.cosine, config.depths, **sigmas)
    # (1 + s)^L leaves float64 after a few hundred layers
    shallow = [depth for depth in config.depths if depth < 900]
    residual = depth_kernels(act, config.cosine, shallow, **sigmas, architecture="residual")
    kept = np.full(len(config.depths), np.nan)
    kept[: len(shallow)] = residual.ntk / residual.ntk_diagonal
    every = (*config.depths, *config.beyond)
    scaled = scaled_depths(act, config.cosine, every, sigma_w=config.sigma_w, engine=config.engine)
    ratio = scaled.kappa / scaled.kappa_diagonal
    return Approach(np.array(config.depths, float), dense.ntk / dense.ntk_diagonal, kept, ratio, scaled.kappa_diagonal)


@dataclass(frozen=True)
class SphereConfig:
    """Kernels on a sphere, in the three phases."""

    dimension: int = 10
    highest: int = 20
    depths: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 200)
    activation: str = "tanh"
    off: tuple[float, float] = (1.0, 2.0)  # sigma_w of the ordered and of the chaotic network
    images: int = 500  # digits beside them


def spheres(config: SphereConfig) -> dict[str, Spectrum]:
    """The spectrum of K^L/K^L(x, x) over the depths, in each phase."""
    act = get(config.activation)
    size: dict[str, Any] = {"dimension": config.dimension, "highest": config.highest}
    return {
        phase: spectrum(act, config.depths, **sigmas, **size)
        for phase, sigmas in phases_of(config.activation, config.off).items()
    }


def digit_spectra(config: SphereConfig) -> dict[str, Float64[ndarray, "D N"]]:
    """Eigenvalues of the Gram matrix of K^L/K^L(x, x) on digits over its trace, the largest first, by phase.

    The digits are the first of a permutation fixed by seed 0, centred by their mean.
    """
    x, act = digits(config.images).x, get(config.activation)
    gaps, found = input_gaps(x - x.mean(axis=0)), {}
    for phase, sigmas in phases_of(config.activation, config.off).items():
        grams = 1.0 - ntk_gap(profile(act, config.depths, **sigmas), gaps)
        found[phase] = np.linalg.eigvalsh(grams)[:, ::-1] / config.images
    return found
