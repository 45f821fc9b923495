"""Slope gaps of a piecewise linear phi, at all angles of a table for the price of one formula.

Its phi'' is a sum of points, J_i at the kink k_i. By Price's theorem, with (u, v) of variance q at the angle theta,

    g(theta) = int_0^theta h dt,    h = sum_ij J_i J_j/(2 pi) exp(-(k_i^2 - 2 cos(t) k_i k_j + k_j^2)/(2 q sin(t)^2)),

q sin(t) times their joint density at each two kinks. Terms of one kink are smooth, and all there is at small angles.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_eoc.activations import Activation, derivative
from ntk_eoc.panels import LEGENDRE, LEGENDRE_WEIGHTS
from ntk_eoc.regularity import jump

STRAIGHT = 1e-13  # how far phi' may turn between two kinks, relative to its largest: rounding


def applies(act: Activation) -> bool:
    """Whether phi is continuous, and straight between the kinks that were declared; homogeneous ones have closed forms.

    >>> from ntk_eoc.activations import NAMED
    >>> [applies(NAMED[name]) for name in ("hard_tanh", "elu", "relu", "tanh")]
    [True, False, False, False]
    """
    return _kinks(act) is not None


@lru_cache(maxsize=64)
def _kinks(act: Activation) -> tuple[ndarray, ndarray] | None:
    """The kinks k_i and the jumps J_i of phi' there; None where phi bends between them, or steps."""
    if not act.kinks or act.slopes is not None:
        return None
    marks = np.array(sorted(set(act.kinks)))
    edges = np.concatenate([[marks[0] - 100.0], marks, [marks[-1] + 100.0]])
    between = edges[:-1, None] + np.diff(edges)[:, None] * np.linspace(0.001, 0.999, 99)
    slopes = np.asarray(derivative(act)(jnp.asarray(between)))
    turned, largest = np.ptp(slopes, axis=1).max(), np.abs(slopes).max()
    steps = np.abs([jump(act, float(mark), 0) for mark in marks])
    straight = turned <= STRAIGHT * largest and steps.max() <= 1e-9 * largest
    return (marks, np.diff(slopes[:, 0])) if straight else None


def slope_gaps(act: Activation, q: float, theta: Float[ndarray, " M"]) -> Float[ndarray, " M"]:
    """g at increasing angles, close enough for h to be a polynomial between each two: the nodes of a table are.

    Raises ``ValueError`` where ``applies`` is False.

    >>> from ntk_eoc.activations import NAMED
    >>> from ntk_eoc.gaussian import slope_gap
    >>> theta = np.array([1e-9, 1e-3, 0.3, 0.4])
    >>> other = slope_gap(NAMED["hard_tanh"], jnp.array(0.5), jnp.asarray(2 * np.sin(theta / 2) ** 2))
    >>> bool(np.allclose(slope_gaps(NAMED["hard_tanh"], 0.5, theta), other, rtol=1e-12))
    True
    """
    if (found := _kinks(act)) is None:
        raise ValueError(f"activation: expected a line between declared kinks, without a step, got {act.name}")
    marks, jumps = found
    widths = np.diff(theta, prepend=0.0)
    between = (theta - widths)[:, None] + np.outer(widths, 0.5 + 0.5 * LEGENDRE)
    return np.cumsum(widths * (_density(q, marks, jumps, between) @ (0.5 * LEGENDRE_WEIGHTS)))


def _density(q: float, marks: ndarray, jumps: ndarray, theta: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """h at angles theta."""
    near, far = 2 * np.sin(theta / 2) ** 2, 2 * np.cos(theta / 2) ** 2
    total = np.zeros_like(theta)
    for one, first in zip(marks, jumps, strict=True):
        for other, second in zip(marks, jumps, strict=True):
            # the exponent as a sum of what is positive: kinks on one side, and on both
            like = one * other >= 0
            apart, side = (one - other if like else one + other), (far if like else near)
            with np.errstate(over="ignore"):
                exponent = 0.5 * apart**2 / q / near / far + abs(one * other) / q / side
            total += first * second * np.exp(-exponent)
    return total / (2 * np.pi)
