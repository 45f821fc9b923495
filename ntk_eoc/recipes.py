"""An initialisation as code to paste: PyTorch, Flax and Keras, filled with the numbers.

Every recipe builds the network of ``depth`` dense layers that the numbers are for, with weights
N(0, sigma_w^2/fan_in) and biases N(0, sigma_b^2), and names ``inputs``, ``outputs`` and ``width`` to change. With a
residual connection the layers between the first and the last are added to what they act on.
"""

import math
from string import Template

from ntk_eoc.activations import get
from ntk_eoc.errors import Scalar, check_depth, check_sigma

# Each activation as an expression of x in each framework; GELU in its exact form.
EXPRESSIONS: dict[str, tuple[str, str, str]] = {
    "relu": ("F.relu(x)", "jax.nn.relu(x)", "ops.relu(x)"),
    "leaky_relu": ("F.leaky_relu(x, $slope)", "jax.nn.leaky_relu(x, $slope)", "ops.leaky_relu(x, $slope)"),
    "prelu": ("F.leaky_relu(x, $slope)", "jax.nn.leaky_relu(x, $slope)", "ops.leaky_relu(x, $slope)"),
    "elu": ("F.elu(x)", "jax.nn.elu(x)", "ops.elu(x)"),
    "selu": ("F.selu(x)", "jax.nn.selu(x)", "ops.selu(x)"),
    "tanh": ("torch.tanh(x)", "jnp.tanh(x)", "ops.tanh(x)"),
    "erf": ("torch.erf(x)", "jax.scipy.special.erf(x)", "ops.erf(x)"),
    "sigmoid": ("torch.sigmoid(x)", "jax.nn.sigmoid(x)", "ops.sigmoid(x)"),
    "softplus": ("F.softplus(x)", "jax.nn.softplus(x)", "ops.softplus(x)"),
    "silu": ("F.silu(x)", "jax.nn.silu(x)", "ops.silu(x)"),
    "gelu": ("F.gelu(x)", "jax.nn.gelu(x, approximate=False)", "ops.gelu(x, approximate=False)"),
    "sin": ("torch.sin(x)", "jnp.sin(x)", "ops.sin(x)"),
    "hard_tanh": ("F.hardtanh(x)", "jnp.clip(x, -1, 1)", "ops.clip(x, -1, 1)"),
    "identity": ("x", "x", "x"),
}

PYTORCH = """\
import math

import torch
from torch import nn
from torch.nn import functional as F

# $headline
SIGMA_W, SIGMA_B = $sigma_w, $sigma_b


def phi(x):
    return $phi


class Network(nn.Module):
    def __init__(self, inputs, outputs, width=$width, depth=$depth):
        super().__init__()
        sizes = [inputs] + [width] * (depth - 1) + [outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=SIGMA_W / math.sqrt(layer.in_features))
            nn.init.normal_(layer.bias, std=SIGMA_B)

    def forward(self, x):  # $scaling
        y = self.layers[0](x)
        for layer in self.layers[1:-1]:
            y = ${skip}layer(phi(y))
        return self.layers[-1](phi(y))
"""

FLAX = """\
import math

import jax
import jax.numpy as jnp
from flax import nnx

# $headline
SIGMA_W, SIGMA_B = $sigma_w, $sigma_b


def phi(x):
    return $phi


def dense(fan_in, fan_out, rngs):
    weights = nnx.initializers.normal(SIGMA_W / math.sqrt(fan_in))
    return nnx.Linear(fan_in, fan_out, kernel_init=weights, bias_init=nnx.initializers.normal(SIGMA_B), rngs=rngs)


class Network(nnx.Module):
    def __init__(self, inputs, outputs, width=$width, depth=$depth, *, rngs):
        sizes = [inputs] + [width] * (depth - 1) + [outputs]
        self.layers = nnx.List([dense(a, b, rngs) for a, b in zip(sizes, sizes[1:])])

    def __call__(self, x):  # $scaling
        y = self.layers[0](x)
        for layer in self.layers[1:-1]:
            y = ${skip}layer(phi(y))
        return self.layers[-1](phi(y))
"""

KERAS = """\
import math

import keras
from keras import ops

# $headline
SIGMA_W, SIGMA_B = $sigma_w, $sigma_b


def phi(x):
    return $phi


def dense(x, units):
    weights = keras.initializers.RandomNormal(stddev=SIGMA_W / math.sqrt(x.shape[-1]))
    biases = keras.initializers.RandomNormal(stddev=SIGMA_B)
    return keras.layers.Dense(units, kernel_initializer=weights, bias_initializer=biases)(x)


def network(inputs, outputs, width=$width, depth=$depth):
    x = keras.Input((inputs,))  # $scaling
    y = dense(x, width)
    for _ in range(depth - 2):
        y = ${skip}dense(keras.layers.Activation(phi)(y), width)
    return keras.Model(x, dense(keras.layers.Activation(phi)(y), outputs))
"""

TEMPLATES = {"pytorch": PYTORCH, "flax": FLAX, "keras": KERAS}
PLAIN_WIDTH = 256


def recipes(
    activation: str,
    *,
    depth: int,
    sigma_b: Scalar,
    sigma_w: Scalar,
    architecture: str = "ffnn",
    width: int | None = None,
    q0: Scalar | None = None,
) -> dict[str, str]:
    """The recipe of each framework for standard deviations sigma_w/sqrt(fan_in) and sigma_b.

    ``q0`` is the |x|^2/d that inputs should be scaled to, None if any will do. An activation of the reader's own
    becomes a function to be filled in. PReLU stands with the slope that it starts from; how it is learned is left out.

    >>> print(recipes("tanh", depth=30, sigma_b=0.2, sigma_w=1.3)["pytorch"].splitlines()[7])
    SIGMA_W, SIGMA_B = 1.3, 0.2
    """
    known = EXPRESSIONS.get(activation.partition(":")[0])
    activation = activation if known is None else get(activation).name  # with its slope: each framework has its own
    slope = activation.partition(":")[2]
    sigma_w, sigma_b = check_sigma("sigma_w", sigma_w), check_sigma("sigma_b", sigma_b)
    size = "inputs of any size" if q0 is None else f"inputs of mean square {_number(q0)}"
    words = {
        "headline": f"{activation}, {check_depth(depth)} layers, {architecture}: weights of standard deviation "
        "SIGMA_W/sqrt(fan_in), biases SIGMA_B.",
        "sigma_w": _number(sigma_w),
        "sigma_b": _number(sigma_b),
        "depth": str(check_depth(depth)),
        "width": str(width or PLAIN_WIDTH),
        "skip": "y + " if architecture == "residual" else "",
        "scaling": size,
    }
    found = {}
    for at, (framework, template) in enumerate(TEMPLATES.items()):
        call = f"...  # TODO: {activation} in {framework}" if known is None else known[at]
        found[framework] = Template(template).substitute(words, phi=Template(call).substitute(slope=slope))
    return found


def _number(value: Scalar) -> str:
    """A number that reads back to twelve digits."""
    return repr(float(f"{float(value):.12g}")) if math.isfinite(value) else str(value)
