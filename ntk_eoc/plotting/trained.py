"""Figures of the chapter on trained networks: recorded and live accuracies to axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy import ndarray

from ntk_eoc.plotting.flat_kernel import ACCURACY, depth_scales, heat
from ntk_eoc.plotting.style import line, look, palette

OWN = ("--", "-.", ":", (0, (5, 1.5, 1, 1.5, 1, 1.5)))


def curves(ax: Axes, rows: Mapping[str, ndarray], title: str) -> None:
    """Test accuracy (S seeds, E + 1) against epoch for each row: mean, and a band from the worst seed to the best.

    The paper's activations have their own looks, rows that start elsewhere a colour and line for this figure.
    """
    extra = [name for name in rows if "-" in name]
    looks = dict(zip(extra, zip(palette(len(extra) + 6)[6:], OWN * 2, strict=False), strict=False))
    families: list[str] = []
    for name, accuracy in rows.items():
        epoch, values = np.arange(accuracy.shape[1]), np.nan_to_num(accuracy, nan=0.1)
        style: dict[str, Any] = line(name)
        if name in looks:
            style = {"color": looks[name][0], "linestyle": looks[name][1], "label": name}
        elif (family := name.partition(":")[0]) in families:  # slopes of one family differ in their dashes
            style["linestyle"] = OWN[families.count(family) % len(OWN)]
        families.append(name.partition(":")[0])
        ax.plot(epoch, values.mean(axis=0), **style)
        ax.fill_between(epoch, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.25, linewidth=0)
    ax.axhline(0.1, color="0.6", linewidth=1, linestyle=":")
    ax.set(xlabel="epoch", title=title, ylim=(0, 1.02))


def maps(axes: Sequence[Axes] | ndarray, config: Any, accuracy: ndarray, scales: Mapping[str, Any]) -> None:
    """Accuracy (A, W, D, S), mean over the seeds, over (sigma_w, depth), with the Edge of Chaos and the depth scales
    (dotted) and six times them (solid and dashed); networks that diverged count as guessing."""
    mean = np.nan_to_num(accuracy, nan=0.1).mean(axis=-1)
    for ax, name, values in zip(axes, config.activations, mean, strict=True):
        mesh = heat(ax, config.sigma_w, config.depths, values, **ACCURACY)
        depth_scales(ax, scales[name], 6.0, 6.0)
        ax.set(xlabel=r"$\sigma_w$", title=look(name).label)
        ax.set_yticks(config.depths, [str(depth) for depth in config.depths])
        ax.set_yticks([], minor=True)
        ax.label_outer()
    axes[0].set_ylabel("depth $L$")
    axes[0].figure.colorbar(mesh, ax=list(axes), pad=0.02).set_label("test accuracy")
