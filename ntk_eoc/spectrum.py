"""Eigenvalues of a kernel on the sphere, degree by degree (later versions of the paper, and ours).

For inputs on the sphere of R^d a kernel of the angle, k(theta), has the spherical harmonics of degree k as its
eigenfunctions, N(d, k) of them with one eigenvalue, which Funk and Hecke give as an integral:

    mu_k = int k(theta) P_k(cos theta) w(theta) dtheta,    w = sin^(d-2) theta / B((d-1)/2, 1/2),

with P_k the Legendre polynomial in d dimensions, P_k(1) = 1. The trace is k(0) = sum_k N(d, k) mu_k, so for kernels
divided by their diagonal the ``shares`` N(d, k) mu_k are positive and sum to one. They are computed from
gap = 1 - ratio, which is known to all its digits: a kernel that is flat to 1e-30 has shares of 1e-30.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import betaln, binom

from ntk_eoc.activations import Activation
from ntk_eoc.errors import LARGEST, Scalar, check_choice, check_whole, known
from ntk_eoc.profile import EDGES, nngp_delta, ntk_gap, profile

NODES = 24  # of the Gauss-Legendre rule on one piece of the angle
RESOLVED = 1e-10  # error of a share, relative to the largest gap, up to which it is given
HIGHEST = 20_000  # degree that is ever looked at
DIMENSIONS = 10**6  # beyond it the density of the angle, sin^(d-2) theta, is not RESOLVED in float64
KERNELS = {"ntk": ntk_gap, "nngp": nngp_delta}


class Spectrum(NamedTuple):
    """Of kernels divided by their diagonal, at D depths: ``shares`` of the trace (D, K + 1) of the degrees 0..K, with
    ``multiplicity`` (K + 1,) eigenvalues each, and ``lost`` (D,) = 1 - shares[:, 0] to all its digits."""

    shares: Float[ndarray, "D K1"]
    multiplicity: Float[ndarray, " K1"]
    lost: Float[ndarray, " D"]


def multiplicity(dimension: int, degrees: Sequence[int] | ndarray) -> Float[ndarray, " K"]:
    """N(d, k) = (2k + d - 2)/(k + d - 2) binom(k + d - 2, k), the number of spherical harmonics of degree k in R^d.

    >>> multiplicity(3, [0, 1, 2]).tolist(), multiplicity(2, [0, 5]).tolist()
    ([1.0, 3.0, 5.0], [1.0, 2.0])
    """
    d, k = _dimension(dimension), known("degrees", degrees, 0.0, float(HIGHEST))
    if (k != np.floor(k)).any():
        raise ValueError(f"degrees: expected whole numbers, got {k[k != np.floor(k)][0]:g}")
    if d == 2:
        return np.where(k == 0, 1.0, 2.0)
    return (2 * k + d - 2) / (k + d - 2) * binom(k + d - 2, k)


def highest_degree(dimension: int) -> int:
    """The highest degree whose share of the trace is resolved: rounding costs sqrt(N(d, k)) times 1e-15.

    >>> highest_degree(3) > 10_000, highest_degree(784)
    (True, 3)
    """
    degrees = np.unique(np.geomspace(1, HIGHEST, 2_000).astype(int))
    fine = np.sqrt(multiplicity(dimension, degrees)) * 4 * np.finfo(float).eps <= RESOLVED
    return int(degrees[fine].max())


def funk_hecke(
    gaps: Float[ndarray, "D n"],
    theta: Float[ndarray, " n"],
    weights: Float[ndarray, " n"],
    dimension: int,
    highest: int,
) -> Float[ndarray, "D K1"]:
    """int gap P_k w for the degrees 0..highest, from values at the nodes and weights of ``nodes``.

    >>> theta, weights = nodes(3, 2)
    >>> funk_hecke(np.cos(theta)[None], theta, weights, 3, 2).round(12).tolist()  # cos is a harmonic of degree 1
    [[0.0, 0.333333333333, 0.0]]
    """
    d, highest = _dimension(dimension), check_whole("highest", highest, 0, HIGHEST)
    theta = known("theta", theta)
    weights, gaps = (known(name, part, -LARGEST, LARGEST) for name, part in (("weights", weights), ("gaps", gaps)))
    if theta.ndim != 1 or weights.shape != theta.shape or gaps.shape[1:] != theta.shape:
        got = f"{gaps.shape}, {theta.shape} and {weights.shape}"
        raise ValueError(f"gaps: expected rows with a value at each of the nodes with their weights, got shapes {got}")
    t, found = np.cos(theta), []
    weighted = gaps * weights
    before, now = np.zeros_like(t), np.ones_like(t)
    for k in range(highest + 1):
        found.append(weighted @ now)
        # (k + d - 2) P_{k+1} = (2k + d - 2) t P_k - k P_{k-1}; in the plane the first step is cos(0) to cos(theta)
        before, now = now, t if k == 0 else ((2 * k + d - 2) * t * now - k * before) / (k + d - 2)
    return np.stack(found, axis=-1)


def nodes(dimension: int, highest: int) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
    """Angles and weights (with w in them) that resolve a kernel of any depth times P_k for k up to ``highest``.

    The pieces lie within the panels of ``profile``, and no longer than P_k and w allow.
    """
    d, highest = _dimension(dimension), check_whole("highest", highest, 0, HIGHEST)
    longest = 1.0 / max(highest / 6.0, np.sqrt(d), 1.0)
    pieces = [
        np.linspace(low, high, 1 + int(np.ceil((high - low) / longest)))[:-1]
        for low, high in zip(EDGES[:-1], EDGES[1:], strict=True)
    ]
    edges = np.append(np.concatenate(pieces), np.pi)
    at, weights = np.polynomial.legendre.leggauss(NODES)
    half = 0.5 * np.diff(edges)[:, None]
    theta = (edges[:-1, None] + half * (1.0 + at)).ravel()
    # sin from the nearer end, where it is small
    sine = np.sin(np.minimum(theta, np.pi - theta))
    density = np.exp((d - 2) * np.log(sine) - betaln(0.5 * (d - 1), 0.5))
    return theta, (half * weights).ravel() * density


def spectrum(
    act: Activation,
    depths: Sequence[int],
    *,
    sigma_b: Scalar,
    sigma_w: Scalar,
    dimension: int,
    highest: int,
    kernel: str = "ntk",
    q0: Scalar | None = None,
) -> Spectrum:
    """The spectrum of K^L/K^L(x, x) (or of the NNGP) of dense networks on the sphere |x|^2/d = q0 of R^dimension.

    On the Edge of Chaos the share of the constants tends to 1/4 (1/3 for smooth activations), every other degree's to
    zero like 1/L, and the rest of the trace moves to ever higher frequencies; in the ordered phase ``lost`` falls like
    L chi^L; in the chaotic phase every share does, like chi^-L. Raises ``ValueError`` for a dimension below 2 or a
    degree that is not resolved, with the highest that is, and as ``profile.profile`` does.

    >>> from ntk_eoc.activations import NAMED
    >>> deep = spectrum(NAMED["relu"], [1, 1000], sigma_b=0.0, sigma_w=2**0.5, dimension=10, highest=2)
    >>> deep.shares.round(3).tolist()  # one layer is linear: all in degree 1
    [[0.0, 1.0, 0.0], [0.253, 0.001, 0.001]]
    """
    gap_of = KERNELS[check_choice("kernel", kernel, KERNELS)]
    bound, highest = highest_degree(dimension), check_whole("highest", highest, 0, HIGHEST)
    if highest > bound:
        raise ValueError(f"highest: expected a degree from 0 to {bound} in {dimension} dimensions, got {highest}")
    theta, weights = nodes(dimension, highest)
    found = profile(act, depths, sigma_b=sigma_b, sigma_w=sigma_w, q0=q0)
    gaps = gap_of(found, 2 * np.sin(theta / 2) ** 2)
    count = multiplicity(dimension, np.arange(highest + 1))
    shares = -funk_hecke(gaps, theta, weights, dimension, highest) * count
    lost = -shares[:, 0]
    shares[:, 0] = 1.0 - lost
    return Spectrum(shares, count, lost)


def effective_rank(found: Spectrum) -> Float[ndarray, " D"]:
    """(sum of all eigenvalues)^2 / (sum of their squares), from above: what is in higher degrees counts as nothing.

    One in the ordered phase; on the Edge of Chaos it tends to 16 (9 for smooth activations), since beside the one
    large eigenvalue no other is left that counts, and yet three quarters of the trace are not in it.

    >>> from ntk_eoc.activations import NAMED
    >>> deep = spectrum(NAMED["relu"], [1000], sigma_b=0.0, sigma_w=2**0.5, dimension=3, highest=50)
    >>> effective_rank(deep).round(1).tolist()
    [15.5]
    """
    squares = (found.shares**2 / found.multiplicity).sum(axis=-1)
    return np.divide(1.0, squares, out=np.full_like(squares, np.inf), where=squares > 0)  # nothing left: no bound


def _dimension(dimension: int) -> int:
    return check_whole("dimension", dimension, 2, DIMENSIONS)
