"""The arrays of the chapter on Proposition 2, against other routes to the same numbers."""

import math
from functools import lru_cache

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from ntk_eoc.experiments import edge
from ntk_eoc.kernels import kernels
from ntk_eoc.plotting import edge as draw
from ntk_eoc.plotting import style

CONFIG = edge.Config(("relu", "erf"), deepest=10_000)


@lru_cache
def _layer_by_layer(name: str, gap: float, depth: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """(K^l/q, c^l) of the pair of ``edge.pair_at``, from the Gram matrices of ``kernels``."""
    at = edge.edge(name, CONFIG.sigma_b)
    sigma_w = at.law.point.sigma_w
    cosine = 1 - gap * at.q / (sigma_w**2 * at.q0)
    x = jnp.array([[1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)]]) * math.sqrt(2 * at.q0)
    found = kernels(at.act, x, sigma_b=at.sigma_b, sigma_w=sigma_w, depth=depth, every_depth=True)
    return np.asarray(found.ntk) / at.q, 1 - np.asarray(found.delta[:, 0, 1])


@pytest.mark.parametrize("name", CONFIG.activations)
@pytest.mark.thorough(first=1)
def test_pairs_are_those_of_the_gram_matrices(name: str) -> None:
    ntk, _ = _layer_by_layer(name, 0.7)
    found = edge.pair_at(edge.edge(name, CONFIG.sigma_b), 0.7, np.arange(1, 101))
    assert np.allclose(found.kappa, ntk[:, 0, 1], rtol=1e-11)
    assert np.allclose(ntk[:, 0, 0], np.arange(1, 101), rtol=1e-10)  # the theorem's first part


def test_ratios_tend_to_the_two_limits() -> None:
    found = edge.limits(CONFIG)
    assert found.limits == pytest.approx([1 / 4, 1 / 3])
    distance = np.abs(found.ratio - found.limits[:, None])
    assert (distance[:, -1] < 2e-3).all()
    assert (distance[:, -1] < 0.5 * distance[:, -5]).all()


def test_opposite_inputs_have_the_same_limit() -> None:
    for name in CONFIG.activations:
        at = edge.edge(name, CONFIG.sigma_b)
        ratio = edge.pair_at(at, 2.0, np.array([10_000])).kappa[0] / 10_000
        assert ratio == pytest.approx(at.law.limit, abs=1e-3)


@pytest.mark.parametrize(("name", "power"), [("relu", 0.5), ("erf", 1.0)])
def test_nearly_equal_inputs_follow_the_crossover(name: str, power: float) -> None:
    gaps = (1e-2, 1e-3, 1e-4)
    found = edge.crossover(name, CONFIG._replace(deepest=200_000), gaps)
    limit = edge.edge(name, CONFIG.sigma_b).law.limit
    error = np.abs(found.ratio - edge.crossover_curve(found.stretch, limit)).max(axis=1)
    assert error[0] < 0.02
    assert (error[1:] < 0.6 * error[:-1]).all()  # the curve is the limit of small gaps
    slopes = np.diff(np.log(found.half)) / np.diff(np.log(gaps))
    assert slopes == pytest.approx([-power] * 2, abs=0.02)
    assert (found.ratio[:, 0] > 1 - 2 * np.array(gaps)).all()


def test_no_bound_holds_for_all_different_inputs() -> None:
    for name in CONFIG.activations:
        at = edge.edge(name, CONFIG.sigma_b)
        ratio = edge.pair_at(at, 1e-14, np.array([10_000])).kappa[0] / 10_000
        assert ratio - at.law.limit == pytest.approx(1 - at.law.limit, abs=2e-3)


def test_half_way_is_where_the_curve_says() -> None:
    for limit in (1 / 4, 1 / 3):
        half = np.array(edge.half_way(limit))
        assert edge.crossover_curve(half, limit) == pytest.approx((1 + limit) / 2, rel=1e-12)
    assert edge.half_way(1 / 3) == pytest.approx((1 + math.sqrt(5)) / 2, rel=1e-12)
    assert math.isnan(edge.crossover("relu", CONFIG._replace(deepest=100), (1e-8,)).half[0])


