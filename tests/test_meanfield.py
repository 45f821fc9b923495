"""Variance and correlation maps, their fixed points and phases, against SciPy's quadrature, mpmath and iteration."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import integrate, special, stats

from ntk_eoc import meanfield
from ntk_eoc.activations import NAMED, Activation, get
from ntk_eoc.gaussian import pair
from ntk_eoc.meanfield import chaotic_delta, chi, correlation_map, eoc_points, limit_variance, phase, variance_map

# phi and phi' in NumPy, by hand
PLAIN: dict[str, tuple[Callable, Callable]] = {
    "elu": (lambda x: x if x > 0 else math.expm1(x), lambda x: math.exp(min(x, 0.0))),
    "tanh": (math.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "erf": (math.erf, lambda x: 2 / math.sqrt(math.pi) * math.exp(-x * x)),
    "sigmoid": (special.expit, lambda x: special.expit(x) * special.expit(-x)),
    "gelu": (lambda x: x * special.ndtr(x), lambda x: special.ndtr(x) + x * stats.norm.pdf(x)),
    "sin": (math.sin, math.cos),
    "hard_tanh": (lambda x: min(max(x, -1.0), 1.0), lambda x: float(abs(x) < 1)),
}


def mean(fn: Callable[[float], float], q: float) -> float:
    """E[fn(sqrt(q) Z)] by SciPy's adaptive quadrature."""
    root = math.sqrt(q)
    ends = sorted({-12 * root, 12 * root, *(k for k in (-1.0, 0.0, 1.0) if abs(k) < 12 * root)})
    parts = [
        integrate.quad(lambda x: fn(x) * math.exp(-x * x / (2 * q)), a, b, epsabs=1e-15, epsrel=1e-13, limit=300)[0]
        for a, b in zip(ends[:-1], ends[1:], strict=True)
    ]
    return sum(parts) / math.sqrt(2 * math.pi * q)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("sigma_b", [0.0, 0.05, 0.7])
def test_edge_of_chaos_points(name: str, sigma_b: float) -> None:
    """chi = 1 and q = sigma_b^2 + sigma_w^2 E[phi^2], both integrals done by SciPy from formulas written here."""
    phi, slope = PLAIN[name]
    points = eoc_points(NAMED[name], sigma_b)
    assert points
    for point in points:
        assert point.q is not None and point.stable == (point.variance_slope < 1)
        assert abs(point.chi - 1) < 1e-12
        if point.q == 0:  # the tangent at 0: a degenerate point of the activations with phi(0) = 0
            assert sigma_b == 0 and name != "sigmoid"
            np.testing.assert_allclose(point.sigma_w**2 * slope(0.0) ** 2, 1, rtol=1e-12)
            continue
        assert abs(point.sigma_w**2 * mean(lambda x: slope(x) ** 2, point.q) - 1) < 1e-10
        image = sigma_b**2 + point.sigma_w**2 * mean(lambda x: phi(x) ** 2, point.q)
        assert abs(image / point.q - 1) < 1e-12
        grown = point.sigma_w**2 * mean(lambda x: x * phi(x) * slope(x), point.q) / point.q
        np.testing.assert_allclose(point.variance_slope, grown, rtol=1e-10)


def test_points_against_mpmath() -> None:
    """The fixed points of the 60-digit references: tanh and ELU at sigma_b = 0.2."""
    cases = json.loads((Path(__file__).parent / "oracle" / "depth_references.json").read_text())["cases"]
    for name in ("tanh", "elu"):
        case = next(c for c in cases if c["activation"] == name)
        (point,) = eoc_points(NAMED[name], 0.2)
        assert abs(mpf(point.q) / mpf(case["q"]) - 1) < 1e-13
        assert abs(mpf(point.sigma_w) / mpf(case["sigma_w"]) - 1) < 1e-14
    with mp.workdps(25):  # ELU again, in closed form
        q = mpf(json.loads(json.dumps(case["q"])))
        slopes = mpf(1) / 2 + mp.exp(2 * q) * mp.ncdf(-2 * mp.sqrt(q))
        square = q / 2 + slopes - 2 * mp.exp(q / 2) * mp.ncdf(-mp.sqrt(q))
        assert abs(mpf(0.2) ** 2 + square / slopes - q) < mpf(10) ** -22


