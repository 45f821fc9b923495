"""SGD of networks: runs against the kernel's moments, against their linearisation, and the recorded measurements."""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy import ndarray

from ntk_eoc import dynamics, records
from ntk_eoc.activations import NAMED
from ntk_eoc.claims import evidence_sgd
from ntk_eoc.claims.rows import agrees
from ntk_eoc.empirical import empirical_ntk
from ntk_eoc.experiments import sgd
from ntk_eoc.experiments import sgd_moments as theory
from ntk_eoc.experiments import sgd_networks as nets
from ntk_eoc.experiments import sgd_sampling as sampling
from ntk_eoc.experiments import sgd_stability as stability
from ntk_eoc.experiments.phases import Setting
from ntk_eoc.networks import Network, apply, init
from ntk_eoc.optimise import linearise
from ntk_eoc.optimise import sgd as optimise_sgd
from ntk_eoc.plotting import sgd as drawing

RECORD = Path(__file__).parents[1] / "book" / "results" / "sgd.npz"


@lru_cache
def small(activation: str = "tanh", width: int = 16, images: int = 8) -> nets.Problem:
    return nets.problem(nets.Task(activation, width, images=images))


@lru_cache
def record() -> dict[str, ndarray]:
    return records.load(RECORD)[0]


@pytest.mark.thorough
def test_a_problem_is_its_network_its_digits_and_their_kernel() -> None:
    given = small()
    kernel = empirical_ntk(given.apply, given.params, given.x)[:, :, 0, 0]
    np.testing.assert_allclose(given.gram, kernel, rtol=1e-10)
    assert set(np.unique(given.y)) == {-1.0, 1.0}
    np.testing.assert_allclose(np.sum(given.x**2, axis=1), given.x.shape[1])
    rate, last = nets.plan(given, nets.Walk(pace=0.5, units=1.5))
    assert last == 24 and rate * np.trace(given.gram) / 8 == pytest.approx(0.5, rel=1e-12)
    twice = nets.problem(nets.Task("tanh", 16, images=8), contradictions=2)
    np.testing.assert_array_equal(twice.x[-2:], twice.x[:2])
    np.testing.assert_array_equal(twice.y[-2:], -twice.y[:2])
    assert int((np.asarray(dynamics.decompose(twice.gram).values) == 0).sum()) == 2


@pytest.mark.parametrize("kind", sampling.SAMPLINGS)
def test_the_linearised_network_moves_in_function_space_as_its_kernel_says(kind: str) -> None:
    given, rate = small(), 0.2
    rows = sampling.draw(8, batch=2, steps=12, runs=3, seed=0, sampling=kind)
    linear = linearise(given.apply, given.params)
    network = sampling.follow(linear, given.params, given.x, given.y, rows, rate=rate, steps=[0, 5, 12])
    kernel = sampling.simulate(given.gram, nets.start(given), rows, rate=rate, steps=[0, 5, 12])
    np.testing.assert_allclose(network, kernel, atol=1e-11)
    real = sampling.follow(given.apply, given.params, given.x, given.y, rows, rate=rate, steps=[0, 5, 12])
    assert np.abs(real[:, 2] - kernel[:, 2]).max() > 1e-3  # the network itself is another one


def test_all_sequences_of_batches_of_the_linearised_network_average_to_gradient_descent() -> None:
    given, rows = small(images=3), sampling.every_sequence(3, batch=2, steps=3)
    rate = 0.8 * theory.sure_bound(given.gram, 2)
    linear = linearise(given.apply, given.params)
    runs = sampling.follow(linear, given.params, given.x, given.y, rows, rate=rate, steps=[3])[:, 0]
    full = dynamics.descent(dynamics.decompose(given.gram), np.array([3.0]), rate=rate)
    expected = np.asarray(dynamics.residuals(full, given.y, given.y + nets.start(given)[:, None]))[0, :, 0]
    np.testing.assert_allclose(runs.mean(axis=0), expected, atol=1e-12)
    exact = theory.moments(given.gram, nets.start(given), rate=rate, batch=2, steps=[3])
    np.testing.assert_allclose(np.cov(runs.T, bias=True), exact.covariance[0], atol=1e-12)


@pytest.mark.thorough
def test_the_mean_of_a_real_network_comes_closer_to_gradient_descent_with_width() -> None:
    """Again over all sequences of batches, so without Monte Carlo: what is left is the network's curvature."""
    gaps = []
    for width in (16, 1024):
        given, rows = small(width=width, images=3), sampling.every_sequence(3, batch=1, steps=4)
        walk = nets.Walk(pace=0.8, batch=1)
        rate, _ = nets.plan(given, walk)
        runs = sampling.follow(given.apply, given.params, given.x, given.y, rows, rate=rate, steps=[4])[:, 0]
        gap = np.linalg.norm(runs.mean(axis=0) - nets.descent(given, walk, [4])[0])
        gaps.append(gap / np.linalg.norm(runs.std(axis=0)))
    assert gaps[0] > 1e-2 and gaps[1] < gaps[0] / 8


