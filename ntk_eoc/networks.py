"""Random networks of finite width: the definition that every kernel of this package idealises.

Nothing here knows a Gaussian expectation or a kernel recursion, so agreement with them is evidence. All
layers have one width n; the depth L counts every dense layer. With h^1 = x and h^l = phi(y^{l-1}):

    dense^l = sigma_w / sqrt(fan_in) W^l h^l + sigma_b b^l,   W^l, b^l standard normal   (NTK, Eq. 2-3)
    dense^l = W^l h^l + b^l,   W^l ~ N(0, sigma_w^2 / fan_in),  b^l ~ N(0, sigma_b^2)     (standard)

    ffnn:      y^l = dense^l
    residual:  y^1 = dense^1,   y^l = y^{l-1} + dense^l  for every l >= 2, the last one included

The paper's residual recursion has no read-out layer, so the o outputs here are the first o coordinates of
y^L: the last layer computes only those, which needs o <= n. Activations act elementwise and have no
parameters of their own (PReLU's learned slopes are not covered). Computation follows the dtype of the
inputs; a GPU may round float32 products further (``jax.default_matmul_precision``).
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Float, PRNGKeyArray

from ntk_eoc.activations import Activation, Function
from ntk_eoc.errors import check_choice, check_sigma

Inputs = Float[Array, "N d"] | ArrayLike
Sigmas = tuple[float | Array, float | Array]  # (sigma_b, sigma_w)


@dataclass(frozen=True)
class Network:
    """Width n, depth L (number of dense layers), standard deviations sigma_b and sigma_w, and architecture.

    The architecture is ffnn or residual. Raises ``ValueError`` on construction if a field is out of range.

    >>> Network(width=64, depth=3, sigma_b=0.2, sigma_w=1.3).architecture
    'ffnn'
    """

    width: int
    depth: int
    sigma_b: float
    sigma_w: float
    architecture: str = "ffnn"

    def __post_init__(self) -> None:
        """Refuse what is no network here, so that no other function has to."""
        _count("width", self.width)
        _count("depth", self.depth)
        check_sigma("sigma_b", self.sigma_b)
        check_sigma("sigma_w", self.sigma_w)
        check_choice("architecture", self.architecture, ("ffnn", "residual"))


class Dense(NamedTuple):
    """A dense layer, or a stack of them along a leading axis: weight (fan_in, fan_out), bias (fan_out,)."""

    weight: Float[Array, "*stack fan_in fan_out"]
    bias: Float[Array, "*stack fan_out"]


@partial(jax.tree_util.register_dataclass, data_fields=["first", "hidden", "last"], meta_fields=["kind"])
@dataclass(frozen=True)
class Params:
    """A pytree: first layer (d, n), hidden stack (L-2, n, n), last layer (n, o).

    At depth 1 the first layer is (d, o), the stack is empty and ``last`` is None. ``kind``, ntk or standard,
    is static and travels with the numbers, so weights of one kind cannot be applied as the other.
    """

    first: Dense
    hidden: Dense
    last: Dense | None
    kind: str


class MomentBand(NamedTuple):
    """Mean over independent networks and the standard error of that mean, each of shape (L, N, N)."""

    mean: Float[Array, "L N N"]
    standard_error: Float[Array, "L N N"]


def init(
    key: PRNGKeyArray,
    net: Network,
    d_in: int,
    d_out: int = 1,
    *,
    parameterisation: str = "ntk",
    dtype: DTypeLike | None = None,
) -> Params:
    """Random parameters of ``net`` for inputs in R^d_in and d_out outputs.

    One key gives the same function in both parameterisations, ``"ntk"`` and ``"standard"``. ``dtype`` is
    JAX's own float unless given. Raises ``ValueError`` for counts below 1, an unknown parameterisation, or a
    residual network with more outputs than its width.

    >>> params = init(jax.random.key(0), Network(8, 5, 0.1, 1.5), d_in=3)
    >>> params.first.weight.shape, params.hidden.weight.shape, params.last.weight.shape
    ((3, 8), (3, 8, 8), (8, 1))
    """
    kind = check_choice("parameterisation", parameterisation, ("ntk", "standard"))
    n_in, n_out = _count("d_in", d_in), _count("d_out", d_out)
    if net.architecture == "residual" and net.depth > 1 and n_out > net.width:
        raise ValueError(f"d_out: expected at most the width {net.width} of a residual network, got {n_out}")

    def draw(key: PRNGKeyArray, fan_in: int, fan_out: int) -> Dense:
        layer = _draw(key, fan_in, fan_out, jnp.result_type(float) if dtype is None else dtype)
        if kind == "ntk":
            return layer
        return Dense(layer.weight * (net.sigma_w / math.sqrt(fan_in)), layer.bias * net.sigma_b)

    keys = jax.random.split(key, net.depth)
    first = draw(keys[0], n_in, n_out if net.depth == 1 else net.width)
    hidden = jax.vmap(lambda k: draw(k, net.width, net.width))(keys[1:-1])
    return Params(first, hidden, draw(keys[-1], net.width, n_out) if net.depth > 1 else None, kind)


def apply(params: Params, act: Activation, net: Network, x: Inputs) -> Float[Array, "N o"]:
    """The outputs y^L(x), (N, o), of one network on the rows of x, (N, d); differentiable in params and x.

    Parameters are cast to the dtype of ``x``. Raises ``ValueError`` if ``x`` is not (N, d) and finite or
    does not fit ``params``, or ``params`` do not fit ``net``; ``TypeError`` if ``x`` is not floating-point.

    >>> from ntk_eoc.activations import NAMED
    >>> net = Network(8, 5, 0.1, 1.5, "residual")
    >>> apply(init(jax.random.key(0), net, 3), NAMED["tanh"], net, jnp.ones((4, 3))).shape
    (4, 1)
    """
    x = _inputs(x)
    _check_fit(params, net, x.shape[1])
    return _forward(params, x, *_parts(act, net))


def layer_moments(key: PRNGKeyArray, act: Activation, net: Network, x: Inputs) -> Float[Array, "L N N"]:
    """Empirical covariances y^l(x) . y^l(x') / n of one random network at every layer l = 1, ..., L.

    These are what q^l(x, x') describes as n grows. The network is that of ``init(key, net, d, n)``, but each
    layer is drawn when it is reached, so only one is in memory. Errors are those of ``apply``.

    >>> from ntk_eoc.activations import NAMED
    >>> layer_moments(jax.random.key(0), NAMED["relu"], Network(8, 5, 0.0, 1.4), jnp.ones((4, 3))).shape
    (5, 4, 4)
    """
    return _moments(key, _inputs(x), *_parts(act, net))


def moment_band(key: PRNGKeyArray, act: Activation, net: Network, x: Inputs, *, seeds: int = 64) -> MomentBand:
    """Monte Carlo over ``seeds`` independent networks: mean and standard error of ``layer_moments``.

    The standard error is sqrt(sample variance / seeds). It measures the scatter between networks only: the
    expectation at finite width differs from q^l by a term of order l / n where phi is not linear. Keeps
    seeds L N^2 numbers. Raises ``ValueError`` if ``seeds`` is below 2, and as ``apply`` does.

    >>> from ntk_eoc.activations import NAMED
    >>> band = moment_band(jax.random.key(0), NAMED["identity"], Network(64, 3, 0.0, 1.0), jnp.ones((1, 4)))
    >>> bool(jnp.all(jnp.abs(band.mean - 1.0) < 6 * band.standard_error))
    True
    """
    keys = jax.random.split(key, _count("seeds", seeds, least=2))
    return _band(keys, _inputs(x), *_parts(act, net))


def _parts(act: Activation, net: Network) -> tuple[Sigmas, Function, Network]:
    """What is traced, and what shapes the program: a sweep over the sigmas compiles once."""
    return (float(net.sigma_b), float(net.sigma_w)), act.phi, replace(net, sigma_b=0.0, sigma_w=0.0)


def _draw(key: PRNGKeyArray, fan_in: int, fan_out: int, dtype: DTypeLike) -> Dense:
    # One draw for both: compiling the generator takes longer than running it.
    z = jax.random.normal(key, (fan_in + 1, fan_out), dtype)
    return Dense(z[:-1], z[-1])


def _dense(layer: Dense, h: Array, sigmas: Sigmas | None) -> Array:
    """Standard weights carry their scale, and then ``sigmas`` is None."""
    if sigmas is None:
        return h @ layer.weight + layer.bias
    return sigmas[1] / math.sqrt(h.shape[-1]) * (h @ layer.weight) + sigmas[0] * layer.bias


def _step(y: Array, layer: Dense, sigmas: Sigmas | None, phi: Function, net: Network) -> Array:
    """y^{l-1} -> y^l for l >= 2; where a residual layer has fewer outputs, the first coordinates stay."""
    branch = _dense(layer, phi(y), sigmas)
    return y[:, : branch.shape[1]] + branch if net.architecture == "residual" else branch


@partial(jax.jit, static_argnames=("phi", "net"))
def _forward(params: Params, x: Array, sigmas: Sigmas, phi: Function, net: Network) -> Float[Array, "N o"]:
    params = jax.tree.map(lambda leaf: leaf.astype(x.dtype), params)
    scales = sigmas if params.kind == "ntk" else None
    y = _dense(params.first, x, scales)
    if params.last is None:
        return y
    y, _ = jax.lax.scan(lambda y, layer: (_step(y, layer, scales, phi, net), None), y, params.hidden)
    return _step(y, params.last, scales, phi, net)


@partial(jax.jit, static_argnames=("phi", "net"))
def _moments(key: Array, x: Array, sigmas: Sigmas, phi: Function, net: Network) -> Float[Array, "L N N"]:
    def body(y: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        y = _step(y, _draw(key, net.width, net.width, x.dtype), sigmas, phi, net)
        return y, y @ y.T / net.width

    keys = jax.random.split(key, net.depth)
    y = _dense(_draw(keys[0], x.shape[1], net.width, x.dtype), x, sigmas)
    return jnp.concatenate([(y @ y.T / net.width)[None], jax.lax.scan(body, y, keys[1:])[1]])


@partial(jax.jit, static_argnames=("phi", "net"))
def _band(keys: Array, x: Array, sigmas: Sigmas, phi: Function, net: Network) -> MomentBand:
    samples = jax.lax.map(lambda key: _moments(key, x, sigmas, phi, net), keys)
    return MomentBand(samples.mean(axis=0), samples.std(axis=0, ddof=1) / math.sqrt(len(keys)))


def _count(name: str, value: object, least: int = 1) -> int:
    if not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected a whole number, at least {least}, got {value!r}")
    return int(value)


def _inputs(x: ArrayLike) -> Array:
    """``x`` as an array; its values are checked only where they are known, outside a trace."""
    if jnp.ndim(x) != 2 or 0 in jnp.shape(x):
        raise ValueError(f"x: expected inputs of shape (N, d), N and d at least 1, got shape {jnp.shape(x)}")
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise TypeError(f"x: expected floating-point inputs, got dtype {jnp.result_type(x)}")
    if not isinstance(x, jax.core.Tracer) and not np.isfinite(x).all():
        raise ValueError("x: expected finite inputs, got NaN or infinity")
    return jnp.asarray(x)


def _check_fit(params: Params, net: Network, d: int) -> None:
    d_in, width = params.first.weight.shape
    if d_in != d:
        raise ValueError(f"x: expected inputs in R^{d_in}, for which params were made, got R^{d}")
    made = (1, net.width) if params.last is None else (params.hidden.weight.shape[0] + 2, width)
    if made != (net.depth, net.width):
        raise ValueError(f"params: expected (depth, width) {(net.depth, net.width)} of net, got {made}")
