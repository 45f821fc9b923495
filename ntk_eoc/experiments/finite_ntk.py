"""The tangent kernel of finite networks at initialisation against that of infinite width: Eq. 4 to 6 of the paper.

Inputs are digits of one norm, networks have one output and the weights of the Edge of Chaos unless told otherwise.
``python -m ntk_eoc.experiments.finite_ntk --out book/results`` records the whole grids, with those of ``ntk_drift``.
"""

import argparse
import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from ntk_eoc import records
from ntk_eoc.activations import get
from ntk_eoc.data import digits
from ntk_eoc.experiments.ensembles import edge, ensembles, images, limit
from ntk_eoc.experiments.ntk_drift import Drift, DriftConfig, drift
from ntk_eoc.experiments.sgd_sampling import Order, fitted_order

COMMAND = "python -m ntk_eoc.experiments.finite_ntk"
ARCHITECTURES = ("ffnn", "residual")
GROUPS = 8  # of networks, from whose scatter the intervals of fitted orders come


@dataclass(frozen=True)
class WidthConfig:
    """Every activation at every depth and width, ``seeds`` networks each, on a number of digits."""

    activations: tuple[str, ...] = ("relu", "elu", "tanh")
    depths: tuple[int, ...] = (3, 10)
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    seeds: int = 96
    images: int = 8


def width_errors(config: WidthConfig, seed: int = 0) -> Float64[ndarray, "2 A D W S"]:
    """norm(K_n - K)/norm(K), Frobenius norms over the digits, for every network; dense first, then residual ones.

    >>> width_errors(WidthConfig(("relu",), (2,), (8, 16), seeds=3, images=2)).shape
    (2, 1, 1, 2, 3)
    """
    x = images(config.images)

    def errors(depth: int, width: int) -> ndarray:
        kinds = [
            (get(name), edge(name, width=width, depth=depth, architecture=architecture))
            for architecture in ARCHITECTURES
            for name in config.activations
        ]
        right = np.array([limit(act, net, x) for act, net in kinds])
        found = ensembles(kinds, x, seeds=config.seeds, seed=seed)
        size = np.linalg.norm(right, axis=(1, 2))[:, None]
        return (np.linalg.norm(found - right[:, None], axis=(2, 3)) / size).reshape(2, -1, config.seeds)

    grid = np.array([[errors(d, w) for w in config.widths] for d in config.depths])
    return np.moveaxis(grid, (2, 3), (0, 1))


def order(widths: Sequence[int], samples: Float64[ndarray, "W S"]) -> Order:
    """The exponent of the mean of ``samples`` in the width, with its interval of 95 % from groups of networks.

    >>> round(order((1, 4), np.outer([1.0, 0.5], np.ones(16))).exponent, 12)
    -0.5
    """
    count = samples.shape[1] // GROUPS * GROUPS
    groups = samples[:, :count].reshape(len(widths), GROUPS, -1).mean(axis=2)
    return fitted_order(np.asarray(widths, dtype=float), groups.T)


@dataclass(frozen=True)
class RatioConfig:
    """Every depth with every width, as long as depth/width is at most ``largest``: as many networks each as have
    ``numbers`` parameters together."""

    activations: tuple[str, ...] = ("relu", "elu", "tanh")
    depths: tuple[int, ...] = (2, 4, 8, 16, 32)
    widths: tuple[int, ...] = (16, 32, 64, 128)
    largest: float = 0.5
    numbers: int = 2**26


class Ratio(NamedTuple):
    """For each activation and each of C ``cells`` (depth, width), with a standard error beside every number: the
    ``spread`` of K_n(x, x), standard deviation over mean; the bias E[K_n]/K - 1 ``on`` and ``off`` the diagonal."""

    cells: Int64[ndarray, "C 2"]
    spread: Float64[ndarray, "A C 2"]
    on: Float64[ndarray, "A C 2"]
    off: Float64[ndarray, "A C 2"]


