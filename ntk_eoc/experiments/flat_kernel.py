"""What a flat kernel learns (Sec. 3.1 of the paper, after Eq. 9): maps of accuracy over (sigma_w, depth).

Inputs have the norm at which the variance is at its fixed point from the first layer on, and norm 1 per dimension
where it has none, because it diverges. ``python -m ntk_eoc.experiments.flat_kernel --out book/results`` records the
maps for digits and MNIST; the environment variable NTK_EOC_DATA may name a folder with MNIST's files.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc import records
from ntk_eoc.activations import get
from ntk_eoc.data import checksums
from ntk_eoc.experiments.flat_learning import Learned, Task, digits_task, kernels_of, learn, mnist_task, targets
from ntk_eoc.meanfield import eoc_points, limit_variance, phase
from ntk_eoc.profile import Profile, profile
from ntk_eoc.regularity import first_kink

TASKS = {"digits": digits_task, "mnist": mnist_task}


class Family(NamedTuple):
    """Networks of one activation and bias, along an axis of weights; standard deviations."""

    activation: str
    sigma_b: float
    sigma_w: tuple[float, ...]


def steps(first: float, last: float, count: int) -> tuple[float, ...]:
    """``count`` numbers at equal distances, free of rounding noise."""
    return tuple(float(value) for value in np.linspace(first, last, count).round(6))


class Config(NamedTuple):
    """Families, depths, training budgets (see ``flat_learning``), and numbers of images to train and to test on."""

    families: tuple[Family, ...] = (
        Family("tanh", 0.2, steps(0.9, 1.9, 11)),
        Family("elu", 0.2, steps(0.9, 1.4, 11)),
        Family("relu", 0.2, steps(0.9, 1.9, 11)),
    )
    depths: tuple[int, ...] = (2, 3, 5, 8, 12, 18, 27, 40, 60, 90, 135, 200, 300)
    budgets: tuple[float, ...] = (1e2, 1e4, 1e6)
    train: int = 500
    test: int = 1000


SMALL = Config(
    (Family("tanh", 0.2, steps(0.9, 1.8, 7)),), depths=(2, 4, 8, 16, 32, 64, 128), budgets=(1e4,), train=150, test=300
)


class Map(NamedTuple):
    """What ``flat_learning.learn`` finds for S weights and D depths of one family: (S, D, T, 2) and (S, D)."""

    family: Family
    depths: tuple[int, ...]
    accuracy: Float64[ndarray, "S D T 2"]
    error: Float64[ndarray, "S D T 2"]
    log_condition: Float64[ndarray, "S D"]


def network(activation: str, depths: Sequence[int], sigma_b: float, sigma_w: float) -> Profile:
    """The kernels of a network at the variance fixed point, or from norm 1 per dimension where there is none.

    >>> network("relu", [1, 2], 0.2, 2.0).log_q.round(3).tolist()
    [1.396, 2.094]
    """
    act = get(activation)
    settles = sigma_b**2 < limit_variance(act, sigma_b=sigma_b, sigma_w=sigma_w) < np.inf
    q0 = None if settles or (act.slopes and sigma_b == 0) else 1.0
    return profile(act, depths, sigma_b=sigma_b, sigma_w=sigma_w, q0=q0)


def compute(family: Family, images: Task, config: Config) -> Map:
    """The map of one family on one task.

    >>> few = Config(depths=(2, 40), budgets=(100.0,), train=20, test=20)
    >>> compute(Family("tanh", 0.2, (0.9,)), digits_task(20, 20), few).accuracy[0, :, 0, 0].tolist()
    [1.0, 0.2]
    """
    rows = []
    for sigma_w in family.sigma_w:
        found = network(family.activation, config.depths, family.sigma_b, sigma_w)
        rows.append([learn(kernel, images, config.budgets) for kernel in kernels_of(found, images)])
    parts = (np.array([[getattr(one, part) for one in row] for row in rows]) for part in rows[0][0]._fields)
    return Map(family, config.depths, *parts)


def cell(found: Map, sigma_w: float, depth: int) -> Learned:
    """One cell of a map. Raises ``ValueError`` if the map has no such weight or depth.

    >>> few = Config(depths=(2, 40), budgets=(100.0,), train=20, test=20)
    >>> found = compute(Family("relu", 0.2, (1.0,)), digits_task(20, 20), few)
    >>> cell(found, 1.0, 40).error.shape
    (3, 2)
    """
    if sigma_w not in found.family.sigma_w or depth not in found.depths:
        raise ValueError(f"cell: expected a weight and a depth of the map, got {sigma_w:g} and {depth}")
    i, j = found.family.sigma_w.index(sigma_w), found.depths.index(depth)
    return Learned(found.accuracy[i, j], found.error[i, j], float(found.log_condition[i, j]))


class Scales(NamedTuple):
    """Where theory expects changes, on a fine axis of weights: the Edge of Chaos (None without one), and the depth
    scales of a kernel's approach to its limit, ``ordered`` and ``chaotic``, NaN on the other side."""

    sigma_w: Float64[ndarray, " S"]
    edge: float | None
    ordered: Float64[ndarray, " S"]
    chaotic: Float64[ndarray, " S"]


