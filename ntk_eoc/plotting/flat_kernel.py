"""Figures of the chapter on flat kernels: arrays of ``ntk_eoc.experiments.flat_kernel`` and ``flat_laws`` to axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from numpy import ndarray

from ntk_eoc.plotting import style

ACCURACY = {"vmin": 0.1, "vmax": 1.0}
CONDITION = {"vmin": 0.0, "vmax": 20.0, "cmap": "cividis_r"}
HALO = (patheffects.withStroke(linewidth=2.6, foreground="black"),)
MARKS = ("o", "s", "^", "D", "v")
STROKES = ("-", "--", "-.", ":")


def heat(ax: Axes, sigma_w: Sequence[float], depths: Sequence[int], values: ndarray, **colors: Any) -> QuadMesh:
    """Values (S, D) as coloured cells over (sigma_w, depth), the depth on a logarithmic axis."""
    w, log_depth = np.asarray(sigma_w), np.log(np.asarray(depths, dtype=float))
    mesh = ax.pcolormesh(_edges(w), np.exp(_edges(log_depth)), values.T, rasterized=True, **colors)
    ax.set(yscale="log", xlim=_edges(w)[[0, -1]], ylim=np.exp(_edges(log_depth)[[0, -1]]))
    ax.grid(False)
    return mesh


def _edges(centres: ndarray) -> ndarray:
    middle = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def depth_scales(ax: Axes, scales: Any, ordered: float, chaotic: float) -> None:
    """The Edge of Chaos (solid, upright) and multiples of the depth scales: once (dotted), ``ordered`` times (solid)
    and ``chaotic`` times (dashed)."""
    box = ax.axis()
    look: dict[str, Any] = {"color": "white", "linewidth": 1.3, "path_effects": HALO}
    if scales.edge is not None:
        ax.axvline(scales.edge, **look)
    for xi, times, stroke in ((scales.ordered, ordered, "-"), (scales.chaotic, chaotic, "--")):
        ax.plot(scales.sigma_w, xi, linestyle=":", **look)
        ax.plot(scales.sigma_w, times * xi, linestyle=stroke, **look)
    ax.axis(box)


def maps(
    axes: ndarray, found: Mapping[str, Any], scales: Mapping[str, Any], budget: int, multiples: tuple[float, float]
) -> None:
    """Rows of ``axes``: accuracy in training, in the test, and (if there is a third) the conditioning. Columns:
    activations. ``budget`` is the index of the training budget, ``multiples`` those of ``depth_scales``."""
    for column, (name, one) in zip(axes.T, found.items(), strict=True):
        rows = [one.accuracy[:, :, budget, side] for side in (0, 1)] + [one.log_condition]
        for row, (ax, values) in enumerate(zip(column, rows, strict=False)):
            mesh = heat(ax, one.family.sigma_w, one.depths, values, **(ACCURACY if row < 2 else CONDITION))
            depth_scales(ax, scales[name], *multiples)
            if ax is axes[row, -1]:
                bar = ax.figure.colorbar(mesh, ax=list(axes[row]), extend="neither" if row < 2 else "max", pad=0.02)
                bar.set_label(("training", "test", r"$\log_{10}$ condition")[row])
            ax.label_outer()
        column[0].set_title(style.look(name).label)
        column[-1].set_xlabel(r"$\sigma_w$")
    for ax in axes[:, 0]:
        ax.set_ylabel("depth $L$")


def budgets(
    axes: ndarray, found: Any, scales: Any, columns: Mapping[str, int], ordered: Sequence[float], chaotic: float
) -> None:
    """One activation: accuracy in training (first row) and in the test, by the indices ``columns`` of budgets.

    ``ordered`` is the multiple of the depth scale that belongs to each of them (NaN for none)."""
    for column, (title, budget), times in zip(axes.T, columns.items(), ordered, strict=True):
        for side, ax in enumerate(column):
            values = found.accuracy[:, :, budget, side]
            mesh = heat(ax, found.family.sigma_w, found.depths, values, **ACCURACY)
            depth_scales(ax, scales, times, chaotic)
            if ax is axes[side, -1]:
                ax.figure.colorbar(mesh, ax=list(axes[side]), pad=0.02).set_label(("training", "test")[side])
            ax.label_outer()
        column[0].set_title(title)
        column[-1].set_xlabel(r"$\sigma_w$")
    for ax in axes[:, 0]:
        ax.set_ylabel("depth $L$")


def laws(ax: Axes, found: Sequence[Any], names: Sequence[str]) -> None:
    """Measured numbers (markers) and their theory (lines) against depth, semi-logarithmic."""
    for law, name, color, mark, stroke in zip(found, names, style.palette(len(found)), MARKS, STROKES, strict=False):
        ax.semilogy(law.depth, law.theory, color=color, linestyle=stroke, linewidth=1.2)
        ax.semilogy(law.depth, law.measured, color=color, marker=mark, linestyle="none", label=name)
    ax.set(xlabel="depth $L$")
    ax.legend()


def single(axes: Sequence[Axes] | ndarray, runs: Sequence[Any], titles: Sequence[str]) -> None:
    """Shares of test images that are right, for the mean over networks (line) and for one network (markers)."""
    for ax, run, title in zip(axes, runs, titles, strict=True):
        ax.semilogx(run.depth, run.mean, color="black", label="mean")
        ax.semilogx(run.depth, run.one, color=style.palette(1)[0], marker="o", linestyle="--", label="one network")
        ax.set(xlabel="depth $L$", title=title, ylim=(0, 1.02))
    axes[0].set_ylabel("right in the test")
    axes[len(axes) // 2].legend(loc="lower left")