def test_runs_of_the_linearised_network_have_the_exact_moments() -> None:
    given, walk, seeds = small(), nets.Walk(pace=1.0, batch=2, units=1.0), 512
    runs = nets.runs(given, walk, jax.random.split(jax.random.key(5), seeds), [8], linear=True)[:, 0]
    rate, _ = nets.plan(given, walk)
    exact = theory.moments(given.gram, nets.start(given), rate=rate, batch=2, steps=[8])
    error = np.sqrt(np.diag(exact.covariance[0]) / seeds)
    assert np.abs((runs.mean(axis=0) - exact.mean[0]) / error).max() < 6
    squares = np.mean((runs - exact.mean[0]) ** 2, axis=1)
    assert abs(squares.mean() - theory.spread(exact.covariance[0]) ** 2) < 6 * squares.std(ddof=1) / seeds**0.5
    assert squares.std(ddof=1) / seeds**0.5 < 0.1 * squares.mean()


@pytest.mark.thorough
def test_the_same_keys_draw_the_same_batches_for_network_and_linearisation() -> None:
    found = nets.paths(nets.Task("elu", 512, images=8), nets.Walk(units=1.0), seeds=6, moments_seen=3)
    apart = np.sqrt(np.mean((found.runs[0, :, -1] - found.runs[1, :, -1]) ** 2))
    assert apart < 0.2 * sampling.run_spread(found.runs[0])[-1]
    np.testing.assert_array_equal(found.time, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(found.predicted[0], found.predicted[1], rtol=0.25)
    np.testing.assert_allclose(found.flow[0], found.descent[0], rtol=1e-12)
    assert np.abs(found.flow[-1] - found.descent[-1]).max() > 1e-3


def test_with_a_regular_kernel_every_run_ends_in_the_function_of_gradient_descent() -> None:
    """Also away from the training set: updates never leave the span of K(., X)."""
    given = small()
    new = jnp.asarray(nets.problem(nets.Task("tanh", 16, images=8, seed=3)).x[:4])
    linear = linearise(given.apply, given.params)
    rate, _ = nets.plan(given, nets.Walk(pace=1.2))
    keys = jax.random.split(jax.random.key(1), 3)
    data = {"x_test": new, "keys": keys, "rate": rate, "batch": 2}
    found = optimise_sgd(linear, given.params, given.x, given.y, steps=[20, 12_000], **data)
    cross = empirical_ntk(given.apply, given.params, new, given.x)[:, :, 0, 0]
    flow = dynamics.flow(dynamics.decompose(given.gram), np.inf)
    start = given.y + nets.start(given)[:, None]
    end = dynamics.predictions(flow, given.y, start, cross=cross, f0_test=given.apply(given.params, new))
    assert np.ptp(found.test[:, 0], axis=0).max() > 0.05  # on the way they differ
    np.testing.assert_allclose(found.test[:, 1], np.broadcast_to(end[0], (3, 4, 1)), atol=1e-6)


def test_rows_are_drawn_as_said() -> None:
    free = sampling.draw(6, batch=3, steps=4000, runs=1, seed=0)[0]
    counts = np.bincount(free.ravel(), minlength=6)
    assert np.abs(counts - 2000).max() < 6 * np.sqrt(12_000 * 5 / 36)
    repeated = np.mean([len(set(batch)) < 3 for batch in free])
    assert abs(repeated - 4 / 9) < 6 * np.sqrt(20 / 81 / 4000)  # 1 - (5/6)(4/6)
    apart = sampling.draw(6, batch=3, steps=4000, runs=1, seed=0, sampling="distinct")[0]
    assert all(len(set(batch)) == 3 for batch in apart)
    assert np.abs(np.bincount(apart.ravel(), minlength=6) - 2000).max() < 6 * np.sqrt(4000 / 4)
    dealt = sampling.draw(6, batch=2, steps=7, runs=5, seed=0, sampling="epochs")
    assert dealt.shape == (5, 7, 2)
    np.testing.assert_array_equal(np.sort(dealt[:, :6].reshape(10, 6)), np.tile(np.arange(6), (10, 1)))
    assert len({tuple(rows) for rows in dealt[:, :3].reshape(5, 6)}) > 1


@pytest.mark.thorough
def test_critical_batches_by_phase() -> None:
    x = small().x
    settings = [Setting("erf", 0.2, 0.8), Setting("erf", 0.2, 2.0), Setting("relu", 0.0, 2**0.5)]
    ordered, chaotic, edge = stability.critical_batches(settings, x, depth=60)
    assert abs(ordered.batch[-1] - 1) < 1e-3 and abs(chaotic.batch[-1] - 8) < 1e-3
    # K/(L q) tends to 1/4 off the diagonal, so lambda_max/K(x, x) to 1 + 7/4, from the layers' side log(L)/L away
    assert 1.5 * np.log(60) / 60 > abs(8 / edge.batch[-1] / (1 + 7 / 4) - 1) > 0
    net = Network(2048, 3, 0.0, 2**0.5)
    params = init(jax.random.key(0), net, 64)
    finite = empirical_ntk(lambda p, rows: apply(p, NAMED["relu"], net, rows), params, x)[:, :, 0, 0]
    found = np.trace(finite) / np.linalg.eigvalsh(finite)[-1]
    assert abs(found / edge.batch[2] - 1) < 6 * 3 / 2048**0.5


def test_fitted_orders_and_their_intervals() -> None:
    x = np.array([1.0, 2.0, 4.0, 8.0])
    exact = sampling.fitted_order(x, np.array([3 * x**0.5, 5 * x**0.5]))
    assert exact.exponent == pytest.approx(0.5, abs=1e-12) and exact.half_width < 1e-12
    noise = np.exp(0.1 * np.random.RandomState(0).randn(2000, 8, 4))
    found = [sampling.fitted_order(x, x**-0.5 * groups) for groups in noise]
    covered = np.mean([abs(one.exponent + 0.5) <= one.half_width for one in found])
    assert abs(covered - 0.95) < 6 * np.sqrt(0.95 * 0.05 / 2000)
    with pytest.raises(ValueError, match="groups: expected two groups or more of positive values"):
        sampling.fitted_order(x, x[None])


def test_what_cannot_be_drawn_or_trained_is_named() -> None:
    with pytest.raises(ValueError, match="batch: expected a divisor of the 6 rows, got 4"):
        sampling.draw(6, batch=4, steps=3, runs=1, seed=0, sampling="epochs")
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        sampling.draw(6, batch=3, steps=3, runs=1, seed=0, sampling="epoch")
    rows, one = np.zeros((1, 900, 1), int), np.ones((1, 1))
    with pytest.raises(RuntimeError, match="no longer finite at step 900"):
        sampling.follow(lambda w, x: x * w, jnp.zeros(1), one, one, rows, rate=9.0, steps=[3, 900])


def test_the_record_says_where_it_comes_from() -> None:
    arrays, about = records.load(RECORD)
    assert about["config"] == jax.tree.map(
        lambda leaf: leaf, {part: _listed(asdict(config)) for part, (_, config) in sgd.PARTS.items()}
    )
    assert about["command"] == "python -m ntk_eoc.experiments.sgd --out book/results"
    assert all(np.isfinite(array).all() for array in arrays.values())


def _listed(value: object) -> object:
    """What JSON makes of it."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, tuple | list) else value


@pytest.mark.thorough
def test_a_part_of_the_record_comes_out_again() -> None:
    whole, part = sgd.WidthConfig(), sgd.WidthConfig(("tanh",), (64,), 1)
    found, kept = sgd.widths(part), record()
    for name in ("path", "full", "spread", "empirical", "infinite"):
        old = kept[f"widths_{name}"][whole.activations.index("tanh"), whole.widths.index(64), 0]
        assert found[name].item() == pytest.approx(old, rel=1e-6), name


def test_recorded_networks_have_the_orders_of_the_kernel() -> None:
    kept, config = record(), sgd.OrderConfig()
    given = nets.problem(config.task)

    def predicted(pace: float, batch: int) -> float:
        rate, last = nets.plan(given, nets.Walk(pace, batch, 0.75))
        found = theory.moments(given.gram, nets.start(given), rate=rate, batch=batch, steps=[last])
        return float(theory.spread(found.covariance[0]))

    by_pace = np.array([predicted(pace, 4) for pace in config.paces])
    by_batch = np.array([predicted(0.25, batch) for batch in config.batches])
    for name, x, exact in (("pace", config.paces, by_pace), ("batch", config.batches, by_batch)):
        groups = kept[f"orders_{name}_spread"]
        order = sampling.fitted_order(np.array(x, dtype=float), groups)
        expected = np.polyfit(np.log(x), np.log(exact), 1)[0]
        assert abs(order.exponent - expected) < 6 * order.half_width / 2.36 < 0.15  # 2.36 standard errors
        mean, error = groups.mean(axis=0), groups.std(axis=0, ddof=1) / len(groups) ** 0.5
        assert (np.abs(mean - exact) < 6 * error + 0.1 * exact).all()  # 0.1: a network of width 256 moves its kernel


@pytest.mark.thorough
def test_figures_show_the_arrays() -> None:
    found = nets.paths(nets.Task(width=8, images=4), nets.Walk(units=1.0), seeds=3, moments_seen=3)
    fig, axes = plt.subplots(2, 4)
    drawing.runs(axes[0, 0], found, 1)
    drawing.spread(axes[0, 1], found)
    np.testing.assert_array_equal(axes[0, 1].lines[0].get_ydata(), found.predicted[0])
    fig.canvas.draw()


@pytest.mark.thorough  # test_claims runs it too
def test_the_evidence_agrees_on_our_side_and_decides_against_the_printed_one() -> None:
    rows = evidence_sgd.sgd()
    assert [row.quantity for row in rows if row.side == "ours" and not agrees(row)] == []
    printed = {row.quantity: agrees(row) for row in rows if row.side == "printed"}
    assert True in printed.values() and False in printed.values()
