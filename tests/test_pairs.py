"""Which pairs are one input, how close the others are, and what K(x, x) of one input is."""

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import hermite, pairs
from ntk_eoc.activations import NAMED
from ntk_eoc.angles import folds, rows
from ntk_eoc.kernels import kernels

X = np.array([[3.0, 4.0], [3.0, 4.0], [-3.0, -4.0], [6.0, 8.0], [0.0, 0.0], [4.0, 3.0], [-6.0, -8.0]])
SAME, OPPOSITE, NONE = ([(0, 1)], [(0, 2), (1, 2), (3, 6)], [])


@pytest.mark.parametrize(
    "sigma_b, odd, zero, opposite",
    [(0.0, True, 0, OPPOSITE), (0.0, False, 0, NONE), (0.3, True, 1, NONE), (0.3, False, 1, NONE)],
)
def test_what_is_alike(sigma_b: float, odd: bool, zero: int, opposite: list[tuple[int, int]]) -> None:
    """Equal inputs; zero ones where there is a bias, which is all of them; opposite ones in an odd network without."""
    left = rows("x", X)
    v = jnp.asarray(left[1] ** 2 / 2)
    expected = np.diag(np.where(np.arange(len(X)) == 4, zero, 1))
    for places, sign in ((SAME, 1), (opposite, -1)):
        for i, j in places:
            expected[i, j] = expected[j, i] = sign
    np.testing.assert_array_equal(pairs._alike(folds(left, left), v, v, sigma_b, odd), expected)


def test_reach_is_that_of_pairs_that_are_not_alike_and_keep_a_limit() -> None:
    c = np.array([[1.0, 0.2, -0.97, 0.0], [0.9992, 1.0, 1.0, 0.0], [0.0, 0.3, 1.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    far = pairs._far(jnp.asarray(c), jnp.array([[1, 0, 0], [0, 1, 0], [0, 1, 1]]))
    count = len(pairs.LIMITS)
    assert pairs.LIMITS[2:] == (0.999, 0.99, 0.95, 0.8)
    assert far.tolist() == [[-1, count, count - 2], [2, -1, 1], [count, -1, -1]]
    for same, second in ((True, 0.97), (False, 0.9992)):  # of the upper half or all, without what is behind
        expected = [1.0, second, 0.97, 0.97, 0.2, 0.2]
        np.testing.assert_allclose(pairs._reach(jnp.asarray(c), far, same), expected)


@pytest.mark.parametrize("architecture", ["ffnn", "residual"])
def test_the_kernel_of_one_input(architecture: str) -> None:
    act, sigmas = NAMED["tanh"], {"sigma_b": 0.3, "sigma_w": 1.7}
    x = X[[0, 5]] * np.array([[0.1], [0.3]])
    exact = kernels(act, jnp.asarray(x), depth=5, architecture=architecture, **sigmas)
    q = jnp.asarray(0.3**2 + 1.7**2 * np.sum(x**2, axis=1) / 2)
    skip = architecture == "residual"
    held = hermite.layers(act, q, 4, skip=skip, near=True, odd=True, dtype="float64", **sigmas)
    own = pairs._own(pairs._own(np.ones(2), held, 0, 1), held, 1, 3)
    np.testing.assert_allclose(own * held.q[3], np.diag(exact.ntk), rtol=1e-12)


def test_layers_that_repeat() -> None:
    assert pairs._repeated(np.array([2.0, 3.0]), 0.5, 2).tolist() == [2.0, 2.25]


def test_squares_of_pairs() -> None:
    """All of them, or of a symmetric matrix those on the diagonal and above."""
    size = pairs.TILE
    assert pairs._blocks(2 * size, 3 * size, False).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert pairs._blocks(2 * size, 2 * size, True).tolist() == [[0, 0], [0, 1], [1, 1]]
