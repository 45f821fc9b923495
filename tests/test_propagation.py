"""Signal propagation: finite networks against theory, edges against SciPy, pictures against what they were given."""

from collections.abc import Callable

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import erf, erfc, expit

from ntk_eoc.activations import NAMED
from ntk_eoc.experiments import edge_curves as edges
from ntk_eoc.experiments import propagation as ex
from ntk_eoc.meanfield import chi, correlation_map, eoc_points, limit_variance, phase, variance_map
from ntk_eoc.plotting import propagation as draw

SMALL = ex.DigitsConfig(images=3, depth=8, width=96, seeds=64)


def gauss_pdf(x: float) -> float:
    return float(np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi))


# phi and phi', written here once more, in NumPy and SciPy alone
WITNESS: dict[str, tuple[Callable, Callable]] = {
    "elu": (lambda x: x if x > 0 else np.expm1(x), lambda x: 1.0 if x > 0 else np.exp(x)),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "erf": (erf, lambda x: 2 * np.exp(-x * x) / np.sqrt(np.pi)),
    "sin": (np.sin, np.cos),
    "gelu": (lambda x: 0.5 * x * erfc(-x / np.sqrt(2)), lambda x: 0.5 * erfc(-x / np.sqrt(2)) + x * gauss_pdf(x)),
    "silu": (lambda x: x * expit(x), lambda x: expit(x) * (1 + x * expit(-x))),
    "sigmoid": (expit, lambda x: expit(x) * expit(-x)),
}


def mean(fn: Callable, q: float) -> float:
    """E[fn(sqrt(q) Z)] by SciPy, with a break at 0."""
    halves = (-12.0, 0.0), (0.0, 12.0)
    parts = [
        quad(lambda z: fn(np.sqrt(q) * z) * gauss_pdf(z), *half, epsabs=1e-13, epsrel=1e-12, limit=400)[0]
        for half in halves
    ]
    return sum(parts)


@pytest.fixture(scope="module")
def seen() -> ex.Propagation:
    return ex.digits_through_layers(SMALL)


@pytest.mark.thorough
def test_finite_networks_follow_the_maps(seen: ex.Propagation) -> None:
    for band in (seen.variance, seen.delta):
        found = ex.agreement(band)
        assert (found.worst < 6).all()
        assert (found.within_two > 0.6).all()  # points of one network move together


@pytest.mark.thorough
def test_six_sigma_would_see_a_wrong_theory(seen: ex.Propagation) -> None:
    wrong = seen.variance._replace(theory=1.15 * seen.variance.theory)
    assert (ex.agreement(wrong).worst > 6).all()
    swapped = seen.delta._replace(theory=seen.delta.theory[::-1])
    assert (ex.agreement(swapped).worst[[0, 2]] > 6).all()


@pytest.mark.thorough
def test_theory_of_the_digits_settles_where_the_phase_says(seen: ex.Propagation) -> None:
    for k, sigma_w in enumerate(seen.sigma_w):
        expected = phase(NAMED["tanh"], sigma_b=0.2, sigma_w=float(sigma_w))
        np.testing.assert_allclose(seen.variance.theory[k, -1], expected.q, rtol=0.05)
    ordered = seen.delta.theory[0]
    found = phase(NAMED["tanh"], sigma_b=0.2, sigma_w=float(seen.sigma_w[0]))
    np.testing.assert_allclose(ordered[-1] / ordered[-2], found.chi, rtol=0.06)


def test_agreement_counts_both_sides() -> None:
    one = np.ones((1, 1, 4))
    found = ex.agreement(ex.Band(0 * one, one * np.array([-5.0, 1.0, -1.0, 3.0]), one))
    assert found.worst[0] == 5.0 and found.within_two[0] == 0.5


@pytest.mark.parametrize("bad", [ex.Phases(ordered=1.5), ex.Phases(chaotic=1.1), ex.Phases("softplus")])
def test_phases_must_lie_on_both_sides_of_an_edge(bad: ex.Phases) -> None:
    with pytest.raises(ValueError, match="expected one edge between"):
        ex.sigma_ws(bad)


