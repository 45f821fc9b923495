"""Proposition 1: measured rates, prefactors and limits against theory, and against recursions written out again."""

import math
from functools import lru_cache

import jax.numpy as jnp
import matplotlib.pyplot as plt
import mpmath as mp
import numpy as np
import pytest
from scipy.linalg import expm

from ntk_eoc.activations import NAMED
from ntk_eoc.depth import depth_kernels
from ntk_eoc.experiments import phases
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import variance_slope
from ntk_eoc.plotting import phases as drawing


@lru_cache
def decays() -> dict[str, phases.Decay]:
    return {run.activation: run for run in phases.ordered_decay(phases.OrderedConfig())}


@lru_cache
def chaos() -> phases.Chaotic:
    return phases.chaotic(phases.ChaoticConfig(depth=200))


@pytest.mark.parametrize(("name", "share"), [("relu", 0.5), ("selu", 0.5), ("elu", 1.0), ("tanh", 1.0)])
def test_the_rate_is_log_chi_without_a_kink_and_half_of_it_with_one(name: str, share: float) -> None:
    run = decays()[name]
    rate = phases.measured_rate(run, 80, 160) / -math.log(run.chi)
    # left over at depth L: O(L chi^(L/2)) with a kink, c/L with c below 2 for smoother phi; both over 80 layers
    left = 80 * run.chi**40 if share == 0.5 else 2 * (1 / 80 - 1 / 160)
    assert abs(rate - share) < left / 80 / -math.log(run.chi)
    assert run.power == (share == 1.0)


@pytest.mark.parametrize("name", ["relu", "selu", "elu", "tanh"])
def test_the_prefactor_is_the_derived_one(name: str) -> None:
    run = decays()[name]
    depth = np.arange(1, len(run.worst) + 1)
    if run.power:  # measured = S (L + c): the differences of measured/chi^L are S up to O(L chi^L)
        steps = np.diff(run.worst / run.chi**depth) / np.diff(run.theory / run.chi**depth)
        np.testing.assert_allclose(steps[-20:], 1.0, rtol=1e-9)
    else:
        np.testing.assert_allclose((run.worst / run.theory)[-20:], 1.0, rtol=30 * run.chi ** (0.5 * 140))


def test_relu_decays_at_half_the_rate_in_sixty_digits() -> None:
    """The arc-cosine recursion in mpmath, from delta = 1: lambda - K falls like chi^(L/2)."""
    with mp.workdps(60):
        chi, sigma_b2 = mp.mpf("0.72"), mp.mpf("0.09")
        q = sigma_b2 / (1 - chi)
        c, kernel, rows = mp.mpf(0), mp.mpf(0), []
        for _ in range(300):
            angle = mp.acos(c)
            slope = chi * (1 - angle / mp.pi)
            c = (sigma_b2 + chi * q * (mp.sin(angle) + (mp.pi - angle) * c) / mp.pi) / q
            kernel = c + slope * kernel
            rows.append(1 - (1 - chi) * kernel)
        rate = mp.log(rows[199] / rows[299]) / 100
        edge = chi * mp.acos(c) / mp.pi / (mp.sqrt(chi) - chi)  # qdot = chi (1 - theta/pi), one layer on
        assert abs(float(rate / -mp.log(chi)) - 0.5) < 1e-14
        assert abs(float(rows[299] / edge) - 1.0) < 1e-14


def test_the_supremum_is_reached_at_the_far_end_and_falls_layer_by_layer() -> None:
    for run in decays().values():
        assert (np.diff(run.worst[20:]) < 0).all()
        assert run.worst[0] > 0.5


def test_the_diagonal_in_the_ordered_phase_is_a_geometric_sum() -> None:
    act, q, slope = phases.fixed_point(phases.Setting("tanh", 0.3, 1.0))
    depths = [1, 2, 5, 30]
    found = depth_kernels(act, 0.3, depths, sigma_b=0.3, sigma_w=1.0, q0=q - 0.09)
    assert 0 < float(variance_slope(act, jnp.array(q), sigma_w=1.0)) < slope < 1
    np.testing.assert_allclose(found.ntk_diagonal, q * (1 - slope ** np.array(depths)) / (1 - slope), rtol=1e-12)


