"""Linear training: networks beside Eq. 7 to 9, ensembles and step sizes, against witnesses of their own."""

import math
from functools import lru_cache

import jax
import jax.flatten_util
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from ntk_eoc.activations import NAMED
from ntk_eoc.claims import evidence_linear
from ntk_eoc.claims.rows import agrees
from ntk_eoc.dynamics import decompose, flow, stability_bound
from ntk_eoc.experiments import linear_ensemble, linear_record, linear_steps, linear_training
from ntk_eoc.experiments.linear_training import Config, Outputs, closed_form, distance, fitted_order, follow, scan, task
from ntk_eoc.networks import apply, init
from ntk_eoc.optimise import gradient_descent, linearise
from ntk_eoc.plotting import linear_training as drawing

SMALL = Config("erf", depth=2, images=12, share=0.25, steps=(0, 3, 20, 80))
RECORD = "book/results/linear_training.npz"


@lru_cache
def recorded() -> linear_record.Recorded:
    return linear_record.load(RECORD)


def test_the_closed_form_is_that_of_matrix_exponentials_with_f0_in_it() -> None:
    data, wide = task(SMALL), linear_training.limit(SMALL)
    run, n = follow(SMALL, 64, continuous=True), len(data.x)
    k, cross = np.asarray(wide.kernels.ntk[:n, :n]), np.asarray(wide.kernels.ntk[n:, :n])
    for i, step in enumerate(SMALL.steps):
        decay = expm(-k * step * wide.rate / n)
        f0, f0_test = run.network.train[0], run.network.test[0]
        np.testing.assert_allclose(run.limit.train[i], data.y + decay @ (f0 - data.y), rtol=1e-10, atol=1e-11)
        gain = np.linalg.solve(k, (np.eye(n) - decay) @ (data.y - f0))
        np.testing.assert_allclose(run.limit.test[i], f0_test + cross @ gain, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.thorough(first=1)
def test_a_trained_linearised_network_is_the_closed_form_with_its_own_kernel(depth: int) -> None:
    """Jacobian products of ``optimise.linearise`` against layer-wise kernels, ten outputs that share all weights."""
    config = Config("tanh", depth, images=8, share=0.2, steps=(0, 1, 10, 60))
    data, net = task(config), linear_training.network(config, 12)
    params = init(jax.random.key(3), net, 64, 10)
    model = linearise(lambda p, x: apply(p, NAMED["tanh"], net, x), params)
    rate, expected = linear_training.limit(config).rate, follow(config, 12, seed=3).own
    run = gradient_descent(model, params, data.x, data.y, rate=rate, steps=config.steps, x_test=data.x_test)
    np.testing.assert_allclose(run.train, expected.train, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(run.test, expected.test, rtol=1e-9, atol=1e-10)


@pytest.mark.thorough
def test_width_separates_what_the_kernel_was_from_what_it_becomes() -> None:
    found = scan(SMALL, (64, 256, 1024), seeds=6)
    for side in (0, 1):
        limit, own = (fitted_order(found.widths, getattr(found, name)[side]) for name in ("limit", "own"))
        assert abs(limit.value + 0.5) < 3 * limit.error + 0.05
        assert abs(own.value + 1.0) < 3 * own.error + 0.1
        assert (found.own[side] < found.limit[side]).all()


def test_without_f0_the_closed_form_is_far_away() -> None:
    data, wide, run = task(SMALL), linear_training.limit(SMALL), follow(SMALL, 1024, continuous=True)
    zero = Outputs(0 * data.y, 0 * data.y_test)
    training = flow(wide.spectrum, np.array(SMALL.steps) * wide.rate)
    without = closed_form(training, wide.cross, data.y, zero)
    near, far = distance(run.network, run.limit), distance(run.network, without)
    assert (far > 8 * near).all()


def test_recorded_orders() -> None:
    """tanh: -1/2 and -1. ReLU: -1/2 and -3/4, from the neurons whose sign changes. Small widths bend the lines."""
    expected = {"tanh": (-0.5, -1.0), "relu": (-0.5, -0.75)}
    for name, powers in expected.items():
        found = recorded().scans[name]
        for part, power in zip((found.limit, found.own), powers, strict=True):
            for side in (0, 1):
                order = fitted_order(found.widths[1:], part[side, 1:])
                assert abs(order.value - power) < 3 * order.error + 0.05, (name, power, order)
    kinked, smooth = (
        fitted_order(recorded().scans[name].widths, recorded().scans[name].own[1]) for name in ("relu", "tanh")
    )
    assert kinked.value - smooth.value > 3 * math.hypot(kinked.error, smooth.error)


@pytest.mark.parametrize("name", ["tanh", "relu"])
@pytest.mark.thorough
def test_the_record_is_what_the_code_computes(name: str) -> None:
    old = recorded().scans[name]
    again = scan(Config(name), (int(old.widths[0]),), seeds=2)
    np.testing.assert_allclose(again.own[:, 0], old.own[:, 0, :2], rtol=1e-6)
    np.testing.assert_allclose(again.limit[:, 0], old.limit[:, 0, :2], rtol=1e-6)


@pytest.mark.thorough
def test_a_record_survives_its_round_trip(tmp_path) -> None:
    config = linear_record.RecordConfig(("erf",), (8, 16), 2, (8,), 40)
    small = linear_record.load(linear_record.record(tmp_path, config))
    again = scan(Config("erf"), (8, 16), 2)
    np.testing.assert_array_equal(small.scans["erf"].own, again.own)
    assert small.spread.widths.tolist() == [8.0] and small.spread.error[0] > 0


@pytest.mark.thorough
def test_networks_side_by_side_train_as_they_do_alone() -> None:
    sampled = linear_ensemble.ensemble(SMALL, width=16, networks=3, seed=5)
    data, wide, net = task(SMALL), linear_training.limit(SMALL), linear_training.network(SMALL, 16)
    for i, key in enumerate(jax.random.split(jax.random.key(5), 3)):
        params = init(key, net, 64, 10)
        run = gradient_descent(
            lambda p, x: apply(p, NAMED["erf"], net, x), params, data.x, data.y,
            rate=wide.rate, steps=SMALL.steps, x_test=data.x_test,
        )  # fmt: skip
        np.testing.assert_allclose(sampled[0].outputs[:, :, i], run.train, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(sampled[1].outputs[:, :, i], run.test, rtol=1e-10, atol=1e-12)


@pytest.mark.thorough
def test_ensembles_have_the_predicted_mean_and_nearly_the_predicted_variance() -> None:
    train, test = linear_ensemble.ensemble(Config("erf", 2, 12, 0.5, (0, 2, 20)), width=512, networks=80)
    # the mean of squared scores is 1 with a spread of sqrt(2/dof); at least the 10 outputs are independent
    for sampled in (train, test):
        assert abs(np.mean(linear_ensemble.scores(sampled)[:2] ** 2) - 1) < 3 * math.sqrt(2 / 10)
    ratio, error = linear_ensemble.variance_ratio(test)
    assert (np.abs(ratio - 1) < 4 * error + 10 / 512).all()
    assert test.predicted.variance[-1].mean() < 0.9 * test.predicted.variance[0].mean()


def test_the_missing_variance_is_proportional_to_one_over_width() -> None:
    found = recorded().spread
    per_width = (1 - found.ratio) * found.widths
    error = found.error * found.widths
    mean = np.sum(per_width / error**2) / np.sum(1 / error**2)
    assert np.sum(((per_width - mean) / error)[1:] ** 2) < 3 * len(found.widths)
    assert mean > 5 * 1 / math.sqrt(np.sum(1 / error**2))


def test_the_flow_of_a_network_is_that_of_an_ode_solver() -> None:
    config = Config("tanh", 3, images=6)
    data, begin = task(config), linear_steps.start(config, 6)
    flat, unravel = jax.flatten_util.ravel_pytree(begin.params)

    @jax.jit
    def slope(theta: jax.Array) -> jax.Array:
        loss = lambda v: jnp.sum((begin.function(unravel(v), data.x) - data.y) ** 2) / (2 * len(data.x))  # noqa: E731
        return -jax.grad(loss)(theta)

    solved = solve_ivp(
        lambda _, v: np.asarray(slope(v)), (0, 5.0), np.asarray(flat), method="DOP853", rtol=1e-11, atol=1e-12
    )
    ours = linear_steps.gradient_flow(begin.function, begin.params, data.x, data.y, 5.0, 400)
    np.testing.assert_allclose(jax.flatten_util.ravel_pytree(ours)[0], solved.y[:, -1], rtol=1e-7, atol=1e-8)


def test_descent_errs_at_first_order_with_the_derived_constant() -> None:
    narrow, wide = (linear_steps.step_errors(SMALL, width, steps=(16, 32, 64, 128)) for width in (32, 512))
    for found in (narrow, wide):
        for values in (found.network, found.linear):
            local = np.diff(np.log(values)) / np.diff(np.log(found.rates))
            assert abs(local[-1] - 1) < 0.01
        beyond = found.linear / found.derived - 1  # of order eta: halved with it, and with it gone in the limit
        np.testing.assert_allclose(beyond[2:] / beyond[1:-1], 0.5, atol=0.06)
        assert abs(2 * beyond[-1] - beyond[-2]) < 1e-3
    # the constant of a network tends to that of the linear model
    assert abs(wide.network[-1] / wide.linear[-1] - 1) < 0.25 * abs(narrow.network[-1] / narrow.linear[-1] - 1)


def test_the_bound_divides_growth_from_decay() -> None:
    shares = (0.5, 0.99, 1.01, 1.2)
    found = linear_steps.around_the_bound(SMALL, 64, shares, steps=12)
    np.testing.assert_allclose(found.linear[1:, 1] / found.linear[1:, 0], [0.98, 1.02, 1.4], rtol=1e-9)
    np.testing.assert_allclose(found.linear[1:, 12], np.array([0.98, 1.02, 1.4]) ** 12, rtol=1e-9)
    assert found.linear[0, 1] < 1e-12
    blown = linear_steps.around_the_bound(SMALL, 64, (0.9, 1e30), steps=12)
    assert np.isfinite(blown.linear[0]).all() and blown.linear[1, -1] == np.inf and blown.linear[1, 0] == 1


LOSSES = {
    "sum |f - y|^2/(2N)": (lambda f, y: jnp.sum((f - y) ** 2) / (2 * len(y)), lambda n, o: 1 / n),
    "sum |f - y|^2/2": (lambda f, y: jnp.sum((f - y) ** 2) / 2, lambda n, o: 1.0),
    "mean of all squares": (lambda f, y: jnp.mean((f - y) ** 2), lambda n, o: 2 / (n * o)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_the_normalisation_of_the_loss_does_to_eq_7(name: str) -> None:
    """One step of a linear model: f moves by -rate c K (f - y), and 2/(c lambda_max) is the largest stable rate."""
    loss, factor = LOSSES[name]
    data, rng = task(SMALL), np.random.default_rng(0)
    x, y, w = data.x, data.y, rng.normal(size=(64, 10))
    k, c = x @ x.T, factor(*y.shape)
    slope = jax.grad(lambda v: loss(x @ v, y))(w)
    np.testing.assert_allclose(x @ slope, c * k @ (x @ w - y), rtol=1e-10)
    bound = stability_bound(decompose(k)) / (len(x) * c)
    for share, grows in ((0.999, False), (1.001, True)):
        v = w
        sizes = []
        for _ in range(4000):
            v = v - share * bound * c * x.T @ (x @ v - y)
            sizes.append(np.linalg.norm(x @ v - y))
        assert (sizes[-1] > sizes[-2]) == grows


@pytest.mark.thorough  # test_claims runs it too
def test_evidence_for_gradient_descent_agrees() -> None:
    rows = evidence_linear.gd()
    assert [row for row in rows if not agrees(row)] == [] and any(row.side == "printed" for row in rows)


@pytest.mark.thorough
def test_evidence_turns_red_when_f0_is_forgotten(monkeypatch) -> None:
    right = linear_training.closed_form

    def forgetful(training, cross, y, start):
        return right(training, cross, y, Outputs(0 * start.train, 0 * start.test))

    monkeypatch.setattr(linear_training, "closed_form", forgetful)
    monkeypatch.setattr(evidence_linear, "WIDTHS", (16, 64))
    assert not any(agrees(row) for row in evidence_linear.eq8())


@pytest.mark.thorough
def test_figures_show_the_arrays() -> None:
    fig, axes = plt.subplots(2, 4)
    run, data = follow(SMALL, 16), task(SMALL)
    drawing.paths(axes[0, :2], run, SMALL.steps, (data.y, data.y_test), (0, 2), "width 16")
    at = (slice(None), 2, int(np.argmax(data.y_test[2])))
    np.testing.assert_array_equal(axes[0, 1].lines[5].get_ydata(), run.network.test[at])
    found = recorded().scans["tanh"]
    drawing.widths(axes[0, 2], found, scan(SMALL, (8, 16), 2), "tanh", (-0.5, -1.0))
    drawing.spread(axes[0, 3], recorded().spread, (1.0, -10.0))
    _, test = linear_ensemble.ensemble(SMALL, 8, 10)
    sample = test.outputs[:, 0, :, 0]
    drawing.cloud(axes[1, 0], sample, (sample.mean(axis=1), sample.std(axis=1)), SMALL.steps)
    np.testing.assert_array_equal(axes[1, 0].lines[0].get_ydata(), sample[:, 0])
    errors = linear_steps.step_errors(SMALL, 8, steps=(8, 16))
    drawing.steps(axes[1, 1], errors)
    np.testing.assert_array_equal(axes[1, 1].lines[2].get_ydata(), errors.network)
    drawing.bound(axes[1, 2], linear_steps.around_the_bound(SMALL, 8, (0.9, 1.1), steps=4))
    fig.canvas.draw()
