"""Gradient descent against the gradient flow that it follows (Eq. 1 and 2 of the paper), and how large a step may be.

For the linear model everything is exact: of its share of the residual, an eigenvalue lambda keeps (1 - eta lambda/N)^k
after k steps and exp(-lambda t/N) at time t = k eta. Their difference is -(eta t/2)(lambda/N)^2 exp(-lambda t/N) to
first order in eta. A network of finite width has its own flow, integrated here by a method of fourth order.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64, PyTree
from numpy import ndarray

from ntk_eoc.dynamics import Spectrum, descent, flow, stability_bound
from ntk_eoc.experiments.linear_training import Config, function, network, own_kernel, task
from ntk_eoc.networks import init
from ntk_eoc.optimise import Apply, Diverged, gradient_descent, linearise


class Start(NamedTuple):
    """One network before training: function, parameters, spectrum of its own NTK (N o), residual f_0 - Y flattened to
    (N o, 1), and the learning rate ``bound`` at which descent with that kernel turns unstable."""

    function: Apply
    params: PyTree
    spectrum: Spectrum
    residual: Any
    bound: float


def start(config: Config, width: int, seed: int = 0) -> Start:
    """A network with the given seed, and what its linearisation needs."""
    data, net = task(config), network(config, width)
    params, apply = init(jax.random.key(seed), net, data.x.shape[1], data.y.shape[1]), function(config.activation, net)
    spectrum, _ = own_kernel(config, net, params, data)
    residual = (apply(params, jnp.asarray(data.x)) - data.y).reshape(-1, 1)
    return Start(apply, params, spectrum, residual, stability_bound(spectrum) / data.y.shape[1])


@partial(jax.jit, static_argnums=0)
def gradient_flow(apply: Apply, params: PyTree, x: Any, y: Any, time: Any, pieces: Any) -> PyTree:
    """Parameters at ``time`` of the flow d theta/dt = -dLoss/d theta: Runge and Kutta's method of order 4.

    >>> line, one = (lambda w, x: x * w), jnp.ones((1, 1))
    >>> float(gradient_flow(line, jnp.zeros(1), one, one, 1.0, 64)[0].round(8))  # 1 - exp(-1)
    0.63212056
    """
    step = time / pieces

    def loss(p: PyTree) -> Any:
        return jnp.sum((apply(p, x) - y) ** 2) / (2 * len(x))

    def moved(p: PyTree, slope: PyTree, length: Any) -> PyTree:
        return jax.tree.map(lambda a, b: a - length * b, p, slope)

    def once(_: Any, p: PyTree) -> PyTree:
        k1 = jax.grad(loss)(p)
        k2 = jax.grad(loss)(moved(p, k1, step / 2))
        k3 = jax.grad(loss)(moved(p, k2, step / 2))
        k4 = jax.grad(loss)(moved(p, k3, step))
        return moved(p, jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, k1, k2, k3, k4), step)

    return jax.lax.fori_loop(0, pieces, once, params)


class StepErrors(NamedTuple):
    """Norms of f_descent - f_flow at one time, for R learning ``rates`` over the bound: of the ``network``, of the
    ``linear`` model with its kernel at the start, and the latter's ``derived`` leading term."""

    rates: Float64[ndarray, " R"]
    network: Float64[ndarray, " R"]
    linear: Float64[ndarray, " R"]
    derived: Float64[ndarray, " R"]


def step_errors(
    config: Config, width: int, steps: tuple[int, ...] = (8, 16, 32, 64, 128), time: float = 4.0, seed: int = 0
) -> StepErrors:
    """The error of descent on the training inputs at ``time`` (in units of the stability bound), in several ``steps``.

    >>> found = step_errors(Config("erf", 2, images=10), 32, steps=(64, 128))
    >>> float((found.linear / found.derived)[-1].round(2))
    1.0
    """
    begin, data = start(config, width, seed), task(config)
    span, o = time * begin.bound, data.y.shape[1]
    rates, values = span / np.array(steps), begin.spectrum.values * o / len(begin.spectrum.values)
    with_flow = gradient_flow(begin.function, begin.params, data.x, data.y, span, 2 * steps[-1])
    target = begin.function(with_flow, jnp.asarray(data.x))
    network, linear, derived = [], [], []
    share = (begin.spectrum.vectors.T @ begin.residual)[:, 0]
    for count, rate in zip(steps, rates, strict=True):
        run = gradient_descent(begin.function, begin.params, data.x, data.y, rate=rate, steps=[count])
        network.append(np.linalg.norm(run.train[0] - target))
        moved = descent(begin.spectrum, count, rate=o * rate).kept - flow(begin.spectrum, o * span).kept
        linear.append(np.linalg.norm(moved[0] * share))
        derived.append(np.linalg.norm(rate * span / 2 * values**2 * np.exp(-values * span) * share))
    return StepErrors(rates / begin.bound, *(np.array(part) for part in (network, linear, derived)))


class Bound(NamedTuple):
    """Size of the residual's part along the largest eigenvector of the kernel at the start, over that at the start,
    after ``steps`` (T,) with learning rates of R ``shares`` of the bound: linear model and network, (R, T)."""

    shares: Float64[ndarray, " R"]
    steps: Float64[ndarray, " T"]
    linear: Float64[ndarray, "R T"]
    network: Float64[ndarray, "R T"]


def around_the_bound(config: Config, width: int, shares: tuple[float, ...], steps: int = 40, seed: int = 0) -> Bound:
    """Train with learning rates on both sides of the stability bound, the network and its linearisation.

    What diverges keeps what was recorded before; the rest is infinity.

    >>> found = around_the_bound(Config("erf", 2, images=10), 32, (0.9, 1.1), steps=10)
    >>> (found.linear[:, 1] / found.linear[:, 0]).round(6).tolist()
    [0.8, 1.2]
    """
    begin, data, moments = start(config, width, seed), task(config), np.arange(steps + 1)
    top = np.asarray(begin.spectrum.vectors[:, -1])
    found = []
    for apply in (linearise(begin.function, begin.params), begin.function):
        rows = [_largest_part(apply, begin, data, share * begin.bound, moments, top) for share in shares]
        found.append(np.array(rows))
    return Bound(np.array(shares), moments.astype(float), *found)


def _largest_part(apply: Apply, begin: Start, data: Any, rate: float, moments: ndarray, top: ndarray) -> ndarray:
    try:
        run = gradient_descent(apply, begin.params, data.x, data.y, rate=rate, steps=moments)
    except Diverged as error:
        run = error.run
    sizes = np.abs((run.train - data.y).reshape(len(run.steps), -1) @ top)
    return np.pad(sizes / sizes[0], (0, len(moments) - len(sizes)), constant_values=np.inf)
