"""The empirical NTK of a ReLU network of width 512 on 128 inputs in R^784, one output, in float32."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from common.contest import Match, main
from common.inputs import sphere, weights

from ntk_eoc.activations import get
from ntk_eoc.empirical import dense_ntk
from ntk_eoc.networks import Network, Params
from ntk_eoc.networks.layers import Dense

N, D, WIDTH = 128, 784, 512


def ours(depth: int) -> Callable[[], jax.Array]:
    """``dense_ntk`` in NTK parameterisation, sigma_w = sqrt(2), no biases: (128, 128)."""
    layers = [
        Dense(jnp.asarray(w), jnp.zeros(w.shape[1], w.dtype))
        for w in weights([D, *[WIDTH] * (depth - 1), 1], "float32")
    ]
    first, *hidden, last = layers
    params = Params(first, jax.tree.map(lambda *leaves: jnp.stack(leaves), *hidden), last, "ntk")
    net, act, x = Network(WIDTH, depth, 0.0, 2**0.5), get("relu"), jnp.asarray(sphere(N, D, "float32"))
    return lambda: dense_ntk(params, act, net, x)[:, :, 0, 0]


def flops(depth: int) -> float:
    """Two products by each weight matrix but the first's one, and two N x N products of a layer's rows."""
    hidden = depth - 2
    forwards_and_back = 2 * N * WIDTH * (D + 2 * hidden * WIDTH + 2)
    return forwards_and_back + 2 * N**2 * (D + WIDTH + hidden * 2 * WIDTH + WIDTH + 1)


DEPTHS = (3, 10)
# Rounding may put a unit near the kink of ReLU on either side, and then its whole part is there or not.
TOLERANCE = 1 / WIDTH
METHODS = ("structured derivatives", "structured derivatives, no hint", "NTK-vector products", "Jacobian contraction")
CASES = {f"empirical NTK, depth {depth}": partial(ours, depth) for depth in DEPTHS}
MATCHES = [
    Match(case, tuple(f"empirical depth {depth}: {method}" for method in METHODS), TOLERANCE, flops=flops(depth))
    for depth, case in zip(DEPTHS, CASES, strict=True)
]

if __name__ == "__main__":
    main("Empirical NTK, N = 128, width 512, d = 784, one output", CASES, MATCHES, __file__)
