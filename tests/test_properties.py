"""What holds for every activation and every input: properties of the maps, the kernels and the edge, by Hypothesis.

Every test here runs over a table of functions or activations; what only one function promises is tested beside it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntk_eoc import (
    angles,
    asymptotics,
    depth,
    dynamics,
    empirical,
    gaussian,
    meanfield,
    networks,
    profile,
    rays,
    regularity,
)
from ntk_eoc.activations import NAMED, get
from ntk_eoc.closed_forms import closed_form
from ntk_eoc.gaussian import Pair
from ntk_eoc.kernels import kernels

CLOSED = ["relu", "leaky_relu:0.3", "leaky_relu:-1", "identity", "erf", "sin"]
PANELS = ["tanh"]
ONE = jnp.array(1.0)
sigma_bs, sigma_ws = st.floats(0.0, 2.0), st.floats(0.2, 3.0)
seeds = st.integers(0, 10**6)


def matrix(seed: int, rows: int = 4) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(rows, 3)))


# --- correlation maps, phases and the edge ---------------------------------------------------------


@pytest.mark.parametrize("spec", [*CLOSED, *PANELS])
@settings(max_examples=6)
@given(sigma_b=sigma_bs, sigma_w=sigma_ws, log_q=st.floats(-3.0, 2.0))
@pytest.mark.thorough(first=3)
def test_correlation_maps(spec: str, sigma_b: float, sigma_w: float, log_q: float) -> None:
    """f is in [-1, 1], increases on [0, 1], f(1) = 1, and f' at 1 is chi q/q'."""
    act, q = get(spec), jnp.array(10.0**log_q)
    delta = jnp.asarray([2.0, 1.7, 1.2, 1.0, 0.6, 0.1, 1e-3, 1e-12, 0.0])
    found = np.asarray(meanfield.correlation_map(act, q, delta, sigma_b=sigma_b, sigma_w=sigma_w))
    assert ((found >= 0) & (found <= 2)).all() and found[-1] == 0.0
    assert (np.diff(found[3:]) <= 0).all()
    following = meanfield.variance_map(act, q, sigma_b=sigma_b, sigma_w=sigma_w)
    slope = float(meanfield.chi(act, q, sigma_w=sigma_w) * q / following)
    kinked = regularity.first_kink(act) == 1  # 1 - f leaves its tangent as delta^(3/2) there
    np.testing.assert_allclose(found[-2] / 1e-12, slope, rtol=1e-4 * (1 + 10**log_q) if kinked else 1e-8)


@pytest.mark.parametrize("spec", CLOSED)
@settings(max_examples=15)
@given(sigma_b=sigma_bs, sigma_w=sigma_ws)
@pytest.mark.thorough(first=2)
def test_phases_are_those_of_chi(spec: str, sigma_b: float, sigma_w: float) -> None:
    """The name follows from chi, the limiting variance is a fixed point, and c* one of the correlation map."""
    act = get(spec)
    at = meanfield.phase(act, sigma_b=sigma_b, sigma_w=sigma_w)
    assert at.phase == ("ordered" if at.chi < 1 else "chaotic") or abs(at.chi - 1) < 1e-7
    if at.q:
        q = jnp.array(at.q)
        after = meanfield.variance_map(act, q, sigma_b=sigma_b, sigma_w=sigma_w)
        assert at.q >= sigma_b**2 and at.c_star is not None
        np.testing.assert_allclose(after, at.q, rtol=1e-10)
        delta = meanfield.correlation_map(act, q, jnp.array(1 - at.c_star), sigma_b=sigma_b, sigma_w=sigma_w)
        np.testing.assert_allclose(1 - delta, at.c_star, atol=1e-9)
        assert at.xi is None or at.xi >= 0
    else:
        assert at.xi is None and at.c_star in (None, 1.0)


@pytest.mark.parametrize("spec", [*NAMED, "leaky_relu:0.3", "leaky_relu:-1"])
@settings(max_examples=3)
@given(sigma_b=st.floats(0.01, 1.0))
@pytest.mark.thorough(first=5)
def test_edges_have_chi_one(spec: str, sigma_b: float) -> None:
    act = get(spec)
    for point in meanfield.eoc_points(act, 0.0 if act.slopes else sigma_b):
        q = ONE if point.q is None else jnp.array(point.q)
        assert abs(float(meanfield.chi(act, q, sigma_w=point.sigma_w)) - 1) < 1e-10 > abs(point.chi - 1)
        if point.q is not None:
            after = meanfield.variance_map(act, q, sigma_b=sigma_b, sigma_w=point.sigma_w)
            np.testing.assert_allclose(after, point.q, rtol=1e-10)


# --- kernels and their Gram matrices -----------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["ffnn", "residual"])
@pytest.mark.parametrize("spec", ["relu", "leaky_relu:-1", "erf", "sin"])
@settings(max_examples=4)
@given(seed=seeds, sigma_b=sigma_bs, sigma_w=st.floats(0.2, 2.0))
@pytest.mark.thorough(first=3)
def test_kernels(spec: str, architecture: str, seed: int, sigma_b: float, sigma_w: float) -> None:
    """Symmetric, positive semi-definite to rounding, the same for turned, permuted and repeated data, and in blocks."""
    act, x, rng = get(spec), matrix(seed), np.random.default_rng(seed)
    options = {"sigma_b": sigma_b, "sigma_w": sigma_w, "depth": 3, "architecture": architecture}
    whole = kernels(act, x, **options)
    turn = jnp.asarray(np.linalg.qr(rng.normal(size=(3, 3)))[0])
    order = np.concatenate([rng.permutation(4), [1]])
    turned, mixed = kernels(act, x @ turn, **options), kernels(act, x[order], **options)
    block, single = kernels(act, x[:2], x[1:], **options), kernels(act, x[3:], **options)
    for name in ("nngp", "ntk"):
        k = np.asarray(getattr(whole, name))
        size = np.sqrt(np.outer(np.diag(k), np.diag(k)))
        assert (np.abs(k - k.T) <= 1e-14 * size).all()
        assert np.linalg.eigvalsh(k / size).min() > -1e-13
        assert (np.abs(np.asarray(getattr(turned, name)) - k) <= 1e-12 * size).all()
        np.testing.assert_allclose(getattr(mixed, name), k[np.ix_(order, order)], rtol=1e-12, atol=1e-14 * size.max())
        np.testing.assert_allclose(getattr(block, name), k[:2, 1:], rtol=1e-12, atol=1e-14 * size.max())
        np.testing.assert_allclose(getattr(single, name), k[3:, 3:], rtol=1e-12)


@pytest.mark.parametrize("architecture", ["ffnn", "residual"])
@settings(max_examples=8)
@given(seed=seeds, log_scale=st.floats(-100.0, 20.0), spec=st.sampled_from(["relu", "leaky_relu:0.3", "identity"]))
def test_homogeneous_kernels(architecture: str, seed: int, log_scale: float, spec: str) -> None:
    """K(s x, s x') = s^2 K(x, x') for a homogeneous phi without bias, and the correlations do not change."""
    scale, options = 2.0 ** round(log_scale), {"sigma_b": 0.0, "sigma_w": 1.3, "depth": 3, "architecture": architecture}
    one, other = (kernels(get(spec), s * matrix(seed), **options) for s in (1.0, scale))
    np.testing.assert_allclose(np.asarray(other.ntk) / scale**2, one.ntk, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(other.delta, one.delta, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("spec, sigma_b", [("relu", 0.0), ("erf", 0.4)])
def test_three_ways_to_one_kernel(spec: str, sigma_b: float) -> None:
    """The recursion over inputs, the depth engine and the table of angles agree; blocks of a Gram matrix too."""
    act, sigma_w, deep = get(spec), 1.2, 7
    q0 = (
        1.0
        if sigma_b == 0
        else (meanfield.limit_variance(act, sigma_b=sigma_b, sigma_w=sigma_w) - sigma_b**2) / sigma_w**2
    )
    x = np.asarray(matrix(3))
    x = x / np.linalg.norm(x, axis=1, keepdims=True) * np.sqrt(3 * q0)
    whole = kernels(act, jnp.asarray(x), sigma_b=sigma_b, sigma_w=sigma_w, depth=deep)
    gaps, found = angles.input_gaps(x), profile.profile(act, [deep], sigma_b=sigma_b, sigma_w=sigma_w, q0=q0)
    ratio = profile.ntk_ratio(found, gaps)[0]
    np.testing.assert_allclose(ratio * np.exp(found.log_diagonal[0]), whole.ntk, rtol=1e-9)
    np.testing.assert_allclose(profile.ntk_ratio(found, gaps[:2, 1:])[0], ratio[:2, 1:], rtol=1e-14)
    np.testing.assert_allclose(profile.nngp_delta(found, gaps)[0], whole.delta, rtol=1e-8, atol=1e-13)
    pair = depth.depth_kernels(act, 0.0, [deep], sigma_b=sigma_b, sigma_w=sigma_w, q0=q0, gap=float(gaps[0, 1]))
    np.testing.assert_allclose(pair.ntk[0], whole.ntk[0, 1], rtol=1e-10)


# --- jit, vmap and grad --------------------------------------------------------------------------------


def _moment(spec: str, t: Any) -> Any:
    return gaussian.second_moment(get(spec), t)


def _pair(spec: str, part: str, t: Any) -> Any:
    return getattr(gaussian.pair(get(spec), t, 1.3 * t, 0.5 * t), part)


# Functions of one array of numbers in (0.1, 1.9), elementwise.
MAPS: dict[str, Callable[[Any], Any]] = {
    "expectation": lambda t: gaussian.expectation(jnp.cos, t),
    **{f"second_moment {spec}": partial(_moment, spec) for spec in ("erf", "tanh")},
    **{f"pair {part} {spec}": partial(_pair, spec, part) for spec in ("relu", "erf", "sin") for part in Pair._fields},
    "slope_gap": lambda t: gaussian.slope_gap(get("erf"), ONE, jnp.atleast_1d(t)).reshape(jnp.shape(t)),
    "variance_map in q": lambda t: meanfield.variance_map(get("erf"), t, sigma_b=0.2, sigma_w=1.3),
    "variance_map in sigma_w": lambda t: meanfield.variance_map(get("erf"), ONE, sigma_b=0.2, sigma_w=t),
    "variance_slope": lambda t: meanfield.variance_slope(get("erf"), t, sigma_w=1.3),
    "chi": lambda t: meanfield.chi(get("erf"), t, sigma_w=1.3),
    "correlation_map": lambda t: meanfield.correlation_map(get("relu"), ONE, t, sigma_b=0.1, sigma_w=1.3),
    "residuals": lambda t: _learned(t),
    "apply": lambda t: _outputs(t),
    "dense_ntk": lambda t: _tangents(t),
}
SCALARS = {"residuals", "apply", "dense_ntk", "slope_gap", "variance_map in sigma_w"}  # of one number
NET = networks.Network(4, 3, 0.1, 1.4)
PARAMS = networks.init(jax.random.key(1), NET, 3)


def _learned(t: Any) -> Any:
    spectrum = dynamics.decompose(jnp.diag(jnp.array([1.0, 2.0])))
    return dynamics.residuals(dynamics.flow(spectrum, t), jnp.ones((2, 1)), jnp.zeros((2, 1)))[0, 1, 0]


def _outputs(t: Any) -> Any:
    return networks.apply(PARAMS, NAMED["tanh"], NET, t * jnp.ones((1, 3)))[0, 0]


def _tangents(t: Any) -> Any:
    return empirical.dense_ntk(PARAMS, NAMED["tanh"], NET, t * jnp.ones((1, 3)))[0, 0, 0, 0]


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.thorough(first=8)
def test_jit_vmap_and_grad_agree_with_the_plain_call(name: str) -> None:
    fn, t = MAPS[name], jnp.array([0.3, 0.8, 1.6])
    plain = np.array([float(fn(one)) for one in t])
    np.testing.assert_allclose(jax.jit(fn)(t[1]), plain[1], rtol=1e-11)
    np.testing.assert_allclose(jax.vmap(fn)(t), plain, rtol=1e-11)
    if name not in SCALARS:
        np.testing.assert_allclose(fn(t), plain, rtol=1e-11)
    step = 1e-5
    slope = (float(fn(t[1] + step)) - float(fn(t[1] - step))) / (2 * step)
    np.testing.assert_allclose(jax.grad(fn)(t[1]), slope, rtol=1e-6)


# --- float32 -----------------------------------------------------------------------------------------------

TANH, X = NAMED["tanh"], jnp.ones((2, 3))
THEORY: dict[str, Callable[[], Any]] = {
    "expectation": lambda: gaussian.expectation(jnp.cos, ONE),
    "second_moment": lambda: gaussian.second_moment(TANH, ONE),
    "pair": lambda: gaussian.pair(TANH, ONE, ONE, ONE),
    "slope_gap": lambda: gaussian.slope_gap(TANH, ONE, jnp.ones(1)),
    "variance_map": lambda: meanfield.variance_map(TANH, ONE, sigma_b=0.1, sigma_w=1.0),
    "variance_slope": lambda: meanfield.variance_slope(TANH, ONE, sigma_w=1.0),
    "chi": lambda: meanfield.chi(TANH, ONE, sigma_w=1.0),
    "correlation_map": lambda: meanfield.correlation_map(TANH, ONE, ONE, sigma_b=0.1, sigma_w=1.0),
    "eoc_points": lambda: meanfield.eoc_points(TANH, 0.2),
    "limit_variance": lambda: meanfield.limit_variance(TANH, sigma_b=0.1, sigma_w=1.0),
    "phase": lambda: meanfield.phase(TANH, sigma_b=0.1, sigma_w=1.0),
    "chaotic_delta": lambda: meanfield.chaotic_delta(TANH, 1.0, sigma_b=0.1, sigma_w=2.0),
    "near": lambda: rays.near(TANH),
    "jump": lambda: regularity.jump(NAMED["relu"], 0.0, 1),
    "kernels": lambda: kernels(TANH, X, sigma_b=0.1, sigma_w=1.0, depth=2),
    "input_gaps": lambda: angles.input_gaps(np.ones((2, 3))),
    "profile": lambda: profile.profile(TANH, [1], sigma_b=0.1, sigma_w=1.0),
    "depth_kernels": lambda: depth.depth_kernels(TANH, 0.5, [1], sigma_b=0.1, sigma_w=1.0),
    "law": lambda: asymptotics.law(TANH, sigma_b=0.2),
    "coefficient": lambda: asymptotics.coefficient(TANH, 1.0, 1.0),
    "kink_terms": lambda: asymptotics.kink_terms(NAMED["relu"], 1.0, 1.0),
    "curvature_terms": lambda: asymptotics.curvature_terms(TANH, 1.0, 1.0),
    "decompose": lambda: dynamics.decompose(jnp.eye(2)),
}


@pytest.mark.parametrize("name", THEORY)
def test_with_32_bits_the_theory_says_that_it_needs_64(name: str) -> None:
    with jax.enable_x64(False), pytest.raises(RuntimeError, match="float64.*jax_enable_x64"):
        THEORY[name]()


@settings(max_examples=5)
@given(seed=seeds)
def test_networks_in_float32_are_within_rounding_of_float64(seed: int) -> None:
    x = matrix(seed)
    for fn in (networks.apply, empirical.dense_ntk):
        exact = np.asarray(fn(PARAMS, TANH, NET, x))
        rounded = np.asarray(fn(PARAMS, TANH, NET, x.astype(jnp.float32)))
        assert rounded.dtype == np.float32
        np.testing.assert_allclose(rounded, exact, atol=1e-5 * np.abs(exact).max())


def test_float32_inputs_give_the_kernels_of_their_float64_values() -> None:
    x = np.asarray(matrix(0)).astype(np.float32)
    options = {"sigma_b": 0.1, "sigma_w": 1.2, "depth": 3}
    for one, other in zip(
        kernels(get("erf"), jnp.asarray(x), **options),
        kernels(get("erf"), jnp.asarray(x, dtype=float), **options),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_every_activation_of_the_tables_is_one() -> None:
    assert all(closed_form(get(spec)) is not None for spec in CLOSED)
    assert all(closed_form(get(spec)) is None for spec in PANELS)
