"""What becomes of correlations where the variance dies or runs away: no exponential scale, by kernels and networks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import rays
from ntk_eoc.activations import NAMED, Activation, get
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import phase
from ntk_eoc.networks import Network, moment_band

ANGLES = np.array([0.4, 1.2, 2.6])
INPUTS = math.sqrt(2.0) * jnp.asarray(np.stack([np.cos([0.0, *ANGLES]), np.sin([0.0, *ANGLES])], axis=1))


def deltas(spec: str, sigma_w: float, depths: list[int]) -> np.ndarray:
    """1 - correlation of the first input with the three others, at each depth, by the layer recursion; sigma_b = 0."""
    found = [kernels(get(spec), INPUTS, sigma_b=0.0, sigma_w=sigma_w, depth=depth) for depth in depths]
    return np.array([each.delta[0, 1:] for each in found])


@pytest.mark.parametrize("spec", ["tanh", "elu", "gelu", "sin", "identity"])
@pytest.mark.thorough(first=1)
def test_a_dying_variance_freezes_correlations_where_they_are(spec: str) -> None:
    """Between two depths little more than rounding moves, and the three pairs stay at three correlations."""
    at = phase(get(spec), sigma_b=0.0, sigma_w=0.6)
    assert (at.phase, at.q, at.c_star, at.xi) == ("ordered", 0.0, None, None)
    early, late = deltas(spec, 0.6, [40, 60])
    np.testing.assert_allclose(late, early, rtol=1e-8)
    assert np.diff(late).min() > 0.1


@pytest.mark.parametrize("sigma_w", [0.6, 1.4, 2.0])
@pytest.mark.parametrize("spec", ["relu", "leaky_relu:0.3", "leaky_relu:-1"])
def test_a_bend_at_zero_draws_correlations_to_one_as_a_power(spec: str, sigma_w: float) -> None:
    """delta L^2 -> 1/(A/2)^2 from delta' = delta - A delta^(3/2), A = (2 sqrt 2/3) share, whatever sigma_w is."""
    at = phase(get(spec), sigma_b=0.0, sigma_w=sigma_w)
    assert at.c_star == 1.0 and at.xi is None
    right, left = get(spec).slopes or (1.0, 0.0)
    bend = 2 * math.sqrt(2) / 3 * (right - left) ** 2 / (math.pi * (right**2 + left**2))
    rows = deltas(spec, sigma_w, [100, 200])
    step = 0.5 * bend * 100  # of 1/sqrt(delta), up to the logarithm in its expansion
    np.testing.assert_allclose(np.diff(rows**-0.5, axis=0)[0], step, rtol=0.02)
    np.testing.assert_allclose(deltas(spec, 1.0, [100])[0], rows[0], rtol=1e-9)  # sigma_w plays no part


@pytest.mark.thorough
def test_half_a_tanh_is_a_relu_near_zero() -> None:
    """The slopes decide, not the name: with a bend at 0 correlations of a dying network go to 1 too."""
    half = Activation("half", lambda x: jnp.where(x > 0, jnp.tanh(x), 0.0), (0.0,))
    at = phase(half, sigma_b=0.0, sigma_w=1.0)
    assert (at.phase, at.q, at.c_star, at.xi) == ("ordered", 0.0, 1.0, None)
    found = [float(kernels(half, INPUTS[:2], sigma_b=0.0, sigma_w=1.0, depth=d).delta[0, 1]) for d in (20, 40, 80)]
    relu = deltas("relu", 1.0, [20, 40, 80])[:, 0]
    assert found[0] > found[1] > found[2] and abs(found[2] / relu[2] - 1) < 0.2


@pytest.mark.parametrize("spec, frozen", [("tanh", True), ("relu", False)])
@pytest.mark.thorough
def test_networks_of_finite_width_do_so_too(spec: str, frozen: bool) -> None:
    """Four hundred units, 64 networks: tanh keeps its correlation from layer 8 on, ReLU does not."""
    net = Network(width=400, depth=16, sigma_b=0.0, sigma_w=0.8)
    mean = np.asarray(moment_band(jax.random.key(0), NAMED[spec], net, INPUTS[:3], seeds=64).mean)
    norm = np.sqrt(np.einsum("lii->li", mean))
    delta = 1 - mean[[7, 15]] / (norm[[7, 15], :, None] * norm[[7, 15], None, :])
    expected = deltas(spec, 0.8, [8, 16])
    moved = delta[1, 0, 1:] / delta[0, 0, 1:]
    np.testing.assert_allclose(moved, expected[1, :2] / expected[0, :2], rtol=0.1)
    assert (abs(moved - 1) < 0.1).all() if frozen else (moved < 0.75).all()


