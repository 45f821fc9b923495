"""Kernel regression on all of MNIST with the NTK of networks up to 300 layers deep, in bounded memory.

60,000 images make a Gram matrix of 14 GB: it is computed in tiles into a store on disk, solved by conjugate gradients
for several ridges, and removed. ``python -m ntk_eoc.experiments.mnist_regression --out book/results --work DIR``
records the whole; stopped at any instant, the same line goes on.
"""

import argparse
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

from ntk_eoc import data, records
from ntk_eoc.activations import get
from ntk_eoc.blocks import Kernel, block_function, cross_product, fill, nystroem, one_norm, open_store, product, solve
from ntk_eoc.blocks.store import describe, remove, stored
from ntk_eoc.blocks.tiles import here, tile_size
from ntk_eoc.data import Split
from ntk_eoc.experiments.flat_learning import targets
from ntk_eoc.meanfield import eoc_points

SIGMA_B = {"relu": 0.0}  # on the Edge of Chaos; 0.2 for the others
TOLERANCE = 1e-5  # of |Y - (K + mu I) A|/|Y|
DTYPE = "float32"
STRIP = 4096


@dataclass(frozen=True)
class RegressionConfig:
    """Rows (activation, depth); ``ridges`` in units of K(x, x), decreasing; the first ``train`` images of a permutation
    fixed by seed 0; ``rank`` of the preconditioner; bytes of ``memory`` for a tile."""

    rows: tuple[tuple[str, int], ...] = (("relu", 300), ("relu", 10))
    ridges: tuple[float, ...] = (10.0, 1.0, 0.1, 0.0)
    train: int = 60_000
    rank: int = 1000
    memory: int = 2**29


class Images(NamedTuple):
    """Directions of images centred by the mean of those to learn from, scaled to |x|^2 = d, with their labels."""

    x: Float32[ndarray, "N d"]
    y: Int64[ndarray, " N"]
    x_test: Float32[ndarray, "M d"]
    y_test: Int64[ndarray, " M"]


def images(split: Split, train: int) -> Images:
    """What a split (scaled "centred") gives to ``train`` images.

    >>> images(data.train_test(data.digits(50)), 30).x.shape
    (30, 64)
    """

    def directions(x: ndarray) -> ndarray:
        strips = (data.unit_norm(x[i : i + STRIP]) for i in range(0, len(x), STRIP))
        return np.concatenate([strip.astype(np.float32) for strip in strips])

    chosen = np.random.RandomState(0).permutation(len(split.train.y))[:train]
    x, x_test = directions(split.train.x[chosen]), directions(split.test.x)
    return Images(x, split.train.y[chosen], x_test, split.test.y)


def kernel_of(activation: str, depth: int) -> Kernel:
    """The NTK on the Edge of Chaos."""
    sigma_b = SIGMA_B.get(activation, 0.2)
    return Kernel(activation, (sigma_b, eoc_points(get(activation), sigma_b)[0].sigma_w), depth)


