"""Closed forms against quadrature, and against other closed forms in 50 digits that subtract from one freely."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from ntk_eoc.activations import NAMED, Activation, get
from ntk_eoc.closed_forms import angle, closed_form, sin_minus_theta_cos, slope_gap_form
from ntk_eoc.gaussian import Pair, pair, pair_by_panels, slope_gap, slope_gap_by_panels
from ntk_eoc.panels import Rule

SPECS = ["relu", "leaky_relu:0.3", "erf", "sin"]
DELTAS = [2.0, 1.9999, 1.3, 1.0, 0.1, 1e-3, 1e-6, 1e-9, 1e-12, 1e-14]
VARIANCES = [(1.0, 1.0), (0.7, 2.5), (3.0, 2.999), (1e-3, 1e-2)]
ONE_RULE = Rule(tuple(np.linspace(-10.0, 10.0, 21)), (), True)  # enough for all of them, and one compilation


@cache
def both_ways(spec: str) -> tuple[np.ndarray, Pair, Pair]:
    act = get(spec)
    grid = np.array([(q1, q2, delta) for q1, q2 in VARIANCES for delta in DELTAS])
    columns = [jnp.asarray(column) for column in grid.T]
    return grid, pair(act, *columns), pair_by_panels(act, *columns, ONE_RULE)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.thorough(first=2)
def test_gaps_agree_with_quadrature(spec: str) -> None:
    grid, closed, panels = both_ways(spec)
    assert closed_form(get(spec)) is not None and grid[:, 2].min() == 1e-14
    gap = np.asarray(closed.gap)
    assert (gap > 0).all()
    same = grid[:, 0] == grid[:, 1]
    np.testing.assert_allclose(panels.gap[same], gap[same], rtol=2e-12)
    # unequal variances: the panels square a difference that rounds at 1e-16, the closed forms form one
    assert (np.abs(panels.gap - gap) < 2e-12 * gap + 1e-15 * np.sqrt(gap) * (gap < 1e-6) + 4e-16).all()


@pytest.mark.parametrize("spec", SPECS)
def test_slopes_agree_with_quadrature(spec: str) -> None:
    grid, closed, panels = both_ways(spec)
    np.testing.assert_allclose(closed.slope_product, panels.slope_product, rtol=2e-12, atol=1e-14)
    same = grid[:, 0] == grid[:, 1]
    np.testing.assert_allclose(closed.slope_gap[same], panels.slope_gap[same], rtol=1e-11, atol=1e-30)
    np.testing.assert_allclose(closed.slope_gap, panels.slope_gap, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("q", [1e-8, 0.58, 3.0, 15.0, 40.0])
@pytest.mark.thorough(first=2)
def test_the_slope_gap_of_gelu_agrees_with_quadrature(q: float) -> None:
    act, delta = NAMED["gelu"], jnp.asarray(DELTAS)
    assert slope_gap_form(act) is not None and closed_form(act) is None
    by_panels = slope_gap_by_panels(act, jnp.array(q), delta)
    np.testing.assert_allclose(slope_gap(act, jnp.array(q), delta), by_panels, rtol=1e-12)


@pytest.mark.parametrize("q", [0.3, 1e3, 1e9, 1e90])
@pytest.mark.parametrize("delta", [2.0, 1.4, 1e-4, 1e-13])
def test_the_slope_gap_of_gelu_in_digits(q: float, delta: float) -> None:
    """From E[phi'(u) phi'(v)] itself, phi'(x) = Phi(x) + x Phi'(x), by Stein's lemma; subtracted in 250 digits."""
    with mp.workdps(250):
        s = 1 + mpf(q)

        def product(r: mpf) -> mpf:
            det = s * s - r * r
            densities = 1 / (2 * mp.pi * mp.sqrt(det))  # E[Phi'(u) Phi'(v)]
            return mp.mpf(1) / 4 + mp.asin(r / s) / (2 * mp.pi) + densities * (2 * r / s + r / det)

        expected = product(mpf(q)) - product(mpf(q) * (1 - mpf(delta)))
        found = slope_gap(NAMED["gelu"], jnp.array(q), jnp.array([delta]))
        assert abs(mpf(float(found[0])) / expected - 1) < 1e-14


