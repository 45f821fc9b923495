"""Proposition 3: the diagonal, the universal limit and coefficient, and what the printed normaliser does."""

import math
from functools import lru_cache

import jax.numpy as jnp
import matplotlib.pyplot as plt
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array

from ntk_eoc.activations import get
from ntk_eoc.experiments import residual
from ntk_eoc.kernels import kernels
from ntk_eoc.plotting import residual as drawing

NETWORKS = residual.UniversalConfig().networks


@lru_cache
def runs() -> tuple[residual.Universal, ...]:
    return residual.universal(residual.UniversalConfig())


def pair(cosine: float) -> Array:
    return math.sqrt(2.0) * jnp.array([[1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)]])


@pytest.mark.parametrize(("name", "sigma_w"), [*NETWORKS, ("leaky_relu:-0.5", 0.8)])
def test_the_diagonal_in_closed_form(name: str, sigma_w: float) -> None:
    slope = get(name).slopes[1]
    s = sigma_w**2 * (1 + slope**2) / 2
    gain, damping = residual.branch(get(name), sigma_w)
    assert gain == pytest.approx(s, rel=1e-14) and damping == pytest.approx(s / (1 + s), rel=1e-14)
    found = kernels(
        get(name), pair(0.3), sigma_b=0.0, sigma_w=sigma_w, depth=40, architecture="residual", every_depth=True
    )
    level = np.arange(1, 41)
    q = sigma_w**2 * (1 + s) ** (level - 1)
    np.testing.assert_allclose(found.nngp[:, 0, 0], q, rtol=1e-12)
    np.testing.assert_allclose(found.ntk[:, 0, 0], q * (1 + (level - 1) * damping), rtol=1e-12)


@settings(max_examples=8)
@given(st.floats(-1, 1), st.floats(0.3, 3.0))
def test_the_scan_is_the_recursion_layer_by_layer(cosine: float, sigma_w: float) -> None:
    found = residual.scan("relu", sigma_w, cosine, (1, 2, 3, 30))
    for depth, kappa, log_scale in zip(found.depth, found.kappa, found.log_scale, strict=True):
        ntk = kernels(
            get("relu"), pair(cosine), sigma_b=0.0, sigma_w=sigma_w, depth=int(depth), architecture="residual"
        )
        ours = kappa * sigma_w**2 * math.exp(log_scale)
        assert ours == pytest.approx(float(ntk.ntk[0, 1]), rel=1e-9, abs=1e-9 * float(ntk.ntk[0, 0]))


def test_the_scan_agrees_with_forty_digits() -> None:
    """The damped angle recursion in mpmath, every layer's kernel divided by its variance."""
    with mp.workdps(40):
        p = mp.mpf(1) / 9  # sigma_w = 1/2
        c = kappa = mp.mpf("0.3")
        for _ in range(999):
            angle = mp.acos(c)
            nxt = (mp.sin(angle) + (mp.pi - angle) * c) / mp.pi
            kappa = (1 - p) * kappa + p * (nxt + (1 - angle / mp.pi) * kappa)
            c = (1 - p) * c + p * nxt
    found = residual.scan("relu", 0.5, 0.3, (1000,))
    assert float(found.kappa[0]) == pytest.approx(float(kappa), rel=1e-12)
    assert float(found.delta[0]) == pytest.approx(float(1 - c), rel=1e-11)


@pytest.mark.parametrize("index", range(len(NETWORKS)))
def test_limit_and_coefficient_do_not_depend_on_the_network(index: int) -> None:
    run = runs()[index]
    # after the 1/L term is solved for, what is left is of order log(L)^2/(p L)^2 at L = 1e5
    assert abs(residual.coefficient(run) - 0.375) < 100 * (math.log(1e5) / (run.damping * 1e5)) ** 2 + 1e-5
    law = 0.25 + 0.375 * math.log(run.depth[-1]) / run.depth[-1]
    assert abs(run.ratio[-1] - law) < 5 / run.damping / run.depth[-1]


def test_a_linear_branch_leaves_every_correlation_where_it_was() -> None:
    found = residual.scan("identity", 0.7, 0.3, (1, 10, 1000))
    np.testing.assert_allclose(found.delta, 0.7, rtol=1e-13)
    damping = residual.branch(get("identity"), 0.7).damping
    np.testing.assert_allclose(found.kappa, 0.3 * (1 + (found.depth - 1) * damping), rtol=1e-12)


def test_the_printed_normaliser_is_right_at_one_sigma_w() -> None:
    config = residual.NormaliserConfig(depths=(1000, 10_000))
    for run in residual.normalised(config):
        step, s = float(np.diff(run.printed)[0]), run.sigma_w**2 / 2
        decades = float(np.diff(run.ours)[0])
        assert abs(10 ** run.ours[-1] - 0.25) < 0.001 and abs(decades) < 0.01
        if s < 1 - 1e-9:  # L ((1 + s)/2)^L
            assert step == pytest.approx(1 + 9000 * math.log10((1 + s) / 2) + decades, abs=1e-9)
        elif s > 1 + 1e-9:  # L
            assert step == pytest.approx(1 + decades, abs=1e-9)
        else:  # q^1 = 2 |x|^2/d, so K/(L 2^L) tends to (|x|^2/d)/8
            assert 2 * 10 ** run.printed[-1] == pytest.approx(1 / 8, rel=4 * 0.375 * math.log(1e4) / 1e4 * 2)


def test_alpha_is_the_one_of_the_paper() -> None:
    depth = np.array([1.0, 10.0])
    assert residual.log_alpha(1.0, depth).tolist() == [0.0, 0.0]
    np.testing.assert_allclose(residual.log_alpha(2**0.5, depth), [0.0, math.log(10)], atol=1e-15)
    np.testing.assert_allclose(residual.log_alpha(2.0, depth), math.log(1.5) * depth, rtol=1e-15)


@pytest.mark.thorough
def test_the_normalised_gram_matrix_keeps_its_smallest_eigenvalue() -> None:
    weak, strong = residual.invertible(residual.InvertibleConfig(images=12, sigma_w=(0.5, 2.0)))
    for run in (weak, strong):
        assert (np.diff(run.smallest) > 0).all() and run.smallest[-1] < 0.75
    assert 0.6 < strong.smallest[-1] and weak.smallest[-1] < strong.smallest[-1]


@pytest.mark.thorough
def test_figures_show_the_arrays() -> None:
    fig, axes = plt.subplots(1, 5, layout="constrained")
    drawing.universal(axes[:2], runs(), 0.25, 0.375)
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), runs()[0].ratio)
    found = residual.normalised(residual.NormaliserConfig(depths=(10, 100)))
    drawing.normalised(axes[2:4], found)
    np.testing.assert_array_equal(axes[2].lines[0].get_ydata(), found[0].printed)
    grams = residual.invertible(residual.InvertibleConfig(images=4, sigma_w=(2**0.5,), depth=5))
    drawing.invertible(axes[4], grams, 0.75)
    np.testing.assert_array_equal(axes[4].lines[0].get_ydata(), grams[0].smallest)
    assert axes[4].lines[0].get_label() == r"$\sigma_w=\sqrt{2}$"
    fig.canvas.draw()
