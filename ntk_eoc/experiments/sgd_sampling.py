"""How batches are drawn, and what that does to SGD: independent rows, different rows, or epochs as in practice.

``rows`` are the batches of S runs, (S, k, B). One set of rows can drive a kernel (``simulate``) and a network
(``follow``), so the two can be compared run by run.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.stats import t as student

from ntk_eoc import dynamics
from ntk_eoc.errors import Scalar, check_choice, check_positive
from ntk_eoc.experiments.sgd_moments import Counts, Gram, Residual, Times, checked, overlap, share, step_counts
from ntk_eoc.optimise import Apply

Rows = Int[ndarray, "S k B"]
SAMPLINGS = ("independent", "distinct", "epochs")


class Order(NamedTuple):
    """A fitted exponent and the half-width of its 95 % interval."""

    exponent: float
    half_width: float


def draw(n: int, *, batch: int, steps: int, runs: int, seed: int, sampling: str = "independent") -> Rows:
    """Batches for ``runs`` runs of ``steps`` steps over n rows.

    ``independent``: with replacement. ``distinct``: different rows within a batch. ``epochs``: the rows are shuffled
    and dealt out, again in each epoch, for which the batch size has to divide n.

    >>> rows = draw(4, batch=2, steps=2, runs=1, seed=0, sampling="epochs")
    >>> sorted(rows.ravel().tolist())
    [0, 1, 2, 3]
    """
    check_choice("sampling", sampling, SAMPLINGS)
    share(batch, n, "independent" if sampling == "independent" else "distinct")  # refuses what is no batch size
    random = np.random.RandomState(seed)  # its stream never changes
    if sampling == "independent":
        return random.randint(0, n, size=(runs, steps, batch))
    if sampling == "distinct":
        return random.rand(runs, steps, n).argsort(axis=-1)[..., :batch]
    if n % batch:
        raise ValueError(f"batch: expected a divisor of the {n} rows, got {batch}")
    per_epoch = n // batch
    epochs = -(-steps // per_epoch)
    order = random.rand(runs, epochs, n).argsort(axis=-1)
    return order.reshape(runs, epochs * per_epoch, batch)[:, :steps]


def every_sequence(n: int, *, batch: int, steps: int) -> Rows:
    """All n^(batch steps) equally likely sequences of batches with replacement: expectations without Monte Carlo.

    >>> every_sequence(2, batch=1, steps=2)[:, :, 0].tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return np.array(list(product(range(n), repeat=batch * steps))).reshape(-1, steps, batch)


