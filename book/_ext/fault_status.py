"""``{fault-status}``: what was done to break this project, and what came of it, from the records of those runs.

A run without a record is listed as not run.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path("book") / "results"
NOT_RUN = "not run"
Record = dict[str, Any]


def inputs(record: Record) -> tuple[int, str]:
    """How many hostile inputs, and what became of them.

    >>> inputs({"inputs": {"f": {"tried": 5, "answered": 3, "refused": 2, "fault": 0}}})
    (5, '3 answered, 2 refused in a sentence, 0 faults; 1 kind of input, each 5 times at least')
    """
    parts = record["inputs"].values()
    tried, answered, refused, faults = (_sum(parts, key) for key in ("tried", "answered", "refused", "fault"))
    kinds, least = _counted(len(parts), "kind"), min(part["tried"] for part in parts)
    where = ", ".join(f"`{name}`" for name, part in record["inputs"].items() if part["fault"])
    told = f"{answered:,} answered, {refused:,} refused in a sentence, {_counted(faults, 'fault')}"
    return tried, f"{told}{where and f' ({where})'}; {kinds} of input, each {least:,} times at least"


def stops(record: Record) -> tuple[int, str]:
    """How many processes were stopped, and how many faults that showed.

    >>> stops({"stops": {"gram": {"SIGKILL": {"stopped": 3, "work": 2, "faults": 0}}}})
    (3, '2 of them at work; 0 faults')
    """
    parts = [part for kinds in record["stops"].values() for part in kinds.values()]
    return _sum(parts, "stopped"), f"{_sum(parts, 'work')} of them at work; {_counted(_sum(parts, 'faults'), 'fault')}"


def mutants(record: Record) -> tuple[int, str]:
    """How many changes of a formula, and how many of them the tests saw.

    >>> mutants({"modules": {"rays": {"killed": 9, "tried": 10}}})
    (10, '9 seen by the tests (90 %); 1 module')
    """
    parts = record["modules"].values()
    tried, killed = _sum(parts, "tried"), _sum(parts, "killed")
    return tried, f"{killed} seen by the tests ({killed / tried:.0%}); {_counted(len(parts), 'module')}".replace(
        "%", " %"
    )


def seeds(record: Record) -> tuple[int, str]:
    """How many verdicts at other seeds, and how many of them were other verdicts.

    >>> seeds({"config": {"seeds": [0, 1]}, "claims": {"gd": {"verdicts": ["holds", "holds"], "ok": [True, False]}}})
    (2, '2 seeds: 0 verdicts moved, 1 claim out of tolerance')
    """
    claims, count = record["claims"].values(), len(record["config"]["seeds"])
    moved = sum(verdict != claim["verdicts"][0] for claim in claims for verdict in claim["verdicts"])
    out = sum(not ok for claim in claims for ok in claim["ok"])
    return count * len(
        claims
    ), f"{_counted(count, 'seed')}: {_counted(moved, 'verdict')} moved, {_counted(out, 'claim')} out of tolerance"


def repeats(record: Record) -> tuple[int, str]:
    """How many figures were made twice, and how many came out otherwise.

    >>> repeats({"figures": 60, "different": []})
    (60, '0 differ in any digit')
    """
    return record["figures"], f"{len(record['different'])} differ in any digit"


# What was tried, its record, and how to tell what the record says.
RUNS: tuple[tuple[str, str, Callable[[Record], tuple[int, str]]], ...] = (
    ("Hostile arguments and command lines at random", "faults.json", inputs),
    ("Processes stopped, disks filled, folders made read-only", "kills.json", stops),
    ("Formulas changed in one place", "mutants.json", mutants),
    ("Verdicts at other seeds", "seeds.json", seeds),
    ("Figures of the whole book made twice", "repeats.json", repeats),
)


def runs(folder: Path) -> str:
    """Markdown of the runs, a row each."""
    lines = ["| what was tried | how often | what came of it | recorded by |", "|---|---|---|---|"]
    for title, name, told in RUNS:
        if (record := read(folder / name)) is None:
            lines.append(f"| {title} | {NOT_RUN} | | |")
        else:
            tried, found = told(record)
            lines.append(f"| {title} | {tried:,} | {found} | `{record['command']}` at {commits(record)} |")
    return "\n".join(lines)


def versions(record: Record | None) -> str:
    """Markdown of the environments that the tests ran in, a row each."""
    if record is None:
        return f"Tests on the oldest and the newest releases: {NOT_RUN}."
    lines = [
        "| Python | releases | JAX | NumPy | XLA devices | unit tests | cells of chapters | commit |",
        "|---|---|---|---|---:|---|---|---|",
    ]
    for row in record["rows"]:
        kind = "oldest" if row["resolution"].startswith("lowest") else "newest"
        found = [_outcome(row["found"].get(part)) for part in ("unit tests", "cells of chapters")]
        python, jax, numpy = (row["versions"][name] for name in ("python", "jax", "numpy"))
        cells = [python, kind, jax, numpy, str(row["devices"]), *found, f"`{commit(row)}`"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _outcome(part: dict[str, int] | None) -> str:
    return f"{part['passed']:,} passed, {part['failed']} failed" if part else NOT_RUN


def commits(record: Record) -> str:
    """Those of a record's rows, where rows were made at several, or its own.

    >>> commits({"commit": "a" * 40, "inputs": {"f": {"commit": "b" * 40}, "g": {"commit": "a" * 40}}})
    '`aaaaaaaaaa`, `bbbbbbbbbb`'
    """
    rows = [*record.get("inputs", {}).values(), *record.get("modules", {}).values()]
    made = sorted({commit(row) for row in rows if "commit" in row}) or [commit(record)]
    return ", ".join(f"`{name}`" for name in made)


def commit(record: Record) -> str:
    """The beginning of a commit."""
    return (record["commit"] or "unknown")[:10]


def read(path: Path) -> Record | None:
    """A record, None if there is none."""
    return json.loads(path.read_text()) if path.is_file() else None


def _sum(parts: Any, key: str) -> int:
    return sum(part.get(key, 0) for part in parts)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


class FaultStatus(SphinxDirective):
    """Both tables; the page is built again when a record changes."""

    def run(self) -> list[nodes.Node]:
        folder = Path(self.env.srcdir) / RESULTS
        for name in [*(name for _, name, _ in RUNS), "versions.json"]:
            self.env.note_dependency(str(folder / name))
        text = f"{runs(folder)}\n\n{versions(read(folder / 'versions.json'))}"
        parsed = self.parse_text_to_nodes(text)
        parsed[0]["classes"].append("stacked")  # sentences; the releases are numbers, which need their heads
        return parsed


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("fault-status", FaultStatus)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
