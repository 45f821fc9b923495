"""Evidence for Eq. 7 to 9, gradient descent and Lemma 1: trained networks beside the closed form of linear training."""

from functools import lru_cache

import numpy as np

from ntk_eoc.claims.rows import Row
from ntk_eoc.experiments import linear_lemma, linear_steps
from ntk_eoc.experiments.linear_training import Config, Scan, distance, fitted_order, follow, limit, scan, task
from ntk_eoc.optimise import gradient_descent, linearise

# one hidden layer of erf on its Edge of Chaos, so that large widths are cheap; 10 classes of digits
CONFIG = Config("erf", depth=2, share=0.25, steps=(0, 5, 20, 80))
WIDTHS, SEEDS = (128, 512, 2048), 12  # standard errors of the orders: a sixth of their tolerances
SIDES = ("training", "test")


@lru_cache
def _scan(seed: int) -> Scan:
    return scan(CONFIG, WIDTHS, SEEDS, seed * SEEDS)  # no network in common with another seed


def _against_closed_form(side: int, seed: int) -> list[Row]:
    """How the distance of trained networks from the closed form falls with the width, and how small it gets."""
    found, name = _scan(seed), SIDES[side]
    return [
        Row(
            f"order in width of the distance from the closed form, {name} inputs, limiting kernel",
            fitted_order(found.widths, found.limit[side]).value,
            -0.5,
            0.1,
        ),
        Row(
            f"order in width of the distance from the closed form, {name} inputs, own kernel at the start",
            fitted_order(found.widths, found.own[side]).value,
            -1.0,
            0.15,
        ),
        Row(
            f"width 2048, {name} inputs: largest distance from the flow of the limiting kernel over that of f_0 from Y",
            _relative_distance(side, seed),
            0.0,
            0.1,
            "printed",
        ),
    ]


def _relative_distance(side: int, seed: int) -> float:
    """The largest distance of one network from the continuous flow, in units of the residual at the start."""
    data, small = task(CONFIG), Config("erf", depth=2, share=0.05, steps=(0, 25, 100, 400))
    run = follow(small, 2048, seed, continuous=True)
    start = np.sqrt(np.mean((run.network[side][0] - (data.y, data.y_test)[side]) ** 2))
    return float(distance(run.network, run.limit)[side] / start)


def eq8(seed: int = 0) -> list[Row]:
    """Outputs on the training set."""
    return _against_closed_form(0, seed)


def eq9(seed: int = 0) -> list[Row]:
    """Predictions; and the linear model, for which Eq. 9 is exact."""
    begin, data, run = linear_steps.start(CONFIG, 64, seed), task(CONFIG), follow(CONFIG, 64, seed)
    model, rate, steps = linearise(begin.function, begin.params), limit(CONFIG).rate, np.array(CONFIG.steps)
    linear = gradient_descent(model, begin.params, data.x, data.y, rate=rate, steps=steps, x_test=data.x_test)
    moved, expected = linear.test[-1] - linear.test[0], np.asarray(run.own.test[-1] - run.own.test[0])
    share = float(np.sum(moved * expected) / np.sum(expected**2))
    exact = Row("linearised network, trained: change of f at test inputs over that of Eq. 9", share, 1.0, 1e-9)
    return [*_against_closed_form(1, seed), exact]


def gd(seed: int = 0) -> list[Row]:
    """The order of the error of descent in the learning rate with its constant, and the stability bound."""
    config = Config("erf", images=20)
    found = linear_steps.step_errors(config, 128, steps=(16, 32, 64, 128), seed=seed)
    rows = []
    for name, values, side in (("network of width 128", found.network, "printed"), ("linear", found.linear, "ours")):
        order = float(np.polyfit(np.log(found.rates), np.log(values), 1)[0])
        rows.append(Row(f"{name}: order in eta of |f_descent - f_flow|, to 1/32 of the bound", order, 1.0, 0.02, side))
    ratio = found.linear[-1] / found.derived[-1]
    rows.append(Row("linear: |f_descent - f_flow| over eta t/2 |(K/N)^2 exp(-K t/N)(f_0 - Y)|", ratio, 1.0, 0.01))
    sides = linear_steps.around_the_bound(config, 128, (0.9, 1.1), steps=10, seed=seed)
    for share, growth in zip(sides.shares, sides.linear[:, -1] / sides.linear[:, -2], strict=True):
        quantity = f"linear, eta = {share:g} of 2N/lambda_max: factor per step of the top eigenvector's part"
        rows.append(Row(quantity, growth, 2 * share - 1, 1e-6))
    return rows


def lemma1(seed: int = 0) -> list[Row]:
    """Singular kernels: what remains, for targets with and without a part in the null space; and a regular one."""
    rows, reached = [], []
    cases = {"every input twice": (linear_lemma.twice(), 100), "linear network": (linear_lemma.linear(), 5000)}
    for name, (case, steps) in cases.items():
        found = linear_lemma.train_singular(case, (0, steps), seed=seed)
        parts = {"P (f_t - Y)": (found.stuck, 1e-9), "f_t - Y": (found.network, 1e-3), "Eq. 8": (found.formula, 1e-3)}
        for part, (values, tolerance) in parts.items():
            rows.append(Row(f"{name}, trained: size of {part} over P Y", values[-1] / found.floor, 1.0, tolerance))
        learned = linear_lemma.train_singular(linear_lemma.reachable(case), (0, steps), seed=seed).network[-1]
        rows.append(Row(f"{name}, targets with P Y = 0, trained: |f_t - Y| over |f_0 - Y|", learned, 0.0, 1e-3))
        reached.append(learned)
    regular = np.linalg.norm(follow(CONFIG, 512, seed).network.train - task(CONFIG).y, axis=(1, 2))
    rows.append(Row("regular K, trained: |f_t - Y| over |f_0 - Y|", regular[-1] / regular[0], 0.0, 0.1, "printed"))
    reaches = float(max(reached) < 1e-3)
    rows.append(Row("singular K, P Y = 0: targets reached (1) or bounded away (0)", reaches, 0.0, 0.0, "printed"))
    return rows
