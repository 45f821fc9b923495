"""Gradient descent and SGD in parameter space with squared loss: what Eq. 7 to 9 of the paper describe from outside.

The loss over N inputs is sum_i |f(x_i) - y_i|^2 / (2N), the same as in ``dynamics``, so that learning rates and step
counts mean the same in both. Nothing here knows a kernel: agreement with one is evidence. ``apply(params, x)`` is any
function with outputs (N, o); reuse one function object: a new one is compiled anew. Parameters keep their dtype.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Key, PyTree

from ntk_eoc.errors import Scalar, check_positive

Apply = Callable[[Any, Array], Array]
Data = tuple[Array, Array, Array]  # inputs, targets, test inputs
Steps = Sequence[int] | np.ndarray


class Run(NamedTuple):
    """Outputs ``train`` (T, N, o) and ``test`` (T, M, o) and the ``loss`` (T,) after the numbers of ``steps`` (T,), and
    the parameters after the last; with S runs side by side, all but ``steps`` have a leading axis S."""

    steps: np.ndarray
    train: np.ndarray
    test: np.ndarray
    loss: np.ndarray
    params: PyTree


class Diverged(RuntimeError):
    """Training that left the floating-point numbers: at which ``step`` it was seen, the last finite ``loss`` before,
    and in ``run`` all that was recorded until then."""

    def __init__(self, step: int, loss: float, run: Run) -> None:
        super().__init__(
            f"training diverged: the loss is no longer finite at step {step} (it was {loss:.3g} at step "
            f"{int(run.steps[-1])}); expected a smaller learning rate"
        )
        self.step, self.loss, self.run = step, loss, run


def gradient_descent(
    apply: Apply,
    params: PyTree,
    x: ArrayLike,
    y: ArrayLike,
    *,
    rate: Scalar,
    steps: Steps,
    x_test: ArrayLike | None = None,
) -> Run:
    """Full gradient descent theta <- theta - rate dLoss/dtheta (Eq. 1), recorded after the increasing ``steps``.

    Raises ``ValueError`` for inputs, targets or steps that do not fit each other, and ``Diverged`` once the loss is
    infinite or NaN.

    >>> one = jnp.ones((1, 1))
    >>> gradient_descent(lambda w, x: x * w, jnp.zeros(1), one, one, rate=0.5, steps=[0, 1]).train[:, 0, 0].tolist()
    [0.0, 0.5]
    """
    x, y, x_test = _data(apply, params, x, y, x_test)
    return _record(partial(_descend, apply), partial(_look, apply), params, (x, y, x_test), rate, steps)


def sgd(
    apply: Apply,
    params: PyTree,
    x: ArrayLike,
    y: ArrayLike,
    *,
    rate: Scalar,
    batch: int,
    steps: Steps,
    keys: Key[Array, " S"],
    x_test: ArrayLike | None = None,
) -> Run:
    """SGD from the same ``params`` for each of the S ``keys`` (S,), run side by side.

    A step uses ``batch`` rows drawn independently and uniformly, with replacement, so its expected gradient is the full
    one. Raises what ``gradient_descent`` raises; ``Diverged`` as soon as one run has.

    >>> x, keys = jnp.ones((4, 1)), jax.random.split(jax.random.key(0), 3)
    >>> run = sgd(lambda w, x: x * w, jnp.zeros(1), x, x, rate=0.5, batch=2, steps=[1, 2], keys=keys)
    >>> run.train[:, :, 0, 0].tolist()
    [[0.5, 0.75], [0.5, 0.75], [0.5, 0.75]]
    """
    x, y, x_test = _data(apply, params, x, y, x_test)
    if batch < 1 or batch != int(batch):
        raise ValueError(f"batch: expected a whole number of rows, at least 1, got {batch}")
    if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) or keys.ndim != 1 or not keys.size:
        raise ValueError(f"keys: expected keys in shape (S,), S at least 1, got {keys.dtype} in shape {keys.shape}")
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(keys), *jnp.shape(leaf))), params)
    wander, look = partial(_wander, apply, int(batch), keys), partial(_look_at_each, apply)
    run = _record(wander, look, many, (x, y, x_test), rate, steps)
    return run._replace(**{name: np.moveaxis(getattr(run, name), 0, 1) for name in ("train", "test", "loss")})


def linearise(apply: Apply, params: PyTree) -> Apply:
    """The function f(params, x) + df/dparams (p - params) of (p, x): the network whose kernel never moves.

    >>> linear = linearise(lambda w, x: x * w**2, jnp.ones(1))
    >>> linear(jnp.array([3.0]), jnp.ones((1, 1))).tolist()
    [[5.0]]
    """

    def apply_linear(p: PyTree, x: Array) -> Array:
        value, change = jax.jvp(lambda q: apply(q, x), (params,), (jax.tree.map(jnp.subtract, p, params),))
        return value + change

    return apply_linear


def _loss(apply: Apply, params: PyTree, x: Array, y: Array) -> Array:
    return jnp.sum((apply(params, x) - y) ** 2) / (2 * len(x))


@partial(jax.jit, static_argnums=0)
def _look(apply: Apply, params: PyTree, x: Array, y: Array, x_test: Array) -> tuple[Array, Array, Array]:
    train = apply(params, x)
    test = apply(params, x_test) if len(x_test) else train[:0]
    return train, test, jnp.sum((train - y) ** 2) / (2 * len(x))


@partial(jax.jit, static_argnums=0)
def _look_at_each(apply: Apply, params: PyTree, x: Array, y: Array, x_test: Array) -> tuple[Array, Array, Array]:
    return jax.lax.map(lambda p: _look(apply, p, x, y, x_test), params)


@partial(jax.jit, static_argnums=0)
def _descend(apply: Apply, params: PyTree, begin: Scalar, end: Scalar, x: Array, y: Array, rate: Scalar) -> PyTree:
    def step(_: Array, p: PyTree) -> PyTree:
        return _moved(p, jax.grad(partial(_loss, apply))(p, x, y), rate)

    return jax.lax.fori_loop(begin, end, step, params)


@partial(jax.jit, static_argnums=(0, 1))
def _wander(
    apply: Apply, batch: int, keys: Array, params: PyTree, begin: Scalar, end: Scalar, x: Array, y: Array, rate: Scalar
) -> PyTree:
    def one(p: PyTree, key: Array) -> PyTree:
        def step(k: Array, p: PyTree) -> PyTree:
            rows = jax.random.randint(jax.random.fold_in(key, k), (batch,), 0, len(x))
            return _moved(p, jax.grad(partial(_loss, apply))(p, x[rows], y[rows]), rate)

        return jax.lax.fori_loop(begin, end, step, p)

    return jax.vmap(one)(params, keys)


def _moved(params: PyTree, gradient: PyTree, rate: Scalar) -> PyTree:
    return jax.tree.map(lambda p, g: (p - rate * g).astype(p.dtype), params, gradient)


def _record(advance: Callable, look: Callable, params: PyTree, data: Data, rate: Scalar, steps: Steps) -> Run:
    """Advance to each moment, look, and keep what was seen."""
    (x, y, x_test), rate, moments = data, check_positive("rate", rate), _moments(steps)
    now = 0
    seen: list[tuple[np.ndarray, ...]] = []
    for moment in moments:
        later = advance(params, now, moment, x, y, rate) if moment > now else params
        found = (np.array(moment), *(np.asarray(part) for part in look(later, x, y, x_test)))
        if not np.isfinite(found[-1]).all():
            last = seen or [(np.array(now), *(np.asarray(part) for part in look(params, x, y, x_test)))]
            raise Diverged(moment, float(np.max(last[-1][-1])), _run(last, params))
        params, now = later, moment
        seen.append(found)
    return _run(seen, params)


def _run(seen: list[tuple[np.ndarray, ...]], params: PyTree) -> Run:
    taken, train, test, loss = (np.stack(part) for part in zip(*seen, strict=True))
    return Run(taken, train, test, loss, params)


def _moments(steps: Steps) -> list[int]:
    moments = np.atleast_1d(np.asarray(steps))
    whole = moments.ndim == 1 and moments.size and np.all(moments == np.round(moments))
    if not whole or moments[0] < 0 or (np.diff(moments) <= 0).any():
        raise ValueError(f"steps: expected increasing whole numbers, at least 0, got {np.asarray(steps).tolist()}")
    return [int(m) for m in moments]


def _data(apply: Apply, params: PyTree, x: ArrayLike, y: ArrayLike, x_test: ArrayLike | None) -> Data:
    """Inputs, targets and test inputs as arrays that fit each other and are finite."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    x_test = x[:0] if x_test is None else jnp.asarray(x_test)
    if x.ndim < 2 or not len(x) or x_test.shape[1:] != x.shape[1:]:
        raise ValueError(f"x: expected (N, d) and x_test (M, d), N at least 1, got shapes {x.shape} and {x_test.shape}")
    outputs = jax.eval_shape(apply, params, x).shape
    if y.shape != outputs:
        raise ValueError(f"y: expected the shape {outputs} of the outputs, got {y.shape}")
    for name, array in (("x", x), ("y", y), ("x_test", x_test)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return x, y, x_test
