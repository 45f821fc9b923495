"""Training in parameter space against plain NumPy loops, and its relation to training in function space."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc.activations import NAMED
from ntk_eoc.dynamics import decompose, descent, fitted, predictions
from ntk_eoc.networks import Network, apply, init
from ntk_eoc.optimise import Diverged, gradient_descent, linearise, sgd

RNG = np.random.default_rng(3)
N, M, D, OUT = 6, 4, 3, 2
X, X_TEST, Y, W0 = (RNG.normal(size=shape) for shape in ((N, D), (M, D), (N, OUT), (D, OUT)))
NET = Network(5, 3, 0.3, 1.4)
TANH = NAMED["tanh"]


def linear(w: jax.Array, x: jax.Array) -> jax.Array:
    return x @ w


def network(params: object, x: jax.Array) -> jax.Array:
    return apply(params, TANH, NET, x)


def params() -> object:
    return init(jax.random.key(1), NET, D, OUT)


def by_hand(w: np.ndarray, count: int, rate: float, rows: Callable[[int], np.ndarray] | None = None) -> np.ndarray:
    """Gradient descent of |x w - y|^2/(2 rows), written out."""
    for k in range(count):
        x, y = (X, Y) if rows is None else (X[rows(k)], Y[rows(k)])
        w = w - rate / len(x) * x.T @ (x @ w - y)
    return w


def test_gradient_descent_of_a_linear_function_by_hand() -> None:
    run = gradient_descent(linear, W0, X, Y, rate=0.1, steps=[0, 1, 7], x_test=X_TEST)
    for i, count in enumerate((0, 1, 7)):
        w = by_hand(W0, count, 0.1)
        np.testing.assert_allclose(run.train[i], X @ w, rtol=1e-12)
        np.testing.assert_allclose(run.test[i], X_TEST @ w, rtol=1e-12)
        np.testing.assert_allclose(run.loss[i], np.sum((X @ w - Y) ** 2) / (2 * N), rtol=1e-12)
    np.testing.assert_allclose(run.params, w, rtol=1e-12)
    assert run.steps.tolist() == [0, 1, 7]


def test_it_agrees_with_training_in_function_space() -> None:
    """The same numbers from the kernel x x' alone: learning rate and time mean the same in both modules."""
    run = gradient_descent(linear, W0, X, Y, rate=0.2, steps=[1, 20, 400], x_test=X_TEST)
    course = descent(decompose(X @ X.T), [1, 20, 400], rate=0.2)
    np.testing.assert_allclose(run.train, fitted(course, Y, X @ W0), rtol=1e-9, atol=1e-11)
    outside = predictions(course, Y, X @ W0, cross=X_TEST @ X.T, f0_test=X_TEST @ W0)
    np.testing.assert_allclose(run.test, outside, rtol=1e-9, atol=1e-11)


def test_each_sgd_run_is_the_loop_over_its_own_batches() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    run = sgd(linear, jnp.asarray(W0), X, Y, rate=0.1, batch=4, steps=[2, 9], keys=keys, x_test=X_TEST)
    assert run.train.shape == (3, 2, N, OUT) and run.test.shape == (3, 2, M, OUT) and run.loss.shape == (3, 2)
    for s, key in enumerate(keys):
        rows = lambda k, key=key: np.asarray(jax.random.randint(jax.random.fold_in(key, k), (4,), 0, N))  # noqa: E731
        np.testing.assert_allclose(run.params[s], by_hand(W0, 9, 0.1, rows), rtol=1e-10)
        np.testing.assert_allclose(run.train[s, 0], X @ by_hand(W0, 2, 0.1, rows), rtol=1e-10)


