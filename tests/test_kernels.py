"""Gram matrices against loops over pairs, a peer library's values and mpmath, and what must hold for any inputs."""

import inspect
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from ntk_eoc.activations import NAMED, get
from ntk_eoc.kernels import State, check_inputs, kernels, layer_by_layer, mix

PEER = json.loads((Path(__file__).parent / "oracle" / "nt_values.json").read_text())
CASES = {f"{c['architecture']}-{c['activation']}-{c['sigma_w']:.2f}-{c['depth']}": c for c in PEER["cases"]}
BOTH = pytest.mark.parametrize("architecture", ["ffnn", "residual"])


def inputs(rows: int = 5, d: int = 4) -> np.ndarray:
    """Rows of unlike norms, with an equal, an opposite, a parallel and a zero row."""
    x = np.random.default_rng(8).normal(size=(rows, d)) * np.linspace(0.3, 3.0, rows)[:, None]
    return np.concatenate([x, x[:1], -x[:1], 2.5 * x[1:2], np.zeros((1, d))])


def relu_pair(q1: float, q2: float, r: float) -> tuple[float, float]:
    """E[relu relu] and E[relu' relu'], from Cho and Saul 2009, in the covariance itself."""
    if q1 == 0 or q2 == 0:
        return 0.0, 0.5 * (1 - np.arccos(0.0) / np.pi)
    c = min(1.0, max(-1.0, r / np.sqrt(q1 * q2)))
    theta = np.arccos(c)
    return np.sqrt(q1 * q2) * (np.sin(theta) + (np.pi - theta) * c) / (2 * np.pi), (np.pi - theta) / (2 * np.pi)


def by_hand(x: np.ndarray, sigma_b: float, sigma_w: float, depth: int, skip: bool) -> tuple[np.ndarray, np.ndarray]:
    """NNGP and NTK of a ReLU network, pair by pair, straight from the definitions."""
    b, w = sigma_b**2, sigma_w**2
    q = b + w * x @ x.T / x.shape[1]
    k = q.copy()
    for _ in range(depth - 1):
        new_q, new_k = np.zeros_like(q), np.zeros_like(k)
        for i in range(len(x)):
            for j in range(len(x)):
                product, slopes = relu_pair(q[i, i], q[j, j], q[i, j])
                branch = b + w * product
                new_q[i, j] = branch + skip * q[i, j]
                new_k[i, j] = branch + (skip + w * slopes) * k[i, j]
        q, k = new_q, new_k
    return q, k


@BOTH
@pytest.mark.parametrize("sigma_b, sigma_w", [(0.0, 2**0.5), (0.3, 1.1)])
@pytest.mark.parametrize("depth", [1, 2, 6])
def test_relu_against_loops_over_pairs(architecture: str, sigma_b: float, sigma_w: float, depth: int) -> None:
    x = inputs()
    options = {"sigma_b": sigma_b, "sigma_w": sigma_w, "depth": depth, "architecture": architecture}
    found = kernels(NAMED["relu"], jnp.asarray(x), **options)
    q, k = by_hand(x, sigma_b, sigma_w, depth, architecture == "residual")
    # arccos near 1 costs the loop half its digits at equal, parallel and opposite inputs
    np.testing.assert_allclose(found.nngp, q, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found.ntk, k, rtol=1e-6, atol=1e-7)
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(found.ntk[:5, :5][off], k[:5, :5][off], rtol=1e-12)
    if sigma_b == 0:
        assert (found.ntk[-1] == 0).all() and (found.nngp[:, -1] == 0).all()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_peer_library(case: dict) -> None:
    """Ten digits wherever the peer's method is exact. Its ReLU-like NTK goes through a rounded arccos at equal and
    opposite inputs (x2[0] = x1[0], x2[1] = -x1[1]): those two entries only to 1e-6, and from here otherwise."""
    act, rows = get(case["activation"]), len(PEER["x1"])
    options = {key: case[key] for key in ("sigma_b", "sigma_w", "depth", "architecture")}
    whole = kernels(act, jnp.array(PEER["x1"] + PEER["x2"]), **options)
    nngp, ntk, delta = (np.asarray(part)[:rows, rows:] for part in whole)
    np.testing.assert_allclose(nngp, case["nngp"], rtol=1e-10, atol=1e-10 * np.diag(whole.nngp).min())
    np.testing.assert_allclose(np.diag(whole.nngp)[:rows], case["nngp_diagonal"], rtol=1e-10)
    np.testing.assert_allclose(np.diag(whole.ntk)[:rows], case["ntk_diagonal"], rtol=1e-10)
    exact = np.array(case["ntk"])
    usual = np.ones(exact.shape, dtype=bool)
    if act.slopes is not None:
        usual[0, 0] = usual[1, 1] = False
        np.testing.assert_allclose(ntk[~usual], exact[~usual], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ntk[usual], exact[usual], rtol=1e-10, atol=1e-12)
    assert delta[0, 0] == 0.0
    np.testing.assert_allclose(ntk[0, 0], case["ntk_diagonal"][0], rtol=1e-10)


