"""The explorer at its first state as a picture, for readers without scripts and for when a table is missing."""

from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from numpy import ndarray

from ntk_eoc.activations import NAMED
from ntk_eoc.depth import depth_kernels
from ntk_eoc.meanfield import correlation_map, eoc_points, phase, variance_map
from ntk_eoc.plotting.style import WIDTH, palette, save, styled

# What the page shows first (`DEFAULTS` in state.js; a test compares).
ACTIVATION, SIGMA_B, SIGMA_W, DEPTH, COSINE = "tanh", 0.2, 1.2, 200, 0.5
STEPS = 60  # layers of a cobweb


class Panels(NamedTuple):
    """The curves of the four panels, each as columns x, y; ``limit`` is 1/(1 - chi), K/q in the end."""

    edge: Float64[ndarray, "E 2"]
    kernel: Float64[ndarray, "L 2"]
    variance: Float64[ndarray, "Q 2"]
    correlation: Float64[ndarray, "C 2"]
    orbit: Float64[ndarray, "S 2"]
    limit: float


def panels() -> Panels:
    """Everything that the picture draws, from the package's own functions."""
    act, sigmas = NAMED[ACTIVATION], {"sigma_b": SIGMA_B, "sigma_w": SIGMA_W}
    sigma_b = 2.0 * np.linspace(0.0, 1.0, 25) ** 2
    edge = np.array([(value, eoc_points(act, float(value))[0].sigma_w) for value in sigma_b])
    depths = np.union1d(np.arange(1, STEPS + 1), np.geomspace(1, 10**4, 120).round().astype(int))
    found = depth_kernels(act, COSINE, depths, sigma_b=SIGMA_B, sigma_w=SIGMA_W)
    place = phase(act, **sigmas)
    q = np.linspace(0.0, 1.25 * float(found.q[0]), 80)
    delta = 2.0 * np.sin(np.linspace(0.0, np.pi / 2, 80)) ** 2
    turned = np.asarray(correlation_map(act, jnp.array(place.q), jnp.asarray(delta), **sigmas))
    return Panels(
        edge,
        np.array([depths, found.ntk / found.q / depths]).T,
        np.array([q, np.asarray(variance_map(act, jnp.asarray(q), **sigmas))]).T,
        np.array([1.0 - delta, 1.0 - turned]).T,
        np.array([found.q, 1.0 - found.delta]).T[:STEPS],
        1.0 / (1.0 - place.chi),
    )


def draw(out: Path) -> Path:
    """Draw the four panels into the folder ``out``; returns the picture's path."""
    found, blue = panels(), palette(1)[0]
    with styled():
        fig, axes = plt.subplots(2, 2, figsize=(1.25 * WIDTH, WIDTH))
        _diagram(axes[0, 0], found, blue)
        _kernel(axes[0, 1], found, blue)
        for ax, curve, orbit, name in (
            (axes[1, 0], found.variance, found.orbit[:, 0], "variance"),
            (axes[1, 1], found.correlation, found.orbit[:, 1], "correlation"),
        ):
            ends = [curve[:, 0].min(), curve[:, 0].max()]
            ax.plot(ends, ends, ":", color="0.4", lw=1.0)
            ax.plot(*curve.T, color="black")
            ax.plot(np.repeat(orbit, 2)[:-1], np.repeat(orbit, 2)[1:], color=blue, lw=1.3)
            ax.plot(orbit[0], orbit[0], "o", color=blue)
            ax.set(xlabel=f"{name} at one layer", ylabel="and at the next", xlim=ends, title=f"{name.capitalize()} map")
        fig.suptitle(rf"{ACTIVATION}, $\sigma_w = {SIGMA_W}$, $\sigma_b = {SIGMA_B}$, {DEPTH} layers, cosine {COSINE}")
        path = save(fig, out / "picture.png")
        plt.close(fig)
    return path


def _diagram(ax: Axes, found: Panels, blue: str) -> None:
    orange = palette(4)[3]
    sigma_b, sigma_w = found.edge.T
    ax.fill_between(sigma_b, sigma_w, 0.0, color=blue, alpha=0.35, lw=0)
    ax.fill_between(sigma_b, sigma_w, 4.0, color=orange, alpha=0.35, lw=0)
    ax.plot(sigma_b, sigma_w, color="black")
    ax.plot(SIGMA_B, SIGMA_W, "o", color=blue, ms=9, mec="white")
    ax.text(1.0, 0.7, "ordered", ha="center")
    ax.text(1.0, 3.0, "chaotic", ha="center")
    ax.set(xlim=(0, 2), ylim=(0, 4), xlabel=r"biases $\sigma_b$", ylabel=r"weights $\sigma_w$", title="Phase diagram")


def _kernel(ax: Axes, found: Panels, blue: str) -> None:
    depth, per_layer = found.kernel.T
    ax.plot(depth, found.limit / depth, "--", color="black", lw=1.3)
    ax.plot(depth, per_layer, color=blue, alpha=0.5)
    ax.plot(depth[depth <= DEPTH], per_layer[depth <= DEPTH], color=blue, lw=2.6)
    ax.axvline(DEPTH, ls=":", color="0.4", lw=1.0)
    ax.set(xscale="log", xlim=(1, 10**4), ylim=(0, 1), xlabel="depth $L$", ylabel="$K^L/(L\\,q)$")
    ax.set_title("Tangent kernel against depth")
