"""Kernels of many depths at once: pairs sorted by their angle, and one matrix product for each panel of angles."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from numpy import ndarray

from ntk_eoc.profile import DEGREE, EDGES, Profile, chebyshev_points, chebyshev_series


class Stack(NamedTuple):
    """q^L and K^L over their diagonals at D depths as Chebyshev series in the angle, (panels, 2 D, DEGREE), q^L first;
    logarithms of the diagonals (D,) at |x|^2/d = q0; ``odd`` if both change sign with x'."""

    series: ndarray
    log_q: ndarray
    log_diagonal: ndarray
    odd: bool


def stack(found: Profile) -> Stack:
    """The kernels of all depths of a profile, ready for ``at_folds``."""
    theta = 0.5 * (EDGES[1:] + EDGES[:-1])[:, None] + 0.5 * np.diff(EDGES)[:, None] * chebyshev_points()
    if found.odd:
        theta = np.minimum(theta, 0.5 * np.pi)
    basis = np.polynomial.chebyshev.chebvander(chebyshev_points(), DEGREE - 1)
    delta = np.exp(np.einsum("jk,pkd->pjd", basis, found.coefficients[1])) * (2 * np.sin(theta / 2) ** 2)[..., None]
    series = [chebyshev_series(1.0 - delta, axis=1), found.coefficients[2]]
    both = np.concatenate([part.swapaxes(1, 2) for part in series], axis=1)
    return Stack(np.ascontiguousarray(both), found.log_q, found.log_diagonal, found.odd)


def at_folds(found: Stack, fold: ndarray) -> Float[ndarray, "C P"]:
    """q^L and then K^L over their diagonals at P folds (``angles``), for each depth; exactly 1 at fold 0.

    >>> from ntk_eoc.activations import NAMED
    >>> from ntk_eoc.profile import profile
    >>> relu = stack(profile(NAMED["relu"], [1, 100], sigma_b=0.0, sigma_w=2**0.5))
    >>> at_folds(relu, np.array([0.0, 1.0])).round(4).tolist()
    [[1.0, 0.0], [1.0, 0.9923], [1.0, 0.0], [1.0, 0.2727]]
    """
    near, far = 2 * np.arcsin(np.sqrt(0.5 * np.abs(fold))), np.signbit(fold)
    theta = near if found.odd else np.where(far, np.pi - near, near)
    panel = np.searchsorted(EDGES[1:-1], theta)
    order = np.argsort(panel, kind="stable")
    values = np.empty((found.series.shape[1], fold.size))
    ends = np.searchsorted(panel[order], np.arange(len(EDGES)))
    for p in np.flatnonzero(np.diff(ends)):
        rows = order[ends[p] : ends[p + 1]]
        place = (2 * theta[rows] - EDGES[p] - EDGES[p + 1]) / (EDGES[p + 1] - EDGES[p])
        np.matmul(found.series[p], _basis(place), out=values[:, ends[p] : ends[p + 1]])
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    values = values[:, back]
    if found.odd:
        values[:, far] *= -1.0
    values[:, (fold == 0) & ~far] = 1.0
    return values


def _basis(place: ndarray) -> ndarray:
    rows = np.empty((DEGREE, place.size))
    rows[0], rows[1] = 1.0, place
    for k in range(2, DEGREE):
        np.multiply(2.0 * place, rows[k - 1], out=rows[k])
        rows[k] -= rows[k - 2]
    return rows


@jax.jit
def spread(values: Array, place: Array, scale: Array, left: Array, right: Array) -> Array:
    """``values`` (D, P) at ``place`` (N, M), times scale (D,), left (N,) and right (M,)."""
    return jnp.take(values * scale[:, None], place, axis=1) * (left[:, None] * right)
