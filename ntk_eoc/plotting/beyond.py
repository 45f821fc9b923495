"""Figures of the chapter beyond the paper: what ``experiments.beyond`` returns, drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy import ndarray

from ntk_eoc.plotting.style import line, palette, ramp

DASHES = ("-", "--", "-.")
PHASES = ("ordered", "edge", "chaotic")


def terms(ax: Axes, found: Mapping[str, ndarray], powers: Mapping[str, int]) -> None:
    """Terms (L,) of each activation over l/L, and the powers that they tend to, dotted."""
    for name, parts in found.items():
        place = np.arange(1, len(parts) + 1) / len(parts)
        ax.plot(place, parts, **line(name))
        ax.plot(place, place ** powers[name], color="black", linestyle=":", linewidth=1.2)
    ax.set(xlabel="layer $l/L$", ylabel="term over the last one")
    ax.legend()


def phases(axes: Sequence[Axes] | ndarray, found: Mapping[str, ndarray]) -> None:
    """Shares of the layers in K^L(x, x), left, and in K^L(x, x'), right, by kind of network."""
    for (name, shares), color, dash in zip(found.items(), palette(len(found)), (*DASHES, ":"), strict=True):
        for ax, parts in zip(axes, shares, strict=True):
            ax.plot(np.arange(1, len(parts) + 1), parts, color=color, linestyle=dash, label=name)
    for ax, title in zip(axes, ("one input", "two inputs"), strict=True):
        ax.set(yscale="log", ylim=(1e-8, 2), xlabel="layer $l$", title=title)
        ax.label_outer()
    axes[0].set_ylabel("share of the kernel")


def approach(axes: Sequence[Axes] | ndarray, found: Any) -> None:
    """Left: the ratios of the architectures over depth; right: (ratio - 1/4) times the clock of the scaled one."""
    colors = palette(3)
    beyond = np.append(found.depth, found.depth[-1] * 10.0 ** np.arange(1, len(found.scaled) - len(found.depth) + 1))
    rows = {"dense": (found.depth, found.dense), "residual": (found.depth, found.residual)}
    rows["scaled residual"] = (beyond, found.scaled)
    for (name, (depth, ratio)), color, dash in zip(rows.items(), colors, DASHES, strict=True):
        axes[0].plot(depth, ratio, color=color, linestyle=dash, label=name)
    axes[0].axhline(0.25, color="black", linestyle=":", linewidth=1.2)
    axes[0].set(ylabel="$K^L(x, x')/K^L(x, x)$", ylim=(0.2, 0.32))
    axes[0].legend()
    axes[1].plot(beyond, (found.scaled - 0.25) * found.clock, color=colors[2], linestyle=DASHES[2])
    axes[1].set(ylabel="(ratio $-$ 1/4) times $K^L(x, x)/q^L$", ylim=(0, None))
    for ax in axes:
        ax.set(xscale="log", xlabel="depth $L$")


def convolutions(ax: Axes, found: Mapping[str, tuple[Sequence[int], ndarray]], limits: Sequence[float]) -> None:
    """Normalised kernels of one pair of images, (depths, values) by read-out, with their limits, dotted."""
    for (name, (depths, ratio)), color, dash in zip(found.items(), palette(3), DASHES, strict=True):
        ax.plot(depths, ratio, color=color, linestyle=dash, marker="o", ms=3, label=name)
    for limit in limits:
        ax.axhline(limit, color="black", linestyle=":", linewidth=1.2)
    ax.set(xscale="log", xlabel="depth $L$", ylabel="kernel of two images over their own", ylim=(0, 1.02))


def shares(
    axes: Sequence[Axes] | ndarray,
    depths: Sequence[int],
    found: Mapping[str, Any],
    degrees: int,
    images: Mapping[str, ndarray],
) -> None:
    """Shares of the trace of the lowest degrees over depth, a panel for each phase, with those of the largest and of
    the second eigenvalue of Gram matrices of ``images`` (D, N)."""
    for ax, phase in zip(axes, PHASES, strict=True):
        for degree, color in enumerate(ramp(degrees)):
            ax.plot(depths, np.maximum(found[phase].shares[:, degree], 1e-16), color=color, label=f"degree {degree}")
        for at, (marker, name) in enumerate({"o": "digits, first", "^": "digits, second"}.items()):
            ax.plot(depths, images[phase][:, at], marker, color="black", mfc="none", ms=4, label=name)
        ax.set(xscale="log", yscale="log", xlabel="depth $L$", title=phase, ylim=(1e-8, 2))
        ax.label_outer()
    axes[0].set_ylabel("share of the trace")