@pytest.mark.thorough
def test_on_the_edge_without_bias_a_variance_that_dies_slowly_freezes_them() -> None:
    """q = 1/(2 l), and c moves by O(q^2) a layer, of which the sum is finite."""
    assert phase(NAMED["tanh"], sigma_b=0.0, sigma_w=1.0) == ("eoc", 0.0, 1.0, None, None)
    rows = deltas("tanh", 1.0, [50, 100, 200])
    moved = np.abs(np.diff(rows, axis=0)).max(axis=1)
    assert moved[1] < 0.6 * moved[0] and np.diff(rows[2]).min() > 0.1


def test_where_the_variance_runs_away() -> None:
    for spec in ("gelu", "elu", "relu", "softplus"):
        assert phase(get(spec), sigma_b=0.3, sigma_w=3.0)[3:] == (1.0, None), spec
    assert phase(get("identity"), sigma_b=0.3, sigma_w=1.0).c_star == 1.0  # each bias adds as much to all
    assert phase(get("identity"), sigma_b=0.3, sigma_w=1.1).c_star is None
    found = [kernels(get("identity"), INPUTS, sigma_b=0.3, sigma_w=w, depth=400).delta[0, 1:] for w in (1.0, 1.1)]
    assert found[0].max() < 0.1 and np.diff(found[1]).min() > 0.1


def test_slopes_far_out() -> None:
    cube = Activation("cube", lambda x: x**3)
    assert [rays.far(act) for act in (cube, NAMED["sin"], get("leaky_relu:0.3"))] == [None, None, (1.0, 0.3)]
    assert rays.far(NAMED["gelu"]) == (1.0, 0.0)
    np.testing.assert_allclose(rays.near(NAMED["selu"]), (1.0507009873554805, 1.7580993408473766), rtol=1e-6)
    assert rays.correlation_limit((0.0, 0.0)) is None


def test_a_slope_on_each_side_far_out() -> None:
    """x (0.3 + 0.7 sigmoid(x)) and multiples of softplus: both limits, at any scale."""
    uneven = Activation("uneven", lambda x: x * (0.3 + 0.7 * jax.nn.sigmoid(x)))
    assert rays.far(uneven) == pytest.approx((1.0, 0.3), rel=1e-12)
    for scale in (1e-4, 300.0):
        steep = Activation("steep", lambda x, scale=scale: scale * jax.nn.softplus(x))
        assert rays.far(steep) == pytest.approx((scale, 0.0), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_what_grows_faster_than_any_slope_has_none(scale: float) -> None:
    """x log(1 + |x|): its slope grows by the logarithm alone, which no factor in front hides."""
    assert rays.far(Activation("log", lambda x: scale * x * jnp.log1p(jnp.abs(x)))) is None
    one_side = Activation("one side", lambda x: jnp.where(x > 0, x, scale * x * jnp.log1p(jnp.abs(x))))
    assert rays.far(one_side) is None


def test_limits_are_reached_to_a_thousandth() -> None:
    """x |x|^p: phi(x)/x grows by 100^p from 1e7 to 1e9, by a thousandth of its end at p = -log(0.999)/log(100)."""
    least = -math.log(0.999) / math.log(100)
    for share, settled in ((0.999, True), (1.001, False)):
        power = Activation("power", lambda x, p=share * least: x * jnp.abs(x) ** p)
        assert (rays.far(power) is not None) == settled


def test_what_overflows_or_dies_far_out_has_no_slopes() -> None:
    assert rays.far(Activation("exp", lambda x: jnp.expm1(x))) is None
    assert rays.far(Activation("faint", lambda x: 1e-7 * x)) is None


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_slopes_are_told_apart_beside_their_size(size: float) -> None:
    assert rays.correlation_limit((size, size * (1 + 5e-7))) is None
    assert rays.correlation_limit((size, size * (1 + 5e-6))) == 1.0
    assert rays.correlation_limit((size, -size)) == 1.0