@pytest.mark.parametrize("sigma_b", [0.0, 0.2, 1.0])
def test_who_has_an_edge(sigma_b: float) -> None:
    assert eoc_points(NAMED["softplus"], sigma_b) == []
    (point,) = eoc_points(NAMED["sigmoid"], sigma_b)
    assert point.stable and point.q is not None and point.q > 40 and 10 < point.sigma_w < 11
    if sigma_b:
        assert eoc_points(NAMED["relu"], sigma_b) == [] == eoc_points(NAMED["identity"], sigma_b)


def test_softplus_never_reaches_its_fixed_point_condition() -> None:
    """sigma_b^2 + E[phi^2]/E[phi'^2] > q from 1e-4 to 1e4, by SciPy."""
    for q in np.geomspace(1e-4, 1e4, 9):
        square = mean(lambda x: np.logaddexp(0, x) ** 2, q)
        assert square / mean(lambda x: special.expit(x) ** 2, q) > q


def test_sigmoid_is_a_tanh_with_more_bias() -> None:
    """sigmoid(x) = 1/2 + tanh(x/2)/2: sigma_w/4 and a variance q/4 solve tanh's equations, bias added."""
    point = eoc_points(NAMED["sigmoid"], 0.0)[0]
    assert point.q is not None
    slopes = mean(lambda x: (1 - math.tanh(x) ** 2) ** 2, point.q / 4)
    square = mean(lambda x: math.tanh(x) ** 2, point.q / 4)
    np.testing.assert_allclose((point.sigma_w / 4) ** 2 * slopes, 1, rtol=1e-10)
    np.testing.assert_allclose(point.sigma_w**2 * (1 + square) / 4, point.q, rtol=1e-10)


@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_edges_whose_variance_runs_away(name: str) -> None:
    (point,) = eoc_points(NAMED[name], 0.2)
    assert not point.stable and point.variance_slope > 1 and point.q is not None
    q = [point.q * (1 + side) for side in (1e-3, -1e-3)]
    moved = [float(variance_map(NAMED[name], jnp.array(v), sigma_b=0.2, sigma_w=point.sigma_w)) for v in q]
    assert moved[0] > q[0] and moved[1] < q[1]  # away from the fixed point on both sides


@pytest.mark.parametrize("spec", ["relu", "leaky_relu:0.3", "identity", "leaky_relu:-1"])
def test_homogeneous_edges(spec: str) -> None:
    alpha = (get(spec).slopes or (1.0, 0.0))[1]
    (point,) = eoc_points(get(spec), 0.0)
    assert point[1:] == (None, 1.0, 1.0, False)  # every q is fixed: chi and the slope are 1, and none attracts
    np.testing.assert_allclose(point.sigma_w, math.sqrt(2 / (1 + alpha**2)), rtol=1e-15)
    at = phase(get(spec), sigma_b=0.0, sigma_w=point.sigma_w)
    assert at.phase == "eoc" and at.q is None and at.xi is None and at.c_star == (None if spec == "identity" else 1.0)


def test_the_three_points_that_the_paper_names() -> None:
    for name, sigma_b, sigma_w, expected in (("tanh", 0.2, 1.302, 0.99882), ("elu", 0.2, 1.227, 0.99867)):
        at = phase(NAMED[name], sigma_b=sigma_b, sigma_w=sigma_w)
        assert at.phase == "ordered" and at.q is not None and round(at.chi, 5) == expected
        square, slopes = (mean(lambda x, fn=fn: fn(x) ** 2, at.q) for fn in PLAIN[name])
        np.testing.assert_allclose(sigma_w**2 * slopes, at.chi, rtol=1e-11)
        np.testing.assert_allclose(sigma_b**2 + sigma_w**2 * square, at.q, rtol=1e-11)
    assert abs(phase(NAMED["relu"], sigma_b=0.0, sigma_w=math.sqrt(2)).chi - 1) < 1e-15


PHASES = [
    ("tanh", 0.2, 1.0, "ordered"),
    ("erf", 0.3, 1.9, "chaotic"),
    ("elu", 0.5, 0.8, "ordered"),
    ("sin", 0.1, 1.4, "chaotic"),
    ("relu", 0.3, 1.0, "ordered"),
    ("sigmoid", 0.2, 3.0, "ordered"),
]


