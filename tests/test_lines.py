"""Slope gaps of piecewise linear functions: against twenty digits, and against the quadrature for any function."""

import warnings
from collections.abc import Callable

import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from jax import Array

from ntk_eoc import lines, tables, zonal
from ntk_eoc.activations import NAMED, Activation
from ntk_eoc.gaussian import slope_gap

HARD = NAMED["hard_tanh"]


def clipped(low: float, high: float) -> Activation:
    return Activation("clipped", lambda x: jnp.clip(x, low, high), (low, high))


THREE = Activation(
    "three", lambda x: jnp.abs(x + 0.5) + 0.3 * jnp.abs(x - 0.2) - 0.7 * jnp.abs(x - 2.0), (-0.5, 0.2, 2.0)
)
ANGLES = np.array([1e-7, 0.01, 0.1, 0.5, 1.0, 1.5, 2.0, 2.6, 3.0, 3.12, 3.141])
GRID = np.unique(np.concatenate([np.linspace(0.0, np.pi, 4000)[1:-1], np.geomspace(1e-7, 0.1, 200), ANGLES]))


def exact_gap(low: float, high: float, q: float, theta: float) -> float:
    """P(low < u < high, v outside), which is the slope gap of ``clipped``."""
    with mp.workdps(25):
        c, spread, root = mp.cos(theta), mp.sqrt(q) * mp.sin(theta), mp.sqrt(q)

        def outside(u: mp.mpf) -> mp.mpf:
            tails = mp.ncdf((low - c * u) / spread) + mp.ncdf((c * u - high) / spread)
            return mp.npdf(u / root) / root * tails

        marks = [low, high, *(low + (high - low) * mp.mpf(10) ** -k for k in (1, 2, 4, 7))]
        marks += [high - (high - low) * mp.mpf(10) ** -k for k in (1, 2, 4, 7)]
        return float(mp.quad(outside, sorted(marks)))


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (0.0, 6.0)])
@pytest.mark.parametrize("q", [0.2, 3.0, 300.0])
@pytest.mark.thorough(first=3)
def test_a_clipped_line_in_twenty_digits(low: float, high: float, q: float) -> None:
    found = lines.slope_gaps(clipped(low, high), q, GRID)[np.searchsorted(GRID, ANGLES)]
    expected = [exact_gap(low, high, q, float(theta)) for theta in ANGLES]
    np.testing.assert_allclose(found, expected, rtol=3e-12, atol=1e-16)


@pytest.mark.parametrize("act", [HARD, clipped(-0.3, 2.0), THREE], ids=lambda act: act.name)
@pytest.mark.parametrize("q", [0.5, 20.0])
def test_the_quadrature_for_any_function_agrees(act: Activation, q: float) -> None:
    found = lines.slope_gaps(act, q, GRID)[np.searchsorted(GRID, ANGLES[1:-1])]
    expected = np.asarray(slope_gap(act, jnp.array(q), jnp.asarray(2 * np.sin(ANGLES[1:-1] / 2) ** 2)))
    np.testing.assert_allclose(found, expected, rtol=1e-7)  # near pi the quadrature has no more
    np.testing.assert_allclose(found[:-2], expected[:-2], rtol=1e-10)


def test_tables_take_no_quadrature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "slope_gap", lambda *_: pytest.fail("a quadrature for each angle"))
    tables.table.cache_clear()
    for act, q in ((HARD, 0.7), (HARD, 900.0), (THREE, 2.0), (clipped(-1e-3, 1.0), 1.0)):
        tab = zonal.table(act, q)
        g = tables.look_up(tab, jnp.asarray(np.sin(ANGLES / 2)))[1]
        np.testing.assert_allclose(g, lines.slope_gaps(act, q, GRID)[np.searchsorted(GRID, ANGLES)], rtol=1e-9)


@pytest.mark.parametrize("q", [1e-280, 1e-3, 1e20])
def test_any_variance_without_a_warning(q: float) -> None:
    """Far below its kinks phi is a line, without a gap; far beyond them all there is one kink, of all jumps."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip, three = (lines.slope_gaps(act, q, GRID) for act in (HARD, THREE))
    if q < 1:
        assert max(clip.max(), three.max()) < 1e-8
    else:
        np.testing.assert_allclose(three, (2.0 + 0.6 - 1.4) ** 2 * GRID / (2 * np.pi), rtol=1e-2, atol=1e-7)
        assert 0 <= clip.min() and clip.max() < 1e-9


@pytest.mark.parametrize(
    "phi, kinks",
    [
        (jnp.tanh, ()),
        (jnp.tanh, (0.0,)),  # straight nowhere
        (lambda x: jnp.clip(x, -1.0, 1.0), (1.0,)),  # one kink forgotten
        (lambda x: jnp.where(x > 0, x + 1.0, x), (0.0,)),  # a step
        (lambda x: jnp.where(x > 1, 2 * x - 1, x) + 1e-6 * x**2, (1.0,)),
    ],
)
def test_what_is_no_line_between_its_kinks_is_left_to_quadratures(phi: Callable[[Array], Array], kinks: tuple) -> None:
    other = Activation("other", phi, kinks)
    assert not lines.applies(other)
    with pytest.raises(ValueError, match="activation: expected a line between declared kinks, .* got other"):
        lines.slope_gaps(other, 1.0, GRID)


def test_jumps_are_those_of_the_slope() -> None:
    marks, jumps = lines._kinks(THREE)
    assert marks.tolist() == [-0.5, 0.2, 2.0] and jumps == pytest.approx([2.0, 0.6, -1.4], rel=1e-12)
    flight = Activation("flight", lambda x: jnp.clip(x, 0.0, 1e-7) * 1e7, (0.0, 1e-7))
    assert not lines.applies(flight)  # as good as a step


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_what_is_rounding_goes_by_the_size_of_the_slopes(size: float) -> None:
    """At 0.3 + 1e-7 and so on, where one-sided limits are taken from, values are rounded in proportion."""
    assert lines.applies(Activation("lines", lambda x: size * (jnp.abs(x - 0.3) + 0.7 * x), (0.3,)))
    assert not lines.applies(Activation("step", lambda x: size * (x + 1e-3 * (x > 0.3)), (0.3,)))