@pytest.fixture(scope="module")
def maps() -> ex.Maps:
    return ex.maps(ex.MapsConfig(points=41))


def test_maps_are_the_maps(maps: ex.Maps) -> None:
    tanh = NAMED["tanh"]
    for k, sigma_w in enumerate(maps.sigma_w):
        q = maps.variance.x[20]
        expected = 0.2**2 + sigma_w**2 * mean(lambda x: np.tanh(x) ** 2, q)
        assert maps.variance.y[k, 20] == pytest.approx(expected, rel=1e-11)
        q_star = jnp.array(maps.variance.fixed[k])
        delta = correlation_map(tanh, q_star, jnp.array([1.0, 0.5]), sigma_b=0.2, sigma_w=float(sigma_w))
        np.testing.assert_allclose(1 - maps.correlation.y[k, [0, 20]], delta, rtol=1e-6)


def test_correlation_maps_end_at_one_with_slope_chi_and_are_convex(maps: ex.Maps) -> None:
    np.testing.assert_allclose(maps.correlation.y[:, -1], 1.0, atol=1e-12)
    assert (np.diff(maps.correlation.y, n=2, axis=1) > -1e-9).all()
    slope = np.diff(maps.correlation.y, axis=1) / np.diff(maps.correlation.x)
    for k, sigma_w in enumerate(maps.sigma_w):
        limit = float(chi(NAMED["tanh"], jnp.array(maps.variance.fixed[k]), sigma_w=float(sigma_w)))
        assert 1.5 * slope[k, -1] - 0.5 * slope[k, -2] == pytest.approx(limit, rel=2e-3)


def test_orbits_run_to_the_fixed_points(maps: ex.Maps) -> None:
    for cobweb in (maps.variance, maps.correlation):
        on_curve = [np.interp(cobweb.fixed[k], cobweb.x, cobweb.y[k]) for k in range(3)]
        np.testing.assert_allclose(on_curve, cobweb.fixed, atol=2e-3)
        distance = np.abs(cobweb.orbit - cobweb.fixed[:, None])
        assert (np.diff(distance, axis=1) < 0).all()


@pytest.fixture(scope="module")
def curves() -> edges.EocCurves:
    return edges.eoc_curves(edges.EocConfig(tuple(WITNESS), points=4))


def test_edges_have_chi_one_and_are_fixed_points(curves: edges.EocCurves) -> None:
    assert (curves.found == 1).all()
    for k, (phi, slope) in enumerate(WITNESS.values()):
        for sigma_b, sigma_w, q, steep in zip(curves.sigma_b, *(part[k] for part in curves[1:4]), strict=True):
            assert sigma_w**2 * mean(lambda x, d=slope: d(x) ** 2, q) == pytest.approx(1.0, rel=1e-9)
            power = sigma_w**2 * mean(lambda x, f=phi: f(x) ** 2, q)
            assert sigma_b**2 + power == pytest.approx(q, rel=1e-9)
            if q > 0:
                turn = sigma_w**2 / q * mean(lambda x, f=phi, d=slope: x * f(x) * d(x), q)
                assert steep == pytest.approx(turn, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.3, 1.0])
def test_relu_like_edges_are_one_point(alpha: float) -> None:
    name = f"leaky_relu:{alpha}"
    found = edges.eoc_curves(edges.EocConfig((name,), points=3))
    assert found.found.tolist() == [[1, 0, 0]]
    assert found.sigma_w[0, 0] == pytest.approx(np.sqrt(2 / (1 + alpha**2)), rel=1e-14)
    assert np.isnan(found.q).all() and np.isnan(found.sigma_w[0, 1:]).all()


