"""Angles between inputs, with all their digits for rows that are nearly parallel or nearly opposite.

A pair is carried as its ``fold``: 1 - |cosine| with the sign of the cosine, in [-1, 1]. Small folds are small angles
between the rows (sign +, +0 for parallel ones) or between one row and the other's opposite (sign -, -0).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.errors import require_x64
from ntk_eoc.kernels import check_inputs

CLOSE = 1e-2  # folds below it come from differences of rows: the product of rows has lost their digits
CHUNK = 10_000  # close pairs in one go

Rows = tuple[ndarray, ndarray]  # inputs (N, d) and their lengths (N,)


def rows(name: str, x: object) -> Rows:
    """Inputs as float64 with their lengths; bad ones are complained about as in ``kernels.check_inputs``.

    >>> rows("x", [[3, 4]])[1].tolist()
    [5.0]
    """
    if isinstance(x, np.ndarray | Array) and x.ndim == 2 and x.shape[1] and jnp.issubdtype(x.dtype, jnp.floating):
        found = np.asarray(x, dtype=np.float64)
        squares = np.einsum("ij,ij->i", found, found)
        if np.all((squares > 1e-200) & (squares < 1e100)):  # no NaN, and no square has left float64
            return found, np.sqrt(squares)
    found = np.asarray(check_inputs(name, x))
    largest = np.abs(found).max(axis=1, initial=0.0)
    scaled = found / np.where(largest > 0, largest, 1.0)[:, None]
    return found, largest * np.sqrt(np.einsum("ij,ij->i", scaled, scaled))


def _near_one(side: Rows) -> Rows:
    """The same directions, where lengths have no square or no reciprocal in float64 in rows of a length near 1."""
    x, norm = side
    far = (norm > 0) & ((norm < 1e-100) | (norm > 1e100))
    if not far.any():
        return side
    exponents = np.where(far, np.frexp(norm)[1], 0)
    x = np.ldexp(x, -exponents[:, None])
    return x, np.where(far, np.sqrt(np.einsum("ij,ij->i", x, x)), norm)


def folds(left: Rows, right: Rows) -> Float64[Array, "N M"]:
    """The fold of each pair of rows; the same object twice gives a symmetric matrix, zero on its diagonal.

    Zero rows are taken to be orthogonal to every row, themselves too.

    >>> x = rows("x", [[1.0, 0.0], [3.0, 4.0], [-2.0, 0.0]])
    >>> folds(x, x).round(12).tolist()
    [[0.0, 0.4, -0.0], [0.4, 0.0, -0.4], [-0.0, -0.4, 0.0]]
    """
    (x1, norm1), (x2, norm2) = _near_one(left), _near_one(right)
    inverse1, inverse2 = (1.0 / np.where(norm > 0, norm, np.inf) for norm in (norm1, norm2))
    found, close = _folded(x1 @ x2.T, inverse1, inverse2, left is right)
    if not close:
        return found
    near = np.array(found)
    row, column = np.nonzero(np.abs(near) < CLOSE)
    for some in np.array_split(np.arange(row.size), 1 + row.size // CHUNK):
        i, j = row[some], column[some]
        sign = np.copysign(1.0, near[i, j])
        short = x1[i] * inverse1[i, None] - (sign * inverse2[j])[:, None] * x2[j]
        near[i, j] = sign * (0.5 * np.einsum("ij,ij->i", short, short))
    return jnp.asarray(near)


@jax.jit
def _folded(product: Array, inverse1: Array, inverse2: Array, same: bool | Array) -> tuple[Array, Array]:
    """Folds from inner products, and whether any but the diagonal of a symmetric matrix is close."""
    cosine = product * (inverse1[:, None] * inverse2)
    row, column = (jax.lax.broadcasted_iota(jnp.int32, product.shape, axis) for axis in (0, 1))
    itself = same & (row == column) & (cosine != 0.0)
    fold = jnp.where(itself, 0.0, jnp.copysign(jnp.maximum(1.0 - jnp.abs(cosine), 0.0), cosine))
    return fold, jnp.any((jnp.abs(fold) < CLOSE) & ~itself)


def input_gaps(x1: Float64[ndarray, "N d"], x2: Float64[ndarray, "M d"] | None = None) -> Float64[ndarray, "N M"]:
    """1 - cosine between the rows of x1 and x2 (x1 if None), with all its digits for rows that are nearly parallel,
    and exactly 2 for opposite rows.

    >>> input_gaps(np.array([[1.0, 0.0], [3.0, 4.0]])).round(12).tolist()
    [[0.0, 0.4], [0.4, 0.0]]
    """
    require_x64()
    left = rows("x1", x1)
    right = left if x2 is None else rows("x2", x2)
    for name, (_, norms) in (("x1", left), ("x2", right)):
        if not norms.all():
            raise ValueError(f"{name}: expected rows with a direction, got zeros in row {int(np.argmin(norms))}")
    return gaps_of(np.asarray(folds(left, right)))


def gaps_of(fold: Float64[ndarray, "*batch"]) -> Float64[ndarray, "*batch"]:
    """1 - cosine from what ``folds`` gives.

    >>> gaps_of(np.array([0.1, -0.1, -0.0])).tolist()
    [0.1, 1.9, 2.0]
    """
    return np.where(np.signbit(fold), 2.0 + fold, fold)
