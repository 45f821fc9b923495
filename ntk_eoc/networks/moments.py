"""Second moments of random networks, layer by layer, of one or of many."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PRNGKeyArray

from ntk_eoc.activations import Activation, Function
from ntk_eoc.networks.layers import Inputs, Network, Sigmas, check_count, check_inputs, dense, draw, parts, step


class MomentBand(NamedTuple):
    """Mean over independent networks and the standard error of that mean, each of shape (L, N, N)."""

    mean: Float[Array, "L N N"]
    standard_error: Float[Array, "L N N"]


def layer_moments(key: PRNGKeyArray, act: Activation, net: Network, x: Inputs) -> Float[Array, "L N N"]:
    """Empirical covariances y^l(x) . y^l(x') / n of one random network at every layer l = 1, ..., L.

    These are what q^l(x, x') describes as n grows. The network is that of ``init(key, net, d, n, act=act)``, but each
    layer is drawn when it is reached, so only one is in memory. Errors are those of ``apply``.

    >>> from ntk_eoc.activations import NAMED
    >>> layer_moments(jax.random.key(0), NAMED["relu"], Network(8, 5, 0.0, 1.4), jnp.ones((4, 3))).shape
    (5, 4, 4)
    """
    return _moments(key, check_inputs(x), *parts(act, net))


def moment_band(key: PRNGKeyArray, act: Activation, net: Network, x: Inputs, *, seeds: int = 64) -> MomentBand:
    """Monte Carlo over ``seeds`` independent networks: mean and standard error of ``layer_moments``.

    The standard error is sqrt(sample variance / seeds). It measures the scatter between networks only: the
    expectation at finite width differs from q^l by a term of order l / n where phi is not linear. Keeps
    seeds L N^2 numbers. Raises ``ValueError`` if ``seeds`` is below 2, and as ``apply`` does.

    >>> from ntk_eoc.activations import NAMED
    >>> band = moment_band(jax.random.key(0), NAMED["identity"], Network(64, 3, 0.0, 1.0), jnp.ones((1, 4)))
    >>> bool(jnp.all(jnp.abs(band.mean - 1.0) < 6 * band.standard_error))
    True
    """
    keys = jax.random.split(key, check_count("seeds", seeds, least=2))
    return _band(keys, check_inputs(x), *parts(act, net))


@partial(jax.jit, static_argnames=("phi", "net"))
def _moments(key: Array, x: Array, sigmas: Sigmas, phi: Function, net: Network) -> Float[Array, "L N N"]:
    def body(y: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        y = step(y, draw(key, net.width, net.width, x.dtype), None, sigmas, phi, net)
        return y, y @ y.T / net.width

    keys = jax.random.split(key, net.depth)
    y = dense(draw(keys[0], x.shape[1], net.width, x.dtype), x, sigmas)
    return jnp.concatenate([(y @ y.T / net.width)[None], jax.lax.scan(body, y, keys[1:])[1]])


@partial(jax.jit, static_argnames=("phi", "net"))
def _band(keys: Array, x: Array, sigmas: Sigmas, phi: Function, net: Network) -> MomentBand:
    samples = jax.lax.map(lambda key: _moments(key, x, sigmas, phi, net), keys)
    return MomentBand(samples.mean(axis=0), samples.std(axis=0, ddof=1) / math.sqrt(len(keys)))
