"""Evidence for the statement after Eq. 9: what a kernel learns that is constant off the diagonal, or nearly so."""

import numpy as np

from ntk_eoc.activations import get
from ntk_eoc.claims.rows import Row
from ntk_eoc.experiments.flat_kernel import network
from ntk_eoc.experiments.flat_laws import constant_kernel, rate, spread, time_to_learn
from ntk_eoc.experiments.flat_learning import Learned, Task, digits_task, kernels_of, learn
from ntk_eoc.experiments.phases import Setting
from ntk_eoc.meanfield import phase

ORDERED, KINKED, CHAOTIC = (Setting("tanh", 0.2, 1.0), Setting("relu", 0.2, 1.2), Setting("tanh", 0.2, 1.6))
BUDGET = 1e4  # training time in units of the fastest direction


def gen() -> list[Row]:
    """An exactly constant kernel; how near deep ones come to it, for how long, and what t = infinity makes of it."""
    images = digits_task(120, 200)
    return _constant(images) + _rates(images) + _deep(images)


def _constant(images: Task) -> list[Row]:
    found = constant_kernel(images, ratio=0.4, budget=3.0)
    lengths, derived = np.linalg.norm(found.outputs, axis=1), np.linalg.norm(found.derived)
    along = found.outputs @ found.derived / derived**2
    return [
        Row(
            "exactly constant kernel: length of the learned part over its closed form, furthest of 200 test images",
            _furthest_from_one(lengths / derived),
            1.0,
            1e-9,
        ),
        Row(
            "exactly constant kernel: learned part along its closed form, furthest of 200 test images",
            _furthest_from_one(along),
            1.0,
            1e-9,
        ),
        Row(
            "exactly constant kernel: squared test error over the variance of the test targets",
            found.error / found.variance,
            1.0,
            0.05,
            "printed",
        ),
    ]


def _furthest_from_one(ratios: np.ndarray) -> float:
    return float(ratios[np.argmax(np.abs(ratios - 1.0))])


def _rates(images: Task) -> list[Row]:
    places = [phase(get(s.activation), sigma_b=s.sigma_b, sigma_w=s.sigma_w) for s in (ORDERED, KINKED, CHAOTIC)]
    ordered, kinked, chaotic = (-np.log(place.chi) for place in places)
    between = 1.0 / (places[2].xi or np.nan) - chaotic  # log chi - log chi_*
    runs = [spread(s, images, [60, 100], BUDGET) for s in (ORDERED, KINKED, CHAOTIC)]
    times = time_to_learn(ORDERED, images, [150, 300])
    name = "rate in depth at which the learned part loses its dependence on x"
    return [
        Row(f"tanh, ordered, 1e4 e-foldings: {name} / (-log chi)", rate(runs[0], 60, 100, 1.0) / ordered, 1.0, 0.02),
        Row(f"relu, ordered, 1e4 e-foldings: {name} / (-log chi)", rate(runs[1], 60, 100) / kinked, 0.5, 0.01),
        Row(f"tanh, chaotic: {name} / (log chi - log chi_*)", rate(runs[2], 60, 100, 1.0) / between, 1.0, 0.02),
        Row(
            "tanh, ordered: growth in depth of the time that halves the training error / (-log chi)",
            -rate(times, 150, 300, -1.0) / ordered,
            1.0,
            0.02,
        ),
    ]


def _deep(images: Task) -> list[Row]:
    ordered = _learned(ORDERED, images, (120, 240))
    chaotic = _learned(CHAOTIC, images, (90,))[0]
    last = -1  # t = infinity, in exact arithmetic
    name = "squared test error over that of predicting nothing"
    return [
        Row(
            f"tanh, ordered, t = infinity: {name}, depth 240 over depth 120",
            ordered[1].error[last, 1] / ordered[0].error[last, 1],
            1.0,
            0.02,
        ),
        Row(f"tanh, ordered, depth 120, 1e4 e-foldings: {name}", ordered[0].error[0, 1], 1.0, 0.05, "printed"),
        Row(f"tanh, chaotic, depth 90, t = infinity: {name}", chaotic.error[last, 1], 1.0, 0.05, "printed"),
        Row(f"tanh, ordered, depth 120, t = infinity: {name}", ordered[0].error[last, 1], 1.0, 0.25, "printed"),
    ]


def _learned(setting: Setting, images: Task, depths: tuple[int, ...]) -> list[Learned]:
    found = network(setting.activation, depths, setting.sigma_b, setting.sigma_w)
    return [learn(kernel, images, [BUDGET]) for kernel in kernels_of(found, images)]
