"""What flat kernels learn: Eq. 9 by matrix exponentials and in sixty digits, rates against theory, recorded maps."""

import math
from functools import lru_cache
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import mpmath as mp
import numpy as np
import pytest
from scipy.linalg import expm

from ntk_eoc import profile, records
from ntk_eoc.activations import NAMED
from ntk_eoc.claims.evidence_flat import gen
from ntk_eoc.claims.rows import agrees
from ntk_eoc.data import Dataset, Split, checksums, digits, scaled, train_test, unit_norm
from ntk_eoc.experiments import flat_kernel, flat_laws, flat_learning
from ntk_eoc.experiments.phases import Setting
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import eoc_points, limit_variance, phase
from ntk_eoc.plotting import flat_kernel as draw

RECORD = Path(__file__).parents[1] / "book" / "results" / "flat_kernel.npz"
ORDERED, KINKED, CHAOTIC = (Setting("tanh", 0.2, 1.0), Setting("relu", 0.2, 1.2), Setting("tanh", 0.2, 1.6))


@lru_cache
def few(train: int = 40, test: int = 60) -> flat_learning.Task:
    return flat_learning.digits_task(train, test)


def kernels_at(setting: Setting, depths: list[int], images: flat_learning.Task) -> list[flat_learning.Kernel]:
    found = flat_kernel.network(setting.activation, depths, setting.sigma_b, setting.sigma_w)
    return list(flat_learning.kernels_of(found, images))


def relative_error(f: np.ndarray, labels: np.ndarray) -> float:
    y = np.eye(10)[labels] - 0.1
    return float(np.sum((f - y) ** 2) / np.sum(y**2))


def test_learning_is_equation_9_by_a_matrix_exponential() -> None:
    """From images to errors with nothing but the recursion over layers and scipy."""
    split = train_test(digits(24), test_fraction=0.5)
    q = limit_variance(NAMED["erf"], sigma_b=0.2, sigma_w=1.5)
    x = np.concatenate([unit_norm(part.x) for part in split]) * ((q - 0.04) / 1.5**2) ** 0.5
    ntk = np.asarray(kernels(NAMED["erf"], jnp.asarray(x), sigma_b=0.2, sigma_w=1.5, depth=4).ntk)
    k, y, n = ntk[:12, :12], np.eye(10)[split.train.y] - 0.1, 12
    found = flat_learning.learn(kernels_at(Setting("erf", 0.2, 1.5), [4], few(12, 12))[0], few(12, 12), [7.0])
    time = 7.0 * n / np.linalg.eigvalsh(k)[-1]
    for moment, decay in ((0, expm(-k * time / n)), (1, np.zeros((n, n)))):
        f = ntk[:, :12] @ np.linalg.solve(k, (np.eye(n) - decay) @ y)
        for side, rows, part in ((0, f[:12], split.train), (1, f[12:], split.test)):
            assert found.error[moment, side] == pytest.approx(relative_error(rows, part.y), rel=1e-8, abs=1e-18)
            assert found.accuracy[moment, side] == np.mean(rows.argmax(axis=1) == part.y)
    values = np.linalg.eigvalsh(k)
    assert found.log_condition == pytest.approx(math.log10(values[-1] / values[0]), abs=1e-9)
    np.testing.assert_array_equal(found.error[2], found.error[1])  # well-conditioned: float64 is exact enough


def test_at_infinity_a_flat_kernel_is_solved_exactly() -> None:
    """1 1^T - G with G below 1e-17, which no float64 matrix can hold, against sixty digits."""
    images = few(10, 6)
    kernel = kernels_at(ORDERED, [180], images)[0]
    assert 0 < kernel.gap.max() < 1e-17 and np.all(kernel.ratio == 1.0)
    found = flat_learning.learn(kernel, images, [1e4])
    with mp.workdps(60):
        k, cross = (mp.ones(*gap.shape) - mp.matrix(gap.tolist()) for gap in (kernel.gap, kernel.cross_gap))
        f = np.array((cross * k**-1 * mp.matrix(flat_learning.targets(images.labels).tolist())).tolist(), dtype=float)
        f = f.reshape(6, 10)
        values = mp.eigsy(k, eigvals_only=True)
        condition = float(mp.log10(values[9] / values[0]))
    assert found.error[2, 1] == pytest.approx(relative_error(f, images.test_labels), rel=1e-8)
    assert found.log_condition == pytest.approx(condition, abs=1e-6)
    assert found.error[1, 1] > 0.99 and found.error[2, 0] < 1e-12  # float64 is blind here, the other fits


