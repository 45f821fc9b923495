"""SGD of wide networks around the gradient flow (Appendix D of the paper): digits, one output, squared loss.

Rates and times are told without units. ``pace`` is eta times the mean of K(x_i, x_i): a step on one row alone changes
the output there by pace times its residual. ``units`` count N over that mean, the time in which a mode of the kernel
with the average eigenvalue decays by a factor e.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Key
from numpy import ndarray

from ntk_eoc import dynamics
from ntk_eoc.activations import get
from ntk_eoc.data import digits, train_test, unit_norm
from ntk_eoc.empirical import dense_ntk
from ntk_eoc.experiments.sgd_moments import Counts, moments, spread, spread_law
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import eoc_points
from ntk_eoc.networks import Network, apply, init
from ntk_eoc.optimise import Apply, gradient_descent, linearise, sgd

SIGMA_B = {"relu": 0.0}  # where the Edge of Chaos of an activation is taken; 0.2 for the others


@dataclass(frozen=True)
class Task:
    """A dense network on the Edge of Chaos, the parity of ``images`` digits to learn, and a seed for both."""

    activation: str = "relu"
    width: int = 128
    depth: int = 3
    images: int = 24
    seed: int = 0


class Problem(NamedTuple):
    """A network with its parameters, inputs (N, d), targets -1 or 1 (N, 1), and its tangent kernel (N, N) there."""

    apply: Apply
    params: Any
    x: Float[ndarray, "N d"]
    y: Float[ndarray, "N 1"]
    gram: Float[ndarray, "N N"]


class Walk(NamedTuple):
    """How far and in which steps to go: ``pace``, rows per ``batch``, and the time in ``units``."""

    pace: float = 1.0
    batch: int = 4
    units: float = 1.5


def problem(task: Task, contradictions: int = 0) -> Problem:
    """The network and digits of ``task``; the last ``contradictions`` images repeat the first with the other label.

    >>> problem(Task(width=8, images=4)).gram.shape
    (4, 4)
    """
    act, net = get(task.activation), _network(task)
    part = train_test(digits(2 * task.images, seed=task.seed), test_fraction=0.5).train
    x, y = unit_norm(part.x), np.where(part.y % 2, 1.0, -1.0)[:, None]
    if contradictions:
        x[-contradictions:], y[-contradictions:] = x[:contradictions], -y[:contradictions]
    params = init(jax.random.key(task.seed), net, x.shape[1])

    def outputs(p: Any, rows: Any) -> Any:
        return apply(p, act, net, rows)

    return Problem(outputs, params, x, y, np.asarray(dense_ntk(params, act, net, x))[:, :, 0, 0])


def infinite_gram(task: Task, x: Float[ndarray, "N d"]) -> Float[ndarray, "N N"]:
    """The tangent kernel of ``task`` at infinite width (Eq. 5 and 6)."""
    net = _network(task)
    found = kernels(get(task.activation), jnp.asarray(x), sigma_b=net.sigma_b, sigma_w=net.sigma_w, depth=net.depth)
    return np.asarray(found.ntk)


def start(given: Problem) -> Float[ndarray, " N"]:
    """The residual f_0(X) - Y."""
    return np.asarray(given.apply(given.params, jnp.asarray(given.x)) - given.y)[:, 0]


def plan(given: Problem, walk: Walk) -> tuple[float, int]:
    """(learning rate, number of steps) of a walk.

    >>> plan(problem(Task(width=8, images=4)), Walk(pace=0.5, units=2.0))[1]
    16
    """
    mean = float(np.mean(np.diag(given.gram)))
    return walk.pace / mean, round(walk.units * len(given.x) / walk.pace)


def runs(
    given: Problem, walk: Walk, keys: Key[jax.Array, " S"], steps: Counts, *, linear: bool = False
) -> Float[ndarray, "S T N"]:
    """Residuals (S, T, N) of SGD on the network, or on its linearisation, with the same batches for the same keys."""
    rate, _ = plan(given, walk)
    function = linearise(given.apply, given.params) if linear else given.apply
    found = sgd(
        function, given.params, given.x, given.y, rate=rate, batch=walk.batch, steps=np.asarray(steps), keys=keys
    )
    return found.train[..., 0] - given.y[:, 0]


def descent(given: Problem, walk: Walk, steps: Counts) -> Float[ndarray, "T N"]:
    """Residuals of gradient descent on the network."""
    found = gradient_descent(
        given.apply, given.params, given.x, given.y, rate=plan(given, walk)[0], steps=np.asarray(steps)
    )
    return found.train[..., 0] - given.y[:, 0]


class Paths(NamedTuple):
    """At ``time`` (T,), in units: residuals of the gradient ``flow`` and of gradient ``descent``, both with the kernel
    at rest, of ``runs`` of the network and its linearisation, and the ``predicted`` spread with the network's kernel
    and with that of infinite width."""

    time: Float[ndarray, " T"]
    flow: Float[ndarray, "T N"]
    descent: Float[ndarray, "T N"]
    runs: Float[ndarray, "two S T N"]
    predicted: Float[ndarray, "two T"]


def paths(task: Task, walk: Walk, *, seeds: int = 32, moments_seen: int = 13) -> Paths:
    """SGD with ``seeds`` streams of batches from one start, beside what the kernel says about it.

    >>> paths(Task(width=8, images=4), Walk(units=1.0), seeds=2, moments_seen=2).runs.shape
    (2, 2, 2, 4)
    """
    given = problem(task)
    rate, last = plan(given, walk)
    steps = np.unique(np.linspace(0, last, moments_seen).round().astype(int))
    keys = jax.random.split(jax.random.key(task.seed + 1), seeds)
    found = np.stack([runs(given, walk, keys, steps, linear=linear) for linear in (False, True)])
    exact = [
        moments(gram, start(given), rate=rate, batch=walk.batch, steps=steps)
        for gram in (given.gram, infinite_gram(task, given.x))
    ]
    flow = dynamics.flow(dynamics.decompose(given.gram), steps * rate)
    still = np.asarray(dynamics.residuals(flow, given.y, given.y + start(given)[:, None]))[..., 0]
    predicted = np.stack([spread(one.covariance) for one in exact])
    return Paths(steps * walk.pace / task.images, still, exact[0].mean, found, predicted)


class Predicted(NamedTuple):
    """At the end of W walks, with the kernel at rest: the exact ``spread``, its leading ``law``, and the distance
    ``lag`` of the mean from the gradient flow, root mean square over inputs."""

    spread: Float[ndarray, " W"]
    law: Float[ndarray, " W"]
    lag: Float[ndarray, " W"]


def predicted(given: Problem, walks: Sequence[Walk]) -> Predicted:
    """What the network's kernel at the start says of each walk.

    >>> found = predicted(problem(Task(width=8, images=4)), [Walk(1e-2), Walk(5e-3)])
    >>> round(float(found.lag[0] / found.lag[1]), 1)
    2.0
    """
    rows, begin, spectrum = [], start(given), dynamics.decompose(given.gram)
    for walk in walks:
        rate, last = plan(given, walk)
        found = moments(given.gram, begin, rate=rate, batch=walk.batch, steps=[last])
        law = np.sqrt(rate / walk.batch) * spread_law(given.gram, begin, [rate * last])[0]
        flow = dynamics.residuals(dynamics.flow(spectrum, rate * last), 0 * given.y, begin[:, None])
        lag = np.sqrt(np.mean((found.mean[0] - np.asarray(flow)[0, :, 0]) ** 2))
        rows.append((float(spread(found.covariance[0])), float(law), float(lag)))
    return Predicted(*np.array(rows).T)


def _network(task: Task) -> Network:
    act, sigma_b = get(task.activation), SIGMA_B.get(task.activation, 0.2)
    return Network(task.width, task.depth, sigma_b, eoc_points(act, sigma_b)[0].sigma_w)