@pytest.mark.parametrize("name, sigma_b, sigma_w, expected", PHASES)
@pytest.mark.thorough(first=2)
def test_phases_against_iterating_the_maps(name: str, sigma_b: float, sigma_w: float, expected: str) -> None:
    """q, c* and the depth scale xi measured by iteration, which knows nothing of roots and slopes."""
    act = NAMED[name]
    at = phase(act, sigma_b=sigma_b, sigma_w=sigma_w)
    step = jax.jit(lambda q: variance_map(act, q, sigma_b=sigma_b, sigma_w=sigma_w))
    q = jnp.array(sigma_b**2 + sigma_w**2)
    for _ in range(200):
        q = step(q)
    assert at.phase == expected and at.q is not None and at.xi is not None
    np.testing.assert_allclose(at.q, q, rtol=1e-11)
    turn = jax.jit(lambda d: correlation_map(act, jnp.array(at.q), d, sigma_b=sigma_b, sigma_w=sigma_w))
    delta = jnp.array([0.4])
    for _ in range(40 if expected == "ordered" else int(30 * at.xi)):
        delta = turn(delta)
    assert (at.c_star == 1.0) == (expected == "ordered")
    if expected == "chaotic":
        np.testing.assert_allclose(1 - delta[0], at.c_star, rtol=1e-9)
        delta = jnp.array([(1 - at.c_star) * (1 + 1e-6)])
    away, then = (abs(float(d[0]) - (1 - at.c_star)) for d in (delta, turn(delta)))
    np.testing.assert_allclose(math.log(then / away), -1 / at.xi, rtol=2e-4)
    assert (at.chi < 1) == (expected == "ordered")


def test_on_the_edge_there_is_no_depth_scale() -> None:
    point = eoc_points(NAMED["tanh"], 0.2)[0]
    at = phase(NAMED["tanh"], sigma_b=0.2, sigma_w=point.sigma_w)
    assert (at.phase, at.xi, at.c_star) == ("eoc", None, 1.0)
    np.testing.assert_allclose(at.q, point.q, rtol=1e-12)


def test_just_past_the_edge_correlations_still_part() -> None:
    """chi - 1 is a few thousandths there, and c* a fixed point of the correlation map close to 1."""
    sigma_w = 1.003 * eoc_points(NAMED["tanh"], 0.2)[0].sigma_w
    at = phase(NAMED["tanh"], sigma_b=0.2, sigma_w=sigma_w)
    assert at.phase == "chaotic" and 1 < at.chi < 1.01 and at.q is not None and at.c_star is not None
    delta = chaotic_delta(NAMED["tanh"], at.q, sigma_b=0.2, sigma_w=sigma_w)
    assert delta == pytest.approx(1 - at.c_star, rel=1e-9) and 1e-4 < delta < 0.1
    image = correlation_map(NAMED["tanh"], jnp.array(at.q), jnp.array(delta), sigma_b=0.2, sigma_w=sigma_w)
    np.testing.assert_allclose(image, delta, rtol=1e-12)


def test_a_variance_that_diverges() -> None:
    at = phase(NAMED["relu"], sigma_b=0.3, sigma_w=2.0)
    assert at.phase == "chaotic" and at.q is None and at.chi == 2.0
    assert limit_variance(NAMED["relu"], sigma_b=0.1, sigma_w=2**0.5) == math.inf
    assert phase(NAMED["gelu"], sigma_b=0.2, sigma_w=2.0).q is None


def test_chi_of_one_is_the_edge_only_where_the_variance_stays() -> None:
    """A ReLU with a bias drives its variance away, tanh without one to 0; ReLU without keeps what it is given."""
    away, none, kept = (
        phase(NAMED[name], sigma_b=sigma_b, sigma_w=sigma_w)
        for name, sigma_b, sigma_w in (("relu", 0.3, 2**0.5), ("tanh", 0.0, 1.0), ("relu", 0.0, 2**0.5))
    )
    assert (away.phase, away.q, away.c_star) == ("chaotic", None, 1.0)
    assert (none.phase, none.q) == ("eoc", 0.0)
    assert (kept.phase, kept.q, kept.c_star) == ("eoc", None, 1.0)


@pytest.mark.parametrize("q0", [5e-324, 1e-310, 1e-290, 1e-200])
def test_the_smallest_variances_go_where_others_do(q0: float) -> None:
    for name, sigma_w in (("identity", 0.5), ("relu", 1.0), ("tanh", 1.4), ("relu", 2.0)):
        found, other = (limit_variance(NAMED[name], sigma_b=0.0, sigma_w=sigma_w, q0=q) for q in (q0, 1e-10))
        assert found == pytest.approx(other, rel=1e-12), name
    assert limit_variance(NAMED["identity"], sigma_b=0.0, sigma_w=1.0, q0=q0) == q0


