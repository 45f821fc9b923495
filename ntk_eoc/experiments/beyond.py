"""Beyond the paper's first version: terms by layer, scaled residual branches, convolutions, spectra on the sphere."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.activations import get
from ntk_eoc.convolution import READOUTS, conv_kernels
from ntk_eoc.data import digits
from ntk_eoc.depth import depth_kernels
from ntk_eoc.layerwise import contributions
from ntk_eoc.meanfield import eoc_points
from ntk_eoc.scaled import scaled_depths
from ntk_eoc.spectrum import Spectrum, spectrum

POWERS = {"relu": 3, "tanh": 2}  # of l/L in the term of layer l, on the Edge of Chaos
SIDE = 8  # pixels of a digit


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
class ImagesConfig:
    """Two images of digits in convolutional ReLU networks with 3 x 3 filters."""

    images: tuple[int, int] = (0, 1)
    depths: tuple[int, ...] = (2, 5, 10, 20, 50, 100, 200, 400)


def pooled_limit(limit: float, positions: int = SIDE**2) -> float:
    """The pooled kernel of two images over their own at depth, when that of a dense network tends to ``limit``.

    >>> round(pooled_limit(0.25), 3)
    0.955
    """
    return limit / (limit + (1.0 - limit) / positions)


def convolutions(config: ImagesConfig) -> dict[str, Float64[ndarray, " D"]]:
    """K^L(x, x')/sqrt(K^L(x, x) K^L(x', x')) over the depths: flattened, pooled, and of a dense network."""
    x = digits().x[list(config.images)].reshape(2, 1, SIDE, SIDE)
    act, found = get("relu"), {}
    for readout in READOUTS:
        grams = [conv_kernels(act, x, **edge("relu"), depth=depth, readout=readout).ntk for depth in config.depths]
        found[readout] = np.array([float(k[0, 1]) / float(k[0, 0] * k[1, 1]) ** 0.5 for k in grams])
    rows = x.reshape(2, -1)
    cosine = float(rows[0] @ rows[1] / np.linalg.norm(rows, axis=1).prod())
    dense = depth_kernels(act, cosine, config.depths, **edge("relu"))
    return {**found, "dense": dense.ntk / dense.ntk_diagonal}


@dataclass(frozen=True)
class SphereConfig:
    """Kernels on a sphere, in the three phases."""

    dimension: int = 10
    highest: int = 20
    depths: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 200)
    activation: str = "tanh"
    off: tuple[float, float] = (1.0, 2.0)  # sigma_w of the ordered and of the chaotic network


def spheres(config: SphereConfig) -> dict[str, Spectrum]:
    """The spectrum of K^L/K^L(x, x) over the depths, in each phase."""
    act, on = get(config.activation), edge(config.activation)
    sigma_w = {"ordered": config.off[0], "edge": on["sigma_w"], "chaotic": config.off[1]}
    return {
        phase: spectrum(
            act,
            config.depths,
            sigma_b=on["sigma_b"],
            sigma_w=value,
            dimension=config.dimension,
            highest=config.highest,
        )
        for phase, value in sigma_w.items()
    }