def ratio(config: RatioConfig, count: int = 4, seed: int = 0) -> Ratio:
    """Spread and bias of the kernel of finite networks on ``count`` digits.

    >>> ratio(RatioConfig(("relu",), (2, 8), (8, 16), numbers=3000)).cells.tolist()
    [[2, 8], [2, 16], [8, 16]]
    """
    x = images(count)
    cells = [(d, w) for d in config.depths for w in config.widths if d <= config.largest * w]

    def moments(depth: int, width: int) -> list[ndarray]:
        kinds = [(get(name), edge(name, width=width, depth=depth)) for name in config.activations]
        seeds = min(8192, 1 + config.numbers // (width * (x.shape[1] + (depth - 2) * width)))
        found = ensembles(kinds, x, seeds=seeds, seed=seed)
        return [_moments(part / limit(act, net, x)) for part, (act, net) in zip(found, kinds, strict=True)]

    spread, on, off = np.moveaxis(np.array([moments(*cell) for cell in cells]), (1, 2), (1, 0))
    return Ratio(np.array(cells), spread, on, off)


def _moments(found: Float64[ndarray, "S N N"]) -> ndarray:
    """((spread, error), (bias on the diagonal, error), (off it, error)) of kernels over that of infinite width."""
    seeds, points, _ = found.shape
    diagonal, off = np.einsum("sii->si", found), found[:, ~np.eye(points, dtype=bool)]
    squares = np.mean((diagonal / diagonal.mean(axis=0) - 1.0) ** 2, axis=1) * seeds / (seeds - 1)
    spread = np.sqrt(squares.mean())
    errors = [part.std(ddof=1) / seeds**0.5 for part in (squares, diagonal.mean(axis=1), off.mean(axis=1))]
    return np.array(
        [(spread, errors[0] / (2 * spread)), (diagonal.mean() - 1.0, errors[1]), (off.mean() - 1.0, errors[2])]
    )


def relu_spread(depth: int, width: int) -> float:
    """Standard deviation over mean of K_n(x, x) for ReLU without biases, up to a relative O(depth/width^2).

    A mask that two layers' parts share on one side gives a factor 1 + 5/n to the mean of their product, one that they
    share on opposite sides 1 + 1/n. For large n it tends to a function of depth/width, sqrt(11 L/(3 n)) where small.

    >>> round(relu_spread(1000, 10**6) / (11 / 3 * 1e-3) ** 0.5, 2)
    1.0
    """
    layer = np.arange(depth)
    apart = np.abs(layer[:, None] - layer)
    second = (1 + 5 / width) ** (depth - 1 - apart) * (1 + 1 / width) ** apart
    return float(np.sqrt(second.mean() - 1.0))


class Grids(NamedTuple):
    """What is recorded."""

    width: WidthConfig = WidthConfig()
    ratio: RatioConfig = RatioConfig()
    drift: DriftConfig = DriftConfig()


def record(out: str | Path, grids: Grids) -> Path:
    """Run ``grids``; write ``finite_ntk.npz`` and, beside it, where it came from."""
    start = time.perf_counter()
    arrays = {"errors": width_errors(grids.width)}
    arrays |= {f"ratio_{name}": part for name, part in ratio(grids.ratio)._asdict().items()}
    arrays |= {f"drift_{name}": part for name, part in drift(grids.drift)._asdict().items()}
    seconds = time.perf_counter() - start
    config = {name: asdict(part) for name, part in grids._asdict().items()}
    source = {"digits": hashlib.sha256(digits().x.tobytes()).hexdigest()}
    about = records.about(command=COMMAND, config=config, seed=0, seconds=seconds, data=source)
    return records.save(Path(out) / "finite_ntk.npz", arrays, about)


class Recorded(NamedTuple):
    """The recorded arrays with the configurations that they belong to."""

    grids: Grids
    errors: Float64[ndarray, "2 A D W S"]
    ratio: Ratio
    drift: Drift


def load(path: str | Path) -> Recorded:
    """A recorded run; ``ValueError`` if the file is not what was recorded."""
    arrays, about = records.load(path)
    kinds = {"width": WidthConfig, "ratio": RatioConfig, "drift": DriftConfig}
    grids = Grids(**{name: kind(**_tuples(about["config"][name])) for name, kind in kinds.items()})
    found, moved = ({n: arrays[f"{kind}_{n}"] for n in of._fields} for kind, of in (("ratio", Ratio), ("drift", Drift)))
    return Recorded(grids, arrays["errors"], Ratio(**found), Drift(**moved))


def _tuples(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as JSON gives it back, with tuples for lists."""
    fixed = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    return fixed | ({"sizes": tuple(map(tuple, fixed["sizes"]))} if "sizes" in fixed else {})


def main(arguments: Sequence[str] | None = None) -> None:
    """Record the grids in the folder ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="book/results", help="folder to write to")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    print(record(options.out, Grids()))


if __name__ == "__main__":
    main()
