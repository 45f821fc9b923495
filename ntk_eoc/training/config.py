"""What is trained and how: every number of the protocol and every choice that the paper leaves open has a name."""

import dataclasses
import json
from dataclasses import dataclass, replace
from typing import Any

from ntk_eoc.activations import get
from ntk_eoc.data import DATASETS, SCALINGS
from ntk_eoc.errors import check_choice, check_positive, number
from ntk_eoc.networks import Network

Fields = dict[str, Any]


def whole(name: str, value: object, least: int) -> int:
    """``value`` as an int of at least ``least``; ``ValueError`` in one sentence otherwise."""
    found = number(name, value)
    if found != int(found) or found < least:
        raise ValueError(f"{name}: expected a whole number, at least {least}, got {value!r}")
    return int(found)


@dataclass(frozen=True)
class Model:
    """A network of one activation, a name that ``activations.get`` knows; PReLU's slopes are learned.

    Left open by the paper: ``parameterisation`` (ours: standard; ``ntk`` is trained as what it amounts to, rates
    of sigma_w^2/fan_in for weights and sigma_b^2 for biases), ``depth_counts`` (ours: ``all`` dense layers;
    ``hidden`` adds the output layer to them) and, for Glorot's initialisation, ``fan`` (``average``: variances
    2 sigma_w^2/(fan_in + fan_out)). PReLU's slopes, one per hidden layer, learn at the common rate.

    >>> Model("relu", Network(64, 10, 0.0, 2**0.5)).layers.depth
    10
    """

    activation: str
    net: Network
    parameterisation: str = "standard"
    depth_counts: str = "all"
    fan: str = "in"

    def __post_init__(self) -> None:
        """Refuse unknown names, and a network without a hidden layer."""
        get(self.activation)
        check_choice("parameterisation", self.parameterisation, ("standard", "ntk"))
        check_choice("depth_counts", self.depth_counts, ("all", "hidden"))
        check_choice("fan", self.fan, ("in", "average"))
        if self.layers.depth < 2:
            raise ValueError(f"depth: expected at least 2 dense layers, got {self.layers.depth}")

    @property
    def layers(self) -> Network:
        """The network with the depth that ``networks`` means, the number of all dense layers."""
        return replace(self.net, depth=self.net.depth + (self.depth_counts == "hidden"))


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent on the mean cross-entropy of a batch, at a constant rate.

    Left open by the paper: ``momentum`` (ours: none) and ``batches``: ``permuted`` (ours: every row once an epoch in
    a new order, so the last batch may be smaller), ``full`` (the incomplete batch left out) or ``replacement``
    (independent uniform draws, as many batches as ``permuted``).

    >>> Sgd(rate=1e-3, epochs=10).batch
    64
    """

    rate: float
    epochs: int
    batch: int = 64
    momentum: float = 0.0
    batches: str = "permuted"

    def __post_init__(self) -> None:
        """Refuse what is no number of steps or no rate."""
        check_positive("rate", self.rate)
        whole("epochs", self.epochs, 1)
        whole("batch", self.batch, 1)
        if not 0 <= number("momentum", self.momentum) < 1:
            raise ValueError(f"momentum: expected a number from 0 to below 1, got {self.momentum:g}")
        check_choice("batches", self.batches, ("permuted", "full", "replacement"))


@dataclass(frozen=True)
class Inputs:
    """The data set by name, and two choices that the paper leaves open.

    ``scaling`` is what ``data.scaled`` did to the pixels (ours: ``centred``) and ``augmentation`` has one value,
    ``none``. The training takes the arrays as they come: whoever loads them answers for these names.
    """

    dataset: str = "digits"
    scaling: str = "centred"
    augmentation: str = "none"

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        check_choice("dataset", self.dataset, DATASETS)
        check_choice("scaling", self.scaling, SCALINGS)
        check_choice("augmentation", self.augmentation, ("none",))


@dataclass(frozen=True)
class Seeds:
    """Independent runs first, first + 1, ..., first + count - 1: each has its own weights and its own batches."""

    count: int = 3
    first: int = 0

    def __post_init__(self) -> None:
        """Refuse what the generators cannot take."""
        whole("seeds", self.count, 1)
        if whole("first seed", self.first, 0) + self.count > 2**31:
            raise ValueError(f"first seed: expected seeds below 2^31, got {self.first} and {self.count} of them")

    def __iter__(self) -> Any:
        """The seeds themselves."""
        return iter(range(self.first, self.first + self.count))


@dataclass(frozen=True)
class Config:
    """One row of Table 1 or one curve of Figure 2: a model, how it is trained, on what, and from which seeds.

    >>> config = Config(Model("tanh", Network(64, 10, 0.2, 1.302)), Sgd(1e-3, 5), Inputs(), Seeds(2))
    >>> from_json(to_json(config)) == config
    True
    """

    model: Model
    sgd: Sgd
    inputs: Inputs = Inputs()
    seeds: Seeds = Seeds()


def to_json(config: Config) -> str:
    """The configuration as JSON, with sorted keys and numbers that read back to the same bits."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True)


def from_json(text: str) -> Config:
    """The configuration that ``to_json`` wrote; ``ValueError`` or ``TypeError`` if the text is no configuration."""
    fields = json.loads(text)
    model = {**fields["model"], "net": Network(**fields["model"]["net"])}
    return Config(Model(**model), Sgd(**fields["sgd"]), Inputs(**fields["inputs"]), Seeds(**fields["seeds"]))


def differences(there: Fields, here: Fields, prefix: str = "") -> list[str]:
    """What differs between two configurations as JSON objects, "field (there, here)", nested names with dots.

    The number of epochs and of seeds is no difference: more of both continue a run.

    >>> differences({"sgd": {"rate": 0.1, "epochs": 5}}, {"sgd": {"rate": 0.2, "epochs": 9}})
    ['sgd.rate (0.1 there, 0.2 here)']
    """
    found = []
    for key in sorted(there.keys() | here.keys()):
        name, a, b = prefix + key, there.get(key), here.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, name + ".")
        elif a != b and name not in ("sgd.epochs", "seeds.count"):
            found.append(f"{name} ({a} there, {b} here)")
    return found
