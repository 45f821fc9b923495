"""Figure 1's arrays against the theory's rates and against independent ways to the same kernels.

Tolerances are the sizes of the next terms, worked out beside each of them; all are two-sided.
"""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import asymptotics, data
from ntk_eoc.activations import NAMED
from ntk_eoc.experiments import figure1
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import eoc_points, limit_variance

DEEP = 10**5


@pytest.fixture(scope="module")
def edge() -> figure1.Panel:
    return figure1.edge(figure1.Edge(deepest=DEEP))


@pytest.fixture(scope="module")
def ordered() -> figure1.Panel:
    return figure1.ordered()


@pytest.fixture(scope="module")
def residual() -> figure1.Panel:
    return figure1.residual(figure1.Residual(deepest=DEEP))


def log_coefficient(panel: figure1.Panel, curve: int, pair: int) -> float:
    """The slope of L * deviation against log L over the last factor of ten."""
    last = math.log(panel.depth[-1])
    scaled = panel.depth * panel.deviation[curve, pair]
    return figure1.fitted_slope(np.log(panel.depth), scaled, last - math.log(10) - 1e-9, last + 1e-9)


def all_pairs(sigma_w: float, q0: float, depth: int, architecture: str) -> np.ndarray:
    """K^L over its diagonal's growth for ReLU and all 45 pairs, layer by layer: (pairs,)."""
    x = jnp.asarray(data.unit_norm(data.digits(n=10).x) * math.sqrt(q0))
    found = kernels(NAMED["relu"], x, sigma_b=0.0, sigma_w=sigma_w, depth=depth, architecture=architecture).ntk
    s = sigma_w**2 / 2
    growth = s * depth * ((1 + s) ** (depth - 1) / (1 + s) if architecture == "residual" else s ** (depth - 2))
    return np.asarray(found)[np.triu_indices(10, 1)] / (sigma_w**2 * q0 * growth)


@pytest.mark.parametrize("depth", [1, 2, 10, 100])
@pytest.mark.thorough(first=1)
def test_edge_is_the_supremum_over_all_pairs(edge: figure1.Panel, depth: int) -> None:
    at = edge.depth.tolist().index(depth)
    every = np.abs(all_pairs(2**0.5, 1.0, depth, "ffnn") - 0.25)
    assert figure1.supremum(edge)[0, at] == pytest.approx(every.max(), rel=1e-11)


@pytest.mark.parametrize("curve", range(4))
def test_residual_is_the_supremum_over_all_pairs(residual: figure1.Panel, curve: int) -> None:
    at = residual.depth.tolist().index(100)
    every = np.abs(all_pairs(figure1.Residual().sigma_w[curve], 1.0, 100, "residual") - 0.25)
    assert figure1.supremum(residual)[curve, at] == pytest.approx(every.max(), rel=1e-11)


def test_elu_agrees_with_the_layers_taken_one_by_one(edge: figure1.Panel) -> None:
    act, point = NAMED["elu"], eoc_points(NAMED["elu"], 0.2)[0]
    assert point.q is not None
    x = data.unit_norm(data.digits(n=10).x)
    i, j = np.unravel_index(np.argmax(x @ x.T - 1e9 * np.eye(10)), (10, 10))
    x = x[[i, j]] * math.sqrt((point.q - 0.04) / point.sigma_w**2)
    found = kernels(act, jnp.asarray(x), sigma_b=0.2, sigma_w=point.sigma_w, depth=10).ntk[0, 1] / (10 * point.q)
    at = edge.depth.tolist().index(10)
    # on the edge the recursion keeps an error in q of 1e-15 a layer, times the slopes 10 and 1/deviation
    assert edge.deviation[1, -1, at] == pytest.approx(float(found) - 1 / 3, rel=1e-11)


@pytest.mark.parametrize("pair", [0, -1])
def test_relu_has_a_logarithm(edge: figure1.Panel, pair: int) -> None:
    # L * deviation = C log L + A + O(log(L)^2/L): over the last decade, from L = 1e4, that is 85/1e4, over log 10
    assert log_coefficient(edge, 0, pair) == pytest.approx(3 / 8, abs=4e-3)
    # and so the exponent is 1/(log L + A/C) above -1: between 0 and 1/log(1e4)
    exponent = figure1.decay_exponent(edge.depth, figure1.supremum(edge)[0], DEEP / 10, DEEP)
    assert -1 < exponent < -1 + 1 / math.log(DEEP / 10)


