"""Real inputs: NumPy arrays of float64, one input per row, no network connection.

The digits are the 1,797 images of 8 x 8 pixels that scikit-learn ships (E. Alpaydin and C. Kaynak, *Optical
Recognition of Handwritten Digits*, UCI Machine Learning Repository, 1998), with grey levels 0 to 16.
"""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64
from numpy import ndarray
from sklearn.datasets import load_digits

from ntk_eoc.errors import number


class Dataset(NamedTuple):
    """Inputs x, one per row, with integer labels y; ``classes[k]`` is the name of label k."""

    name: str
    x: Float64[ndarray, "N d"]
    y: Int64[ndarray, " N"]
    classes: tuple[str, ...]


class Split(NamedTuple):
    """Rows to learn from and rows to judge by, disjoint."""

    train: Dataset
    test: Dataset


def digits(n: int | None = None, seed: int = 0) -> Dataset:
    """The digits as x of shape (1797, 64), unscaled grey levels 0 to 16; or ``n`` different ones of them.

    With ``n``, the rows are the first n of a permutation of all rows fixed by ``seed``: a larger n only adds
    rows. Without it the order is that of scikit-learn. Raises ``ValueError`` unless 1 <= n <= 1797.

    >>> digits(n=5).x.shape, len(digits().classes)
    ((5, 64), 10)
    """
    bunch = load_digits()
    names = tuple(str(name) for name in bunch.target_names)
    data = Dataset("digits", bunch.data.astype(np.float64), bunch.target.astype(np.int64), names)
    if n is None:
        return data
    count = number("n", n)
    if count != int(count) or not 1 <= count <= len(data.y):
        raise ValueError(f"n: expected a whole number of images from 1 to {len(data.y)}, got {n}")
    return _rows(data, _permutation(len(data.y), seed)[: int(count)])


def train_test(data: Dataset, *, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """A fixed random split, decided by ``seed``: round(test_fraction N) rows to test, the others to train.

    Both sides are then scaled with numbers of the training rows only: x -> (x - m) / s, where m holds their
    mean in each coordinate and s is the one number for which their mean of norm(x)^2 / d becomes 1. A single
    s keeps angles between centred inputs, and a pixel that is constant in training is divided by no zero.
    Raises ``ValueError`` if either side would be empty or the training rows are all equal.

    >>> split = train_test(digits(n=100))
    >>> split.train.x.shape, split.test.x.shape
    ((80, 64), (20, 64))
    """
    fraction, total = number("test_fraction", test_fraction), len(data.y)
    n_test = round(fraction * total)
    if not 1 <= n_test < total:
        raise ValueError(f"test_fraction: expected a row or more on each side of {total} rows, got {fraction:g}")
    order = _permutation(total, seed)
    train, test = _rows(data, order[n_test:]), _rows(data, order[:n_test])
    mean = train.x.mean(axis=0)
    scale = np.sqrt(np.mean((train.x - mean) ** 2))
    if scale == 0:
        raise ValueError(f"data: expected training rows that differ, got {len(train.y)} equal rows")
    return Split(*(side._replace(x=(side.x - mean) / scale) for side in (train, test)))


def unit_norm(x: Float64[ndarray, "N d"] | ArrayLike) -> Float64[ndarray, "N d"]:
    """Rows scaled to norm(x)^2 = d, so that <x, x'> / d is a cosine and q^1 = sigma_b^2 + sigma_w^2.

    Raises ``ValueError`` if x is not (N, d) and finite, or if a row is zero (it has no direction).

    >>> unit_norm(np.array([[3.0, 4.0]])) / np.sqrt(2)
    array([[0.6, 0.8]])
    """
    rows = np.asarray(x, dtype=np.float64)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"x: expected inputs of shape (N, d), N and d at least 1, got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("x: expected finite inputs, got NaN or infinity")
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not largest.all():
        raise ValueError(f"x: expected rows with a direction, got zeros in row {int(np.argmin(largest))}")
    rows = rows / largest  # squares of the entries can now neither overflow nor all vanish
    return rows * (np.sqrt(rows.shape[1]) / np.linalg.norm(rows, axis=1, keepdims=True))


def _permutation(n: int, seed: int) -> Int64[ndarray, " n"]:
    # NumPy promises that the legacy generator's stream never changes; that of default_rng may.
    return np.random.RandomState(seed).permutation(n)


def _rows(data: Dataset, index: Int64[ndarray, " n"]) -> Dataset:
    return data._replace(x=data.x[index], y=data.y[index])
