"""Running the jobs of a plan into a folder, and what the folder then says: arrays, an answer, what has not been run.

Every row at every size has a folder of its own, ``WIDTHxDEPTH/ROW``: its configuration, the checkpoints and the log of
``training``, and when it is finished a record, ``row.npz``. A finished row is read, never computed again.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ntk_eoc import data, records
from ntk_eoc.cluster import spread
from ntk_eoc.errors import Scalar
from ntk_eoc.experiments import table1
from ntk_eoc.experiments.plans import REPORTED, Job, Plan, Size, command, jobs, size
from ntk_eoc.folders import claim, differing
from ntk_eoc.training import Curves, Result, Seeds, checkpoint, train

RECORD = "row.npz"
Line = dict[str, Any]
About = tuple[str, Plan, Path, Scalar | None]  # item, plan, folder, limit on memory


def live(plan: Plan, first: int = 0) -> dict[str, np.ndarray]:
    """Test accuracy (S, E + 1) of every row of a plan of one size, trained here and now and kept nowhere, for the S
    seeds from ``first`` on.

    >>> from ntk_eoc.experiments.plans import plan
    >>> live(plan("fig2", False, rows=["relu"], width=8, depth=3, epochs=1, seeds=1))["relu"].shape
    (1, 2)
    """
    split, seeds = data.load(plan.dataset), Seeds(plan.seeds, first)
    return {job.row: train(replace(job.config, seeds=seeds), split).curves.test_accuracy for job in jobs(plan)}


class Finished(NamedTuple):
    """A job that is done: ``curves`` with as many seeds and epochs as it asks for, ``diverged`` (S, 2), its record."""

    job: Job
    curves: Curves
    diverged: np.ndarray
    about: dict[str, Any]


def folder(out: Path, job: Job) -> Path:
    """Where a job's files are.

    >>> from ntk_eoc.experiments.plans import plan
    >>> folder(Path("out"), jobs(plan("fig2", True))[1]).as_posix()
    'out/200x100/leaky_relu-0.01'
    """
    width, depth = size(job)
    return out / f"{width}x{depth}" / job.row.replace(":", "-")


def finished(out: Path, job: Job) -> Finished | None:
    """The record of a job, if it has one with as many epochs and seeds as the job; ``ValueError`` if it is damaged."""
    path, wanted = folder(out, job) / RECORD, job.config
    if not path.is_file():
        return None
    arrays, about = records.load(path)
    diverged = arrays.pop("diverged")
    curves, epochs, seeds = Curves(**arrays), wanted.sgd.epochs, wanted.seeds.count
    if len(diverged) < seeds or curves.seconds.shape[1] < epochs:
        return None
    cut = Curves(*(a[:seeds, : epochs + (a.shape[1] > curves.seconds.shape[1])] for a in curves))
    later = diverged[:seeds, :1] > epochs
    return Finished(job, cut, np.where(later, -1, diverged[:seeds]), about)


def check(item: str, plan: Plan, out: Path, resume: bool) -> None:
    """Refuse, before anything is computed, rows of another configuration, and unfinished ones unless ``resume``."""
    for job in jobs(plan, shown(plan)):
        differing(folder(out, job), asdict(job.config))
    begun = [folder(out, job) for job in jobs(plan) if finished(out, job) is None]
    begun = [place for place in begun if checkpoint.groups(place)]
    if begun and not resume:
        raise ValueError(
            f"out: expected no unfinished training, got one in {begun[0]}; "
            f"go on with: {command(item, plan, out)} --resume"
        )


def shown(plan: Plan) -> list[str]:
    """The rows that an answer lists: the plan's and all of the paper's."""
    return table1.names([*table1.PAPER, *plan.rows])


def run(item: str, plan: Plan, out: Path, client: Any = None, memory: Scalar | None = None) -> Iterator[Finished]:
    """Train what is not finished of a plan, giving each job when it is done: in order, or where there is a Dask
    ``client`` (``cluster.connect``) each job as a task of a worker that sees the folder too. ``memory`` is the limit of
    ``training.train``."""
    missing = []
    for job in jobs(plan):
        done = finished(out, job)
        if done is None:
            missing.append(job)
        else:
            yield done
    rows = _one_by_one if client is None else partial(spread, client, _by_worker)
    for job, _ in rows(missing, (item, plan, out.resolve(), memory)):
        done = finished(out, job)
        assert done is not None
        yield done


def _one_by_one(missing: Sequence[Job], about: About) -> Iterator[tuple[Job, None]]:
    split = None
    for job in missing:
        split = data.load(about[1].dataset, scaling=job.config.inputs.scaling) if split is None else split
        _row(job, about, split)
        yield job, None


def _by_worker(job: Job, about: About) -> None:
    jax.config.update("jax_enable_x64", True)
    _row(job, about, data.load(about[1].dataset, scaling=job.config.inputs.scaling))


def _row(job: Job, about: About, split: data.Split) -> None:
    """Train one job into its folder, or go on with it there."""
    item, plan, out, memory = about
    place, begun = folder(out, job), time.perf_counter()
    claim(place, asdict(job.config))
    result = train(job.config, split, out=place, resume=bool(checkpoint.groups(place)), memory=memory)
    how = command(item, plan, Path(out.name), job)  # a record is published: not where this machine keeps it
    _record(place, result, how, time.perf_counter() - begun)


def arrays(done: Sequence[Finished]) -> dict[str, Any]:
    """Finished jobs of one size as arrays: rows R, seeds S and epochs E in ``training.Curves``' shapes behind R."""
    nets = [one.job.config.model.net for one in done]
    return {
        "activation": np.array([one.job.row for one in done]),
        "sigma_b": np.array([net.sigma_b for net in nets]),
        "sigma_w": np.array([net.sigma_w for net in nets]),
        "rate": np.array([one.job.config.sgd.rate for one in done]),
        "diverged": np.stack([one.diverged for one in done]),
        **{name: np.stack([getattr(one.curves, name) for one in done]) for name in Curves._fields},
    }