def mp_forms(name: str, q1: float, q2: float, delta: float) -> tuple[mpf, mpf, mpf]:
    """(gap, E[phi'(u) phi'(v)], E[phi'(u)^2]) from the textbook forms in the correlation."""
    a, b, c = mpf(q1), mpf(q2), 1 - mpf(delta)
    r = mp.sqrt(a * b) * c
    if name == "relu":  # Cho and Saul 2009
        theta = mp.acos(c)
        return 1 - (mp.sin(theta) + (mp.pi - theta) * c) / mp.pi, (mp.pi - theta) / (2 * mp.pi), mpf(1) / 2
    if name == "erf":  # Williams 1997

        def kernel(x: mpf, y: mpf, xy: mpf) -> mpf:
            return mp.asin(2 * xy / mp.sqrt((1 + 2 * x) * (1 + 2 * y)))

        def slopes(x: mpf, y: mpf, xy: mpf) -> mpf:
            return 4 / mp.pi / mp.sqrt((1 + 2 * x) * (1 + 2 * y) - 4 * xy * xy)

        return 1 - kernel(a, b, r) / mp.sqrt(kernel(a, a, a) * kernel(b, b, b)), slopes(a, b, r), slopes(a, a, a)
    damp = mp.exp(-(a + b) / 2)  # E sin u sin v and E cos u cos v from the characteristic function of u +- v
    norm = mp.sqrt(mp.exp(-a) * mp.sinh(a) * mp.exp(-b) * mp.sinh(b))
    return 1 - damp * mp.sinh(r) / norm, damp * mp.cosh(r), (1 + mp.exp(-2 * a)) / 2


exponents = st.floats(-16.0, 0.301)


@pytest.mark.parametrize("name", ["relu", "erf", "sin"])
@settings(max_examples=30)
@given(log_q=st.floats(-4.0, 3.0), log_delta=exponents)
@example(log_q=3.0, log_delta=-16.0)
@example(log_q=-4.0, log_delta=-14.0)
def test_equal_variances_against_fifty_digits(name: str, log_q: float, log_delta: float) -> None:
    q, delta = 10**log_q, min(10**log_delta, 2.0)
    found = pair(NAMED[name], *(jnp.array(v) for v in (q, q, delta)))
    with mp.workdps(50):
        gap, product, square = mp_forms(name, q, q, delta)
        assert abs(mpf(float(found.gap)) / gap - 1) < 1e-13
        assert abs(mpf(float(found.slope_product)) - product) < 1e-14
        assert abs(mpf(float(found.slope_gap)) / (square - product) - 1) < 1e-13


@pytest.mark.parametrize("name", ["erf", "sin"])
@settings(max_examples=30)
@given(log_q=st.floats(-4.0, 2.0), log_ratio=st.floats(-12.0, 0.5), log_delta=exponents)
@example(log_q=0.0, log_ratio=-3.0, log_delta=-16.0)
@example(log_q=0.0, log_ratio=-3.1, log_delta=-9.0)
@example(log_q=2.0, log_ratio=-2.9, log_delta=-6.0)
def test_unequal_variances_against_fifty_digits(name: str, log_q: float, log_ratio: float, log_delta: float) -> None:
    q1, delta = 10**log_q, min(10**log_delta, 2.0)
    q2 = q1 * (1 + 10**log_ratio)
    found = pair(NAMED[name], *(jnp.array(v) for v in (q1, q2, delta)))
    with mp.workdps(50):
        gap, product, _ = mp_forms(name, q1, q2, delta)
        assert abs(mpf(float(found.gap)) - gap) < 1e-15 + 1e-12 * gap
        assert abs(mpf(float(found.slope_product)) - product) < 1e-14


