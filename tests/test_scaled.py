"""Scaled residual networks: mpmath, random networks, the limit of small steps, and the slow law of approach."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from ntk_eoc.activations import NAMED, get
from ntk_eoc.scaled import branch_share, continued, scaled_depths, scaled_kernels, tau

RELU = NAMED["relu"]


def by_mpmath(cosine: float, sigma_w: float, depth: int) -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf]:
    """(q^L, K^L(x, x'), K^L(x, x)) for |x|^2/d = 1, with the arc-cosine formulas and 40 digits."""
    with mpmath.workdps(40):
        s = mpmath.mpf(sigma_w) ** 2 / 2
        q = 2 * s
        same, cov = q, q * mpmath.mpf(cosine)
        ntk = cov
        for level in range(2, depth + 1):
            angle = mpmath.acos(cov / q)
            branch = s * q * (mpmath.sin(angle) + (mpmath.pi - angle) * mpmath.cos(angle)) / mpmath.pi
            ntk += (branch + s * (1 - angle / mpmath.pi) * ntk) / level
            same += (s * q + s * same) / level
            cov += branch / level
            q += s * q / level
        return q, ntk, same


@pytest.mark.parametrize("sigma_w", [0.5, 2**0.5, 2.0])
@pytest.mark.parametrize("depth", [2, 17, 300])
def test_engine_and_recursion_against_mpmath(sigma_w: float, depth: int) -> None:
    q, ntk, same = (float(part) for part in by_mpmath(0.3, sigma_w, depth))
    found = scaled_depths(RELU, 0.3, [depth], sigma_w=sigma_w)
    scale = sigma_w**2 * np.exp(found.log_growth[0])
    assert scale == pytest.approx(q, rel=1e-12)
    assert scale * found.kappa[0] == pytest.approx(ntk, rel=1e-12)
    assert scale * found.kappa_diagonal[0] == pytest.approx(same, rel=1e-12)
    if depth < 300:
        x = jnp.array([[1.0, 0.0], [0.3, np.sqrt(1 - 0.09)]]) * np.sqrt(2)
        gram = scaled_kernels(RELU, x, sigma_b=0.0, sigma_w=sigma_w, depth=depth)
        np.testing.assert_allclose(gram.ntk, [[same, ntk], [ntk, same]], rtol=1e-12)
        np.testing.assert_allclose(gram.delta[0, 1], found.delta[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["tanh", "elu"])
@pytest.mark.thorough(first=1)
def test_random_networks_have_these_kernels(name: str) -> None:
    """Any activation, inputs of different norms, biases: mean over networks, within five standard errors and 1/n."""
    act, depth, width, draws, sigma_b, sigma_w = NAMED[name], 5, 256, 200, 0.4, 1.3
    x = jnp.array([[1.0, 0.5, -0.2], [0.3, -1.0, 1.5]])

    def network(weights: list, x: jax.Array) -> jax.Array:
        y = sigma_b * weights[0][1] + sigma_w * weights[0][0] @ x / np.sqrt(x.size)
        for level, (w, b) in enumerate(weights[1:], start=2):
            branch = sigma_b * b + sigma_w * w @ act.phi(y) / np.sqrt(width)
            y = (y if w.shape[0] == width else y[:1]) + branch / np.sqrt(level)
        return y[0]

    def kernel(key: jax.Array) -> jax.Array:
        shapes = [(width, 3), *[(width, width)] * (depth - 2), (1, width)]
        keys = jax.random.split(key, (depth, 2))
        weights = [
            (jax.random.normal(k[0], shape), jax.random.normal(k[1], shape[:1]))
            for k, shape in zip(keys, shapes, strict=True)
        ]
        rows = jax.vmap(jax.grad(network), (None, 0))(weights, x)
        flat = jnp.concatenate([leaf.reshape(2, -1) for leaf in jax.tree.leaves(rows)], axis=1)
        return flat @ flat.T

    found = np.asarray(jax.lax.map(jax.jit(kernel), jax.random.split(jax.random.key(0), draws)))
    expected = scaled_kernels(act, x, sigma_b=sigma_b, sigma_w=sigma_w, depth=depth).ntk
    error = found.std(axis=0) / np.sqrt(draws)
    assert (np.abs(found.mean(axis=0) - expected) < 5 * error + np.abs(expected) / width).all()


def test_growth_is_a_power_of_the_depth() -> None:
    """q^L grows like L^s; K^L(x, x)/q^L like s log L."""
    found = scaled_depths(RELU, 0.5, [2**10, 2**14], sigma_w=1.0)
    assert np.diff(found.log_growth)[0] / np.log(16) == pytest.approx(0.5, rel=1e-3)
    assert np.diff(found.kappa_diagonal)[0] / np.log(16) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("name", ["relu", "leaky_relu:0.1"])
@pytest.mark.thorough(first=1)
def test_the_law_goes_on_from_the_engine(name: str) -> None:
    """From depth 1e4 to 1e5 the limit of small steps errs by the square of a step, summed."""
    act = get(name)
    s = branch_share(act, 1.2)
    found = scaled_depths(act, -0.2, [10_000, 100_000], sigma_w=1.2)
    delta, kappa = continued(act, s, (found.delta[0], found.kappa[0]), (10_000, 100_000))
    assert delta == pytest.approx(found.delta[1], rel=1e-4 * s**2)
    assert kappa == pytest.approx(found.kappa[1], rel=1e-4 * s**2)
    assert delta != found.delta[1]


def test_beyond_the_engine() -> None:
    exact = scaled_depths(RELU, 0.0, [100_000], sigma_w=2**0.5)
    found = scaled_depths(RELU, 0.0, [100, 100_000], sigma_w=2**0.5, engine=20_000)
    for name in ("log_growth", "kappa", "kappa_diagonal", "delta"):
        assert getattr(found, name)[1] == pytest.approx(getattr(exact, name)[0], rel=1e-4)


@pytest.mark.thorough
def test_the_approach_is_as_slow_as_one_over_the_logarithm() -> None:
    """(K/K(x,x) - 1/4)(1 + tau) tends to a constant without a logarithm: that of the equation in the angle, at large
    tau from another solver and formulas."""

    def slope(_: float, at: np.ndarray) -> list[float]:
        theta, kappa = at
        turn = (np.sin(theta) - theta * np.cos(theta)) / (np.pi * np.sin(theta))
        return [-turn, (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / np.pi - kappa * theta / np.pi]

    spans = np.array([1e2, 1e4])
    theirs = solve_ivp(slope, (0, spans[-1]), [np.pi / 2, 0.0], t_eval=spans, rtol=1e-11, atol=1e-14, method="LSODA").y[
        1
    ]
    constant = (theirs / (1 + spans) - 0.25) * (1 + spans)
    assert constant[1] == pytest.approx(1.503, abs=5e-3)
    assert constant[1] - constant[0] < 0.5 * 3 / 8 * np.log(100)  # what the logarithm of plain networks would add
    ours = continued(RELU, 1.0, (1.0, 0.0), (1, 10**6))
    span = float(tau(1.0, 1, 10**6))
    again = solve_ivp(slope, (0, span), [np.pi / 2, 0.0], rtol=1e-11, atol=1e-14, method="LSODA").y[:, -1]
    assert ours == pytest.approx((1 - np.cos(again[0]), again[1]), rel=1e-8)


def test_time_adds_up_the_layers() -> None:
    assert float(tau(0.7, 3, 9)) == pytest.approx(sum(0.7 / (level + 0.7) for level in range(4, 10)), rel=1e-13)


@pytest.mark.parametrize("s", [1e-3, 1.0, 99.5, 1e4, 1e20])
@pytest.mark.parametrize("depth", [2, 98, 10**4, 10**12])
def test_time_and_growth_against_mpmath(s: float, depth: int) -> None:
    """Of strong branches and of great depths, where two digammas or two gammas would cancel."""
    with mpmath.workdps(60):
        share = mpmath.mpf(s)
        time = share * (mpmath.digamma(depth + 1 + share) - mpmath.digamma(2 + share))
        ends = [mpmath.loggamma(part) for part in (depth + 1 + share, depth + 1, 2 + share)]
        assert float(tau(s, 1, depth)) == pytest.approx(float(time), rel=1e-12)
        found = scaled_depths(RELU, 0.0, [depth], sigma_w=(2 * s) ** 0.5, engine=2)
        assert found.log_growth[0] == pytest.approx(float(ends[0] - ends[1] - ends[2]), rel=1e-11)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: scaled_depths(NAMED["tanh"], 0.0, [2], sigma_w=1.0), "act: expected a positively homogeneous"),
        (lambda: scaled_depths(RELU, 0.0, [3, 2], sigma_w=1.0), "depths: expected increasing depths"),
        (lambda: scaled_depths(RELU, 2.0, [3], sigma_w=1.0), "cosine: expected"),
        (lambda: scaled_depths(RELU, 0.0, [3], sigma_w=0.0), "sigma_w: expected"),
    ],
)
def test_bad_input(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
