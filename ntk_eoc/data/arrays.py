"""Inputs as arrays, one per row: the digits, splitting, scaling.

The digits are the 1,797 images of 8 x 8 pixels that scikit-learn ships (E. Alpaydin and C. Kaynak, *Optical
Recognition of Handwritten Digits*, UCI Machine Learning Repository, 1998), with grey levels 0 to 16.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Float64, Int64, Real
from numpy import ndarray
from numpy.typing import DTypeLike
from sklearn.datasets import load_digits

from ntk_eoc.errors import check_choice, number

SCALINGS = ("centred", "unit", "norm")
BLOCK = 4096  # rows that are scaled at a time: CIFAR10 in float64 would take 1.5 GB


class Dataset(NamedTuple):
    """Inputs x, one per row, with integer labels y; ``classes[k]`` is the name of label k."""

    name: str
    x: Real[ndarray, "N d"]
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


def random_split(data: Dataset, *, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """A fixed random split, decided by ``seed``: round(test_fraction N) rows to test, the others to train.

    Raises ``ValueError`` if either side would be empty.
    """
    fraction, total = number("test_fraction", test_fraction), len(data.y)
    n_test = round(fraction * total)
    if not 1 <= n_test < total:
        raise ValueError(f"test_fraction: expected a row or more on each side of {total} rows, got {fraction:g}")
    order = _permutation(total, seed)
    return Split(_rows(data, order[n_test:]), _rows(data, order[:n_test]))


def train_test(data: Dataset, *, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """``random_split``, then both sides ``scaled`` the centred way, in float64.

    Raises ``ValueError`` as those do.

    >>> split = train_test(digits(n=100))
    >>> split.train.x.shape, split.test.x.shape
    ((80, 64), (20, 64))
    """
    return scaled(random_split(data, test_fraction=test_fraction, seed=seed), "centred")


def scaled(split: Split, scaling: str = "centred", dtype: DTypeLike = np.float64) -> Split:
    """Both sides scaled with numbers of the training rows only, computed in float64 and stored as ``dtype``.

    ``"centred"``: x -> (x - m) / s, where m holds the training mean in each coordinate and s is the one number for
    which the training mean of norm(x)^2 / d becomes 1. A single s keeps angles between centred inputs, and a pixel
    that is constant in training is divided by no zero. ``"unit"``: x over the largest training entry, which takes
    pixels to [0, 1]. ``"norm"``: each row to norm(x)^2 = d by itself. Raises ``ValueError`` for another name, and if
    the training rows are all equal (centred), have no positive entry (unit) or a row is zero (norm).

    >>> scaled(Split(digits(n=80), digits(n=20, seed=1)), "unit").train.x.max() == 1
    np.True_
    """
    rule, train = check_choice("scaling", scaling, SCALINGS), split.train.x
    if rule == "norm":
        return Split(*(side._replace(x=_in_blocks(side.x, unit_norm, dtype)) for side in split))
    mean, scale = np.zeros(1), float(train.max(initial=0))
    if rule == "centred":
        mean = train.mean(axis=0, dtype=np.float64)
        squares = sum(float(np.sum((train[i : i + BLOCK] - mean) ** 2)) for i in range(0, len(train), BLOCK))
        scale = float(np.sqrt(squares / train.size))
    if scale == 0 and rule == "unit":
        raise ValueError("data: expected a positive entry in the training rows, got none")
    if scale == 0:
        raise ValueError(f"data: expected training rows that differ, got {len(train)} equal rows")
    return Split(*(side._replace(x=_in_blocks(side.x, lambda x: (x - mean) / scale, dtype)) for side in split))


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


def _in_blocks(
    x: Real[ndarray, "N d"], rule: Callable[[Any], Float[ndarray, "n d"]], dtype: DTypeLike
) -> Float[ndarray, "N d"]:
    result = np.empty(x.shape, dtype)
    for i in range(0, len(x), BLOCK):
        result[i : i + BLOCK] = rule(x[i : i + BLOCK])
    return result
