"""The machine's limit, measured in the same turns: a product of two square matrices of 1024 rows."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from common.serve import serve


def product(dtype: str) -> Callable[[], Any]:
    """2 * 1024^3 operations."""
    a = jnp.ones((1024, 1024), dtype)
    return partial(jax.jit(jnp.matmul), a, a)


if __name__ == "__main__":
    serve({dtype: partial(product, dtype) for dtype in ("float32", "float64")}, ("jax",))
