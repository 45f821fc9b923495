"""Figures of the chapter on linear training: arrays of ``ntk_eoc.experiments.linear_*`` to axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ntk_eoc.plotting.style import look, palette, ramp

Axis = Sequence[Axes] | np.ndarray
STROKES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D", "v")


def paths(axes: Axis, followed: Any, steps: Any, y: Sequence[Any], images: Sequence[int], title: str) -> None:
    """The output of the right class for some images, training left and test right: markers are the trained network,
    solid lines Eq. 8 and 9 with the limiting kernel, dotted ones with the network's own."""
    t = np.asarray(steps)
    for side, (ax, targets) in enumerate(zip(axes, y, strict=True)):
        network, limit, own = (np.asarray(part[side]) for part in followed)
        for image, color, mark in zip(images, palette(len(images)), MARKS, strict=False):
            at = (slice(None), image, int(np.argmax(targets[image])))
            ax.plot(t, limit[at], color=color)
            ax.plot(t, own[at], color=color, linestyle=":")
            ax.plot(t, network[at], color=color, marker=mark, linestyle="none", markersize=4)
        ax.axhline(0.9, color="0.6", linewidth=1)
        ax.set(title=f"{title}, {('training', 'test')[side]}", ylim=(-1.4, 1.7))
        _from_step_0(ax, t[-1])


def widths(ax: Axes, found: Any, live: Any, activation: str, powers: tuple[float, float]) -> None:
    """Distances on test inputs from Eq. 9 with the limiting (filled) and the network's own kernel (open) against width:
    dots for each network, markers for the means, crosses for ``live`` means, lines of the expected ``powers``."""
    style, n = look(activation), found.widths
    names = ("limiting kernel", "own kernel")
    rows = zip((found.limit[1], found.own[1]), (live.limit[1], live.own[1]), powers, names, strict=True)
    for k, (values, now, power, name) in enumerate(rows):
        mean, face = values.mean(axis=1), (style.color, "white")[k]
        ax.loglog(n, values, color=style.color, marker=".", markersize=3, linestyle="none", alpha=0.4)
        ax.loglog(n, mean, color=style.color, marker=style.marker, markerfacecolor=face, linestyle="none", label=name)
        ax.loglog(live.widths, now.mean(axis=1), color="black", marker="x", linestyle="none", zorder=4)
        ax.loglog(n, mean[-1] * (n / n[-1]) ** power, color="black", linewidth=1, linestyle=STROKES[k])
    ax.set(xlabel="width $n$", title=style.label, ylim=(3e-3, 0.6))
    ax.legend(loc="lower left", handletextpad=0.2)


def cloud(ax: Axes, outputs: np.ndarray, predicted: tuple[np.ndarray, np.ndarray], steps: Any, shown: int = 25) -> None:
    """One output of many networks (thin lines), the predicted mean with two standard deviations on each side (band),
    and the mean over all networks with two standard errors (markers). ``outputs`` (T, S), ``predicted`` (T,) each."""
    mean, deviation = predicted
    colors, error = palette(2), outputs.std(axis=1, ddof=1) / np.sqrt(outputs.shape[1])
    at = np.arange(len(steps))
    ax.fill_between(at, mean - 2 * deviation, mean + 2 * deviation, color=colors[0], alpha=0.25, linewidth=0)
    ax.plot(at, outputs[:, :shown], color="0.55", linewidth=0.6)
    ax.plot(at, mean, color=colors[0], label="predicted")
    ax.errorbar(at, outputs.mean(axis=1), 2 * error, color=colors[1], fmt="o", label="sampled", zorder=4)
    ax.set_xticks(at, [str(step) for step in steps])
    ax.set(xlabel="step", title="one output, one test image")
    ax.legend(loc="upper left")


def spread(ax: Axes, found: Any, line: tuple[float, float]) -> None:
    """Variance of trained networks over the predicted one against 1/n, and the straight line (intercept, slope)."""
    x = 1 / found.widths
    ends = np.array([0.0, 1.1 * x.max()])
    ax.plot(ends, line[0] + line[1] * ends, color="black", linewidth=1)
    ax.errorbar(x, found.ratio, 2 * found.error, color=palette(1)[0], fmt="o")
    ax.set_xticks(x, [f"1/{int(n)}" for n in found.widths], rotation=45)
    ax.set(xlabel="1/width", title="variance, sampled / predicted", xlim=(0, ends[1]), ylim=(0.7, 1.1))


