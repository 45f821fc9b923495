"""Figures of the chapter on Proposition 3: arrays of ``ntk_eoc.experiments.residual`` to axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ntk_eoc.plotting.style import look, palette

STROKES = ("-", "--", "-.", (0, (5, 1.5, 1, 1.5, 1, 1.5)), ":")
MARKS = ("o", "s", "^", "D", "v")


def _sigma_w(value: float) -> str:
    return r"$\sigma_w=\sqrt{2}$" if abs(value**2 - 2.0) < 1e-12 else rf"$\sigma_w={value:g}$"


def _network(activation: str, sigma_w: float) -> str:
    return f"{look(activation).label}, {_sigma_w(sigma_w)}"


def universal(axes: Sequence[Axes] | np.ndarray, runs: Sequence[Any], limit: float, coefficient: float) -> None:
    """Left: K(x, x')/K(x, x) with its limit. Right: what is left of it over p, from its value at the last depth."""
    for run, color, stroke in zip(runs, palette(len(runs)), STROKES, strict=False):
        look_of: dict[str, Any] = {
            "color": color,
            "linestyle": stroke,
            "label": _network(*run.network),
        }
        axes[0].semilogx(run.depth, run.ratio, **look_of)
        deep = run.depth >= 100
        axes[1].semilogx(run.depth[deep], (run.rest - run.rest[-1])[deep], **look_of)
    theory = coefficient * np.log(run.depth[deep] / run.depth[-1])
    axes[0].axhline(limit, color="black", linewidth=1, linestyle=":", zorder=0)
    axes[1].semilogx(run.depth[deep], theory, "k.", markevery=5, label=rf"${coefficient:g}\,\log L$ + const", zorder=3)
    axes[0].set(xlabel="depth $L$", title="$K^L(x,x')\\,/\\,K^L(x,x)$")
    axes[1].set(xlabel="depth $L$", title=r"$(\kappa^L-pL/4)/p$, from its end", ylim=(-6, 0.3))
    axes[0].figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)


def normalised(axes: Sequence[Axes] | np.ndarray, runs: Sequence[Any]) -> None:
    """log10 of the kernel over the printed normaliser (left) and over ours (right)."""
    for run, color, stroke in zip(runs, palette(len(runs)), STROKES, strict=False):
        look_of: dict[str, Any] = {"color": color, "linestyle": stroke, "label": _sigma_w(run.sigma_w)}
        axes[0].semilogx(run.depth, run.printed, **look_of)
        axes[1].semilogx(run.depth, run.ours, **look_of)
    axes[0].set(xlabel="depth $L$", ylim=(-12, 4), title=r"$\log_{10}\,K^L/(\alpha_L 2^L q^1)$")
    axes[1].set(xlabel="depth $L$", title=r"$\log_{10}\,K^L/(L\,p\,(1+s)^{L-1} q^1)$")
    axes[1].axhline(np.log10(0.25), color="black", linewidth=1, linestyle=":")
    axes[0].legend(loc="lower left")


def invertible(ax: Axes, runs: Sequence[Any], limit: float) -> None:
    """Smallest eigenvalue of the Gram matrix with unit diagonal against depth, with its limit."""
    for run, color, mark in zip(runs, palette(len(runs)), MARKS, strict=False):
        ax.semilogx(run.depth, run.smallest, color=color, marker=mark, label=_sigma_w(run.sigma_w))
    ax.axhline(limit, color="black", linewidth=1, linestyle=":")
    ax.set(xlabel="depth $L$", ylabel="smallest eigenvalue", ylim=(0, 1.02))
    ax.legend(loc="upper left")
