"""One clear sentence for bad input: the argument, what was expected, what came."""

import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

import jax

# One real number. At run time (the tests check it) a float, an int or a traced array; for a type checker anything,
# because every public function turns it into a float first.
if TYPE_CHECKING:
    Scalar: TypeAlias = Any
else:
    Scalar = float | int | jax.Array

LARGEST = 1e50  # of a standard deviation or a variance that is squared on the way


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
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name}: expected a real number, got {value!r}") from None
    if not math.isfinite(result):
        raise ValueError(f"{name}: expected a finite number, got {result}")
    return result


def check_sigma(name: str, value: object, *, positive: bool = False) -> float:
    """A standard deviation: finite and at least 0 (above 0 if ``positive``)."""
    sigma = number(name, value)
    if sigma < 0 or (positive and sigma == 0):
        bound = "above 0" if positive else "at least 0"
        raise ValueError(f"{name}: expected a standard deviation {bound}, got {sigma:g}")
    if sigma > LARGEST:
        raise ValueError(f"{name}: expected at most {LARGEST:g}, whose powers float64 can carry, got {sigma:g}")
    return sigma


def check_cosine(value: object) -> float:
    """A cosine of the angle between two inputs, in [-1, 1]."""
    cosine = number("cosine", value)
    if not -1 <= cosine <= 1:
        raise ValueError(f"cosine: expected a number in [-1, 1], got {cosine:g}")
    return cosine


def check_positive(name: str, value: object) -> float:
    """A number above 0 and at most ``LARGEST``."""
    result = number(name, value)
    if not 0 < result <= LARGEST:
        raise ValueError(f"{name}: expected a number above 0 and at most {LARGEST:g}, got {result:g}")
    return result


def check_depth(value: object) -> int:
    """A number of layers: a whole number, at least 1."""
    depth = number("depth", value)
    if depth != int(depth) or depth < 1:
        raise ValueError(f"depth: expected a whole number of layers, at least 1, got {depth:g}")
    return int(depth)


def check_choice(name: str, value: str, allowed: Iterable[str]) -> str:
    """One of ``allowed``; the nearest one is suggested otherwise."""
    choices = list(allowed)
    if value in choices:
        return value
    near = get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}{hint}")
