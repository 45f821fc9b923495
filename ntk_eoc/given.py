"""Matrices and moments that training in function space is given, checked where they are no tracers."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from ntk_eoc.errors import plain

Moments = Float[Array, " T"] | ArrayLike | Sequence[float | int]
Size = int | None  # None for any


def traced(*arrays: object) -> bool:
    return any(isinstance(array, jax.core.Tracer) for array in arrays)


def matrix(name: str, value: ArrayLike, rows: Size, columns: Size, asymmetry: float = jnp.inf) -> Array:
    """``value`` in float64, of the shape asked for, finite, with mirrored entries that differ by rounding at most."""
    array = jnp.asarray(value if isinstance(value, jax.Array) else plain(name, value), dtype=float)
    if array.ndim != 2 or rows not in (None, array.shape[0]) or columns not in (None, array.shape[1]):
        raise ValueError(f"{name}: expected shape ({rows or 'any'}, {columns or 'any'}), got {array.shape}")
    entries = np.zeros((1, 1)) if traced(array) else np.asarray(array)
    if not np.isfinite(entries).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    if asymmetry < jnp.inf and (gap := np.abs(entries - entries.T).max()) > (most := asymmetry * np.abs(entries).max()):
        raise ValueError(f"{name}: expected symmetry up to {most:.3g}, got mirrored entries {gap:.3g} apart")
    return array


def moments(name: str, value: Moments) -> Array:
    array = jnp.atleast_1d(jnp.asarray(value if isinstance(value, jax.Array) else plain(name, value), dtype=float))
    if array.ndim != 1 or not (traced(array) or (np.asarray(array) >= 0).all()):
        raise ValueError(f"{name}: expected a list of numbers, at least 0, got {array.min()} in shape {array.shape}")
    return array
