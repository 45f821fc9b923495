"""What a network is made of: its description, one dense layer, and the step from one layer to the next."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Float, PRNGKeyArray

from ntk_eoc.activations import Activation, Function, PReLU
from ntk_eoc.errors import check_choice, check_inputs_fit, check_sigma, plain

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
        check_count("width", self.width)
        check_count("depth", self.depth)
        check_sigma("sigma_b", self.sigma_b)
        check_sigma("sigma_w", self.sigma_w)
        check_choice("architecture", self.architecture, ("ffnn", "residual"))


class Dense(NamedTuple):
    """A dense layer, or a stack of them along a leading axis: weight (fan_in, fan_out), bias (fan_out,)."""

    weight: Float[Array, "*stack fan_in fan_out"]
    bias: Float[Array, "*stack fan_out"]


def draw(key: PRNGKeyArray, fan_in: int, fan_out: int, dtype: DTypeLike) -> Dense:
    """Standard normal weights and biases. One draw for both: compiling the generator takes longer than running it."""
    z = jax.random.normal(key, (fan_in + 1, fan_out), dtype)
    return Dense(z[:-1], z[-1])


def dense(layer: Dense, h: Array, sigmas: Sigmas | None) -> Array:
    """dense^l of h; standard weights carry their scale, and then ``sigmas`` is None."""
    if sigmas is None:
        return h @ layer.weight + layer.bias
    return sigmas[1] / math.sqrt(h.shape[-1]) * (h @ layer.weight) + sigmas[0] * layer.bias


def step(y: Array, layer: Dense, slope: Array | None, sigmas: Sigmas | None, phi: Function, net: Network) -> Array:
    """y^{l-1} -> y^l for l >= 2; where a residual layer has fewer outputs, the first coordinates stay.

    ``slope`` is what PReLU has learned at layer l - 1; None stands for its first value, and for any other phi.
    """
    h = phi(y, slope) if isinstance(phi, PReLU) else phi(y)
    branch = dense(layer, h, sigmas)
    return y[:, : branch.shape[1]] + branch if net.architecture == "residual" else branch


def parts(act: Activation, net: Network) -> tuple[Sigmas, Function, Network]:
    """What is traced, and what shapes the program: a sweep over the sigmas compiles once."""
    return (float(net.sigma_b), float(net.sigma_w)), act.phi, replace(net, sigma_b=0.0, sigma_w=0.0)


def check_count(name: str, value: object, least: int = 1) -> int:
    """A whole number, at least ``least``."""
    if not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected a whole number, at least {least}, got {value!r}")
    return int(value)


def check_inputs(x: ArrayLike) -> Array:
    """``x`` as an array; its values are checked only where they are known, outside a trace."""
    x = x if isinstance(x, jax.Array | np.ndarray) else plain("x", x)
    if jnp.ndim(x) != 2 or 0 in jnp.shape(x):
        raise ValueError(f"x: expected inputs of shape (N, d), N and d at least 1, got shape {jnp.shape(x)}")
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise TypeError(f"x: expected floating-point inputs, got dtype {jnp.result_type(x)}")
    array = jnp.asarray(x)
    check_inputs_fit("x", array)
    return array