def test_a_variance_that_dies() -> None:
    for name in ("relu", "tanh", "elu"):
        assert limit_variance(NAMED[name], sigma_b=0.0, sigma_w=0.6) == 0.0, name
        at = phase(NAMED[name], sigma_b=0.0, sigma_w=0.6)
        assert at.phase == "ordered" and at.q == 0.0 and not math.isnan(at.chi) and at.xi is None


@pytest.mark.parametrize("name", NAMED)
def test_no_weights(name: str) -> None:
    assert phase(NAMED[name], sigma_b=0.5, sigma_w=0.0) == ("ordered", 0.25, 0.0, 1.0, 0.0)
    assert phase(NAMED[name], sigma_b=0.0, sigma_w=0.0) == ("ordered", 0.0, 0.0, None, None)  # outputs all zero


def test_chaotic_delta_without_bias_is_one() -> None:
    """An odd phi without bias: independent outputs; c* from the slope map otherwise."""
    q = limit_variance(NAMED["erf"], sigma_b=0.0, sigma_w=2.0)
    assert chaotic_delta(NAMED["erf"], q, sigma_b=0.0, sigma_w=2.0) == 1.0


def test_a_decreasing_variance_map_settles_or_says_so() -> None:
    """E exp(-2x^2) = (1 + 4q)^(-1/2): the orbit jumps to and fro around its limit."""
    bump = Activation("bump", lambda x: jnp.exp(-x * x))
    for sigma_w in (5.0, 0.1):
        q = limit_variance(bump, sigma_b=0.0, sigma_w=sigma_w)
        np.testing.assert_allclose(q * math.sqrt(1 + 4 * q), sigma_w**2, rtol=1e-13)
    with pytest.raises(RuntimeError, match="variance: no convergence after 3 layers, residual "):
        meanfield._settle(bump, 1.0, 0.0, 5.0, steps=3)


