"""Kernel regression with a Gram matrix that is never in memory: preconditioned conjugate gradients on its products.

SciPy solves (K + mu I) A = Y, all outputs at once: they are one vector for the block-diagonal operator, so a product
with K serves them all. The preconditioner is a low-rank matrix plus a multiple of the identity (A. Frangella, J. Tropp,
M. Udell, *Randomized Nystroem preconditioning*, SIAM J. Matrix Anal. Appl. 44, 2023): K ~ B B^T + t I with
B B^T = K(X, S) K(S, S)^-1 K(S, X) for a random subset S, and t the mean of the diagonal that B B^T leaves out. What a
deep kernel on the Edge of Chaos has is of this form: near a constant off the diagonal, and a share of the identity.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float, Float64
from numpy import ndarray
from scipy.sparse.linalg import LinearOperator, cg

from ntk_eoc.blocks.kernel import Block, Rows
from ntk_eoc.blocks.tiles import MEMORY, bar, tile_size
from ntk_eoc.errors import Scalar, check_positive

LEAST = 1e-12  # of the largest eigenvalue: what the identity's share is taken for where none is left
RANK = 1000
TOLERANCE = 1e-6
Outputs = Float64[ndarray, "N o"]
Product = Callable[[Outputs], Outputs]


class LowRank(NamedTuple):
    """K ~ U diag(values) U^T + ``rest`` I, U = ``vectors`` (N, m) with orthonormal columns."""

    values: Float64[ndarray, " m"]
    vectors: Float[ndarray, "N m"]
    rest: float


class Fit(NamedTuple):
    """Coefficients A of (K + mu I) A = Y, the ``residual`` |y - (K + mu I) a|/|y| of each output as computed after the
    last of ``iterations``, and whether they are within the tolerance."""

    coefficients: Outputs
    residual: Float64[ndarray, " o"]
    iterations: int
    converged: bool


def nystroem(block: Block, x: Rows, *, rank: int = RANK, memory: Scalar = MEMORY, seed: int = 0) -> LowRank:
    """The low-rank part of the Gram matrix of x by ``rank`` of its columns, chosen at random by ``seed``.

    >>> from ntk_eoc.blocks.kernel import Kernel, block_function
    >>> block = block_function(Kernel("relu", (0.0, 2**0.5), 1), None, "float64")
    >>> nystroem(block, np.eye(3), rank=3).values.round(12).tolist()
    [0.666666666667, 0.666666666667, 0.666666666667]
    """
    count = min(int(check_positive("rank", rank)), len(x))
    size = tile_size(x.shape[1], memory, layered=block.layered)
    chosen = np.sort(np.random.RandomState(seed).permutation(len(x))[:count])
    strips = [slice(i, i + size) for i in range(0, len(x), size)]
    square = _columns(block, x[chosen], x[chosen], size).astype(np.float64)
    values, vectors = scipy.linalg.eigh(0.5 * (square + square.T))
    kept = values > len(values) * np.finfo(np.float32).eps * values[-1]
    turn = vectors[:, kept] / np.sqrt(values[kept])
    low = np.empty((len(x), turn.shape[1]))  # B
    for rows in bar(strips, "preconditioner"):
        low[rows] = _columns(block, x[rows], x[chosen], size) @ turn
    values, vectors = scipy.linalg.eigh(low.T @ low)
    for rows in strips:
        low[rows] = low[rows] @ (vectors / np.sqrt(values))
    rest = float(np.mean(np.diag(square)) - np.sum(values) / len(x))
    return LowRank(values, low, max(rest, 0.0))


def _columns(block: Block, x1: Rows, x2: Rows, size: int) -> Float[ndarray, "n m"]:
    strips = [
        [block(x1[i : i + size], x2[j : j + size]) for j in range(0, len(x2), size)] for i in range(0, len(x1), size)
    ]
    return np.block(strips)


def solve(
    product: Product,
    y: Outputs,
    mu: Scalar | Float64[ndarray, " o"],
    *,
    low_rank: LowRank | None = None,
    tolerance: Scalar = TOLERANCE,
    most: int = 300,
) -> Fit:
    """(K + mu I)^-1 Y by conjugate gradients, from ``product`` V -> K V; o outputs are solved together, each with a
    ridge of its own if ``mu`` is (o,).

    ``most`` is the largest number of iterations; without convergence a warning tells the
    residual, and ``Fit.converged`` is False.

    >>> solve(lambda v: 2.0 * v, np.ones((3, 1)), 1.0).coefficients.round(12).ravel().tolist()
    [0.333333333333, 0.333333333333, 0.333333333333]
    """
    shift, goal, count = np.asarray(mu, dtype=float), check_positive("tolerance", tolerance), 0
    if not (np.isfinite(shift).all() and (shift >= 0).all()):
        raise ValueError(f"mu: expected ridges of at least 0, got {shift.min():g}")

    def both(v: ndarray) -> ndarray:
        outputs = v.reshape(y.shape)
        return (product(outputs) + shift * outputs).ravel()

    def approximate_inverse(v: ndarray) -> ndarray:
        if low_rank is None:
            return v
        outputs, values = v.reshape(y.shape), low_rank.values[:, None]
        scale = shift + max(low_rank.rest, LEAST * low_rank.values[-1])
        share = values / (values + scale)
        return ((outputs - low_rank.vectors @ (share * (low_rank.vectors.T @ outputs))) / scale).ravel()

    operator, inverse = (LinearOperator((y.size, y.size), f, dtype=float) for f in (both, approximate_inverse))
    with bar(None, "conjugate gradients", most) as steps:

        def step(_: ndarray) -> None:
            nonlocal count
            count += 1
            steps.update()

        found, _ = cg(operator, y.ravel(), rtol=goal, maxiter=most, M=inverse, callback=step)
    left = y - both(found).reshape(y.shape)
    reached = float(np.linalg.norm(left) / np.linalg.norm(y))
    residual = np.linalg.norm(left, axis=0) / np.linalg.norm(y, axis=0)
    if reached > 2 * goal:
        warnings.warn(
            f"conjugate gradients: residual {reached:.1e} of {goal:.1e} after {count} iterations", stacklevel=2
        )
    return Fit(found.reshape(y.shape), residual, count, reached <= 2 * goal)
