"""One layer's maps: against each other's derivatives, at the ends of what they take, and where rounding would leave
the range."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import maps
from ntk_eoc.activations import NAMED
from ntk_eoc.errors import LARGEST
from ntk_eoc.gaussian import TINY, Pair

ERF, TANH, RELU = NAMED["erf"], NAMED["tanh"], NAMED["relu"]
SIGMAS = {"sigma_b": 0.3, "sigma_w": 1.7}


def test_maps_of_relu_by_hand() -> None:
    """b^2 + w^2 q/2, w^2/2 and 1 - f = w^2 q/2 gap/(b^2 + w^2 q/2), where gap = 1 - 1/pi for orthogonal inputs."""
    q = jnp.array(3.0)
    half = 1.7**2 * 3.0 / 2
    np.testing.assert_allclose(maps.variance_map(RELU, q, **SIGMAS), 0.09 + half, rtol=1e-15)
    np.testing.assert_allclose(maps.chi(RELU, q, sigma_w=1.7), 1.7**2 / 2, rtol=1e-15)
    found = maps.correlation_map(RELU, q, jnp.array(1.0), **SIGMAS)
    np.testing.assert_allclose(found, half * (1 - 1 / math.pi) / (0.09 + half), rtol=1e-14)


@pytest.mark.parametrize("q", [1e-3, 0.7, 40.0])
def test_the_slope_is_the_derivative_of_the_variance_map(q: float) -> None:
    """By panels on one side, by differentiating erf's closed form on the other."""
    slope = jax.grad(lambda v: maps.variance_map(ERF, v, **SIGMAS))(jnp.array(q))
    np.testing.assert_allclose(maps.variance_slope(ERF, jnp.array(q), sigma_w=1.7), slope, rtol=1e-12)


def test_the_slope_at_the_ends_of_what_it_takes() -> None:
    """At the least variance phi is its tangent; at the greatest, tanh has saturated and the slope is 0."""
    ends = jnp.array([TINY**2, LARGEST**2])
    np.testing.assert_allclose(maps.variance_slope(TANH, ends, sigma_w=1.7), [1.7**2, 0.0], rtol=1e-12, atol=1e-12)
    for beyond in (0.0, 0.9 * TINY**2, 1.1 * LARGEST**2):
        with pytest.raises(ValueError, match="q: expected finite numbers from 1e-280 to 1e\\+100"):
            maps.variance_slope(TANH, jnp.array(beyond), sigma_w=1.7)


def test_a_gap_that_rounding_has_put_above_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 - f lies in [0, 2], whatever the last digit of the integrals is: what comes after takes nothing else."""

    def rounded(act: object, q1: jax.Array, q2: jax.Array, delta: jax.Array) -> Pair:
        return Pair(jnp.where(delta == 2.0, 2.0 + 1e-15, delta), delta, delta)

    monkeypatch.setattr(maps, "pair", rounded)
    found = maps.correlation_map(ERF, jnp.array(1.0), jnp.array([0.5, 1.0, 2.0]), sigma_b=0.0, sigma_w=1.0)
    np.testing.assert_array_equal(found[:2], [0.5, 1.0])
    assert float(found[2]) == 2.0
