"""Figures of the chapter on SGD: arrays of the ``ntk_eoc.experiments.sgd`` family to axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy import ndarray

from ntk_eoc.plotting.style import line, palette, points, ramp

STROKES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D")
TIME = r"time $t\,\bar K/N$"
PACE = r"pace $\eta \bar K$"
GUIDE: dict[str, Any] = {"color": "0.35", "linestyle": ":", "linewidth": 1.4}


def runs(ax: Axes, found: Any, image: int, shown: int = 12) -> None:
    """Residual of one image along some runs of the network, their mean, gradient descent and the gradient flow."""
    color = palette(4)
    for k, run in enumerate(found.runs[0][:shown]):
        ax.plot(found.time, run[:, image], color="0.7", linewidth=0.8, label="SGD" if not k else None)
    ax.plot(found.time, found.runs[0, :, :, image].mean(axis=0), "o", color=color[1], label="mean of SGD")
    ax.plot(found.time, found.descent[:, image], color=color[0], label="descent")
    ax.plot(found.time, found.flow[:, image], color="black", linestyle="--", linewidth=1.2, label="flow")
    ax.set(xlabel=TIME, title="residual of one image")
    ax.legend()


def spread(ax: Axes, found: Any) -> None:
    """Spread over time: predicted by the two kernels (lines), measured on the network and its linearisation."""
    color = palette(4)
    ax.plot(found.time, found.predicted[0], color=color[0], label="exact, its kernel")
    ax.plot(found.time, found.predicted[1], color="black", linestyle="--", linewidth=1.2, label="exact, infinite width")
    for kind, mark, label, shade in zip(found.runs, MARKS, ("network", "linearised"), color[1:], strict=False):
        measured = np.sqrt(np.mean(np.var(kind, axis=0, ddof=1), axis=-1))
        ax.plot(found.time, measured, mark, color=shade, markerfacecolor="white", label=label)
    ax.set(xlabel=TIME, title="spread of the runs", ylim=(0, None))
    ax.legend(loc="lower right")


def order(ax: Axes, x: ndarray, theory: Any, groups: ndarray, label: str, lag: bool = False) -> None:
    """Log-log: exact spread and its leading law (lines), groups of runs of a network (markers with two errors)."""
    color = palette(3)
    mean, error = groups.mean(axis=0), 2 * groups.std(axis=0, ddof=1) / np.sqrt(len(groups))
    ax.set_xscale("log", base=2)
    ax.plot(x, theory.spread, color=color[0], label="exact spread")
    ax.plot(x, theory.law, **GUIDE, label="leading law")
    ax.errorbar(x, mean, yerr=error, fmt="o", color=color[1], markerfacecolor="white", label="network")
    if lag:
        ax.plot(x, theory.lag, color=color[2], linestyle="-.", label="mean to flow")
    ax.set(xlabel=label, yscale="log")
    ax.legend()


def samplings(axes: Sequence[Axes] | ndarray, found: Any, names: Sequence[str], network: Mapping[str, ndarray]) -> None:
    """Left: spread by way of drawing, and that of a network in epochs. Right: distance of the mean from descent."""
    looks: list[dict[str, Any]] = [
        {"color": color, "marker": mark, "linestyle": stroke, "linewidth": 1.2}
        for color, mark, stroke in zip(palette(3), MARKS, STROKES, strict=False)
    ]
    for name, measured, look in zip(names, found.spread, looks, strict=True):
        axes[0].plot(found.pace, measured.mean(axis=0), **look, label=name)
    cross: dict[str, Any] = {"color": "black", "marker": "x", "linestyle": "none", "markersize": 7}
    axes[0].plot(network["pace"], network["spread"], **cross, label="network, epochs")
    axes[1].plot(found.pace, found.derived, color="black", linewidth=1.2, label="derived, epochs")
    axes[1].fill_between(found.pace, 1e-4, 2 * found.error[0], color="0.9", linewidth=0, label="noise")
    for measured, look in zip(found.shift, looks, strict=True):
        axes[1].plot(found.pace, measured, **{**look, "linestyle": "none"})
    axes[1].plot(network["pace"], network["shift"], **cross)
    axes[0].set(ylim=(1e-5, 0.5))
    axes[1].set(ylim=(4e-4, 0.2))
    for ax, title in zip(axes, ("spread", "mean to descent"), strict=True):
        ax.set_xscale("log", base=2)
        ax.set(xlabel=PACE, title=title, yscale="log")
        ax.legend(loc="lower right" if ax is axes[0] else "upper left")


def bounds(ax: Axes, found: Any, each: float) -> None:
    """Largest stable rate, in units of 1/K(x, x), against batch size."""
    color = palette(2)
    ax.semilogx(found.batch, found.exact * each, "o-", color=color[0], base=2, label="exact")
    ax.semilogx(found.batch, found.sure * each, "--", color=color[1], base=2, label="sure")
    ax.axhline(found.descent * each, color="black", linewidth=1, linestyle=":", label="descent")
    ax.set(xlabel="batch size $B$", title=r"largest stable $\eta K(x,x)$", ylim=(0, None))
    ax.legend(loc="lower right")


def critical(ax: Axes, found: Sequence[Any], names: Sequence[str], limits: Sequence[float]) -> None:
    """N K(x, x)/lambda_max against depth in each phase, with the limits of infinite depth."""
    for run, name, limit, color, stroke in zip(found, names, limits, palette(len(found)), STROKES, strict=False):
        ax.semilogy(run.depth, run.batch, color=color, linestyle=stroke, label=name)
        ax.axhline(limit, color=color, linewidth=0.8, linestyle=":")
    ax.set(xlabel="depth $L$", title="critical batch size $B^*$")
    ax.legend(loc="center right", bbox_to_anchor=(1.0, 0.66))


def sides(ax: Axes, found: Any, names: Sequence[str]) -> None:
    """Squared distance to the solution along runs on both sides of the bound, and of descent at the same rates."""
    for some, full, name, color in zip(found.runs, found.descent, names, palette(len(names)), strict=True):
        for k, run in enumerate(some[:8]):
            ax.semilogy(found.steps, run, color=color, linewidth=0.9, label=name if not k else None)
        ax.semilogy(found.steps, full, color=color, linestyle="--", linewidth=1.2)
    ax.plot([], [], color="0.4", linestyle="--", linewidth=1.2, label="descent")
    ax.set(xlabel="steps", title=r"$|\theta_k - \theta^*|^2$", ylim=(1e-4, 1e4))
    ax.legend(loc="upper left")


def floor(ax: Axes, units: ndarray, paces: Sequence[float], measured: Mapping[str, ndarray], theory: Any) -> None:
    """Spread over a long time with contradictory labels (filled) and without (open); lines are exact."""
    for j, (pace, color, mark) in enumerate(zip(paces, ramp(len(paces)), MARKS, strict=False)):
        ax.semilogy(units[1:], theory["spread"][j][1:], color=color, label=rf"$\eta\bar K={pace:g}$")
        ax.semilogy(units[1:], measured["spread"][j][1:], mark, color=color)
        ax.semilogy(units[1:], theory["plain"][j][1:], color=color, linestyle="--")
        ax.semilogy(units[1:], measured["plain"][j][1:], mark, color=color, markerfacecolor="white")
        ax.axhline(theory["floor"][j], color=color, linewidth=1, linestyle=":")
    ax.set(xlabel=TIME, title="spread")
    ax.legend(loc="lower left")


def widths(ax: Axes, width: ndarray, paths: ndarray, spreads: ndarray, names: Sequence[str]) -> None:
    """Distance between network and linearisation along the same batches over their spread, with two errors."""
    for name, apart, own in zip(names, paths, spreads, strict=True):
        ratio = apart / own
        error = 2 * ratio.std(axis=1, ddof=1) / np.sqrt(ratio.shape[1])
        ax.errorbar(width, ratio.mean(axis=1), yerr=error, **{**line(name), **points(name), "linestyle": "none"})
    top = (paths / spreads).mean(axis=-1)[:, 0].max()
    ax.plot(width, 1.5 * top * width[0] / width, **GUIDE, label="slope −1")
    ax.set(xscale="log", yscale="log", xlabel="width", ylabel="distance / spread", xticks=width, xticklabels=width)
    ax.minorticks_off()
    ax.legend()
