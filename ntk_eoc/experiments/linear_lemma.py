"""Lemma 1 of the paper: what a singular kernel leaves unlearned, and how long a nearly singular one takes.

Two ways to a singular K(X, X), both of which bind the trained network as well: inputs that occur twice, and a linear
network with more inputs than an affine function has parameters. Either way the outputs f(X) of every such network,
before, during and after training, lie in the column space of a known matrix; the projection on its complement is
built from that matrix alone and knows no kernel.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.activations import get
from ntk_eoc.data import digits, train_test, unit_norm
from ntk_eoc.dynamics import decompose, descent, residuals, stability_bound
from ntk_eoc.experiments.linear_training import Config, function, task
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import chi, eoc_points, limit_variance
from ntk_eoc.networks import Network, init
from ntk_eoc.optimise import gradient_descent


class Case(NamedTuple):
    """Training data with a singular kernel: network, activation, inputs, targets, and the projection ``lost`` on the
    null space of every kernel that such a network can have."""

    net: Network
    activation: str
    x: Float64[ndarray, "N d"]
    y: Float64[ndarray, "N o"]
    lost: Float64[ndarray, "N N"]


def twice(width: int = 128, images: int = 10) -> Case:
    """A tanh network, every image twice, the second time with the label of the image after it.

    >>> case = twice()
    >>> case.x.shape, round(float(np.trace(case.lost)))
    ((20, 64), 10)
    """
    data, edge = task(Config(images=2 * images)), eoc_points(get("tanh"), 0.2)[0]
    pairs = np.kron(np.eye(images), np.ones((2, 1)))
    y = np.stack([data.y, np.roll(data.y, -1, axis=0)], axis=1).reshape(2 * images, -1)
    return Case(Network(width, 3, 0.2, edge.sigma_w), "tanh", pairs @ data.x, y, _complement(pairs))


def linear(width: int = 64, images: int = 40) -> Case:
    """Three layers without an activation, on digits of 4 x 4 pixels: affine functions, with 17 numbers to choose.

    >>> case = linear()
    >>> case.x.shape, round(float(np.trace(case.lost)))
    ((40, 16), 23)
    """
    data = digits(images)
    coarse = data._replace(x=data.x.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(images, 16))
    small = unit_norm(coarse.x - coarse.x.mean(axis=0))
    y = np.eye(10)[data.y] - 0.1
    features = np.concatenate([small, np.ones((images, 1))], axis=1)
    return Case(Network(width, 3, 0.3, 1.0), "identity", small, y, _complement(features))


def _complement(features: Float64[ndarray, "N p"]) -> Float64[ndarray, "N N"]:
    basis, _ = np.linalg.qr(features)
    return np.eye(len(features)) - basis @ basis.T


def reachable(case: Case) -> Case:
    """The same case with the nearest targets that its networks can reach.

    >>> bool(np.abs(reachable(twice()).lost @ reachable(twice()).y).max() < 1e-14)
    True
    """
    return case._replace(y=case.y - case.lost @ case.y)


class Residual(NamedTuple):
    """Norms over steps (T,) of f - Y, in units of its start: of the ``network``, of the ``formula`` with the singular
    limiting kernel from the same f_0, and of the network's part in the null space, ``stuck``. ``floor`` is that of Y,
    and ``silent`` that of f_0, in the null space."""

    network: Float64[ndarray, " T"]
    formula: Float64[ndarray, " T"]
    stuck: Float64[ndarray, " T"]
    floor: float
    silent: float


def train_singular(case: Case, steps: tuple[int, ...], *, share: float = 0.5, seed: int = 0) -> Residual:
    """Train one network, and follow Eq. 8 with the kernel of the infinitely wide one.

    >>> found = train_singular(twice(), (0, 20))
    >>> bool(found.network[1] > found.floor), bool(abs(found.stuck[1] / found.floor - 1) < 1e-9)
    (True, True)
    """
    net = case.net
    x, sigmas = jnp.asarray(case.x), (net.sigma_b, net.sigma_w)
    gram = kernels(get(case.activation), x, sigma_b=sigmas[0], sigma_w=sigmas[1], depth=net.depth).ntk
    spectrum = decompose(gram)
    rate = share * stability_bound(spectrum)
    params = init(jax.random.key(seed), net, case.x.shape[1], case.y.shape[1])
    run = gradient_descent(function(case.activation, net), params, case.x, case.y, rate=rate, steps=np.array(steps))
    formula = np.asarray(residuals(descent(spectrum, np.array(steps), rate=rate), case.y, run.train[0]))
    unit = np.linalg.norm(run.train[0] - case.y)

    def size(matrices: ndarray) -> Any:
        return np.linalg.norm(matrices, axis=(-2, -1)) / unit

    gap = run.train - case.y
    floor, silent = float(size(case.lost @ case.y)), float(size(case.lost @ run.train[0]))
    return Residual(size(gap), size(formula), size(case.lost @ gap), floor, silent)


@dataclass(frozen=True)
class ScaleConfig:
    """An erf network in each phase (None: the Edge of Chaos) and some digits to train on."""

    images: int = 20
    sigma_b: float = 0.2
    sigma_w: tuple[float | None, ...] = (0.9, None, 2.0)
    depth: int = 60


class Scales(NamedTuple):
    """At depths 2..L: the ``slowest`` time N/lambda_min of Eq. 8 and the ``condition`` lambda_max/lambda_min, which is
    the number of steps of half the largest learning rate that this time takes."""

    sigma_w: float
    chi: float
    depth: Float64[ndarray, " L"]
    slowest: Float64[ndarray, " L"]
    condition: Float64[ndarray, " L"]


def time_scales(config: ScaleConfig) -> tuple[Scales, ...]:
    """How long the slowest direction takes in each phase, layer by layer.

    >>> ordered, edge, chaotic = time_scales(ScaleConfig(images=5, depth=30))
    >>> bool(ordered.condition[-1] > 100 * edge.condition[-1]), round(float(chaotic.condition[-1]), 2)
    (True, 1.0)
    """
    grams = _grams(config)
    found = []
    for sigma_w, slope, stack in grams:
        values = np.array([np.linalg.eigvalsh(gram)[[0, -1]] for gram in stack[1:]])
        depth = np.arange(2.0, config.depth + 1.0)
        found.append(Scales(sigma_w, slope, depth, config.images / values[:, 0], values[:, 1] / values[:, 0]))
    return tuple(found)


def _grams(config: ScaleConfig) -> list[tuple[float, float, ndarray]]:
    act, x, sigma_b = get("erf"), jnp.asarray(unit_norm(_first(config.images)[0])), config.sigma_b
    found = []
    for choice in config.sigma_w:
        sigma_w = eoc_points(act, sigma_b)[0].sigma_w if choice is None else choice
        slope = float(chi(act, jnp.array(limit_variance(act, sigma_b=sigma_b, sigma_w=sigma_w)), sigma_w=sigma_w))
        stack = kernels(act, x, sigma_b=sigma_b, sigma_w=sigma_w, depth=config.depth, every_depth=True).ntk
        found.append((sigma_w, slope, np.asarray(stack)))
    return found


def _first(images: int) -> tuple[ndarray, ndarray]:
    train = train_test(digits(2 * images), test_fraction=0.5).train
    return train.x, np.eye(10)[train.y] - 0.1


def losses(config: ScaleConfig, depths: tuple[int, ...], steps: ndarray) -> Float64[ndarray, "P D T"]:
    """The loss over its start, from f = 0, in each phase at some depths, after numbers of steps of half the bound.

    >>> found = losses(ScaleConfig(images=5, depth=20), (3, 20), np.array([0.0, 10.0]))
    >>> found.shape, bool((found[:, :, 0].round(12) == 1).all())
    ((3, 2, 2), True)
    """
    y = _first(config.images)[1]
    found = []
    for _, _, stack in _grams(config):
        row = []
        for depth in depths:
            spectrum = decompose(stack[depth - 1])
            left = residuals(descent(spectrum, steps, rate=0.5 * stability_bound(spectrum)), y, 0 * y)
            row.append(np.sum(np.asarray(left) ** 2, axis=(1, 2)) / np.sum(y**2))
        found.append(row)
    return np.array(found)
