"""Rows of evidence, and the measurements that several claims share."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ntk_eoc.activations import get
from ntk_eoc.asymptotics import law
from ntk_eoc.depth import DepthKernels, depth_kernels
from ntk_eoc.meanfield import eoc_points, limit_variance


class Row(NamedTuple):
    """One measured number beside the expected one; ``side`` is "ours" or "printed"; the quantity names its unit."""

    quantity: str
    measured: float
    expected: float
    tolerance: float
    side: str = "ours"


def agrees(row: Row) -> bool:
    """Whether the measured number is within the tolerance of the expected one; NaN never is.

    >>> agrees(Row("slope", 0.376, 0.375, 0.01)), agrees(Row("slope", float("nan"), 0.375, 0.01))
    (True, False)
    """
    return bool(abs(row.measured - row.expected) <= row.tolerance)


def settled(name: str, sigma_b: float, sigma_w: float, depths: Sequence[int], cosine: float = 0.3) -> DepthKernels:
    """Depth kernels of inputs whose norm puts the first layer at the variance fixed point already."""
    act = get(name)
    q = limit_variance(act, sigma_b=sigma_b, sigma_w=sigma_w)
    points = [p.q for p in eoc_points(act, sigma_b) if p.q and abs(p.sigma_w / sigma_w - 1) < 1e-12]
    q = points[0] if points else q
    q0 = (q - sigma_b**2) / sigma_w**2 if math.isfinite(q) and q > sigma_b**2 else 1.0
    return depth_kernels(act, cosine, depths, sigma_b=sigma_b, sigma_w=sigma_w, q0=q0)


def on_the_edge(name: str, depths: Sequence[int], sigma_b: float = 0.2, cosine: float = 0.3) -> DepthKernels:
    """Depth kernels on the Edge of Chaos of a named activation."""
    sigma_b = 0.0 if get(name).slopes else sigma_b
    return settled(name, sigma_b, law(get(name), sigma_b=sigma_b).point.sigma_w, depths, cosine)


def slope(values: np.ndarray, abscissae: np.ndarray) -> float:
    """The slope between the last two points."""
    return float((values[-1] - values[-2]) / (abscissae[-1] - abscissae[-2]))