def steps(ax: Axes, found: Any) -> None:
    """Distance between descent and flow at one time against the learning rate, over the stability bound."""
    colors = palette(2)
    ax.loglog(found.rates, found.derived, color="black", linewidth=1, label="derived, linear")
    ax.loglog(found.rates, found.linear, color=colors[0], marker="o", linestyle="none", label="linear model")
    ax.loglog(found.rates, found.network, color=colors[1], marker="^", linestyle="none", label="network")
    ax.set_xticks(found.rates, [f"1/{round(1 / rate)}" for rate in found.rates], minor=False)
    ax.set_xticks([], minor=True)
    ax.set(xlabel=r"$\eta$ over $2N/\lambda_{\max}$", title="distance, descent to flow", ylim=(0.01, 2))
    ax.legend(loc="upper left", handletextpad=0.2)


def bound(ax: Axes, found: Any, last: int = 24) -> None:
    """The largest eigenvector's part of the residual: linear model (lines) and network (markers), for each rate."""
    rows = zip(found.shares, found.linear, found.network, ramp(len(found.shares)), STROKES, MARKS, strict=False)
    for share, linear, network, color, stroke, mark in rows:
        ax.semilogy(found.steps, linear, color=color, linestyle=stroke, label=f"{share:g}")
        ax.semilogy(found.steps[::3], network[::3], color=color, marker=mark, linestyle="none", markersize=4)
    ax.set(xlabel="step", title="part along the top eigenvector", xlim=(0, last), ylim=(1e-3, 1e5))
    ax.legend(loc="upper left", ncols=2, columnspacing=0.8, handletextpad=0.4)


def lemma(ax: Axes, runs: Sequence[Any], moments: Any, title: str) -> None:
    """Norm of f - Y against steps for targets with and without a part that cannot be learned, and that part."""
    names = ("any targets", "reachable")
    for run, color, mark, name in zip(runs, palette(2), MARKS, names, strict=False):
        ax.semilogy(moments, run.formula, color=color, label=name)
        ax.semilogy(moments, run.network, color=color, marker=mark, linestyle="none")
    ax.axhline(runs[0].floor, color="black", linewidth=1, linestyle=":")
    ax.set(xlabel="step", title=title, ylim=(1e-5, 3))
    _from_step_0(ax, moments[-1])


def scales(ax: Axes, found: Sequence[Any], names: Sequence[str]) -> None:
    """N/lambda_min against depth; the ordered phase with 1/(L chi^L), fitted at the end (black)."""
    for run, color, stroke, name in zip(found, palette(len(found)), STROKES, names, strict=False):
        ax.semilogy(run.depth, run.slowest, color=color, linestyle=stroke, label=name)
    run = found[0]
    law = run.chi**-run.depth / run.depth
    ax.semilogy(run.depth[10:], (law * run.slowest[-1] / law[-1])[10:], color="black", linewidth=1, linestyle=":")
    ax.set(xlabel="depth $L$", title=r"slowest time $N/\lambda_{\min}$", ylim=(1e-4, 1e9))
    ax.legend(loc="upper left")


def losses(ax: Axes, ordered: Any, edge: Any, depths: Sequence[int], moments: Any) -> None:
    """Loss over its start against steps, at some depths: ordered phase (solid) and Edge of Chaos (dashed)."""
    for depth, one, other, color in zip(depths, ordered, edge, ramp(len(depths)), strict=True):
        ax.semilogx(moments, one, color=color, label=f"$L={depth}$")
        ax.semilogx(moments, other, color=color, linestyle="--")
    ax.set(xlabel="step", title="loss: ordered —, edge - -", ylim=(0, 1.02))
    ax.legend(loc="upper right")


def _from_step_0(ax: Axes, last: Any) -> None:
    """A logarithmic axis of steps that has room for step 0, where a network is as it was initialised."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.5)
    ax.set_xlim(-0.15, 1.4 * last)
