"""Tables of the depth engine against the integrals they replace, and the scan against one layer after another."""

from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from ntk_eoc.activations import NAMED, get
from ntk_eoc.closed_forms import closed_form
from ntk_eoc.gaussian import pair, second_moment
from ntk_eoc.meanfield import eoc_points
from ntk_eoc.zonal import Layer, Table, depth_scan, eoc_limit, homogeneous_layer, look_up, table

# The variance; 0 for the one on the Edge of Chaos at sigma_b = 0.2, whose tables other tests take too.
SPECS = [("relu", 1.0), ("leaky_relu:0.3", 1.0), ("erf", 0.0), ("sin", 0.0), ("erf", 25.0)]
SPECS += [("elu", 0.0), ("hard_tanh", 0.42)]
DELTAS = np.array([2.0, 1.999, 1.7, 1.0, 0.4, 0.03, 1e-3, 1e-5, 1e-8, 1e-12, 1e-20])


@cache
def tab(spec: str, q: float) -> Table:
    return table(get(spec), variance(spec, q))


@cache
def variance(spec: str, q: float) -> float:
    return q or eoc_points(get(spec), 0.2)[0].q or 1.0


@pytest.mark.parametrize("spec, q", SPECS)
@pytest.mark.thorough(first=3)
def test_the_table_holds_the_integrals(spec: str, q: float) -> None:
    """g = E[phi'^2] - E[phi' phi'] and r = its mean, for which delta' = delta sigma_w^2 (E[phi'^2] - r)."""
    act, found, q = get(spec), tab(spec, q), variance(spec, q)
    delta = DELTAS if act.kinks in ((), (0.0,)) else DELTAS[DELTAS >= 1e-12]  # see gaussian.slope_gap
    delta = delta if closed_form(act) else delta[::2]  # slower
    mean, slope_gap = look_up(found, jnp.sqrt(0.5 * delta))
    same = [jnp.full(delta.shape, q)] * 2
    exact = pair(act, *same, jnp.asarray(delta))
    np.testing.assert_allclose(slope_gap, exact.slope_gap, rtol=3e-11, atol=1e-13)
    square = float(second_moment(act, jnp.array(q)))
    np.testing.assert_allclose(q * delta * (found.slopes - mean) / square, exact.gap, rtol=1e-12)
    np.testing.assert_allclose(found.slopes, second_moment(act, jnp.array(q), 1), rtol=1e-14)


@pytest.mark.parametrize("spec, q", [("relu", 1.0), ("erf", 0.0), ("elu", 0.0)])
@settings(max_examples=40)
@given(log_s=st.floats(-12.0, -0.152))
@example(log_s=-0.152)
@pytest.mark.thorough(first=1)
def test_between_the_nodes(spec: str, q: float, log_s: float) -> None:
    """Up to delta = 1, g increases and its mean r lies below it, in a fixed proportion for small delta."""
    found, s = tab(spec, q), 10**log_s
    (mean, more_mean), (value, more) = look_up(found, jnp.array([s, 1.001 * s]))
    assert 0 < mean < value <= more * (1 + 1e-15) and mean <= more_mean * (1 + 1e-15)
    if s < 1e-6:
        np.testing.assert_allclose(value / mean, 1 + found.power / 2, rtol=1e-5)


def test_relu_entries_in_closed_form() -> None:
    theta = np.array([1e-9, 1e-4, 0.01, 0.3, 1.5, 3.0, np.pi])
    mean, value = look_up(tab("relu", 1.0), jnp.sin(jnp.asarray(theta) / 2))
    np.testing.assert_allclose(value, theta / (2 * np.pi), rtol=1e-13)
    with mp.workdps(40):
        t = [mpf(v) for v in theta]
        exact = [float((mp.sin(v) - v * mp.cos(v)) / (2 * mp.pi * (1 - mp.cos(v)))) for v in t]
    np.testing.assert_allclose(mean, exact, rtol=1e-13)


def test_zero_is_zero() -> None:
    for spec, q in SPECS[:5]:
        assert [float(part) for part in look_up(tab(spec, q), jnp.array(0.0))] == [0.0, 0.0]


@pytest.mark.parametrize("spec, expected", [("relu", 0.25), ("elu", 1 / 3), ("erf", 1 / 3), ("hard_tanh", 0.25)])
def test_limits_by_roughness(spec: str, expected: float) -> None:
    q = next(q for name, q in SPECS if name == spec)
    assert eoc_limit(tab(spec, q)) == expected
    assert eoc_limit(table(NAMED["identity"], 1.0)) == 0.0


def one_by_one(spec: str, q: float, sigma_w: float, delta: float, depth: int) -> tuple[list, list]:
    """delta and K/q from the recursion with the integrals themselves, at a variance fixed point q."""
    act, square = get(spec), second_moment(get(spec), jnp.array(q))
    deltas, kernels = [delta], [1 - delta]
    for _ in range(depth - 1):
        layer = pair(act, *(jnp.array([v]) for v in (q, q, deltas[-1])))
        deltas.append(float(sigma_w**2 * square * layer.gap[0] / q))
        kernels.append(1 - deltas[-1] + float(sigma_w**2 * layer.slope_product[0]) * kernels[-1])
    return deltas, kernels


