"""Pictures of signal propagation: what ``experiments.propagation`` returns, drawn."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy import ndarray

from ntk_eoc.plotting.style import line, look, palette

PHASES = ("ordered", "edge", "chaotic")
STYLES = ("--", "-", "-.")
MARKERS = ("o", "s", "^")


def phase_colors() -> list[str]:
    """Blue, black, vermilion: the three phases in every picture of this chapter."""
    blue, _, _, vermilion = palette(4)
    return [blue, "black", vermilion]


def cobweb(ax: Axes, x: ndarray, y: ndarray, fixed: ndarray, orbit: ndarray) -> None:
    """Maps y (S, P) over x (P,) with the diagonal, staircases of the orbits (S, steps) and fixed points (S,)."""
    ax.plot(x, x, color="0.6", linewidth=1.0)
    for k, color in enumerate(phase_colors()):
        ax.plot(x, y[k], color=color, linestyle=STYLES[k], label=PHASES[k])
        stairs = np.repeat(orbit[k], 2)
        ax.plot(stairs[:-1], stairs[1:], color=color, linewidth=0.8, alpha=0.7)
        ax.plot(fixed[k], fixed[k], marker=MARKERS[k], color=color, markersize=8, clip_on=False, zorder=5)
    ax.set(xlim=(x[0], x[-1]), ylim=(x[0], x[-1]), aspect="equal")


def layers(ax: Axes, theory: ndarray, mean: ndarray, error: ndarray) -> None:
    """Theory (S, L, K) as lines, networks as points with bars of two standard errors, over the layers l = 1..L."""
    depth = np.arange(1, theory.shape[1] + 1)
    for k, color in enumerate(phase_colors()):
        ax.plot(depth, theory[k], color=color, linestyle=STYLES[k], linewidth=1.2)
        for values, bars in zip(mean[k].T, 2 * error[k].T, strict=True):
            ax.errorbar(depth, values, bars, color=color, marker=MARKERS[k], ls="none", markersize=3, alpha=0.75)
    ax.set(yscale="log", xlim=(0.0, depth[-1] + 1.0))


def phase_legend(ax: Axes, sigma_w: ndarray) -> None:
    """One entry per phase, with its sigma_w."""
    for k, color in enumerate(phase_colors()):
        label = rf"{PHASES[k]}, $\sigma_w={sigma_w[k]:.4g}$"
        ax.plot([], [], color=color, linestyle=STYLES[k], marker=MARKERS[k], label=label)
    ax.legend()


def eoc_curves(ax: Axes, names: Sequence[str], sigma_b: ndarray, sigma_w: ndarray, slope: ndarray) -> None:
    """Edges sigma_w (A, P) over sigma_b; hollow circles where the variance fixed point does not attract."""
    for name, edge, steep in zip(names, sigma_w, slope, strict=True):
        style = look(name)
        if np.isfinite(edge[1:]).any():
            ax.plot(sigma_b, edge, color=style.color, linestyle=style.linestyle, label=style.label)
            loose = steep >= 1.0
            ax.plot(sigma_b[loose], edge[loose], "o", color=style.color, markerfacecolor="white", clip_on=False)
        elif np.isfinite(edge[0]):
            ax.plot(
                sigma_b[0], edge[0], style.marker, color=style.color, label=style.label, markersize=9, clip_on=False
            )
    ax.plot([], [], "o", color="0.3", markerfacecolor="white", label="not attracting")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)
    ax.set(xlabel=r"$\sigma_b$", ylabel=r"$\sigma_w$", xlim=(0.0, sigma_b[-1]), ylim=(0.65, 2.05))


def phase_diagram(ax: Axes, charts: Sequence[tuple[ndarray, ndarray, ndarray]], edge: ndarray) -> None:
    """Depth scales of both phases as colour, lines of equal depth scale, and the edge (E, 2) between them."""
    norm = mpl.colors.LogNorm(1.0, 300.0)
    for sigma_b, sigma_w, xi in charts:
        mesh = ax.pcolormesh(sigma_b, sigma_w, xi, norm=norm, shading="gouraud", rasterized=True)
        lines = ax.contour(sigma_b, sigma_w, xi, levels=[3.0, 10.0, 30.0], colors="white", linewidths=0.8)
        ax.clabel(lines, fmt="%g", fontsize=9)
    ax.figure.colorbar(mesh, ax=ax, extend="both", label=r"depth scale $\xi$ (layers)")
    ax.plot(*edge.T, color=phase_colors()[2], linewidth=2.5, label="Edge of Chaos")
    ax.grid(False)
    ax.set(xlabel=r"$\sigma_b$", ylabel=r"$\sigma_w$", xlim=(edge[0, 0], edge[-1, 0]), ylim=(0.6, 2.4))


def needed_bias(ax: Axes, names: Sequence[str], q: ndarray, needed: ndarray) -> None:
    """The bias variance (A, P) that an edge at variance q would need: an edge exists where it is not negative."""
    ax.axhspan(0.0, 1e5, color="0.93", zorder=0)
    for name, values in zip(names, needed, strict=True):
        ax.plot(q, values, **line(name))
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1.0)
    ax.set(xlabel="variance $q$", ylabel=r"$\sigma_b^2$ that an edge needs", xlim=(q[0], q[-1]), ylim=(-1e3, 1e4))


def twins(ax: Axes, tanh_edge: ndarray, sigmoid_edge: ndarray) -> None:
    """The edge of tanh, and the edge of sigmoid moved onto it; sigmoid networks live below the diagonal."""
    end = float(tanh_edge[-1, 0])
    ax.fill_between([0.0, end], [0.0, end], color=look("sigmoid").color, alpha=0.15, linewidth=0.0)
    ax.plot(*tanh_edge.T, **line("tanh"))
    ax.plot(*sigmoid_edge.T, look("sigmoid").marker, color=look("sigmoid").color, markersize=8, label="sigmoid, moved")
    ax.set(xlabel=r"$\sigma_b$ (tanh)", ylabel=r"$\sigma_w$ (tanh)", xlim=(0.0, end), ylim=(0.0, end))
