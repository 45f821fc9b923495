"""Words of a command line to values; what is none is an ``ArgumentTypeError`` of one sentence."""

import argparse
import re
from decimal import Decimal, InvalidOperation


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None


def size(text: str) -> int:
    """Bytes.

    >>> size("2K")
    2048
    """
    number = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)B?", text.strip().upper())
    if number is None:
        raise argparse.ArgumentTypeError(f"expected bytes, as 2000000 or 512M or 2G, got {text!r}")
    return int(float(number[1]) * 1024 ** " KMG".index(number[2] or " "))


def real(text: str) -> float:
    """A number, or inf or nan, which the mathematics refuses."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def decimal(text: str) -> Decimal:
    """A number, digit for digit as it was typed."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None