@pytest.mark.parametrize("pair", [0, -1])
def test_elu_decays_like_one_over_root_l(edge: figure1.Panel, pair: int) -> None:
    point = eoc_points(NAMED["elu"], 0.2)[0]
    assert point.q is not None
    expected = asymptotics.coefficient(NAMED["elu"], point.q, point.sigma_w)[2]
    far = edge.depth >= 3000
    root = np.sqrt(edge.depth[far])
    terms = np.stack([root**0, np.log(root) / root, 1 / root, np.log(root) / root**2, root**-2.0], axis=1)
    fit = np.linalg.lstsq(terms, root * edge.deviation[1, pair, far], rcond=None)[0]
    # the first term left out is of order (log L)^2/L^(3/2), 4e-4 at L = 3000; the fit weighs it by up to ten
    assert fit[0] == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("curve", range(4))
def test_residual_has_the_same_logarithm_for_every_sigma_w(residual: figure1.Panel, curve: int) -> None:
    # as for ReLU, with inputs that turn by p = s/(1 + s) of an angle a layer: depths count p-fold, and squared
    s = figure1.Residual().sigma_w[curve] ** 2 / 2
    assert 0 < log_coefficient(residual, curve, -1) - 3 / 8 < 4e-3 * ((1 + s) / s) ** 2


def test_printed_normaliser_is_right_only_at_the_square_root_of_two() -> None:
    config = figure1.Residual(deepest=10**4)
    log_ratio = figure1.printed_normaliser(config)
    at = figure1.residual(config).depth
    decade = np.array([log_ratio[:, -1] - log_ratio[:, at.tolist().index(1000)]])[0]
    s = np.array(config.sigma_w) ** 2 / 2
    assert decade[:2] == pytest.approx(9000 * np.log((1 + s[:2]) / 2), abs=math.log(10.5))  # off by the factor L
    assert math.exp(log_ratio[2, -1]) == pytest.approx(1 / 8, rel=0.01)
    assert decade[3] == pytest.approx(math.log(10), abs=0.05)


def test_smooth_slopes_decay_like_chi_and_relu_like_its_root(ordered: figure1.Panel) -> None:
    log_chi, worst = np.log(ordered.chi), np.log(figure1.supremum(ordered))
    rates = [figure1.fitted_slope(ordered.depth, row, 50, 100) for row in worst]
    # ReLU: chi^(L/2) (A + O(L chi^(L/2))), the second 5e-7 of the first at L = 50
    assert rates[0] == pytest.approx(log_chi[0] / 2, rel=1e-7)
    # ELU: chi^L (A L + B), A and B of one sign
    assert log_chi[1] < rates[1] < log_chi[1] + 1 / 50
    straight = np.exp(worst[1] - ordered.depth * log_chi[1])[49:]
    # what bends it is the next power of chi^(L/2), 6e-6 at L = 50
    assert np.abs(np.diff(straight, 2)).max() < 1e-5 * np.diff(straight).min()


def test_the_diagonal_of_the_ordered_phase_is_a_geometric_sum(ordered: figure1.Panel) -> None:
    expected = -(ordered.chi[:, None] ** ordered.depth) / (1 - ordered.chi[:, None])
    np.testing.assert_allclose(ordered.deviation[:, -1], expected, rtol=1e-12)


def test_ordered_agrees_with_the_layers_taken_one_by_one(ordered: figure1.Panel) -> None:
    q = limit_variance(NAMED["relu"], sigma_b=1.0, sigma_w=1.0)
    x = data.unit_norm(data.digits(n=10).x) * math.sqrt(q - 1.0)
    found = np.asarray(kernels(NAMED["relu"], jnp.asarray(x), sigma_b=1.0, sigma_w=1.0, depth=20).ntk)
    worst = np.abs(found[np.triu_indices(10, 1)] / q - ordered.limit[0]).max()
    assert figure1.supremum(ordered)[0, 19] == pytest.approx(worst, rel=1e-10)


@pytest.mark.thorough
def test_finite_networks_agree(edge: figure1.Panel) -> None:
    config = figure1.Witness(depths=(4,), seeds=128)
    band = figure1.witness(config)
    at = edge.depth.tolist().index(4)
    bias = 2 * 4 / config.width  # of order L/n beside a kernel of order one
    distance = np.abs(band.deviation[:, 0] - edge.deviation[:, -1, at])
    assert (band.standard_error < 0.05).all()
    assert (distance < 6 * band.standard_error[:, 0] + bias).all()


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="softplus has no Edge of Chaos"):
        figure1.edge(figure1.Edge(curves=(("softplus", 0.2),)))
    with pytest.raises(ValueError, match="ordered phase for relu, got chaotic"):
        figure1.ordered(figure1.Ordered(sigma_w=2.0))
    with pytest.raises(ValueError, match="two or more"):
        figure1.fitted_slope(np.arange(3), np.arange(3.0), 5, 9)
