"""The digits against scikit-learn and the file's own facts; splits and scalings against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as random_arrays
from sklearn.datasets import load_digits

from ntk_eoc.data import SCALINGS, Dataset, Split, arrays, digits, scaled, train_test, unit_norm


def index_of(rows: np.ndarray, table: np.ndarray) -> list[int]:
    """Where each row stands in the table (the 1,797 digits are all different)."""
    place = {row.tobytes(): i for i, row in enumerate(table)}
    return [place[row.tobytes()] for row in rows]


def test_all_digits_are_those_of_scikit_learn() -> None:
    x, y = load_digits(return_X_y=True)
    whole = digits()
    assert whole.x.shape == (1797, 64) and whole.x.dtype == np.float64 and whole.y.dtype == np.int64
    np.testing.assert_array_equal(whole.x, x)
    np.testing.assert_array_equal(whole.y, y)
    assert (whole.x.min(), whole.x.max()) == (0.0, 16.0)
    assert whole.classes == tuple("0123456789") and set(whole.y) == set(range(10))


def test_subsets_are_nested_distinct_fixed_and_keep_their_labels() -> None:
    whole, small, large = digits(), digits(n=40), digits(n=300)
    place = index_of(large.x, whole.x)
    assert len(set(place)) == 300
    np.testing.assert_array_equal(large.y, whole.y[place])
    np.testing.assert_array_equal(small.x, large.x[:40])
    np.testing.assert_array_equal(small.x, digits(n=40, seed=0).x)
    assert not np.array_equal(small.x, digits(n=40, seed=1).x)
    assert sorted(index_of(digits(n=1797).x, whole.x)) == list(range(1797))


def test_the_split_is_fixed_and_shares_no_row() -> None:
    whole = digits()._replace(x=np.arange(1797.0)[:, None])
    split = train_test(whole)
    assert len(split.test.y) == 359 and len(split.train.y) == 1438
    scale = (np.ptp(np.concatenate([split.train.x, split.test.x]))) / 1796
    lowest = min(split.train.x.min(), split.test.x.min())
    rows = [np.rint((side.x[:, 0] - lowest) / scale).astype(int) for side in split]
    assert sorted(np.concatenate(rows)) == list(range(1797))
    for side, place in zip(split, rows, strict=True):
        np.testing.assert_array_equal(side.y, whole.y[place])
    # The legacy stream is frozen by NumPy, so these rows must be the same on every machine and version.
    np.testing.assert_array_equal(rows[1], np.random.RandomState(0).permutation(1797)[:359])
    assert not np.array_equal(train_test(whole, seed=1).test.y, split.test.y)


def test_scaling_uses_training_rows_only() -> None:
    raw = digits(n=200)
    split = train_test(raw)
    order = np.random.RandomState(0).permutation(200)
    train, test = raw.x[order[40:]], raw.x[order[:40]]
    mean = sum(train) / 160
    scale = np.sqrt(sum(np.sum((row - mean) ** 2) / 64 for row in train) / 160)
    np.testing.assert_allclose(split.train.x, (train - mean) / scale, atol=1e-13)
    np.testing.assert_allclose(split.test.x, (test - mean) / scale, atol=1e-13)
    np.testing.assert_allclose(split.train.x.mean(axis=0), 0, atol=1e-13)
    assert np.mean(split.train.x**2) == pytest.approx(1, rel=1e-13)
    # Pixel 0 is dark in every image: no division by its zero spread.
    assert not raw.x[:, 0].any() and not split.train.x[:, 0].any()


def test_test_rows_do_not_leak_into_the_scaling() -> None:
    raw = digits(n=100)
    test_rows = np.random.RandomState(0).permutation(100)[:20]
    changed = raw.x.copy()
    changed[test_rows] = 1e6
    np.testing.assert_array_equal(train_test(raw._replace(x=changed)).train.x, train_test(raw).train.x)


def pixels(rows: int) -> Split:
    """Random bytes as two sides of 5 pixels a row, in more blocks than one; the first pixel is always dark."""
    x = np.random.default_rng(0).integers(0, 256, (rows, 5)).astype(np.uint8)
    x[:, 0] = 0
    whole = Dataset("pixels", x, np.arange(rows) % 10, tuple("0123456789"))
    return Split(*(whole._replace(x=x[side], y=whole.y[side]) for side in (slice(rows // 10, None), slice(rows // 10))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scalings_of_bytes_are_those_of_their_definitions(dtype: type) -> None:
    split = pixels(3 * arrays.BLOCK)
    train, test = (side.x.astype(np.float64) for side in split)
    # The pixels are whole numbers, so mean and mean square are quotients of whole numbers.
    n, d = train.shape
    first = split.train.x.sum(axis=0, dtype=np.int64)
    second = int((split.train.x.astype(np.int64) ** 2).sum())
    variance = (n * second - sum(int(m) ** 2 for m in first)) / (n * n * d)
    expected = {
        "centred": [(x - first / n) / np.sqrt(variance) for x in (train, test)],
        "unit": [x / 255 for x in (train, test)],
        "norm": [x / np.sqrt(np.mean(x**2, axis=1, keepdims=True)) for x in (train, test)],
    }
    tolerance = 4 * np.finfo(dtype).eps
    for scaling in SCALINGS:
        found = scaled(split, scaling, dtype)
        for side, raw, wanted in zip(found, split, expected[scaling], strict=True):
            assert side.x.dtype == dtype and not side.x[:, 0].any()
            np.testing.assert_array_equal(side.y, raw.y)
            np.testing.assert_allclose(side.x, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_no_scaling_of_the_training_rows_looks_at_the_test_rows(scaling: str) -> None:
    split = pixels(100)
    other = split._replace(test=split.test._replace(x=split.test.x // 3 + 1))
    np.testing.assert_array_equal(scaled(other, scaling).train.x, scaled(split, scaling).train.x)
    one = split._replace(test=split.test._replace(x=split.test.x[:1], y=split.test.y[:1]))
    np.testing.assert_array_equal(scaled(one, scaling).test.x, scaled(split, scaling).test.x[:1])


def test_unit_divides_by_the_largest_training_entry_alone() -> None:
    split = pixels(100)
    brighter = scaled(split._replace(train=split.train._replace(x=split.train.x // 2)), "unit")
    assert brighter.test.x.max() == pytest.approx(split.test.x.max() / 127)


finite = st.floats(-1e300, 1e300, allow_nan=False)


@given(random_arrays(np.float64, (3, 4), elements=finite).filter(lambda x: x.any(axis=1).all()))
def test_unit_norm_gives_norm_squared_d_and_keeps_directions(x: np.ndarray) -> None:
    rows = unit_norm(x)
    np.testing.assert_allclose(np.sum(rows**2, axis=1), 4.0, rtol=1e-14)
    largest = np.abs(x).max(axis=1, keepdims=True)
    ratio = np.abs(rows).max(axis=1, keepdims=True)
    np.testing.assert_allclose(rows, x / largest * ratio, rtol=1e-14, atol=0)
    assert x.any() and (np.sign(rows) == np.sign(x / largest)).all()


def test_unit_norm_of_digits_makes_inner_products_cosines() -> None:
    x = digits(n=20).x
    cosine = np.array([[a @ b / np.sqrt((a @ a) * (b @ b)) for b in x] for a in x])
    np.testing.assert_allclose(unit_norm(x) @ unit_norm(x).T / 64, cosine, rtol=1e-13)


EQUAL = Dataset("equal", np.ones((10, 3)), np.zeros(10, dtype=np.int64), ("a",))
DARK = EQUAL._replace(x=np.zeros((10, 3)))
REFUSED = {
    "n: expected a whole number of images from 1 to 1797, got 0": lambda: digits(n=0),
    "n: expected a whole number of images from 1 to 1797, got 1798": lambda: digits(n=1798),
    "test_fraction: expected": lambda: train_test(EQUAL, test_fraction=0.0),
    "test_fraction: expected a row": lambda: train_test(EQUAL, test_fraction=1.0),
    "data: expected training rows that differ": lambda: train_test(EQUAL),
    r"x: expected inputs of shape \(N, d\)": lambda: unit_norm(np.ones(3)),
    "x: expected finite inputs": lambda: unit_norm(np.array([[1.0, np.inf]])),
    "scaling: expected one of centred, unit, norm, got 'centered'; did you mean 'centred'": lambda: scaled(
        Split(EQUAL, EQUAL), "centered"
    ),
    "data: expected a positive entry in the training rows": lambda: scaled(Split(DARK, EQUAL), "unit"),
    "x: expected rows with a direction, got zeros in row 1": lambda: unit_norm(np.array([[1.0], [0.0]])),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_in_one_sentence(message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        REFUSED[message]()
    assert "\n" not in str(error.value)
