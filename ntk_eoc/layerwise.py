"""What each layer gives to the tangent kernel of an infinitely wide network (Sec. 4 of the paper).

    K^L(x, x') = sum_l q^l(x, x') prod_{k > l} qdot^k(x, x'),

one term for the weights and biases of each layer; in a residual network q^l - q^{l-1}, what the branch adds, stands for
q^l, and 1 + qdot^k for qdot^k. On the diagonal they grow by chi from layer to layer backwards: the last layers alone
count in the ordered phase, the first in the chaotic one, and all alike on the Edge of Chaos and in residual networks.
For two different inputs there, layer l keeps (l/L)^3 of its term if phi has a kink and (l/L)^2 if it has none: 1/4 and
1/3 are the integrals of these powers.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.activations import Activation
from ntk_eoc.depth import depth_kernels
from ntk_eoc.errors import Scalar, check_depth, check_sigma
from ntk_eoc.gaussian import pair, second_moment


def contributions(
    act: Activation,
    cosine: Scalar,
    depth: int,
    *,
    sigma_b: Scalar,
    sigma_w: Scalar,
    q0: Scalar = 1.0,
    architecture: str = "ffnn",
) -> Float64[ndarray, " L"]:
    """The terms of layers 1..L of K^L(x, x'), ``architecture`` "ffnn" or "residual", for two inputs with
    |x|^2/d = q0 and this cosine; sigmas are standard deviations. Raises ``ValueError`` as ``depth.depth_kernels`` does.

    >>> from ntk_eoc.activations import NAMED
    >>> contributions(NAMED["relu"], 1.0, 4, sigma_b=0.0, sigma_w=2**0.5).round(12).tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w)
    every = np.arange(1, check_depth(depth) + 1)
    found = depth_kernels(act, cosine, every, sigma_b=sigma_b, sigma_w=sigma_w, q0=q0, architecture=architecture)
    q = jnp.asarray(found.q[:-1])
    layer = pair(act, q, q, jnp.asarray(found.delta[:-1]))
    # a difference of two q^l would lose the digits of a weak branch
    branch = sigma_b**2 + sigma_w**2 * second_moment(act, q) * (1.0 - layer.gap)
    own = np.append(found.ntk[0], branch)
    slopes = np.asarray(sigma_w**2 * layer.slope_product) + (1.0 if architecture == "residual" else 0.0)
    return own * np.append(np.cumprod(slopes[::-1])[::-1], 1.0)
