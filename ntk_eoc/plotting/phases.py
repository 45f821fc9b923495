"""Figures of the chapter on Proposition 1: arrays of ``ntk_eoc.experiments.phases`` to axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ntk_eoc.plotting.style import line, look, palette, points, ramp

MARKS = ("o", "s", "^", "D", "v")
STROKES = ("-", "--", "-.", ":")


def decay(ax: Axes, runs: Sequence[Any], every: int = 10) -> None:
    """Largest abs(K/lambda - 1) of all pairs (markers) and its leading term (lines) against depth."""
    for run in runs:
        depth = np.arange(1, len(run.worst) + 1)
        ax.semilogy(depth, run.theory, **line(run.activation))
        ax.semilogy(depth[::every], run.worst[::every], **points(run.activation))
    ax.set(xlabel="depth $L$", ylabel=r"largest $|K^L/\lambda-1|$", ylim=(1e-13, 10))
    ax.legend()


def prefactor(ax: Axes, runs: Sequence[Any], power: int, every: int = 6) -> None:
    """Deviation over chi^(L/2) (``power`` 0) or chi^L (1), in units of the derived constant, and what is derived."""
    chosen = [run for run in runs if run.power == power]
    for run in chosen:
        depth = np.arange(1, len(run.worst) + 1)
        shape = depth ** float(power)
        look_of = {**points(run.activation), "label": look(run.activation).label}
        ax.plot(depth[::every], (shape * run.worst / run.theory)[::every], **look_of)
    ax.plot(depth, shape, color="black", linewidth=1, label="derived")
    ax.set(xlabel="depth $L$", title=(r"kink: over $E\,\chi^{L/2}$", r"smoother: over $S\,\chi^{L}$")[power])
    ax.legend()


def bias(axes: Sequence[Axes] | np.ndarray, runs: Sequence[Any], angle_law: float) -> None:
    """Left: K/K(x, x) of one pair. Right: 1 - correlation, with ``angle_law``/L^2. One line for each bias."""
    for run, color, stroke in zip(runs, palette(len(runs)), STROKES, strict=False):
        kept = run.delta > 1e-14
        look_of: dict[str, Any] = {"color": color, "linestyle": stroke, "label": rf"$\sigma_b={run.sigma_b:g}$"}
        axes[0].semilogx(run.depth, run.ratio, **look_of)
        axes[1].loglog(run.depth[kept], run.delta[kept], **look_of)
    axes[0].axhline(0.25, color="black", linewidth=1, linestyle=":")
    axes[1].loglog(runs[0].depth[20:], angle_law / runs[0].depth[20:] ** 2, color="black", linewidth=1, linestyle=":")
    axes[0].set(xlabel="depth $L$", title="$K^L(x,x')\\,/\\,K^L(x,x)$", ylim=(0, 1.05))
    axes[1].set(xlabel="depth $L$", title=r"$1-$correlation", ylim=(1e-9, 3))
    axes[1].legend(loc="lower left")


def chaotic(ax: Axes, found: Any, gaps: Sequence[float]) -> None:
    """K^L/q of an input with itself and of pairs at several distances, with the constant that all pairs tend to."""
    ax.semilogy(found.depth, found.diagonal, color="black", label="$x'=x$")
    for gap, pair, color, stroke in zip(gaps, found.pairs, ramp(len(gaps)), STROKES, strict=False):
        power = f"10^{{{round(np.log10(gap))}}}" if gap < 1 else f"{gap:g}"
        ax.semilogy(found.depth, pair, color=color, linestyle=stroke, label=f"$1-\\cos={power}$")
    ax.axhline(found.limit, color="black", linewidth=1, linestyle=":")
    ax.set(xlabel="depth $L$", ylabel="$K^L/q$", ylim=(1e-2, 1e9))
    ax.legend(loc="upper right")


def learning(axes: Sequence[Axes] | np.ndarray, runs: Sequence[Any], names: Sequence[str]) -> None:
    """Left: smallest eigenvalue with unit diagonal. Right: relative error on training and test images."""
    for run, name, color, mark in zip(runs, names, palette(len(runs)), MARKS, strict=False):
        look_of: dict[str, Any] = {"color": color, "marker": mark, "markevery": 6}
        axes[0].semilogy(run.depth, run.smallest, label=name, **look_of)
        axes[1].plot(run.depth, run.test, **look_of)
        axes[1].plot(run.depth, run.train, linestyle=":", **look_of)
    axes[0].set(xlabel="depth $L$", title="smallest eigenvalue")
    axes[1].set(xlabel="depth $L$", title="error: test —, training ···", ylim=(-0.05, 1.1))
    axes[0].legend(loc="lower left")
