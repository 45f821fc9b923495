"""What a figure shows, as numbers: every curve, point, map and bar of it as the rows of one table."""

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

DIGITS = 9  # more than a picture shows, fewer than differ between machines


class Series(NamedTuple):
    """One artist's points in data coordinates; ``value`` holds the colours' numbers of a map, else nan."""

    panel: int
    kind: str
    label: str
    x: np.ndarray
    y: np.ndarray
    value: np.ndarray


def plotted(fig: Figure) -> list[Series]:
    """Everything drawn in data coordinates, panel by panel from 1, in the order of drawing.

    >>> from matplotlib.figure import Figure
    >>> fig = Figure()
    >>> _ = fig.subplots().plot([1, 2], [3, 4], label="a line")
    >>> [(s.panel, s.kind, s.label, s.x.tolist(), s.y.tolist()) for s in plotted(fig)]
    [(1, 'line', 'a line', [1.0, 2.0], [3.0, 4.0])]
    """
    return [series for panel, ax in enumerate(fig.axes, start=1) for series in _of_axes(panel, ax)]


def table(fig: Figure) -> str:
    """``plotted`` as CSV: a comment per panel with its title and axes, then one row per point.

    >>> from matplotlib.figure import Figure
    >>> fig = Figure()
    >>> ax = fig.subplots()
    >>> _ = ax.set(xlabel="depth", ylabel="variance"), ax.plot([1], [0.5], label="tanh")
    >>> print(table(fig))
    # panel 1: x is depth, y is variance
    panel,kind,series,x,y,value
    1,line,tanh,1,0.5,
    <BLANKLINE>
    """
    text = io.StringIO()
    text.writelines(f"# {line}\n" for line in _titles(fig))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("panel", "kind", "series", "x", "y", "value"))
    for panel, kind, label, *columns in plotted(fig):
        writer.writerows((panel, kind, label, *map(_digits, row)) for row in zip(*columns, strict=True))
    return text.getvalue()


def _titles(fig: Figure) -> Iterator[str]:
    for panel, ax in enumerate(fig.axes, start=1):
        title = f" ({_one_line(ax.get_title())})" if ax.get_title() else ""
        names = [
            f"{name} is {_one_line(said)}" for name, said in (("x", ax.get_xlabel()), ("y", ax.get_ylabel())) if said
        ]
        yield f"panel {panel}{title}: {', '.join(names) or 'no labelled axes'}"


def _of_axes(panel: int, ax: Axes) -> Iterator[Series]:
    for line in ax.lines:
        if line.get_transform() == ax.transData:  # not a guide across the panel, whose ends are no data
            yield _series(panel, "line", line.get_label(), *line.get_data(orig=False))
    for collection in ax.collections:
        yield from _of_collection(panel, collection)
    for image in ax.images:
        values = _plain(image.get_array())
        if values.ndim == 2:
            rows, columns = np.indices(values.shape)
            yield _series(panel, "image", image.get_label(), columns, rows, values)
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    if bars:
        middle = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        yield _series(panel, "bars", "", middle, [bar.get_y() + bar.get_height() for bar in bars])


def _of_collection(panel: int, collection: Collection) -> Iterator[Series]:
    label = collection.get_label()
    if isinstance(collection, QuadMesh):
        corners = np.asarray(collection.get_coordinates())
        middle = (corners[:-1, :-1] + corners[1:, :-1] + corners[:-1, 1:] + corners[1:, 1:]) / 4
        values = _plain(collection.get_array())
        if values.shape == corners.shape[:2]:  # shaded between the corners themselves
            middle = corners
        yield _series(panel, "map", label, middle[..., 0], middle[..., 1], values)
    elif isinstance(collection, PathCollection):
        yield _series(panel, "points", label, *_plain(collection.get_offsets()).T)
    else:
        kind = "segments" if isinstance(collection, LineCollection) else "area"
        for path in collection.get_paths():
            yield _series(panel, kind, label, *np.asarray(path.vertices).T)


def _series(panel: int, kind: str, label: object, x: object, y: object, value: object = None) -> Series:
    points = _plain(x).ravel()
    extra = np.full(points.shape, np.nan) if value is None else _plain(value).ravel()
    name = str(label)  # matplotlib's own names start with an underscore
    return Series(panel, kind, "" if name.startswith("_") else _one_line(name), points, _plain(y).ravel(), extra)


def _plain(array: object) -> np.ndarray:
    """Floats, with nan where something was masked."""
    return np.ma.filled(np.ma.masked_array(array, dtype=float), np.nan)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _digits(number: float) -> str:
    return "" if np.isnan(number) else f"{number:.{DIGITS}g}"
