"""The map of activations: edge, law, richness of the deep kernel and trained accuracy of every named one."""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from ntk_eoc import records
from ntk_eoc.activations import NAMED, Activation
from ntk_eoc.asymptotics import coefficient
from ntk_eoc.experiments.trained_record import Record
from ntk_eoc.recommend import SIGMA_B, along, recommend
from ntk_eoc.regularity import NAMES, first_kink


@dataclass(frozen=True)
class ActivationsConfig:
    """Which activations, the standard deviations of biases along their edges, and at which depths they are judged."""

    activations: tuple[str, ...] = tuple(NAMED)
    sigma_b: tuple[float, ...] = SIGMA_B
    depths: tuple[int, ...] = (10, 100, 1000)


class ActivationMap(NamedTuple):
    """Along the edge ``sigma_w`` (A, B), NaN where there is no point with a positive variance, and whether its variance
    attracts, ``stable`` (A, B); the recommended ``bias`` (A, D) and its ``condition`` (A, D), NaN if there is none;
    ``law`` (A, 2): limit and coefficient, NaN without one."""

    sigma_w: Float64[ndarray, "A B"]
    stable: Bool[ndarray, "A B"]
    bias: Float64[ndarray, "A D"]
    condition: Float64[ndarray, "A D"]
    law: Float64[ndarray, "A 2"]


def edge(act: Activation, grid: Sequence[float]) -> tuple[ndarray, ndarray]:
    """sigma_w and stability of the first point of the Edge of Chaos at each sigma_b, a stable one if there is any.

    >>> edge(NAMED["relu"], [0.0, 0.2])[0].round(4).tolist()
    [1.4142, nan]
    """
    sigma_w, stable = np.full(len(grid), np.nan), np.zeros(len(grid), bool)
    for start in along(act, tuple(grid)):
        at = grid.index(start.sigma_b)
        if np.isnan(sigma_w[at]) or (start.stable and not stable[at]):
            sigma_w[at], stable[at] = start.sigma_w, start.stable
    return sigma_w, stable


def judged(act: Activation, depths: Sequence[int]) -> tuple[ndarray, ndarray, ndarray]:
    """The recommended sigma_b and the condition there at each depth, and the law (limit, coefficient) at the last."""
    bias, condition, law = np.full(len(depths), np.nan), np.full(len(depths), np.nan), np.full(2, np.nan)
    for at, depth in enumerate(depths):
        try:
            start, verdict = recommend(act, depth)[:2]
        except ValueError:  # no edge, or a linear activation
            continue
        bias[at], condition[at] = start.sigma_b, verdict.condition
        limit, _, value = coefficient(act, 1.0 if start.q is None else start.q, start.sigma_w)
        law[:] = limit, value
    return bias, condition, law


def activation_map(config: ActivationsConfig) -> ActivationMap:
    """The map, one activation after another."""
    acts = [NAMED[name] for name in config.activations]
    edges, verdicts = [edge(act, config.sigma_b) for act in acts], [judged(act, config.depths) for act in acts]
    return ActivationMap(*(np.array(part) for part in (*zip(*edges, strict=True), *zip(*verdicts, strict=True))))


def edges(config: ActivationsConfig, found: ActivationMap) -> dict[str, tuple[ndarray, ndarray]]:
    """(sigma_w, stable) along the edge by activation."""
    return dict(zip(config.activations, zip(found.sigma_w, found.stable, strict=True), strict=True))


def conditions(act: Activation, depths: Sequence[int]) -> dict[str, ndarray]:
    """Condition numbers over depth: recommended for each depth, and of the usual starts by name; inf if singular.

    >>> found = conditions(NAMED["relu"], [10])
    >>> list(found), bool(np.isclose(found["He"], found["recommended"])[0])
    (['recommended', 'He', 'Glorot, LeCun'], True)
    """
    rows = []
    for depth in depths:
        found = recommend(act, depth)
        verdicts = [found.verdict, found.usual["He"][1], found.usual["LeCun"][1]]
        rows.append([np.nan if verdict.condition is None else verdict.condition for verdict in verdicts])
    return dict(zip(("recommended", "He", "Glorot, LeCun"), np.array(rows).T, strict=True))


def accuracies(found: Sequence[Record], epochs: int) -> dict[str, float]:
    """Test accuracy after ``epochs`` epochs by activation, mean over the seeds, of the first record that has it.

    Rows that start off the edge on purpose are left out; the edge's own row stands for Sigmoid.
    """
    values: dict[str, float] = {}
    for record in found:
        for name, row in record.rows.items():
            family = {"sigmoid-edge": "sigmoid", "sigmoid": "sigmoid, He"}.get(name, name.removesuffix(":0.01"))
            if row.accuracy.shape[1] > epochs:
                values.setdefault(family, float(row.accuracy[:, epochs].mean()))
    return values


def table(config: ActivationsConfig, found: ActivationMap, trained: Mapping[str, float]) -> str:
    """The map as Markdown, one row for each activation; kappa is the condition number of the NTK."""
    depths = [rf"$\kappa$ at {depth}" for depth in config.depths]  # short: the table is to fit its page
    heads = ["activation", "regularity", "edge", "limit", *depths, "accuracy"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for at, name in enumerate(config.activations):
        law, order = found.law[at], first_kink(NAMED[name])
        cells = [name, NAMES[order], _span(config, found, at), "none" if np.isnan(law[0]) else f"1/{1 / law[0]:.0f}"]
        cells += ["none" if np.isnan(value) else f"{value:.2f}" for value in found.condition[at]]
        cells.append(f"{100 * trained[name]:.1f} %" if name in trained else "not run")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _span(config: ActivationsConfig, found: ActivationMap, at: int) -> str:
    there = np.flatnonzero(np.isfinite(found.sigma_w[at]))
    if not there.size:
        return "none"
    if there.size == 1:
        return "one point, neutral"
    stable = np.flatnonzero(found.stable[at])
    if not stable.size:
        return "unstable"
    return "stable" if stable.size == there.size else f"stable from {config.sigma_b[stable[0]]:g}"


def record(out: str | Path, config: ActivationsConfig) -> Path:
    """Compute the map; write ``activation_map.npz`` and, beside it, where it came from."""
    began, found = time.perf_counter(), activation_map(config)
    about = records.about(
        command="python -m ntk_eoc.experiments.activation_map --out book/results",
        config=asdict(config),
        seed=None,
        seconds=time.perf_counter() - began,
    )
    return records.save(Path(out) / "activation_map.npz", found._asdict(), about)


def load(path: str | Path) -> tuple[ActivationsConfig, ActivationMap]:
    """A recorded map with its configuration; ``ValueError`` if the file is not what was recorded."""
    arrays, about = records.load(path)
    fields: dict[str, Any] = {name: tuple(values) for name, values in about["config"].items()}
    return ActivationsConfig(**fields), ActivationMap(**arrays)


def main(arguments: Sequence[str] | None = None) -> None:
    """Record the map in the folder ``--out``."""
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", required=True, help="folder for activation_map.npz and activation_map.json")
    print(record(parser.parse_args(arguments).out, ActivationsConfig()))


if __name__ == "__main__":
    main()
