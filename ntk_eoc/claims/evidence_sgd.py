"""Evidence for Appendix D: what of gradient descent is left with batches, in mean, run by run, and for which rates."""

import jax
import numpy as np
from numpy import ndarray

from ntk_eoc import dynamics
from ntk_eoc.claims.rows import Row
from ntk_eoc.experiments import sgd_moments as theory
from ntk_eoc.experiments import sgd_networks as nets
from ntk_eoc.experiments import sgd_sampling as sampling
from ntk_eoc.experiments.sgd_stability import distances
from ntk_eoc.optimise import linearise

UNITS = 0.75  # of time at which spreads are compared
NETWORKS = 4  # one alone scatters by 0.08 around its mean


def sgd(seed: int = 0) -> list[Row]:
    """Mean and spread over batches, the ways of drawing them, stability, and where the runs end."""
    task = nets.Task(seed=seed)
    given = nets.problem(task)
    return [
        *_every_sequence(seed),
        *_orders(nets.infinite_gram(task, given.x), nets.start(given), seed),
        *_stability(nets.infinite_gram(task, given.x), nets.start(given), seed),
        *_ends(seed),
        _real_networks(seed),
    ]


def _every_sequence(seed: int) -> list[Row]:
    """All 729 sequences of three batches of two, on the parameters of a linearised network with three digits."""
    given = nets.problem(nets.Task("tanh", 16, images=3, seed=seed))
    rate, rows = 0.8 * theory.sure_bound(given.gram, 2), sampling.every_sequence(3, batch=2, steps=3)
    function = linearise(given.apply, given.params)
    runs = sampling.follow(function, given.params, given.x, given.y, rows, rate=rate, steps=[3])[:, 0]
    full, mean = _descent(given.gram, nets.start(given), 3, rate), runs.mean(axis=0)
    found = theory.moments(given.gram, nets.start(given), rate=rate, batch=2, steps=[3])
    spread = np.sqrt(np.mean(runs.var(axis=0))) / float(theory.spread(found.covariance[0]))
    return [
        Row("mean over every sequence of batches, along gradient descent", mean @ full / (full @ full), 1.0, 1e-9),
        Row("spread over every sequence of batches / derived", spread, 1.0, 1e-9),
    ]


def _orders(gram: ndarray, start: ndarray, seed: int) -> list[Row]:
    """Orders in eta and B at a fixed time, from exact moments at small rates; in epochs from 256 runs."""
    pace, each, n = 2.0**-7, float(gram[0, 0]), len(start)
    training = dynamics.flow(dynamics.decompose(gram), UNITS * n / each)
    flow = np.asarray(dynamics.residuals(training, 0 * start[:, None], start[:, None]))[0, :, 0]

    def measured(pace: float, batch: int) -> tuple[float, float]:
        """Root mean square distance of a run from the mean of all runs, and from the gradient flow."""
        found = theory.moments(gram, start, rate=pace / each, batch=batch, steps=[round(UNITS * n / pace)])
        spread = float(theory.spread(found.covariance[0]))
        return spread, float(np.hypot(spread, np.sqrt(np.mean((found.mean[0] - flow) ** 2))))

    (spread, away), halved, doubled = measured(pace, 4), measured(pace / 2, 4), measured(pace, 8)
    law = np.sqrt(pace / each / 4) * float(theory.spread_law(gram, start, [UNITS * n / each])[0])
    paces = 2.0 ** np.array([-3, -4, -5, -6])
    dealt = np.stack([_epochs(gram, start, value / each, round(UNITS * n / value), seed) for value in paces])
    calm = sampling.run_spread(np.moveaxis(dealt.reshape(len(paces), 8, -1, n), 2, 0)).T
    near = np.sqrt(np.mean((dealt - flow) ** 2, axis=(1, 2)))
    quantity = "distance of a run from the gradient flow: order in eta"
    return [
        Row("spread at a fixed time: order in eta", float(np.log2(spread / halved[0])), 0.5, 0.01),
        Row("spread at a fixed time: order in B", float(np.log2(doubled[0] / spread)), -0.5, 0.01),
        Row("spread / (sqrt(eta/B) times the derived constant)", spread / law, 1.0, 0.01),
        Row("batches dealt out in epochs, spread: order in eta", sampling.fitted_order(paces, calm).exponent, 1.5, 0.1),
        Row(f"{quantity}, 1 for gradient descent", float(np.log2(away / halved[1])), 1.0, 0.1, "printed"),
        Row(f"{quantity}, in epochs", float(np.polyfit(np.log(paces), np.log(near), 1)[0]), 1.0, 0.1, "printed"),
    ]