def row(activation: str, depth: int, config: RegressionConfig, given: Images, folder: Path) -> dict[str, Any]:
    """One row, through a store in ``folder``, gone on with where there is one.

    For each of R ridges, solved together: ``accuracy`` (R, 2) in training and test, the largest relative ``residual``
    of an output; ``rest`` is the share of K(x, x) that the preconditioner gives to the identity. ``seconds`` of Gram
    matrix, preconditioner, solution and predictions, in the process that finished the row, which computed the first
    number of ``blocks`` out of the second; ``peak_memory`` in bytes.
    """
    kernel, y, clock = kernel_of(activation, depth), targets(given.y), [time.perf_counter()]
    block = block_function(kernel, one_norm(given.x), DTYPE)
    size = tile_size(given.x.shape[1], config.memory, layered=block.layered)
    store = open_store(folder, describe(kernel, given.x, DTYPE), size, resume=True)
    computed = fill(store, partial(here, block, given.x))
    clock.append(time.perf_counter())
    low_rank = nystroem(block, given.x, rank=config.rank, memory=config.memory)
    clock.append(time.perf_counter())
    diagonal = float(block(given.x[:1], None)[0, 0])
    ridges = np.array(config.ridges) * diagonal
    every = np.tile(y, len(ridges))
    fit = solve(
        lambda v: product(stored(store), v),
        every,
        np.repeat(ridges, y.shape[1]),
        low_rank=low_rank,
        tolerance=TOLERANCE,
    )
    clock.append(time.perf_counter())
    outputs = cross_product(block, given.x_test, given.x, fit.coefficients, config.memory)
    clock.append(time.perf_counter())
    known = every - np.repeat(ridges, y.shape[1]) * fit.coefficients
    shares = [_right(known, given.y, len(ridges)), _right(outputs, given.y_test, len(ridges))]
    return {
        "accuracy": np.stack(shares, axis=1),
        "residual": fit.residual.reshape(len(ridges), -1).max(axis=1),
        "iterations": np.array(fit.iterations),
        "seconds": np.diff(clock),
        "blocks": np.array([computed, len(store.tiles)]),
        "rest": np.array(low_rank.rest / diagonal),
        "peak_memory": np.array(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
    }


def _right(outputs: ndarray, labels: ndarray, ridges: int) -> ndarray:
    """The share of images whose largest output is that of their label, for each ridge."""
    return np.mean(outputs.reshape(len(labels), ridges, -1).argmax(axis=2) == labels[:, None], axis=0)


def record(out: str | Path, work: str | Path, config: RegressionConfig, dataset: str = "mnist") -> Path:
    """Run ``config`` row by row through the folder ``work``, where finished rows are kept; write
    ``mnist_regression.npz`` into ``out`` and, beside it, where it came from."""
    found, given = [], None
    for activation, depth in config.rows:
        path = Path(work) / f"{activation}-{depth}.npz"
        about = records.about(
            command=_command(config),
            config={**asdict(config), "rows": [[activation, depth]], "tolerance": TOLERANCE, "dtype": DTYPE},
            seed=0,
            seconds=0.0,
            data=data.checksums(dataset),
        )
        if not path.is_file():
            given = images(data.load(dataset, scaling="centred"), config.train) if given is None else given
            records.save(path, row(activation, depth, config, given, path.with_suffix("")), about)
        remove(path.with_suffix(""))
        arrays, before = records.load(path)
        if before["config"] != {**about["config"], "ridges": list(config.ridges)}:
            raise ValueError(f"work: expected rows of this configuration, got another in {path}")
        found.append(arrays)
    together = {name: np.stack([arrays[name] for arrays in found]) for name in found[0]}
    names, depths = (np.array(column) for column in zip(*config.rows, strict=True))
    about["config"]["rows"] = [list(pair) for pair in config.rows]
    about["seconds"] = round(float(together["seconds"].sum()), 1)
    return records.save(Path(out) / "mnist_regression.npz", {"activation": names, "depth": depths, **together}, about)


def table(paths: Sequence[str | Path]) -> str:
    """Records as Markdown: test accuracy in per cent for each ridge, peak memory and hours of each network."""
    lines: list[str] = []
    for path in paths:
        arrays, about = records.load(path)
        ridges = about["config"]["ridges"]
        if not lines:
            heads = ["images", "network", *(f"ridge {ridge:g}" for ridge in ridges), "memory", "hours"]
            lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for i, (name, depth) in enumerate(zip(arrays["activation"], arrays["depth"], strict=True)):
            accuracy = [f"{100 * found[1]:.1f} %" for found in arrays["accuracy"][i]]
            memory, hours = arrays["peak_memory"][i] / 2**30, arrays["seconds"][i].sum() / 3600
            network = f"{name}, {depth} layers"
            cells = [f"{about['config']['train']:,}", network, *accuracy, f"{memory:.1f} GiB", f"{hours:.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _command(config: RegressionConfig) -> str:
    depths = " ".join(str(depth) for _, depth in config.rows)
    activation, train = config.rows[0][0], config.train
    return f"python -m ntk_eoc.experiments.mnist_regression --activation {activation} --depths {depths} --train {train}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Record the regression in the folder ``--out``, by way of ``--work``, which takes 14 GB for a while."""
    import jax

    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", required=True, help="folder for mnist_regression.npz and mnist_regression.json")
    parser.add_argument("--work", required=True, help="folder of the store and of finished rows")
    parser.add_argument("--activation", default="relu", help="a named activation, on its Edge of Chaos")
    parser.add_argument("--depths", type=int, nargs="+", default=[300, 10], help="layers")
    parser.add_argument("--train", type=int, default=60_000, help="images to learn from")
    args = parser.parse_args(arguments)
    rows = tuple((args.activation, depth) for depth in args.depths)
    print(record(args.out, args.work, RegressionConfig(rows, train=args.train)))


if __name__ == "__main__":
    main()
