"""Eq. 4 of the paper taken apart: what each layer adds to the tangent kernel, and what learned slopes add."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.activations import get
from ntk_eoc.empirical import dense_ntk
from ntk_eoc.experiments.ensembles import draw, edge, ensemble, images, layer_kernels, settled
from ntk_eoc.meanfield import eoc_points, phase
from ntk_eoc.networks import Network, Params


@dataclass(frozen=True)
class LayerConfig:
    """One activation at ``sigma_b`` = 0.2 with several ``sigma_w`` (None: the Edge of Chaos), one size of network."""

    activation: str = "tanh"
    sigma_w: tuple[float | None, ...] = (0.9, None, 1.8)
    width: int = 256
    depth: int = 24
    seeds: int = 24


class Layers(NamedTuple):
    """What layers 1..L add to K(x, x) of one digit, over what the last adds at infinite width; finite and infinite."""

    phase: str
    sigma_w: float
    finite: Float64[ndarray, "S L"]
    infinite: Float64[ndarray, " L"]


def layers(config: LayerConfig) -> tuple[Layers, ...]:
    """Eq. 4 layer by layer in each phase, for a digit whose variance is at its fixed point in every layer.

    >>> [run.phase for run in layers(LayerConfig(width=8, depth=3, seeds=2))]
    ['ordered', 'eoc', 'chaotic']
    """
    act, found = get(config.activation), []
    for given in config.sigma_w:
        sigma_w = eoc_points(act, 0.2)[0].sigma_w if given is None else given
        net = Network(config.width, config.depth, 0.2, sigma_w)
        x = settled(act, net, images(1))
        parts = layer_kernels(act, net, x)[:, 0, 0]
        finite = ensemble(act, net, x, seeds=config.seeds, by_layer=True)[..., 0, 0]
        name = phase(act, sigma_b=0.2, sigma_w=sigma_w).phase
        found.append(Layers(name, sigma_w, finite / parts[-1], parts / parts[-1]))
    return tuple(found)


class Slopes(NamedTuple):
    """K_n(x, x) of PReLU networks over the mean of the whole: the parts of all ``weights``, and of all ``slopes``."""

    weights: Float64[ndarray, "W S"]
    slopes: Float64[ndarray, "W S"]


def learned_slopes(
    widths: Sequence[int], *, depth: int = 3, slope: float = 0.25, seeds: int = 256, seed: int = 0
) -> Slopes:
    """What one learned slope per layer adds to the kernel of leaky ReLU networks with the same weights.

    >>> learned_slopes((8,), seeds=3).slopes.shape
    (1, 3)
    """
    x, found = images(1), []
    for width in widths:
        net = edge(f"leaky_relu:{slope}", width=width, depth=depth)
        stacks = draw(net, x.shape[1], seeds=seeds, seed=seed)
        parts = np.concatenate([np.asarray(_with_slopes(stack, x, net, slope)) for stack in stacks])[:seeds]
        found.append(parts.T / parts.sum(axis=1).mean())
    return Slopes(*np.moveaxis(np.array(found), 1, 0))


@partial(jax.jit, static_argnames=("net", "slope"))
def _with_slopes(stack: Params, x: Array, net: Network, slope: float) -> Array:
    learned, fixed = get(f"prelu:{slope}"), get(f"leaky_relu:{slope}")

    def parts(params: Params) -> Array:
        weights = dense_ntk(params, fixed, net, x)[0, 0, 0, 0]
        start = jnp.full(net.depth - 1, slope)
        whole = dense_ntk(replace(params, slopes=start), learned, net, x)[0, 0, 0, 0]
        return jnp.stack([weights, whole - weights])

    return jax.lax.map(parts, stack)
