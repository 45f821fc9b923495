"""Run the recipes as a reader would, and measure what their networks do: variances and correlations, layer by layer.

    python tests/recipe_networks.py --record book/results/recipes.json

A recipe is executed as text and its network is fed two orthogonal inputs. What is compared are means over independent
networks with the predictions for infinite width, in units of the standard error, to which finite width adds its own
difference, of the order of depth/width.
"""

import argparse
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax  # noqa: E402
import numpy as np  # noqa: E402

jax.config.update("jax_enable_x64", True)

from ntk_eoc import records  # noqa: E402
from ntk_eoc.activations import get  # noqa: E402
from ntk_eoc.kernels import kernels  # noqa: E402
from ntk_eoc.recipes import recipes  # noqa: E402
from ntk_eoc.recommend import recommend  # noqa: E402

INPUTS = 8  # coordinates of an input
MODULES = {"pytorch": "torch", "flax": "flax.nnx", "keras": "keras"}
Draw = Callable[[int, np.ndarray], list[np.ndarray]]


class Case(NamedTuple):
    """A network to be initialised, and how many of it."""

    activation: str
    depth: int = 6
    architecture: str = "ffnn"
    width: int = 256
    networks: int = 8


class Measured(NamedTuple):
    """Over the layers: mean and standard error of the variance and of the correlation, and the predictions."""

    variance: np.ndarray
    variance_error: np.ndarray
    predicted_variance: np.ndarray
    correlation: np.ndarray
    correlation_error: np.ndarray
    predicted_correlation: np.ndarray


def pytorch(text: str) -> Draw:
    import torch

    names: dict[str, Any] = {}
    exec(text, names)

    def draw(seed: int, x: np.ndarray) -> list[np.ndarray]:
        torch.manual_seed(seed)
        net, seen = names["Network"](INPUTS, 1), []
        for layer in net.layers:
            layer.register_forward_hook(lambda _, given, found: seen.append(found))
        with torch.no_grad():
            net(torch.tensor(x, dtype=torch.float32))
        return [found.numpy() for found in seen]

    return draw


def flax(text: str) -> Draw:
    from flax import nnx

    names: dict[str, Any] = {}
    exec(text, names)

    def draw(seed: int, x: np.ndarray) -> list[np.ndarray]:
        net, seen = names["Network"](INPUTS, 1, rngs=nnx.Rngs(seed)), []
        net.layers = nnx.List([_Seen(layer, seen) for layer in net.layers])
        net(jax.numpy.asarray(x, jax.numpy.float32))
        return [np.asarray(found) for found in seen]

    return draw


class _Seen:
    """A layer that remembers what it gave."""

    def __init__(self, layer: Any, seen: list[Any]) -> None:
        self.layer, self.seen = layer, seen

    def __call__(self, x: Any) -> Any:
        self.seen.append(self.layer(x))
        return self.seen[-1]


def keras(text: str) -> Draw:
    import keras

    names: dict[str, Any] = {}
    exec(text, names)

    def draw(seed: int, x: np.ndarray) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        net = names["network"](INPUTS, 1)
        layers = [layer for layer in net.layers if isinstance(layer, keras.layers.Dense)]
        found = keras.Model(net.inputs, [layer.output for layer in layers])([x.astype(np.float32)])
        return [np.asarray(part) for part in found]

    return draw


FRAMEWORKS: dict[str, Callable[[str], Draw]] = {"pytorch": pytorch, "flax": flax, "keras": keras}


def measure(framework: str, case: Case) -> Measured:
    """Hidden layers of the recommended network; a residual one's are sums of what the dense layers give."""
    act = get(case.activation)
    start = recommend(act, case.depth, case.architecture, case.width).start
    skip, sigmas = case.architecture == "residual", {"sigma_b": start.sigma_b, "sigma_w": start.sigma_w}
    text = recipes(
        case.activation, depth=case.depth, **sigmas, architecture=case.architecture, width=case.width, q0=start.q0
    )[framework]
    x = np.sqrt(start.q0) * np.array([np.ones(INPUTS), np.resize([1.0, -1.0], INPUTS)])
    draw, rows = FRAMEWORKS[framework](text), []
    for seed in range(case.networks):
        given = np.array([y.astype(float) for y in draw(seed, x)[:-1]])  # not the read-out
        y = np.cumsum(given, axis=0) if skip else given
        rows.append(np.einsum("lik,ljk->lij", y, y) / case.width)
    moments = np.array(rows)
    power = np.sqrt(moments[:, :, 0, 0] * moments[:, :, 1, 1])
    variance, correlation = (moments[:, :, 0, 0] + moments[:, :, 1, 1]) / 2, moments[:, :, 0, 1] / power
    exact = kernels(
        act,
        jax.numpy.asarray(x),
        depth=case.depth - 1,
        architecture=case.architecture,
        every_depth=True,
        **sigmas,
    )
    predicted = np.asarray(exact.nngp)
    error = [part.std(axis=0, ddof=1) / np.sqrt(case.networks) for part in (variance, correlation)]
    return Measured(
        variance.mean(axis=0),
        error[0],
        predicted[:, 0, 0],
        correlation.mean(axis=0),
        error[1],
        predicted[:, 0, 1] / predicted[:, 0, 0],
    )


def excess(found: Measured, case: Case) -> tuple[float, float]:
    """How far the worst layer is off, of variances and correlations, in standard errors with the width's bias."""
    bias = case.depth / case.width
    variance = np.abs(found.variance - found.predicted_variance) / (
        found.variance_error + bias * found.predicted_variance
    )
    correlation = np.abs(found.correlation - found.predicted_correlation) / (found.correlation_error + bias)
    return float(variance.max()), float(correlation.max())


CASES = (Case("tanh"), Case("relu"), Case("gelu"), Case("tanh", architecture="residual"), Case("relu", 6, "residual"))
LIMIT = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, required=True)
    args, began, rows = parser.parse_args(), time.perf_counter(), []
    for framework in FRAMEWORKS:
        for case in CASES:
            found = measure(framework, case)
            variance, correlation = excess(found, case)
            numbers = {name: [float(f"{v:.6g}") for v in values] for name, values in found._asdict().items()}
            rows.append({"framework": framework, **case._asdict(), "worst": [variance, correlation], **numbers})
            print(framework, *case[:3], f"worst: variance {variance:.2f}, correlation {correlation:.2f}")
    about = records.about(
        command=f"python tests/recipe_networks.py --record {args.record}",
        config={"inputs": INPUTS, "limit": LIMIT},
        seed=0,
        seconds=time.perf_counter() - began,
    )
    about["versions"] |= {package: version(package) for package in ("torch", "flax", "keras")}
    records.write_json(args.record, {**about, "rows": rows})


if __name__ == "__main__":
    main()