def test_the_peer_file_is_the_one_that_was_given() -> None:
    assert "neural-tangents 0.6.5" in PEER["origin"] and len(CASES) == len(PEER["cases"]) == 36
    x1, x2 = np.array(PEER["x1"]), np.array(PEER["x2"])
    assert (x1[0] == x2[0]).all() and (x1[1] == -x2[1]).all()
    first = next(c for c in PEER["cases"] if c["depth"] == 1 and c["sigma_b"] > 0)
    q = first["sigma_b"] ** 2 + first["sigma_w"] ** 2 * x1 @ x2.T / 6
    np.testing.assert_allclose(first["nngp"], q, rtol=1e-13)


def test_opposite_inputs_by_another_route() -> None:
    """relu'(u) relu'(-u) = 0: without bias the NTK of x and -x vanishes after the first layer."""
    x = jnp.array(PEER["x1"])[1:2]
    found = kernels(NAMED["relu"], x, -x, sigma_b=0.0, sigma_w=2**0.5, depth=2)
    assert abs(float(found.ntk[0, 0])) < 1e-15 and abs(float(found.delta[0, 0]) - 1) < 1e-15


NODES = np.arange(-108, 109) / 12  # the trapezoidal rule: exponentially accurate for what is analytic in a strip
WEIGHTS = np.exp(-(NODES**2) / 2) / np.sqrt(2 * np.pi) / 12


def tanh_pair(q1: float, q2: float, r: float) -> tuple[float, float]:
    """E[tanh tanh] and E[tanh' tanh'] by two nested rules: u = sqrt(q1) z, and v given z."""
    side = np.sqrt(max(q2 - r * r / q1, 0.0))
    u, v = np.tanh(np.sqrt(q1) * NODES), np.tanh(r / np.sqrt(q1) * NODES[:, None] + side * NODES)
    return WEIGHTS @ (u * (v @ WEIGHTS)), WEIGHTS @ ((1 - u**2) * ((1 - v**2) @ WEIGHTS))


@BOTH
def test_tanh_of_unlike_norms_against_nested_integrals(architecture: str) -> None:
    x, sigma_b, sigma_w, skip = np.array([[1.0, 0.2], [-0.5, 2.0], [0.1, 0.1]]), 0.3, 1.4, architecture == "residual"
    options = {"sigma_b": sigma_b, "sigma_w": sigma_w, "architecture": architecture}
    found = kernels(NAMED["tanh"], jnp.asarray(x), depth=3, **options)
    b, w = sigma_b**2, sigma_w**2
    q = b + w * x @ x.T / 2
    k = q
    for _ in range(2):
        means = np.array([[tanh_pair(q[i, i], q[j, j], q[i, j]) for j in range(3)] for i in range(3)])
        k = b + w * means[..., 0] + (skip + w * means[..., 1]) * k
        q = b + w * means[..., 0] + skip * q
    np.testing.assert_allclose(found.nngp, q, rtol=1e-12)
    np.testing.assert_allclose(found.ntk, k, rtol=1e-12)


