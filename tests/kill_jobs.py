"""What ``kills`` stops: command lines of ntk-eoc, what is finished in their folders, and what a folder may hold.

A new one is one line of ``JOBS``. Every run gets ``--out`` a folder of its own; the working folder holds ``x.npy``.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ntk_eoc import records
from ntk_eoc.training import checkpoint

Units = dict[str, Any]  # a finished piece of work, and a value that is another one if it is computed again
TIMES = ("seconds", "spent", "sha256", "about")  # in arrays: what no two runs share
OF_THE_RUN = ("seconds", "sha256", "arrays", "commit", "device")  # and in JSON


class Job(NamedTuple):
    """A command line without its folder; the finished units of a folder; from what a whole run prints, how many units
    it computed, if it tells."""

    line: tuple[str, ...]
    units: Callable[[Path], Units]
    computed: Callable[[str], int] | None = None


def ntk_eoc(words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "ntk_eoc.cli", *words.split())


def once(pattern: str) -> Callable[[Path], Units]:
    """Files that are written when they are finished, and never again."""

    def units(out: Path) -> Units:
        return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in shown(out) if path.match(pattern)}

    return units


def epochs(out: Path) -> Units:
    """Epochs of each seed, which take other seconds if they are trained again, and finished rows."""
    found = once("row.npz")(out)
    for path in out.rglob("seeds-*.npz"):
        with np.load(path) as npz:
            found |= {f"{path.parent.name} {path.stem} epoch {i + 1}": s for i, s in enumerate(npz["seconds"][0])}
    return found


def blocks(out: Path) -> Units:
    """The blocks of a Gram matrix that are marked as done."""
    path = out / "done.npy"
    return {f"block {i}": True for i in np.flatnonzero(np.load(path))} if path.is_file() else {}


def computed_blocks(said: str) -> int:
    return int(json.loads(said)["computed"])


TRAINING = "reproduce fig2 --dataset digits --width 24 --depth 6 --epochs 3 --seeds 2 --activations relu tanh --resume"
GRAM = "x.npy --resume --json --memory 1800 --sigma-b"
JOBS = {
    "training": Job(ntk_eoc(TRAINING), epochs),
    "gram, one table": Job(ntk_eoc(f"gram relu {GRAM} 0 --sigma-w 1.414 --depth 20"), blocks, computed_blocks),
    "gram, layers": Job(ntk_eoc(f"gram tanh {GRAM} 0.2 --sigma-w 1.3 --depth 3"), blocks, computed_blocks),
    "record": Job(ntk_eoc("reproduce fig1a --quick"), once("fig1a.npz")),
    "verification": Job(ntk_eoc("verify --only prop2a prop3 fig1a fig1b fig1c --resume"), once("[fp]*.json")),
}


def shown(out: Path) -> list[Path]:
    """The files of a folder under their final names."""
    return sorted(path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))


def torn(out: Path) -> list[str]:
    """A sentence for each file that is not whole under its final name; a log may end within a line."""
    found = []
    for path in shown(out):
        try:
            _read(path)
        except Exception as error:
            found.append(f"{path.relative_to(out)} is not whole: {type(error).__name__}: {error}")
    return found


def answer(out: Path) -> dict[str, Any]:
    """All that a finished folder says but for times, by file and name; arrays as (dtype, shape, bytes)."""
    found: dict[str, Any] = {}
    for path in shown(out):
        for name, value in _read(path).items():
            key = f"{path.relative_to(out)} {name}".strip()
            found[key] = (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value
    return found


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The names that one lacks or that differ, as sentences."""
    names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    return [f"{name} differs from that of a run that nobody stopped" for name in names]


def _read(path: Path) -> dict[str, Any]:
    """What a file holds; raises whatever its reading raises."""
    if path.suffix == ".jsonl":
        rows = [json.loads(row) for row in path.read_text().split("\n")[:-1]]
        return {"": sorted((_timeless(row) for row in rows), key=lambda row: (row["seed"], row["epoch"]))}
    if path.suffix == ".json":
        return {"": _timeless(json.loads(path.read_text()))}
    if path.suffix != ".npz":
        return {"": np.load(path, allow_pickle=False)}
    if path.name.startswith("seeds-"):
        with np.load(path, allow_pickle=False) as npz:
            arrays = {name: npz[name] for name in npz.files}
        if checkpoint.digest({k: v for k, v in arrays.items() if k != "sha256"}) != str(arrays["sha256"]):
            raise ValueError("expected the contents of its sha256")
    else:
        arrays = records.load(path)[0]
    return {name: array for name, array in arrays.items() if name not in TIMES}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(part) for key, part in value.items() if key not in OF_THE_RUN}
    return [_timeless(part) for part in value] if isinstance(value, list) else value