@pytest.mark.parametrize("name, q", [("relu", 1.0), ("erf", 0.7), ("sin", 0.5), ("leaky_relu", 2.0)])
@settings(max_examples=25)
@given(c=st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=2, unique=True))
@pytest.mark.thorough(first=2)
def test_the_correlation_map_is_one_at_one_and_increases(name: str, q: float, c: list[float]) -> None:
    """f(1) = 1; f grows with c on [0, 1] for every phi, and everywhere for a phi' that keeps its sign or is odd."""
    delta = 1 - jnp.array([*sorted(c), 1.0])
    sigmas = {"sigma_b": 0.1, "sigma_w": 1.0}
    found = np.asarray(correlation_map(NAMED[name], jnp.array(q), delta, **sigmas))
    assert found[2] == 0.0 and ((found >= 0) & (found <= 2)).all()
    assert found[0] >= found[1] >= found[2]
    slope = sigmas["sigma_w"] ** 2 * np.asarray(pair(NAMED[name], jnp.array(q), jnp.array(q), delta).slope_product)
    image = float(variance_map(NAMED[name], jnp.array(q), **sigmas))
    steep = float(chi(NAMED[name], jnp.array(q), sigma_w=1.0)) * q / image
    assert (slope <= steep * image / q + 1e-12).all() and found[0] <= steep * float(delta[0]) + 1e-12


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: eoc_points(NAMED["tanh"], -0.1), ValueError, "sigma_b: expected a standard deviation at least 0"),
        (lambda: eoc_points(NAMED["tanh"], math.nan), ValueError, "sigma_b: expected a finite number, got nan"),
        (lambda: phase(NAMED["tanh"], sigma_b=0.1, sigma_w=-2.0), ValueError, "sigma_w: .* at least 0, got -2"),
        (lambda: phase(NAMED["tanh"], sigma_b=math.inf, sigma_w=2.0), ValueError, "sigma_b: expected a finite number"),
    ],
)
def test_bad_input(call: Callable, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def square(a: float) -> Activation:
    return Activation("square", lambda x: x + a * x * x)


@pytest.mark.parametrize("a, q", [(1.0, 0.7), (100.0, 1e-6), (0.01, 1e3), (100.0, 1.005e-8), (0.01, 0.995e8)])
def test_edges_of_a_polynomial_by_hand(a: float, q: float) -> None:
    """phi = x + a x^2: E[phi^2] = q + 3 a^2 q^2 and E[phi'^2] = 1 + 4 a^2 q. Two of the roots lie on the grid of the
    search, two a two hundredth within its ends."""
    slopes = 1 + 4 * a * a * q
    (point,) = eoc_points(square(a), a * q / math.sqrt(slopes))
    np.testing.assert_allclose([point.q, point.sigma_w], [q, slopes**-0.5], rtol=1e-11)
    assert not point.stable and point.variance_slope == pytest.approx((1 + 6 * a * a * q) / slopes, rel=1e-11)


@pytest.mark.parametrize("a, q", [(100.0, 0.995e-8), (0.01, 1.005e8)])
def test_no_edge_is_looked_for_beyond_the_ends(a: float, q: float) -> None:
    assert eoc_points(square(a), a * q / math.sqrt(1 + 4 * a * a * q)) == []


@pytest.mark.parametrize("bend", [0.0, 1.0, 10.0])
def test_without_bias_there_is_an_edge_at_zero_alone(bend: float) -> None:
    """For phi(0) = 0 no variance has E[phi^2] = q E[phi'^2], however the mean of phi grows."""
    act = Activation("bent", lambda x: x * jnp.tanh(x) + bend * jnp.tanh(x) ** 2 + 0.3 * x)
    grid = jnp.geomspace(1e-6, 1e6, 49)
    assert (grid * chi(act, grid, sigma_w=1.0) > variance_map(act, grid, sigma_b=0.0, sigma_w=1.0)).all()
    ((sigma_w, *rest),) = eoc_points(act, 0.0)
    assert sigma_w == pytest.approx(1 / 0.3, rel=1e-12) and rest == [0.0, pytest.approx(1.0, rel=1e-14), 1.0, False]
    for slope in (0.0, 1e-60):  # chi is 0 at 0, whatever sigma_w is
        assert eoc_points(Activation("flat", lambda x, slope=slope: slope * x + x * x), 0.0) == []


def test_where_quadrature_fails_no_edge_is_looked_for_and_it_is_said() -> None:
    fast = Activation("fast", lambda x: jnp.sin(40 * x))
    with pytest.warns(UserWarning, match="fast varies too fast for the quadrature at variances from 0.016;"):
        (point,) = eoc_points(fast, 0.1)
    with mp.workdps(30):  # E sin^2 = (1 - e)/2 and E cos^2 = (1 + e)/2 where e = exp(-2 40^2 q)
        q = mp.findroot(lambda q: mpf(0.1) ** 2 + mp.tanh(1600 * q) / 1600 - q, mpf(point.q))
        assert abs(mpf(point.q) / q - 1) < 1e-9  # what is promised of variances that are searched


@pytest.mark.parametrize("side, beyond", [(1.0, "chaotic"), (-1.0, "ordered")])
def test_the_edge_is_as_wide_as_it_is_said(side: float, beyond: str) -> None:
    """ReLU without bias has chi = sigma_w^2/2 exactly: on the edge up to 1e-8 from 1, off it from there on."""
    inside, outside = (math.sqrt(2 * (1 + side * far)) for far in (0.995e-8, 1.005e-8))
    assert phase(NAMED["relu"], sigma_b=0.0, sigma_w=inside).phase == "eoc"
    assert phase(NAMED["relu"], sigma_b=0.0, sigma_w=outside).phase == beyond


@pytest.mark.parametrize("sigma_b, q0", [(3.0, 100.0), (0.05, 100.0), (3.0, 1e-3), (1e4, 0.0), (1e-4, 1e13)])
def test_the_limit_does_not_depend_on_where_the_variance_begins(sigma_b: float, q0: float) -> None:
    """ReLU: sigma_b^2/(1 - sigma_w^2/2), from above as from below."""
    found = limit_variance(NAMED["relu"], sigma_b=sigma_b, sigma_w=0.5, q0=q0)
    np.testing.assert_allclose(found, sigma_b**2 / 0.875, rtol=1e-14)


@pytest.mark.parametrize("a", [1.0, 1e-4, 1e-7, 3e6])
def test_on_which_side_of_an_unstable_fixed_point_the_variance_begins(a: float) -> None:
    """sigma_w = 1/2 and phi = x + a x^2 fix q = 1/a^2: below it a variance dies, above it one runs away."""
    for side, limit in ((0.9, 0.0), (1.1, math.inf), (50.0, math.inf)):
        assert limit_variance(square(a), sigma_b=0.0, sigma_w=0.5, q0=4 * side / a**2) == limit, side
