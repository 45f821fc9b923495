"""The parameters of one network, and the function that they are the parameters of."""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, PRNGKeyArray, PyTree

from ntk_eoc.activations import Activation, Function, PReLU
from ntk_eoc.errors import check_choice
from ntk_eoc.networks.layers import Dense, Inputs, Network, Sigmas, check_count, check_inputs, dense, parts, step
from ntk_eoc.networks.layers import draw as draw_layer

DATA, STATIC = ("first", "hidden", "last", "slopes"), ("kind",)


@partial(jax.tree_util.register_dataclass, data_fields=DATA, meta_fields=STATIC)
@dataclass(frozen=True)
class Params:
    """A pytree: first layer (d, n), hidden stack (L-2, n, n), last layer (n, o), and PReLU's slopes (L-1,).

    At depth 1 the first layer is (d, o), the stack is empty and ``last`` is None. ``kind``, ntk or standard,
    is static and travels with the numbers, so weights of one kind cannot be applied as the other. ``slopes`` is None
    where the activation learns nothing; slopes[l-1] belongs to hidden layer l.
    """

    first: Dense
    hidden: Dense
    last: Dense | None
    kind: str
    slopes: PyTree = None  # an array or None; a tree is also rebuilt with other things for leaves, such as shapes


def init(
    key: PRNGKeyArray,
    net: Network,
    d_in: int,
    d_out: int = 1,
    *,
    act: Activation | None = None,
    parameterisation: str = "ntk",
    dtype: DTypeLike | None = None,
) -> Params:
    """Random parameters of ``net`` for inputs in R^d_in and d_out outputs.

    One key gives the same function in both parameterisations, ``"ntk"`` and ``"standard"``. The activation ``act``
    is needed for PReLU only, whose slopes start at its own. ``dtype`` is JAX's own float unless given. Raises
    ``ValueError`` for counts below 1, an unknown parameterisation, or a residual network with more outputs than its
    width.

    >>> from ntk_eoc.activations import get
    >>> params = init(jax.random.key(0), Network(8, 5, 0.1, 1.5), d_in=3, act=get("prelu:0.1"))
    >>> params.first.weight.shape, params.hidden.weight.shape, params.last.weight.shape
    ((3, 8), (3, 8, 8), (8, 1))
    >>> params.slopes.round(3).tolist()
    [0.1, 0.1, 0.1, 0.1]
    """
    kind = check_choice("parameterisation", parameterisation, ("ntk", "standard"))
    n_in, n_out = check_count("d_in", d_in), check_count("d_out", d_out)
    if net.architecture == "residual" and net.depth > 1 and n_out > net.width:
        raise ValueError(f"d_out: expected at most the width {net.width} of a residual network, got {n_out}")
    dtype = jnp.result_type(float) if dtype is None else dtype

    def draw(key: PRNGKeyArray, fan_in: int, fan_out: int) -> Dense:
        layer = draw_layer(key, fan_in, fan_out, dtype)
        if kind == "ntk":
            return layer
        return Dense(layer.weight * (net.sigma_w / math.sqrt(fan_in)), layer.bias * net.sigma_b)

    keys = jax.random.split(key, net.depth)
    first = draw(keys[0], n_in, n_out if net.depth == 1 else net.width)
    hidden = jax.vmap(lambda k: draw(k, net.width, net.width))(keys[1:-1])
    last = draw(keys[-1], net.width, n_out) if net.depth > 1 else None
    phi = None if act is None else act.phi
    slopes = jnp.full(net.depth - 1, phi.slope, dtype) if isinstance(phi, PReLU) else None
    return Params(first, hidden, last, kind, slopes)


def apply(params: Params, act: Activation, net: Network, x: Inputs) -> Float[Array, "N o"]:
    """The outputs y^L(x), (N, o), of one network on the rows of x, (N, d); differentiable in params and x.

    Parameters are cast to the dtype of ``x``. Raises ``ValueError`` if ``x`` is not (N, d) and finite or
    does not fit ``params``, or ``params`` do not fit ``net`` or ``act``; ``TypeError`` if ``x`` is not floating-point.

    >>> from ntk_eoc.activations import NAMED
    >>> net = Network(8, 5, 0.1, 1.5, "residual")
    >>> apply(init(jax.random.key(0), net, 3), NAMED["tanh"], net, jnp.ones((4, 3))).shape
    (4, 1)
    """
    x = check_inputs(x)
    _check_fit(params, act, net, x.shape[1])
    return _forward(params, x, *parts(act, net))


@partial(jax.jit, static_argnames=("phi", "net"))
def _forward(params: Params, x: Array, sigmas: Sigmas, phi: Function, net: Network) -> Float[Array, "N o"]:
    params = jax.tree.map(lambda leaf: leaf.astype(x.dtype), params)
    scales = sigmas if params.kind == "ntk" else None
    y = dense(params.first, x, scales)
    if params.last is None:
        return y
    below, top = (None, None) if params.slopes is None else (params.slopes[:-1], params.slopes[-1])

    def body(y: Array, layer_and_slope: tuple[Dense, Array | None]) -> tuple[Array, None]:
        return step(y, *layer_and_slope, scales, phi, net), None

    y, _ = jax.lax.scan(body, y, (params.hidden, below))
    return step(y, params.last, top, scales, phi, net)


def _check_fit(params: Params, act: Activation, net: Network, d: int) -> None:
    d_in, width = params.first.weight.shape
    if d_in != d:
        raise ValueError(f"x: expected inputs in R^{d_in}, for which params were made, got R^{d}")
    made = (1, net.width) if params.last is None else (params.hidden.weight.shape[0] + 2, width)
    if made != (net.depth, net.width):
        raise ValueError(f"params: expected (depth, width) {(net.depth, net.width)} of net, got {made}")
    needed = net.depth - 1 if isinstance(act.phi, PReLU) else 0
    learned = 0 if params.slopes is None else params.slopes.shape[0]
    if learned != needed:
        raise ValueError(f"params: expected {needed} learned slopes for {act.name} (see init's act), got {learned}")
