"""The tangent kernel of a network of dense layers, layer by layer, without a gradient by a weight.

A dense layer y = a W h + s b has the gradients a h g^T and s g, with g the gradient by y. Its part of Eq. 4 is
(a^2 h.h' + s^2) g.g': one pass forwards and one backwards. A slope c that the layer's input h = phi(y; c) learned adds
r r', where r = sum_i (dh_i/dc) (gradient by h_i) is one number for each output.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ntk_eoc.empirical.blocks import MEMORY, Inputs, by_blocks, check_both, inner, rows_within
from ntk_eoc.errors import Scalar


def dense_ntk(
    params: Any,
    act: Any,
    net: Any,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    memory: Scalar = MEMORY,
    by_layer: bool = False,
) -> Float[Array, "*L N M o o"]:
    """Eq. 4 for a network of dense layers, with or without skip connections, layer by layer.

    ``params``, ``act`` and ``net`` are Params, Activation and Network as in ``networks.apply``, in either
    parameterisation. With ``by_layer`` a leading axis holds the parts of the layers 1..L, which sum to the whole.
    Working memory is at most ``memory`` bytes, the result apart. Raises ``ValueError`` if ``net`` or the inputs do not
    fit ``params``, or if the memory is too small for two rows.

    >>> from ntk_eoc.activations import NAMED
    >>> from ntk_eoc.networks import Network, init
    >>> net = Network(8, 3, 0.1, 1.5)
    >>> params = init(jax.random.key(0), net, 3, 2)
    >>> dense_ntk(params, NAMED["tanh"], net, jnp.ones((4, 3)), by_layer=True).shape
    (3, 4, 4, 2, 2)
    """
    x1, x2 = check_both(x1, x2)
    last = params.first if params.last is None else params.last
    made = (1 if params.last is None else len(params.hidden.weight) + 2, params.first.weight.shape[0])
    if made != (net.depth, x1.shape[-1]) or x1.ndim != 2:
        raise ValueError(
            f"params: made for depth {made[0]} and inputs in R^{made[1]}, got depth {net.depth} and inputs of "
            f"shape {x1.shape}"
        )
    needed = net.depth - 1 if hasattr(act.phi, "slope") else 0  # a phi with a slope of its own learns it
    learned = 0 if params.slopes is None else len(params.slopes)
    if learned != needed:
        raise ValueError(f"params: expected {needed} learned slopes for {act.name}, got {learned}")
    o, width, size = last.weight.shape[1], params.first.weight.shape[1], x1.dtype.itemsize
    per_row = 2 * size * (net.depth * width + 4 * (o + 1) * max(width, made[1]))
    rows = rows_within(memory, per_row, (4 + by_layer * net.depth) * o * o * size)
    scales = (float(net.sigma_w), float(net.sigma_b)) if params.kind == "ntk" else None
    residual = net.architecture == "residual"
    block = partial(_dense_block, params, scales, phi=act.phi, residual=residual, by_layer=by_layer)
    return by_blocks(block, x1, x2, rows)


class _Jet(NamedTuple):
    """h = phi(y) and its derivatives by y and by the learned slope, if there is one."""

    value: Array
    by_y: Array
    by_slope: Array | None


@partial(jax.jit, static_argnames=("phi", "residual", "by_layer"))
def _dense_block(
    params: Any,
    scales: tuple[float | Array, float | Array] | None,
    x1: Array,
    x2: Array | None,
    *,
    phi: Callable[..., Array],
    residual: bool,
    by_layer: bool,
) -> Array:
    params = jax.tree.map(lambda leaf: leaf.astype(x1.dtype), params)

    def scale(layer: Any) -> tuple[float | Array, float | Array]:
        return (1.0, 1.0) if scales is None else (scales[0] / math.sqrt(layer.weight.shape[0]), scales[1])

    def dense(layer: Any, h: Array) -> Array:
        a, s = scale(layer)
        return a * (h @ layer.weight) + s * layer.bias

    def up(y: Array, layer_and_slope: tuple[Any, Array | None]) -> tuple[Array, Array]:
        layer, slope = layer_and_slope
        return (y if residual else 0.0) + dense(layer, phi(y) if slope is None else phi(y, slope)), y

    def part(layer: Any, inputs: list[Array], signals: list[Array]) -> Array:
        a, s = scale(layer)
        overlap = a**2 * (inputs[0] @ inputs[-1].T) + s**2
        return overlap[:, :, None, None] * inner(signals[0], signals[-1])

    def pull(back: Array, jet: _Jet, signal: Array) -> Array:
        """The gradient by y, from those by h = phi(y) and, where there is a skip connection, by the outputs."""
        through = back * jet.by_y[:, None]
        if not residual:
            return through
        return through + jnp.pad(signal, ((0, 0), (0, 0), (0, through.shape[2] - signal.shape[2])))

    def down(carry: tuple[list[Array], Array], below: tuple[Any, Array | None, list[Array]]) -> tuple[Any, Any]:
        """From the gradients by a layer's outputs to those by the pre-activations ``ys`` below it; adds its part."""
        (signals, total), (layer, slope, ys) = carry, below
        jets = [_jet(phi, y, slope) for y in ys]
        new = part(layer, [jet.value for jet in jets], signals)
        backs = [scale(layer)[0] * (signal @ layer.weight.T) for signal in signals]  # gradients by h
        if slope is not None:
            moved = [jnp.einsum("noi,ni->no", back, jet.by_slope) for back, jet in zip(backs, jets, strict=True)]
            new = new + moved[0][:, None, :, None] * moved[-1][None, :, None, :]
        signals = [pull(*each) for each in zip(backs, jets, signals, strict=True)]
        return (signals, total + new), new if by_layer else None

    xs = [x1] if x2 is None else [x1, x2]
    last = params.first if params.last is None else params.last
    o = last.weight.shape[1]
    signals = [jnp.broadcast_to(jnp.eye(o, dtype=x1.dtype), (len(x), o, o)) for x in xs]
    if params.last is None:
        whole = part(params.first, xs, signals)
        return whole[None] if by_layer else whole
    slopes, slope = (None, None) if params.slopes is None else (params.slopes[:-1], params.slopes[-1])
    tops, ys = zip(*(jax.lax.scan(up, dense(params.first, x), (params.hidden, slopes)) for x in xs), strict=True)
    zero = jnp.zeros((len(xs[0]), len(xs[-1]), o, o), x1.dtype)
    carry, end = down((signals, zero), (params.last, slope, list(tops)))
    (signals, total), middle = jax.lax.scan(down, carry, (params.hidden, slopes, list(ys)), reverse=True)
    start = part(params.first, xs, signals)
    return jnp.concatenate([start[None], middle, end[None]]) if by_layer else total + start


def _jet(phi: Callable[..., Array], y: Array, slope: Array | None) -> _Jet:
    """phi at y with its derivatives, by the slope too where it is learned."""
    if slope is None:
        value, by_y = jax.jvp(phi, (y,), (jnp.ones_like(y),))
        return _Jet(value, by_y, None)
    value, by_y = jax.jvp(lambda y: phi(y, slope), (y,), (jnp.ones_like(y),))
    return _Jet(value, by_y, jax.jvp(lambda slope: phi(y, slope), (slope,), (jnp.ones_like(slope),))[1])
