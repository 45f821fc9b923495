"""neural-tangents 0.6.5 at its best, in an environment of its own: nothing else here or in the package imports it."""

import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from common.grams import GRAMS
from common.inputs import regression, sphere, spread, weights
from common.serve import serve
from jax._src import source_info_util
from jax.interpreters import ad

# The only part of it that wants TensorFlow, and names that it expects where older releases of JAX had them.
sys.modules["neural_tangents.experimental"] = types.ModuleType("neural_tangents.experimental")
ad.source_info_util, ad.config = source_info_util, jax.config

import neural_tangents as nt  # noqa: E402
from neural_tangents import stax  # noqa: E402

METHODS = {
    "structured derivatives": nt.NtkImplementation.STRUCTURED_DERIVATIVES,
    "NTK-vector products": nt.NtkImplementation.NTK_VECTOR_PRODUCTS,
    "Jacobian contraction": nt.NtkImplementation.JACOBIAN_CONTRACTION,
}


def empirical(depth: int, method: str, hint: bool) -> Callable[[], Any]:
    """The NTK of a ReLU network of width 512 on 128 inputs in R^784, with the hint that rows are independent or not."""
    dense = partial(stax.Dense, W_std=2**0.5, b_std=None)
    hidden = [layer for _ in range(depth - 1) for layer in (dense(512), stax.Relu())]
    _, apply, _ = stax.serial(*hidden, dense(1))
    ws = [jax.numpy.asarray(w) for w in weights([784, *[512] * (depth - 1), 1], "float32")]
    params = [part for w in ws for part in ((w, None), ())][:-1]
    kernel = nt.empirical_ntk_fn(apply, vmap_axes=0 if hint else None, implementation=METHODS[method])
    return partial(jax.jit(kernel), jax.numpy.asarray(sphere(128, 784, "float32")), None, params)


def dynamics(dtype: str) -> Callable[[], Any]:
    """Eq. 8 and 9 for 1,000 training and 200 test points at 50 times; returns the outputs at all 1,200, (50, 1200, 1).

    Each call starts from the kernel: its decomposition is part of the work.
    """
    given = {name: jax.numpy.asarray(value) for name, value in regression(1000, 200, dtype).items()}

    def solve() -> Any:  # not in one jit: the peer refuses a kernel that is traced
        predict = nt.predict.gradient_descent_mse(given["train"], given["y"])
        return jax.numpy.concatenate(predict(given["times"], given["f0"], given["f0_test"], given["test"]), axis=1)

    return solve


PHI = {"relu": stax.Relu, "erf": stax.Erf, "tanh": partial(stax.ElementwiseNumerical, jax.numpy.tanh, deg=25)}


def gram(case: str) -> Callable[[], Any]:
    """The NTK of inputs in R^784 as ``common.grams`` describes the case; one depth by ``repeat``, all by a scan."""
    wanted = GRAMS[case]
    given = spread if wanted.norms == "any" else sphere
    x = jax.numpy.asarray(given(wanted.rows, 784, wanted.dtype))
    dense = stax.Dense(1, W_std=wanted.sigma_w, b_std=wanted.sigma_b or None)
    layer = stax.serial(PHI[wanted.activation](), dense)
    if wanted.architecture == "residual":
        layer = stax.serial(stax.FanOut(2), stax.parallel(stax.Identity(), layer), stax.FanInSum())
    if not wanted.every:
        kernel = stax.serial(dense, stax.repeat(layer, wanted.depth - 1))[2]
        return partial(jax.jit(partial(kernel, get="ntk")), x)

    def every(x: Any) -> Any:
        first = dense[2](x, get=None)

        def step(state: Any, _: None) -> Any:
            nngp, ntk, cov = state
            new = layer[2](first.replace(nngp=nngp, ntk=ntk, cov1=cov), get=None)
            return (new.nngp, new.ntk, new.cov1), new.ntk

        start = (first.nngp, first.ntk, first.cov1)
        rest = jax.lax.scan(step, start, None, length=wanted.depth - 1)[1]
        return jax.numpy.concatenate([first.ntk[None], rest])

    return partial(jax.jit(every), x)


CASES = {
    f"empirical depth {depth}: {method}{'' if hint else ', no hint'}": partial(empirical, depth, method, hint)
    for depth in (3, 10)
    for method, hint in (*((method, True) for method in METHODS), ("structured derivatives", False))
} | {f"dynamics {dtype}: gradient_descent_mse": partial(dynamics, dtype) for dtype in ("float32", "float64")}
CASES |= {f"{case}: {wanted.peer}": partial(gram, case) for case, wanted in GRAMS.items()}

if __name__ == "__main__":
    serve(CASES, ("neural-tangents", "jax", "jaxlib", "numpy"))
