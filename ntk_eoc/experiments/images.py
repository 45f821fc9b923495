"""Convolutional kernels of real images: what depth leaves of a pair, and what pooling keeps of a digit.

ReLU on the Edge of Chaos, filters of 3 x 3. Pooling compares every position of an image with every one of the other,
which takes half an hour for the published images: ``python -m ntk_eoc.experiments.images --out book/results`` records
them, and flattened alone, which is quick, far deeper networks.
"""

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc import data, records
from ntk_eoc.activations import get
from ntk_eoc.angles import input_gaps
from ntk_eoc.convolution import READOUTS, conv_kernels
from ntk_eoc.experiments.flat_learning import targets
from ntk_eoc.profile import ntk_ratio, profile

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
KINDS = (*READOUTS, "dense")
SIGMAS: dict[str, Any] = {"sigma_b": 0.0, "sigma_w": 2**0.5}
TILE = 2_000_000  # pairs of positions at a time


@dataclass(frozen=True)
class PairsConfig:
    """The first two training images of each data set over ``depths``, and flattened alone over ``deeper`` ones."""

    datasets: tuple[str, ...] = ("mnist", "cifar10")
    depths: tuple[int, ...] = (2, 5, 10, 20, 50, 100, 200)
    deeper: tuple[int, ...] = (400, 1000, 3000)


@dataclass(frozen=True)
class ShiftConfig:
    """Kernel regression on the first ``train`` digits of a permutation fixed by seed 0; the next ``test`` are judged as
    they are and ``shift`` pixels down and to the right, round the edges."""

    depths: tuple[int, ...] = (2, 10, 30)
    train: int = 60
    test: int = 100
    shift: int = 2


class Images(NamedTuple):
    """``pair``: K^L(x, x')/sqrt(K^L(x, x) K^L(x', x')) of two images by data set, kind (``KINDS``) and depth, and
    ``deeper`` of the flattened kind; ``accuracy`` of kernel regression by kind, as they are and shifted, and depth."""

    pair: Float64[ndarray, "S 3 D"]
    deeper: Float64[ndarray, "S E"]
    accuracy: Float64[ndarray, "3 2 F"]


def pooled_limit(limit: float, positions: int) -> float:
    """The pooled kernel of two images over their own at depth, when that of a dense network tends to ``limit``.

    >>> round(pooled_limit(0.25, 64), 3)
    0.955
    """
    return limit / (limit + (1.0 - limit) / positions)


def positions(dataset: str) -> int:
    """How many positions an image of a data set has.

    >>> positions("mnist")
    784
    """
    return SHAPES[dataset][1] * SHAPES[dataset][2]


def grams(
    dataset: str, x1: Float64[ndarray, "M d"], x2: Float64[ndarray, "N d"], depths: Sequence[int]
) -> Float64[ndarray, "3 D M N"]:
    """K^L(x, x')/sqrt(K^L(x, x) K^L(x', x')) of flattened images, for each of ``KINDS`` and each depth."""
    found = [[_normalised(dataset, x1, x2, depth, readout) for depth in depths] for readout in READOUTS]
    return np.array([*found, ntk_ratio(profile(get("relu"), depths, **SIGMAS), input_gaps(x1, x2))])