def test_layer_shares_add_up_and_are_sensitivities_of_the_last_gap() -> None:
    depth = 100
    shares = edge.layer_shares(CONFIG, depth)
    assert np.allclose(shares.share.sum(axis=1), shares.total, rtol=1e-12)
    for name, row in zip(CONFIG.activations, shares.share, strict=True):
        ntk, c = _layer_by_layer(name, 0.7)
        assert row.sum() == pytest.approx(ntk[-1, 0, 1], rel=1e-11)
        assert row[-1] == pytest.approx(c[-1], rel=1e-12)
        at, step = edge.edge(name, CONFIG.sigma_b), 1e-5  # the chain rule, by central differences
        ends = [edge.pair_at(at, 0.7 + s * step, np.array([depth])).delta[0] for s in (1, -1)]
        assert row[0] == pytest.approx(0.3 * (ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_layer_shares_tend_to_powers_of_the_place() -> None:
    errors = []
    for depth in (100, 1000):
        shares = edge.layer_shares(CONFIG, depth)
        theory = np.array([shares.place**3, shares.place**2])
        errors.append(np.abs(shares.share - theory).max(axis=1))
    assert (errors[1] < 0.03).all() and (errors[1] < 0.3 * errors[0]).all()


@pytest.mark.thorough
def test_finite_networks_have_these_shares() -> None:
    witness = edge.gradient_shares(CONFIG, depth=6, width=128, networks=64)
    theory = edge.layer_shares(CONFIG._replace(activations=("relu",)), 6).share[0]
    both = np.stack([np.ones(6), theory])
    assert (np.abs(witness.mean - both) < 6 * witness.error).all()
    assert (witness.error < 0.2).all()
    reverse = theory[::-1]  # a witness that could not tell the order of the layers would be none
    assert (np.abs(witness.mean[1] - reverse) > 6 * witness.error[1])[[0, -1]].all()


def test_gram_matrix_tends_to_the_limit_matrix() -> None:
    count = 8
    found = edge.spectrum(CONFIG, count)
    for row, limit in enumerate((1 / 4, 1 / 3)):
        matrix = limit * np.ones((count, count)) + (1 - limit) * np.eye(count)
        exact = np.linalg.eigvalsh(matrix)[[0, -1]]
        assert found.limit[row] == pytest.approx(exact, rel=1e-12)
        assert found.smallest[row, -1] == pytest.approx(exact[0], abs=0.02)
        assert found.largest[row, -1] == pytest.approx(exact[1], abs=0.05)
        assert (np.diff(found.smallest[row]) > 0).all()
    assert 0 < found.closest < 0.5


def test_every_plot_draws_what_it_is_given() -> None:
    ratios, near = edge.limits(CONFIG), edge.crossover("relu", CONFIG, (1e-2, 1e-4))
    shares, curve = edge.layer_shares(CONFIG, 20), edge.crossover_curve(near.stretch, 0.25)
    both = shares.share
    with style.styled():
        fig, axes = plt.subplots(2, 3)
        draw.ratios(axes[0, 0], ratios.depths, ratios.ratio, ratios.limits, CONFIG.activations)
        draw.crossover(axes[0, 1], near.depths, near.ratio, curve, near.gaps)
        draw.collapse(axes[0, 2], near.stretch, near.ratio, curve)
        draw.shares(axes[1, 0], shares.place, shares.share, [3, 2], CONFIG.activations)
        draw.witness(axes[1, 1], np.arange(1, 21), both, 0.1 * both, both, "relu")
        draw.eigenvalues(axes[1, 2], ratios.depths, ratios.ratio, ratios.limits, CONFIG.activations)
        fig.canvas.draw()
    assert np.array_equal(axes[0, 0].lines[1].get_ydata(), ratios.ratio[1])
    assert [text.get_text() for text in axes[0, 0].texts] == ["1/4", "1/3"]
    labels = axes[0, 1].get_legend_handles_labels()[1]
    assert labels == ["$10^{-2}$", "$10^{-4}$"]
    assert (np.diff(axes[0, 2].lines[-1].get_xdata()) >= 0).all()
