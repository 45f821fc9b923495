"""Angles between inputs, against fifty digits: near, opposite and of any size."""

import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from ntk_eoc.angles import CLOSE, folds, input_gaps, rows

TURNS = [0.0, 1e-9, 1e-3, 0.14, 0.15, 1.0, 1.5707, np.pi / 2, 2.0, 3.0, np.pi - 1e-5]


def exact_fold(x: np.ndarray, y: np.ndarray) -> tuple[float, bool]:
    """1 - |cosine|, and whether the angle is obtuse, of rows as they are stored."""
    with mp.workdps(50):
        a, b = ([mp.mpf(float(value)) for value in row] for row in (x, y))
        cosine = mp.fdot(a, b) / mp.sqrt(mp.fdot(a, a) * mp.fdot(b, b))
        return float(1 - abs(cosine)), bool(cosine < 0)


@pytest.mark.parametrize("size", [1.0, 1e-150, 1e48])
def test_folds_have_all_their_digits(size: float) -> None:
    turned = np.array([[np.cos(t), np.sin(t), 0.3 * np.sin(3 * t)] for t in TURNS])
    x = np.concatenate([turned, -turned]) * size * np.geomspace(0.1, 10.0, 2 * len(TURNS))[:, None]
    left = rows("x", x)
    found, gaps = np.asarray(folds(left, left)), input_gaps(x)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(input_gaps(x, x + 0.0).shape, gaps.shape)
    for i in range(len(x)):
        for j in range(len(x)):
            fold, obtuse = exact_fold(x[i], x[j])
            # products of directions are good to some 1e-16, differences of close ones to as much of themselves
            assert abs(found[i, j]) == pytest.approx(
                fold, rel=1e-7 if fold < 1e-12 else 1e-13, abs=1e-30 if fold < CLOSE else 1e-15
            )
            if fold < 1 - 1e-12:
                assert np.signbit(found[i, j]) == obtuse
                assert gaps[i, j] == pytest.approx(2.0 - fold if obtuse else fold, rel=1e-7 if fold < 1e-12 else 1e-13)


def test_opposite_rows_have_a_gap_of_exactly_two_and_equal_ones_of_zero() -> None:
    x = np.array([[1.0, 2.0, 2.0], [-2.0, -4.0, -4.0], [3.0, 6.0, 6.0]])
    assert input_gaps(x).tolist() == [[0.0, 2.0, 0.0], [2.0, 0.0, 2.0], [0.0, 2.0, 0.0]]


def test_rows_take_what_is_an_array_and_measure_it() -> None:
    x = np.array([[3.0, 4.0], [0.0, 0.0], [1e-300, 0.0], [1e49, 1e49]])
    np.testing.assert_allclose(rows("x", x)[1], [5.0, 0.0, 1e-300, 2**0.5 * 1e49])
    for other in (x[:2].tolist(), x[:2].astype(np.float32), x[:2].astype(int), jnp.asarray(x[:2])):
        found, norms = rows("x", other)
        assert found.dtype == norms.dtype == np.float64 and norms.tolist() == [5.0, 0.0]
    with pytest.raises(ValueError, match="x: expected finite"):
        rows("x", np.array([[np.nan, 1.0]]))
