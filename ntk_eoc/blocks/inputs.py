"""Inputs from a file."""

from pathlib import Path

import numpy as np

from ntk_eoc.blocks.kernel import Rows
from ntk_eoc.errors import LARGEST


def read(path: Path) -> Rows:
    """The rows of an .npy file as floats: float32 stays, other numbers become float64.

    >>> read(Path("nowhere.npy"))
    Traceback (most recent call last):
    ValueError: inputs: expected an .npy file, got no such file: nowhere.npy
    """
    try:
        x = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"inputs: expected an .npy file, got no such file: {path}") from None
    except (ValueError, EOFError, OSError):
        raise ValueError(f"inputs: expected an .npy file with numbers, got another file: {path}") from None
    if not isinstance(x, np.ndarray) or x.ndim != 2 or 0 in x.shape or x.dtype.kind not in "fiub":
        got = f"shape {x.shape} of {x.dtype}" if isinstance(x, np.ndarray) else "an archive"
        raise ValueError(f"inputs: expected a matrix of numbers with one input a row, got {got} in {path}")
    x = x if x.dtype == np.float32 else x.astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError(f"inputs: expected finite numbers, got NaN or infinity in {path}")
    if (largest := float(np.abs(x).max())) > LARGEST:
        raise ValueError(f"inputs: expected numbers up to {LARGEST:g}, got {largest:g} in {path}")
    return x
