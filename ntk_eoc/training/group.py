"""The training of one group of seeds: epoch after epoch, from its checkpoint or from the start."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from tqdm import tqdm

from ntk_eoc.interrupts import Interrupt
from ntk_eoc.training import batches, checkpoint, program
from ntk_eoc.training.config import Config, Fields
from ntk_eoc.training.point import Point, begin, from_arrays, line, tested, to_arrays, trained
from ntk_eoc.training.program import Program, Rows
from ntk_eoc.training.step import Rates, State, kind

LOG = "log.jsonl"
CALL_SECONDS = 1.0  # what one compiled call aims at: Ctrl-C and the progress bar wait for it
SAVE_SECONDS = 120.0  # a checkpoint after the first call that ends later than this

Watch = Callable[[Fields], Any]


class Job(NamedTuple):
    """What is trained on what: data on the device, number of classes, and what tells this run from others."""

    config: Config
    train: Rows
    test: Rows
    classes: int
    about: Fields


class Report(NamedTuple):
    """Whom to tell: the folder, the reader's function, the progress bar, and whether Ctrl-C has been pressed."""

    out: Path | None
    watch: Watch | None
    bar: tqdm
    interrupt: Interrupt


class Programs(NamedTuple):
    """The compiled step and test of a group, and the rates that the step takes."""

    advance: Program
    judge: Program
    rates: Rates


def train_group(job: Job, seeds: range, report: Report) -> tuple[Point, int]:
    """Train to the last epoch of the configuration; also returns the peak memory of the programs, in bytes."""
    config = job.config
    file = report.out and checkpoint.path(report.out, seeds)
    if file is not None and file.exists():
        at = from_arrays(checkpoint.load(file, job.about)[0], bool(config.sgd.momentum))
    else:
        at = _begin(job, seeds)
    programs, steps = _programs(job, seeds, at.state), batches.steps(config.sgd, len(job.train.y))
    report.bar.update(len(seeds) * (min(at.epoch, config.sgd.epochs) * steps + at.step))
    if not at.past.test_loss.shape[1]:
        at = _record(tested(at, *_judged(at, job, programs), step=0), job, seeds, report)
    while at.epoch < config.sgd.epochs and at.alive.any():
        at = _epoch(at, job, seeds, programs, report)
        began = time.monotonic()
        found = _judged(at, job, programs)
        rows = batches.rows_seen(config.sgd, len(job.train.y), steps)
        at = trained(at._replace(spent=at.spent + time.monotonic() - began), rows)
        at = _record(tested(at, *found, step=steps), job, seeds, report)
    return at, _peak(programs)


def needed(job: Job, seeds: range) -> int:
    """The peak memory of training these seeds together, in bytes, before a weight is drawn."""
    return _peak(_programs(job, seeds, jax.eval_shape(lambda: _begin(job, seeds).state)))


def _begin(job: Job, seeds: range) -> Point:
    return begin(job.config, seeds, job.train.x.shape[1], job.classes)


def _programs(job: Job, seeds: range, state: State) -> Programs:
    """For a state, or for its shapes."""
    model, order = job.config.model, _order(job, seeds, 1)
    what = kind(model.activation, model.net.architecture == "residual")
    rates = program.rates(job.config, job.train.x.shape[1], job.classes)
    return Programs(
        program.advance(what, state, rates, job.train, order), program.judge(what, state.weights, job.test), rates
    )


def _peak(programs: Programs) -> int:
    return max(programs.advance.peak, programs.judge.peak)


def lines(at: Point, seeds: range, epoch: int) -> list[Fields]:
    """The lines of the log for one epoch, one for each seed that had not diverged before it."""
    dead = at.diverged[:, 0]
    return [line(at, seed, i, epoch) for i, seed in enumerate(seeds) if dead[i] < 0 or dead[i] >= epoch]


def _epoch(at: Point, job: Job, seeds: range, programs: Programs, report: Report) -> Point:
    """The steps that the epoch still lacks, in calls of about ``CALL_SECONDS``."""
    order, saved, count = _order(job, seeds, at.epoch + 1), time.monotonic(), 1
    while at.step < len(order):
        began, end = time.monotonic(), min(at.step + count, len(order))
        state = programs.advance.run(at.state, programs.rates, job.train, order, jnp.int32(at.step), jnp.int32(end))
        bad = np.asarray(state.tally.bad)  # waits for the call to end
        took = time.monotonic() - began
        report.bar.update(len(seeds) * (end - at.step))
        seen = batches.rows_seen(job.config.sgd, len(job.train.y), end)
        _show(report.bar, at, seeds, np.asarray(state.tally.loss).mean() / seen, state.tally.correct.mean() / seen)
        # All diverged: the call has ended early and there is nothing more to do in this epoch.
        at = at._replace(state=state, step=end if (bad < 0).any() else len(order), spent=at.spent + took)
        # How the steps are cut into calls changes no bit of what they compute.
        count = max(1, min(4 * count, round(count * CALL_SECONDS / max(took, 1e-9))))
        if report.interrupt.is_set():
            _stop(at, job, seeds, report)
        if time.monotonic() - saved > SAVE_SECONDS:
            _save(at, job, seeds, report)
            saved = time.monotonic()
    return at


def _show(bar: tqdm, at: Point, seeds: range, loss: Any, accuracy: Any) -> None:
    name = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}-{seeds[-1]}"
    bar.set_description(f"{name}, epoch {at.epoch + 1}", refresh=False)
    test = at.past.test_accuracy[:, -1].mean()
    bar.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.3f}, test {test:.3f}", refresh=False)


def _order(job: Job, seeds: range, epoch: int) -> Array:
    """The rows of every step, (steps, S, B)."""
    parts = [batches.order(job.config.sgd, len(job.train.y), seed, epoch) for seed in seeds]
    return jnp.asarray(np.stack(parts, axis=1))


def _judged(at: Point, job: Job, programs: Programs) -> tuple[np.ndarray, np.ndarray]:
    loss, accuracy = programs.judge.run(at.state.weights, job.test)
    return np.asarray(loss), np.asarray(accuracy)


def _record(at: Point, job: Job, seeds: range, report: Report) -> Point:
    """Checkpoint first, then the log: a resumed run writes the log anew from its checkpoints."""
    _save(at, job, seeds, report)
    for row in lines(at, seeds, at.epoch):
        if report.out is not None:
            checkpoint.append(report.out / LOG, json.dumps(row) + "\n")
        if report.watch is not None:
            report.watch(row)
    return at


def _save(at: Point, job: Job, seeds: range, report: Report) -> None:
    if report.out is not None:
        checkpoint.save(checkpoint.path(report.out, seeds), to_arrays(at), job.about)


def _stop(at: Point, job: Job, seeds: range, report: Report) -> None:
    """After Ctrl-C: save, and say where."""
    _save(at, job, seeds, report)
    where = f"seed {seeds[0]}, epoch {at.epoch + 1}, step {at.step}"
    kept = f"the checkpoint is in {report.out}: run again with resume to go on" if report.out else "nothing is kept"
    raise KeyboardInterrupt(f"stopped at {where}; {kept}")
