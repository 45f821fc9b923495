"""Trained accuracy after a fixed budget over depth and sigma_w, for the depth scales of the theory to be drawn into.

Networks of one width are trained on scikit-learn's digits as in Figure 2 of the paper: SGD, cross-entropy, batches of
64, standard parameterisation. ``python -m ntk_eoc.experiments.trained_map --out book/results`` records the whole map.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc import data, records
from ntk_eoc.activations import get
from ntk_eoc.data import Split
from ntk_eoc.experiments import flat_kernel
from ntk_eoc.experiments.flat_kernel import Scales
from ntk_eoc.regularity import first_kink
from ntk_eoc.training import Config, Inputs, Model, Network, Seeds, Sgd, train


@dataclass(frozen=True)
class MapConfig:
    """Two activations at one ``sigma_b``, every ``sigma_w`` with every depth, ``seeds`` networks each."""

    activations: tuple[str, ...] = ("tanh", "relu")
    sigma_w: tuple[float, ...] = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0, 2.2)
    depths: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    seeds: int = 3
    epochs: int = 20


WIDTH, SIGMA_B, RATE = 64, 0.2, 1e-2


def accuracies(config: MapConfig, split: Split | None = None) -> Float64[ndarray, "A W D S"]:
    """Test accuracy after the last epoch, NaN for networks that diverged; one network after the other.

    >>> accuracies(MapConfig(("tanh",), (1.3,), (3,), seeds=1, epochs=1)).shape
    (1, 1, 1, 1)
    """
    images = data.load("digits") if split is None else split

    def one(activation: str, sigma_w: float, depth: int) -> ndarray:
        model = Model(activation, Network(WIDTH, depth, SIGMA_B, sigma_w))
        setting = Config(model, Sgd(RATE, config.epochs), Inputs("digits"), Seeds(config.seeds))
        return train(setting, images).curves.test_accuracy[:, -1].astype(float)

    grid = [[[one(act, w, depth) for depth in config.depths] for w in config.sigma_w] for act in config.activations]
    return np.array(grid)


def scales(activation: str, config: MapConfig) -> Scales:
    """The Edge of Chaos and the depth scales 1/|log chi| and 1/|log chi_*| over the range of ``config``.

    Of gradients, so without the factor 2 that a kernel's approach to its limit has for a phi with a kink.

    >>> found = scales("relu", MapConfig(sigma_w=(1.0, 1.2)))
    >>> float((found.ordered[0] * np.log(2)).round(9))
    1.0
    """
    found = flat_kernel.scales(flat_kernel.Family(activation, SIGMA_B, config.sigma_w))
    return found._replace(ordered=found.ordered / (2.0 if first_kink(get(activation)) == 1 else 1.0))


def record(out: str | Path, config: MapConfig) -> Path:
    """Run ``config``; write ``trained_map.npz`` and, beside it, where it came from."""
    began = time.perf_counter()
    found = accuracies(config)
    about = records.about(
        command="python -m ntk_eoc.experiments.trained_map",
        config={**asdict(config), "width": WIDTH, "sigma_b": SIGMA_B, "rate": RATE},
        seed=0,
        seconds=time.perf_counter() - began,
        data=data.checksums("digits"),
    )
    return records.save(Path(out) / "trained_map.npz", {"accuracy": found}, about)


def load(path: str | Path) -> tuple[MapConfig, Float64[ndarray, "A W D S"]]:
    """A recorded map with its configuration; ``ValueError`` if the file is not what was recorded."""
    arrays, about = records.load(path)
    fields = {name: about["config"][name] for name in MapConfig.__dataclass_fields__}
    config: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    return MapConfig(**config), arrays["accuracy"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Record the map in the folder ``--out``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", required=True, help="folder for trained_map.npz and trained_map.json")
    print(record(parser.parse_args(arguments).out, MapConfig()))


if __name__ == "__main__":
    main()
