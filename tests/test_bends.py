"""Slope gaps from E[phi'' phi''] on one grid, against closed forms, quadrature of their own, and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebpts1

from ntk_eoc import bends
from ntk_eoc.activations import NAMED, Activation, derivative
from ntk_eoc.bends import applies, products, slope_gaps
from ntk_eoc.gaussian import expectation, slope_gap
from ntk_eoc.tables import panels_of, table_on

# GELU by another formula than the one whose closed form is known.
OWN = Activation("own", lambda x: x * jax.scipy.special.ndtr(x))
DELTA = np.array([2.0 - 1e-6, 1.7, 1.0, 0.3, 1e-2, 1e-5, 1e-9, 1e-13])


@pytest.mark.parametrize("q", [1e-6, 0.04, 0.6, 3.0, 50.0, 1e4, 1e12])
def test_products_at_every_variance_and_angle(q: float) -> None:
    """Of GELU: with s = 1 + q and D = s^2 - r^2, 2 pi h = D^(-1/2) + 2 s D^(-3/2) + (s^2 + 2 r^2) D^(-5/2)."""
    delta = DELTA[DELTA * q > 1e-12]  # closer pairs are between no nodes of a table
    s, r, d = 1 + q, q * (1 - delta), (1 + q * delta) * (1 + q * (2 - delta))
    expected = (d**-0.5 + 2 * s * d**-1.5 + (s * s + 2 * r * r) * d**-2.5) / (2 * np.pi)
    np.testing.assert_allclose(products(OWN, q, delta, 2 - delta), expected, rtol=1e-13)


@pytest.mark.parametrize("q", [0.3, 7.0, 1e9])
def test_slope_gaps_on_the_panels_of_a_table(q: float) -> None:
    """All digits, however close two points are: against GELU's closed form in 1 - correlation, which has fewer of them
    for opposite points."""
    edges = panels_of(OWN, q)
    s = np.sin(edges[0] / 2) * 0.5 * (1 + chebpts1(12))
    theta = 0.5 * (edges[1:] + edges[:-1])[:, None] + 0.5 * np.diff(edges)[:, None] * chebpts1(24)
    delta = 2 * np.concatenate([s, np.sin(theta / 2).ravel()]) ** 2
    expected = slope_gap(NAMED["gelu"], jnp.array(q), jnp.asarray(delta))
    told = 2.0 - delta > 1e-4
    np.testing.assert_allclose(slope_gaps(OWN, q, s, theta, edges)[told], expected[told], rtol=2e-14)
    assert told.sum() > 0.5 * told.size


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "silu"])
@pytest.mark.thorough(first=2)
def test_pairs_that_close_up_bend_as_one(name: str) -> None:
    """g/(q delta) tends to E[phi''^2], a one-dimensional integral."""
    act, q, s = NAMED[name], 0.8, 0.01 * (1 + chebpts1(12))
    found, bend = slope_gaps(act, q, s, np.zeros((0, 6)), np.array([2 * np.arcsin(0.02)])), derivative(act, 2)
    limit = float(expectation(lambda x: bend(x) ** 2, jnp.array(q)))
    assert abs(found[0] / (q * 2 * s[0] ** 2) / limit - 1) < 1e-7 < abs(found[-1] / (q * 2 * s[-1] ** 2) / limit - 1)


def test_only_smooth_functions_that_bend_near_zero_alone() -> None:
    """No kinks, no tail that bends as x^-3, no line, nothing that is not finite."""
    assert [applies(NAMED[name]) for name in ("tanh", "gelu", "relu", "elu", "hard_tanh", "identity")] == [True] * 2 + [
        False
    ] * 4
    assert not applies(Activation("algebraic", lambda x: x / jnp.sqrt(1 + x * x)))
    assert not applies(Activation("waves", lambda x: x + jnp.sin(x)))
    assert not applies(Activation("line", lambda x: 2 * x))
    assert not applies(Activation("steep", lambda x: jnp.exp(x * x)))


def test_a_table_asks_for_one_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of angles; and always of one shape, so that it is compiled once."""
    shapes = []
    whole = bends._grid

    def counted(act: Activation, a: jax.Array, b: jax.Array) -> jax.Array:
        shapes.append((a.shape, b.shape))
        return whole(act, a, b)

    monkeypatch.setattr(bends, "_grid", counted)
    for q in (0.01, 0.9, 40.0, 1e9):
        table_on(panels_of(NAMED["tanh"], q), NAMED["tanh"], q)
    assert len(shapes) == 4 and len(set(shapes)) == 1