@pytest.mark.parametrize("spec", ["erf", "sin", "elu"])
@pytest.mark.parametrize("start", [1.9, 1e-6])
@pytest.mark.thorough(first=2)
def test_the_scan_is_the_recursion(spec: str, start: float) -> None:
    point = eoc_points(get(spec), 0.2)[0]
    assert point.q is not None
    depth = 6 if spec == "elu" else 40
    deltas, kernels = one_by_one(spec, point.q, point.sigma_w, start, depth)
    layer = Layer(1.0, point.sigma_w**2, 1.0, 0.0)
    found = depth_scan(tab(spec, 0.0), layer, start, np.arange(1, depth + 1))
    np.testing.assert_allclose(found.delta, deltas, rtol=1e-11)
    np.testing.assert_allclose(found.kappa, kernels, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.deviation, found.kappa - found.depth / 3, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sigma_w, q, chaotic", [(0.7, 25.0, False), (5.0, 25.0, True)])
def test_the_scan_off_the_edge(sigma_w: float, q: float, chaotic: bool) -> None:
    found = tab("erf", q)  # of which the bias makes q the fixed point, whatever sigma_w is
    layer = Layer(sigma_w**2 * found.slopes, sigma_w**2, 1.0, 0.0)
    assert (layer.chi > 1) == chaotic and sigma_w**2 * second_moment(NAMED["erf"], jnp.array(q)) < q
    scan = depth_scan(found, layer, 0.8, np.array([1, 2, 5, 9]))
    deltas, kernels = one_by_one("erf", q, sigma_w, 0.8, 9)
    index = [0, 1, 4, 8]
    np.testing.assert_allclose(scan.delta, np.array(deltas)[index], rtol=1e-11)
    np.testing.assert_allclose(scan.kappa, np.array(kernels)[index], rtol=1e-11)
    reference = 0.0 if chaotic else 1 / (1 - layer.chi)
    np.testing.assert_allclose(scan.deviation, scan.kappa - reference, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("sigma_w", [0.5, 2**0.5, 3.0])
def test_residual_layers_in_units_of_the_variance(sigma_w: float) -> None:
    """Against the unscaled recursions of q^l(x,x), q^l(x,x') and K^l in the cosine itself."""
    layer = homogeneous_layer(tab("relu", 1.0), sigma_w, "residual")
    found = depth_scan(tab("relu", 1.0), layer, 0.7, np.arange(1, 41))
    q, r, k, s = 1.0, 0.3, 0.3, sigma_w**2 / 2
    for level in range(40):
        np.testing.assert_allclose(found.delta[level], 1 - r / q, rtol=1e-10)
        np.testing.assert_allclose([found.kappa[level], np.exp(found.log_scale[level])], [k / q, q], rtol=1e-11)
        theta = np.arccos(r / q)
        gain = s * q * (np.sin(theta) + (np.pi - theta) * r / q) / np.pi
        q, r, k = q * (1 + s), r + gain, k * (1 + s * (1 - theta / np.pi)) + gain
    dense = homogeneous_layer(tab("relu", 1.0), sigma_w)
    assert dense.share == 1.0 and np.isclose(dense.log_growth, np.log(s), rtol=1e-14, atol=1e-15)


def test_a_scan_can_start_anywhere() -> None:
    layer, found = Layer(1.0, 2.0, 1.0, 0.0), tab("relu", 1.0)
    whole = depth_scan(found, layer, 1.3, np.array([7, 500]))
    rest = depth_scan(found, layer, float(whole.delta[0]), np.array([500]), start=7, kappa=float(whole.kappa[0]))
    np.testing.assert_allclose(rest.delta[0], whole.delta[1], rtol=1e-13)
    np.testing.assert_allclose(rest.deviation[0], whole.deviation[1], rtol=1e-11)


def test_a_linear_network_never_moves() -> None:
    linear = table(NAMED["identity"], 1.0)
    found = depth_scan(linear, Layer(1.0, 1.0, 1.0, 0.0), 0.7, np.array([1, 10, 1000]))
    np.testing.assert_allclose(found.delta, 0.7, rtol=1e-15)
    np.testing.assert_allclose(found.kappa, 0.3 * np.array([1, 10, 1000]), rtol=1e-13)


@pytest.mark.parametrize("chi", [0.995, 1.005])
def test_close_to_the_edge_the_reference_is_that_of_the_phase(chi: float) -> None:
    """kappa - 1/(1 - chi) just below chi = 1, kappa just above: the recursion by hand, whatever it starts from."""
    found = tab("erf", 0.0)
    layer = Layer(chi, chi / found.slopes, 1.0, 0.0)
    scan = depth_scan(found, layer, 0.3, np.array([1, 2, 30]), kappa=0.4)
    delta, kappa = 0.3, 0.4
    for _ in range(29):
        mean, value = (float(part) for part in look_up(found, jnp.sqrt(0.5 * delta)))
        delta = delta * (chi - layer.scale * mean)
        kappa = (chi - layer.scale * value) * kappa + 1 - delta
    np.testing.assert_allclose([scan.delta[2], scan.kappa[2]], [delta, kappa], rtol=1e-11)
    np.testing.assert_allclose(scan.deviation, scan.kappa - (1 / (1 - chi) if chi < 1 else 0.0), rtol=1e-11)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_homogeneous_layer_is_on_the_edge_up_to_rounding(side: float) -> None:
    near, off = (homogeneous_layer(tab("relu", 1.0), (2 * (1 + side * far)) ** 0.5) for far in (0.995e-12, 1.005e-12))
    assert near == Layer(1.0, near.scale, 1.0, 0.0) and off.log_growth != 0.0