@pytest.mark.parametrize("name", ["silu", "gelu"])
@pytest.mark.thorough(first=1)
def test_stability_begins_where_the_slope_is_one(name: str) -> None:
    start = edges.stable_from(name)
    phi, slope = WITNESS[name]
    (point,) = eoc_points(NAMED[name], start)
    assert point.q is not None
    steep = point.sigma_w**2 / point.q * mean(lambda x: x * phi(x) * slope(x), point.q)
    assert steep == pytest.approx(1.0, abs=1e-8)
    assert not eoc_points(NAMED[name], start - 0.01)[0].stable
    assert eoc_points(NAMED[name], start + 0.01)[0].stable


@pytest.mark.parametrize(("name", "returns"), [("gelu", False), ("silu", False), ("tanh", True), ("elu", True)])
def test_an_edge_that_does_not_attract_loses_its_variance(name: str, returns: bool) -> None:
    (point,) = eoc_points(NAMED[name], 0.2)
    assert point.q is not None and point.stable is returns
    start = (0.97 * point.q - 0.2**2) / point.sigma_w**2
    found = limit_variance(NAMED[name], sigma_b=0.2, sigma_w=point.sigma_w, q0=start)
    assert (abs(found / point.q - 1) < 1e-9) is returns


def test_the_three_points_of_the_paper() -> None:
    relu, elu, tanh = edges.paper_points()
    assert relu.found.phase == "eoc" and relu.found.xi is None and relu.edge.sigma_w == pytest.approx(2**0.5, rel=1e-14)
    for point, chi_ in ((elu, 0.998671552), (tanh, 0.998819000)):
        phi, slope = WITNESS[point.name]
        assert point.found.q is not None
        power = point.sigma_w**2 * mean(lambda x, f=phi: f(x) ** 2, point.found.q)
        assert point.sigma_b**2 + power == pytest.approx(point.found.q, rel=1e-9)
        assert point.sigma_w**2 * mean(lambda x, d=slope: d(x) ** 2, point.found.q) == pytest.approx(chi_, abs=1e-9)
        assert point.found.chi == pytest.approx(chi_, abs=1e-9)
        assert point.found.xi == pytest.approx(-1 / np.log(chi_), rel=1e-5)
        assert point.found.phase == "ordered" and 0 < point.edge.sigma_w - point.sigma_w < 0.003


@pytest.mark.thorough
def test_phase_diagram_agrees_with_the_phases() -> None:
    found = edges.phase_diagram(edges.DiagramConfig("tanh", points=8))
    for chart, name, places in (
        (found.ordered, "ordered", [(2, 14), (5, 18), (7, 12)]),
        (found.chaotic, "chaotic", [(3, 5), (5, 3), (6, 6)]),
    ):
        for place in places:
            sigma_b, sigma_w = float(chart.sigma_b[place]), float(chart.sigma_w[place])
            expected = phase(NAMED["tanh"], sigma_b=sigma_b, sigma_w=sigma_w)
            assert expected.phase == name
            assert chart.xi[place] == pytest.approx(expected.xi, rel=1e-4)
    for sigma_b, sigma_w in found.edge[::3]:
        assert phase(NAMED["tanh"], sigma_b=float(sigma_b), sigma_w=float(sigma_w)).phase == "eoc"


def test_softplus_needs_a_negative_bias_variance() -> None:
    found = edges.edge_or_not(edges.EdgeOrNotConfig(("softplus",), low=-6.0, high=6.0, points=49))
    assert (found.needed < -1.9).all()
    x = np.linspace(-30.0, 30.0, 601)  # the proof: phi - x phi' is the entropy of a coin
    s = expit(x)
    entropy = -s * np.log(s) - expit(-x) * np.log(expit(-x))
    np.testing.assert_allclose(np.logaddexp(x, 0) - x * s, entropy, atol=1e-13)
    assert (entropy > 0).all()


def test_sigmoid_needs_a_possible_bias_from_its_edge_on() -> None:
    (edge,) = eoc_points(NAMED["sigmoid"], 0.0)
    assert edge.q is not None and edge.stable
    around = np.log10(edge.q) + np.array([-0.01, 0.01])
    found = edges.edge_or_not(edges.EdgeOrNotConfig(("sigmoid",), low=around[0], high=around[1], points=2))
    assert found.needed[0, 0] < 0 < found.needed[0, 1]


