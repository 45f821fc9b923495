"""The comparisons of ``linear_training`` and ``linear_ensemble`` at large widths, recorded for the chapter.

``python -m ntk_eoc.experiments.linear_record --out book/results`` records the whole run; it takes minutes.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc import records
from ntk_eoc.experiments.linear_ensemble import Sampled, ensemble, variance_ratio
from ntk_eoc.experiments.linear_training import Config, Scan, scan

BATCH = 40  # networks trained side by side: bounds the memory


@dataclass(frozen=True)
class RecordConfig:
    """Distances from the closed form for S ``seeds`` at each width, and ensembles of ``networks`` at some widths."""

    activations: tuple[str, ...] = ("tanh", "relu")
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    seeds: int = 8
    sampled_widths: tuple[int, ...] = (64, 128, 256, 512)
    networks: int = 1200


class Spread(NamedTuple):
    """Variance of test outputs over the predicted one, at the last step, for W ``widths``, with its standard error."""

    widths: Float64[ndarray, " W"]
    ratio: Float64[ndarray, " W"]
    error: Float64[ndarray, " W"]


class Recorded(NamedTuple):
    """A ``Scan`` for each activation, and the ``Spread`` of the first one's ensembles."""

    scans: dict[str, Scan]
    spread: Spread


ENSEMBLE = Config(share=0.5, steps=(0, 1, 3, 10, 30))


def spread(config: Config, widths: Sequence[int], networks: int) -> Spread:
    """The variance over networks at the last step, on test inputs.

    >>> spread(Config("erf", 2, images=10, steps=(0, 5)), [8], 40).ratio.shape
    (1,)
    """
    found = []
    for width in widths:
        batches = [ensemble(config, width, BATCH, seed)[1] for seed in range(-(-networks // BATCH))]
        outputs = np.concatenate([batch.outputs for batch in batches], axis=2)
        ratio, error = variance_ratio(Sampled(outputs, batches[0].predicted))
        found.append((float(width), ratio[-1], error[-1]))
    return Spread(*np.array(found).T)


def run(config: RecordConfig) -> Recorded:
    """All that the record holds."""
    scans = {name: scan(Config(name), config.widths, config.seeds) for name in config.activations}
    return Recorded(scans, spread(ENSEMBLE, config.sampled_widths, config.networks))


def record(out: str | Path, config: RecordConfig) -> Path:
    """Run ``config``; write ``linear_training.npz`` and, beside it, where it came from."""
    began = time.perf_counter()
    found = run(config)
    arrays = {f"spread_{name}": part for name, part in found.spread._asdict().items()}
    for activation, one in found.scans.items():
        arrays |= {f"{activation}_{name}": part for name, part in one._asdict().items()}
    about = records.about(
        command="python -m ntk_eoc.experiments.linear_record",
        config=asdict(config),
        seed=0,
        seconds=time.perf_counter() - began,
    )
    return records.save(Path(out) / "linear_training.npz", arrays, about)


def load(path: str | Path) -> Recorded:
    """A recorded run."""
    arrays, about = records.load(path)

    def part(prefix: str, fields: tuple[str, ...]) -> list[ndarray]:
        return [arrays[f"{prefix}_{name}"] for name in fields]

    scans = {name: Scan(*part(name, Scan._fields)) for name in about["config"]["activations"]}
    return Recorded(scans, Spread(*part("spread", Spread._fields)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Record what the chapter on linear training compares at large widths."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", required=True, help="folder for linear_training.npz and linear_training.json")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    print(record(options.out, RecordConfig()))


if __name__ == "__main__":
    main()
