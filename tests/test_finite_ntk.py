"""Finite networks against infinite width: kernels by backpropagation in NumPy, laws of spread, records, figures."""

import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from ntk_eoc.activations import get
from ntk_eoc.experiments import ensembles, finite_ntk, ntk_drift, ntk_parts
from ntk_eoc.networks import Network, init
from ntk_eoc.plotting import finite_ntk as draw

RECORD = Path(__file__).parents[1] / "book" / "results" / "finite_ntk.npz"
SMALL = finite_ntk.Grids(
    finite_ntk.WidthConfig(("relu", "tanh"), (2, 3), (8, 16), seeds=16, images=2),
    finite_ntk.RatioConfig(("relu", "tanh"), (2, 4), (8, 16), numbers=20_000),
    ntk_drift.DriftConfig(("relu", "tanh"), ((2, 8), (2, 16)), (1, 2), seeds=3, images=3),
)


def by_hand(name: str, net: Network, x: np.ndarray, params) -> np.ndarray:
    """Parts (L, N, N) of Eq. 4 for a dense network in the NTK parameterisation: forward, backward, products."""
    phi, slope = {
        "relu": (lambda u: np.maximum(u, 0.0), lambda u: (u > 0) * 1.0),
        "tanh": (np.tanh, lambda u: 1 - np.tanh(u) ** 2),
    }[name]
    weights = [np.asarray(params.first.weight), *np.asarray(params.hidden.weight), np.asarray(params.last.weight)]
    biases = [np.asarray(params.first.bias), *np.asarray(params.hidden.bias), np.asarray(params.last.bias)]
    signals, gates = [x], []
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        y = net.sigma_w / len(w) ** 0.5 * signals[-1] @ w + net.sigma_b * b
        signals.append(phi(y))
        gates.append(slope(y))
    back, parts = np.ones((len(x), 1)), []
    for layer in reversed(range(len(weights))):
        h, fan = signals[layer], len(weights[layer])
        parts.append((net.sigma_w**2 / fan * h @ h.T + net.sigma_b**2) * (back @ back.T))
        if layer:
            back = gates[layer - 1] * (back @ weights[layer].T) * net.sigma_w / fan**0.5
    return np.array(parts[::-1])


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_parts_of_equation_4_are_those_of_backpropagation_by_hand(name: str) -> None:
    net, x = Network(7, 4, 0.3, 1.4), ensembles.images(3)
    found = ensembles.ensemble(get(name), net, x, seeds=3, by_layer=True)
    stack = next(ensembles.draw(net, x.shape[1], seeds=3))
    for s, parts in enumerate(found):
        params = jax.tree.map(lambda leaf, s=s: leaf[s], stack)
        np.testing.assert_allclose(parts, by_hand(name, net, np.asarray(x), params), rtol=1e-10)


def test_draws_are_standard_normal_like_those_of_init() -> None:
    net = Network(64, 4, 0.2, 1.3)
    ours = jax.tree.leaves(next(ensembles.draw(net, 16, seeds=8)))
    theirs = jax.tree.leaves(init(jax.random.key(0), net, 16))
    assert [leaf.shape[1:] for leaf in ours] == [leaf.shape for leaf in theirs]
    for flat in (np.concatenate([np.ravel(leaf) for leaf in leaves]) for leaves in (ours, theirs)):
        moments = [np.mean(flat**k) for k in (1, 2, 4)]
        np.testing.assert_allclose(moments, [0.0, 1.0, 3.0], atol=8 * np.sqrt(96 / flat.size))


@pytest.mark.parametrize("architecture", finite_ntk.ARCHITECTURES)
@pytest.mark.thorough(first=1)
def test_layers_of_infinite_width_add_up_to_the_kernel(architecture: str) -> None:
    act, x = get("tanh"), ensembles.images(3)
    net = ensembles.edge("tanh", width=8, depth=6, architecture=architecture)
    parts = ensembles.layer_kernels(act, net, x)
    np.testing.assert_allclose(parts.sum(axis=0), ensembles.limit(act, net, x), rtol=1e-12)


