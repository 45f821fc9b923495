"""Which learning rates SGD stands: the second-moment map's bound against batch size, depth and phase.

Everything is in function space with the kernel at rest; rates are in units of 1/K(x, x), the ``pace``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ntk_eoc import dynamics
from ntk_eoc.activations import get
from ntk_eoc.experiments.phases import Setting
from ntk_eoc.experiments.sgd_moments import Gram, Residual, checked, mean_square_bound, sure_bound
from ntk_eoc.experiments.sgd_sampling import draw, simulate
from ntk_eoc.kernels import kernels


class Bounds(NamedTuple):
    """Learning rates by size of ``batch``: the ``exact`` mean-square bound, the ``sure`` one, that of ``descent``."""

    batch: Int[ndarray, " B"]
    exact: Float[ndarray, " B"]
    sure: Float[ndarray, " B"]
    descent: float


def bounds(gram: Gram, batches: Sequence[int], **sampling: str) -> Bounds:
    """The stability bounds of a kernel for each batch size.

    >>> bounds(np.eye(3), [1]).descent
    6.0
    """
    exact, sure = ([bound(gram, b, **sampling) for b in batches] for bound in (mean_square_bound, sure_bound))
    limit = dynamics.stability_bound(dynamics.decompose(gram))
    return Bounds(np.array(batches), np.array(exact), np.array(sure), limit)


class Distances(NamedTuple):
    """|theta_k - theta*|^2 over its start, theta* the nearest interpolating parameters, for each pace: of ``runs`` with
    batches of one row, and of gradient ``descent``, after ``steps`` steps."""

    steps: Int[ndarray, " T"]
    runs: Float[ndarray, "P S T"]
    descent: Float[ndarray, "P T"]


def distances(
    gram: Gram, residual: Residual, paces: Sequence[float], *, steps: int = 400, runs: int = 20, seed: int = 0
) -> Distances:
    """Runs with batches of one row at several paces: a step on row i adds eta (eta K_ii - 2) r_i^2 to r^T K^-1 r.

    >>> found = distances(np.eye(2), np.ones(2), [0.5], steps=1, runs=1)
    >>> found.runs[0, 0].tolist()
    [1.0, 0.625]
    """
    kernel, start = checked(gram, residual)
    inverse, counts, each = np.linalg.inv(kernel), np.arange(steps + 1), float(np.mean(np.diag(kernel)))
    one = draw(len(start), batch=1, steps=steps, runs=runs, seed=seed)
    every = np.tile(np.arange(len(start)), (1, steps, 1))

    def squares(rows: ndarray) -> ndarray:
        found = np.stack([simulate(kernel, start, rows, rate=pace / each, steps=counts) for pace in paces])
        return np.einsum("psti,ij,pstj->pst", found, inverse, found) / (start @ inverse @ start)

    return Distances(counts, squares(one), squares(every)[:, 0])


class Critical(NamedTuple):
    """At each ``depth`` the size of ``batch``, N K(x, x)/lambda_max, up to which a larger one allows a larger rate."""

    setting: Setting
    depth: Int[ndarray, " L"]
    batch: Float[ndarray, " L"]


def critical_batches(settings: Sequence[Setting], x: Float[ndarray, "N d"], *, depth: int = 60) -> tuple[Critical, ...]:
    """N K(x, x)/lambda_max of inputs under infinitely wide networks, at every depth from 1 to ``depth``.

    >>> found = critical_batches([Setting("erf", 0.2, 2.0)], np.eye(4), depth=60)
    >>> float(found[0].batch[-1].round(3))
    4.0
    """
    found = []
    for setting in settings:
        sigmas: dict[str, Any] = {"sigma_b": setting.sigma_b, "sigma_w": setting.sigma_w}
        ntk = np.asarray(kernels(get(setting.activation), jnp.asarray(x), depth=depth, every_depth=True, **sigmas).ntk)
        batch = np.trace(ntk, axis1=1, axis2=2) / np.linalg.eigvalsh(ntk)[:, -1]
        found.append(Critical(setting, np.arange(1, depth + 1), batch))
    return tuple(found)
