"""Finite networks against loops over units, exact second moments, and Monte Carlo with its own error."""

from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import networks
from ntk_eoc.activations import NAMED, Activation
from ntk_eoc.networks import Dense, Network, Params, apply, init, layer_moments, moment_band

TANH, RELU, IDENTITY = NAMED["tanh"], NAMED["relu"], NAMED["identity"]
NUMPY_PHI = {"tanh": np.tanh, "relu": lambda y: max(y, 0.0), "identity": lambda y: y}
KEY = jax.random.key(11)
BOTH = pytest.mark.parametrize("architecture", ["ffnn", "residual"])


def inputs(rows: int = 3, d: int = 5) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(rows, d))


def layers(params: Params) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield params.first
    yield from zip(*params.hidden, strict=True)
    if params.last is not None:
        yield params.last


def by_hand(params: Params, phi: str, net: Network, x: np.ndarray) -> list[np.ndarray]:
    """Every y^l, unit by unit in Python floats, straight from the definition."""
    ys: list[np.ndarray] = []
    for weight, bias in layers(params):
        fan_in, fan_out = weight.shape
        scale_w, scale_b = (net.sigma_w / fan_in**0.5, net.sigma_b) if params.kind == "ntk" else (1.0, 1.0)
        y = np.zeros((len(x), fan_out))
        for row in range(len(x)):
            h = [NUMPY_PHI[phi](float(v)) for v in ys[-1][row]] if ys else x[row]
            for i in range(fan_out):
                y[row, i] = scale_w * sum(float(weight[j, i]) * h[j] for j in range(fan_in))
                y[row, i] += scale_b * float(bias[i])
                if net.architecture == "residual" and ys:
                    y[row, i] += ys[-1][row, i]
        ys.append(y)
    return ys


@BOTH
@pytest.mark.parametrize("kind", ["ntk", "standard"])
@pytest.mark.parametrize("depth, phi", [(1, "tanh"), (2, "relu"), (5, "tanh")])
def test_outputs_equal_a_loop_over_units(architecture: str, kind: str, depth: int, phi: str) -> None:
    net, x = Network(4, depth, 0.7, 1.3, architecture), inputs()
    params = init(KEY, net, 5, 2, parameterisation=kind)
    np.testing.assert_allclose(apply(params, NAMED[phi], net, x), by_hand(params, phi, net, x)[-1], rtol=1e-12)


@BOTH
@pytest.mark.parametrize("depth", [1, 5])
def test_moments_are_those_of_the_network_of_the_same_key(architecture: str, depth: int) -> None:
    net, x = Network(4, depth, 0.7, 1.3, architecture), inputs()
    ys = by_hand(init(KEY, net, 5, net.width), "tanh", net, x)
    np.testing.assert_allclose(layer_moments(KEY, TANH, net, x), [y @ y.T / 4 for y in ys], rtol=1e-12)


def test_residual_outputs_are_the_first_coordinates_of_the_last_layer() -> None:
    net, x = Network(4, 5, 0.7, 1.3, "residual"), inputs()
    full = init(KEY, net, 5, 4)
    cut = replace(full, last=Dense(full.last.weight[:, :2], full.last.bias[:2]))
    np.testing.assert_allclose(apply(cut, TANH, net, x), apply(full, TANH, net, x)[:, :2], rtol=1e-13)


def test_parameterisations_agree_on_matched_weights_and_differ_in_gradients() -> None:
    net, x = Network(4, 5, 0.3, 1.7, "residual"), inputs()
    ntk = init(KEY, net, 5, 2)

    def scaled(layer: Dense, fan_in: int) -> Dense:
        return Dense(1.7 / np.sqrt(fan_in) * layer.weight, 0.3 * layer.bias)

    matched = Params(scaled(ntk.first, 5), scaled(ntk.hidden, 4), scaled(ntk.last, 4), "standard")
    np.testing.assert_allclose(apply(matched, TANH, net, x), apply(ntk, TANH, net, x), rtol=1e-12)
    same_key = init(KEY, net, 5, 2, parameterisation="standard")
    np.testing.assert_allclose(apply(same_key, TANH, net, x), apply(ntk, TANH, net, x), rtol=1e-12)
    slopes = [jax.grad(lambda p: apply(p, TANH, net, x).sum())(p) for p in (ntk, matched)]
    np.testing.assert_allclose(slopes[0].hidden.weight, 1.7 / np.sqrt(4) * slopes[1].hidden.weight, rtol=1e-10)
    np.testing.assert_allclose(slopes[0].first.bias, 0.3 * slopes[1].first.bias, rtol=1e-10)