def _normalised(dataset: str, x1: ndarray, x2: ndarray, depth: int, readout: str) -> Float64[ndarray, "M N"]:
    """Tile by tile, for a layer of pairs of positions fills the memory."""
    side = max(1, math.isqrt(TILE // positions(dataset) ** (2 if readout == "pooling" else 1)))

    def tile(one: ndarray, other: ndarray) -> ndarray:
        shaped = (x.reshape(len(x), *SHAPES[dataset]) for x in (one, other))
        return np.asarray(conv_kernels(get("relu"), *shaped, **SIGMAS, depth=depth, readout=readout).ntk)

    def own(x: ndarray) -> ndarray:
        return np.sqrt([tile(image, image)[0, 0] for image in x[:, None]])

    strips = [[x[i : i + side] for i in range(0, len(x), side)] for x in (x1, x2)]
    gram = np.block([[tile(one, other) for other in strips[1]] for one in strips[0]])
    return gram / own(x1)[:, None] / own(x2)


def pair_over_depth(dataset: str, x: Float64[ndarray, "2 d"], depths: Sequence[int]) -> Float64[ndarray, "3 D"]:
    """The normalised kernel of two images over the depths, a row for each of ``KINDS``.

    >>> pair_over_depth("digits", data.digits().x[:2], [2]).round(2).tolist()
    [[0.65], [0.82], [0.62]]
    """
    return grams(dataset, x[:1], x[1:], depths)[:, :, 0, 0]


def shifted(dataset: str, x: Float64[ndarray, "N d"], pixels: int) -> Float64[ndarray, "N d"]:
    """Images moved down and to the right, round the edges.

    >>> shifted("digits", np.arange(64.0)[None], 1)[0, :3].tolist()
    [63.0, 56.0, 57.0]
    """
    return np.roll(x.reshape(len(x), *SHAPES[dataset]), (pixels, pixels), (2, 3)).reshape(x.shape)


def accuracies(config: ShiftConfig) -> Float64[ndarray, "3 2 F"]:
    """Shares of digits that kernel regression gets right, by kind, as they are and shifted, and depth."""
    chosen = data.digits(config.train + config.test)
    x, x_test = np.split(chosen.x, [config.train])
    y, y_test = np.split(chosen.y, [config.train])
    known = np.linalg.solve(grams("digits", x, x, config.depths), targets(y))
    judged = (x_test, shifted("digits", x_test, config.shift))
    sides = [grams("digits", rows, x, config.depths) @ known for rows in judged]
    return np.stack([np.mean(outputs.argmax(axis=3) == y_test, axis=2) for outputs in sides], axis=1)


def two_images(dataset: str) -> Float64[ndarray, "2 d"]:
    """The first two training images, as pixels over the largest one; ``ValueError`` says how to supply missing files.

    >>> two_images("digits").max() <= 1
    np.True_
    """
    return data.load(dataset, scaling="unit").train.x[:2].astype(np.float64)


def images(pairs: PairsConfig, shift: ShiftConfig) -> Images:
    """Everything that is recorded; errors as of ``two_images``."""
    found, deeper = [], []
    for name in pairs.datasets:
        x = two_images(name)
        found.append(pair_over_depth(name, x, pairs.depths))
        deeper.append([_normalised(name, x[:1], x[1:], depth, "flatten")[0, 0] for depth in pairs.deeper])
    return Images(np.array(found), np.array(deeper), accuracies(shift))


def record(out: str | Path, pairs: PairsConfig, shift: ShiftConfig) -> Path:
    """Compute ``images``; write ``images.npz`` into ``out`` and, beside it, where it came from."""
    began, found = time.perf_counter(), images(pairs, shift)
    about = records.about(
        command="python -m ntk_eoc.experiments.images --out book/results",
        config={"pairs": asdict(pairs), "shift": asdict(shift)},
        seed=None,
        seconds=time.perf_counter() - began,
        data={file: sha for name in ("digits", *pairs.datasets) for file, sha in data.checksums(name).items()},
    )
    return records.save(Path(out) / "images.npz", found._asdict(), about)


def load(path: str | Path) -> tuple[PairsConfig, ShiftConfig, Images]:
    """A record with its configurations; ``ValueError`` if the file is not what was recorded."""
    arrays, about = records.load(path)
    pairs = PairsConfig(**{name: tuple(values) for name, values in about["config"]["pairs"].items()})
    shift = about["config"]["shift"]
    return pairs, ShiftConfig(**{**shift, "depths": tuple(shift["depths"])}), Images(**arrays)


Curves = dict[str, tuple[tuple[int, ...], ndarray]]  # (depths, values) by kind


def curves(config: PairsConfig, found: Images) -> dict[str, Curves]:
    """The pair of each data set as curves over depth; the flattened one goes on to the deeper networks."""
    every: dict[str, Curves] = {}
    for name, rows, deeper in zip(config.datasets, found.pair, found.deeper, strict=True):
        every[name] = {kind: (config.depths, ratio) for kind, ratio in zip(KINDS, rows, strict=True)}
        every[name]["flatten"] = (config.depths + config.deeper, np.append(rows[0], deeper))
    return every


def main(arguments: Sequence[str] | None = None) -> None:
    """Record the kernels of MNIST and CIFAR10 images, and of shifted digits, in the folder ``--out``."""
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", required=True, help="folder for images.npz and images.json")
    print(record(parser.parse_args(arguments).out, PairsConfig(), ShiftConfig()))


if __name__ == "__main__":
    main()
