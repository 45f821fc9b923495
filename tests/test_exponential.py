"""Slope gaps of ELU and its like: against twenty digits, and against the quadrature for any function."""

import warnings
from collections.abc import Callable

import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from jax import Array
from numpy import ndarray
from numpy.polynomial.chebyshev import chebpts1

from ntk_eoc import exponential, tables
from ntk_eoc.activations import NAMED, Activation
from ntk_eoc.gaussian import slope_gap


def bent(a: float, b: float, beyond: float) -> Activation:
    """phi' = a exp(b x) left of 0 and ``beyond`` right of it."""
    left = lambda x: a / b * jnp.expm1(b * jnp.minimum(x, 0.0))  # noqa: E731
    return Activation(f"bent {a} {b} {beyond}", lambda x: jnp.where(x > 0, beyond * x, left(x)), (0.0,))


def nodes(act: Activation, q: float) -> tuple[ndarray, ndarray, ndarray]:
    """Of the table: those of sin(theta/2) on the innermost panel, angles on the others, the panels' edges."""
    edges = tables.panels_of(act, q)
    s = np.sin(edges[0] / 2) * 0.5 * (1 + chebpts1(tables.SERIES))
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    return s, middle[:, None] + half[:, None] * chebpts1(tables.DEGREE), edges


def exact_gap(act: tuple[float, float, float], q: float, theta: float) -> float:
    """E[phi'(u) (phi'(u) - phi'(v))], the mean over v given u in closed form."""
    with mp.workdps(30):
        a, b, beyond = map(mp.mpf, act)
        c, spread, root = mp.cos(mp.mpf(theta)), mp.sqrt(q) * mp.sin(mp.mpf(theta)), mp.sqrt(q)

        def slope(x: mp.mpf) -> mp.mpf:
            return a * mp.exp(b * x) if x < 0 else beyond

        def mean(u: mp.mpf) -> mp.mpf:  # of phi'(v) given u, v ~ N(c u, spread^2)
            left = a * mp.exp(b * c * u + (b * spread) ** 2 / 2) * mp.ncdf(-c * u / spread - b * spread)
            return left + beyond * mp.ncdf(c * u / spread)

        steps = [sign * root * mp.mpf(10) ** -k for sign in (-1, 1) for k in np.arange(-1.2, 9.0, 0.6)]
        marks = sorted(
            [mp.mpf(0), *steps, *(-spread * 4**k for k in range(-2, 4)), *(spread * 4**k for k in range(-2, 4))]
        )
        return float(mp.quad(lambda u: mp.npdf(u / root) / root * slope(u) * (slope(u) - mean(u)), marks))


@pytest.mark.parametrize("given", [(1.0, 1.0, 1.0), (1.75, 1.0, 1.05), (0.5, 3.0, -0.2)])
@pytest.mark.parametrize("q", [0.3, 40.0, 1e-4])
@pytest.mark.thorough(first=4)
def test_twenty_digits(given: tuple[float, float, float], q: float) -> None:
    act = bent(*given)
    s, theta, edges = nodes(act, q)
    found = exponential.slope_gaps(act, q, s, theta, edges)
    angles = np.append(2 * np.arcsin(s), theta)
    some = np.unique(np.linspace(0, len(angles) - 1, 9).astype(int))
    expected = [exact_gap(given, q, angle) for angle in angles[some]]
    np.testing.assert_allclose(found[some], expected, rtol=2e-13)


