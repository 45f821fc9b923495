"""The training step: SGD on a deep network as two loops over its layers, updated in place.

Arrays carry a seed axis S, so that several networks train as one; every loop is outside it. Everything is float32
also when JAX is set to 64 bits. The backward pass is written out rather than differentiated, because the weights of a
few layers can then be replaced as soon as their gradients are known: no stack of gradients exists, the only
intermediate that grows with depth is one pre-activation per layer, and the program has one size at every depth.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float32, Int32

from ntk_eoc.activations import Function, PReLU, get
from ntk_eoc.networks import Dense

# Layers whose gradients come from one batched product, which XLA spreads over the cores; one alone it does not.
BLOCK = 4


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


def forward(kind: Kind, w: Weights, x: Float32[Array, "S B d"]) -> Float32[Array, "S B o"]:
    """The logits."""
    y, _ = lax.scan(lambda y, here: (_up(kind, *here, y), None), dense(w.first, x), (w.hidden, w.slopes[:-1]))
    return _logits(kind, w, y)


def _climb(kind: Kind, w: Weights, x: Array) -> Float32[Array, "H1 S B n"]:
    """The pre-activations of every layer but the last, which a backward pass needs."""

    def up(rows: Array, here: tuple[Dense, Array, Array]) -> tuple[Array, None]:
        layer, slope, i = here
        return lax.dynamic_update_index_in_dim(rows, _up(kind, layer, slope, _at(rows, i)), i + 1, 0), None

    y, hidden = dense(w.first, x), len(w.hidden.weight)
    rows = jnp.zeros((hidden + 1, *y.shape), y.dtype).at[0].set(y)
    return lax.scan(up, rows, (w.hidden, w.slopes[:-1], jnp.arange(hidden)))[0]


def sgd_step(kind: Kind, rates: Rates, state: State, x: Float32[Array, "S B d"], label: Int32[Array, "S B"]) -> State:
    """One step of SGD on the mean cross-entropy of the rows that are no padding, from the back to the front."""
    (w, v, tally), fixed = state, rates.weights
    rows = _climb(kind, w, x)
    z = _logits(kind, w, rows[-1])
    loss, error, correct = head(z, label)
    error = error / (label >= 0).sum(-1)[:, None, None].astype(z.dtype)
    h, slope, g = _backward(kind, w.last.weight, w.slopes[-1], rows[-1], error)

    def block(start: Array | int, size: int, carry: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
        """Through ``size`` layers: first the chain of their gradients g, then all their weights at once."""
        stack, speed, g = carry

        def down(g: Array, at: Array) -> tuple[Array, tuple[Array, Array, Array]]:
            layers, slopes = stack
            h, slope, below = _backward(kind, _at(layers.weight, at), _at(slopes, at), _at(rows, at), g)
            return below, (h, g, slope)

        below, (h, g, slope) = lax.scan(down, g, start + jnp.arange(size), reverse=True)
        start, moves = _after(below, start), (_gradient(h, g), slope)
        if speed is not None:
            speed = _put(speed, start, _faster(rates, _cut(speed, start, size), moves))
            start = _after(speed[1], start)
            moves = _cut(speed, start, size)
        moved = _moved(_cut(stack, start, size), moves, (fixed.hidden, fixed.slopes))
        return _put(stack, start, moved), speed, below

    carry = (w.hidden, w.slopes), v and (v.hidden, v.slopes), g
    hidden = len(w.hidden.weight)
    blocks, rest = divmod(hidden, BLOCK)
    if blocks:
        carry = lax.fori_loop(0, blocks, lambda i, carry: block(hidden - BLOCK * (i + 1), BLOCK, carry), carry)
    stack, speed, g = block(0, rest, carry) if rest else carry
    moves = _gradient(x, g), _gradient(h, error), slope
    if v is not None and speed is not None:
        moves = _faster(rates, (v.first, v.last, v.slopes[-1]), moves)
        v = _joined(moves, speed)
    ends = _moved((w.first, w.last, w.slopes[-1]), moves, (fixed.first, fixed.last, fixed.slopes))
    return State(_joined(ends, stack), v, _count(tally, loss.sum(-1), correct.sum(-1, dtype=jnp.int32)))


def _joined(ends: tuple, stack: tuple) -> Weights:
    (first, last, slope), (hidden, slopes) = ends, stack
    return Weights(first, hidden, last, slopes.at[-1].set(slope))


def _phi(kind: Kind, y: Array, slope: Array) -> Array:
    """phi(y), (S, B, n); PReLU's slope is one number for each seed, (S,)."""
    return kind.phi(y, slope[:, None, None]) if isinstance(kind.phi, PReLU) else kind.phi(y)


def _up(kind: Kind, layer: Dense, slope: Array, y: Array) -> Array:
    """Through a hidden layer, from its pre-activations to those of the next."""
    z = dense(layer, _phi(kind, y, slope))
    return y + z if kind.residual else z


def _logits(kind: Kind, w: Weights, y: Array) -> Array:
    z = dense(w.last, _phi(kind, y, w.slopes[-1]))
    return y[..., : z.shape[-1]] + z if kind.residual else z


def _backward(kind: Kind, weight: Array, slope: Array, y: Array, g: Array) -> tuple[Array, Array, Array]:
    """Through dense(phi(y, slope)): phi(y, slope), and the gradients in the slope and y, given g in the output."""
    h, pull = jax.vjp(lambda y, slope: _phi(kind, y, slope), y, slope)
    below, slopes = pull(jnp.einsum("sbj,sij->sbi", g, weight))
    if kind.residual:
        below = below + jnp.pad(g, ((0, 0), (0, 0), (0, y.shape[-1] - g.shape[-1])))
    return h, slopes, below


def _gradient(h: Array, g: Array) -> Dense:
    """The gradient in the weight and bias of a layer, or a stack of them, given its input h and g in its output."""
    return Dense(jnp.einsum("...bi,...bj->...ij", h, g), g.sum(-2))


def _at(tree: Any, i: Array | int) -> Any:
    return jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, i, keepdims=False), tree)


def _cut(tree: Any, start: Array | int, size: int) -> Any:
    return jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, size), tree)


def _put(tree: Any, start: Array | int, new: Any) -> Any:
    return jax.tree.map(lambda a, b: lax.dynamic_update_slice_in_dim(a, b, start, 0), tree, new)


def _after(done: Array, start: Array | int) -> Array:
    """``start``, but only once ``done`` is there.

    The condition is never true, which XLA cannot know: what is read or written at ``start`` waits for ``done``, so a
    stack can be replaced in its own memory. A copy of it would take longer than all products together.
    """
    return jnp.where(done[(0,) * done.ndim] > jnp.inf, start + 1, start)


def _faster(rates: Rates, velocity: tuple, gradient: tuple) -> tuple:
    return jax.tree.map(lambda v, g: rates.momentum * v + g, velocity, gradient)


def _moved(weights: tuple, moves: tuple, rates: tuple) -> tuple:
    return jax.tree.map(lambda w, move, rate: w - rate * move, weights, moves, rates)


def _count(tally: Tally, loss: Array, correct: Array) -> Tally:
    return Tally(tally.loss + loss, tally.correct + correct, tally.bad)
