"""SGD with the kernel at rest: moments against every possible sequence of batches, laws against limits and solvers."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
from numpy import ndarray
from scipy.integrate import solve_ivp

from ntk_eoc import dynamics
from ntk_eoc.experiments import sgd_moments as theory
from ntk_eoc.experiments import sgd_sampling as sampling
from ntk_eoc.experiments import sgd_stability as stability


def kernel(n: int, rank: int, seed: int = 0) -> ndarray:
    factor = np.random.RandomState(seed).randn(n, rank)
    return factor @ factor.T


def equal_diagonal(n: int, seed: int = 0) -> ndarray:
    """A regular kernel with K(x, x) = 3, as inputs of one norm have it."""
    gram = kernel(n, n + 8, seed)
    scale = np.sqrt(np.diag(gram))
    return 3.0 * gram / scale[:, None] / scale


def residual(n: int, seed: int = 1) -> ndarray:
    return np.random.RandomState(seed).randn(n)


def one_step(gram: ndarray, rows: tuple[int, ...], rate: float) -> ndarray:
    """The matrix that a batch applies to the residual, from the update rule itself."""
    n, step = len(gram), np.eye(len(gram))
    for i in rows:
        step -= rate / len(rows) * np.outer(gram[:, i], np.eye(n)[i])
    return step


def all_batches(n: int, batch: int, kind: str) -> list[tuple[int, ...]]:
    return list(product(range(n), repeat=batch) if kind == "independent" else combinations(range(n), batch))


@pytest.mark.parametrize(("kind", "batch"), [("independent", 1), ("independent", 2), ("distinct", 2), ("distinct", 3)])
def test_moments_are_those_of_every_sequence_of_batches(kind: str, batch: int) -> None:
    gram, start, rate, steps = kernel(4, 6), residual(4), 0.2, 3
    found = theory.moments(gram, start, rate=rate, batch=batch, steps=[0, 1, steps], sampling=kind)
    reached = start[None]
    for _ in range(steps):
        reached = np.concatenate([reached @ one_step(gram, rows, rate).T for rows in all_batches(4, batch, kind)])
    np.testing.assert_allclose(found.mean[-1], reached.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance[-1], np.cov(reached.T, bias=True), rtol=1e-10, atol=1e-13)
    np.testing.assert_array_equal(found.mean[0], start)
    assert not found.covariance[0].any()


def test_the_mean_is_gradient_descent_at_any_rate_not_only_at_small_ones() -> None:
    gram, start = kernel(6, 8), residual(6)
    rate = 0.9 * dynamics.stability_bound(dynamics.decompose(gram))
    for batch in (1, 4):
        found = theory.moments(gram, start, rate=rate, batch=batch, steps=[1, 7, 40])
        full = dynamics.descent(dynamics.decompose(gram), np.array([1.0, 7.0, 40.0]), rate=rate)
        expected = np.asarray(dynamics.residuals(full, 0 * start[:, None], start[:, None]))[..., 0]
        np.testing.assert_allclose(found.mean, expected, rtol=1e-9, atol=1e-12)


def test_a_batch_of_all_different_rows_is_gradient_descent_itself() -> None:
    found = theory.moments(kernel(5, 7), residual(5), rate=0.3, batch=5, steps=[20], sampling="distinct")
    assert not found.covariance.any()
    assert theory.moments(kernel(5, 7), residual(5), rate=0.3, batch=5, steps=[20]).covariance.any()


def test_moments_are_those_of_simulated_runs() -> None:
    gram, start, seeds = equal_diagonal(6), residual(6), 4000
    for kind in theory.SAMPLINGS:
        rows = sampling.draw(6, batch=2, steps=12, runs=seeds, seed=3, sampling=kind)
        runs = sampling.simulate(gram, start, rows, rate=0.25, steps=[12])[:, 0]
        found = theory.moments(gram, start, rate=0.25, batch=2, steps=[12], sampling=kind)
        z = (runs.mean(axis=0) - found.mean[0]) / np.sqrt(np.diag(found.covariance[0]) / seeds)
        assert np.abs(z).max() < 6
        squares = np.mean((runs - found.mean[0]) ** 2, axis=1)
        error = squares.std(ddof=1) / np.sqrt(seeds)
        assert abs(squares.mean() - theory.spread(found.covariance[0]) ** 2) < 6 * error
        assert error < 0.05 * squares.mean()  # the test has power


def noise_source(gram: ndarray, mean: ndarray) -> ndarray:
    n = len(mean)
    return gram @ (np.diag(mean**2) / n - np.outer(mean, mean) / n**2) @ gram


@pytest.mark.parametrize("rank", [7, 2])
def test_the_law_of_the_spread_solves_its_differential_equation(rank: int) -> None:
    """dr/dt and dC/dt handed to an adaptive solver, with and without a null space."""
    gram, start, times = kernel(4, rank), residual(4), np.array([0.3, 1.0, 4.0])

    def slope(_: float, state: ndarray) -> ndarray:
        mean, cov = state[:4], state[4:].reshape(4, 4)
        change = -(gram @ cov + cov @ gram) / 4 + noise_source(gram, mean)
        return np.concatenate([-gram @ mean / 4, change.ravel()])

    begin = np.concatenate([start, np.zeros(16)])
    found = solve_ivp(slope, (0.0, 4.0), begin, t_eval=times, method="DOP853", rtol=1e-11, atol=1e-13)
    expected = np.sqrt(np.trace(found.y[4:].reshape(4, 4, -1)) / 4)
    np.testing.assert_allclose(theory.spread_law(gram, start, times), expected, rtol=1e-8)


@pytest.mark.parametrize(("kind", "batch"), [("independent", 1), ("independent", 8), ("distinct", 3)])
def test_the_spread_is_the_root_of_rate_over_batch_to_leading_order(kind: str, batch: int) -> None:
    gram, start, t = equal_diagonal(6), residual(6), 2.0
    law, s = theory.spread_law(gram, start, [t])[0], theory.share(batch, 6, kind)
    off = []
    for steps in (2000, 4000):
        found = theory.moments(gram, start, rate=t / steps, batch=batch, steps=[steps], sampling=kind)
        off.append(theory.spread(found.covariance[0]) / (np.sqrt(s * t / steps) * law) - 1)
    assert abs(off[1]) < 2e-3
    assert off[0] / off[1] == pytest.approx(2.0, abs=0.01)  # what is left is O(eta)


def test_without_a_null_space_the_noise_dies_with_the_residual() -> None:
    gram, start = equal_diagonal(5), residual(5)
    rate = 0.9 * theory.mean_square_bound(gram, 2)
    late = theory.spread(theory.moments(gram, start, rate=rate, batch=2, steps=[10, 8000]).covariance)
    assert late[1] < 1e-10 * late[0]
    assert theory.noise_floor(gram, start) == 0.0
    np.testing.assert_allclose(theory.spread_law(gram, start, [np.inf]), 0.0, atol=1e-12)


def singular() -> tuple[ndarray, ndarray]:
    """One input twice, with two targets."""
    gram = np.pad(equal_diagonal(5), ((0, 1), (0, 1)), mode="edge")
    return gram, np.append(residual(5), -2.0)


@pytest.mark.thorough
def test_the_noise_floor_is_where_the_spread_stays() -> None:
    gram, start = singular()
    stuck = np.zeros(6)
    stuck[[4, 5]] = np.array([1, -1]) * (start[4] - start[5]) / 2
    assert theory.noise_floor(gram, start) ** 2 == pytest.approx(3.0 * np.sum(stuck**2) / 6 / 2, rel=1e-9)
    np.testing.assert_allclose(theory.spread_law(gram, start, [np.inf]), theory.noise_floor(gram, start), rtol=1e-9)
    off = []
    for rate in (0.01, 0.005):
        found = theory.moments(gram, start, rate=rate, batch=2, steps=[round(300 / rate)])
        np.testing.assert_allclose(found.mean[0], stuck, atol=1e-6)  # Lemma 1: the mean keeps what K cannot see
        off.append(theory.spread(found.covariance[0]) / (np.sqrt(rate / 2) * theory.noise_floor(gram, start)) - 1)
    assert abs(off[1]) < 0.01 and off[0] / off[1] == pytest.approx(2.0, abs=0.05)


def test_the_noise_floor_at_one_row_a_step_in_closed_form() -> None:
    """With one K(x, x) = k and B = 1 the mean square is eta k/(2 - eta k) |stuck|^2/N, at any stable rate."""
    gram, start = singular()
    stuck = (start[4] - start[5]) ** 2 / 2 / 6
    for rate in (0.1, 0.4):
        found = theory.spread(theory.moments(gram, start, rate=rate, batch=1, steps=[20_000]).covariance[0]) ** 2
        assert found == pytest.approx(3 * rate / (2 - 3 * rate) * stuck, rel=1e-8)


def second_moment_map(gram: ndarray, batch: int, rate: float, kind: str) -> ndarray:
    steps = [one_step(gram, rows, rate) for rows in all_batches(len(gram), batch, kind)]
    return np.mean([np.kron(step, step) for step in steps], axis=0)


@pytest.mark.parametrize(
    ("kind", "batch"), [("independent", 1), ("independent", 2), ("independent", 3), ("distinct", 2)]
)
@pytest.mark.parametrize("gram", [kernel(4, 6), equal_diagonal(4)], ids=["any", "equal"])
def test_at_the_bound_the_second_moment_map_has_radius_one(gram: ndarray, kind: str, batch: int) -> None:
    bound = theory.mean_square_bound(gram, batch, sampling=kind)
    radius = [np.abs(np.linalg.eigvals(second_moment_map(gram, batch, f * bound, kind))).max() for f in (0.99, 1, 1.01)]
    assert radius[1] == pytest.approx(1.0, abs=1e-9)
    assert radius[0] < 1 - 1e-5 and radius[2] > 1 + 1e-5
    full = dynamics.stability_bound(dynamics.decompose(gram))
    assert theory.sure_bound(gram, batch, sampling=kind) <= bound * (1 + 1e-12) and bound < full


def test_both_sides_of_the_bound() -> None:
    gram, start = equal_diagonal(6), residual(6)
    bound = theory.mean_square_bound(gram, 3)
    below, above = (
        theory.spread(theory.moments(gram, start, rate=f * bound, batch=3, steps=[500, 3000]).covariance)
        for f in (0.95, 1.05)
    )
    assert below[1] < 1e-3 * below[0]
    assert above[1] > 1e3 * above[0]
    full = dynamics.stability_bound(dynamics.decompose(gram))
    assert 1.05 * bound < full  # where the mean of the runs still converges


def test_ends_of_the_bound() -> None:
    gram = equal_diagonal(7)
    full = dynamics.stability_bound(dynamics.decompose(gram))
    assert theory.mean_square_bound(gram, 1) == pytest.approx(2 / 3.0, rel=1e-12)  # 2/K(x, x)
    assert theory.mean_square_bound(gram, 7, sampling="distinct") == pytest.approx(full, rel=1e-12)
    gaps = [1 - theory.mean_square_bound(gram, batch) / full for batch in (1000, 2000)]
    assert 0 < gaps[1] < 0.01 and gaps[0] / gaps[1] == pytest.approx(2.0, abs=0.05)
    uneven = np.diag([1.0, 4.0])  # rows that know nothing of each other: each on its own needs |1 - eta K_ii| < 1
    assert theory.mean_square_bound(uneven, 1) == pytest.approx(0.5, rel=1e-12)
    same = np.ones((3, 3))  # rows that are all alike: any batch is the whole
    assert theory.mean_square_bound(same, 1) == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_below_the_sure_bound_the_distance_to_the_solution_falls_in_every_step(batch: int) -> None:
    gram, start = kernel(5, 7), residual(5)
    inverse = np.linalg.inv(gram)
    rate = 0.999 * theory.sure_bound(gram, batch)
    found = theory.moments(gram, start, rate=rate, batch=batch, steps=np.arange(200))
    distance = np.einsum("tij,ij->t", found.covariance, inverse) + np.einsum(
        "ti,ij,tj->t", found.mean, inverse, found.mean
    )
    assert (np.diff(distance) < 0).all()


def test_with_one_row_a_step_every_run_approaches_or_every_run_recedes() -> None:
    gram, start = equal_diagonal(8), residual(8)
    found = stability.distances(gram, start, [1.9, 2.1], steps=300, runs=10)
    assert (np.diff(found.runs[0]) <= 1e-15).all() and (found.runs[0, :, -1] < 0.1).all()
    assert (np.diff(found.runs[1]) >= 0).all() and (found.runs[1, :, -1] > 1.5).all()
    spectrum = dynamics.decompose(gram)
    assert 2.1 / 3.0 < dynamics.stability_bound(spectrum)
    full = dynamics.descent(spectrum, found.steps.astype(float), rate=2.1 / 3.0)
    left = np.asarray(dynamics.residuals(full, 0 * start[:, None], start[:, None]))[..., 0]
    expected = np.einsum("ti,ij,tj->t", left, np.linalg.inv(gram), left)
    np.testing.assert_allclose(found.descent[1], expected / expected[0], rtol=1e-9, atol=1e-15)


def epoch_maps(gram: ndarray, batch: int, rate: float) -> list[ndarray]:
    """Every order in which an epoch may deal out the rows."""
    maps = []
    for order in permutations(range(len(gram))):
        whole = np.eye(len(gram))
        for j in range(0, len(gram), batch):
            whole = one_step(gram, order[j : j + batch], rate) @ whole
        maps.append(whole)
    return maps


@pytest.mark.parametrize("batch", [1, 2])
def test_epochs_shift_the_mean_and_calm_the_spread(batch: int) -> None:
    """All orders of an epoch enumerated: the shift is the derived one up to O(eta), the spread of order 3/2."""
    gram, start, t = kernel(4, 6), residual(4), 1.0
    expected, s = sampling.epoch_shift(gram, start, [t])[0], theory.share(batch, 4, "distinct")
    gaps, spreads = [], []
    for epochs in (400, 800):
        rate = t * batch / 4 / epochs
        maps = epoch_maps(gram, batch, rate)
        mean, second = start, np.outer(start, start)
        for _ in range(epochs):
            mean = np.mean(maps, axis=0) @ mean
            second = np.mean([one @ second @ one.T for one in maps], axis=0)
        full = np.linalg.matrix_power(np.eye(4) - rate * gram / 4, epochs * 4 // batch) @ start
        gaps.append(np.linalg.norm((mean - full) / (s * rate) - expected) / np.linalg.norm(expected))
        spreads.append(theory.spread(second - np.outer(mean, mean)))
    assert gaps[1] < 0.02 and gaps[0] / gaps[1] == pytest.approx(2.0, abs=0.1)
    assert np.log2(spreads[0] / spreads[1]) == pytest.approx(1.5, abs=0.01)


def test_the_shift_of_epochs_solves_its_differential_equation() -> None:
    gram, start, t = kernel(5, 7), residual(5), 1.5

    def slope(_: float, state: ndarray) -> ndarray:
        mean, shift = state.reshape(2, 5)
        drift = gram @ (gram / 5 - np.diag(np.diag(gram))) @ mean / 10
        return np.concatenate([-gram @ mean / 5, drift - gram @ shift / 5])

    found = solve_ivp(slope, (0.0, t), np.concatenate([start, 0 * start]), method="DOP853", rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(sampling.epoch_shift(gram, start, [t])[0], found.y[5:, -1], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.share(0, 4), "batch: expected a whole number of rows from 1 to inf, got 0"),
        (lambda: theory.share(5, 4, "distinct"), "batch: expected a whole number of rows from 1 to 4, got 5"),
        (lambda: theory.share(1, 4, "distnct"), "did you mean 'distinct'"),
        (
            lambda: theory.moments(np.eye(2), np.ones(2), rate=0.0, batch=1, steps=[1]),
            "rate: expected a number above 0",
        ),
        (lambda: theory.moments(np.eye(2), np.ones(2), rate=1.0, batch=1, steps=[2, 1]), "steps: expected increasing"),
        (lambda: theory.moments(-np.eye(2), np.ones(2), rate=1.0, batch=1, steps=[1]), "gram: expected eigenvalues"),
        (lambda: theory.moments(np.eye(2), np.ones(3), rate=1.0, batch=1, steps=[1]), "residual: expected 2 finite"),
        (lambda: theory.spread_law(np.eye(2), np.array([1.0, np.nan]), [1.0]), "residual: expected 2 finite"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