def test_batches_are_uniform_and_unbiased() -> None:
    """One step of many runs: their mean is the full gradient step within six standard errors, and they differ."""
    keys = jax.random.split(jax.random.key(5), 4000)
    run = sgd(linear, jnp.asarray(W0), X, Y, rate=0.1, batch=1, steps=[1], keys=keys)
    error = run.params.std(axis=0, ddof=1) / np.sqrt(len(keys))
    miss = np.abs(run.params.mean(axis=0) - by_hand(W0, 1, 0.1)) / error
    assert float(miss.max()) < 6 and float(error.min()) > 0
    twice = sgd(linear, jnp.asarray(W0), X, Y, rate=0.1, batch=1, steps=[1], keys=keys[:2])
    np.testing.assert_array_equal(twice.train, run.train[:2])


def test_linearised_network_is_its_first_order_expansion() -> None:
    start, x = params(), jnp.asarray(X)
    flat, linear_network = jax.tree.map(lambda p: 1e-4 * jnp.ones_like(p), start), linearise(network, start)
    np.testing.assert_allclose(linear_network(start, x), network(start, x), rtol=1e-12)
    moved = [jax.tree.map(lambda p, d, t=t: p + t * d, start, flat) for t in (1.0, 2.0, -1.0)]
    values = [linear_network(p, x) for p in moved]
    np.testing.assert_allclose(
        values[1] - network(start, x), 2 * (values[0] - network(start, x)), rtol=1e-6, atol=1e-12
    )
    central = (network(moved[0], x) - network(moved[2], x)) / 2
    np.testing.assert_allclose(values[0] - network(start, x), central, rtol=1e-5, atol=1e-10)


def test_recording_more_often_changes_nothing() -> None:
    rare, often = (gradient_descent(network, params(), X, Y, rate=0.1, steps=s) for s in ([8], [0, 1, 2, 5, 8]))
    np.testing.assert_array_equal(rare.train[-1], often.train[-1])


@pytest.mark.parametrize("way", ["full", "stochastic"])
def test_a_diverging_run_says_when_and_keeps_what_it_had(way: str) -> None:
    largest = np.linalg.eigvalsh(X @ X.T)[-1]
    options = {"rate": 30.0 * 2 * N / largest, "steps": [0, 2, 4, 5000, 6000]}
    with pytest.raises(Diverged, match="no longer finite at step 5000 .*at step 4.*smaller learning rate") as error:
        if way == "full":
            gradient_descent(linear, W0, X, Y, **options)
        else:
            sgd(linear, jnp.asarray(W0), X, Y, batch=3, keys=jax.random.split(jax.random.key(0), 2), **options)
    found = error.value
    assert found.step == 5000 and found.loss == np.max(found.run.loss[..., -1])
    assert found.run.steps.tolist() == [0, 2, 4] and np.isfinite(found.run.train).all()


KEYS = jax.random.split(jax.random.key(0), 2)
REFUSED = {
    r"y: expected the shape \(6, 2\) of the outputs, got \(5, 2\)": lambda: gradient_descent(
        linear, W0, X, Y[1:], rate=1, steps=[1]
    ),
    r"x: expected \(N, d\) and x_test \(M, d\).* \(4, 2\)": lambda: gradient_descent(
        linear, W0, X, Y, rate=1, steps=[1], x_test=X_TEST[:, 1:]
    ),
    "y: expected finite numbers": lambda: gradient_descent(linear, W0, X, Y * np.nan, rate=1, steps=[1]),
    "x_test: expected finite": lambda: gradient_descent(linear, W0, X, Y, rate=1, steps=[1], x_test=X_TEST / 0.0),
    "rate: expected a number above 0": lambda: gradient_descent(linear, W0, X, Y, rate=0, steps=[1]),
    "steps: expected increasing whole numbers": lambda: gradient_descent(linear, W0, X, Y, rate=1, steps=[2, 2]),
    r"steps: .*got \[0.5\]": lambda: gradient_descent(linear, W0, X, Y, rate=1, steps=np.array([0.5])),
    "batch: expected a whole number of rows": lambda: sgd(linear, W0, X, Y, rate=1, batch=0, steps=[1], keys=KEYS),
    "keys: expected keys": lambda: sgd(linear, W0, X, Y, rate=1, batch=1, steps=[1], keys=KEYS[:0]),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_in_one_sentence(message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        REFUSED[message]()
    assert "\n" not in str(error.value)
