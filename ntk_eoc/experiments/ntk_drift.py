"""How far the tangent kernel of a finite network moves while gradient descent trains it (Eq. 6 says: not at all).

The parity of some digits, -1 or 1, is learned by many networks side by side, with half the largest stable learning
rate of the infinitely wide network; a number of steps therefore means the same at every width.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.activations import Activation, get
from ntk_eoc.data import digits
from ntk_eoc.dynamics import decompose, stability_bound
from ntk_eoc.experiments.ensembles import draw, edge, images, kernels_of, limit
from ntk_eoc.networks import Network, Params, apply
from ntk_eoc.optimise import gradient_descent


@dataclass(frozen=True)
class DriftConfig:
    """``seeds`` networks of each size (depth, width); the kernel is looked at after each number of ``steps``."""

    activations: tuple[str, ...] = ("relu", "elu", "tanh")
    sizes: tuple[tuple[int, int], ...] = (
        *((2, width) for width in (64, 256, 1024, 4096)),
        *((3, width) for width in (64, 128, 256, 512)),
        *((12, width) for width in (64, 128)),
    )
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    seeds: int = 32
    images: int = 10


class Drift(NamedTuple):
    """norm(K_t - K_0)/norm(K_0), Frobenius norms over the images, and the mean loss, for C sizes after T steps."""

    moved: Float64[ndarray, "A C T S"]
    loss: Float64[ndarray, "A C T"]


def drift(config: DriftConfig, seed: int = 0) -> Drift:
    """How far the kernel has moved after each number of steps, for every activation, size and network.

    >>> drift(DriftConfig(("tanh",), ((3, 8),), (1, 2), seeds=2, images=3)).moved.shape
    (1, 1, 2, 2)
    """
    found = [[_train(name, *size, config, seed) for size in config.sizes] for name in config.activations]
    moved, loss = zip(*(zip(*row, strict=True) for row in found), strict=True)
    return Drift(np.array(moved), np.array(loss))


def _train(activation: str, depth: int, width: int, config: DriftConfig, seed: int) -> tuple[ndarray, ndarray]:
    """(moved (T, S), loss (T,)) of the networks of one size."""
    act, net, x = get(activation), edge(activation, width=width, depth=depth), images(config.images)
    y = jnp.asarray(np.where(digits(config.images).y % 2, 1.0, -1.0))[:, None]
    rate = stability_bound(decompose(limit(act, net, x))) / 2
    params = _one_stack(net, x.shape[1], config.seeds, seed)
    function = partial(side_by_side, act, net)
    start, now = np.asarray(kernels_of(params, x, act, net)), 0
    moved, losses = [], []
    for count in config.steps:
        run = gradient_descent(function, params, x, jnp.tile(y, config.seeds), rate=rate, steps=[count - now])
        params, now = run.params, count
        change = np.asarray(kernels_of(params, x, act, net)) - start
        moved.append(np.linalg.norm(change, axis=(1, 2)) / np.linalg.norm(start, axis=(1, 2)))
        losses.append(run.loss[-1] / config.seeds)
    return np.array(moved), np.array(losses)


def side_by_side(act: Activation, net: Network, stack: Params, x: Array) -> Array:
    """Outputs (N, S) of S networks: with squared loss each of them trains as if it were alone."""
    return jax.vmap(lambda params: apply(params, act, net, x)[:, 0], out_axes=1)(stack)


def _one_stack(net: Network, d: int, seeds: int, seed: int) -> Params:
    stacks = list(draw(net, d, seeds=seeds, seed=seed))
    return jax.tree.map(lambda *parts: jnp.concatenate(parts)[:seeds], *stacks)
