"""Terms of the tangent kernel by layer: their sum, random networks, and the powers on the Edge of Chaos."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc.activations import NAMED
from ntk_eoc.kernels import ARCHITECTURES, kernels
from ntk_eoc.layerwise import contributions
from ntk_eoc.meanfield import eoc_points, phase


@pytest.mark.parametrize("name, sigma_b, sigma_w", [("relu", 0.0, 1.3), ("tanh", 0.3, 1.8), ("elu", 0.5, 1.0)])
@pytest.mark.parametrize("depth", [2, 7, 1])
@pytest.mark.thorough(first=3)
def test_terms_add_up(name: str, sigma_b: float, sigma_w: float, depth: int) -> None:
    sigmas = {"sigma_b": sigma_b, "sigma_w": sigma_w}
    x = jnp.array([[1.0, 0.0], [0.4, np.sqrt(1 - 0.16)]]) * np.sqrt(2 * 0.7)
    for kind in ARCHITECTURES:
        parts = contributions(NAMED[name], 0.4, depth, **sigmas, q0=0.7, architecture=kind)
        assert parts.shape == (depth,)
        whole = kernels(NAMED[name], x, **sigmas, depth=depth, architecture=kind).ntk[0, 1]
        assert parts.sum() == pytest.approx(float(whole), rel=1e-12)


def test_random_networks_have_these_terms() -> None:
    """Gradients layer by layer, within five standard errors and the order of 1/width."""
    act, depth, width, draws, sigma_b, sigma_w = NAMED["tanh"], 4, 256, 200, 0.3, 1.8
    x = jnp.array([[1.0, 0.0], [0.4, np.sqrt(1 - 0.16)]]) * np.sqrt(2)

    def network(layers: list, x: jax.Array) -> jax.Array:
        h = x
        for w, b in layers:
            y = sigma_w * w @ h / np.sqrt(h.size) + sigma_b * b
            h = act.phi(y)
        return y[0]

    def terms(key: jax.Array) -> jax.Array:
        fans, keys = [2, *[width] * (depth - 1), 1], jax.random.split(key, (depth, 2))
        layers = [
            (jax.random.normal(k[0], (b, a)), jax.random.normal(k[1], (b,)))
            for k, a, b in zip(keys, fans[:-1], fans[1:], strict=True)
        ]
        rows = jax.vmap(jax.grad(network), (None, 0))(layers, x)
        return jnp.stack([jnp.sum(w[0] * w[1]) + b[0] @ b[1] for w, b in rows])

    found = np.asarray(jax.lax.map(jax.jit(terms), jax.random.split(jax.random.key(0), draws)))
    expected = contributions(act, 0.4, depth, sigma_b=sigma_b, sigma_w=sigma_w)
    error = found.std(axis=0) / np.sqrt(draws)
    assert (np.abs(found.mean(axis=0) - expected) < 5 * error + expected / width).all()


@pytest.mark.parametrize("sigma_w", [1.0, 2.0])
def test_on_the_diagonal_they_go_by_chi(sigma_w: float) -> None:
    """Ordered: the first layers' terms die; chaotic: they grow, backwards from the last."""
    chi = phase(NAMED["tanh"], sigma_b=0.3, sigma_w=sigma_w).chi
    parts = contributions(NAMED["tanh"], 1.0, 80, sigma_b=0.3, sigma_w=sigma_w)
    assert parts[60] / parts[61] == pytest.approx(chi, rel=1e-6)


@pytest.mark.parametrize("name, power", [("relu", 3), ("erf", 2)])
def test_the_powers_behind_the_limits(name: str, power: int) -> None:
    sigma_b = 0.0 if name == "relu" else 0.2
    point = eoc_points(NAMED[name], sigma_b)[0]
    depth = 3000
    parts = contributions(NAMED[name], 0.2, depth, sigma_b=sigma_b, sigma_w=point.sigma_w)
    share = parts[[depth // 2 - 1, depth - 1]]
    assert np.log2(share[1] / share[0]) == pytest.approx(power, rel=0.02)
    assert parts.sum() / (depth * share[1]) == pytest.approx(1 / (power + 1), abs=0.01)
