"""Lemma 1: what a singular kernel leaves, exact and for trained networks, and how long a nearly singular one takes."""

import math

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from ntk_eoc.activations import NAMED
from ntk_eoc.claims import evidence_linear
from ntk_eoc.claims.rows import agrees
from ntk_eoc.dynamics import decompose
from ntk_eoc.experiments import linear_lemma, linear_training
from ntk_eoc.experiments.linear_training import Config
from ntk_eoc.kernels import kernels
from ntk_eoc.networks import init
from ntk_eoc.plotting import linear_training as drawing


@pytest.mark.parametrize("make", [linear_lemma.twice, linear_lemma.linear])
@pytest.mark.thorough(first=1)
def test_the_lost_projection_is_that_on_the_kernel_of_k(make) -> None:
    """Built without any kernel; here from the eigenvectors of the exact one, and of one network's own."""
    case = make()
    net, o = case.net, case.y.shape[1]
    x = jnp.asarray(case.x)
    exact = kernels(NAMED[case.activation], x, sigma_b=net.sigma_b, sigma_w=net.sigma_w, depth=net.depth).ntk
    spectrum = decompose(exact)
    null = np.asarray(spectrum.vectors)[:, np.asarray(spectrum.values) == 0]
    np.testing.assert_allclose(null @ null.T, case.lost, atol=1e-9)
    config, data = Config(case.activation, net.depth), linear_training.Task(case.x, case.y, case.x[:1], case.y[:1])
    own, _ = linear_training.own_kernel(config, net, init(jax.random.key(0), net, case.x.shape[1], o), data)
    stuck = np.asarray(own.vectors)[:, np.asarray(own.values) == 0]
    np.testing.assert_allclose(stuck @ stuck.T, np.kron(case.lost, np.eye(o)), atol=1e-9)


@pytest.mark.parametrize(("make", "steps"), [(linear_lemma.twice, 200), (linear_lemma.linear, 6000)])
def test_lemma_1_and_its_missing_condition(make, steps: int) -> None:
    case = make()
    any_targets = linear_lemma.train_singular(case, (0, 1, 20, steps))
    assert any_targets.floor > 0.05 and any_targets.silent < 1e-13
    np.testing.assert_allclose(any_targets.stuck, any_targets.floor, rtol=1e-10)
    for values in (any_targets.network, any_targets.formula):
        assert (values >= any_targets.floor * (1 - 1e-12)).all()
        assert abs(values[-1] / any_targets.floor - 1) < 1e-5
    learned = linear_lemma.train_singular(linear_lemma.reachable(case), (0, 1, 20, steps))
    assert learned.network[-1] < 1e-4 and learned.formula[-1] < 1e-4 and learned.stuck.max() < 1e-13


def test_the_floor_is_the_least_squares_error_of_affine_functions_and_half_the_disagreement_of_copies() -> None:
    case = linear_lemma.linear()
    features = np.concatenate([case.x, np.ones((len(case.x), 1))], axis=1)
    left = np.linalg.lstsq(features, case.y, rcond=None)[1].sum()
    assert np.sum((case.lost @ case.y) ** 2) == pytest.approx(left, rel=1e-10)
    pairs = linear_lemma.twice().y.reshape(-1, 2, 10)
    floor = np.sum((linear_lemma.twice().lost @ linear_lemma.twice().y) ** 2)
    assert floor == pytest.approx(np.sum((pairs[:, 0] - pairs[:, 1]) ** 2) / 2, rel=1e-12)


def test_no_initial_function_has_a_part_in_the_kernel_of_the_ntk() -> None:
    """The NTK is at least the NNGP kernel, so the variance of v.f_0 is 0 wherever K v = 0."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(9, 3)))
    for name, sigma_b in (("identity", 0.4), ("relu", 0.0)):
        found = kernels(NAMED[name], x, sigma_b=sigma_b, sigma_w=1.3, depth=4)
        assert np.linalg.eigvalsh(np.asarray(found.ntk - found.nngp))[0] > -1e-12
    found = kernels(NAMED["identity"], x, sigma_b=0.4, sigma_w=1.3, depth=4)
    spectrum = decompose(found.ntk)
    null = np.asarray(spectrum.vectors)[:, np.asarray(spectrum.values) == 0]
    assert null.shape[1] == 9 - 4
    assert np.abs(null.T @ np.asarray(found.nngp) @ null).max() < 1e-13


def test_time_scales_are_exponential_in_depth_only_in_the_ordered_phase() -> None:
    ordered, edge, chaotic = linear_lemma.time_scales(linear_lemma.ScaleConfig())
    per_layer = np.diff(np.log(ordered.slowest * ordered.depth)) / -math.log(ordered.chi)
    assert abs(per_layer[-1] - 1) < 0.005
    assert edge.chi == pytest.approx(1, abs=1e-9) and chaotic.chi > 1 > ordered.chi
    # on the edge K/(L q) tends to 1/3 off and 1 on the diagonal: condition 1 + N (1/3)/(2/3)
    gaps = np.abs(edge.condition[[10, 30, 58]] - (1 + 20 / 2))
    assert (np.diff(gaps) < 0).all() and gaps[-1] < 1
    assert edge.slowest[-1] < edge.slowest[28] < edge.slowest[0]
    assert chaotic.condition[-1] == pytest.approx(1, abs=1e-6)


def test_losses_follow_a_plain_loop() -> None:
    config = linear_lemma.ScaleConfig(images=6, depth=8)
    found = linear_lemma.losses(config, (3, 8), np.array([0.0, 1.0, 25.0]))
    x, y = (part[:6] for part in linear_lemma._first(6))
    x = linear_lemma.unit_norm(x)
    for d, depth in enumerate((3, 8)):
        k = np.asarray(kernels(NAMED["erf"], jnp.asarray(x), sigma_b=0.2, sigma_w=0.9, depth=depth).ntk)
        f, top = 0 * y, np.linalg.eigvalsh(k)[-1]
        for step in range(26):
            if step in (0, 1, 25):
                at = (0, 1, 25).index(step)
                assert found[0, d, at] == pytest.approx(np.sum((f - y) ** 2) / np.sum(y**2), rel=1e-9)
            f = f - 1 / top * k @ (f - y)  # half of 2N/lambda_max, over N


@pytest.mark.thorough
def test_evidence_for_lemma_1_is_against_the_printed_only_if() -> None:
    rows = evidence_linear.lemma1()
    assert [row.side for row in rows if not agrees(row)] == ["printed"]
    assert sum(row.side == "printed" for row in rows) == 2


@pytest.mark.thorough
def test_figures_show_the_arrays() -> None:
    fig, axes = plt.subplots(1, 3)
    runs = [linear_lemma.train_singular(linear_lemma.twice(8), (0, 1, 5))]
    drawing.lemma(axes[0], runs, (0, 1, 5), "x")
    np.testing.assert_array_equal(axes[0].lines[1].get_ydata(), runs[0].network)
    config = linear_lemma.ScaleConfig(images=4, depth=14)
    scales = linear_lemma.time_scales(config)
    drawing.scales(axes[1], scales, ("a", "b", "c"))
    np.testing.assert_array_equal(axes[1].lines[0].get_ydata(), scales[0].slowest)
    drawing.losses(axes[2], *linear_lemma.losses(config, (3,), np.arange(1.0, 3.0))[:2], (3,), np.arange(1.0, 3.0))
    fig.canvas.draw()
