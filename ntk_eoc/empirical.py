"""The tangent kernel of one network with finitely many parameters: Eq. 4 of the paper.

    K(x, x')_{c c'} = sum over the parameters theta of  df_c(x)/dtheta  df_c'(x')/dtheta,

an o x o block for each pair of inputs; each row of outputs may depend on its own row of inputs only. Two ways:

``empirical_ntk`` takes any parameters and any function, and contracts Jacobians, a block of rows at a time.

``dense_ntk`` uses that a dense layer y = a W h + s b has the gradients a h g^T and s g, with g the gradient by y. Its
part of Eq. 4 is (a^2 h.h' + s^2) g.g': one pass forwards, one backwards, and no gradient by a weight is ever formed.

The precision is that of the inputs; a GPU may round float32 products further (``jax.default_matmul_precision``).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, PyTree

from ntk_eoc.errors import Scalar, number

Inputs = Float[Array, "N ..."] | ArrayLike
Block = Callable[[Array, Array | None], PyTree]  # the kernel of two blocks of inputs, or of one with itself
MEMORY = 2**29  # bytes


def empirical_ntk(
    apply: Callable[[Any, Array], Array],
    params: PyTree,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    memory: Scalar = MEMORY,
    by_leaf: bool = False,
) -> PyTree[Float[Array, "N M o o"]]:
    """Eq. 4 between the rows of x1 and x2 (x1 if None) for outputs ``apply(params, x)`` of shape (N, o).

    With ``by_leaf``, one kernel for each leaf of ``params``, in the same tree; their sum is the whole. A kernel per
    layer is a tree with one leaf per layer. Jacobians take at most ``memory`` bytes at a time, the result apart.
    Reuse one ``apply``: a new function is compiled anew. Raises ``ValueError`` if the memory is too small for two rows.

    >>> empirical_ntk(lambda w, x: x @ w, jnp.ones((2, 1)), jnp.array([[3.0, 4.0], [1.0, 0.0]]))[:, :, 0, 0].tolist()
    [[25.0, 3.0], [3.0, 1.0]]
    """
    x1, x2 = _both(x1, x2)
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(params)]
    if not leaves or not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        raise TypeError(f"params: expected floating-point arrays, got {[str(leaf.dtype) for leaf in leaves]}")
    out = jax.eval_shape(apply, params, x1)
    if out.ndim != 2 or len(out) != len(x1):
        raise ValueError(f"apply: expected outputs of shape ({len(x1)}, o), got {out.shape}")
    o, size = out.shape[1], max(leaf.dtype.itemsize for leaf in leaves)
    # two Jacobians, and each leaf's once more while it is turned for its contraction
    per_row = 2 * o * size * (sum(leaf.size for leaf in leaves) + max(leaf.size for leaf in leaves))
    rows = _rows_within(memory, per_row, (len(leaves) + 2) * o * o * size)
    return _by_blocks(partial(_jacobian_block, apply, params, by_leaf), x1, x2, rows)


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
    x1, x2 = _both(x1, x2)
    last = params.first if params.last is None else params.last
    made = (1 if params.last is None else len(params.hidden.weight) + 2, params.first.weight.shape[0])
    if made != (net.depth, x1.shape[-1]) or x1.ndim != 2:
        raise ValueError(
            f"params: made for depth {made[0]} and inputs in R^{made[1]}, got depth {net.depth} and inputs of "
            f"shape {x1.shape}"
        )
    o, width, size = last.weight.shape[1], params.first.weight.shape[1], x1.dtype.itemsize
    per_row = 2 * size * (net.depth * width + 4 * (o + 1) * max(width, made[1]))
    rows = _rows_within(memory, per_row, (4 + by_layer * net.depth) * o * o * size)
    scales = (float(net.sigma_w), float(net.sigma_b)) if params.kind == "ntk" else None
    residual = net.architecture == "residual"
    block = partial(_dense_block, params, scales, phi=act.phi, residual=residual, by_layer=by_layer)
    return _by_blocks(block, x1, x2, rows)


@partial(jax.jit, static_argnums=(0, 2))
def _jacobian_block(
    apply: Callable[[Any, Array], Array], params: PyTree, by_leaf: bool, x1: Array, x2: Array | None
) -> PyTree:
    """Each example's Jacobian, then one matrix product for each leaf."""

    def jacobian(row: Array) -> PyTree:
        return jax.jacrev(lambda p: apply(p, row[None])[0])(params)

    first = jax.vmap(jacobian)(x1)
    second = first if x2 is None else jax.vmap(jacobian)(x2)
    flat = partial(jax.tree.map, lambda leaf: leaf.reshape(*leaf.shape[:2], -1))
    parts = jax.tree.map(_inner, flat(first), flat(second))
    return parts if by_leaf else sum(jax.tree.leaves(parts))


