"""How near a kernel comes to learning one constant (Sec. 3.1 of the paper, after Eq. 9), and how long that lasts.

Spread: by how much the learned part of Eq. 9 differs between new inputs, against depth. Time: the training budget at
which half of the training error is gone. Each beside the rate that the phase of the network predicts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy.optimize import brentq

from ntk_eoc.activations import get
from ntk_eoc.dynamics import decompose, flow, predicted_ensemble, predictions
from ntk_eoc.experiments.flat_kernel import network
from ntk_eoc.experiments.flat_learning import (
    CLASSES,
    WELL_CONDITIONED,
    Kernel,
    Task,
    flatten,
    kernels_of,
    moments,
    reflect,
    targets,
)
from ntk_eoc.experiments.phases import Setting
from ntk_eoc.meanfield import phase
from ntk_eoc.profile import Profile, nngp_delta
from ntk_eoc.regularity import first_kink

LONGEST = 1e250  # budgets beyond it are not looked for


class Constant(NamedTuple):
    """A kernel that is constant off the diagonal: what it learns of M test images (M, 10), and what it should learn of
    each (10,); the squared ``error`` on them and the ``variance`` of their targets, relative to predicting nothing."""

    outputs: Float64[ndarray, "M 10"]
    derived: Float64[ndarray, " 10"]
    error: float
    variance: float


def constant_kernel(images: Task, ratio: float, budget: float) -> Constant:
    """Eq. 9 with K(x, x') = ``ratio`` K(x, x) for all x' != x, at a training budget, infinity included.

    >>> from ntk_eoc.experiments.flat_learning import digits_task
    >>> found = constant_kernel(digits_task(20, 10), ratio=0.3, budget=100.0)
    >>> float(np.ptp(found.outputs, axis=0).max().round(12))
    0.0
    """
    y, labels, n = targets(images.labels), targets(images.test_labels), len(images.labels)
    spectrum = decompose(ratio + (1.0 - ratio) * np.eye(n))
    training = flow(spectrum, moments(spectrum, [budget]))
    cross, nothing = np.full((len(labels), n), ratio), np.zeros_like(labels)
    outputs = np.asarray(predictions(training, y, 0 * y, cross=cross, f0_test=nothing))[0]
    derived = -np.expm1(-budget) * ratio / (1.0 + (n - 1) * ratio) * y.sum(axis=0)
    size = np.sum(labels**2)
    variance = np.sum((labels - labels.mean(axis=0)) ** 2) / size
    return Constant(outputs, derived, float(np.sum((outputs - labels) ** 2) / size), float(variance))


class Law(NamedTuple):
    """A positive number at several depths: ``measured``, and ``theory`` up to a factor, fixed at the last depth."""

    setting: Setting
    depth: Float64[ndarray, " D"]
    measured: Float64[ndarray, " D"]
    theory: Float64[ndarray, " D"]


def spread(setting: Setting, images: Task, depths: Sequence[int], budget: float) -> Law:
    """The root mean square, over test images and outputs, of f_t(x) minus its mean over x, relative to the targets'.

    Theory, with eps the deviation of the kernel from its limit in units of the diagonal: eps in the ordered phase,
    where the budget is exhausted long before 1/eps; 1/L on the Edge of Chaos; L (chi_*/chi)^L in the chaotic phase.
    """
    y, size = targets(images.labels), targets(images.test_labels).std()
    found = []
    for kernel in kernels_of(_network(setting, depths), images):
        spectrum = decompose(kernel.ratio)
        training = flow(spectrum, moments(spectrum, [budget]))
        nothing = np.zeros((len(kernel.cross_ratio), CLASSES))
        outputs = np.asarray(predictions(training, y, 0 * y, cross=kernel.cross_ratio, f0_test=nothing))[0]
        found.append(np.sqrt(np.mean((outputs - outputs.mean(axis=0)) ** 2)) / size)
    return _law(setting, depths, np.array(found), deviation(setting, depths))


def deviation(setting: Setting, depths: Sequence[int]) -> ndarray:
    """How far K^L(x, x')/K^L(x, x) is from the same for all pairs, up to a factor: L^power e^(-rate L).

    >>> deviation(Setting("relu", 0.2, 1.0), [2, 4]).round(6).tolist()
    [0.5, 0.25]
    """
    depth, (power, rate) = np.asarray(depths, dtype=float), exponents(setting)
    return depth**power * np.exp(-rate * depth)


def exponents(setting: Setting) -> tuple[float, float]:
    """(power, rate) of ``deviation``, by the phase of ``setting``.

    Ordered: (1, -log chi), with a kink (0, -log(chi)/2). Edge of Chaos: (-1, 0). Chaotic: (1, log chi - log chi_*).

    >>> exponents(Setting("relu", 0.0, 2**0.5))
    (-1.0, 0.0)
    """
    act = get(setting.activation)
    place = phase(act, sigma_b=setting.sigma_b, sigma_w=setting.sigma_w)
    if place.phase == "eoc":
        return -1.0, 0.0
    if place.xi is None:
        raise ValueError(f"setting: expected a phase with a depth scale, got {place.phase} without one")
    if place.phase == "chaotic":
        return 1.0, float(np.log(place.chi)) + 1.0 / place.xi
    return (0.0, 0.5 / place.xi) if first_kink(act) == 1 else (1.0, 1.0 / place.xi)


def time_to_learn(setting: Setting, images: Task, depths: Sequence[int], left: float = 0.5) -> Law:
    """The budget t lambda_max/N at which the squared training error has fallen to ``left`` of what it was.

    Also beyond what float64 resolves in K: there the directions other than the constant one are those of ``flatten``.
    Theory: the inverse of ``deviation`` in the ordered phase.
    """
    found = [_budget(kernel, targets(images.labels), left) for kernel in kernels_of(_network(setting, depths), images)]
    return _law(setting, depths, np.array(found), 1.0 / deviation(setting, depths))


def _budget(kernel: Kernel, y: ndarray, left: float) -> float:
    """Where sum_k w_k exp(-2 B lambda_k/lambda_max) = left sum_k w_k, w_k the share of eigenvector k in y."""
    spectrum = decompose(kernel.ratio)
    values, vectors, seen = np.asarray(spectrum.values), np.asarray(spectrum.vectors), y
    top = values[-1]
    if values[0] < WELL_CONDITIONED * top:
        flat = flatten(kernel.gap)
        values, vectors = (np.asarray(part) for part in flat.spectrum)
        seen = reflect(flat.mirror, y)[1:]  # the constant direction is learned first, in a budget of order one
    weight, total = np.sum((vectors.T @ seen) ** 2, axis=1), np.sum(y**2)

    def excess(log_budget: float) -> float:
        return float(weight @ np.exp(-2 * np.exp(log_budget) * values / top) - left * total)

    return float(np.exp(brentq(excess, -20.0, np.log(LONGEST), xtol=1e-12)))


def rate(law: Law, first: int, last: int, power: float = 0.0) -> float:
    """-d log(measured)/dL between two depths of a law, after division by L^``power``.

    >>> depth = np.array([2.0, 4.0])
    >>> round(rate(Law(Setting("tanh", 0.2, 1.0), depth, depth * np.exp(-depth / 2), depth), 2, 4, 1.0), 12)
    0.5
    """
    i, j = (int(np.flatnonzero(law.depth == depth)[0]) for depth in (first, last))
    logs = np.log(law.measured / law.depth**power)
    return float((logs[i] - logs[j]) / (law.depth[j] - law.depth[i]))


class Single(NamedTuple):
    """Shares of test images that are right, at D depths: for the ``mean`` over networks, and for ``one`` network drawn
    at random; ``noise``: the standard deviation over networks of an output, averaged over images."""

    depth: Float64[ndarray, " D"]
    mean: Float64[ndarray, " D"]
    one: Float64[ndarray, " D"]
    noise: Float64[ndarray, " D"]


def single(setting: Setting, images: Task, depths: Sequence[int], budget: float, seed: int = 0) -> Single:
    """What one network of infinite width makes of the test images: Eq. 9 with its random f_0.

    Outputs at different images are drawn independently, which leaves the expected share unchanged.
    """
    normal = np.random.RandomState(seed).standard_normal((len(images.test_labels), CLASSES))
    y, found = targets(images.labels), _network(setting, depths)
    rows, q = [], np.exp(found.log_q)
    near, far = nngp_delta(found, images.gaps), nngp_delta(found, images.cross_gaps)
    for kernel, q_l, delta, cross_delta in zip(kernels_of(found, images), q, near, far, strict=True):
        spectrum = decompose(kernel.ratio)
        training = flow(spectrum, moments(spectrum, [budget]))
        nngp = {"nngp": q_l * (1 - delta), "nngp_cross": q_l * (1 - cross_delta)}
        start = jnp.full(len(cross_delta), q_l)
        (mean,), (variance,) = predicted_ensemble(training, y, cross=kernel.cross_ratio, nngp_test=start, **nngp)
        mean, noise = np.asarray(mean), np.sqrt(np.asarray(variance))
        drawn = mean + noise[:, None] * normal
        right = [float(np.mean(f.argmax(axis=1) == images.test_labels)) for f in (mean, drawn)]
        rows.append((*right, float(noise.mean())))
    return Single(np.asarray(depths, dtype=float), *np.array(rows).T)


def _network(setting: Setting, depths: Sequence[int]) -> Profile:
    return network(setting.activation, depths, setting.sigma_b, setting.sigma_w)


def _law(setting: Setting, depths: Sequence[int], measured: ndarray, shape: ndarray) -> Law:
    return Law(setting, np.asarray(depths, dtype=float), measured, shape * (measured[-1] / shape[-1]))