@pytest.mark.parametrize("name, architecture", [("relu", "ffnn"), ("erf", "residual"), ("sin", "ffnn")])
def test_what_holds_for_any_inputs(architecture: str, name: str) -> None:
    """Symmetric, positive semi-definite, |correlation| at most 1, equal inputs alike, every depth a single depth."""
    x = jnp.asarray(inputs())
    options = {"sigma_b": 0.2, "sigma_w": 1.3, "architecture": architecture}
    every = kernels(NAMED[name], x, depth=4, every_depth=True, **options)
    single = kernels(NAMED[name], x, x, depth=4, **options)
    for field in ("nngp", "ntk", "delta"):
        stack, last = getattr(every, field), getattr(single, field)
        assert stack.shape == (4, len(x), len(x)) and np.isfinite(stack).all()
        np.testing.assert_allclose(stack[-1], last, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(last, last.T, rtol=1e-12, atol=1e-15)
        if field != "delta":
            assert (np.linalg.eigvalsh(stack) > -1e-12 * np.abs(stack).max()).all()
    assert (np.asarray(every.delta) >= 0).all() and (np.asarray(every.delta) <= 2).all()
    assert (np.diagonal(every.delta, axis1=1, axis2=2) == 0).all()
    np.testing.assert_allclose(every.nngp[0], 0.04 + 1.69 * x @ x.T / x.shape[1], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(every.ntk[0], every.nngp[0], rtol=1e-14, atol=1e-15)


def test_every_depth_is_a_single_depth_without_closed_form() -> None:
    x, options = jnp.asarray(inputs(2)[:3]), {"sigma_b": 0.2, "sigma_w": 1.3, "architecture": "residual"}
    every = kernels(NAMED["elu"], x, depth=3, every_depth=True, **options)
    for depth in (1, 3):
        single = kernels(NAMED["elu"], x, depth=depth, **options)
        for whole, part in zip(every, single, strict=True):
            np.testing.assert_allclose(whole[depth - 1], part, rtol=1e-13, atol=1e-14)
    assert (np.diagonal(every.delta, axis1=1, axis2=2) == 0).all()
    assert (np.linalg.eigvalsh(every.ntk) > -1e-12).all() and np.allclose(every.ntk, every.ntk.swapaxes(1, 2))


@pytest.mark.parametrize("name", ["relu", "erf", "tanh"])
def test_zero_rows_without_bias(name: str) -> None:
    x = jnp.array([[0.0, 0.0], [1.0, 2.0]])
    found = kernels(NAMED[name], x, sigma_b=0.0, sigma_w=1.2, depth=3)
    np.testing.assert_allclose(found.nngp[0], 0.0, atol=1e-100)
    np.testing.assert_allclose(found.ntk[0], 0.0, atol=1e-100)
    np.testing.assert_allclose(np.asarray(found.delta)[[0, 0, 1], [0, 1, 0]], 1.0, rtol=1e-14)


def test_equal_inputs_stay_equal_where_everything_parts() -> None:
    """In the chaotic phase a difference of 1e-32 would be of order 1 after a few hundred layers."""
    q, zero = jnp.array([0.9]), jnp.zeros(1)
    start = State(q, jnp.nextafter(q, 2.0), zero, zero + 0.9)  # variances that rounding has parted
    for name in ("erf", "sin"):
        options = {"sigma_b": 0.3, "sigma_w": 3.0, "architecture": "ffnn"}
        assert float(layer_by_layer(NAMED[name], start, [250], **options)[0].delta[0]) == 0.0
    x = jnp.asarray(np.concatenate([inputs()[:4], inputs()[:2]]))
    for name, width in (("erf", 3.0), ("sin", 2.0), ("relu", 3.0)):
        found = kernels(NAMED[name], x, sigma_b=0.3, sigma_w=width, depth=250, architecture="ffnn")
        assert (np.diag(found.delta) == 0).all() and found.delta[0, 4] == 0 == found.delta[5, 1]


def test_kernels_of_large_scale_have_no_nan() -> None:
    """q beyond 1e154, whose square leaves float64."""
    x = jnp.asarray(inputs()[:3])
    found = kernels(NAMED["relu"], x, sigma_b=0.1, sigma_w=3.0, depth=260, architecture="residual")
    assert found.nngp[0, 0] > 1e160 and all(np.isfinite(part).all() for part in found)
    with pytest.raises(ValueError, match="depth: the kernels leave the range of float64; expected fewer layers"):
        kernels(NAMED["relu"], x, sigma_b=0.1, sigma_w=3.0, depth=800)


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6), architecture=st.sampled_from(["ffnn", "residual"]))
def test_rotating_and_permuting_the_inputs(seed: int, architecture: str) -> None:
    rng = np.random.default_rng(seed)
    x, order = rng.normal(size=(4, 3)), rng.permutation(4)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    options = {"sigma_b": 0.1, "sigma_w": 1.5, "depth": 4, "architecture": architecture}
    first, turned, mixed = (kernels(NAMED["relu"], jnp.asarray(y), **options) for y in (x, x @ turn, x[order]))
    np.testing.assert_allclose(turned.ntk, first.ntk, rtol=1e-9, atol=1e-12 * float(first.ntk.max()))
    np.testing.assert_allclose(mixed.nngp, np.asarray(first.nngp)[np.ix_(order, order)], rtol=1e-13, atol=1e-14)


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.floats(0.0, 1e3)] * 2, st.floats(0.0, 2.0)), min_size=2, max_size=3))
def test_mixing_parts_against_fifty_digits(parts: list[tuple[float, float, float]]) -> None:
    a, b, delta = mix([tuple(jnp.array(v) for v in part) for part in parts])
    with mp.workdps(50):
        exact = [[mpf(v) for v in part] for part in parts]
        v, w = sum(p[0] for p in exact), sum(p[1] for p in exact)
        inner = sum(mp.sqrt(p[0] * p[1]) * (1 - p[2]) for p in exact)
        gap = 1 - inner / mp.sqrt(v * w) if v * w > 0 else mpf(1)
        assert abs(mpf(float(delta)) - gap) < 1e-14 and float(b) >= 0
        assert abs(mpf(float(a)) - v) <= 1e-15 * v + np.finfo(float).tiny  # some releases flush subnormal numbers


