"""Eigenvalues on the sphere: closed forms, mpmath, sampled spheres and the addition theorem; the three phases."""

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.special import binom

from ntk_eoc.activations import NAMED
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import eoc_points, phase
from ntk_eoc.profile import nngp_delta, ntk_gap, ntk_ratio, profile
from ntk_eoc.spectrum import (
    DIMENSIONS,
    RESOLVED,
    Spectrum,
    effective_rank,
    funk_hecke,
    highest_degree,
    multiplicity,
    nodes,
    spectrum,
)


def edge(name: str) -> dict[str, float]:
    sigma_b = 0.0 if name == "relu" else 0.2
    return {"sigma_b": sigma_b, "sigma_w": eoc_points(NAMED[name], sigma_b)[0].sigma_w}


RELU = {"sigma_b": 0.0, "sigma_w": 2**0.5}


@pytest.mark.parametrize("d", [2, 3, 4, 10, 784])
def test_multiplicities_fill_the_polynomials(d: int) -> None:
    """Degrees k, k - 2, ... together are the monomials of degree k: binom(d + k - 1, k) of them."""
    count = multiplicity(d, np.arange(8))
    for k in range(8):
        assert count[k::-2].sum() == pytest.approx(binom(d + k - 1, k), rel=1e-12)


@pytest.mark.parametrize("d", [2, 3, 5, 40])
def test_weights_are_those_of_the_sphere(d: int) -> None:
    """E[1] = 1, E[t^2] = 1/d, E[t^4] = 3/(d (d + 2)) for one coordinate t of a uniform unit vector."""
    theta, weights = nodes(d, 5)
    moments = [weights @ np.cos(theta) ** n for n in (0, 1, 2, 4)]
    assert moments == pytest.approx([1.0, 0.0, 1 / d, 3 / (d * (d + 2))], abs=1e-14)


@pytest.mark.parametrize("d", [2, 3, 7])
def test_legendre_functions_are_orthogonal(d: int) -> None:
    """int P_j P_k w = delta_jk/N(d, k), with P_j = the projection of its own values."""
    theta, weights = nodes(d, 6)
    rows = funk_hecke(np.eye(theta.size), theta, np.ones(theta.size), d, 6)
    overlaps = rows.T @ (rows * weights[:, None])
    np.testing.assert_allclose(overlaps, np.diag(1 / multiplicity(d, np.arange(7))), atol=1e-13)


def test_the_circle_in_closed_form() -> None:
    """E[phi' phi'] of ReLU is 1 - theta/pi after normalisation: Fourier coefficients 1/2, 4/(pi k)^2 for odd k."""
    theta, weights = nodes(2, 41)
    found = -funk_hecke((theta / np.pi)[None], theta, weights, 2, 41)[0] * multiplicity(2, np.arange(42))
    k = np.arange(1, 42)
    assert 1 + found[0] == pytest.approx(0.5, abs=1e-14)
    np.testing.assert_allclose(found[1:], np.where(k % 2, 4 / (np.pi * k) ** 2, 0.0), atol=1e-14)


def relu_ntk(theta: mpmath.mpf, depth: int) -> mpmath.mpf:
    """K^L(theta)/K^L(0) for ReLU at (0, sqrt 2), from the angle recursion with 40 digits."""
    c, k = mpmath.cos(theta), mpmath.cos(theta)
    for _ in range(depth - 1):
        angle = mpmath.acos(c)
        c, k = (mpmath.sin(angle) + (mpmath.pi - angle) * c) / mpmath.pi, (1 - angle / mpmath.pi) * k
        k += c
    return k / depth


@pytest.mark.parametrize("d, depth", [(2, 2), (3, 2), (3, 6), (8, 3)])
@pytest.mark.thorough(first=2)
def test_against_mpmath(d: int, depth: int) -> None:
    found = spectrum(NAMED["relu"], [depth], **RELU, dimension=d, highest=6)
    with mpmath.workdps(30):
        norm = mpmath.beta(mpmath.mpf(d - 1) / 2, mpmath.mpf(1) / 2)
        for k in (0, 1, 2, 5):

            def legendre(t: mpmath.mpf, k: int = k) -> mpmath.mpf:
                if d == 2:
                    return mpmath.chebyt(k, t)
                half = mpmath.mpf(d - 2) / 2
                return mpmath.gegenbauer(k, half, t) / mpmath.gegenbauer(k, half, 1)

            mu = mpmath.quad(
                lambda a: relu_ntk(a, depth) * legendre(mpmath.cos(a)) * mpmath.sin(a) ** (d - 2) / norm,
                [0, 0.05, 0.5, 1.5, 2.5, mpmath.pi],
            )
            assert found.shares[0, k] / found.multiplicity[k] == pytest.approx(float(mu), abs=1e-13)