@partial(jax.jit, static_argnames=("phi", "residual", "by_layer"))
def _dense_block(
    params: Any,
    scales: tuple[float | Array, float | Array] | None,
    x1: Array,
    x2: Array | None,
    *,
    phi: Callable[[Array], Array],
    residual: bool,
    by_layer: bool,
) -> Array:
    params = jax.tree.map(lambda leaf: leaf.astype(x1.dtype), params)

    def scale(layer: Any) -> tuple[float | Array, float | Array]:
        return (1.0, 1.0) if scales is None else (scales[0] / math.sqrt(layer.weight.shape[0]), scales[1])

    def dense(layer: Any, h: Array) -> Array:
        a, s = scale(layer)
        return a * (h @ layer.weight) + s * layer.bias

    def up(y: Array, layer: Any) -> tuple[Array, Array]:
        return (y if residual else 0.0) + dense(layer, phi(y)), y

    def part(layer: Any, inputs: list[Array], signals: list[Array]) -> Array:
        a, s = scale(layer)
        overlap = a**2 * (inputs[0] @ inputs[-1].T) + s**2
        return overlap[:, :, None, None] * _inner(signals[0], signals[-1])

    def pull(layer: Any, slope: Array, signal: Array) -> Array:
        """The gradient by the pre-activations below a layer, from that by its outputs."""
        through = scale(layer)[0] * slope[:, None, :] * (signal @ layer.weight.T)
        skipped = jnp.pad(signal, ((0, 0), (0, 0), (0, through.shape[2] - signal.shape[2])))
        return through + skipped if residual else through

    def down(carry: tuple[list[Array], Array], layer_and_ys: tuple[Any, list[Array]]) -> tuple[Any, Any]:
        (signals, total), (layer, ys) = carry, layer_and_ys
        pairs = [jax.jvp(phi, (y,), (jnp.ones_like(y),)) for y in ys]
        new = part(layer, [h for h, _ in pairs], signals)
        signals = [pull(layer, slope, signal) for (_, slope), signal in zip(pairs, signals, strict=True)]
        return (signals, total + new), new if by_layer else None

    xs = [x1] if x2 is None else [x1, x2]
    last = params.first if params.last is None else params.last
    o = last.weight.shape[1]
    signals = [jnp.broadcast_to(jnp.eye(o, dtype=x1.dtype), (len(x), o, o)) for x in xs]
    if params.last is None:
        whole = part(params.first, xs, signals)
        return whole[None] if by_layer else whole
    tops, below = zip(*(jax.lax.scan(up, dense(params.first, x), params.hidden) for x in xs), strict=True)
    zero = jnp.zeros((len(xs[0]), len(xs[-1]), o, o), x1.dtype)
    carry, end = down((signals, zero), (params.last, list(tops)))
    (signals, total), middle = jax.lax.scan(down, carry, (params.hidden, list(below)), reverse=True)
    start = part(params.first, xs, signals)
    return jnp.concatenate([start[None], middle, end[None]]) if by_layer else total + start


def _inner(first: Float[Array, "N o p"], second: Float[Array, "M o p"]) -> Float[Array, "N M o o"]:
    (n, o, p), m = first.shape, len(second)
    return (first.reshape(n * o, p) @ second.reshape(m * o, p).T).reshape(n, o, m, o).transpose(0, 2, 1, 3)


def _rows_within(memory: Scalar, per_row: int, per_pair: int) -> int:
    """The most rows b on each side with b per_row + b^2 per_pair bytes in ``memory``."""
    limit, least = int(min(number("memory", memory), 2**62)), per_row + per_pair
    if limit < least:
        raise ValueError(f"memory: expected at least {least} bytes, for one row on each side, got {limit}")
    return (math.isqrt(per_row**2 + 4 * per_pair * limit) - per_row) // (2 * per_pair)


def _by_blocks(kernel: Block, x1: Array, x2: Array | None, rows: int) -> PyTree:
    """``kernel`` on blocks of equal size, up to ``rows``, so that it is compiled once; mirrored where x2 is None."""
    n, m = len(x1), len(x1 if x2 is None else x2)
    if max(n, m) <= rows:
        return kernel(x1, x2)
    left = _split(x1, rows)
    right = left if x2 is None else _split(x2, rows)
    table: list[list[PyTree]] = []
    for i, a in enumerate(left):
        mirrored = [jax.tree.map(_transpose, table[j][i]) for j in range(i)] if x2 is None else []
        own = [kernel(a, None)] if x2 is None else []
        done = len(mirrored) + len(own)
        table.append(mirrored + own + [kernel(a, b) for b in right[done:]])
    lines = [jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-3), *line) for line in table]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-4)[..., :n, :m, :, :], *lines)


def _transpose(block: Float[Array, "*L N M o o"]) -> Float[Array, "*L M N o o"]:
    return block.swapaxes(-4, -3).swapaxes(-2, -1)


def _split(x: Array, rows: int) -> list[Array]:
    """Blocks of one size; the last is filled up with copies of the last row."""
    count = -(-len(x) // rows)
    size = -(-len(x) // count)
    return jnp.split(jnp.concatenate([x, jnp.repeat(x[-1:], count * size - len(x), axis=0)]), count)


def _both(x1: ArrayLike, x2: ArrayLike | None) -> tuple[Array, Array | None]:
    x1, x2 = _inputs("x1", x1), None if x2 is None else _inputs("x2", x2)
    if x2 is not None and x1.shape[1:] != x2.shape[1:]:
        raise ValueError(f"x2: expected inputs of shape {x1.shape[1:]} as in x1, got {x2.shape[1:]}")
    return x1, x2


def _inputs(name: str, x: ArrayLike) -> Array:
    """``x`` as an array with a row per input; its values are checked only where they are known, outside a trace."""
    array = jnp.asarray(x)
    if array.ndim < 2 or 0 in array.shape:
        raise ValueError(f"{name}: expected inputs of shape (N, d), N and d at least 1, got shape {array.shape}")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name}: expected floating-point inputs, got dtype {array.dtype}")
    if not isinstance(array, jax.core.Tracer) and not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite inputs, got NaN or infinity")
    return array
