"""What ``ntk-eoc reproduce fig2`` and ``table1`` train: one job for every row, data set and size.

The full size is the paper's protocol: width 200 and depths 100 and 200 for Figure 2, width 300 and depth 300 for
Table 1, batches of 64, rate 1e-3 at depth 100 and 1e-4 beyond, on MNIST or CIFAR10. The quick size is ours:
scikit-learn's digits, small and shallow enough to finish in under a minute on two cores, at a rate for their 23 batches
an epoch.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ntk_eoc.data import DATASETS
from ntk_eoc.errors import check_choice, check_depth, number
from ntk_eoc.experiments import table1
from ntk_eoc.training import Config, Inputs, Seeds, Sgd

REPORTED = (10, 100)  # Table 1 prints accuracies after so many epochs


class Size(NamedTuple):
    """Width and depth (dense layers) of a network."""

    width: int
    depth: int


@dataclass(frozen=True)
class Plan:
    """The rows (names of ``table1``) to train on one data set at some sizes, for ``epochs`` from ``seeds`` seeds."""

    dataset: str
    sizes: tuple[Size, ...]
    rows: tuple[str, ...]
    epochs: int
    seeds: int


class Job(NamedTuple):
    """One row at one size: its name, and what ``training.train`` is given."""

    row: str
    config: Config


QUICK = Plan("digits", (Size(64, 50),), tuple(table1.PAPER), 20, 3)
FULL = {
    "fig2": Plan("mnist", (Size(200, 100), Size(200, 200)), tuple(table1.PAPER), 20, 3),
    "table1": Plan("mnist", (Size(300, 300),), tuple(table1.PAPER), 100, 5),
}
DIGITS_RATE = 1e-2


def plan(item: str, full: bool, dataset: str | None = None, rows: Sequence[str] = (), **own: int | None) -> Plan:
    """The plan of an item, quick or full, with the reader's own numbers in place of its defaults.

    ``own`` are width, depth, epochs and seeds; None leaves a default. A width or depth of one's own means that one
    size, the other number being that of the first default. Raises ``ValueError`` for an unknown name or a number
    that is no count.

    >>> plan("fig2", True, rows=["elu"], depth=200).sizes
    (Size(width=200, depth=200),)
    """
    base = FULL[item] if full else QUICK
    given = {name: _count(name, value) for name, value in own.items() if value is not None}
    sizes = (base.sizes[0]._replace(**{key: given[key] for key in Size._fields if key in given}),)
    return Plan(
        check_choice("dataset", dataset or base.dataset, DATASETS),
        sizes if given.keys() & set(Size._fields) else base.sizes,
        tuple(table1.names(rows)) or base.rows,
        given.get("epochs", base.epochs),
        given.get("seeds", base.seeds),
    )


def jobs(plan: Plan, rows: Sequence[str] = ()) -> list[Job]:
    """The jobs of a plan in their order, for its own rows or for others.

    >>> [job.config.sgd.rate for job in jobs(plan("fig2", True, rows=["relu"]))]
    [0.001, 0.0001]
    """
    return [Job(row, configuration(plan, row, size)) for size in plan.sizes for row in rows or plan.rows]


def configuration(plan: Plan, row: str, size: Size) -> Config:
    """The training of one row at one size; what the paper leaves open has the defaults of ``training``."""
    rate = DIGITS_RATE if plan.dataset == "digits" else table1.rate(size.depth)
    model = table1.model(row, plan.dataset, *size)
    return Config(model, Sgd(rate, plan.epochs), Inputs(plan.dataset), Seeds(plan.seeds))


def size(job: Job) -> Size:
    """The size of a job."""
    return Size(job.config.model.net.width, job.config.model.net.depth)


def command(item: str, plan: Plan, out: Path, job: Job | None = None) -> str:
    """The command line that runs a plan, or one job of it, into the folder ``out``.

    >>> command("fig2", plan("fig2", False, rows=["relu"], epochs=2), Path("here"))[:58]
    'ntk-eoc reproduce fig2 --dataset digits --activations relu'
    """
    sizes = plan.sizes if job is None else (size(job),)
    rows = plan.rows if job is None else (job.row,)
    words = ["ntk-eoc", "reproduce", item, "--dataset", plan.dataset, "--activations", *rows]
    if len(sizes) > 1:
        words += ["--full"]  # which alone has several sizes
    else:
        words += ["--width", str(sizes[0].width), "--depth", str(sizes[0].depth)]
    words += ["--epochs", str(plan.epochs), "--seeds", str(plan.seeds), "--out", str(out)]
    return shlex.join(words)


def _count(name: str, value: int) -> int:
    if name == "depth":
        return check_depth(value)
    if number(name, value) < 1:
        raise ValueError(f"{name}: expected a whole number, at least 1, got {value}")
    return value
