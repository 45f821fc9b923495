"""Figures of the chapter on finite networks: arrays of ``ntk_eoc.experiments`` to axes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy import ndarray

from ntk_eoc.plotting.style import direct_label, look, palette, points, ramp

Axis = Sequence[Axes] | np.ndarray
FACES = ("full", "none", "left")  # of markers, for the depths of one activation


def widths(axes: Axis, found: Any, live: ndarray, live_widths: Sequence[int]) -> None:
    """Mean of norm(K_n - K)/norm(K) against width, dense left and residual right: filled markers for the smallest
    depth, open ones for the next; bands of two standard errors; crosses for the ``live`` means (2, A, W) of the
    smallest depth; a line of slope -1/2."""
    grid = found.grids.width
    n = np.asarray(grid.widths, dtype=float)
    for ax, part, now, title in zip(axes, found.errors, live, ("dense", "residual"), strict=True):
        for name, rows, crosses in zip(grid.activations, part, now, strict=True):
            for samples, face in zip(rows, FACES, strict=False):
                mean, error = samples.mean(axis=-1), samples.std(axis=-1, ddof=1) / samples.shape[-1] ** 0.5
                ax.fill_between(n, mean - 2 * error, mean + 2 * error, color=look(name).color, alpha=0.25, linewidth=0)
                ax.loglog(n, mean, **{**points(name), "fillstyle": face, "label": look(name).label})
            ax.loglog(live_widths, crosses, color="black", marker="x", linestyle="none", zorder=4)
        ends = n[[0, -1]]
        ax.loglog(ends, 0.8 * part.mean() * (ends / n[len(n) // 2]) ** -0.5, color="black", linewidth=1, linestyle=":")
        ax.set_xticks(n, [str(width) for width in grid.widths])
        ax.set_xticks([], minor=True)
        ax.set(xlabel="width $n$", title=title)
    handles, labels = axes[0].get_legend_handles_labels()
    step = len(grid.depths)
    axes[0].figure.legend(handles[::step], labels[::step], loc="outside lower center", ncols=3)


def layers(ax: Axes, runs: Sequence[Any]) -> None:
    """What each layer adds to K(x, x) over what the last one does: lines at infinite width, markers for the mean of
    finite networks, bars from their lowest to their highest tenth."""
    depth = np.arange(1, runs[0].finite.shape[1] + 1)
    for run, color, stroke, mark in zip(runs, palette(len(runs)), ("-", "--", "-."), ("o", "s", "^"), strict=False):
        mean = run.finite.mean(axis=0)
        low, high = np.quantile(run.finite, (0.1, 0.9), axis=0)
        ax.semilogy(depth, run.infinite, color=color, linestyle=stroke, label=f"{run.phase}, {run.sigma_w:.2f}")
        bars = np.maximum([mean - low, high - mean], 0.0)
        ax.errorbar(depth, mean, bars, color=color, marker=mark, linestyle="none", linewidth=1)
    ax.set_xticks([1, *range(5, len(depth) + 1, 5)])
    ax.set(xlabel="layer $l$", title="part of layer $l$ over that of layer $L$")
    ax.legend(title=r"phase, $\sigma_w$", loc="lower right")


def ratio(axes: Axis, found: Any, law: Callable[[int, int], float]) -> None:
    """Against depth/width: left the spread of K_n(x, x) (markers) with the ``law`` for ReLU of given depth and width
    (crosses); right the mean over K off the diagonal, with two standard errors."""
    cells = found.ratio.cells
    share = cells[:, 0] / cells[:, 1]
    for k, name in enumerate(found.grids.ratio.activations):
        spread, off = found.ratio.spread[k], found.ratio.off[k]
        axes[0].errorbar(share, spread[:, 0], 2 * spread[:, 1], **{**points(name), "label": look(name).label})
        axes[1].errorbar(share, 1 + off[:, 0], 2 * off[:, 1], **points(name))
    expected = [law(int(depth), int(width)) for depth, width in cells]
    axes[0].plot(share, expected, color="black", marker="x", linestyle="none", zorder=4, label="law for ReLU")
    axes[1].axhline(1.0, color="black", linewidth=1, linestyle=":")
    for ax, title in zip(axes, ("spread of $K_n(x,x)$", "mean over $K$, off the diagonal"), strict=True):
        ax.set(xscale="log", xlabel="depth/width", title=title)
        ax.set_xticks(np.unique(share), [f"1/{round(1 / s)}" for s in np.unique(share)])
        ax.set_xticks([], minor=True)
    axes[0].set_yscale("log")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, columnspacing=1)


def drift(axes: Axis, found: Any, activation: str, depth: int = 2) -> None:
    """Norm of K_t - K_0 over that of K_0. Left: against steps for one ``activation`` at each width of a ``depth``.
    Right: at the last step against width, for every activation, with lines of slope -1/2 and -1."""
    grid, moved = found.grids.drift, found.drift.moved
    chosen = [(width, column) for column, (layers, width) in enumerate(grid.sizes) if layers == depth]
    row = grid.activations.index(activation)
    for (width, column), color, mark in zip(chosen, ramp(len(chosen)), ("o", "s", "^", "D", "v"), strict=False):
        values = moved[row, column].mean(axis=-1)
        axes[0].loglog(grid.steps, values, color=color, marker=mark)
        direct_label(axes[0], float(grid.steps[-1]), values[-1], str(width), color)
    n = np.array([width for width, _ in chosen], dtype=float)
    columns = [column for _, column in chosen]
    for name, part in zip(grid.activations, moved, strict=True):
        last = part[columns, -1]
        mean, error = last.mean(axis=-1), last.std(axis=-1, ddof=1) / last.shape[-1] ** 0.5
        axes[1].errorbar(n, mean, 2 * error, **{**points(name), "label": look(name).label})
    top = moved[:, columns[0], -1].mean(axis=-1).max()
    for power, stroke in ((-0.5, ":"), (-1.0, "--")):
        axes[1].plot(n, 1.4 * top * (n / n[0]) ** power, color="black", linewidth=1, linestyle=stroke)
    axes[0].set_xlim(right=12 * grid.steps[-1])  # room for the widths
    axes[0].set(xlabel="step", title=f"{look(activation).label}: " + r"$\|K_t-K_0\|/\|K_0\|$")
    axes[1].set(xscale="log", yscale="log", xlabel="width $n$", title=f"after {grid.steps[-1]} steps")
    axes[1].set_xticks(n, [str(int(width)) for width in n])
    axes[1].set_xticks([], minor=True)
    axes[1].legend(loc="lower left", handletextpad=0.2)


def slopes(ax: Axes, widths: Sequence[int], found: Any) -> None:
    """Spread over the mean of the whole of two parts of K_n(x, x) of PReLU networks, against width."""
    rows = zip(("all weights", "learned slopes"), found, palette(2), ("o-", "s--"), strict=True)
    for label, part, color, stroke in rows:
        ax.loglog(widths, part.std(axis=1, ddof=1), stroke, color=color, label=label)
    n = np.asarray(widths, dtype=float)
    ax.loglog(n, found.weights[0].std(ddof=1) * (n / n[0]) ** -0.5, color="black", linewidth=1, linestyle=":")
    ax.set_xticks(n, [str(width) for width in widths])
    ax.set_xticks([], minor=True)
    ax.set_yticks([0.1, 0.2, 0.5], ["0.1", "0.2", "0.5"])
    ax.set_yticks([], minor=True)
    ax.set(xlabel="width $n$", title="standard deviation over the mean of $K_n(x,x)$")
    ax.legend(loc="lower left")
