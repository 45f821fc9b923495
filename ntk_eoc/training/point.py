"""Where a group of seeds stands in its training, as arrays that a checkpoint can hold."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import PyTreeDef
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray

from ntk_eoc.networks import Dense
from ntk_eoc.training import program
from ntk_eoc.training.checkpoint import Arrays
from ntk_eoc.training.config import Config, Fields
from ntk_eoc.training.step import State, Tally, Weights


class Curves(NamedTuple):
    """Of S seeds and E epochs; NaN from the epoch on in which a seed diverged, which is recorded beside.

    The test columns are e = 0, ..., E, the untrained network first. The training columns are means over the steps of
    an epoch, each at the weights of its step. Seconds are shared evenly by the seeds that were trained together.
    """

    test_accuracy: Float32[ndarray, "S E1"]
    test_loss: Float32[ndarray, "S E1"]
    train_accuracy: Float32[ndarray, "S E"]
    train_loss: Float32[ndarray, "S E"]
    seconds: Float64[ndarray, "S E"]


class Point(NamedTuple):
    """After some epochs (the columns of ``past``) and ``step`` steps of the next, which took ``spent`` seconds so far.

    ``diverged`` is (epoch, step) of a seed's first non-finite loss, (-1, -1) if there was none.
    """

    state: State
    past: Curves
    diverged: Int64[ndarray, "S 2"]
    step: int = 0
    spent: float = 0.0

    @property
    def epoch(self) -> int:
        """The number of complete epochs."""
        return self.past.seconds.shape[1]

    @property
    def alive(self) -> ndarray:
        """The seeds that have not diverged, (S,)."""
        return self.diverged[:, 0] < 0


def begin(config: Config, seeds: range, d: int, o: int) -> Point:
    """Before training and before the first look at the test set."""
    weights, s = program.start(config, seeds, d, o), len(seeds)
    velocity = jax.tree.map(jnp.zeros_like, weights) if config.sgd.momentum else None
    none = np.zeros((s, 0), np.float32)
    past = Curves(none, none, none, none, none.astype(np.float64))
    return Point(State(weights, velocity, program.blank(s)), past, np.full((s, 2), -1))


def tested(point: Point, loss: ndarray, accuracy: ndarray, *, step: int) -> Point:
    """With one more column of test results; a seed whose test loss is not finite has diverged, at ``step``."""
    lost = point.alive & ~np.isfinite(loss)
    diverged = np.where(lost[:, None], (point.epoch, step), point.diverged)
    past = point.past
    columns = (_masked(values, diverged) for values in (accuracy, loss))
    accuracies, losses = (_with(a, b) for a, b in zip((past.test_accuracy, past.test_loss), columns, strict=True))
    return point._replace(past=past._replace(test_accuracy=accuracies, test_loss=losses), diverged=diverged)


def trained(point: Point, rows: int) -> Point:
    """After the last step of an epoch over ``rows`` rows: the tally becomes a column, and a new one begins."""
    tally, past = jax.tree.map(np.asarray, point.state.tally), point.past
    lost = point.alive & (tally.bad >= 0)
    here = np.stack([np.full(len(lost), point.epoch + 1), tally.bad], axis=1)
    diverged = np.where(lost[:, None], here, point.diverged)
    seconds = np.full(len(lost), point.spent / len(lost))
    past = past._replace(
        train_accuracy=_with(past.train_accuracy, _masked(tally.correct / rows, diverged)),
        train_loss=_with(past.train_loss, _masked(tally.loss / rows, diverged)),
        seconds=_with(past.seconds, seconds),
    )
    bad = jnp.asarray(np.where(diverged[:, 0] < 0, -1, 0), jnp.int32)
    state = point.state._replace(tally=program.blank(len(lost))._replace(bad=bad))
    return Point(state, past, diverged)


def to_arrays(point: Point) -> Arrays:
    """What a checkpoint of ``point`` holds."""
    state = {f"state{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(point.state))}
    place = {"diverged": point.diverged, "step": np.array(point.step), "spent": np.array(point.spent)}
    return {**state, **point.past._asdict(), **place}


def from_arrays(arrays: Arrays, momentum: bool) -> Point:
    """The point of which ``to_arrays`` made these arrays."""
    count = sum(name.startswith("state") for name in arrays)
    # A copy, since the memory of the state is reused by the steps and NumPy's must not be.
    leaves = [jnp.array(arrays[f"state{i}"], copy=True) for i in range(count)]
    past = Curves(*(arrays[name] for name in Curves._fields))
    return Point(
        jax.tree.unflatten(_structure(momentum), leaves),
        past,
        arrays["diverged"],
        int(arrays["step"]),
        float(arrays["spent"]),
    )


def line(point: Point, seed: int, i: int, epoch: int) -> Fields:
    """One line of the log: what is known of seed number i of the group after an epoch, None where it diverged."""
    past = point.past
    values = {name: getattr(past, name)[i, epoch] for name in ("test_accuracy", "test_loss")}
    if epoch:
        values |= {name: getattr(past, name)[i, epoch - 1] for name in ("train_accuracy", "train_loss", "seconds")}
    plain = {name: float(value) if np.isfinite(value) else None for name, value in values.items()}
    dead = 0 <= point.diverged[i, 0] <= epoch
    return {"seed": seed, "epoch": epoch, **plain, "diverged": point.diverged[i].tolist() if dead else None}


def _structure(momentum: bool) -> PyTreeDef:
    """How the arrays of a state are nested."""
    layer = Dense(0, 0)  # type: ignore[arg-type]
    weights = Weights(layer, layer, layer, 0)  # type: ignore[arg-type]
    return jax.tree.structure(State(weights, weights if momentum else None, Tally(0, 0, 0)))  # type: ignore[arg-type]


def _with(columns: ndarray, new: ndarray) -> ndarray:
    return np.concatenate([columns, new[:, None].astype(columns.dtype)], axis=1)


def _masked(values: ndarray, diverged: ndarray) -> ndarray:
    return np.where(diverged[:, 0] < 0, values, np.nan)
