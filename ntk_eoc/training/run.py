"""Training from a configuration and data to curves: what may be in the folder, who is trained with whom."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy import ndarray
from tqdm import tqdm

from ntk_eoc.data import Dataset, Split
from ntk_eoc.errors import Scalar, number
from ntk_eoc.interrupts import interruptible
from ntk_eoc.training import batches, checkpoint
from ntk_eoc.training.config import Config, Fields, whole
from ntk_eoc.training.group import LOG, Job, Report, Watch, lines, needed, train_group
from ntk_eoc.training.point import Curves, Point, from_arrays
from ntk_eoc.training.program import Rows

FORMAT = 1  # of the checkpoints


class Result(NamedTuple):
    """For each seed its curves, and (epoch, step) of its first non-finite loss or None.

    ``peak_bytes`` is what the largest compiled program holds while it runs, by the compiler's account: weights, data,
    pre-activations. It covers neither Python nor a checkpoint being written, three more copies of the weights.
    """

    config: Config
    curves: Curves
    diverged: tuple[tuple[int, int] | None, ...]
    peak_bytes: int
    device: str


def train(
    config: Config,
    data: Split,
    *,
    out: Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    group: int | None = None,
    memory: Scalar | None = None,
) -> Result:
    """Train every seed of ``config`` on ``data``, in float32, on the accelerator if JAX sees one.

    With a folder ``out``, there is a checkpoint for each group of seeds, at least every epoch and every two minutes
    (and one compiled call of about a second), and ``log.jsonl`` with one line for each seed and epoch. Killed at any
    instant and called again with ``resume``, the result is the same, on a CPU to the last bit but for the seconds;
    finished seeds are not computed again, and larger numbers of epochs or seeds go on from there.

    ``watch`` gets the fields of each new line of the log. ``group`` seeds are trained together: by default all on an
    accelerator, and one on a CPU, where a group gains no time and takes more memory. ``memory`` is a limit in bytes, by
    default all that the machine or its accelerator has. A seed whose loss is not finite is recorded as diverged and the
    others go on. Raises ``ValueError`` for data that are not those of ``config``, a network that does not fit into the
    memory (before a weight is drawn), a folder that holds a run without ``resume``, or a checkpoint that is damaged or
    foreign; ``OSError`` if a checkpoint cannot be written; ``KeyboardInterrupt`` after Ctrl-C, when the checkpoint is
    written.

    >>> from ntk_eoc.data import digits, train_test
    >>> from ntk_eoc.training import Inputs, Model, Network, Seeds, Sgd
    >>> config = Config(Model("tanh", Network(32, 5, 0.2, 1.302)), Sgd(0.05, 3), Inputs("digits"), Seeds(2))
    >>> result = train(config, train_test(digits()))
    >>> result.curves.test_accuracy.shape, bool(result.curves.test_accuracy[:, -1].min() > 0.8)
    ((2, 4), True)
    """
    job = _job(config, data)
    found = _open(out, resume, job.about)
    default = 1 if jax.default_backend() == "cpu" else config.seeds.count
    size = default if group is None else whole("group", group, 1)
    groups, points, peak = _groups(config, found, size), [], 0
    _check_memory(job, groups, memory)
    steps = batches.steps(config.sgd, len(job.train.y))
    bar = tqdm(total=sum(map(len, groups)) * config.sgd.epochs * steps, disable=None, unit="step", leave=False)
    with bar, interruptible() as interrupt:
        report = Report(out, watch, bar, interrupt)
        for seeds in groups:
            at, used = train_group(job, seeds, report)
            points.append(at._replace(state=None))  # type: ignore[arg-type]  # frees the weights
            peak = max(peak, used)
    return _result(config, groups, points, peak)


def _job(config: Config, data: Split) -> Job:
    """Checked data on the device, and what tells this run from others."""
    name, classes = config.inputs.dataset, len(data.train.classes)
    if data.train.name != name:
        raise ValueError(f"data: expected the data set {name} of the configuration, got {data.train.name}")
    digest = hashlib.sha256()

    def rows(side: Dataset) -> Rows:
        x, y = np.ascontiguousarray(side.x, np.float32), np.ascontiguousarray(side.y, np.int32)
        if not np.isfinite(x).all():
            raise ValueError("data: expected finite inputs, got NaN or infinity")
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(f"data: expected labels from 0 to {classes - 1}, got {y.min()} to {y.max()}")
        digest.update(x.data)
        digest.update(y.data)
        return Rows(jnp.asarray(x), jnp.asarray(y))

    train, test = rows(data.train), rows(data.test)
    if train.x.shape[1] != test.x.shape[1]:
        raise ValueError(f"data: expected test inputs in R^{train.x.shape[1]}, got R^{test.x.shape[1]}")
    if batches.steps(config.sgd, len(data.train.y)) == 0:
        raise ValueError(f"batch: expected at most the {len(data.train.y)} training rows, got {config.sgd.batch}")
    about = {**dataclasses.asdict(config), "data": digest.hexdigest(), "format": FORMAT}
    return Job(config, train, test, classes, json.loads(json.dumps(about)))


def _check_memory(job: Job, groups: list[range], memory: Scalar | None) -> None:
    limit = _physical() if memory is None else int(min(number("memory", memory), 2**62))
    largest = max(groups, key=len, default=range(0))
    if limit is not None and largest and (least := needed(job, largest)) > limit:
        together = f"{len(largest)} seeds of it together" if len(largest) > 1 else "one seed of it"
        raise ValueError(f"memory: expected at least {least} bytes, to train {together}, got {limit}")


def _physical() -> int | None:
    """Bytes of this machine, or of its accelerator; None where neither tells."""
    if jax.default_backend() != "cpu":
        return (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _open(out: Path | None, resume: bool, about: Fields) -> list[range]:
    """The groups of seeds that ``out`` holds, all of this run; the log is written anew from what they know."""
    if out is None:
        if resume:
            raise ValueError("resume: expected a folder out to resume from, got none")
        return []
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"out: cannot make the folder {out} ({error.strerror})") from error
    groups = sorted(checkpoint.groups(out), key=lambda seeds: seeds.start)
    if groups and not resume:
        raise ValueError(f"out: expected an empty folder, or resume to go on with its run, got {out} with a run")
    checkpoint.clean(out)
    log: list[Fields] = []
    for seeds in groups:
        arrays, _ = checkpoint.load(checkpoint.path(out, seeds), about)
        at = from_arrays(arrays, bool(about["sgd"]["momentum"]))
        log += [row for epoch in range(at.epoch + 1) for row in lines(at, seeds, epoch)]
    checkpoint.write(out / LOG, "".join(json.dumps(row) + "\n" for row in log).encode())
    return groups


def _groups(config: Config, found: list[range], size: int) -> list[range]:
    """Groups of the seeds of ``config``: those found, then the others in groups of ``size``."""
    groups = [seeds for seeds in found if any(seed in seeds for seed in config.seeds)]
    rest = [seed for seed in config.seeds if not any(seed in seeds for seeds in groups)]
    while rest:
        length = next((i for i in range(1, min(size, len(rest))) if rest[i] != rest[0] + i), min(size, len(rest)))
        groups.append(range(rest[0], rest[0] + length))
        rest = rest[length:]
    return groups


def _result(config: Config, groups: list[range], points: list[Point], peak: int) -> Result:
    """The curves of the seeds of ``config`` in order, as long as its epochs: a diverged seed's are filled with NaN."""
    epochs, rows = config.sgd.epochs, {}
    for seeds, at in zip(groups, points, strict=True):
        for i, seed in enumerate(seeds):
            rows[seed] = (
                [_fitted(column[i], epochs + (column.shape[1] > at.epoch)) for column in at.past],
                at.diverged[i],
            )
    mine = [rows[seed] for seed in config.seeds]
    curves = Curves(*(np.stack(column) for column in zip(*(columns for columns, _ in mine), strict=True)))
    diverged = ((int(epoch), int(step)) if 0 <= epoch <= epochs else None for _, (epoch, step) in mine)
    device = jax.devices()[0]
    return Result(config, curves, tuple(diverged), peak, f"{device.platform} {device.device_kind}")


def _fitted(column: ndarray, length: int) -> ndarray:
    return np.concatenate([column, np.full(max(0, length - len(column)), np.nan, column.dtype)])[:length]
