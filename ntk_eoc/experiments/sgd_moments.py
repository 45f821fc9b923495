"""SGD in function space while the kernel stands still: mean, covariance and stability without a random number.

With the loss sum_i (f(x_i) - y_i)^2/(2N) and batches of B rows, the residual r = f(X) - Y of a network with constant
tangent kernel K moves by

    r_{k+1} = r_k - (eta/B) sum_{i in batch} K e_i (e_i . r_k),

whose mean over batches is gradient descent. Only the second moment M = E[r r^T] knows of B, through the ``share`` s of
a row's variance that is left in a batch: 1/B for independent draws, (1/B)(N - B)/(N - 1) for B different rows.

    M_{k+1} = A M_k A + s eta^2 K (diag(M_k)/N - M_k/N^2) K,    A = I - eta K/N

Everything is for one output; outputs that share K and the batches obey it one by one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import brentq

from ntk_eoc import dynamics
from ntk_eoc.errors import check_choice, check_positive

Gram = Float[ndarray, "N N"] | ArrayLike
Residual = Float[ndarray, " N"] | ArrayLike
Counts = Sequence[int] | Int[ndarray, " T"]
Times = Sequence[float | int] | Float[ndarray, " T"]
SAMPLINGS = ("independent", "distinct")


class Moments(NamedTuple):
    """After ``steps`` (T,) steps: the ``mean`` (T, N) and the ``covariance`` (T, N, N) of the residual."""

    steps: Int[ndarray, " T"]
    mean: Float[ndarray, "T N"]
    covariance: Float[ndarray, "T N N"]


def share(batch: int, n: int, sampling: str = "independent") -> float:
    """The part s of one row's gradient variance that is left in the mean over a batch.

    ``independent`` draws are made with replacement, ``distinct`` ones without it, afresh for each step.

    >>> share(4, 24), share(24, 24, "distinct")
    (0.25, 0.0)
    """
    check_choice("sampling", sampling, SAMPLINGS)
    most = n if sampling == "distinct" else np.inf
    if batch != int(batch) or not 1 <= batch <= most:
        raise ValueError(f"batch: expected a whole number of rows from 1 to {most}, got {batch}")
    return 1.0 / batch if sampling == "independent" else (n - batch) / (batch * max(n - 1, 1))


def moments(gram: Gram, residual: Residual, *, rate: float, batch: int, steps: Counts, **sampling: str) -> Moments:
    """Mean and covariance of r_k over all batches, exactly, from the ``residual`` r_0 before the first step.

    The covariance has a recursion of its own, C' = A C A + the noise of M = C + m m^T, so that nothing cancels.
    Raises ``ValueError`` for a gram that is no kernel, a residual that does not fit it, or steps that do not increase.

    >>> found = moments(np.eye(2), np.ones(2), rate=1.0, batch=1, steps=[1])
    >>> found.mean.tolist(), found.covariance[0].tolist()
    ([[0.5, 0.5]], [[0.25, -0.25], [-0.25, 0.25]])
    """
    kernel, mean = checked(gram, residual)
    n, counts = len(mean), step_counts(steps)
    noise, step = share(batch, n, **sampling) * check_positive("rate", rate) ** 2, np.eye(n) - rate / n * kernel
    covariance, seen = np.zeros((n, n)), []
    for k in range(counts[-1] + 1):
        if k in counts:
            seen.append((mean, covariance))
        second = covariance + np.outer(mean, mean)
        drawn = np.diag(np.diag(second)) / n - second / n**2
        mean, covariance = step @ mean, step @ covariance @ step + noise * kernel @ drawn @ kernel
    return Moments(counts, *(np.array(part) for part in zip(*seen, strict=True)))


def spread(covariance: Float[ndarray, "*T N N"]) -> Float[ndarray, "*T"]:
    """sqrt(trace(C)/N): how far a run is from the mean of all runs, as root mean square over runs and inputs.

    >>> float(spread(4.0 * np.eye(3)))
    2.0
    """
    return np.asarray(np.sqrt(np.trace(covariance, axis1=-2, axis2=-1) / covariance.shape[-1]))


def spread_law(gram: Gram, residual: Residual, times: Times) -> Float[ndarray, " T"]:
    """S(t), so that the spread at time t = eta k is sqrt(s eta) S(t) (1 + O(eta)), s the ``share``.

    To leading order dC/dt = -(K C + C K)/N + s eta K (diag(m^2)/N - m m^T/N^2) K along the gradient flow m(t), so S^2
    is a sum of exponentials. At infinite time S is ``noise_floor``: 0 if K is regular.

    >>> spread_law(np.eye(2), np.ones(2), [0.0, np.inf]).tolist()
    [0.0, 0.0]
    """
    kernel, start = checked(gram, residual)
    values, vectors = (np.asarray(part) for part in dynamics.decompose(kernel))
    n, speed, at = len(start), values / len(start), vectors.T @ start
    # the noise of mode a comes from pairs (c, d) of modes of the flow, along which it was drawn at all times before t
    pairs = np.einsum("ia,ic,id,c,d->acd", vectors**2, vectors, vectors, at, at) / n
    pairs[np.arange(n), np.arange(n), np.arange(n)] -= at**2 / n**2
    rows = [overlap(2 * speed[:, None, None], speed[:, None] + speed, t) for t in np.asarray(times, dtype=float)]
    return np.sqrt(np.maximum(0.0, [np.sum(values[:, None, None] ** 2 * pairs * kept) / n for kept in rows]))


def overlap(first: ndarray, second: ndarray, t: float) -> ndarray:
    """The integral of exp(-first (t - u) - second u) over u from 0 to t, infinity included; 0 where ``first`` is 0.

    >>> overlap(np.array([2.0, 1.0]), np.array([0.0, 1.0]), np.inf).tolist()
    [0.5, 0.0]
    """
    low, gap = np.minimum(first, second), np.abs(first - second)
    apart = np.divide(-np.expm1(-np.where(gap > 0, gap, 1.0) * t), gap, out=np.full(gap.shape, float(t)), where=gap > 0)
    faded = np.exp(-np.where(low > 0, low, 1.0) * t)
    return np.where(first > 0, np.where(low > 0, faded * np.where(faded > 0, apart, 0.0), apart), 0.0)


def noise_floor(gram: Gram, residual: Residual) -> float:
    """sqrt(mean_i K(x_i, x_i) p_i^2 / 2), p the part of the residual in the null space of K, which never moves.

    Times sqrt(s eta) it is the spread that remains for ever, up to a factor 1 + O(eta); 0 for a regular K.

    >>> round(noise_floor(np.ones((2, 2)), np.array([2.0, -2.0])) ** 2, 9)
    2.0
    """
    kernel, start = checked(gram, residual)
    values, vectors = (np.asarray(part) for part in dynamics.decompose(kernel))
    null = vectors[:, values == 0]
    return float(np.sqrt(np.mean(np.diag(kernel) * (null @ (null.T @ start)) ** 2) / 2))


def sure_bound(gram: Gram, batch: int, **sampling: str) -> float:
    """2/((1 - s) lambda_max/N + s max_i K(x_i, x_i)): below this rate E[(theta - theta*)^2] falls in every step.

    It is ``mean_square_bound`` itself for B = 1 and inputs with one K(x, x), and for s = 0 (gradient descent).

    >>> sure_bound(np.eye(3), 1)
    2.0
    """
    kernel = np.asarray(gram, dtype=float)
    s, top = share(batch, len(kernel), **sampling), float(dynamics.decompose(kernel).values[-1])
    return 2.0 / ((1.0 - s) * top / len(kernel) + s * float(np.diag(kernel).max()))


def mean_square_bound(gram: Gram, batch: int, **sampling: str) -> float:
    """The learning rate at which the second-moment map has the eigenvalue 1: only below it the covariance dies out.

    With the modes (a, b) of K that is where eta s/N times the largest eigenvalue of the N x N matrix

        sum_ab lambda_a lambda_b V_ia V_ib V_ja V_jb / ((lambda_a + lambda_b)/N - eta (1 - s) lambda_a lambda_b/N^2)

    is 1. It grows with eta from ``sure_bound``, where it is at most 1, to a pole at 2N/((1 - s) lambda_max).

    >>> round(mean_square_bound(np.eye(3), 1), 9)
    2.0
    """
    kernel = np.asarray(gram, dtype=float)
    n, s = len(kernel), share(batch, len(kernel), **sampling)
    values, vectors = (np.asarray(part) for part in dynamics.decompose(kernel))
    alive, speed = vectors[:, values > 0], values[values > 0] / n
    products = (alive[:, None, :] * alive[None]).reshape(n * n, -1)
    sums, product = speed[:, None] + speed, np.outer(speed, speed)

    def excess(rate: float) -> float:
        weight = product / (sums - rate * (1.0 - s) * product)
        table = np.sum((products @ weight) * products, axis=1).reshape(n, n)
        return rate * s * n * float(np.linalg.eigvalsh(table)[-1]) - 1.0

    low = sure_bound(kernel, batch, **sampling)
    if s == 0 or excess(low) > -1e-12:  # the two bounds are one, up to rounding
        return low
    diagonal = np.diag(kernel)  # for B = 1 the bound lies between 2/max K(x, x) and 2/min K(x, x)
    high = 2.0 / ((1.0 - s) * speed[-1]) if s < 1 else 2.01 / float(diagonal[diagonal > 0].min())
    near = low
    while excess(near) < 0:
        near = (near + high) / 2
    return float(brentq(excess, low, near, xtol=1e-15 * low, rtol=1e-14))


def checked(gram: Gram, residual: Residual) -> tuple[ndarray, ndarray]:
    """A kernel and a residual that fit each other, as NumPy arrays of float64."""
    kernel, start = np.asarray(gram, dtype=float), np.asarray(residual, dtype=float)
    n = len(dynamics.decompose(kernel).values)
    if start.shape != (n,) or not np.isfinite(start).all():
        raise ValueError(f"residual: expected {n} finite numbers, one for each row of gram, got shape {start.shape}")
    return kernel, start


def step_counts(steps: Counts) -> Int[ndarray, " T"]:
    """Increasing whole numbers of steps, at least 0."""
    counts = np.atleast_1d(np.asarray(steps))
    if not counts.size or np.any(counts != np.round(counts)) or counts[0] < 0 or np.any(np.diff(counts) <= 0):
        raise ValueError(f"steps: expected increasing whole numbers, at least 0, got {counts.tolist()}")
    return counts.astype(int)
