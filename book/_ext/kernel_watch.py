"""Runs inside a chapter's kernel while the book is built, and writes down what the pages say about it.

For each cell: its seconds and the peak memory so far, as a line of cells.jsonl; for each figure that it shows:
the plotted arrays, as <cell>-<number>.csv. The chapters know nothing of it. ``execution_watch`` starts it.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = "BOOK_WATCH"

_drawn: dict[Any, str] = {}  # figures of the running cell; drawn twice, the last word counts
_began = 0.0


def start() -> None:
    """Watch the running IPython shell if the build asks for it."""
    import matplotlib
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None or FOLDER not in os.environ:
        return
    shell.events.register("pre_run_cell", _before)
    shell.events.register("post_run_cell", _after)
    matplotlib.rcParams["figure.hooks"] = [f"{__name__}:follow"]


def follow(fig: Any) -> None:
    """Called by matplotlib with every new figure: keep its arrays whenever it is drawn."""
    fig.canvas.mpl_connect("draw_event", lambda event: _keep(event.canvas.figure))


def _keep(fig: Any) -> None:
    from ntk_eoc.plotting.arrays import table

    _drawn[fig] = table(fig)


def _before(info: Any) -> None:
    global _began
    _drawn.clear()
    _began = time.perf_counter()


def _after(result: Any) -> None:
    folder = Path(os.environ[FOLDER])
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = {"cell": result.execution_count, "seconds": time.perf_counter() - _began, "bytes": used}
    with (folder / "cells.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    for k, text in enumerate(_drawn.values(), start=1):
        (folder / f"{result.execution_count}-{k}.csv").write_text(text)
    _drawn.clear()