def _epochs(gram: ndarray, start: ndarray, rate: float, steps: int, seed: int) -> ndarray:
    rows = sampling.draw(len(start), batch=4, steps=steps, runs=256, seed=seed, sampling="epochs")
    return sampling.simulate(gram, start, rows, rate=rate, steps=[steps])[:, 0]


def _stability(gram: ndarray, start: ndarray, seed: int) -> list[Row]:
    """One row a step: 2/K(x, x) in mean square and in every single run, far below 2N/lambda_max."""
    each, bound = float(gram[0, 0]), theory.mean_square_bound(gram, 1)
    runs = distances(gram, start, [1.9, 2.1], steps=200, runs=20, seed=seed).runs[:, :, -1]
    full = dynamics.stability_bound(dynamics.decompose(gram))
    return [
        Row("one row a step: largest stable rate times K(x, x)", bound * each, 2.0, 1e-6),
        Row("share of runs that approach the solution at 95 % of that rate", np.mean(runs[0] < 1), 1.0, 0.0),
        Row("share of runs that approach the solution at 105 % of that rate", np.mean(runs[1] < 1), 0.0, 0.0),
        Row("largest stable rate, one row a step / gradient descent", bound / full, 1.0, 0.1, "printed"),
    ]


def _ends(seed: int) -> list[Row]:
    """A long time: no noise is left with consistent labels; contradictory ones keep sqrt(eta/B) of it."""
    rows = []
    # the slowest mode of some digits decays by exp(-0.2) a unit, so that 24 units leave it 0.2 % of the noise
    for doubled, units in ((0, 48), (2, 24)):
        given = nets.problem(nets.Task(seed=seed), doubled)
        walk = nets.Walk(pace=2.0**-5, units=float(units))
        rate, last = nets.plan(given, walk)
        gram, start = given.gram, nets.start(given)
        found = theory.spread(theory.moments(gram, start, rate=rate, batch=4, steps=[last // units, last]).covariance)
        floor = np.sqrt(rate / 4) * theory.noise_floor(gram, start)
        rows.append((float(found[1] / found[0]), float(found[1] / floor) if doubled else 0.0))
    return [
        Row("contradictory labels: spread in the end / (sqrt(eta/B) times the derived floor)", rows[1][1], 1.0, 0.02),
        Row("interpolation: spread in the end / spread after one unit", rows[0][0], 0.0, 1e-3, "printed"),
    ]


def _real_networks(seed: int) -> Row:
    """The spread of ReLU networks of width 128 themselves, against the kernel of infinite width."""
    ratios = [_spread_over_derived(seed * NETWORKS + i) for i in range(NETWORKS)]
    quantity = f"{NETWORKS} ReLU networks of width 128: mean of spread of runs / derived for infinite width"
    return Row(quantity, float(np.mean(ratios)), 1.0, 0.2)


def _spread_over_derived(seed: int) -> float:
    task, walk = nets.Task(seed=seed), nets.Walk(pace=0.5, units=UNITS)
    given = nets.problem(task)
    rate, last = nets.plan(given, walk)
    runs = nets.runs(given, walk, jax.random.split(jax.random.key(seed), 64), [last])
    gram = nets.infinite_gram(task, given.x)
    found = theory.moments(gram, nets.start(given), rate=rate, batch=walk.batch, steps=[last])
    return float(sampling.run_spread(runs)[0] / theory.spread(found.covariance[0]))


def _descent(gram: ndarray, start: ndarray, steps: int, rate: float) -> ndarray:
    training = dynamics.descent(dynamics.decompose(gram), np.array([float(steps)]), rate=rate)
    return np.asarray(dynamics.residuals(training, 0 * start[:, None], start[:, None]))[0, :, 0]