@pytest.mark.parametrize("kind, scale", [("ntk", (1.0, 1.0)), ("standard", (1.6 / np.sqrt(100), 0.5))])
def test_parameters_have_the_stated_distribution(kind: str, scale: tuple[float, float]) -> None:
    params = init(KEY, Network(100, 42, 0.5, 1.6), 3, parameterisation=kind)
    for leaf, sigma in zip(params.hidden, scale, strict=True):
        z = np.asarray(leaf).ravel() / sigma
        assert abs(z.mean()) < 6 / np.sqrt(z.size)
        assert abs((z**2).mean() - 1) < 6 * np.sqrt(2 / z.size)
        assert abs((z**4).mean() - 3) < 6 * np.sqrt(96 / z.size)
    assert len(np.unique(params.hidden.weight)) == params.hidden.weight.size


def recursion(step, net: Network, x: np.ndarray) -> np.ndarray:
    """All q^l: q^1 = sigma_b^2 + sigma_w^2 x.x'/d and q^l = (q^{l-1} +) sigma_b^2 + step(q^{l-1})."""
    q = [net.sigma_b**2 + net.sigma_w**2 * x @ x.T / x.shape[1]]
    for _ in range(net.depth - 1):
        q.append((q[-1] if net.architecture == "residual" else 0) + net.sigma_b**2 + step(q[-1]))
    return np.stack(q)


def assert_inside_six_sigma(band: networks.MomentBand, expected: np.ndarray, resolution: float) -> None:
    """Two-sided; ``resolution`` is the relative error that one standard error may hide at most."""
    assert (np.abs(band.mean - expected) < 6 * band.standard_error).all()
    assert (band.standard_error < resolution * np.abs(expected).max(axis=(1, 2), keepdims=True)).all()


@BOTH
def test_identity_network_has_its_exact_covariances(architecture: str) -> None:
    net, x = Network(64, 6, 0.4, 0.9, architecture), inputs(2, 4)
    band = moment_band(KEY, IDENTITY, net, x, seeds=400)
    assert_inside_six_sigma(band, recursion(lambda q: 0.81 * q, net, x), 0.04)


def test_relu_at_sigma_w_squared_two_preserves_the_variance() -> None:
    net, x = Network(64, 6, 0.0, 2**0.5), inputs(1, 4)
    band = moment_band(KEY, RELU, net, x, seeds=400)
    assert_inside_six_sigma(band, np.full((6, 1, 1), 2 * (x**2).mean()), 0.04)


def test_relu_halves_the_second_moment_and_adds_the_bias() -> None:
    net, x = Network(64, 6, 0.8, 1.1), inputs(1, 4)
    band = moment_band(KEY, RELU, net, x, seeds=400)
    assert_inside_six_sigma(band, recursion(lambda q: 1.21 / 2 * q, net, x), 0.04)


def test_residual_relu_grows_by_one_plus_half_sigma_w_squared() -> None:
    net, x = Network(64, 6, 0.0, 1.2, "residual"), inputs(1, 4)
    growth = (1 + 1.2**2 / 2) ** np.arange(6)[:, None, None]
    assert_inside_six_sigma(moment_band(KEY, RELU, net, x, seeds=400), 1.44 * (x**2).mean() * growth, 0.04)


def test_band_is_mean_and_standard_error_over_networks() -> None:
    net, x = Network(4, 5, 0.3, 1.2), inputs()
    band = moment_band(KEY, TANH, net, x, seeds=7)
    samples = np.stack([layer_moments(key, TANH, net, x) for key in jax.random.split(KEY, 7)])
    np.testing.assert_allclose(band.mean, sum(samples) / 7, rtol=1e-12)
    error = np.sqrt(sum((samples - samples.mean(axis=0)) ** 2) / 6 / 7)
    np.testing.assert_allclose(band.standard_error, error, rtol=1e-10)


@BOTH
@pytest.mark.parametrize("call", ["init", "apply", "gradient", "layer_moments", "moment_band"])
@pytest.mark.thorough(first=4)
def test_program_handed_to_the_compiler_does_not_grow_with_depth(architecture: str, call: str) -> None:
    x = jnp.asarray(inputs())

    def size(depth: int) -> int:
        net = Network(4, depth, 0.3, 1.2, architecture)
        params = jax.eval_shape(lambda key: init(key, net, 5), KEY)
        programs = {
            "init": lambda key, params: init(key, net, 5),
            "apply": lambda key, params: apply(params, TANH, net, x),
            "gradient": lambda key, params: jax.grad(lambda p: apply(p, TANH, net, x).sum())(params),
            "layer_moments": lambda key, params: layer_moments(key, TANH, net, x),
            "moment_band": lambda key, params: moment_band(key, TANH, net, x, seeds=4),
        }
        return len(jax.jit(programs[call]).lower(KEY, params).as_text().splitlines())

    # A stack of one layer is reshaped in a line or two more or less; unrolling would add hundreds of lines.
    assert size(3) > 20 and abs(size(300) - size(3)) < 5