@pytest.mark.parametrize("name", ["erf", "sin"])
@pytest.mark.parametrize("q", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("ratio", [1e-10, 1e-6, 1e-3, 0.01, 0.1, 1.0])
def test_what_unequal_variances_cost_keeps_its_digits(name: str, q: float, ratio: float) -> None:
    """delta = 0: the gap comes from the variances alone, and is tiny where phi has saturated or they are close."""
    found = pair(NAMED[name], *(jnp.array(v) for v in (q, q * (1 + ratio), 0.0)))
    with mp.workdps(60):
        gap = mp_forms(name, q, q * (1 + ratio), 0.0)[0]
        assert abs(mpf(float(found.gap)) / gap - 1) < 2e-11


def test_relu_gap_does_not_depend_on_the_variances() -> None:
    found = pair(NAMED["relu"], jnp.array([1e-3, 1.0]), jnp.array([40.0, 1.0]), jnp.array([0.2, 0.2]))
    assert float(found.gap[0]) == float(found.gap[1])


@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.3, 1.0])
def test_relu_like_by_splitting_into_two_relus(slope: float) -> None:
    """phi(x) = relu(x) - slope relu(-x): E phi phi = (1 + slope^2) K(c) - 2 slope K(-c), K the arc-cosine kernel."""
    act = Activation("two sided", get(f"leaky_relu:{slope}").phi, (0.0,), (1.0, slope))
    delta = np.linspace(0.0, 2.0, 21)
    found = pair(act, *(jnp.asarray(v) for v in (1.3 + 0 * delta, 0.2 + 0 * delta, delta)))

    def kernel(c: np.ndarray) -> np.ndarray:
        theta = np.arccos(c)
        return (np.sin(theta) + (np.pi - theta) * c) / (2 * np.pi)

    power = (1 + slope**2) / 2
    exact = ((1 + slope**2) * kernel(1 - delta) - 2 * slope * kernel(delta - 1)) / power
    np.testing.assert_allclose(found.gap, 1 - exact, rtol=1e-12, atol=1e-15)
    theta = np.arccos(1 - delta)
    slopes = ((1 + slope**2) * (np.pi - theta) + 2 * slope * theta) / (2 * np.pi)
    np.testing.assert_allclose(found.slope_product, slopes, rtol=1e-12, atol=1e-15)


def test_abs_is_its_own_mirror_image() -> None:
    """|u| |v| is the same for v and -v: delta and 2 - delta have the same gap."""
    act = Activation("abs", jnp.abs, (0.0,), (1.0, -1.0))
    delta = jnp.array([0.1, 0.7, 1e-6])
    found, mirrored = (pair(act, jnp.ones(3), jnp.ones(3), d) for d in (delta, 2.0 - delta))
    np.testing.assert_allclose(found.gap, mirrored.gap, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.slope_product, -mirrored.slope_product, rtol=1e-12)


@pytest.mark.parametrize("theta", [1e-8, 1e-3, 0.5, 1.4999, 1.5001, 3.0, float(np.pi)])
def test_angles_and_their_series(theta: float) -> None:
    with mp.workdps(50):
        t = mpf(theta)
        exact = mp.sin(t) - t * mp.cos(t)
        assert abs(mpf(float(sin_minus_theta_cos(jnp.array(theta)))) / exact - 1) < 1e-14
        delta = float(2 * mp.sin(t / 2) ** 2)
        near_pi = mp.acos(1 - mpf(delta))
        assert abs(mpf(float(angle(jnp.array(delta)))) / near_pi - 1) < 1e-14


def test_a_rounding_beyond_the_ends_is_the_end() -> None:
    """Correlations come from sums: 1 - c may leave [0, 2] by rounding, and its angle is that of the end."""
    assert angle(jnp.array([-1e-16, 0.0, 2.0, 2.0 + 1e-15])).tolist() == [0.0, 0.0, np.pi, np.pi]


def test_an_activation_without_closed_form_has_none() -> None:
    with_form = {name for name, act in NAMED.items() if closed_form(act) is not None}
    assert with_form == {"relu", "leaky_relu", "prelu", "identity", "erf", "sin"}
    silent = Activation("zero", jnp.zeros_like, (), (0.0, 0.0))
    found = pair(silent, *(jnp.array(v) for v in (1.0, 1.0, 0.5)))
    assert all(np.isfinite(float(part)) for part in found) and float(found.slope_product) == 0.0


@pytest.mark.parametrize("spec", [*SPECS, "identity"])
def test_gradients_of_the_closed_forms_match_differences(spec: str) -> None:
    """d gap/d delta at equal variances is q E[phi' phi']/E[phi^2] (Price's theorem): a third witness."""
    act, q = get(spec), jnp.array(0.9)
    form = closed_form(act)
    for delta in (0.03, 0.8, 1.7):
        slope = jax.grad(lambda d: form.gap(q, q, d))(jnp.array(delta))
        price = q * form.slope_product(q, q, jnp.array(delta)) / form.moment(q, 0)
        np.testing.assert_allclose(slope, price, rtol=1e-11)
