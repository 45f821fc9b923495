"""Eq. 8 and 9 of the paper beside networks that are trained: what separates the two, and how it falls with the width.

A trained network differs from the closed form for three reasons: its step is not infinitely small, its kernel at the
start is not the limit, and its kernel moves. With the same steps in both, the first is gone; with the network's own
kernel in the closed form, the second is. Sigmas are standard deviations, times those of the loss sum |f - y|^2/(2N).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float64
from numpy import ndarray

from ntk_eoc.activations import get
from ntk_eoc.data import digits, train_test, unit_norm
from ntk_eoc.dynamics import Spectrum, Training, decompose, descent, fitted, flow, predictions, stability_bound
from ntk_eoc.empirical import dense_ntk
from ntk_eoc.kernels import Kernels, kernels
from ntk_eoc.meanfield import eoc_points
from ntk_eoc.networks import Network, apply, init
from ntk_eoc.optimise import Apply, gradient_descent


@dataclass(frozen=True)
class Config:
    """A dense network on its Edge of Chaos and digits for it, half of the ``images`` to train and half to test.

    The learning rate is ``share`` times the stability bound of the limiting kernel; outputs are seen after ``steps``.
    """

    activation: str = "tanh"
    depth: int = 3
    images: int = 40
    share: float = 0.1
    steps: tuple[int, ...] = (0, 2, 5, 10, 20, 50, 100, 200)


class Task(NamedTuple):
    """Inputs (N, d) and (M, d) of squared norm d, targets one-hot less 1/10."""

    x: Float64[ndarray, "N d"]
    y: Float64[ndarray, "N o"]
    x_test: Float64[ndarray, "M d"]
    y_test: Float64[ndarray, "M o"]


class Limit(NamedTuple):
    """The infinitely wide network: ``kernels`` between all inputs, those for training first, the spectrum of the NTK on
    these, the NTK between test and training inputs, and the learning rate."""

    kernels: Kernels
    spectrum: Spectrum
    cross: Float[Array, "M N"]
    rate: float


class Outputs(NamedTuple):
    """Outputs on training and test inputs at T moments, (T, N, o) and (T, M, o)."""

    train: Any
    test: Any


class Followed(NamedTuple):
    """One trained network, and the closed form from its own f_0 with the limiting kernel and with its own at t = 0."""

    network: Outputs
    limit: Outputs
    own: Outputs


def task(config: Config) -> Task:
    """The digits of a configuration.

    >>> [part.shape for part in task(Config())]
    [(20, 64), (20, 10), (20, 64), (20, 10)]
    """
    return _task(config.images)


@lru_cache
def _task(images: int) -> Task:
    split = train_test(digits(images), test_fraction=0.5)
    rows = [(unit_norm(part.x), np.eye(len(part.classes))[part.y] - 1 / len(part.classes)) for part in split]
    return Task(*rows[0], *rows[1])


def network(config: Config, width: int) -> Network:
    """The network on the Edge of Chaos; sigma_b is 0 for ReLU and its kin and 0.2 for all others."""
    return Network(width, config.depth, *_edge(config.activation))


@lru_cache
def _edge(activation: str) -> tuple[float, float]:
    act = get(activation)
    sigma_b = 0.0 if act.slopes else 0.2
    return sigma_b, eoc_points(act, sigma_b)[0].sigma_w


@lru_cache
def function(activation: str, net: Network) -> Apply:
    """The network as a function of parameters and inputs: one object for each, so that it is compiled once."""
    return lambda params, x: apply(params, get(activation), net, x)


def limit(config: Config) -> Limit:
    """NNGP and NTK of the infinitely wide network for the inputs of a task."""
    found, n = _kernels(config.activation, config.depth, config.images), len(task(config).x)
    spectrum = decompose(found.ntk[:n, :n])
    return Limit(found, spectrum, found.ntk[n:, :n], config.share * stability_bound(spectrum))


@lru_cache
def _kernels(activation: str, depth: int, images: int) -> Kernels:
    config = Config(activation, depth, images)
    data, net = task(config), network(config, 1)
    x = jnp.concatenate([data.x, data.x_test])
    return kernels(get(activation), x, sigma_b=net.sigma_b, sigma_w=net.sigma_w, depth=depth)


def own_kernel(config: Config, net: Network, params: Any, data: Task) -> tuple[Spectrum, Array]:
    """Spectrum (N o) of one network's own NTK on the training inputs, and its NTK (M o, N o) between test and training.

    Outputs of a finite network influence each other, so inputs and outputs are flattened to one index.
    """
    x, size = jnp.concatenate([data.x, data.x_test]), data.y.size
    blocks = dense_ntk(params, get(config.activation), net, x)
    flat = blocks.transpose(0, 2, 1, 3).reshape(len(x) * data.y.shape[1], -1)
    return decompose(0.5 * (flat + flat.T)[:size, :size]), flat[size:, :size]


def closed_form(training: Training, cross: Array, y: ndarray, start: Outputs) -> Outputs:
    """Eq. 8 and 9 from the outputs ``start`` = f_0, for one kernel for each output or one that mixes them (N o).

    >>> training, one = flow(decompose(jnp.eye(2)), jnp.inf), np.ones((2, 1))
    >>> closed_form(training, jnp.eye(2), one, Outputs(0 * one, 0 * one)).test.tolist()
    [[[1.0], [1.0]]]
    """
    rows, others = len(training.spectrum.values), len(cross)
    flat, f0 = y.reshape(rows, -1), start.train.reshape(rows, -1)
    train = fitted(training, flat, f0)
    test = predictions(training, flat, f0, cross=cross, f0_test=start.test.reshape(others, -1))
    return Outputs(train.reshape(-1, *y.shape), test.reshape(-1, *start.test.shape))


def follow(config: Config, width: int, seed: int = 0, *, continuous: bool = False) -> Followed:
    """Train one network and set both closed forms beside it: with its steps, or of the ``continuous`` flow.

    >>> followed = follow(Config("erf", 2, images=10, steps=(0, 5)), width=32)
    >>> bool(np.allclose(followed.network.train[0], followed.own.train[0])), followed.own.test.shape
    (True, (2, 5, 10))
    """
    data, net, steps = task(config), network(config, width), np.array(config.steps)
    wide, o = limit(config), data.y.shape[1]
    params = init(jax.random.key(seed), net, data.x.shape[1], o)
    run = gradient_descent(
        function(config.activation, net), params, data.x, data.y, rate=wide.rate, steps=steps, x_test=data.x_test
    )
    start = Outputs(run.train[0], run.test[0])

    def formula(spectrum: Spectrum, cross: Array, rate: float) -> Outputs:
        training = flow(spectrum, steps * rate) if continuous else descent(spectrum, steps, rate=rate)
        return closed_form(training, cross, data.y, start)

    # for the flattened kernel the N of the loss becomes N o, and times and learning rates o times what they are
    own = formula(*own_kernel(config, net, params, data), o * wide.rate)
    return Followed(Outputs(run.train, run.test), formula(wide.spectrum, wide.cross, wide.rate), own)


def distance(one: Outputs, other: Outputs) -> Float64[ndarray, " 2"]:
    """The root mean square of the difference over inputs and outputs, at its largest moment: (training, test)."""
    gaps = [np.asarray(a) - np.asarray(b) for a, b in zip(one, other, strict=True)]
    return np.array([np.sqrt((gap**2).mean(axis=(1, 2))).max() for gap in gaps])


class Scan(NamedTuple):
    """Distances of S trained networks at each of W ``widths`` from the closed form with the ``limit`` and with their
    ``own`` kernel, on training [0] and test inputs [1]."""

    widths: Float64[ndarray, " W"]
    limit: Float64[ndarray, "2 W S"]
    own: Float64[ndarray, "2 W S"]


def scan(config: Config, widths: Sequence[int], seeds: int, first: int = 0) -> Scan:
    """Both distances at several widths, for networks with the seeds ``first``, ..., ``first`` + ``seeds`` - 1.

    >>> scan(Config("erf", 2, images=10, steps=(0, 5)), [16, 32], 2).own.shape
    (2, 2, 2)
    """
    runs = [[follow(config, width, seed) for seed in range(first, first + seeds)] for width in widths]
    limits = [[distance(run.network, run.limit) for run in row] for row in runs]
    owns = [[distance(run.network, run.own) for run in row] for row in runs]
    return Scan(np.array(widths, float), *(np.moveaxis(np.array(found), -1, 0) for found in (limits, owns)))


class Order(NamedTuple):
    """An exponent and its standard error."""

    value: float
    error: float


def fitted_order(widths: Float64[ndarray, " W"], values: Float64[ndarray, "W S"]) -> Order:
    """The power of the width in ``values``: mean of the S log-log slopes, one a seed, and its standard error.

    >>> fitted_order(np.array([1.0, 2.0, 4.0]), np.array([[8.0, 4.0], [4.0, 2.0], [2.0, 1.0]]))
    Order(value=-1.0, error=0.0)
    """
    slopes = np.polyfit(np.log(widths), np.log(values), 1)[0]
    return Order(float(slopes.mean()), float(slopes.std(ddof=1) / np.sqrt(len(slopes))))
