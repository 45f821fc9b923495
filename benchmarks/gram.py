"""NTK Gram matrices of 1,000 inputs in R^784: deep networks, many depths, inputs of one norm and of any."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from common.contest import Match, main
from common.grams import GRAMS, Wanted
from common.inputs import sphere, spread

from ntk_eoc import gram as module
from ntk_eoc import octaves, tables
from ntk_eoc.activations import get
from ntk_eoc.depth import depth_kernels
from ntk_eoc.meanfield import eoc_points

jax.config.update("jax_enable_x64", True)  # the tables are float64 whatever the results are
LIMIT = "cosines, and a pass over them, {}"
TOLERANCE = {"float64": 1e-4, "float32": 0.1}  # the peer takes arccos of a rounded cosine, and deep layers amplify it


def ours(wanted: Wanted) -> Callable[[], Any]:
    """``gram``; its tables are kept from the first call on, as the peer's compiled program is."""
    x = (spread if wanted.norms == "any" else sphere)(wanted.rows, 784, wanted.dtype)
    options = {"sigma_b": wanted.sigma_b, "sigma_w": wanted.sigma_w, "architecture": wanted.architecture}
    depth = range(1, wanted.depth + 1) if wanted.every else wanted.depth
    return lambda: module.gram(get(wanted.activation), x, depth=depth, dtype=wanted.dtype, **options).ntk


def pass_over(dtype: str) -> Callable[[], Any]:
    """The least: inner products of 1,000 inputs, and each of them read and a result written once."""
    x = jnp.asarray(sphere(1000, 784, dtype))
    products, whole = jax.jit(lambda x: x @ x.T), jax.jit(lambda c: 0.5 + 0.5 * c)
    return lambda: whole(products(x))


def edge(name: str) -> dict[str, float]:
    """Standard deviations on the activation's Edge of Chaos."""
    if name == "relu":
        return {"sigma_b": 0.0, "sigma_w": 2**0.5}
    return {"sigma_b": 0.2, "sigma_w": eoc_points(get(name), 0.2)[0].sigma_w}


def table(name: str) -> Callable[[], Any]:
    """The table of depth 300, made anew: on the Edge of Chaos, for inputs whose variance is not the fixed point's."""

    def build() -> Any:
        for kept in (tables.table, octaves._series, module._table):
            kept.cache_clear()
        return module._table(get(name), 300, 1.0, "float64", architecture="ffnn", **edge(name))

    return build


def pair() -> Callable[[], Any]:
    """One pair ten million layers deep, on the Edge of Chaos of tanh."""
    return lambda: depth_kernels(get("tanh"), 0.3, [10**7], q0=1.0, **edge("tanh")).ntk


SMOOTH = ("tanh", "elu", "gelu")
FIRST, TANH = "ReLU, depth 300, float64", "tanh, depth 10, float32"
PARTS = {
    FIRST: {
        **{f"{name} of one norm": partial(ours, Wanted(name, 300, "float64", **edge(name))) for name in SMOOTH},
        **{f"the table of {name}": partial(table, name) for name in ("relu", *SMOOTH)},
    },
    TANH: {"one pair at depth 1e7": pair},
}
LIMITS = {LIMIT.format(dtype): partial(pass_over, dtype) for dtype in ("float32", "float64")}
NAMED_PARTS = {f"{case}: {part}": make for case, parts in PARTS.items() for part, make in parts.items()}
CASES = {case: partial(ours, wanted) for case, wanted in GRAMS.items()} | LIMITS | NAMED_PARTS
MATCHES = [
    Match(
        case,
        (f"{case}: {wanted.peer}",),
        TOLERANCE[wanted.dtype],
        limit=LIMIT.format(wanted.dtype) if wanted.rows == 1000 else None,
        parts=tuple(name for name in NAMED_PARTS if name.startswith(f"{case}: ")),
        x64=wanted.dtype == "float64",
        turns=1 if wanted.activation == "tanh" else 5,
    )
    for case, wanted in GRAMS.items()
]

if __name__ == "__main__":
    main("NTK Gram matrices, N = 1000, d = 784", CASES, MATCHES, __file__)
