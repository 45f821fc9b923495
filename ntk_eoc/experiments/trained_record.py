"""What ``ntk-eoc reproduce`` has recorded of Figure 2 and Table 1, beside what the paper prints."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from ntk_eoc import records
from ntk_eoc.experiments import table1


class Row(NamedTuple):
    """A trained row: its name in ``table1``, and test ``accuracy`` of S seeds before and after each of E epochs, NaN
    from the epoch on in which a seed diverged."""

    name: str
    sigma_b: float
    sigma_w: float
    accuracy: Float32[ndarray, "S E1"]


class Record(NamedTuple):
    """Rows on one data set at one size, with the ``seconds`` that an epoch of one seed took in the median."""

    dataset: str
    width: int
    depth: int
    seconds: float
    rows: dict[str, Row]


def load(path: str | Path) -> Record:
    """A file ``ITEM_DATASET_WIDTHxDEPTH.npz``; ``ValueError`` if it is not what was recorded."""
    arrays, about = records.load(path)
    rows = zip(*(arrays[name] for name in ("activation", "sigma_b", "sigma_w", "test_accuracy")), strict=True)
    found = {str(name): Row(str(name), float(b), float(w), accuracy) for name, b, w, accuracy in rows}
    width, depth = map(int, Path(path).stem.rsplit("_", 1)[1].split("x"))
    return Record(about["config"]["dataset"], width, depth, float(np.nanmedian(arrays["seconds"])), found)


def wins(one: Row, other: Row, epoch: int = -1) -> float:
    """The share of pairs of seeds in which ``one`` has the higher accuracy after an epoch; one that diverged loses.

    >>> good, bad = (Row("", 0.0, 1.0, np.array([[0.1, value]], np.float32)) for value in (0.9, 0.4))
    >>> wins(good, bad), wins(bad, good)
    (1.0, 0.0)
    """
    a, b = (np.nan_to_num(row.accuracy[:, epoch], nan=-1.0) for row in (one, other))
    return float(np.mean(a[:, None] > b[None, :]))


def summary(row: Row, epoch: int) -> tuple[float, float]:
    """Mean and standard deviation over the seeds of the accuracy after an epoch, in per cent; NaN with one seed."""
    values = 100 * row.accuracy[:, epoch].astype(float)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan


def beside(name: str, dataset: str, epochs: int, found: Record | None) -> dict[str, Any]:
    """A line of Table 1: the paper's number, ours (None if not run), their difference in units of the combined spread.

    >>> beside("elu", "mnist", 10, None)["printed"]
    (91.63, 2.21)
    """
    printed = table1.printed(name, dataset, epochs)
    row = found.rows.get(name) if found else None
    ours = summary(row, epochs) if row is not None and row.accuracy.shape[1] > epochs else None
    spread = math.hypot(np.nan_to_num(ours[1]), printed.spread) if ours and printed else math.nan  # one seed has none
    gap = (ours[0] - printed.mean) / spread if ours and printed else None
    return {"name": name, "printed": printed and tuple(printed), "ours": ours, "gap": gap}


def hours(found: Record, width: int, depth: int, epochs: int, seeds: int) -> float:
    """Hours that a row would take at another size on the same machine: time grows like width^2 depth.

    >>> round(hours(Record("mnist", 100, 10, 36.0, {}), 200, 10, 100, 5), 9)
    20.0
    """
    larger = (width / found.width) ** 2 * depth / found.depth
    return found.seconds * larger * epochs * seeds / 3600


def table(dataset: str, found: Mapping[int, Record | None]) -> str:
    """Table 1 for one data set as Markdown: for each number of epochs the paper's accuracy and ours, with their
    difference in units of the combined spread.

    >>> print(table("mnist", {10: None}).splitlines()[2])
    | relu | 46.53 ± 12.01 | not run |
    """
    heads = [text for epochs in found for text in (f"paper, {epochs} epochs", "here")]
    lines = [" | ".join(["| activation", *heads]) + " |", "|---" * (1 + len(heads)) + "|"]
    for name in table1.PAPER:
        cells = [name]
        for epochs, record in found.items():
            line = beside(name, dataset, epochs, record)
            here = "not run" if line["ours"] is None else _number(line["ours"])
            gap = "" if line["gap"] is None else f" ({line['gap']:+.1f})"
            cells += [_number(line["printed"]), here + gap]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def listing(found: Mapping[str, Record], epochs: int) -> str:
    """Accuracies of several records side by side as Markdown: mean and standard deviation in per cent, seeds; every row
    of ``table1``, run or not.

    >>> row = Row("relu", 0.0, 1.4, np.array([[0.1, 0.5], [0.1, 0.7]], np.float32))
    >>> print(listing({"small": Record("digits", 8, 4, 1.0, {"relu": row})}, 1).splitlines()[2])
    | relu | 60.00 ± 14.14 (2) |
    >>> lost = row._replace(accuracy=row.accuracy * np.nan)
    >>> print(listing({"small": Record("digits", 8, 4, 1.0, {"relu": lost})}, 1).splitlines()[2])
    | relu | diverged (2) |
    """
    lines = [" | ".join(["| activation", *found]) + " |", "|---" * (1 + len(found)) + "|"]
    for name in table1.names(["paper", "ours"]):
        rows = [record.rows.get(name) for record in found.values()]
        cells = [f"{_number(summary(row, epochs))} ({len(row.accuracy)})" if row else "not run" for row in rows]
        lines.append(" | ".join([f"| {name}", *cells]) + " |")
    return "\n".join(lines)


def _number(found: Sequence[float]) -> str:
    if math.isnan(found[0]):
        return "diverged"
    return f"{found[0]:.2f} ± {found[1]:.2f}" if math.isfinite(found[1]) else f"{found[0]:.2f}"
