"""One clear sentence for bad input: the argument, what was expected, what came."""

import math
import reprlib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

# One real number. At run time (the tests check it) a float, an int or a traced array; for a type checker anything,
# because every public function turns it into a float first.
if TYPE_CHECKING:
    Scalar: TypeAlias = Any
else:
    Scalar = float | int | jax.Array

LARGEST = 1e50  # of a standard deviation or a variance that is squared on the way
DEEPEST = 10**15  # layers: whole numbers as far as float64 tells every one from the next


def require_x64() -> None:
    """Raise ``RuntimeError`` unless JAX computes in float64, which every theory function needs."""
    if not jax.config.read("jax_enable_x64"):
        raise RuntimeError(
            "the theory is computed in float64, but JAX is set to 32 bits; "
            'call jax.config.update("jax_enable_x64", True) first'
        )


def number(name: str, value: object) -> float:
    """``value`` as a finite float; ``TypeError`` if it is no real number, ``ValueError`` if not finite."""
    try:
        result = float(value if np.ndim(value) == 0 else "")  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise TypeError(f"{name}: expected a real number, got {shown(value)}") from None
    if not math.isfinite(result):
        raise ValueError(f"{name}: expected a finite number, got {result}")
    return result


def shown(value: object) -> str:
    """``value`` in a few words of one line."""
    return " ".join(reprlib.repr(value).split())


