"""The figures of the chapter on Proposition 2. Arrays come from ``ntk_eoc.experiments.edge``."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from ntk_eoc.plotting import style

GREY = "0.45"
DASHES = ("-", "--", "-.", (0, (5, 1.5, 1, 1.5, 1, 1.5)))
RATIO = r"$K^L(x, x')/(Lq)$"


def ratios(
    ax: Axes,
    depth: Int[ndarray, " D"],
    ratio: Float[ndarray, "A D"],
    limits: Float[ndarray, " A"],
    names: Sequence[str],
) -> None:
    """Semi-log: one curve per activation on its way to one of the dotted limits."""
    for name, row in zip(names, ratio, strict=True):
        ax.plot(depth, row, **style.line(name))
    for level in np.unique(limits):
        ax.axhline(level, color=GREY, linestyle=":", linewidth=1.4)
        ax.annotate(f"1/{1 / level:.0f}", (depth[0], level), xytext=(0, 3), textcoords="offset points", color=GREY)
    ax.set(xscale="log", xlabel="depth $L$", ylabel=RATIO)


def crossover(
    ax: Axes,
    depth: Int[ndarray, " D"],
    ratio: Float[ndarray, "G D"],
    curve: Float[ndarray, "G D"],
    gaps: Float[ndarray, " G"],
) -> None:
    """One curve per gap, and on it the closed form, dotted."""
    for shade, dash, gap, row, line in zip(style.ramp(len(gaps)), DASHES, gaps, ratio, curve, strict=False):
        ax.plot(depth, row, color=shade, linestyle=dash, label=f"$10^{{{np.log10(gap):.0f}}}$")
        ax.plot(depth, line, color="black", linestyle=":", linewidth=1.0)
    ax.set(xscale="log", xlabel="depth $L$", ylabel=RATIO, ylim=(0.2, 1.05))


def collapse(ax: Axes, x: Float[ndarray, "G D"], ratio: Float[ndarray, "G D"], curve: Float[ndarray, "G D"]) -> None:
    """The same pairs over the stretched depth: markers of all gaps on one dotted curve."""
    for shade, marker, at, row in zip(style.ramp(len(x)), "osD^", x, ratio, strict=False):
        ax.plot(at, row, color=shade, marker=marker, linestyle="none", markersize=4, markerfacecolor="white")
    order = np.argsort(x, axis=None)
    ax.plot(x.ravel()[order], curve.ravel()[order], color="black", linestyle=":", linewidth=1.4)
    ax.set(xscale="log", xlabel="stretched depth $x$", ylabel=RATIO, xlim=(0.9, 100), ylim=(0.2, 1.05))


def shares(
    ax: Axes,
    place: Float[ndarray, " L"],
    share: Float[ndarray, "A L"],
    powers: Sequence[int],
    names: Sequence[str],
) -> None:
    """What each layer contributes, against its place l/L, with the powers of l/L that it tends to, dotted."""
    ax.axhline(1.0, color=GREY, linewidth=1.2)
    ax.annotate("diagonal", (0.0, 1.0), xytext=(4, -4), textcoords="offset points", color=GREY, va="top")
    for name, row in zip(names, share, strict=True):
        ax.plot(place, row, **style.line(name))
    for power in sorted(set(powers)):
        ax.plot(place, place**power, color="black", linestyle=":", linewidth=1.0, label=rf"$(\ell/L)^{power}$")
    ax.set(xlabel=r"place of the layer $\ell/L$", ylabel="share in $K^L/q$", ylim=(0, 1.08))


def witness(
    ax: Axes,
    layer: Int[ndarray, " L"],
    mean: Float[ndarray, "2 L"],
    error: Float[ndarray, "2 L"],
    theory: Float[ndarray, "2 L"],
    name: str,
) -> None:
    """Finite networks (bars: two standard errors) on the infinite-width shares: one input, and two inputs."""
    labels = ("$x = x'$", r"$x \neq x'$")
    for color, dash, label, m, e, line in zip(
        (GREY, style.look(name).color), ("--", "-"), labels, mean, error, theory, strict=True
    ):
        ax.plot(layer, line, color=color, linestyle=dash, label=label)
        ax.errorbar(layer, m, yerr=2 * e, color=color, marker="o", linestyle="none", markersize=3.5, elinewidth=1)
    ax.set(xlabel=r"layer $\ell$", ylabel="gradient product / q", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def eigenvalues(
    ax: Axes,
    depth: Int[ndarray, " D"],
    values: Float[ndarray, "A D"],
    limits: Float[ndarray, " A"],
    names: Sequence[str],
) -> None:
    """Semi-log: an eigenvalue per activation on its way to the dotted limit."""
    for name, row, level in zip(names, values, limits, strict=True):
        ax.plot(depth, row, **style.line(name), marker=style.look(name).marker, markersize=3.5)
        ax.axhline(level, color=style.look(name).color, linestyle=":", linewidth=1.2)
    ax.set(xscale="log", xlabel="depth $L$")
