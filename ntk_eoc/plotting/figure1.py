"""Figure 1: distances from the limit against depth. Arrays come from ``ntk_eoc.experiments.figure1``."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from ntk_eoc.plotting import style

GREY = "0.45"
DASHES = ("-", "--", "-.", ":", (0, (5, 1.5, 1, 1.5, 1, 1.5)))
DISTANCE = r"$|K^L/(qL) - \mathrm{limit}|$"


def decay(ax: Axes, depth: Int[ndarray, " L"], deviation: Float[ndarray, "s p L"], names: Sequence[str]) -> None:
    """Log-log: per activation the supremum over pairs of inputs (thick) and the least similar pair (thin)."""
    for name, pairs in zip(names, np.abs(deviation), strict=True):
        look = style.look(name)
        ax.plot(depth, pairs[0], color=look.color, linestyle=look.linestyle, linewidth=0.9, alpha=0.8)
        ax.plot(depth, pairs.max(axis=0), **style.line(name), linewidth=2.0)
    ax.set(xscale="log", yscale="log", xlabel="depth $L$", ylabel=DISTANCE)


def measured(
    ax: Axes,
    depth: Int[ndarray, " L"],
    deviation: Float[ndarray, "s L"],
    error: Float[ndarray, "s L"],
    names: Sequence[str],
) -> None:
    """Finite networks: markers with bars of two standard errors."""
    for name, mean, bar in zip(names, np.abs(deviation), error, strict=True):
        ax.errorbar(depth, mean, yerr=2 * bar, **style.points(name), markerfacecolor="white", capsize=2, zorder=4)


def power_guide(ax: Axes, depth: Int[ndarray, " L"], end: float, exponent: float, text: str) -> None:
    """A dotted straight line L^exponent in a log-log panel, with ``end`` and its name at the last depth."""
    ax.plot(depth, end * (depth / depth[-1]) ** exponent, color=GREY, linestyle=":", linewidth=1.4)
    style.direct_label(ax, depth[-1], end, text, GREY)


def exponential(ax: Axes, depth: Int[ndarray, " L"], deviation: Float[ndarray, "s p L"], names: Sequence[str]) -> None:
    """Semi-log: per activation the supremum over pairs (thick) and an input with itself (the last pair, thin)."""
    for name, pairs in zip(names, np.abs(deviation), strict=True):
        look = style.look(name)
        ax.plot(depth, pairs.max(axis=0), **style.line(name), linewidth=2.0)
        ax.plot(depth, pairs[-1], color=look.color, linestyle=look.linestyle, linewidth=0.9, alpha=0.8)
    ax.set(yscale="log", xlabel="depth $L$", ylabel=r"$|K^L/q - \mathrm{limit}|$")


def exponential_guide(ax: Axes, depth: Int[ndarray, " L"], end: float, log_rate: float, text: str) -> None:
    """A dotted straight line exp(log_rate L) in a semi-log panel, with ``end`` and its name at the last depth."""
    ax.plot(depth, end * np.exp(log_rate * (depth - depth[-1])), color=GREY, linestyle=":", linewidth=1.4)
    style.direct_label(ax, depth[-1], end, text, GREY)


def families(ax: Axes, depth: Int[ndarray, " L"], size: Float[ndarray, "s L"], sigma_w: Sequence[float]) -> None:
    """Log-log: one curve per sigma_w, from dark to light."""
    shades = style.ramp(len(sigma_w))
    for shade, dash, value, row in zip(shades, DASHES, sigma_w, size, strict=False):
        ax.plot(depth, row, color=shade, linestyle=dash, label=rf"$\sigma_w = {value:.3g}$")
    ax.set(xscale="log", yscale="log", xlabel="depth $L$", ylabel=r"$|K^L/(\mathrm{growth}) - 1/4|$")


def printed(ax: Axes, depth: Int[ndarray, " L"], log_ratio: Float[ndarray, "s L"], sigma_w: Sequence[float]) -> None:
    """Log-log: kernels over the printed normaliser, one curve per sigma_w as in ``families``."""
    families(ax, depth, np.exp(log_ratio), sigma_w)
    ax.set(ylabel=r"$K^L/(\alpha_L 2^L)$")


def straightened(
    ax: Axes, depth: Int[ndarray, " L"], values: Float[ndarray, "p L"], name: str, law: Float[ndarray, " L"]
) -> None:
    """Deviations times the inverse of their rate against log L: both pairs (thick: the most similar) and the law."""
    look = style.look(name)
    for width, row in zip((0.9, 2.0), values[[0, -1]], strict=True):
        ax.plot(depth, row, color=look.color, linestyle=look.linestyle, linewidth=width)
    ax.plot(depth, law, color=GREY, linestyle=":", linewidth=1.4)
    ax.set(xscale="log", xlabel="depth $L$", title=look.label)


def headline(edge: tuple[ndarray, ndarray], ordered: tuple[ndarray, ndarray], names: Sequence[str]) -> Figure:
    """Panels (a) and (b), each from its depths and its deviations (s, p, L): powers of the depth, and exponentials."""
    fig, (left, right) = plt.subplots(1, 2, figsize=style.DOUBLE)
    decay(left, *edge, names)
    depth, worst = edge[0], np.abs(edge[1]).max(axis=1)
    far = depth >= depth[-1] / 1000
    for end, exponent, text in ((worst[0, -1] / 3, -1.0, "$L^{-1}$"), (worst[1, -1] * 3, -0.5, "$L^{-1/2}$")):
        power_guide(left, depth[far], end, exponent, text)
    left.set_title("Edge of Chaos")
    left.legend(loc="lower left")
    exponential(right, *ordered, names)
    right.set_title("ordered phase")
    return fig