def test_the_edge_of_sigmoid_lies_on_the_edge_of_tanh() -> None:
    found = edges.edge_or_not(edges.EdgeOrNotConfig(("tanh",), points=4))
    for sigma_b, sigma_w in found.sigmoid_edge:
        (point,) = eoc_points(NAMED["tanh"], float(sigma_b))
        assert point.sigma_w == pytest.approx(sigma_w, rel=1e-11)
        assert sigma_w <= sigma_b * (1 + 1e-12)
    assert found.sigmoid_edge[0, 0] == found.sigmoid_edge[0, 1]  # sigma_b = 0 is the diagonal


@settings(max_examples=8)
@given(sigma_b=st.floats(0, 3), sigma_w=st.floats(0.1, 15), q=st.floats(0.01, 4), delta=st.floats(0.01, 1.9))
def test_half_a_sigmoid_network_is_a_tanh_network(sigma_b: float, sigma_w: float, q: float, delta: float) -> None:
    tanh_b, tanh_w = edges.as_tanh(sigma_b, sigma_w)
    outer = variance_map(NAMED["sigmoid"], jnp.array(4 * q), sigma_b=sigma_b, sigma_w=sigma_w)
    inner = variance_map(NAMED["tanh"], jnp.array(q), sigma_b=tanh_b, sigma_w=tanh_w)
    assert float(outer) == pytest.approx(4 * float(inner), rel=1e-11)
    gap, where = jnp.array(delta), dict(sigma_b=sigma_b, sigma_w=sigma_w)
    assert float(correlation_map(NAMED["sigmoid"], jnp.array(4 * q), gap, **where)) == pytest.approx(
        float(correlation_map(NAMED["tanh"], jnp.array(q), gap, sigma_b=tanh_b, sigma_w=tanh_w)), rel=1e-9
    )


def test_pictures_show_what_they_were_given(maps: ex.Maps, seen: ex.Propagation, curves: edges.EocCurves) -> None:
    _, axes = plt.subplots(2, 2)
    draw.cobweb(axes[0, 0], *maps.variance)
    np.testing.assert_array_equal(axes[0, 0].lines[1].get_ydata(), maps.variance.y[0])
    stairs = np.array(axes[0, 0].lines[2].get_data())
    np.testing.assert_array_equal(stairs[:, ::2][0], maps.variance.orbit[0])
    draw.layers(axes[0, 1], *seen.delta)
    drawn = [container[0].get_ydata() for container in axes[0, 1].containers]
    np.testing.assert_array_equal(drawn, np.concatenate([part.T for part in seen.delta.mean]))
    draw.eoc_curves(axes[1, 0], tuple(WITNESS), curves.sigma_b, curves.sigma_w, curves.variance_slope)
    hollow = [line for line in axes[1, 0].lines if line.get_markerfacecolor() == "white" and line.get_xdata().size]
    loose = (curves.variance_slope >= 1).sum(axis=1)
    np.testing.assert_array_equal([line.get_xdata().size for line in hollow], loose[loose > 0])
    diagram = edges.phase_diagram(edges.DiagramConfig(points=8))
    draw.phase_diagram(axes[1, 1], [diagram.ordered, diagram.chaotic], diagram.edge)
    np.testing.assert_array_equal(axes[1, 1].lines[0].get_xydata(), diagram.edge)
    plt.gcf().canvas.draw()


@pytest.mark.thorough
def test_the_answer_on_edges_is_drawn() -> None:
    config = edges.EdgeOrNotConfig(("tanh", "softplus"), points=6)
    found = edges.edge_or_not(config)
    _, (left, right) = plt.subplots(1, 2)
    draw.needed_bias(left, config.activations, found.q, found.needed)
    draw.twins(right, found.tanh_edge, found.sigmoid_edge)
    np.testing.assert_array_equal([line.get_ydata() for line in left.lines], found.needed)
    np.testing.assert_array_equal(right.lines[1].get_xydata(), found.sigmoid_edge)
    plt.gcf().canvas.draw()
