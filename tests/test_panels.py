"""The rule that panels make: what it integrates exactly, where its marks lie, and which panels are chosen when."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from ntk_eoc.gaussian import expectation
from ntk_eoc.meanfield import SEARCH
from ntk_eoc.panels import REACH, SCALE, STEPS, TAIL, Rule, choose_rule, normal_rule

DEAREST = Rule(tuple(STEPS), tuple(SCALE), True)


@pytest.mark.parametrize("halved", [False, True])
def test_moments_of_the_normal_density(halved: bool) -> None:
    """1, 0, 1, 0, 3, 0, 15: with even panels, and with ones of no width, beyond the cut and out of order among them."""
    for breaks in (STEPS, np.array([*STEPS, 0.3, -40.0, 0.3, 70.0])):
        z, weight = normal_rule(jnp.asarray(breaks), halved)
        found = [float(jnp.sum(weight * z**power)) for power in range(7)]
        np.testing.assert_allclose(found, [1.0, 0.0, 1.0, 0.0, 3.0, 0.0, 15.0], rtol=1e-14, atol=1e-14)


def test_halved_panels_are_cut_in_the_middle() -> None:
    """P(Z > 0.3) to rounding where 0.3 is the middle of a panel, once panels are halved, and not before."""
    breaks = jnp.array([-REACH, -3.0, -0.7, 1.3, 3.0, REACH])
    (z, weight), (finer, its_weight) = normal_rule(breaks), normal_rule(breaks, True)
    exact = special.ndtr(-0.3)
    assert finer.size == 2 * z.size
    assert abs(float(its_weight[finer > 0.3].sum()) - exact) < 1e-12 < 1e-4 < abs(float(weight[z > 0.3].sum()) - exact)


def test_marks_are_dense_near_zero_and_thin_out() -> None:
    """Up to 40 no panel is wider than 2, or than half its distance from 0; from there on they double."""
    marks = np.sort([*SCALE, *TAIL])
    np.testing.assert_array_equal(marks, -marks[::-1])
    right = marks[marks >= 0]
    assert right[0] == 0.0
    near = right[:-1] < np.max(SCALE)
    assert (np.diff(right)[near] <= np.maximum(2.0, 0.5 * right[:-1][near])).all()
    np.testing.assert_array_equal(right[1:][~near], 2.0 * right[:-1][~near])


def test_marks_reach_as_far_as_the_variances_that_are_searched() -> None:
    """And no further than the doubling asks for: every mark beyond is a panel for nothing."""
    assert max(TAIL) / 2 < REACH * math.sqrt(SEARCH[1]) <= max(TAIL)


@pytest.mark.parametrize("q", [1.0, 1e2, 1e4, 1e6, 1e8])
def test_an_algebraic_tail_with_poles_close_by(q: float) -> None:
    """E[1/(1 + x^2)] = sqrt(pi/(2 q)) erfcx(1/sqrt(2 q)): a pole nearer than tanh's, and a tail without an end."""
    exact = math.sqrt(math.pi / (2 * q)) * special.erfcx(1 / math.sqrt(2 * q))
    assert abs(float(expectation(lambda x: 1 / (1 + x * x), jnp.array(q))) / exact - 1) < 1e-13


def test_panels_by_the_variance() -> None:
    """Even ones up to variance 16 itself, never wider than 2.5 of the activation's own units; marks above."""
    apart = jnp.array(0.5)
    for variance in (0.3, 1.0, 1.01, 4.0, 4.1, 16.0):
        steps, marks, close, _ = choose_rule((jnp.array(0.1), jnp.array([variance, 0.2])), apart)
        wide = np.diff(steps)
        np.testing.assert_allclose(wide, wide[0], rtol=1e-12)
        assert (marks, close) == ((), False) and (steps[0], steps[-1]) == (-REACH, REACH)
        unit = wide[0] * math.sqrt(max(variance, 1.0))  # and no narrower than it must be
        assert 1.25 < unit <= 2.5, variance
    assert choose_rule((jnp.array(16.1),), apart) == DEAREST._replace(close=False, half="y")


def test_points_are_close_below_a_hundredth_of_their_size() -> None:
    q = jnp.array(1.0)
    assert [choose_rule((q,), jnp.array([0.3, delta])).close for delta in (0.999e-4, 1e-4)] == [True, False]


def test_where_no_value_is_known_panels_are_the_dearest() -> None:
    assert choose_rule((jnp.zeros(0),), jnp.zeros(0)) == DEAREST
    traced: list[Rule] = []
    jax.jit(lambda q: traced.append(choose_rule((jnp.array(1.0), q), jnp.array(0.5))))(1.0)
    jax.jit(lambda delta: traced.append(choose_rule((jnp.array(1.0),), delta)))(0.5)
    assert traced == [DEAREST, DEAREST]
