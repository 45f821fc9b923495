"""The networks of Table 1 and Figure 2: which activation starts from which weights, and what the paper prints.

The paper's nine, and ours beside them: Sigmoid on its own Edge of Chaos, ReLU and tanh off theirs on purpose, ReLU
with residual connections. All sigmas are standard deviations as everywhere in this package, W ~ N(0, sigma_w^2/fan_in).
The paper names two initialisations without a formula; our reading: *He* is Gaussian with sigma_w = sqrt(2) and no bias,
*Glorot* is Gaussian with variance 2/(fan_in + fan_out) and no bias, which is sigma_w = 1 between layers of one width.
PReLU starts on the Edge of Chaos of its first slopes.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ntk_eoc.activations import get
from ntk_eoc.errors import check_choice
from ntk_eoc.meanfield import eoc_points
from ntk_eoc.networks import Network
from ntk_eoc.training import Model


class Start(NamedTuple):
    """An activation and its initialisation. ``fan``: variances are sigma_w^2/fan_in, or over the average of fan_in and
    fan_out."""

    activation: str
    sigma_b: float
    sigma_w: float
    architecture: str = "ffnn"
    fan: str = "in"


class Printed(NamedTuple):
    """Test accuracy as the paper prints it, mean and spread, in per cent."""

    mean: float
    spread: float


def _edge(activation: str) -> Callable[[str], Start]:
    """On the Edge of Chaos at sigma_b = 0, computed."""
    return lambda dataset: Start(activation, 0.0, eoc_points(get(activation), 0.0)[0].sigma_w)


def _given(activation: str, sigma_b: float, sigma_w: float, architecture: str = "ffnn") -> Callable[[str], Start]:
    return lambda dataset: Start(activation, sigma_b, sigma_w, architecture)


def _usual(activation: str) -> Callable[[str], Start]:
    """Glorot initialisation on CIFAR10, He on MNIST and on any other data."""
    he = Start(activation, 0.0, math.sqrt(2.0))
    return lambda dataset: Start(activation, 0.0, 1.0, fan="average") if dataset == "cifar10" else he


PAPER: dict[str, Callable[[str], Start]] = {
    "relu": _edge("relu"),
    "leaky_relu:0.01": _edge("leaky_relu:0.01"),
    "leaky_relu:0.02": _edge("leaky_relu:0.02"),
    "leaky_relu:0.03": _edge("leaky_relu:0.03"),
    "prelu": _edge("prelu"),
    "elu": _given("elu", 0.2, 1.227),  # the points that the paper prints; they are slightly ordered
    "tanh": _given("tanh", 0.2, 1.302),
    "softplus": _usual("softplus"),
    "sigmoid": _usual("sigmoid"),
}
OURS: dict[str, Callable[[str], Start]] = {
    "sigmoid-edge": _edge("sigmoid"),
    "relu-ordered": _given("relu", 0.0, 1.2),
    "relu-chaotic": _given("relu", 0.0, 1.6),
    "tanh-ordered": _given("tanh", 0.2, 1.0),
    "tanh-chaotic": _given("tanh", 0.2, 2.0),
    "residual-0.25": _given("relu", 0.0, 0.25, "residual"),
    "residual-0.5": _given("relu", 0.0, 0.5, "residual"),
    "residual-1": _given("relu", 0.0, 1.0, "residual"),
    "residual-root2": _given("relu", 0.0, math.sqrt(2.0), "residual"),
}

# Table 1: dataset and epochs -> in the order of PAPER.
PRINTED: dict[tuple[str, int], tuple[tuple[float, float], ...]] = {
    ("mnist", 10): (
        *((46.53, 12.01), (48.10, 3.31), (49.09, 3.58), (50.94, 4.48), (51.94, 5.51)),
        *((91.63, 2.21), (91.16, 1.21), (10.11, 0.09), (9.85, 0.11)),
    ),
    ("mnist", 100): (
        *((82.11, 4.51), (84.71, 3.39), (84.3, 3.98), (85.49, 2.71), (87.49, 1.58)),
        *((96.07, 0.13), (95.75, 0.27), (10.13, 0.18), (9.87, 0.10)),
    ),
    ("cifar10", 10): (
        *((20.38, 1.85), (22.62, 1.15), (18.62, 4.56), (21.19, 6.53), (22.95, 3.57)),
        *((33.81, 1.55), (32.37, 1.88), (11.13, 0.15), (10.65, 0.25)),
    ),
    ("cifar10", 100): (
        *((35.88, 0.6), (29.44, 4.14), (30.78, 6.33), (34.54, 2.32), (36.13, 3.83)),
        *((46.14, 1.49), (42.40, 1.13), (11.09, 0.36), (10.33, 0.17)),
    ),
}


def names(asked: Sequence[str]) -> list[str]:
    """Names of rows, in the table's order, for names and the groups ``paper`` and ``ours``.

    Raises ``ValueError`` for anything else, with the nearest name.

    >>> names(["tanh", "relu"])
    ['relu', 'tanh']
    >>> len(names(["paper"]))
    9
    """
    groups = {"paper": list(PAPER), "ours": list(OURS)}
    wanted: set[str] = set()
    for name in asked:
        wanted.update(groups.get(name) or [check_choice("activations", name, [*groups, *PAPER, *OURS])])
    return [name for name in (*PAPER, *OURS) if name in wanted]


def start(name: str, dataset: str) -> Start:
    """How the row ``name`` starts on ``dataset``.

    >>> start("sigmoid", "cifar10").sigma_w, round(start("sigmoid-edge", "mnist").sigma_w, 3)
    (1.0, 10.149)
    """
    return (PAPER | OURS)[check_choice("activations", name, [*PAPER, *OURS])](dataset)


def model(name: str, dataset: str, width: int, depth: int) -> Model:
    """The network of the row ``name`` on ``dataset``, of ``depth`` dense layers of ``width``.

    >>> model("tanh", "mnist", 200, 100).net.sigma_w
    1.302
    """
    activation, sigma_b, sigma_w, architecture, fan = start(name, dataset)
    return Model(activation, Network(width, depth, sigma_b, sigma_w, architecture), fan=fan)


def rate(depth: int) -> float:
    """The learning rate of the paper for a depth: 1e-3 up to 100 layers, 1e-4 for more."""
    return 1e-3 if depth <= 100 else 1e-4


def printed(name: str, dataset: str, epochs: int) -> Printed | None:
    """What Table 1 prints for a row after ``epochs`` epochs, if it does.

    >>> printed("relu", "mnist", 10)
    Printed(mean=46.53, spread=12.01)
    """
    values = PRINTED.get((dataset, epochs))
    return Printed(*values[list(PAPER).index(name)]) if values and name in PAPER else None