@pytest.mark.parametrize(
    "change, kind, message",
    [
        ({"x1": [[1.0, np.nan]]}, ValueError, "x1: expected finite numbers, got NaN or infinity in row 0"),
        ({"x2": [[0.0, 0.0], [np.inf, 0]]}, ValueError, "x2: expected finite numbers, .* in row 1"),
        ({"x2": [[1.0]]}, ValueError, "x2: expected 2 columns as in x1, got 1"),
        ({"x1": [1.0, 2.0]}, ValueError, r"x1: expected a matrix with one input a row, got shape \(2,\)"),
        ({"x1": np.zeros((3, 0))}, ValueError, "x1: expected a matrix with one input a row"),
        ({"x1": [["a", "b"]]}, TypeError, "x1: expected an array of real numbers, got list"),
        ({"x1": [[1e90, 0.0]]}, ValueError, "x1: expected numbers up to 1e"),
        ({"depth": 0}, ValueError, "depth: expected a whole number of layers, at least 1, got 0"),
        ({"sigma_w": -1.0}, ValueError, "sigma_w: expected a standard deviation at least 0, got -1"),
        ({"sigma_b": float("nan")}, ValueError, "sigma_b: expected a finite number, got nan"),
        ({"architecture": "residul"}, ValueError, "expected one of ffnn, residual, got 'residul'; did you mean"),
    ],
)
def test_bad_input_gets_one_sentence(change: dict, kind: type, message: str) -> None:
    options = {"x1": [[1.0, 2.0]], "sigma_b": 0.0, "sigma_w": 1.0, "depth": 2} | change
    with pytest.raises(kind, match=message) as caught:
        inspect.unwrap(kernels)(NAMED["relu"], **options)
    assert "\n" not in str(caught.value)


def test_inputs_become_float64() -> None:
    assert check_inputs("x", [[1, 2]]).dtype == jnp.float64