def test_parts_of_wide_networks_are_those_of_infinite_width() -> None:
    act, x = get("tanh"), ensembles.images(2)
    net = Network(256, 5, 0.2, 1.8)
    parts = ensembles.ensemble(act, net, x, seeds=24, by_layer=True)
    error = parts.std(axis=0, ddof=1) / 24**0.5
    gap = np.abs(parts.mean(axis=0) - ensembles.layer_kernels(act, net, x))
    assert np.all(gap < 5 * error + 0.02 * parts.mean(axis=0))


@pytest.mark.thorough
def test_errors_are_relative_frobenius_norms() -> None:
    config = finite_ntk.WidthConfig(("tanh",), (3,), (8,), seeds=2, images=3)
    x, act, net = ensembles.images(3), get("tanh"), ensembles.edge("tanh", width=8, depth=3)
    right = ensembles.limit(act, net, x)
    whole = ensembles.ensemble(act, net, x, seeds=2)
    expected = [np.sqrt(np.sum((kernel - right) ** 2) / np.sum(right**2)) for kernel in whole]
    np.testing.assert_allclose(finite_ntk.width_errors(config)[0, 0, 0, 0], expected, rtol=1e-10)


@pytest.mark.parametrize(("depth", "width"), [(2, 8), (6, 12)])
def test_the_law_of_relu_spread_by_simulation(depth: int, width: int) -> None:
    """Mean and spread of |h^{l-1}|^2 |dy^L/dy^l|^2 over layers, from the norms of random vectors alone: no matrices."""
    random, runs = np.random.default_rng(0), 60_000
    norm, chain = np.ones(runs), [np.ones(runs)]
    masks = []
    for _ in range(depth - 1):  # of a unit vector, a layer makes independent normal numbers
        z = random.standard_normal((runs, width))
        masks.append(z > 0)
        norm = norm * np.mean(2 * np.where(masks[-1], z, 0.0) ** 2, axis=1)
        chain.append(norm)
    back, total = np.ones(runs), chain[-1].copy()
    for layer in reversed(range(depth - 1)):
        v = random.standard_normal((runs, width))
        back = back * np.mean(2 * np.where(masks[layer], v, 0.0) ** 2, axis=1)
        total += chain[layer] * back
    spread = total.std(ddof=1) / total.mean()
    assert total.mean() == pytest.approx(depth, rel=0.02)
    assert spread == pytest.approx(finite_ntk.relu_spread(depth, width), rel=0.05)


def test_moments_of_a_known_sample() -> None:
    random = np.random.default_rng(1)
    found = 1.2 + 0.3 * random.standard_normal((20_000, 1, 1)) * np.ones((1, 2, 2))
    found[:, ~np.eye(2, dtype=bool)] -= 0.5
    spread, on, off = finite_ntk._moments(found)
    for (value, error), expected in ((spread, 0.25), (on, 0.2), (off, -0.3)):
        assert value == pytest.approx(expected, abs=5 * error) and 0 < error < 0.01


def test_order_recovers_a_power_with_its_interval() -> None:
    random, n = np.random.default_rng(2), np.array([16, 64, 256])
    found = finite_ntk.order(n.tolist(), n[:, None] ** -0.5 * np.exp(0.1 * random.standard_normal((3, 80))))
    assert abs(found.exponent + 0.5) < 3 * found.half_width < 0.1


@pytest.mark.thorough
def test_networks_side_by_side_train_as_if_alone() -> None:
    config = ntk_drift.DriftConfig(("tanh",), ((3, 8),), (2, 5), seeds=3, images=4)
    together = ntk_drift.drift(config).moved[0, 0]
    alone = ntk_drift.drift(replace(config, seeds=1)).moved[0, 0]
    np.testing.assert_allclose(alone[:, 0], together[:, 0], rtol=1e-9)
    assert np.all(together > 0.01)


