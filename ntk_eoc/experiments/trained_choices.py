"""What the paper's protocol leaves open: every choice of ours changed alone, and what that does to trained accuracy.

``python -m ntk_eoc.experiments.trained_choices --out book/results`` records it, on scikit-learn's digits.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc import data, records
from ntk_eoc.experiments import plans
from ntk_eoc.training import Config, train

# What is changed -> the fields of the part of the ``Config`` that it belongs to.
CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "ours": ("sgd", {}),
    "NTK parameterisation": ("model", {"parameterisation": "ntk"}),
    "depth without the output layer": ("model", {"depth_counts": "hidden"}),
    "variance over the average of fans": ("model", {"fan": "average"}),
    "momentum 0.9": ("sgd", {"momentum": 0.9}),
    "incomplete batches left out": ("sgd", {"batches": "full"}),
    "batches with replacement": ("sgd", {"batches": "replacement"}),
    "inputs scaled to [0, 1]": ("inputs", {"scaling": "unit"}),
    "every image scaled to one norm": ("inputs", {"scaling": "norm"}),
}


@dataclass(frozen=True)
class ChoicesConfig:
    """Rows of ``table1`` at the quick size of ``plans``, ``seeds`` networks each, for ``epochs``."""

    rows: tuple[str, ...] = ("relu", "elu", "tanh")
    seeds: int = 3
    epochs: int = 20


def changed(config: Config, choice: str) -> Config:
    """The training of ``config`` with one choice made otherwise.

    >>> plan = plans.plan("fig2", False, rows=["relu"])
    >>> changed(plans.jobs(plan)[0].config, "momentum 0.9").sgd.momentum
    0.9
    """
    part, fields = CHOICES[choice]
    return replace(config, **{part: replace(getattr(config, part), **fields)})


def accuracies(config: ChoicesConfig) -> Float64[ndarray, "C R S"]:
    """Test accuracy after the last epoch for every choice and row, NaN for networks that diverged."""
    plan = plans.plan("fig2", False, rows=config.rows, epochs=config.epochs, seeds=config.seeds)

    def one(choice: str, job: plans.Job) -> ndarray:
        setting = changed(job.config, choice)
        images = data.load("digits", scaling=setting.inputs.scaling)
        return train(setting, images).curves.test_accuracy[:, -1].astype(float)

    return np.array([[one(choice, job) for job in plans.jobs(plan)] for choice in CHOICES])


def record(out: str | Path, config: ChoicesConfig) -> Path:
    """Run ``config``; write ``trained_choices.npz`` and, beside it, where it came from."""
    began = time.perf_counter()
    found = accuracies(config)
    about = records.about(
        command="python -m ntk_eoc.experiments.trained_choices",
        config={**asdict(config), "choices": list(CHOICES)},
        seed=0,
        seconds=time.perf_counter() - began,
        data=data.checksums("digits"),
    )
    return records.save(Path(out) / "trained_choices.npz", {"accuracy": found}, about)


def load(path: str | Path) -> dict[str, dict[str, Float64[ndarray, " S"]]]:
    """Recorded accuracies of the seeds: choice -> row -> (S,)."""
    arrays, about = records.load(path)
    rows = about["config"]["rows"]
    found = zip(about["config"]["choices"], arrays["accuracy"], strict=True)
    return {choice: dict(zip(rows, part, strict=True)) for choice, part in found}


def table(found: dict[str, dict[str, ndarray]]) -> str:
    """Mean test accuracy in per cent as Markdown, one line for each choice.

    >>> print(table({"ours": {"relu": np.array([0.5, 0.7])}}).splitlines()[-1])
    | ours | 60.0 |
    """
    rows = list(found["ours"])
    lines = ["| choice | " + " | ".join(rows) + " |", "|---" * (1 + len(rows)) + "|"]
    for choice, part in found.items():
        cells = [f"{100 * part[row].mean():.1f}" if np.isfinite(part[row]).all() else "diverged" for row in rows]
        lines.append(f"| {choice} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Record the table in the folder ``--out``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", required=True, help="folder for trained_choices.npz and trained_choices.json")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)  # for the Edge of Chaos; networks are trained in float32
    print(record(options.out, ChoicesConfig()))


if __name__ == "__main__":
    main()