def test_where_float64_resolves_the_kernel_both_ways_to_infinity_agree() -> None:
    images = few()
    kernel = kernels_at(ORDERED, [10], images)[0]
    y = flat_learning.targets(images.labels)
    solved = kernel.cross_ratio @ np.linalg.solve(kernel.ratio, y)
    found = flat_learning.interpolate(flat_learning.flatten(kernel.gap), y, kernel.cross_gap)
    np.testing.assert_allclose(found, solved, atol=1e-8)


def test_a_singular_kernel_is_no_flat_kernel() -> None:
    """Two equal images with different labels: no time is long enough, and nothing explodes."""
    images = few(12, 12)
    gaps = np.abs(np.subtract.outer(np.repeat(np.arange(6.0), 2), np.repeat(np.arange(6.0), 2))) / 10
    kernel = flat_learning.Kernel(1 - gaps, 1 - gaps, gaps, gaps)
    found = flat_learning.learn(kernel, images, [1e3])
    assert found.log_condition == np.inf
    np.testing.assert_array_equal(found.error[2], found.error[1])
    assert 0.1 < found.error[2, 0] < 1


@pytest.mark.parametrize("budget", [0.7, 30.0, math.inf])
def test_a_constant_kernel_learns_one_number_per_output(budget: float) -> None:
    images, ratio = few(), 0.35
    found = flat_laws.constant_kernel(images, ratio=ratio, budget=budget)
    n, y = 40, np.eye(10)[images.labels] - 0.1
    k = ratio + (1 - ratio) * np.eye(n)
    top = 1 + (n - 1) * ratio
    decay = expm(-k * budget / top) if budget < math.inf else np.zeros((n, n))
    brute = np.full(n, ratio) @ np.linalg.solve(k, (np.eye(n) - decay) @ y)
    np.testing.assert_allclose(found.outputs, np.tile(brute, (60, 1)), atol=1e-14)
    np.testing.assert_allclose(found.derived, brute, atol=1e-14)
    labels = np.eye(10)[images.test_labels] - 0.1
    assert found.variance == pytest.approx(labels.var(axis=0).sum() / np.mean(np.sum(labels**2, axis=1)), rel=1e-12)
    assert found.error >= found.variance


def test_the_learned_part_moves_no_faster_than_its_bound() -> None:
    """|f_t(x) - f_t(x')| <= (t/N) |k(x) - k(x')| |Y|, in units of the diagonal."""
    images, budget = few(), 50.0
    y = flat_learning.targets(images.labels)
    for setting in (ORDERED, CHAOTIC):
        for kernel in kernels_at(setting, [5, 30], images):
            top = np.linalg.eigvalsh(kernel.ratio)[-1]
            f = kernel.cross_ratio @ np.linalg.solve(
                kernel.ratio, (np.eye(40) - expm(-kernel.ratio * budget / top)) @ y
            )
            far = np.linalg.norm(f[:, None] - f[None], axis=2)
            moved = np.linalg.norm(kernel.cross_gap[:, None] - kernel.cross_gap[None], axis=2)
            assert (far <= budget / top * moved * np.linalg.norm(y) * (1 + 1e-9) + 1e-13).all()


