"""Many independent networks and their tangent kernels: draws, Monte Carlo, and what the infinite width predicts.

Parameters are drawn by NumPy's legacy generator, whose stream never changes, and not by ``networks.init``: compiling
JAX's generator for every shape takes far longer than these networks do. The distribution is the same (the tests compare
them), and so are the shapes, which are asked of ``init``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float64
from numpy import ndarray

from ntk_eoc.activations import Activation, get
from ntk_eoc.data import digits, unit_norm
from ntk_eoc.empirical import dense_ntk
from ntk_eoc.gaussian import pair
from ntk_eoc.kernels import State, first_layer, kernels, layer_by_layer
from ntk_eoc.meanfield import eoc_points, limit_variance
from ntk_eoc.networks import Dense, Network, Params, apply, init

Kinds = Sequence[tuple[Activation, Network]]
NUMBERS = 2**21  # parameters in memory at a time


def images(count: int) -> Float64[Array, "N d"]:
    """``count`` digits scaled to norm(x)^2 = d, so that q^1(x, x) = sigma_b^2 + sigma_w^2.

    >>> images(3).shape
    (3, 64)
    """
    return jnp.asarray(unit_norm(digits(count).x))


def settled(act: Activation, net: Network, x: Float[Array, "N d"]) -> Float64[Array, "N d"]:
    """Inputs of ``images`` scaled so that the variance is at its fixed point from the first layer on.

    >>> net = edge("tanh", width=8, depth=5)
    >>> parts = layer_kernels(get("tanh"), net, settled(get("tanh"), net, images(1)))
    >>> (parts / parts[-1]).ravel().round(6).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    q = limit_variance(act, sigma_b=net.sigma_b, sigma_w=net.sigma_w)
    return x * ((q - net.sigma_b**2) / net.sigma_w**2) ** 0.5


def edge(activation: str, *, width: int, depth: int, architecture: str = "ffnn") -> Network:
    """A network whose weights are those of the Edge of Chaos: sigma_b = 0.2, or 0 where the edge asks for it (ReLU).

    A residual network takes the same two numbers: what differs is the skip connection alone.

    >>> round(edge("relu", width=8, depth=3).sigma_w, 9)
    1.414213562
    """
    act = get(activation)
    sigma_b = 0.0 if act.slopes else 0.2
    return Network(width, depth, sigma_b, eoc_points(act, sigma_b)[0].sigma_w, architecture)


