"""The figures of the chapter on the logarithm. Arrays come from ``ntk_eoc.experiments.logarithm``."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from ntk_eoc.plotting import style

GREY = "0.45"
DEPTH = "depth $L$"


def straight_lines(
    ax: Axes,
    depth: Int[ndarray, " D"],
    measured: Float[ndarray, "A D"],
    theory: Float[ndarray, "A D"],
    names: Sequence[str],
) -> None:
    """Semi-log: measured values as markers, the theory's straight lines through them."""
    for name, values, line in zip(names, measured, theory, strict=True):
        ax.plot(depth, line, **style.line(name), linewidth=1.4)
        ax.plot(depth, values, **style.points(name), markersize=4.5, markerfacecolor="white", markevery=2)
    ax.set(xscale="log", xlabel=DEPTH, ylabel=r"$K^L/q - \mathrm{limit}\cdot L$")


def towards_zero(
    ax: Axes,
    x: Float[ndarray, " D"],
    measured: Float[ndarray, "A D"],
    theory: Float[ndarray, "A D"],
    ends: Float[ndarray, " A"],
    names: Sequence[str],
) -> None:
    """Measured values and theory over log(L)/sqrt(L), with what theory puts at x = 0 as a big marker."""
    for name, values, line, end in zip(names, measured, theory, ends, strict=True):
        ax.plot(x, line, **style.line(name), linewidth=1.4)
        ax.plot(x, values, **style.points(name), markersize=4.5, markerfacecolor="white")
        ax.plot([0.0], [end], **style.points(name), markersize=9, clip_on=False)
    ax.set(xlabel=r"$\log(L)/\sqrt{L}$", ylabel=r"$\sqrt{L}\,(K^L/(Lq) - 1/3)$", xlim=(0, None))


def errors(ax: Axes, depth: Float[ndarray, " M"], size: Float[ndarray, "A M"], names: Sequence[str]) -> None:
    """Log-log: how far local slopes are from theory's coefficient."""
    for name, row in zip(names, size, strict=True):
        ax.plot(depth, row, **style.line(name), linewidth=1.4)
    ax.set(xscale="log", yscale="log", xlabel=DEPTH, ylabel="|slope in log L − coefficient|")


def decay(ax: Axes, depth: Int[ndarray, " D"], size: Float[ndarray, "A D"], names: Sequence[str]) -> None:
    """Log-log: distances from the limit, with a dotted line of slope -1 from their common height."""
    for name, row in zip(names, size, strict=True):
        ax.plot(depth, row, **style.line(name))
    deep = depth >= 10
    start = 1.6 * size[:, deep].max() * depth[deep][0]
    ax.plot(depth[deep], start / depth[deep], color=GREY, linestyle=":", linewidth=1.4, label="slope −1")
    ax.set(xscale="log", yscale="log", xlabel=DEPTH, ylabel=r"$|K^L/(Lq) - \mathrm{limit}|$")


def exponents(
    ax: Axes, depth: Float[ndarray, " M"], value: Float[ndarray, "P A M"], names: Sequence[str], pairs: Sequence[str]
) -> None:
    """Local exponents against depth, a line width per pair of inputs; grey: what a plot to depth 100 shows."""
    for width, pair, rows in zip((2.2, 0.9), pairs, value, strict=True):
        for name, row in zip(names, rows, strict=True):
            ax.plot(depth, row, **{**style.line(name), "label": f"{style.look(name).label}, {pair}"}, linewidth=width)
    ax.axvspan(10, 100, color="0.9", zorder=0)
    for level in (-1.0, -0.5):
        ax.axhline(level, color=GREY, linestyle=":", linewidth=1.2)
    ax.set(xscale="log", xlabel=DEPTH, ylabel="local exponent", ylim=(-1.6, 0.1))


def ranking(ax: Axes, size: Float[ndarray, "A k"], names: Sequence[str], depths: Sequence[str]) -> None:
    """One row per activation: a marker per depth, from light to dark, joined by a line."""
    rows = np.arange(len(names))
    for row, values in zip(rows, size, strict=True):
        ax.plot(values, [row] * len(values), color="0.75", linewidth=1.2, zorder=1)
    shades = style.ramp(len(depths))[::-1]
    for shade, marker, values, label in zip(shades, "osD", size.T, depths, strict=False):
        ax.plot(values, rows, color=shade, marker=marker, linestyle="none", label=label)
    ax.set_yticks(rows, [style.look(name).label for name in names])
    ax.set(xscale="log", xlabel=r"$|K^L/(Lq) - \mathrm{limit}|$")


def legend_below(fig: Figure, ax: Axes, columns: int = 3) -> None:
    """One legend under the whole figure, where it hides nothing."""
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