@pytest.mark.parametrize(
    ("setting", "power", "left"),
    [(ORDERED, 1.0, 0.004), (KINKED, 0.0, 0.003), (CHAOTIC, 1.0, 0.002)],
)
def test_the_spread_falls_at_the_rate_of_the_phase(setting: Setting, power: float, left: float) -> None:
    law = flat_laws.spread(setting, few(), [60, 100], 1e4)
    place = phase(NAMED[setting.activation], sigma_b=setting.sigma_b, sigma_w=setting.sigma_w)
    expected = 1 / place.xi if setting is ORDERED else 0.5 / place.xi if setting is KINKED else None
    expected = 1 / place.xi + math.log(place.chi) if expected is None else expected
    assert flat_laws.exponents(setting) == pytest.approx((power, expected), rel=1e-12)
    # what is left over is O(1/L^2) per layer without a kink, exponentially small with one
    assert flat_laws.rate(law, 60, 100, power) == pytest.approx(expected, rel=left)


def test_on_the_edge_the_spread_falls_like_the_inverse_depth() -> None:
    edge = Setting("tanh", 0.2, eoc_points(NAMED["tanh"], 0.2)[0].sigma_w)
    law = flat_laws.spread(edge, few(), [300, 600, 3000, 6000], math.inf)
    slopes = np.log2(law.measured[[0, 2]] / law.measured[[1, 3]])
    assert abs(slopes[1] - 1) < 0.05 < abs(slopes[0] - 1) < 0.3  # of the order log(L)/L


@pytest.mark.parametrize(("setting", "power"), [(ORDERED, -1.0), (Setting("elu", 0.2, 1.0), -1.0), (KINKED, 0.0)])
def test_the_time_to_learn_grows_exponentially(setting: Setting, power: float) -> None:
    law = flat_laws.time_to_learn(setting, few(), [100, 200])
    place = phase(NAMED[setting.activation], sigma_b=0.2, sigma_w=setting.sigma_w)
    share = 1.0 if power else 0.5
    assert -flat_laws.rate(law, 100, 200, power) * place.xi == pytest.approx(share, rel=3e-3)


def test_the_time_to_learn_is_when_half_of_the_error_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    images = few()
    kernel = kernels_at(ORDERED, [25], images)[0]
    budget = flat_laws.time_to_learn(ORDERED, images, [25]).measured[0]
    top, y = np.linalg.eigvalsh(kernel.ratio)[-1], flat_learning.targets(images.labels)
    left = expm(-kernel.ratio * budget / top) @ y
    assert np.sum(left**2) / np.sum(y**2) == pytest.approx(0.5, rel=1e-9)
    monkeypatch.setattr(flat_laws, "WELL_CONDITIONED", 1.0)
    flat = flat_laws.time_to_learn(ORDERED, images, [25]).measured[0]
    assert flat == pytest.approx(budget, rel=20 * kernel.gap.max())


def test_deviation_is_the_shape_of_the_kernels_own() -> None:
    gaps = np.array([0.5, 1.3])
    # without a kink L + c stands for L, with c below 10
    for setting, rel in ((ORDERED, 10 / 240), (KINKED, 1e-4), (CHAOTIC, 10 / 240)):
        found = flat_kernel.network(setting.activation, [80, 120], 0.2, setting.sigma_w)
        if setting is CHAOTIC:  # differences of pairs, since what they tend to is not nought
            values = np.abs(np.diff(profile.ntk_ratio(found, gaps), axis=1))[:, 0]
        else:
            values = profile.ntk_gap(found, gaps)[:, 0]
        shape = flat_laws.deviation(setting, [80, 120])
        assert values[1] / values[0] == pytest.approx(shape[1] / shape[0], rel=rel)


def test_ordered_networks_generalise_at_infinity_at_any_depth() -> None:
    images = few(120, 200)
    found = [flat_learning.learn(kernel, images, [1e4]) for kernel in kernels_at(ORDERED, [20, 120, 300], images)]
    exact = np.array([one.error[-1, 1] for one in found])
    assert (exact < 0.35).all() and abs(exact[2] / exact[1] - 1) < 0.01
    assert found[0].error[0, 1] < 0.6 and found[1].error[0, 1] > 0.99
    assert found[2].accuracy[0, 0] < 0.2 and found[2].accuracy[-1, 1] > 0.9
    conditions = [one.log_condition for one in found]
    slope = (conditions[2] - conditions[1]) / 180 * math.log(10)
    assert slope == pytest.approx(1 / phase(NAMED["tanh"], sigma_b=0.2, sigma_w=1.0).xi, rel=0.03)  # L chi^L again


