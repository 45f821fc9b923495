"""Eq. 8 and 9 for 1,000 training and 200 test points at 50 times, in float64, from the kernel to the outputs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from common.contest import Match, main
from common.inputs import regression

TRAIN, TEST = 1000, 200


def given() -> dict[str, jax.Array]:
    """The problem: see ``common.inputs.regression``."""
    return {name: jnp.asarray(value) for name, value in regression(TRAIN, TEST, "float64").items()}


def ours() -> Callable[[], jax.Array]:
    """Outputs at all 1,200 points, (50, 1200, 1); each call starts from the kernel, checks it and decomposes it."""
    from ntk_eoc.dynamics import decompose, fitted, flow, predictions

    p = given()

    def solve() -> jax.Array:
        training = flow(decompose(p["train"]), p["times"])
        test = predictions(training, p["y"], p["f0"], cross=p["test"], f0_test=p["f0_test"])
        return jnp.concatenate([fitted(training, p["y"], p["f0"]), test], axis=1)

    return solve


def decomposition() -> Callable[[], tuple[jax.Array, jax.Array]]:
    """The symmetric eigendecomposition alone, which any exact answer at many times needs."""
    gram, eigh = given()["train"], jax.jit(jnp.linalg.eigh)
    return lambda: eigh(gram)


WORK, LIMIT = "Eq. 8 and 9 at 50 times", "the eigendecomposition alone"
CASES = {WORK: ours, LIMIT: decomposition}
MATCHES = [Match(WORK, ("dynamics float64: gradient_descent_mse",), 1e-9, limit=LIMIT, x64=True)]

if __name__ == "__main__":
    main("Training in function space, 1,000 training and 200 test points, float64", CASES, MATCHES, __file__)
