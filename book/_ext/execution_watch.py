"""Has every chapter's kernel watched during the build, and answers what was seen.

A kernel reads its start-up files from IPYTHONDIR and its orders from the environment, so both are set before a
chapter is executed. Nothing is left in the notebooks.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from kernel_watch import FOLDER
from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
STARTUP = """import sys
sys.path.append({path!r})
import kernel_watch
kernel_watch.start()
del kernel_watch, sys
"""


class Cell(NamedTuple):
    """One executed cell: its time, and the largest memory of the kernel until its end."""

    seconds: float
    bytes: int


def folder(app: Sphinx) -> Path:
    """Where this build keeps what its kernels wrote."""
    return Path(app.outdir).parent / ".watch"


def cells(app: Sphinx, page: str) -> dict[int, Cell]:
    """Cells of a page by execution count; none if this build did not execute it."""
    path = folder(app) / page / "cells.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    found = map(json.loads, lines)
    return {entry["cell"]: Cell(entry["seconds"], entry["bytes"]) for entry in found}


def arrays(app: Sphinx, page: str, cell: int) -> list[Path]:
    """Tables of the figures that a cell has shown, in order."""
    return sorted((folder(app) / page).glob(f"{cell}-*.csv"), key=lambda path: int(path.stem.split("-")[1]))


def prepare(app: Sphinx) -> None:
    """An IPython folder with one start-up file; the caller's own IPython set-up stays out of the book."""
    shutil.rmtree(folder(app), ignore_errors=True)
    startup = folder(app) / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "watch.py").write_text(STARTUP.format(path=str(HERE)))
    os.environ["IPYTHONDIR"] = str(startup.parents[1])


def announce(app: Sphinx, page: str, source: list[str]) -> None:
    """The next kernel belongs to this page."""
    place = folder(app) / page
    place.mkdir(parents=True, exist_ok=True)
    os.environ[FOLDER] = str(place)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", prepare)
    app.connect("source-read", announce)
    # Kernels are told apart by the environment, which one process changes in turn.
    return {"parallel_read_safe": False, "parallel_write_safe": True}