def test_chaotic_networks_fit_and_do_not_generalise() -> None:
    images = few(120, 200)
    found = [flat_learning.learn(kernel, images, [1e4]) for kernel in kernels_at(CHAOTIC, [5, 90], images)]
    assert found[0].error[0, 1] < 0.4 and found[1].error[0, 1] == pytest.approx(1.0, abs=1e-4)
    assert all(one.error[0, 0] < 1e-10 for one in found)
    most_frequent = np.mean(images.test_labels == np.bincount(images.labels).argmax())
    assert found[1].accuracy[-1, 1] == most_frequent


def test_relu_without_bias_has_no_phases_and_with_it_forgets_it() -> None:
    images, depths = few(), [3, 40]
    plain = [
        [flat_learning.learn(k, images, [1e3]) for k in kernels_at(Setting("relu", 0.0, w), depths, images)]
        for w in (0.9, 2**0.5, 2.0)
    ]
    for other in plain[1:]:
        for one, two in zip(plain[0], other, strict=True):
            np.testing.assert_allclose(one.error, two.error, rtol=1e-8, atol=1e-12)
            np.testing.assert_array_equal(one.accuracy, two.accuracy)
    grown = kernels_at(Setting("relu", 0.2, 1.9), depths, images)[1]
    edge = kernels_at(Setting("relu", 0.0, 2**0.5), depths, images)[1]
    assert np.abs(grown.ratio - edge.ratio).max() < 0.01


def test_one_network_is_the_mean_with_noise() -> None:
    images = few()
    start = flat_laws.single(CHAOTIC, images, [2, 30], 1e-9)
    q = limit_variance(NAMED["tanh"], sigma_b=0.2, sigma_w=1.6)
    np.testing.assert_allclose(start.noise, math.sqrt(q), rtol=1e-6)  # nothing is learned yet
    trained = flat_laws.single(CHAOTIC, images, [2, 30], 1e4)
    kernel = kernels_at(CHAOTIC, [30], images)[0]
    found = flat_kernel.network("tanh", [30], 0.2, 1.6)
    a = kernel.cross_ratio @ np.linalg.inv(kernel.ratio)
    nngp, cross = (q * (1 - profile.nngp_delta(found, gaps)[0]) for gaps in (images.gaps, images.cross_gaps))
    variance = q - 2 * np.sum(a * cross, axis=1) + np.sum((a @ nngp) * a, axis=1)
    assert trained.noise[1] == pytest.approx(np.sqrt(variance).mean(), rel=1e-9)
    f = a @ flat_learning.targets(images.labels)
    assert trained.mean[1] == np.mean(f.argmax(axis=1) == images.test_labels)
    normal = np.random.RandomState(0).standard_normal((60, 10))
    drawn = (f + np.sqrt(variance)[:, None] * normal).argmax(axis=1)
    assert trained.one[1] == np.mean(drawn == images.test_labels) < trained.mean[1]
    flat = flat_laws.single(ORDERED, images, [40], 1e4)
    assert flat.noise[0] < 0.01 < trained.noise[1]  # one random constant, and training removes it


def test_scales_are_those_of_the_phases() -> None:
    found = flat_kernel.scales(flat_kernel.Family("tanh", 0.2, (1.0, 1.6)), points=2)
    assert found.edge == eoc_points(NAMED["tanh"], 0.2)[0].sigma_w
    xi = [phase(NAMED["tanh"], sigma_b=0.2, sigma_w=w).xi for w in (1.0, 1.6)]
    np.testing.assert_array_equal(found.ordered, [xi[0], np.nan])
    np.testing.assert_array_equal(found.chaotic, [np.nan, xi[1]])
    kinked = flat_kernel.scales(flat_kernel.Family("relu", 0.2, (1.2, 1.9)), points=2)
    assert kinked.edge is None and np.isnan(kinked.chaotic).all()
    assert kinked.ordered[0] == pytest.approx(-2 / math.log(0.72), rel=1e-12)