def scales(family: Family, points: int = 41) -> Scales:
    """Depth scales 1/(-log chi), doubled for a phi with a kink, and 1/(-log chi_*) (see ``meanfield.phase``).

    >>> found = scales(Family("relu", 0.2, (1.0, 1.2)), points=2)
    >>> (found.ordered * np.log(2 / found.sigma_w**2)).round(6).tolist()
    [2.0, 2.0]
    """
    act = get(family.activation)
    axis = np.linspace(family.sigma_w[0], family.sigma_w[-1], points)
    found = [phase(act, sigma_b=family.sigma_b, sigma_w=float(w)) for w in axis]
    xi = {p.phase: np.full(points, np.nan) for p in found} | {name: np.full(points, np.nan) for name in PHASES}
    for i, p in enumerate(found):
        xi[p.phase][i] = np.nan if p.xi is None else p.xi
    edges = [p.sigma_w for p in eoc_points(act, family.sigma_b)]
    kink = 2.0 if first_kink(act) == 1 else 1.0
    return Scales(axis, edges[0] if edges else None, kink * xi["ordered"], xi["chaotic"])


PHASES = ("ordered", "eoc", "chaotic")


def imbalance(images: Task) -> float:
    """The root mean square over classes of the mean target: how unequally often the classes occur.

    >>> round(imbalance(digits_task(20, 20)), 3)
    0.074
    """
    return float(np.sqrt(np.mean(targets(images.labels).mean(axis=0) ** 2)))


def run(config: Config, names: Sequence[str] = tuple(TASKS)) -> Iterator[tuple[str, Map]]:
    """(task, map) for every task and family, one after the other."""
    for name in names:
        images = TASKS[name](config.train, config.test)
        for family in config.families:
            yield name, compute(family, images, config)


def record(out: str | Path, config: Config, names: Sequence[str] = tuple(TASKS)) -> Path:
    """Run ``config`` on the tasks; write ``flat_kernel.npz`` and, beside it, where it came from."""
    start = time.perf_counter()
    arrays: dict[str, np.ndarray] = {}
    for name, found in run(config, names):
        print(f"{name}, {found.family.activation}: {time.perf_counter() - start:.0f} s", flush=True)
        arrays |= {f"{name}/{found.family.activation}/{part}": getattr(found, part) for part in Map._fields[2:]}
    about = records.about(
        command="python -m ntk_eoc.experiments.flat_kernel --out book/results",
        config={**config._asdict(), "families": [family._asdict() for family in config.families]},
        seed=0,
        seconds=time.perf_counter() - start,
        data={file: digest for name in names for file, digest in checksums(name).items()},
    )
    return records.save(Path(out) / "flat_kernel.npz", arrays, about)


def load(path: str | Path) -> tuple[Config, dict[str, dict[str, Map]]]:
    """The configuration of a record, and its maps by task and activation."""
    arrays, about = records.load(path)
    written = about["config"]
    families = tuple(Family(f["activation"], f["sigma_b"], tuple(f["sigma_w"])) for f in written["families"])
    depths, budgets = tuple(written["depths"]), tuple(written["budgets"])
    config = Config(families, depths, budgets, written["train"], written["test"])
    maps: dict[str, dict[str, Map]] = {}
    for name in dict.fromkeys(key.split("/")[0] for key in arrays):
        for family in families:
            parts = (arrays[f"{name}/{family.activation}/{part}"] for part in Map._fields[2:])
            maps.setdefault(name, {})[family.activation] = Map(family, depths, *parts)
    return config, maps


def main(arguments: Sequence[str] | None = None) -> None:
    """Record the maps of the chapter on flat kernels; takes minutes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", required=True, help="folder for flat_kernel.npz and flat_kernel.json")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS), help="data sets")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    print(record(options.out, Config(), options.tasks))


if __name__ == "__main__":
    main()
