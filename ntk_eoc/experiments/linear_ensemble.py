"""Many wide networks trained side by side, beside the Gaussian process that Eq. 8 and 9 of the paper make of them.

f_t is affine in f_0, and f_0 of an infinitely wide network is Gaussian with the NNGP kernel: so f_t has a mean and a
variance in closed form, at every time and every input.
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.dynamics import Ensemble, descent, fitted_ensemble, predicted_ensemble
from ntk_eoc.experiments.linear_training import Config, function, limit, network, task
from ntk_eoc.networks import Network, init
from ntk_eoc.optimise import Apply, gradient_descent


class Sampled(NamedTuple):
    """Outputs (T, N, S, o) of S trained networks, and their mean and variance as the infinitely wide one has them."""

    outputs: Float64[ndarray, "T N S o"]
    predicted: Ensemble


class Moments(NamedTuple):
    """Over S networks: ``mean`` (T, N, o) with its standard ``error``; ``variance`` (T, N), averaged over outputs."""

    mean: Float64[ndarray, "T N o"]
    error: Float64[ndarray, "T N o"]
    variance: Float64[ndarray, "T N"]


def ensemble(config: Config, width: int, networks: int, seed: int = 0) -> tuple[Sampled, Sampled]:
    """Train many networks; what they do on training inputs, and on test inputs.

    They are stacked to one function with S o outputs: a sum of squares over outputs trains each network by itself.

    >>> train, test = ensemble(Config("erf", 2, images=10, steps=(0, 5)), width=16, networks=8)
    >>> train.outputs.shape, test.predicted.variance.shape
    ((2, 5, 8, 10), (2, 5))
    """
    data, net, wide = task(config), network(config, width), limit(config)
    n, steps = len(data.x), np.array(config.steps)
    keys = jax.random.split(jax.random.key(seed), networks)
    many = jax.vmap(lambda key: init(key, net, data.x.shape[1], data.y.shape[1]))(keys)
    together, y = _side_by_side(config.activation, net), np.tile(data.y, (1, networks))
    run = gradient_descent(together, many, data.x, y, rate=wide.rate, steps=steps, x_test=data.x_test)
    training, nngp = descent(wide.spectrum, steps, rate=wide.rate), wide.kernels.nngp
    fit = fitted_ensemble(training, data.y, nngp=nngp[:n, :n])
    others = {"nngp_cross": nngp[n:, :n], "nngp_test": jnp.diag(nngp)[n:]}
    guess = predicted_ensemble(training, data.y, cross=wide.cross, nngp=nngp[:n, :n], **others)
    shapes = [(*part.shape[:2], networks, -1) for part in (run.train, run.test)]
    return Sampled(run.train.reshape(shapes[0]), fit), Sampled(run.test.reshape(shapes[1]), guess)


def moments(outputs: Float64[ndarray, "T N S o"]) -> Moments:
    """Sample mean, its standard error, and sample variance.

    >>> moments(np.array([1.0, 3.0]).reshape(1, 1, 2, 1)).variance.tolist()
    [[2.0]]
    """
    deviation = outputs.std(axis=2, ddof=1)
    return Moments(outputs.mean(axis=2), deviation / np.sqrt(outputs.shape[2]), (deviation**2).mean(axis=-1))


def scores(sampled: Sampled) -> Float64[ndarray, "T N o"]:
    """How many standard errors the sample mean is away from the predicted one."""
    found = moments(sampled.outputs)
    return (found.mean - np.asarray(sampled.predicted.mean)) / found.error


def variance_ratio(sampled: Sampled, blocks: int = 20) -> tuple[Float64[ndarray, " T"], Float64[ndarray, " T"]]:
    """Sample variance over predicted variance, averaged over inputs, with its standard error from blocks of networks.

    >>> train, _ = ensemble(Config("erf", 2, images=10, steps=(0,)), width=16, networks=40)
    >>> ratio, error = variance_ratio(train)
    >>> bool(abs(ratio[0] - 1) < 5 * error[0])
    True
    """
    expected = np.asarray(sampled.predicted.variance)
    parts = np.split(sampled.outputs, blocks, axis=2)
    ratios = np.array([(moments(part).variance / expected).mean(axis=1) for part in parts])
    return ratios.mean(axis=0), ratios.std(axis=0, ddof=1) / np.sqrt(blocks)


@lru_cache
def _side_by_side(activation: str, net: Network) -> Apply:
    one = function(activation, net)
    return lambda params, x: jnp.moveaxis(jax.vmap(lambda p: one(p, x))(params), 0, 1).reshape(len(x), -1)