@pytest.mark.parametrize("q", [1e-12, 1e-4, 1.0, 30.0, 1e9])
def test_a_quarter_of_the_plane_in_twenty_digits(q: float) -> None:
    """u + v first: E = int_0^inf exp(-sqrt(2) a) erf(a/sqrt(2 q (1 - c))) over a of variance q (1 + c)."""
    for theta in (1e-7, 0.02, 1.0, 2.5, 3.14159):
        with mp.workdps(30):
            wide, narrow = (mp.sqrt(2 * q) * side for side in (mp.cos(mp.mpf(theta) / 2), mp.sin(mp.mpf(theta) / 2)))
            lengths = [1 / mp.sqrt(2), wide, narrow]
            marks = sorted({mp.mpf(0), *(length * mp.mpf(4) ** k for length in lengths for k in range(-3, 4))})
            marks = [mark for mark in marks if mark < 60 * min(wide, 1)] + [60 * min(wide, 1)]
            density = lambda a: mp.npdf(a / wide) / wide * mp.exp(-mp.sqrt(2) * a) * mp.erf(a / narrow / mp.sqrt(2))  # noqa: B023, E731
            expected = float(mp.quad(density, marks))
        assert exponential.quarter(q, np.array([theta]))[0] == pytest.approx(expected, rel=3e-14)


@pytest.mark.parametrize("name", ["elu", "selu"])
@pytest.mark.parametrize("q", [0.5, 20.0])
def test_the_quadrature_for_any_function_agrees(name: str, q: float) -> None:
    act = NAMED[name]
    s, theta, edges = nodes(act, q)
    found = exponential.slope_gaps(act, q, s, theta, edges)[::17]
    delta = 2 * np.append(s, np.sin(theta / 2))[::17] ** 2
    expected = np.concatenate([np.asarray(slope_gap(act, jnp.array(q), jnp.array([d]))) for d in delta])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_tables_take_no_quadrature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "slope_gap", lambda *_: pytest.fail("a quadrature for each angle"))
    tables.table.cache_clear()
    for name, q in (("elu", 0.7), ("selu", 900.0), ("elu", 1e20)):
        assert tables.table(NAMED[name], q).slopes > 0.5


@pytest.mark.parametrize("q", [1e-300, 1e-30, 1e24])
def test_any_variance_without_a_warning(q: float) -> None:
    """Near 0 all there is of SELU is its kink; far out the curve is a kink too, from slope 0 to that on the right."""
    s, theta, edges = nodes(NAMED["selu"], q)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = exponential.slope_gaps(NAMED["selu"], q, s, theta, edges)
    a, _, step = exponential._sides(NAMED["selu"])
    turn = step if q < 1 else a + step
    angles = np.append(2 * np.arcsin(s), theta)
    wide = angles > 1e-9  # those across which the curve is as good as a kink
    np.testing.assert_allclose(found[wide], (turn**2 * angles / (2 * np.pi))[wide], rtol=1e-2)


@pytest.mark.parametrize(
    "phi, kinks",
    [
        (jnp.tanh, ()),
        (jnp.tanh, (0.0,)),
        (lambda x: jnp.where(x > 0, x, jnp.expm1(x)), ()),  # its kink not declared
        (lambda x: jnp.where(x > 0, x, jnp.expm1(x)), (0.0, 1.0)),
        (lambda x: jnp.where(x > 0, x + 1e-3, jnp.expm1(x)), (0.0,)),  # a step
        (lambda x: jnp.where(x > 0, x, jnp.expm1(-x)), (0.0,)),  # grows to the left
        (lambda x: jnp.where(x > 0, x, 0.0), (0.0,)),
        (lambda x: jnp.where(x > 0, x, jnp.expm1(x) + 1e-9 * x), (0.0,)),
        (lambda x: jnp.where(x > 0, x + 1e-9 * x**2, jnp.expm1(x)), (0.0,)),
    ],
)
def test_what_is_not_like_elu_is_left_to_quadratures(phi: Callable[[Array], Array], kinks: tuple[float, ...]) -> None:
    other = Activation("other", phi, kinks)
    assert not exponential.applies(other)
    with pytest.raises(ValueError, match="activation: expected phi' exponential left of a kink at 0 .* got other"):
        exponential.slope_gaps(other, 1.0, *nodes(other, 1.0))


@pytest.mark.parametrize("given", [(1e-9, 0.01, 2e-9), (-3e8, 40.0, 1e9)])
def test_sides_are_found_at_any_size(given: tuple[float, float, float]) -> None:
    a, b, step = exponential._sides(bent(*given))
    assert (a, b, a + step) == pytest.approx(given, rel=1e-13)