def lines(item: str, plan: Plan, out: Path) -> list[Line]:
    """A line for each row of the plan and each row of the paper, with what the folder knows of it.

    Accuracies are fractions: mean and standard deviation over the seeds that did not diverge. ``diverged`` counts the
    others. A row that has not been run says so, with its command and, once a row of that size is there to go by, the
    hours that it would take on the same machine.
    """
    found = []
    for at in plan.sizes:
        every = jobs(replace(plan, sizes=(at,)), shown(plan))
        done = [finished(out, job) for job in every]
        hours = _hours([one for one in done if one is not None], plan)
        for job, one in zip(every, done, strict=True):
            epochs = [n for n in REPORTED if item == "table1" and n < plan.epochs] + [plan.epochs]
            found += [_line(job, one, n) for n in (epochs if one else epochs[-1:])]
            if one is None:
                found[-1].update(command=command(item, plan, out, job), expected_hours=hours)
    return found


def by_size(plan: Plan, out: Path) -> dict[Size, list[Finished]]:
    """What is finished of a plan's rows and the paper's, by size."""
    done = [one for job in jobs(plan, shown(plan)) if (one := finished(out, job)) is not None]
    return {at: found for at in plan.sizes if (found := [one for one in done if size(one.job) == at])}


def _hours(done: Sequence[Finished], plan: Plan) -> float | None:
    """Hours of one row by the mean epoch of the seeds that were trained to the end; None where there is none."""
    epochs = np.concatenate([one.curves.seconds[one.diverged[:, 0] < 0].ravel() for one in done] or [np.empty(0)])
    return float(epochs.mean()) * plan.epochs * plan.seeds / 3600 if epochs.size else None


def _line(job: Job, one: Finished | None, epochs: int) -> Line:
    net, line = job.config.model.net, dict.fromkeys(("test_accuracy_mean", "test_accuracy_std", "diverged", "seconds"))
    if one is not None:
        lost = (one.diverged[:, 0] >= 0) & (one.diverged[:, 0] <= epochs)
        accuracy = one.curves.test_accuracy[~lost, epochs].astype(float)
        line["test_accuracy_mean"] = float(accuracy.mean()) if len(accuracy) else None
        line["test_accuracy_std"] = float(accuracy.std(ddof=1)) if len(accuracy) > 1 else None
        line["diverged"] = int(lost.sum())
        line["seconds"] = round(float(np.nansum(one.curves.seconds[:, :epochs])), 1)
    return {
        "activation": job.row,
        "sigma_b": net.sigma_b,
        "sigma_w": net.sigma_w,
        "width": net.width,
        "depth": net.depth,
        "epochs": epochs,
        "seeds": job.config.seeds.count,
        **line,
        "status": "not run" if one is None else "done",
        "command": None,
        "expected_hours": None,
    }


def _record(place: Path, result: Result, how: str, seconds: float) -> None:
    """Write a row. One that goes on from an earlier record tells of it: whose commit, how far, and the time of both."""
    diverged = np.array([(-1, -1) if at is None else at for at in result.diverged])
    earlier = []
    if (place / RECORD).is_file():
        _, before = records.load(place / RECORD)
        seconds += before["seconds"]
        reached = {"epochs": before["config"]["sgd"]["epochs"], "seeds": before["config"]["seeds"]["count"]}
        earlier = [*before.get("earlier", []), {"commit": before["commit"], **reached}]
    about = records.about(
        command=how,
        config=asdict(result.config),
        seed=result.config.seeds.first,
        seconds=seconds,
        data=data.checksums(result.config.inputs.dataset),
    )
    about |= {"earlier": earlier} if earlier else {}
    records.save(place / RECORD, {**result.curves._asdict(), "diverged": diverged}, about)
