"""What SGD of finite networks does, measured: orders in rate, batch size and width, ways of drawing batches, the floor.

    python -m ntk_eoc.experiments.sgd --out book/results

records in sgd.npz what takes networks minutes; the chapter reads it and repeats a part of it.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy import ndarray

from ntk_eoc import records
from ntk_eoc.experiments.sgd_moments import moments, noise_floor, spread
from ntk_eoc.experiments.sgd_networks import Problem, Task, Walk, descent, infinite_gram, plan, problem, runs, start
from ntk_eoc.experiments.sgd_sampling import draw, follow, run_spread, simulate

Arrays = dict[str, ndarray]


@dataclass(frozen=True)
class OrderConfig:
    """Spread of one network at a fixed time against pace and batch size, in ``groups`` groups of ``runs`` runs each."""

    paces: tuple[float, ...] = (0.5, 0.25, 0.125, 0.0625)
    batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    groups: int = 8
    runs: int = 16
    task: Task = Task(width=256)


@dataclass(frozen=True)
class WidthConfig:
    """Networks of several widths and activations, each from ``starts`` initialisations with ``runs`` runs."""

    activations: tuple[str, ...] = ("relu", "elu", "tanh")
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    starts: int = 12
    runs: int = 16
    walk: Walk = Walk()


@dataclass(frozen=True)
class FloorConfig:
    """A network that is to learn ``contradictions`` images with both labels, watched for a long time."""

    contradictions: int = 2
    units: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0)
    paces: tuple[float, ...] = (1.0, 0.5)
    runs: int = 64
    task: Task = Task(width=256)


def orders(config: OrderConfig) -> Arrays:
    """Spreads in groups, and means, after three quarters of a unit.

    ``pace_spread`` (G, P) at a batch of 4, ``batch_spread`` (G, B) at a pace of 1/4, ``epoch_spread`` (G, P) with
    batches dealt out in epochs; ``pace_mean`` and ``epoch_mean`` (P, N) over all runs beside ``pace_descent`` (P, N).

    >>> small = OrderConfig((1.0, 0.5), (1,), 2, 2, Task(width=8, images=4))
    >>> orders(small)["pace_spread"].shape
    (2, 2)
    """
    given, walks = problem(config.task), [Walk(pace, 4, 0.75) for pace in config.paces]
    by_pace = np.stack([_last(given, walk, config, seed=1) for walk in walks])
    by_batch = np.stack([_last(given, Walk(0.25, batch, 0.75), config, seed=2) for batch in config.batches])
    in_epochs = np.stack([_last(given, walk, config, seed=3, epochs=True) for walk in walks])
    found = {"pace_spread": by_pace, "batch_spread": by_batch, "epoch_spread": in_epochs}
    found = {name: run_spread(np.moveaxis(residuals, 2, 0)).T for name, residuals in found.items()}
    means = {"pace_mean": by_pace.mean(axis=(1, 2)), "epoch_mean": in_epochs.mean(axis=(1, 2))}
    steps = [plan(given, walk)[1] for walk in walks]
    full = np.stack([descent(given, walk, [last])[0] for walk, last in zip(walks, steps, strict=True)])
    return found | means | {"pace": np.array(config.paces), "batch": np.array(config.batches), "pace_descent": full}


def _last(given: Problem, walk: Walk, config: OrderConfig, *, seed: int, epochs: bool = False) -> ndarray:
    """Residuals (G, S, N) at the end of a walk, one group after the other to save memory."""
    rate, last = plan(given, walk)
    keys = jax.random.split(jax.random.key(seed), (config.groups, config.runs))
    if not epochs:
        return np.stack([runs(given, walk, group, [last])[:, 0] for group in keys])
    total, shape = config.groups * config.runs, (config.groups, config.runs, last, walk.batch)
    rows = draw(len(given.x), batch=walk.batch, steps=last, runs=total, seed=seed, sampling="epochs").reshape(shape)
    network = (given.apply, given.params, given.x, given.y)
    return np.stack([follow(*network, group, rate=rate, steps=[last])[:, 0] for group in rows])


def widths(config: WidthConfig) -> Arrays:
    """What the width decides, (A, W, starts) each, at the end of a walk.

    ``path`` is the distance between the network and its linearisation under the same batches, root mean square over
    runs and inputs, ``full`` the same for gradient descent; ``spread`` is that of the runs, ``empirical`` and
    ``infinite`` what the network's own kernel and that of infinite width predict for it. The linearisation moves in
    function space, where it is an N x N matrix whatever the width.

    >>> widths(WidthConfig(("relu",), (8,), 1, 2))["path"].shape
    (1, 1, 1)
    """
    table = [
        [[_wide(Task(name, width, seed=seed), config) for seed in range(config.starts)] for width in config.widths]
        for name in config.activations
    ]
    names = ("path", "full", "spread", "empirical", "infinite")
    return dict(zip(names, np.moveaxis(np.array(table), -1, 0), strict=True)) | {"width": np.array(config.widths)}


def _wide(task: Task, config: WidthConfig) -> list[float]:
    given, walk = problem(task), config.walk
    rate, last = plan(given, walk)
    rows = draw(len(given.x), batch=walk.batch, steps=last, runs=config.runs, seed=task.seed)
    real = follow(given.apply, given.params, given.x, given.y, rows, rate=rate, steps=[last])[:, 0]
    linear = simulate(given.gram, start(given), rows, rate=rate, steps=[last])[:, 0]
    grams = (given.gram, infinite_gram(task, given.x))
    still, far = (moments(gram, start(given), rate=rate, batch=walk.batch, steps=[last]) for gram in grams)
    full = descent(given, walk, [last])[0] - still.mean[0]
    path, alone = (float(np.sqrt(np.mean(gap**2))) for gap in (real - linear, full))
    return [path, alone, float(run_spread(real)), *(float(spread(one.covariance[0])) for one in (still, far))]


def floor(config: FloorConfig) -> Arrays:
    """Spread (P, T) of a network at the times ``units`` (T,) with contradictory labels, and ``plain`` without.

    >>> floor(FloorConfig(1, (0.0, 1.0), (1.0,), 2, Task(width=8, images=4)))["spread"].shape
    (1, 2)
    """
    found = {"units": np.array(config.units), "pace": np.array(config.paces)}
    for name, doubled in (("spread", config.contradictions), ("plain", 0)):
        given, rows = problem(config.task, doubled), []
        for pace in config.paces:
            keys = jax.random.split(jax.random.key(4), config.runs)
            steps = [round(unit * len(given.x) / pace) for unit in config.units]
            rows.append(run_spread(runs(given, Walk(pace), keys, steps)))
        found[name] = np.array(rows)
    return found


def floor_theory(config: FloorConfig) -> Arrays:
    """What the kernel at the start says of ``floor``: the same arrays, and ``floor`` (P,), where the noise stays.

    >>> found = floor_theory(FloorConfig(1, (1.0, 50.0), (0.1,), 2, Task(width=8, images=4)))
    >>> bool(abs(found["spread"][0, 1] / found["floor"][0] - 1) < 0.05)
    True
    """
    found: Arrays = {}
    for name, doubled in (("spread", config.contradictions), ("plain", 0)):
        given = problem(config.task, doubled)
        walks = [Walk(pace) for pace in config.paces]
        steps = [[round(unit * len(given.x) / pace) for unit in config.units] for pace in config.paces]
        exact = [
            moments(given.gram, start(given), rate=plan(given, walk)[0], batch=walk.batch, steps=counts)
            for walk, counts in zip(walks, steps, strict=True)
        ]
        found[name] = np.stack([spread(one.covariance) for one in exact])
        scale = np.sqrt([plan(given, walk)[0] / walk.batch for walk in walks])
        found["floor"] = found.get("floor", scale * noise_floor(given.gram, start(given)))
    return found


PARTS: dict[str, tuple[Callable[[Any], Arrays], Any]] = {
    "orders": (orders, OrderConfig()),
    "widths": (widths, WidthConfig()),
    "floor": (floor, FloorConfig()),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Record every part in one file, named ``part_array``."""
    parser = argparse.ArgumentParser(prog="python -m ntk_eoc.experiments.sgd", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for sgd.npz and sgd.json")
    out = parser.parse_args(arguments).out
    jax.config.update("jax_enable_x64", True)
    began = time.perf_counter()
    arrays: Arrays = {}
    for part, (measure, config) in PARTS.items():
        arrays |= {f"{part}_{name}": array for name, array in measure(config).items()}
        print(f"{part}: done after {time.perf_counter() - began:.0f} s", flush=True)
    records.save(
        out / "sgd.npz",
        arrays,
        records.about(
            command="python -m ntk_eoc.experiments.sgd --out book/results",
            config={part: asdict(config) for part, (_, config) in PARTS.items()},
            seed=0,
            seconds=time.perf_counter() - began,
        ),
    )


if __name__ == "__main__":
    main()
