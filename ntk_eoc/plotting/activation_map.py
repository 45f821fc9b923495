"""The map of activations, drawn: edges, and how well deep kernels on them tell inputs apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy import ndarray

from ntk_eoc.plotting.style import line, points, ramp


def edges(ax: Axes, grid: Sequence[float], found: Mapping[str, tuple[ndarray, ndarray]]) -> None:
    """The Edge of Chaos (sigma_w, stable) of each activation over sigma_b; markers where its variance attracts, or is
    neither drawn nor pushed."""
    for name, (sigma_w, stable) in found.items():
        there, sigma_b = np.isfinite(sigma_w), np.asarray(grid)
        if not there.any():
            continue
        ax.plot(sigma_b[there], sigma_w[there], **line(name))
        marked = stable if stable.any() else there & (there.sum() == 1)
        ax.plot(sigma_b[marked], sigma_w[marked], **points(name), markersize=3.5)
    low, high = (edge(np.concatenate([row[0] for row in found.values()])) for edge in (np.nanmin, np.nanmax))
    ax.set(xlabel=r"$\sigma_b$", ylabel=r"$\sigma_w$", yscale="log" if high > 3 * low else "linear")


def richness(ax: Axes, config: Any, found: Any, trained: Mapping[str, float], limits: Sequence[float]) -> None:
    """Condition numbers of every activation at each depth, dark to light; dotted, what they tend to; at the right the
    trained accuracy."""
    usable = [at for at, row in enumerate(found.condition) if np.isfinite(row).any()]
    for depth, values, color in zip(config.depths, found.condition.T, ramp(len(config.depths)), strict=True):
        ax.plot(values[usable], range(len(usable)), "o", color=color, label=f"depth {depth}")
    for limit in limits:
        ax.axvline(limit, color="black", linestyle=":", linewidth=1.2)
    names = [config.activations[at] for at in usable]
    ax.set_yticks(range(len(usable)), [line(name)["label"] for name in names])
    beside = ax.secondary_yaxis("right")
    beside.set_yticks(range(len(usable)), [f"{trained[n]:.0%}" if n in trained else "not run" for n in names])
    beside.set_ylabel("test accuracy")
    ax.set(xlabel="condition number of the NTK", xscale="log", xlim=(None, 24))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xticks([4, 5, 7, 10, 15], minor=False)
    ax.set_xticks([], minor=True)
    ax.invert_yaxis()
    ax.legend(loc="lower right")


def verdicts(ax: Axes, depths: Sequence[int], rows: Mapping[str, ndarray]) -> None:
    """Condition numbers over depth of several starts of one activation, by name."""
    for (name, values), color in zip(rows.items(), ramp(len(rows)), strict=True):
        ax.plot(depths, values, color=color, marker="o", label=name)
    ax.set(xscale="log", yscale="log", xlabel="depth $L$", ylabel="condition number of the NTK")
    ax.legend()


def training(ax: Axes, found: Mapping[str, ndarray]) -> None:
    """Test accuracy (S, E + 1) against epoch by start: mean, and a band from the worst seed to the best."""
    for (name, accuracy), color, dash in zip(found.items(), ramp(len(found)), ("-", "--", "-."), strict=False):
        epoch, values = np.arange(accuracy.shape[1]), np.nan_to_num(accuracy, nan=0.1)
        ax.plot(epoch, values.mean(axis=0), color=color, linestyle=dash, label=name)
        ax.fill_between(epoch, values.min(axis=0), values.max(axis=0), color=color, alpha=0.25, linewidth=0)
    ax.axhline(0.1, color="0.6", linewidth=1, linestyle=":")
    ax.set(xlabel="epoch", ylabel="test accuracy", ylim=(0, 1.02))
    ax.legend()
