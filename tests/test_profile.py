"""Kernels as functions of the angle: against Gram matrices pair by pair, sixty digits, the depth engine, symmetries."""

import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from ntk_eoc import profile
from ntk_eoc.activations import NAMED, from_function
from ntk_eoc.angles import input_gaps
from ntk_eoc.data import digits, train_test, unit_norm
from ntk_eoc.depth import depth_kernels
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import eoc_points, limit_variance

DEPTHS = [1, 2, 5, 20, 60]


def inputs(images: int = 25) -> np.ndarray:
    """Digits; one of them again, one reversed, and one hardly moved."""
    x = unit_norm(train_test(digits(images)).train.x)
    return np.concatenate([x, x[:1], -x[:1], unit_norm(x[:1] + 1e-5 * x[1:2])])


def first_norm(name: str, sigma_b: float, sigma_w: float) -> float:
    """|x|^2/d that puts the first layer at the variance fixed point."""
    return (limit_variance(NAMED[name], sigma_b=sigma_b, sigma_w=sigma_w) - sigma_b**2) / sigma_w**2


@pytest.mark.parametrize(
    ("name", "sigma_b", "sigma_w", "q0"),
    [
        ("erf", 0.2, 0.8, None),
        ("erf", 0.2, 1.2, None),
        ("erf", 0.2, 2.0, None),
        ("relu", 0.2, 1.2, None),
        ("relu", 0.0, 1.0, 1.0),
        ("relu", 0.2, 1.8, 1.0),  # the variance diverges
        ("erf", 0.2, 0.8, 1.7),  # the variance has to settle first
    ],
)
@pytest.mark.thorough(first=3)
def test_every_pair_is_that_of_the_recursion(name: str, sigma_b: float, sigma_w: float, q0: float | None) -> None:
    act, x = NAMED[name], inputs()
    found = profile.profile(act, DEPTHS, sigma_b=sigma_b, sigma_w=sigma_w, q0=q0)
    scale = q0 if q0 is not None else first_norm(name, sigma_b, sigma_w)
    other = kernels(act, jnp.asarray(scale**0.5 * x), sigma_b=sigma_b, sigma_w=sigma_w, depth=60, every_depth=True)
    nngp, ntk, delta = (np.asarray(part)[np.array(DEPTHS) - 1] for part in other)
    gaps = input_gaps(x)
    ratio = ntk / ntk[:, :1, :1]
    np.testing.assert_allclose(profile.ntk_ratio(found, gaps), ratio, rtol=0, atol=1e-11)
    np.testing.assert_allclose(profile.ntk_gap(found, gaps), 1.0 - ratio, rtol=0, atol=1e-11)
    # 1 - cosine of the pair that is 1e-5 apart is known to eleven digits only
    np.testing.assert_allclose(profile.nngp_delta(found, gaps), delta, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found.log_diagonal, np.log(ntk[:, 0, 0]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.log_q, np.log(nngp[:, 0, 0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "sigma_w"), [("tanh", 1.0), ("tanh", 1.8), ("elu", 1.0), ("elu", 1.3)])
@pytest.mark.thorough(first=1)
def test_without_closed_form_it_is_the_quadrature_layer_by_layer(name: str, sigma_w: float) -> None:
    act, x = NAMED[name], inputs(5)[[0, 1, 3, -2]]
    found = profile.profile(act, [2, 6], sigma_b=0.2, sigma_w=sigma_w)
    x = first_norm(name, 0.2, sigma_w) ** 0.5 * x
    for depth, ratio in zip((2, 6), profile.ntk_ratio(found, input_gaps(x)), strict=True):
        other = np.asarray(kernels(act, jnp.asarray(x), sigma_b=0.2, sigma_w=sigma_w, depth=depth).ntk)
        np.testing.assert_allclose(ratio, other / other[0, 0], rtol=0, atol=1e-10)


@pytest.mark.thorough
def test_a_variance_on_its_way_takes_one_table_a_layer() -> None:
    act, x = NAMED["tanh"], inputs(5)[:3]
    found = profile.profile(act, [4], sigma_b=0.2, sigma_w=1.5, q0=2.0)
    other = np.asarray(kernels(act, jnp.asarray(2**0.5 * x), sigma_b=0.2, sigma_w=1.5, depth=4).ntk)
    np.testing.assert_allclose(profile.ntk_ratio(found, input_gaps(x))[0], other / other[0, 0], rtol=0, atol=1e-10)


@pytest.mark.thorough
def test_ten_thousand_layers_are_those_of_the_depth_engine() -> None:
    point = eoc_points(NAMED["tanh"], 0.2)[0]
    depths = [100, 10_000]
    found = profile.profile(NAMED["tanh"], depths, sigma_b=0.2, sigma_w=point.sigma_w)
    q0 = (point.q - 0.2**2) / point.sigma_w**2
    for cosine in (-0.9, 0.3, 0.99999):
        other = depth_kernels(NAMED["tanh"], cosine, depths, sigma_b=0.2, sigma_w=point.sigma_w, q0=q0)
        ratio = profile.ntk_ratio(found, np.array(1 - cosine))
        np.testing.assert_allclose(ratio, other.ntk / other.ntk_diagonal, rtol=1e-9)
        np.testing.assert_allclose(profile.nngp_delta(found, np.array(1 - cosine)), other.delta, rtol=1e-8)


def test_a_flat_kernel_keeps_the_digits_of_its_deviation() -> None:
    """The arc-cosine recursion with a bias in sixty digits: 1 - K/K(x, x) down to 1e-18."""
    depths, gap = [10, 100, 240], 0.7
    found = profile.ntk_gap(profile.profile(NAMED["relu"], depths, sigma_b=0.3, sigma_w=1.2), np.array(gap))
    with mp.workdps(60):
        chi, rows = mp.mpf("0.72"), []
        q = mp.mpf("0.09") / (1 - chi)
        c = 1 - (1 - mp.mpf("0.09") / q) * mp.mpf(gap)
        kernel, diagonal = c, mp.mpf(1)
        for depth in range(1, depths[-1] + 1):
            if depth in depths:
                rows.append(float(1 - kernel / diagonal))
            angle = mp.acos(c)
            c = (mp.mpf("0.09") + chi * q * (mp.sin(angle) + (mp.pi - angle) * c) / mp.pi) / q
            kernel, diagonal = c + chi * (1 - angle / mp.pi) * kernel, 1 + chi * diagonal
    assert rows[-1] < 1e-16
    np.testing.assert_allclose(found, rows, rtol=1e-11)


def test_a_chaotic_kernel_keeps_the_digits_of_what_is_left_off_the_diagonal() -> None:
    """The arcsine recursion in sixty digits: K/K(x, x) down to 1e-20."""
    depths, gap, q = [10, 60, 120], 0.7, mp.mpf(limit_variance(NAMED["erf"], sigma_b=0.2, sigma_w=2.0))
    found = profile.ntk_ratio(profile.profile(NAMED["erf"], depths, sigma_b=0.2, sigma_w=2.0), np.array(gap))
    with mp.workdps(60):
        sb, s, two = mp.mpf(0.2) ** 2, mp.mpf(4), mp.mpf(2)
        for _ in range(60):  # Newton is not needed: the map contracts
            q = sb + s * two / mp.pi * mp.asin(2 * q / (1 + 2 * q))
        covariance = q - (q - sb) * mp.mpf(gap)
        kernel, diagonal, rows = covariance, q, []
        for depth in range(1, depths[-1] + 1):
            if depth in depths:
                rows.append(float(kernel / diagonal))
            slope = s * 4 / mp.pi / mp.sqrt((1 + 2 * q) ** 2 - 4 * covariance**2)
            top = s * 4 / mp.pi / mp.sqrt((1 + 2 * q) ** 2 - 4 * q**2)
            covariance = sb + s * two / mp.pi * mp.asin(2 * covariance / (1 + 2 * q))
            kernel, diagonal = covariance + slope * kernel, q + top * diagonal
    assert rows[-1] < 1e-15
    np.testing.assert_allclose(found, rows, rtol=1e-10)


def test_odd_networks_without_bias_know_opposite_inputs() -> None:
    found = profile.profile(NAMED["tanh"], [3, 30], sigma_b=0.0, sigma_w=2.0)
    near = np.array([0.0, 1e-12, 1e-3, 0.4])
    np.testing.assert_array_equal(profile.ntk_ratio(found, 2.0 - near)[:, 0], -1.0)
    np.testing.assert_allclose(
        profile.ntk_gap(found, 2.0 - near[2:]), 2.0 - profile.ntk_gap(found, near[2:]), rtol=1e-9
    )
    other = depth_kernels(NAMED["tanh"], -0.6, [3, 30], sigma_b=0.0, sigma_w=2.0, q0=first_norm("tanh", 0.0, 2.0))
    np.testing.assert_allclose(
        profile.ntk_ratio(found, np.array(1.6)), other.ntk / other.ntk_diagonal, rtol=1e-9, atol=1e-13
    )


def test_nothing_overflows_where_the_variance_does() -> None:
    found = profile.profile(NAMED["relu"], [2000], sigma_b=0.2, sigma_w=3.0, q0=1.0)
    forgotten = profile.profile(NAMED["relu"], [2000], sigma_b=0.0, sigma_w=3.0)
    assert found.log_diagonal[0] > 2000  # far from what float64 can hold
    gaps = np.array([1e-3, 0.5, 1.5])
    difference = profile.ntk_ratio(found, gaps) - profile.ntk_ratio(forgotten, gaps)
    assert 0 < np.abs(difference).max() < 1e-4  # a bias in the first layers, nearly forgotten
    growth = 1999 * np.log(4.5) + np.log(2000 * 9.0)
    assert forgotten.log_diagonal[0] == pytest.approx(growth, rel=1e-12)


def test_input_gaps_of_near_and_opposite_rows() -> None:
    x = np.array([[1.0, 0.0], [1.0, 1e-9], [-2.0, 0.0], [0.0, 3.0]])
    gaps = input_gaps(x)
    assert gaps[0, 0] == 0 and gaps[0, 2] == 2 and gaps[0, 3] == 1
    assert gaps[0, 1] == pytest.approx(0.5e-18, rel=1e-12)
    np.testing.assert_array_equal(gaps, gaps.T)
    np.testing.assert_array_equal(input_gaps(x, x[:2]), gaps[:, :2])


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="q0: expected a number, since relu has no variance fixed point"):
        profile.profile(NAMED["relu"], [2], sigma_b=0.2, sigma_w=2.0)
    with pytest.raises(ValueError, match="depths: expected increasing depths"):
        profile.profile(NAMED["relu"], [2, 2], sigma_b=0.0, sigma_w=1.0)
    with pytest.raises(ValueError, match="sigma_w: expected a standard deviation above 0"):
        profile.profile(NAMED["relu"], [2], sigma_b=0.2, sigma_w=0.0)
    found = profile.profile(NAMED["relu"], [2], sigma_b=0.0, sigma_w=1.0)
    with pytest.raises(ValueError, match="gaps: expected finite numbers from 0 to 2, got -0.1"):
        profile.ntk_gap(found, np.array([1.0, -0.1]))
    with pytest.raises(ValueError, match="x2: expected rows with a direction, got zeros in row 1"):
        input_gaps(np.ones((1, 2)), np.array([[1.0, 1.0], [0.0, 0.0]]))


@pytest.mark.thorough
def test_what_is_not_resolved_is_refused() -> None:
    """A bias so small that the network is odd but for inputs opposite to within a hair: no panel is as thin."""
    nearly_odd = from_function(lambda x: jnp.tanh(x) + 1e-9, name="nearly_odd")
    with pytest.raises(RuntimeError, match="not resolved in the angle"):
        profile.profile(nearly_odd, [60], sigma_b=0.0, sigma_w=2.0, q0=1.0)


def test_opposite_rows_are_two_apart_to_the_last_digit() -> None:
    """A kink has a square root at c = -1: one digit lost in the cosine would be half of the digits of the kernel."""
    x = np.random.default_rng(3).standard_normal((50, 37))
    assert (np.diag(input_gaps(x, -3.0 * x)) == 2.0).all()
    assert np.diag(input_gaps(x, -x + 1e-9 * x[::-1])).min() > 2.0 - 1e-15


@pytest.mark.parametrize("size", [1e-310, 1e-160, 1e-101, 1e49])
def test_angles_do_not_depend_on_lengths(size: float) -> None:
    x = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, 0.0], [1.0, 1.0 + 2.0**-30]])
    scaled = np.concatenate([size * x[:3], x[3:]])
    np.testing.assert_allclose(input_gaps(scaled), input_gaps(x), rtol=1e-9 if size > 1e-300 else 1e-4, atol=1e-16)
