"""``ntk-eoc reproduce``: one item of the paper into one folder, as arrays, ``provenance.json`` and an answer.

The folder belongs to one item and data set. For a figure or
table of trained networks there is one .npz for each size, with all rows that are finished; it is written anew
after each of them. ``provenance.json`` tells of every array file: commit, configuration, seeds, versions, device,
seconds, sha256 of the data and of the arrays.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ntk_eoc import data, records
from ntk_eoc.cluster import connect
from ntk_eoc.experiments import plans, reproduce_figure1, trained
from ntk_eoc.experiments.plans import Plan
from ntk_eoc.folders import claim, differing, writing

ITEMS = (*reproduce_figure1.PANELS, *plans.FULL)
Answer = dict[str, Any]


def panel(item: str, full: bool, out: Path) -> Answer:
    """A panel of Figure 1 into ``out``, or what is there already.

    Raises ``ValueError`` if the folder holds another configuration, ``OSError`` if it cannot be written.
    """
    config = {"item": item, "dataset": "digits", **reproduce_figure1.config(item, full)}
    claim(out, config)
    path = out / f"{item}.npz"
    if path.is_file():
        arrays, about = records.load(path)
        del about["sha256"]
        about = _provenance(out, [path.name], about)  # which a stop may have come before
        return _answer(item, "digits", out, reproduce_figure1.lines(item, full, arrays), about)
    begun = time.perf_counter()
    drawn = reproduce_figure1.draw(item, full)
    how = f"ntk-eoc reproduce {item} {'--full' if full else '--quick'}"
    about = _about(how, config, time.perf_counter() - begun, "digits")
    about = _save(out, {path.name: drawn.arrays}, about)
    return _answer(item, "digits", out, drawn.lines, about)


def training(
    item: str, plan: Plan, out: Path, resume: bool, dask: str | None = None, memory: int | None = None
) -> Answer:
    """Figure 2 or Table 1 into ``out``: train what is asked for and not finished, then tell what is there.

    Rows are trained one after the other, or side by side on the Dask cluster at ``dask``; each within ``memory``
    bytes, by default all that the machine has.

    Raises ``ValueError`` if the folder holds another configuration, an unfinished row without ``resume`` or a damaged
    file; ``KeyboardInterrupt`` after Ctrl-C; and what ``data.load`` and ``training.train`` raise.
    """
    config = {"item": item, "dataset": plan.dataset}
    differing(out, config)
    trained.check(item, plan, out, resume)
    claim(out, config)
    with connect(dask) if dask else nullcontext() as client:
        for _ in trained.run(item, plan, out, client, memory):
            _publish(item, plan, out, config)
    about = _publish(item, plan, out, config)
    return _answer(item, plan.dataset, out, trained.lines(item, plan, out), about)


def _publish(item: str, plan: Plan, out: Path, config: Mapping[str, Any]) -> Answer:
    """The arrays of what is finished, by size, and where they come from."""
    by_size = trained.by_size(plan, out)
    rows = {str(trained.folder(Path(), one.job)): one.about for found in by_size.values() for one in found}
    seconds = sum(about["seconds"] for about in rows.values())
    about = _about(plans.command(item, plan, Path(out.name)), {**config, **asdict(plan)}, seconds, plan.dataset)
    files = {f"{item}_{plan.dataset}_{at.width}x{at.depth}.npz": trained.arrays(found) for at, found in by_size.items()}
    return _save(out, files, {**about, "rows": rows})


def _about(how: str, config: Mapping[str, Any], seconds: float, dataset: str) -> Answer:
    return records.about(command=how, config=dict(config), seed=0, seconds=seconds, data=data.checksums(dataset))


def _save(out: Path, files: Mapping[str, Mapping[str, Any]], about: Answer) -> Answer:
    """Each file as a record of its own, readable and published by itself; then the folder's provenance."""
    with writing(out):
        for name, arrays in files.items():
            records.save(out / name, arrays, about)
    return _provenance(out, files, about)


def _provenance(out: Path, names: Iterable[str], about: Answer) -> Answer:
    """Write where the records of a folder come from."""
    with writing(out):
        sums = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names}
        about = {**about, "arrays": sums}
        records.write_json(out / "provenance.json", about)
    return about


def _answer(item: str, dataset: str, out: Path, rows: list[Answer], about: Answer) -> Answer:
    return {"item": item, "dataset": dataset, "out": str(out), "rows": rows, "provenance": about}