def test_a_sweep_over_sigma_traces_phi_once() -> None:
    calls = []

    def phi(y: jax.Array) -> jax.Array:
        calls.append(1)
        return jnp.tanh(y)

    act, nets = Activation("counted", phi), [Network(4, 3, 0.1, s) for s in (1.0, 1.5)]
    first = layer_moments(KEY, act, nets[0], inputs())
    traced = len(calls)
    assert not np.allclose(first, layer_moments(KEY, act, nets[1], inputs()))
    assert len(calls) == traced > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_inputs_decide_the_dtype(dtype: type) -> None:
    net, x = Network(4, 5, 0.3, 1.2, "residual"), inputs().astype(dtype)
    calls = (
        lambda key: apply(init(key, net, 5), TANH, net, x),
        lambda key: apply(init(key, net, 5, parameterisation="standard"), TANH, net, x),
        lambda key: moment_band(key, TANH, net, x, seeds=2),
        lambda key: init(key, net, 5, dtype=dtype),
    )
    with jax.numpy_dtype_promotion("strict"):
        kinds = {leaf.dtype for call in calls for leaf in jax.tree.leaves(jax.eval_shape(call, KEY))}
    assert kinds == {np.dtype(dtype)}


def test_apply_works_under_jit_vmap_and_grad() -> None:
    net, x = Network(4, 5, 0.3, 1.2), jnp.asarray(inputs())
    single = [init(key, net, 5, 2) for key in jax.random.split(KEY, 2)]
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *single)
    outputs = jax.jit(jax.vmap(lambda params: apply(params, TANH, net, x)))(stack)
    np.testing.assert_allclose(outputs, [apply(params, TANH, net, x) for params in single], rtol=1e-12)
    ahead, behind = (apply(single[0], TANH, net, x + step) for step in (1e-5, -1e-5))
    tangent = jax.jvp(lambda x: apply(single[0], TANH, net, x), (x,), (jnp.ones_like(x),))[1]
    np.testing.assert_allclose(tangent, (ahead - behind) / 2e-5, rtol=1e-6)


NET = Network(4, 5, 0.3, 1.2)
GOOD = init(KEY, NET, 5, 2)
REFUSED = {
    "width: expected": lambda: Network(0, 3, 0.3, 1.2),
    "depth: expected": lambda: Network(4, 0, 0.3, 1.2),
    "sigma_b: expected": lambda: Network(4, 3, -0.3, 1.2),
    "sigma_w: expected": lambda: Network(4, 3, 0.3, float("nan")),
    "architecture: .*did you mean 'residual'": lambda: Network(4, 3, 0.3, 1.2, "residuals"),
    "parameterisation: expected": lambda: init(KEY, NET, 5, parameterisation="mup"),
    "d_in: expected": lambda: init(KEY, NET, 0),
    "d_out: expected a whole number": lambda: init(KEY, NET, 5, 0),
    "d_out: expected at most the width 4": lambda: init(KEY, replace(NET, architecture="residual"), 5, 6),
    "seeds: expected": lambda: moment_band(KEY, TANH, NET, inputs(), seeds=1),
    r"x: expected inputs of shape \(N, d\)": lambda: apply(GOOD, TANH, NET, inputs()[0]),
    "x: expected finite inputs": lambda: apply(GOOD, TANH, NET, np.full((2, 5), np.nan)),
    r"x: expected inputs up to 1e\+50.* got 1e\+308": lambda: apply(GOOD, TANH, NET, np.full((2, 5), -1e308)),
    r"x: expected inputs up to 1.8e\+19.*float32.* got 1e\+30": lambda: moment_band(
        KEY, TANH, NET, np.full((2, 5), 1e30, np.float32), seeds=2
    ),
    r"x: expected inputs in R\^5": lambda: apply(GOOD, TANH, NET, inputs(3, 4)),
    r"params: expected \(depth, width\) \(7, 4\)": lambda: apply(GOOD, TANH, replace(NET, depth=7), inputs()),
    r"params: expected \(depth, width\) \(5, 9\)": lambda: apply(GOOD, TANH, replace(NET, width=9), inputs()),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_in_one_sentence(message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        REFUSED[message]()
    assert "\n" not in str(error.value)


def test_whole_numbers_are_not_floating_inputs() -> None:
    with pytest.raises(TypeError, match="floating-point"):
        layer_moments(KEY, TANH, NET, np.ones((2, 5), dtype=int))