def test_learned_slopes_add_the_square_of_the_derivative_by_each_slope() -> None:
    act, net, x = get("prelu:0.25"), ensembles.edge("leaky_relu:0.25", width=8, depth=3), ensembles.images(1)
    params = jax.tree.map(lambda leaf: leaf[0], next(ensembles.draw(net, x.shape[1], seeds=1)))
    params = replace(params, slopes=jnp.full(2, 0.25))
    found = ntk_parts.learned_slopes((8,), seeds=1)
    gradient = jax.grad(lambda s: ensembles.apply(replace(params, slopes=s), act, net, x)[0, 0])(params.slopes)
    whole = ensembles.kernels_of(
        jax.tree.map(lambda leaf: leaf[None], replace(params, slopes=None)), x, get("leaky_relu:0.25"), net
    )
    ratio = float(jnp.sum(gradient**2) / whole[0, 0, 0])
    assert float(found.slopes[0, 0] / found.weights[0, 0]) == pytest.approx(ratio, rel=1e-10)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finite_ntk.record(tmp_path_factory.mktemp("record"), SMALL)


def test_a_record_comes_back_and_is_refused_when_damaged(recorded: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(recorded.parent, tmp_path / "copy")) / recorded.name
    back = finite_ntk.load(path)
    assert back.grids == SMALL
    np.testing.assert_array_equal(back.errors, finite_ntk.width_errors(SMALL.width))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="finite_ntk"):
        finite_ntk.load(path)


@pytest.mark.thorough
def test_what_is_recorded_is_what_the_code_computes() -> None:
    recorded = finite_ntk.load(RECORD)
    grid = recorded.grids.width
    assert recorded.grids == finite_ntk.Grids()
    again = finite_ntk.width_errors(replace(grid, activations=("tanh",), depths=(3,), widths=(32,)))
    row = grid.activations.index("tanh"), grid.depths.index(3), grid.widths.index(32)
    np.testing.assert_allclose(recorded.errors[:, *row], again[:, 0, 0, 0], rtol=1e-6)


def test_recorded_orders() -> None:
    recorded = finite_ntk.load(RECORD)
    for found in recorded.errors.reshape(-1, *recorded.errors.shape[-2:]):
        fitted = finite_ntk.order(recorded.grids.width.widths, found)
        assert abs(fitted.exponent + 0.5) < 0.1


@pytest.mark.thorough
def test_figures_show_what_was_measured(recorded: Path) -> None:
    found = finite_ntk.load(recorded)
    fig, axes = plt.subplots(1, 2)
    draw.widths(axes, found, found.errors[:, :, 0].mean(axis=-1), SMALL.width.widths)
    markers = axes[1].get_lines()[0].get_ydata()
    np.testing.assert_allclose(markers, found.errors[1, 0, 0].mean(axis=-1))
    fig, axes = plt.subplots(1, 2)
    draw.ratio(axes, found, finite_ntk.relu_spread)
    crosses = axes[0].get_lines()[-1].get_ydata()
    assert crosses[0] == finite_ntk.relu_spread(*found.ratio.cells[0].tolist())
    fig, axes = plt.subplots(1, 2)
    draw.drift(axes, found, "tanh")
    np.testing.assert_allclose(axes[0].get_lines()[1].get_ydata(), found.drift.moved[1, 1].mean(axis=-1))
    fig, axes = plt.subplots(1, 2)
    runs = ntk_parts.layers(ntk_parts.LayerConfig(width=8, depth=3, seeds=3))
    draw.layers(axes[0], runs)
    np.testing.assert_allclose(axes[0].get_lines()[0].get_ydata(), runs[0].infinite)
    slopes = ntk_parts.learned_slopes((8, 16), seeds=4)
    draw.slopes(axes[1], (8, 16), slopes)
    np.testing.assert_allclose(axes[1].get_lines()[1].get_ydata(), slopes.slopes.std(axis=1, ddof=1))
    plt.close("all")