@pytest.mark.parametrize("name", ["relu", "tanh"])
@pytest.mark.parametrize("kernel", ["ntk", "nngp"])
@pytest.mark.thorough(first=1)
def test_a_sampled_sphere_has_these_eigenvalues(name: str, kernel: str) -> None:
    """Eigenvalues of a Gram matrix over N points tend to N mu_k, each N(d, k)-fold, up to the order of N^(-1/2)."""
    d, n = 4, 600
    sigmas = edge(name)
    found = spectrum(NAMED[name], [3], **sigmas, dimension=d, highest=2, kernel=kernel, q0=1.0)
    x = np.random.default_rng(0).standard_normal((n, d))
    x *= np.sqrt(d) / np.linalg.norm(x, axis=1)[:, None]
    profiled = profile(NAMED[name], [3], **sigmas, q0=1.0)
    exact = kernels(NAMED[name], jnp.asarray(x[:2]), **sigmas, depth=3)
    if kernel == "ntk":
        gram = ntk_ratio(profiled, np.clip(1.0 - x @ x.T / d, 0.0, 2.0))[0]
        assert gram[0, 1] == pytest.approx(float(exact.ntk[0, 1] / exact.ntk[0, 0]), rel=1e-6)
    else:
        gram = 1.0 - nngp_delta(profiled, np.clip(1.0 - x @ x.T / d, 0.0, 2.0))[0]
        assert gram[0, 1] == pytest.approx(float(exact.nngp[0, 1] / exact.nngp[0, 0]), rel=1e-6)
    values = np.linalg.eigvalsh(gram)[::-1] / n
    mu = found.shares[0] / found.multiplicity
    largest = np.sort(np.repeat(mu, found.multiplicity.astype(int)))[::-1]
    for k in (0, 1):
        place = np.flatnonzero(largest == mu[k])
        assert values[place].mean() == pytest.approx(mu[k], rel=4 / np.sqrt(n))


def test_smooth_kernels_leave_no_trace_behind() -> None:
    """Addition theorem: the shares of all degrees sum to one; those of a smooth kernel do so quickly."""
    found = spectrum(NAMED["tanh"], [2, 5], sigma_b=0.3, sigma_w=1.0, dimension=3, highest=40, kernel="nngp")
    assert (found.shares >= -1e-14).all()
    np.testing.assert_allclose(found.shares.sum(axis=1), 1.0, atol=1e-12)


def test_a_flat_kernel_keeps_the_digits_of_its_small_shares() -> None:
    """Ordered phase: shares far below 1e-16 fall like L chi^L, as all that is not constant does."""
    point = {"sigma_b": 0.3, "sigma_w": 1.0}
    chi = phase(NAMED["tanh"], **point).chi
    found = spectrum(NAMED["tanh"], [200, 220], **point, dimension=5, highest=3)
    assert 0 < found.lost[1] < 1e-30
    assert found.shares[:, 1:].sum(axis=1) == pytest.approx(found.lost, rel=0.1)
    expected = 220 / 200 * chi**20
    assert found.lost[1] / found.lost[0] == pytest.approx(expected, rel=0.01)
    assert effective_rank(found) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("name, limit", [("relu", 1 / 4), ("elu", 1 / 3), ("tanh", 1 / 3)])
@pytest.mark.thorough(first=1)
def test_on_the_edge_only_the_constants_stay(name: str, limit: float) -> None:
    found = spectrum(NAMED[name], [5_000, 20_000], **edge(name), dimension=6, highest=4)
    assert found.shares[1, 0] == pytest.approx(limit, abs=5e-3)
    rates = np.log2(found.shares[1, 1:] / found.shares[0, 1:]) / 2
    np.testing.assert_allclose(rates, -1.0, atol=0.03)
    assert effective_rank(found)[1] == pytest.approx(limit**-2, rel=0.05)


@pytest.mark.thorough
def test_in_the_chaotic_phase_every_share_goes() -> None:
    point = {"sigma_b": 0.2, "sigma_w": 2.0}
    chi = phase(NAMED["tanh"], **point).chi
    found = spectrum(NAMED["tanh"], [60, 80], **point, dimension=6, highest=2)
    assert found.shares[1, 0] / found.shares[0, 0] == pytest.approx(chi**-20, rel=0.02)


def test_the_profile_between_its_nodes_is_the_kernel() -> None:
    """Shares and the constants' loss come from the same gaps: 1 - lost is the mean of the ratio over the sphere."""
    theta, weights = nodes(9, 0)
    found = spectrum(NAMED["relu"], [7], **RELU, dimension=9, highest=0)
    gaps = 2 * np.sin(theta / 2) ** 2
    assert found.lost[0] == pytest.approx(weights @ ntk_gap(profile(NAMED["relu"], [7], **RELU), gaps)[0], rel=1e-12)


def test_rank_of_equal_eigenvalues_is_their_number() -> None:
    assert effective_rank(Spectrum(np.array([[0.0, 1.0]]), np.array([1.0, 7.0]), np.ones(1)))[0] == pytest.approx(7.0)
    assert effective_rank(Spectrum(np.zeros((1, 1)), np.ones(1), np.ones(1)))[0] == np.inf


def test_the_weights_are_good_in_the_largest_dimension() -> None:
    theta, weights = nodes(DIMENSIONS, 1)
    assert weights.sum() == pytest.approx(1.0, rel=RESOLVED)
    assert weights @ np.cos(theta) ** 2 * DIMENSIONS == pytest.approx(1.0, rel=RESOLVED)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"dimension": 1}, "dimension: expected a whole number from 2 to 1000000, got 1"),
        ({"dimension": 784, "highest": 9}, "highest: expected a degree from 0 to 3 in 784 dimensions, got 9"),
        ({"highest": -1}, "highest: expected a whole number from 0 to"),
        ({"kernel": "ntkk"}, "kernel: expected one of ntk, nngp, got 'ntkk'; did you mean 'ntk'"),
    ],
)
def test_bad_input(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        spectrum(NAMED["relu"], [2], **{**RELU, "dimension": 3, "highest": 2, **change})


def test_the_highest_degree_is_where_rounding_shows() -> None:
    """At the bound a smooth kernel's last shares are still noise below the promised error."""
    d = 30
    found = spectrum(NAMED["erf"], [2], sigma_b=0.0, sigma_w=1.0, dimension=d, highest=highest_degree(d), kernel="nngp")
    assert found.shares.min() > -1e-10
