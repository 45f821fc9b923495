"""The training step: SGD on a deep network as two loops over its layers, updated in place.

Arrays carry a seed axis S, so that several networks train as one; every loop is outside it. Everything is float32
also when JAX is set to 64 bits. The backward pass is written out rather than differentiated, because the weights of a
layer can then be replaced as soon as its gradient is known: no stack of gradients exists, the only intermediate
that grows with depth is one pre-activation per layer, and the program has one size at every depth.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float32, Int32

from ntk_eoc.activations import Function, PReLU, get
from ntk_eoc.networks import Dense


class Weights(NamedTuple):
    """Of S networks: first layer (S, d, n), hidden stack (H, S, n, n), last layer (S, n, o), slopes (H + 1, S).

    The slopes are those of PReLU, one for each activation; other activations carry them unread.
    """

    first: Dense
    hidden: Dense
    last: Dense
    slopes: Float32[Array, "H1 S"]


class Kind(NamedTuple):
    """What shapes the program: the activation, and whether layers add to their input."""

    phi: Function
    residual: bool


class Rates(NamedTuple):
    """Rate of each group of ``Weights``, and the momentum; traced, so a sweep over rates compiles once."""

    weights: Weights
    momentum: Float32[Array, ""]


class Tally(NamedTuple):
    """Of the epoch so far: summed loss and count of correct rows, and the first step of non-finite loss (-1: none)."""

    loss: Float32[Array, " S"]
    correct: Int32[Array, " S"]
    bad: Int32[Array, " S"]


class State(NamedTuple):
    """What a step changes. ``velocity`` is None without momentum."""

    weights: Weights
    velocity: Weights | None
    tally: Tally


@lru_cache(maxsize=64)
def kind(activation: str, residual: bool) -> Kind:
    """The program's kind, one object for one name: JAX compiles anew for a new function."""
    return Kind(get(activation).phi, residual)


def head(z: Float32[Array, "S B o"], label: Int32[Array, "S B"]) -> tuple[Array, Array, Array]:
    """Cross-entropy of each row, (S, B), its gradient in the logits, (S, B, o), and whether the row is right.

    Rows of label -1 are padding: loss, gradient and correctness are zero there.
    """
    log_p = jax.nn.log_softmax(z)
    target = jax.nn.one_hot(label, z.shape[-1], dtype=z.dtype)
    real = (label >= 0)[..., None]
    return -(log_p * target).sum(-1), jnp.where(real, jnp.exp(log_p) - target, 0.0), z.argmax(-1) == label


def dense(layer: Dense, h: Array) -> Array:
    """h W + b for each of S networks, (S, B, fan_in) -> (S, B, fan_out)."""
    return h @ layer.weight + layer.bias[:, None]


def forward(kind: Kind, w: Weights, x: Array, *, keep: bool) -> tuple[Array, Array, Array | None]:
    """Logits (S, B, o), and the pre-activations of the last hidden layer, (S, B, n), and those before, (H, S, B, n).

    The last of them, which only a backward pass needs, are None unless ``keep``.
    """

    def up(y: Array, layer: tuple[Dense, Array]) -> tuple[Array, Array | None]:
        z = dense(layer[0], _phi(kind, y, layer[1]))
        return (y + z if kind.residual else z), y if keep else None

    y, below = lax.scan(up, dense(w.first, x), (w.hidden, w.slopes[:-1]))
    z = dense(w.last, _phi(kind, y, w.slopes[-1]))
    return (y[..., : z.shape[-1]] + z if kind.residual else z), y, below


def sgd_step(kind: Kind, rates: Rates, state: State, x: Float32[Array, "S B d"], label: Int32[Array, "S B"]) -> State:
    """One step of SGD on the mean cross-entropy of the rows that are no padding, from the back to the front."""
    (w, v, tally), fixed = state, rates.weights
    z, y, below = forward(kind, w, x, keep=True)
    assert below is not None
    loss, g, correct = head(z, label)
    g = g / (label >= 0).sum(-1)[:, None, None].astype(z.dtype)
    last, slope, g = _backward(kind, w.last, w.slopes[-1], y, g)

    def down(i: Array, carry: tuple[Any, Array]) -> tuple[Any, Array]:
        stacks, g = carry
        at = len(below) - 1 - i
        here = _at(stacks, at)
        layer, learned = here[0]
        hidden, slope, g = _backward(kind, layer, learned, _at(below, at), g)
        # Never true, but XLA cannot know: all reading comes before the writing, so it need not copy the stack
        # (which would take longer than all products together).
        at = jnp.where(g[0, 0, 0] > jnp.inf, at + 1, at)
        new = _descend(here, (hidden, slope), (fixed.hidden, fixed.slopes), rates.momentum)
        return jax.tree.map(lambda a, b: lax.dynamic_update_index_in_dim(a, b, at, 0), stacks, new), g

    stacks = (w.hidden, w.slopes), v and (v.hidden, v.slopes)
    if len(below):
        stacks, g = lax.fori_loop(0, len(below), down, (stacks, g))
    ends = (w.first, w.last, w.slopes[-1]), v and (v.first, v.last, v.slopes[-1])
    grads = _gradient(x, g), last, slope
    ends = _descend(ends, grads, (fixed.first, fixed.last, fixed.slopes), rates.momentum)
    new, velocity = (_joined(*parts) for parts in zip(ends, stacks, strict=True))
    return State(new, velocity, _count(tally, loss.sum(-1), correct.sum(-1, dtype=jnp.int32)))


def _joined(ends: tuple | None, stacks: tuple | None) -> Any:
    if ends is None or stacks is None:
        return None
    (first, last, slope), (hidden, slopes) = ends, stacks
    return Weights(first, hidden, last, slopes.at[-1].set(slope))


def _phi(kind: Kind, y: Array, slope: Array) -> Array:
    """phi(y), (S, B, n); PReLU's slope is one number for each seed, (S,)."""
    return kind.phi(y, slope[:, None, None]) if isinstance(kind.phi, PReLU) else kind.phi(y)


def _at(tree: Any, i: Array) -> Any:
    return jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, i, keepdims=False), tree)


def _gradient(h: Array, g: Array) -> Dense:
    """The gradient in a layer's weight and bias, given its input h and the gradient g in its output."""
    return Dense(jnp.einsum("sbi,sbj->sij", h, g), g.sum(1))


def _backward(kind: Kind, layer: Dense, slope: Array, y: Array, g: Array) -> tuple[Dense, Array, Array]:
    """Through dense(phi(y, slope)): gradients in the layer, the slope, and y, given the one in the output."""
    h, pull = jax.vjp(lambda y, slope: _phi(kind, y, slope), y, slope)
    below, slopes = pull(jnp.einsum("sbj,sij->sbi", g, layer.weight))
    if kind.residual:
        below = below + jnp.pad(g, ((0, 0), (0, 0), (0, y.shape[-1] - g.shape[-1])))
    return _gradient(h, g), slopes, below


def _descend(state: tuple, grads: tuple, rates: tuple, momentum: Array) -> tuple:
    """(weights, velocity) one step on; the velocity is None where there is no momentum."""
    w, v = state
    if v is not None:
        grads = v = jax.tree.map(lambda v, g: momentum * v + g, v, grads)
    return jax.tree.map(lambda w, g, rate: w - rate * g, w, grads, rates), v


def _count(tally: Tally, loss: Array, correct: Array) -> Tally:
    return Tally(tally.loss + loss, tally.correct + correct, tally.bad)
