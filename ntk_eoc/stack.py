"""Kernels of many depths at once. Hundreds of depths span few functions of the angle: these are evaluated at each pair
of inputs, and one product of matrices makes the kernels of all depths of them."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy import ndarray

from ntk_eoc.profile import DEGREE, EDGES, Profile, chebyshev_points, chebyshev_series

MOST = 64  # functions that are looked for
SMALLEST = 1e-14  # singular value that counts, relative to the largest
GOOD = 1e-12  # error relative to the largest entry at like angles, or at any obtuse angle


class Stack(NamedTuple):
    """q^L and K^L over their diagonals at D depths: ``weights`` (2 D, R), q^L first, of R functions of the angle with
    Chebyshev ``series`` (panels, R, DEGREE); logarithms of the diagonals at |x|^2/d = q0, (2, D); ``odd`` if they
    change sign with x'."""

    weights: ndarray
    series: ndarray
    logs: ndarray
    odd: bool


def stack(found: Profile) -> Stack | None:
    """The kernels of all depths of a profile, ready for ``at_folds``; None where the depths have so little in common
    that small entries would lose their digits (deep in the chaotic phase)."""
    theta = 0.5 * (EDGES[1:] + EDGES[:-1])[:, None] + 0.5 * np.diff(EDGES)[:, None] * chebyshev_points()
    gaps = 2 * np.sin((np.minimum(theta, 0.5 * np.pi) if found.odd else theta) / 2) ** 2
    basis = np.polynomial.chebyshev.chebvander(chebyshev_points(), DEGREE - 1)
    delta, ratio = (np.einsum("jk,pkd->dpj", basis, found.coefficients[which]) for which in (1, 2))
    values = np.concatenate([1.0 - np.exp(delta) * gaps, ratio])
    flat = values.reshape(len(values), -1)
    # random sums of all functions span theirs (Halko, Martinsson and Tropp 2011); what is missing shows below
    span = np.linalg.qr(flat.T @ np.random.default_rng(0).normal(size=(len(flat), min(MOST, len(flat)))))[0]
    left, singular, right = np.linalg.svd(flat @ span, full_matrices=False)
    rank = int((singular > SMALLEST * singular[0]).sum())
    weights, functions = left[:, :rank] * singular[:rank], right[:rank] @ span.T
    error = np.abs((weights @ functions).reshape(values.shape) - values).max(axis=2)
    size, obtuse = np.abs(values).max(axis=2), EDGES[1:] > 0.5 * np.pi
    size[:, obtuse] = size[:, obtuse].max(axis=1, keepdims=True)
    if not (error[:, 1:] <= GOOD * size[:, 1:]).all():  # the innermost panel tells no two inputs apart
        return None
    series = chebyshev_series(functions.reshape(rank, *theta.shape), axis=2).swapaxes(0, 1)
    return Stack(weights, np.ascontiguousarray(series), np.stack([found.log_q, found.log_diagonal]), found.odd)


def at_folds(found: Stack, fold: ndarray) -> ndarray:
    """The R functions of a stack at P folds (``angles``), and one more that is 1 where the inputs are equal and there
    stands for the others: (R + 1, P).

    >>> from ntk_eoc.activations import NAMED
    >>> from ntk_eoc.profile import profile
    >>> relu = stack(profile(NAMED["relu"], [2, 100], sigma_b=0.0, sigma_w=2**0.5))
    >>> values = at_folds(relu, np.array([0.0, 1.0]))
    >>> (relu.weights @ values[:-1] + values[-1]).round(4).tolist()
    [[1.0, 0.3183], [1.0, 0.9964], [1.0, 0.1592], [1.0, 0.2727]]
    """
    near, far = 2 * np.arcsin(np.sqrt(0.5 * np.abs(fold))), np.signbit(fold)
    theta = near if found.odd else np.where(far, np.pi - near, near)
    panel = np.searchsorted(EDGES[1:-1], theta)
    values = np.zeros((found.series.shape[1] + 1, fold.size))
    values[-1] = (fold == 0) & ~far
    for p in np.unique(panel):
        rows = np.flatnonzero((panel == p) & (values[-1] == 0))
        place = (2 * theta[rows] - EDGES[p] - EDGES[p + 1]) / (EDGES[p + 1] - EDGES[p])
        values[:-1, rows] = found.series[p] @ np.polynomial.chebyshev.chebvander(place, DEGREE - 1).T
    return np.where(far, -values, values) if found.odd else values


@partial(jax.jit, static_argnames=("shape", "dtype"))
def combine(weights: Array, factors: Array, values: Array, shape: tuple[int, int], dtype: str) -> Array:
    """A kernel (D, N, M) from the weights (D, R) of functions at pairs, (R + 1, N M), times ``factors`` (D,)."""
    whole = jnp.concatenate([weights, jnp.ones((len(weights), 1))], axis=1) * factors[:, None]
    return (whole.astype(dtype) @ values.astype(dtype)).reshape(-1, *shape)