@pytest.mark.thorough
def test_without_bias_the_ordered_relu_kernel_is_the_edge_of_chaos_in_disguise() -> None:
    config = phases.BiasConfig(depths=(250, 500, 1000))
    run = phases.bias(config)[0]
    chi, q1 = config.sigma_w**2 / 2, config.sigma_w**2
    np.testing.assert_allclose(run.ntk / run.ratio, run.depth * chi ** (run.depth - 1) * q1, rtol=1e-10)
    deviation = (run.ratio - 0.25) * run.depth - 0.375 * np.log(run.depth)
    assert np.ptp(deviation) < 30 / 250  # a constant, up to O(1/L)
    # delta = (9 pi^2/2)/(L + (3/2) log L + c + O(log(L)/L))^2
    lengths = np.sqrt(4.5 * math.pi**2 / run.delta) - run.depth - 1.5 * np.log(run.depth)
    assert np.ptp(lengths) < 3 * math.log(250) / 250
    edge = depth_kernels(NAMED["relu"], 0.3, config.depths, sigma_b=0.0, sigma_w=2**0.5)
    np.testing.assert_allclose(run.ratio, edge.ntk / edge.ntk_diagonal, rtol=1e-10)


def test_with_a_bias_the_relu_kernel_becomes_a_positive_constant() -> None:
    chi = 1.2**2 / 2
    for run in phases.bias(phases.BiasConfig(depths=(200, 400)))[1:]:
        np.testing.assert_allclose(run.ntk[-1], run.sigma_b**2 / (1 - chi) ** 2, rtol=1e-12)
        assert abs(run.ratio[-1] - 1) < 1e-12
        assert abs(math.log(run.delta[0] / run.delta[1]) / 200 / -math.log(chi) - 1) < 1e-9


def test_the_chaotic_limits_agree_with_a_product_quadrature() -> None:
    """c, chi_* and K off the diagonal by the trapezoidal rule in two Gaussians: nothing of the package is used."""
    found = chaos()
    z = np.linspace(-9, 9, 121)
    w = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    q = 1.0
    for _ in range(300):
        q = 0.09 + 4.0 * w @ np.tanh(np.sqrt(q) * z) ** 2
    c, kernel = 0.0, 0.0
    u = np.sqrt(q) * z[:, None]
    for _ in range(200):
        v = np.sqrt(q) * (c * z[:, None] + np.sqrt(1 - c * c) * z[None, :])
        slope = 4.0 * w @ (np.cosh(u) ** -2 * np.cosh(v) ** -2) @ w
        c = (0.09 + 4.0 * w @ (np.tanh(u) * np.tanh(v)) @ w) / q
        kernel = c + slope * kernel
    assert found.limit == pytest.approx(kernel, rel=1e-10)
    assert found.rate == pytest.approx(slope, rel=1e-10)


def test_pairs_reach_the_common_limit_and_the_diagonal_explodes() -> None:
    found = chaos()
    assert found.rate < 1 < found.diagonal[1] / found.diagonal[0]
    assert found.pairs[0, -1] == pytest.approx(found.limit, rel=100 * found.rate**200 * 200)
    growth = found.diagonal[1:] - found.diagonal[:-1]
    slope = phases.fixed_point(phases.ChaoticConfig().setting)[2]
    np.testing.assert_allclose(growth, slope ** np.arange(1, 200), rtol=1e-6)
    # no supremum over different inputs: the closer the pair, the longer it follows the diagonal
    heights = found.pairs.max(axis=1)
    assert (heights[1:] > 20 * heights[:-1]).all() and heights[0] < 3


