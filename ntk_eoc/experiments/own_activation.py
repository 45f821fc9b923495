"""The chapter *Bring your own activation*: a choice of initialisation, its recipe, and networks that start there."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy import ndarray

from ntk_eoc import data
from ntk_eoc.activations import Activation, get
from ntk_eoc.asymptotics import Law, law
from ntk_eoc.networks import Network
from ntk_eoc.recipes import recipes
from ntk_eoc.recommend import Start, recommend
from ntk_eoc.training import Config, Model, Seeds, Sgd, train


@dataclass(frozen=True)
class OwnConfig:
    """A network of a function in a file, trained on the digits from the recommended point and from the usual ones."""

    activation: str = "my_activation.py:mish"
    width: int = 64
    depth: int = 30
    epochs: int = 10
    rate: float = 1e-2
    seeds: int = 2
    seed: int = 0


def law_at(act: Activation, start: Start) -> Law:
    """The law of the NTK at a start on the Edge of Chaos."""
    return law(act, sigma_b=start.sigma_b, sigma_w=start.sigma_w)


def recipe(act: Activation, start: Start, config: OwnConfig) -> str:
    """The recipe of a start for PyTorch."""
    sigmas: dict[str, Any] = {"sigma_b": start.sigma_b, "sigma_w": start.sigma_w}
    return recipes(act.name, depth=config.depth, width=config.width, q0=start.q0, **sigmas)["pytorch"]


def measured(path: str | Path) -> tuple[int, float]:
    """How many pasted recipes were measured, and the worst difference from a prediction, in standard errors."""
    rows = json.loads(Path(path).read_text())["rows"]
    return len(rows), max(max(row["worst"]) for row in rows)


def starts(config: OwnConfig) -> dict[str, tuple[float, float]]:
    """(sigma_b, sigma_w) of the three initialisations; Glorot's is LeCun's between layers of one width."""
    found = recommend(get(config.activation), config.depth)
    three = {"recommended": found.start, **{name: found.usual[name][0] for name in ("He", "Glorot")}}
    return {name: (start.sigma_b, start.sigma_w) for name, start in three.items()}


def train_starts(config: OwnConfig) -> dict[str, ndarray]:
    """Test accuracy (S, E + 1) on the digits from each of ``starts``."""
    split, found = data.load("digits"), {}
    for name, (sigma_b, sigma_w) in starts(config).items():
        net = Network(config.width, config.depth, sigma_b, sigma_w)
        job = Config(
            Model(config.activation, net), Sgd(config.rate, config.epochs), seeds=Seeds(config.seeds, config.seed)
        )
        found[name] = train(job, split).curves.test_accuracy
    return found