def plain(name: str, value: object) -> np.ndarray:
    """``value``, of any array library, as a NumPy array: in float32 if it came so, in float64 otherwise.

    ``TypeError`` if there are no real numbers in it.

    >>> plain("x", [[1, 2]]).dtype.name
    'float64'
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind in "cOSUMm":
            raise TypeError
        return array if array.dtype == np.float32 else array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):  # the last is PyTorch's way to refuse a tensor with a gradient
        raise TypeError(f"{name}: expected an array of real numbers, got {type(value).__name__}") from None


def reals(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> jax.Array:
    """``value``, of any array library, as a float64 array of finite numbers from ``low`` to ``high``.

    A traced array is taken as it is: its numbers are not known. ``TypeError`` as ``plain``.

    >>> reals("q", [1, 2]).tolist()
    [1.0, 2.0]
    """
    if isinstance(value, jax.core.Tracer):
        return jnp.asarray(value, dtype=float)
    return jnp.asarray(known(name, value, low, high))


def known(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> np.ndarray:
    """``reals`` as a NumPy array, for what is never traced and needs no JAX."""
    array = plain(name, value).astype(np.float64)
    bad = ~(np.isfinite(array) & (array >= low) & (array <= high))
    if bad.any():
        span = "" if math.isinf(low) and math.isinf(high) else f" from {low:g} to {high:g}"
        raise ValueError(f"{name}: expected finite numbers{span}, got {array[bad][0]:g}")
    return array


def variances(name: str, value: object) -> jax.Array:
    """``reals`` that are variances: at least 0, and at most what a standard deviation may be, squared."""
    return reals(name, value, 0.0, LARGEST**2)


def deltas(name: str, value: object) -> jax.Array:
    """``reals`` that are 1 - correlation: from 0 to 2."""
    return reals(name, value, 0.0, 2.0)


def traceable_sigma(name: str, value: Scalar) -> Scalar:
    """``check_sigma``, but a traced number is taken as it is."""
    return value if isinstance(value, jax.core.Tracer) else check_sigma(name, value)


def check_inputs_fit(name: str, x: jax.Array) -> None:
    """Inputs of a finite network: finite, and no larger than their dtype can square. Not looked at inside a trace."""
    if isinstance(x, jax.core.Tracer):
        return
    largest = float(np.abs(x).max())
    if not math.isfinite(largest):
        raise ValueError(f"{name}: expected finite inputs, got NaN or infinity")
    if largest > (most := min(LARGEST, float(jnp.finfo(x.dtype).max) ** 0.5)):
        raise ValueError(
            f"{name}: expected inputs up to {most:.2g}, whose squares {x.dtype} can carry, got {largest:.2g}"
        )


def listed(name: str, value: object) -> Sequence[Any]:
    """``value`` as a list; ``TypeError`` for what has no order or no end, or is a word."""
    if isinstance(value, str | bytes | dict) or not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
        raise TypeError(f"{name}: expected a list of numbers, got {shown(value)}")
    entries: list[Any] = list(value) if getattr(value, "ndim", 1) == 1 else [value]  # type: ignore[call-overload]
    if any(isinstance(entry, list | tuple) or np.ndim(entry) for entry in entries):
        raise TypeError(f"{name}: expected a list of numbers, got {shown(value)}")
    return entries


def check_sigma(name: str, value: object, *, positive: bool = False) -> float:
    """A standard deviation: finite and at least 0 (above 0 if ``positive``)."""
    sigma = number(name, value)
    if sigma < 0 or (positive and sigma == 0):
        bound = "above 0" if positive else "at least 0"
        raise ValueError(f"{name}: expected a standard deviation {bound}, got {sigma:g}")
    if sigma > LARGEST:
        raise ValueError(f"{name}: expected at most {LARGEST:g}, whose powers float64 can carry, got {sigma:g}")
    return sigma


def check_size(name: str, value: object) -> float:
    """A number of either sign and at most ``LARGEST`` in size."""
    result = number(name, value)
    if abs(result) > LARGEST:
        raise ValueError(f"{name}: expected a number of at most {LARGEST:g} in size, got {result:g}")
    return result


def check_cosine(value: object) -> float:
    """A cosine of the angle between two inputs, in [-1, 1]."""
    cosine = number("cosine", value)
    if not -1 <= cosine <= 1:
        raise ValueError(f"cosine: expected a number in [-1, 1], got {cosine:g}")
    return cosine


def check_gap(value: object) -> float:
    """1 - cosine of the angle between two inputs, in [0, 2]."""
    gap = number("gap", value)
    if not 0 <= gap <= 2:
        raise ValueError(f"gap: expected 1 - cosine, from 0 to 2, got {gap:g}")
    return gap


def check_positive(name: str, value: object) -> float:
    """A number above 0 and at most ``LARGEST``."""
    result = number(name, value)
    if not 0 < result <= LARGEST:
        raise ValueError(f"{name}: expected a number above 0 and at most {LARGEST:g}, got {result:g}")
    return result


def check_nonnegative(name: str, value: object) -> float:
    """A number from 0 to ``LARGEST``."""
    return check_positive(name, value) if number(name, value) else 0.0


def check_depth(value: object) -> int:
    """A number of layers: a whole number, at least 1."""
    depth = number("depth", value)
    if depth != int(depth) or depth < 1:
        raise ValueError(f"depth: expected a whole number of layers, at least 1, got {depth:g}")
    if depth > DEEPEST:
        raise ValueError(f"depth: expected at most {DEEPEST:g} layers, got {depth:g}")
    return int(depth)


def check_depths(value: object) -> np.ndarray:
    """Increasing depths, at least one.

    >>> check_depths([1, 10.0]).tolist()
    [1, 10]
    """
    depths = np.array([check_depth(depth) for depth in listed("depths", value)])
    if not depths.size or (np.diff(depths) <= 0).any():
        raise ValueError("depths: expected increasing depths, at least one")
    return depths


def check_whole(name: str, value: object, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    result = number(name, value)
    if result != int(result) or not low <= result <= high:
        raise ValueError(f"{name}: expected a whole number from {low} to {high}, got {result:g}")
    return int(result)


def check_seed(value: object) -> int:
    """A seed: a whole number from 0 to a million, so that several of them, or a multiple, still suit every generator.

    >>> check_seed(7)
    7
    """
    return check_whole("seed", value, 0, 10**6)


def check_choice(name: str, value: str, allowed: Iterable[str]) -> str:
    """One of ``allowed``; the nearest one is suggested otherwise."""
    choices = list(allowed)
    if value in choices:
        return value
    near = get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {shown(value)}{hint}")