def simulate(gram: Gram, residual: Residual, rows: Rows, *, rate: float, steps: Counts) -> Float[ndarray, "S T N"]:
    """Residuals of S runs along ``rows``, after the increasing ``steps``, of a network whose kernel is ``gram``.

    >>> simulate(np.eye(2), np.ones(2), np.array([[[0], [1]]]), rate=1.0, steps=[1, 2])[0].tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    kernel, start = checked(gram, residual)
    counts, n, (runs, _, batch) = step_counts(steps), len(start), rows.shape
    now, seen = np.tile(start, (runs, 1)), []
    for k in range(counts[-1] + 1):
        if k in counts:
            seen.append(now)
        if k < counts[-1]:
            drawn = (rows[:, k, :, None] == np.arange(n)).sum(axis=1)
            now = now - rate / batch * (drawn * now) @ kernel
    return np.stack(seen, axis=1)


def follow(
    apply: Apply, params: Any, x: ndarray, y: ndarray, rows: Rows, *, rate: float, steps: Counts
) -> Float[ndarray, "S T N"]:
    """The same in parameter space, by the gradients of the loss on each batch: f(x) - y for one output.

    Raises ``RuntimeError`` with the step at which a run is no longer finite.

    >>> follow(lambda w, x: x * w, jnp.zeros(1), np.ones((2, 1)), np.ones((2, 1)), np.zeros((1, 1, 1), int),
    ...     rate=0.5, steps=[1])[0].tolist()
    [[-0.5, -0.5]]
    """
    counts, inputs, targets = step_counts(steps), jnp.asarray(x), jnp.asarray(y)
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(rows), *jnp.shape(leaf))), params)
    seen, now = [], 0
    for count in counts:
        many = _advance(apply, many, jnp.asarray(rows), now, int(count), inputs, targets, check_positive("rate", rate))
        now = int(count)
        seen.append(np.asarray(jax.lax.map(lambda p: apply(p, inputs)[:, 0] - targets[:, 0], many)))
        if not np.isfinite(seen[-1]).all():
            raise RuntimeError(f"training diverged: outputs are no longer finite at step {count}")
    return np.stack(seen, axis=1)


@partial(jax.jit, static_argnums=0)
def _advance(apply: Apply, many: Any, rows: Any, begin: Scalar, end: Scalar, x: Any, y: Any, rate: Scalar) -> Any:
    def loss(p: Any, chosen: Any) -> Any:
        return jnp.sum((apply(p, x[chosen]) - y[chosen]) ** 2) / (2 * rows.shape[2])

    def one(p: Any, batches: Any) -> Any:
        def step(k: Any, p: Any) -> Any:
            return jax.tree.map(lambda a, g: a - rate * g, p, jax.grad(loss)(p, batches[k]))

        return jax.lax.fori_loop(begin, end, step, p)

    return jax.vmap(one)(many, rows)


def epoch_shift(gram: Gram, residual: Residual, times: Times) -> Float[ndarray, "T N"]:
    """What epochs add to the mean of gradient descent: s eta times this, up to O(eta^2), s the ``share`` "distinct".

    Rows of one epoch are never drawn twice, so that on average an epoch has K (K - diag K)/(N (N - 1)) where gradient
    descent has K^2/N^2. The mean m then drifts: d shift/dt = -K shift/N + K (K/N - diag K) m/(2N).

    >>> (epoch_shift(np.eye(2), np.ones(2), [2.0])[0] * np.e).round(9).tolist()
    [-0.25, -0.25]
    """
    kernel, start = checked(gram, residual)
    values, vectors = (np.asarray(part) for part in dynamics.decompose(kernel))
    n, speed = len(start), values / len(start)
    drift = speed[:, None] / 2 * (np.diag(speed) - vectors.T @ (np.diag(kernel)[:, None] * vectors))
    source = drift * (vectors.T @ start)
    kept = [overlap(np.broadcast_to(speed[:, None], (n, n)), np.broadcast_to(speed, (n, n)), t) for t in times]
    return np.array([vectors @ np.sum(source * part, axis=1) for part in kept])


def run_spread(residuals: Float[ndarray, "S *T N"]) -> Float[ndarray, "*T"]:
    """How far runs are from their own mean, root mean square over runs and inputs, without bias in the square.

    >>> float(run_spread(np.array([[1.0], [-1.0]])).round(6))
    1.414214
    """
    return np.asarray(np.sqrt(np.mean(np.var(residuals, axis=0, ddof=1), axis=-1)))


def fitted_order(x: Float[ndarray, " X"], groups: Float[ndarray, "G X"]) -> Order:
    """The slope of log(values) against log(x): least squares in each of G independent groups, and a 95 % interval.

    >>> fitted_order(np.array([1.0, 2.0, 4.0]), np.array([[3.0, 6.0, 12.0], [1.0, 2.0, 4.0]])).exponent
    1.0
    """
    if len(groups) < 2 or len(x) < 2 or not (np.min(groups) > 0 and np.min(x) > 0):
        raise ValueError(f"groups: expected two groups or more of positive values, got {np.asarray(groups).tolist()}")
    slopes = np.polyfit(np.log(x), np.log(groups).T, 1)[0]
    width = student.ppf(0.975, len(slopes) - 1) * slopes.std(ddof=1) / np.sqrt(len(slopes))
    return Order(float(slopes.mean()), float(width))


class Samplings(NamedTuple):
    """For each way to draw batches, in the order of ``SAMPLINGS``, and each ``pace``: the ``spread`` in groups of runs,
    the ``shift``, root mean square of (mean of all runs - gradient descent), and the part of it that is Monte Carlo
    ``error``; ``derived`` is the shift that epochs should have."""

    pace: Float[ndarray, " P"]
    spread: Float[ndarray, "three G P"]
    shift: Float[ndarray, "three P"]
    error: Float[ndarray, "three P"]
    derived: Float[ndarray, " P"]


def samplings(
    gram: Gram, residual: Residual, paces: Sequence[float], *, batch: int = 4, units: float = 0.75, runs: int = 512
) -> Samplings:
    """Runs with the kernel at rest up to one time, with batches drawn in three ways, in 8 groups.

    ``pace`` is eta times the mean of K(x_i, x_i), ``units`` the time in N over that mean.

    >>> samplings(np.eye(4), np.ones(4), [0.5, 0.25], batch=2, runs=16).spread.shape
    (3, 8, 2)
    """
    kernel, start = checked(gram, residual)
    n, each = len(start), float(np.mean(np.diag(kernel)))
    spectrum, pace = dynamics.decompose(kernel), np.array(paces, dtype=float)
    counts = np.round(units * n / pace).astype(int)
    spread, gaps, error = (np.empty((3, *shape)) for shape in ((8, len(pace)), (len(pace), n), (len(pace),)))
    for j, (rate, steps) in enumerate(zip(pace / each, counts, strict=True)):
        training = dynamics.descent(spectrum, [float(steps)], rate=float(rate))
        full = np.asarray(dynamics.residuals(training, 0 * start[:, None], start[:, None]))[0, :, 0]
        for i, kind in enumerate(SAMPLINGS):
            rows = draw(n, batch=batch, steps=int(steps), runs=runs, seed=i, sampling=kind)
            found = simulate(kernel, start, rows, rate=float(rate), steps=[int(steps)])[:, 0]
            spread[i, :, j] = run_spread(np.moveaxis(found.reshape(8, -1, n), 1, 0))
            gaps[i, j], error[i, j] = found.mean(axis=0) - full, run_spread(found) / np.sqrt(runs)
    slope = np.sqrt(np.mean(epoch_shift(kernel, start, [units * n / each]) ** 2))
    derived = share(batch, n, "distinct") * pace / each * slope
    return Samplings(pace, spread, np.sqrt(np.mean(gaps**2, axis=-1)), error, derived)