def test_imbalance_is_of_the_mean_target() -> None:
    images = few()
    shares = np.bincount(images.labels, minlength=10) / 40
    assert flat_kernel.imbalance(images) == pytest.approx(math.sqrt(np.mean((shares - 0.1) ** 2)), rel=1e-12)


def test_mnist_task_takes_rows_of_both_files(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.RandomState(5)
    sides = [
        Dataset("mnist", draws.rand(n, 784).astype(np.float32), draws.randint(0, 10, n), tuple("0123456789"))
        for n in (30, 20)
    ]
    monkeypatch.setattr(flat_learning, "load", lambda name, scaling: Split(*sides))
    found = flat_learning.mnist_task(12, 8)
    rows = [np.random.RandomState(0).permutation(n)[:m] for n, m in ((30, 12), (20, 8))]
    train, test = scaled(
        Split(*(s._replace(x=s.x[r].astype(float), y=s.y[r]) for s, r in zip(sides, rows, strict=True)))
    )
    unit = [side.x / np.linalg.norm(side.x, axis=1)[:, None] for side in (train, test)]
    np.testing.assert_allclose(found.cross_gaps, 1 - unit[1] @ unit[0].T, atol=1e-13)
    np.testing.assert_array_equal(found.labels, sides[0].y[rows[0]])
    np.testing.assert_array_equal(found.test_labels, sides[1].y[rows[1]])


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    family = flat_kernel.Family("relu", 0.2, (1.0, 1.8))
    config = flat_kernel.Config((family,), depths=(2, 9), budgets=(10.0, 1e3), train=20, test=30)
    path = flat_kernel.record(tmp_path, config, ["digits"])
    read, maps = flat_kernel.load(path)
    assert read == config and list(maps) == ["digits"] and list(maps["digits"]) == ["relu"]
    again = flat_kernel.compute(family, few(20, 30), config)
    assert again.accuracy.shape == (2, 2, 4, 2)
    for part in ("accuracy", "error", "log_condition"):
        np.testing.assert_allclose(getattr(maps["digits"]["relu"], part), getattr(again, part), rtol=1e-6, atol=1e-12)
    assert records.load(path)[1]["data"] == checksums("digits")


@lru_cache
def record() -> tuple[flat_kernel.Config, dict[str, dict[str, flat_kernel.Map]]]:
    return flat_kernel.load(RECORD)


@pytest.mark.thorough
def test_the_recorded_maps_are_those_of_the_command() -> None:
    config, maps = record()
    assert config == flat_kernel.Config()
    assert set(maps) == {"digits", "mnist"}
    assert records.load(RECORD)[1]["data"] == checksums("digits") | checksums("mnist")
    images = flat_learning.digits_task(config.train, config.test)
    for name, i, j in (("tanh", 1, 6), ("relu", 7, 3)):
        found = maps["digits"][name]
        setting = Setting(name, found.family.sigma_b, found.family.sigma_w[i])
        one = flat_learning.learn(kernels_at(setting, [config.depths[j]], images)[0], images, config.budgets)
        recorded = flat_kernel.cell(found, setting.sigma_w, config.depths[j])
        np.testing.assert_allclose(recorded.accuracy, one.accuracy, atol=0.0025)  # an image or two may be a draw
        np.testing.assert_allclose(recorded.error, one.error, rtol=1e-4, atol=1e-9)
        assert recorded.log_condition == pytest.approx(one.log_condition, abs=1e-4)


def test_a_cell_is_on_the_map() -> None:
    with pytest.raises(ValueError, match="cell: expected a weight and a depth of the map, got 0.1 and 2"):
        flat_kernel.cell(record()[1]["digits"]["tanh"], 0.1, 2)


def test_a_setting_without_depth_scale_has_no_exponents() -> None:
    with pytest.raises(ValueError, match="setting: expected a phase with a depth scale, got chaotic"):
        flat_laws.exponents(Setting("relu", 0.2, 2.0))


@pytest.mark.thorough
def test_the_recorded_maps_show_two_ways_to_fail() -> None:
    config, maps = record()
    depths = np.array(config.depths)
    scales_of = {f.activation: flat_kernel.scales(f, points=len(f.sigma_w)) for f in config.families}
    for name, found in [pair for task in maps.values() for pair in task.items()]:
        scales = scales_of[name]
        for i, (ordered, chaotic) in enumerate(zip(scales.ordered, scales.chaotic, strict=True)):
            training, test = found.accuracy[i, :, 1, 0], found.accuracy[i, :, 1, 1]
            if not np.isnan(ordered):  # cannot fit beyond xi log B, and can well before
                assert (training[depths > 2.5 * ordered * math.log(1e4)] < 0.2).all(), (name, i)
                assert (training[depths < 0.4 * ordered * math.log(1e4)] > 0.95).all(), (name, i)
                assert (found.accuracy[i, :, -1, 0] > 0.999).all()  # at t = infinity it fits
                assert np.ptp(found.accuracy[i, :, -1, 1]) < 0.12 and found.accuracy[i, -1, -1, 1] > 0.7
            if not np.isnan(chaotic):  # fits at any depth, forgets beyond a few xi
                assert (training > 0.99).all()
                assert (test[depths > 8 * chaotic] < 0.2).all()
                assert (test[depths < 1.5 * chaotic] > 0.6).all()


@pytest.mark.thorough
def test_figures_show_the_arrays() -> None:
    config = flat_kernel.Config((flat_kernel.Family("tanh", 0.2, (1.0, 1.6)),), (2, 30), (10.0,), 20, 20)
    found = flat_kernel.compute(config.families[0], few(20, 20), config)
    scales = flat_kernel.scales(found.family, points=3)
    fig, axes = plt.subplots(3, 1)
    draw.maps(axes[:, None], {"tanh": found}, {"tanh": scales}, 0, (2.0, 3.0))
    for ax, values in zip(
        axes, (found.accuracy[:, :, 0, 0], found.accuracy[:, :, 0, 1], found.log_condition), strict=True
    ):
        np.testing.assert_array_equal(ax.collections[0].get_array(), values.T)
        np.testing.assert_array_equal(ax.lines[2].get_ydata(), 2.0 * scales.ordered)
        np.testing.assert_array_equal(ax.lines[4].get_ydata(), 3.0 * scales.chaotic)
        assert ax.get_xlim() == pytest.approx((0.7, 1.9))
    fig.canvas.draw()
    fig, axes = plt.subplots(2, 2)
    draw.budgets(axes, found, scales, {"a": 0, "b": 2}, (1.0, math.nan), 3.0)
    np.testing.assert_array_equal(axes[1, 1].collections[0].get_array(), found.accuracy[:, :, 2, 1].T)
    fig.canvas.draw()
    fig, axes = plt.subplots(1, 2)
    law = flat_laws.Law(ORDERED, np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 4.0]))
    draw.laws(axes[0], [law], ["x"])
    np.testing.assert_array_equal([line.get_ydata() for line in axes[0].lines], [law.theory, law.measured])
    run = flat_laws.Single(np.array([1.0, 2.0]), np.array([0.9, 0.8]), np.array([0.7, 0.6]), np.ones(2))
    draw.single(axes[1:], [run], ["y"])
    np.testing.assert_array_equal([line.get_ydata() for line in axes[1].lines], [run.mean, run.one])
    fig.canvas.draw()


@pytest.mark.thorough  # test_claims runs it too
def test_the_evidence_agrees_but_for_the_printed_statement_at_infinity() -> None:
    rows = gen()
    assert all(agrees(row) for row in rows if row.side == "ours")
    failed = [row.quantity for row in rows if row.side == "printed" and not agrees(row)]
    assert len(failed) == 1 and "t = infinity" in failed[0]
