"""Words of a command line to values; what is none is an ``ArgumentTypeError`` of one sentence."""

import argparse
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TypeVar

Number = TypeVar("Number")


def whole(text: str) -> int:
    """A whole number."""
    return _parsed(int, text, "a whole number")


def real(text: str) -> float:
    """A number, or inf or nan, which the mathematics refuses."""
    return _parsed(float, text, "a number")


def decimal(text: str) -> Decimal:
    """A number, digit for digit as it was typed."""
    return _parsed(Decimal, text, "a number")


def size(text: str) -> int:
    """Bytes.

    >>> size("2K")
    2048
    """
    number = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)B?", text.strip().upper())
    if number is None:
        raise argparse.ArgumentTypeError(f"expected bytes, as 2000000 or 512M or 2G, got {text!r}")
    return int(float(number[1]) * 1024 ** " KMG".index(number[2] or " "))


def _parsed(read: Callable[[str], Number], text: str, wanted: str) -> Number:
    try:
        return read(text)
    except (ValueError, InvalidOperation):
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}") from None