def draw(net: Network, d: int, *, seeds: int, seed: int = 0) -> Iterator[Params]:
    """Parameters of ``seeds`` networks for inputs in R^d, one output, NTK parameterisation: stacks, all of one length.

    Network number s is the same whatever ``seeds`` is, and whatever the activation and the sigmas are.

    >>> [stack.first.weight.shape for stack in draw(Network(8, 3, 0.1, 1.5), 4, seeds=5)]
    [(5, 4, 8)]
    """
    shapes = jax.eval_shape(lambda: init(jax.random.key(0), net, d))
    leaves, tree = jax.tree.flatten(shapes)
    ends = np.cumsum([leaf.size for leaf in leaves])
    count = -(-seeds // -(-seeds * int(ends[-1]) // NUMBERS))  # as even as possible
    generator = np.random.RandomState([seed, net.depth, net.width])
    for first in range(0, seeds, count):
        flat = np.zeros((count, ends[-1]))  # the last stack is filled up with networks that nobody looks at
        kept = min(count, seeds - first)
        flat[:kept] = generator.standard_normal((kept, ends[-1]))
        parts = zip(np.split(flat, ends[:-1], axis=1), leaves, strict=True)
        yield jax.tree.unflatten(tree, [jnp.asarray(part.reshape(count, *leaf.shape)) for part, leaf in parts])


def ensemble(
    act: Activation, net: Network, x: Float[Array, "N d"], *, seeds: int, seed: int = 0, by_layer: bool = False
) -> Float64[ndarray, "S *L N N"]:
    """The kernels of Eq. 4 of ``seeds`` independent networks with one output; with ``by_layer``, layers 1..L apart.

    >>> ensemble(get("relu"), Network(8, 3, 0.0, 1.4), images(2), seeds=5, by_layer=True).shape
    (5, 3, 2, 2)
    """
    stacks = draw(net, x.shape[1], seeds=seeds, seed=seed)
    return np.concatenate([np.asarray(kernels_of(stack, x, act, net, by_layer)) for stack in stacks])[:seeds]


def ensembles(kinds: Kinds, x: Float[Array, "N d"], *, seeds: int, seed: int = 0) -> Float64[ndarray, "K S N N"]:
    """``ensemble`` for several kinds of networks of one width and depth, which share every draw.

    >>> kinds = [(get(name), edge(name, width=8, depth=3)) for name in ("relu", "tanh")]
    >>> ensembles(kinds, images(2), seeds=5).shape
    (2, 5, 2, 2)
    """
    if len({(net.width, net.depth) for _, net in kinds}) != 1:
        raise ValueError("kinds: expected networks of one width and depth, got several")
    stacks = draw(kinds[0][1], x.shape[1], seeds=seeds, seed=seed)
    found = [[np.asarray(kernels_of(stack, x, act, net)) for act, net in kinds] for stack in stacks]
    return np.concatenate(found, axis=1)[:, :seeds]


@partial(jax.jit, static_argnames=("act", "net", "by_layer"))
def kernels_of(stack: Params, x: Array, act: Activation, net: Network, by_layer: bool = False) -> Array:
    """Eq. 4 for each network of a stack, with one output."""
    return jax.lax.map(lambda params: dense_ntk(params, act, net, x, by_layer=by_layer)[..., 0, 0], stack)


def gradient_norms(
    act: Activation, net: Network, x: Float[Array, "N d"], *, seeds: int, seed: int = 0
) -> Float64[ndarray, "S L"]:
    """norm(df/dy^l)^2 at every layer l, averaged over the inputs: backpropagation, without the kernel's formulas.

    >>> gradient_norms(get("tanh"), Network(8, 3, 0.2, 1.3), images(2), seeds=5)[:, -1].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    stacks = draw(net, x.shape[1], seeds=seeds, seed=seed)
    return np.concatenate([np.asarray(_norms(stack, x, act, net)) for stack in stacks])[:seeds]


@partial(jax.jit, static_argnames=("act", "net"))
def _norms(stack: Params, x: Array, act: Activation, net: Network) -> Array:
    def norms(params: Params, row: Array) -> Array:
        # in the standard parameterisation y^l = W h + b: the derivative by a bias is that by y^l
        slope = jax.grad(lambda p: apply(p, act, net, row[None])[0, 0])(standard(params, net))
        biases = [slope.first.bias[None], slope.hidden.bias, slope.last.bias[None]]
        return jnp.concatenate([jnp.sum(b**2, axis=-1) for b in biases])

    return jax.lax.map(lambda params: jnp.mean(jax.vmap(partial(norms, params))(x), axis=0), stack)


def standard(params: Any, net: Network) -> Any:
    """The same function in the standard parameterisation, which carries the sigmas in the parameters."""

    def scaled(layer: Dense) -> Dense:
        return Dense(layer.weight * net.sigma_w / layer.weight.shape[-2] ** 0.5, layer.bias * net.sigma_b)

    layers = {name: scaled(getattr(params, name)) for name in ("first", "hidden", "last")}
    return replace(params, kind="standard", **layers)


def limit(act: Activation, net: Network, x: Float[Array, "N d"]) -> Float64[ndarray, "N N"]:
    """The kernel of infinite width that Eq. 6 promises to ``net``."""
    sigmas: dict[str, Any] = {"sigma_b": net.sigma_b, "sigma_w": net.sigma_w}
    return np.asarray(kernels(act, x, depth=net.depth, architecture=net.architecture, **sigmas).ntk)


def layer_kernels(act: Activation, net: Network, x: Float[Array, "N d"]) -> Float64[ndarray, "L N N"]:
    """What layers 1..L add to the kernel at infinite width: (q^l - skipped) prod_{k > l} (qdot^k + skip).

    ``skip`` is 1 and ``skipped`` q^{l-1} (l > 1) in a residual network, else both are 0. Their sum is K^L.

    >>> layer_kernels(get("relu"), Network(8, 3, 0.0, 2**0.5), images(1)).ravel().round(12).tolist()
    [2.0, 2.0, 2.0]
    """
    sigmas: dict[str, Any] = {"sigma_b": net.sigma_b, "sigma_w": net.sigma_w}
    start = first_layer(x, x, **sigmas)
    depths = range(1, net.depth + 1)
    states = layer_by_layer(act, start, depths, architecture=net.architecture, **sigmas)
    skip = float(net.architecture == "residual")
    q = np.array([_covariance(state) for state in states])
    own = np.concatenate([q[:1], q[1:] - skip * q[:-1]])
    slopes = [pair(act, s.q1, s.q2, s.delta).slope_product for s in states[:-1]]
    gates = [net.sigma_w**2 * np.asarray(slope) + skip for slope in slopes]
    above = np.cumprod([np.ones_like(q[0]), *gates[::-1]], axis=0)[::-1]
    return own * above


def _covariance(state: State) -> ndarray:
    return np.asarray(jnp.sqrt(state.q1 * state.q2) * (1.0 - state.delta))