def test_the_chaotic_diagonal_and_pairs_are_those_of_the_depth_engine() -> None:
    setting = phases.ChaoticConfig().setting
    act, q, _ = phases.fixed_point(setting)
    config = phases.ChaoticConfig(gaps=(0.3,), depth=40)
    ours = phases.chaotic(config)
    q0 = (q - setting.sigma_b**2) / setting.sigma_w**2
    found = depth_kernels(act, 0.7, range(1, 41), sigma_b=setting.sigma_b, sigma_w=setting.sigma_w, q0=q0)
    np.testing.assert_allclose(ours.diagonal, found.ntk_diagonal / q, rtol=1e-9)
    np.testing.assert_allclose(ours.pairs[0], found.ntk / q, rtol=1e-9)


@pytest.mark.thorough
def test_the_phases_memorise_and_generalise_as_said() -> None:
    ordered, edge, chaotic = phases.digit_runs(phases.DigitsConfig(images=60))
    assert ordered.smallest[-1] < 1e-6 and ordered.train[-1] > 0.9 and ordered.test[-1] > 0.95
    assert 0.1 < edge.smallest[-1] < 2 / 3 and edge.train[-1] < 1e-3 and edge.test[-1] < 0.8
    assert abs(chaotic.smallest[-1] - 1) < 1e-6 and chaotic.train[-1] < 1e-12 and abs(chaotic.test[-1] - 1) < 1e-6
    slopes = np.log(ordered.smallest[20:-1] / ordered.smallest[21:])
    chi = phases.fixed_point(phases.Setting("erf", 0.2, 0.8))[2]
    assert abs(slopes[-1] / -math.log(chi) - 1) < 2.5 / 49  # smallest eigenvalue ~ L chi^L or chi^L
    assert (np.diff(ordered.smallest) < 0)[5:].all()


@pytest.mark.thorough
def test_learning_is_the_matrix_exponential_of_equation_9() -> None:
    config = phases.DigitsConfig(images=12, sigma_w=(1.5,), depth=3, steps=7.0)
    run = phases.digit_runs(config)[0]
    split = phases.train_test(phases.digits(12), test_fraction=0.5)
    x = jnp.concatenate([phases.unit_norm(part.x) for part in split])
    ntk = np.asarray(kernels(NAMED["erf"], x, sigma_b=0.2, sigma_w=1.5, depth=3).ntk)
    gram, (y, y_test) = ntk / ntk[0, 0], (np.eye(10)[part.y] - 0.1 for part in split)
    time = 7.0 / np.linalg.eigvalsh(gram[:6, :6])[-1]
    found = gram[:, :6] @ np.linalg.solve(gram[:6, :6], (np.eye(6) - expm(-time * gram[:6, :6])) @ y)
    assert run.train[-1] == pytest.approx(np.sum((found[:6] - y) ** 2) / np.sum(y**2), rel=1e-9)
    assert run.test[-1] == pytest.approx(np.sum((found[6:] - y_test) ** 2) / np.sum(y_test**2), rel=1e-9)


@pytest.mark.thorough
def test_figures_show_the_arrays() -> None:
    runs, found = list(decays().values()), chaos()
    fig, axes = plt.subplots(2, 3)
    drawing.decay(axes[0, 0], runs)
    drawing.prefactor(axes[0, 1], runs, 1)
    drawing.chaotic(axes[0, 2], found, phases.ChaoticConfig().gaps)
    drawing.bias(axes[1, :2], phases.bias(phases.BiasConfig()), 4.5 * math.pi**2)
    np.testing.assert_array_equal(axes[0, 0].lines[0].get_ydata(), runs[0].theory)
    np.testing.assert_array_equal(axes[0, 2].lines[1].get_ydata(), found.pairs[0])
    assert len(axes[0, 1].lines) == 3 and len(axes[1, 0].lines) == 4
    drawn = phases.digit_runs(phases.DigitsConfig(images=10, sigma_w=(2.0,), depth=8))
    drawing.learning(axes[1, 1:], drawn, ["chaotic"])
    np.testing.assert_array_equal(axes[1, 2].lines[0].get_ydata(), drawn[0].test)
    fig.canvas.draw()
