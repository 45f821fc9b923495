"""One layer on one input and on a pair: the variance and correlation maps and their slopes (Sec. 3.1 and 4)."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ntk_eoc.activations import Activation, derivative
from ntk_eoc.errors import LARGEST, Scalar, reals, require_x64, traceable_sigma
from ntk_eoc.gaussian import TINY, expectation, pair, second_moment


def variance_map(
    act: Activation, q: Float[Array, "*batch"], *, sigma_b: Scalar, sigma_w: Scalar
) -> Float[Array, "*batch"]:
    """q^l = sigma_b^2 + sigma_w^2 E[phi(sqrt(q^{l-1}) Z)^2] (Sec. 3.1); sigmas are standard deviations.

    >>> from ntk_eoc.activations import NAMED
    >>> float(variance_map(NAMED["relu"], jnp.array(2.0), sigma_b=0.0, sigma_w=1.0))
    1.0
    """
    sigma_b, sigma_w = traceable_sigma("sigma_b", sigma_b), traceable_sigma("sigma_w", sigma_w)
    return sigma_b**2 + sigma_w**2 * second_moment(act, q)


def variance_slope(act: Activation, q: Float[Array, "*batch"], *, sigma_w: Scalar) -> Float[Array, "*batch"]:
    """The derivative of ``variance_map`` in q: sigma_w^2 E[x phi(x) phi'(x)]/q at x = sqrt(q) Z; q > 0.

    Its error is about 1e-16 phi(0) phi'(0)/sqrt(q) where q is small.

    >>> from ntk_eoc.activations import NAMED
    >>> float(variance_slope(NAMED["relu"], jnp.array(2.0), sigma_w=1.0).round(12))
    0.5
    """
    require_x64()
    return _slope(act, reals("q", q, TINY**2, LARGEST**2), traceable_sigma("sigma_w", sigma_w))


@partial(jax.jit, static_argnums=0)
def _slope(act: Activation, q: Array, sigma_w: Scalar) -> Array:
    slope = derivative(act)
    return sigma_w**2 * expectation(lambda x: x * act.phi(x) * slope(x), q, act.kinks) / q


def chi(act: Activation, q: Float[Array, "*batch"], *, sigma_w: Scalar) -> Float[Array, "*batch"]:
    """chi = sigma_w^2 E[phi'(sqrt(q) Z)^2] (Sec. 4): ordered below 1, Edge of Chaos at 1, chaotic above.

    >>> from ntk_eoc.activations import NAMED
    >>> float(chi(NAMED["relu"], jnp.array(2.0), sigma_w=2.0))
    2.0
    """
    return traceable_sigma("sigma_w", sigma_w) ** 2 * second_moment(act, q, 1)


def correlation_map(
    act: Activation, q: Float[Array, ""], delta: Float[Array, "*batch"], *, sigma_b: Scalar, sigma_w: Scalar
) -> Float[Array, "*batch"]:
    """1 - f(1 - delta), where f is the correlation map at the variance q of both inputs (Sec. 4).

    1 - f(c) = sigma_w^2 E[(phi(u) - phi(v))^2]/(2 q'), with q' the next variance: exact to rounding however
    small delta is. At a fixed point q' = q.

    >>> from ntk_eoc.activations import NAMED
    >>> float(correlation_map(NAMED["identity"], jnp.array(1.0), jnp.array(1e-18), sigma_b=0.0, sigma_w=1.0))
    1e-18
    """
    sigma_b, sigma_w = traceable_sigma("sigma_b", sigma_b), traceable_sigma("sigma_w", sigma_w)
    power = sigma_w**2 * second_moment(act, q)
    after = sigma_b**2 + power
    found = power * pair(act, q, q, delta).gap / jnp.where(after > 0, after, 1.0)  # nothing but the bias: no gap
    return jnp.where(found > 2.0, 2.0, found)  # by rounding
