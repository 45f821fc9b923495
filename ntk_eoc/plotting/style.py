"""How every figure looks: one fixed colour, line and marker per activation, sizes, a white page.

Nothing happens at import. A chapter calls ``use_style()`` in its first cell; other code draws inside
``with styled():``, which leaves matplotlib as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 6.4  # inches: at this width 11 pt type is still read on a phone
SINGLE, DOUBLE, TALL = (WIDTH, 3.8), (WIDTH, 3.1), (WIDTH, 6.2)  # one panel, two side by side, two rows

_RC: dict[Any, Any] = {
    "figure.figsize": SINGLE,
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    "savefig.facecolor": "white",
    "font.size": 11.0,
    "axes.labelsize": 11.5,
    "axes.titlesize": 11.5,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.5,
    "grid.color": "0.88",
    "image.cmap": "cividis",
    "mathtext.fontset": "cm",
}


class Look(NamedTuple):
    """What belongs to one activation in every chapter. No two share both colour and line."""

    label: str
    color: str
    linestyle: Any  # what matplotlib takes: a name or a pattern of dashes
    marker: str


_COLORS = tuple(sns.color_palette("colorblind", 10).as_hex())
_DASHDOTDOT = (0, (5, 1.5, 1, 1.5, 1, 1.5))
_LOOKS = {
    "relu": Look("ReLU", _COLORS[0], "-", "o"),
    "leaky_relu": Look("leaky ReLU", _COLORS[9], "--", "h"),
    "prelu": Look("PReLU", _COLORS[9], ":", "p"),
    "elu": Look("ELU", _COLORS[3], "--", "s"),
    "selu": Look("SELU", _COLORS[5], "-.", "D"),
    "tanh": Look("tanh", _COLORS[2], "-.", "^"),
    "erf": Look("erf", _COLORS[4], ":", "v"),
    "sigmoid": Look("sigmoid", _COLORS[1], "-", "P"),
    "softplus": Look("softplus", _COLORS[7], "--", "X"),
    "silu": Look("SiLU", _COLORS[1], ":", "<"),
    "gelu": Look("GELU", _COLORS[6], _DASHDOTDOT, ">"),
    "sin": Look("sin", _COLORS[8], "-", "*"),
    "hard_tanh": Look("hard tanh", _COLORS[2], _DASHDOTDOT, "d"),
    "identity": Look("identity", _COLORS[7], ":", "."),
}
_OWN = Look("phi", "black", "-", "o")  # a function of the user's own


def palette(n: int) -> list[str]:
    """n colours of the colour-blind-safe palette for things that are no activations (sigmas, inputs).

    >>> len(palette(4))
    4
    """
    return list(sns.color_palette("colorblind", n).as_hex())


def ramp(n: int) -> list[str]:
    """n colours from dark to light for an ordered quantity (depths, widths); none is too pale for white.

    >>> len(ramp(3))
    3
    """
    return list(sns.color_palette("viridis", n + 1).as_hex()[:n])


def look(name: str) -> Look:
    """The look of an activation by name; a slope after a colon changes the label only.

    >>> look("relu").label, look("leaky_relu:0.3").label, look("mine").label
    ('ReLU', 'leaky ReLU 0.3', 'mine')
    """
    family, _, slope = name.partition(":")
    found = _LOOKS.get(family, _OWN._replace(label=name))
    return found._replace(label=f"{found.label} {slope}") if slope and family in _LOOKS else found


def line(name: str) -> dict[str, Any]:
    """Keywords for ``Axes.plot``: a theory curve of an activation, labelled.

    >>> line("relu")["linestyle"]
    '-'
    """
    return {"label": look(name).label, "color": look(name).color, "linestyle": look(name).linestyle}


def points(name: str) -> dict[str, Any]:
    """Keywords for ``Axes.plot`` or ``errorbar``: measured values of an activation, unlabelled markers.

    >>> points("relu")["marker"]
    'o'
    """
    return {"color": look(name).color, "marker": look(name).marker, "linestyle": "none"}


def use_style() -> None:
    """Set matplotlib's defaults for the rest of this session."""
    mpl.rcParams.update(_RC)


@contextmanager
def styled() -> Iterator[None]:
    """The style inside a ``with`` block only."""
    with mpl.rc_context(_RC):
        yield


def direct_label(ax: Axes, x: float, y: float, text: str, color: str) -> None:
    """Text beside a curve's end, in the curve's colour: read without a legend."""
    ax.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", color=color, va="center", fontsize=10.5)


def save(fig: Figure, path: str | Path) -> Path:
    """Write a figure without what changes from run to run (dates, versions); make its folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, metadata={"Software": None} if path.suffix == ".png" else {"Date": None})
    return path
