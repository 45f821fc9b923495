"""Convolutional kernels: random networks, loops over pixels, dense networks as special cases, depth on the edge."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ntk_eoc.activations import NAMED
from ntk_eoc.convolution import conv_kernels
from ntk_eoc.gaussian import pair, second_moment
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import eoc_points

RELU = {"sigma_b": 0.0, "sigma_w": 2**0.5}


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def by_loops(name: str, x: np.ndarray, sigmas: tuple[float, float], depth: int, taps: int, readout: str) -> tuple:
    """NNGP and NTK of two 1-D images, one covariance after the other, without any identity for 1 - correlation."""
    act, (sigma_b, sigma_w), size = NAMED[name], sigmas, x.shape[2]
    reach, images = range(-(taps // 2), taps // 2 + 1), range(len(x))
    places = list(product(images, range(size)))
    raw = {(a, b): float(x[a[0], :, a[1]] @ x[b[0], :, b[1]]) / x.shape[1] for a, b in product(places, places)}

    def average(of: dict, a: tuple, b: tuple) -> float:
        return float(np.mean([of[(a[0], (a[1] + t) % size), (b[0], (b[1] + t) % size)] for t in reach]))

    q = {ab: sigma_b**2 + sigma_w**2 * average(raw, *ab) for ab in raw}
    ntk = dict(q)
    for level in range(2, depth + 1):
        left, right = (np.array([q[ab[i], ab[i]] for ab in q]) for i in (0, 1))
        delta = 1 - np.array(list(q.values())) / np.sqrt(left * right)
        layer = pair(act, jnp.array(left), jnp.array(right), jnp.clip(jnp.array(delta), 0, 2))
        size_of = [np.sqrt(second_moment(act, jnp.array(v))) for v in (left, right)]
        cov = dict(zip(q, np.asarray(size_of[0] * size_of[1] * (1 - layer.gap)), strict=True))
        slope = dict(zip(q, np.asarray(layer.slope_product), strict=True))
        carried = {ab: slope[ab] * ntk[ab] for ab in q}
        if level == depth:
            break
        q = {ab: sigma_b**2 + sigma_w**2 * average(cov, *ab) for ab in q}
        ntk = {ab: q[ab] + sigma_w**2 * average(carried, *ab) for ab in q}
    found = []
    for of in (cov, carried):
        pairs = product(range(size), range(size)) if readout == "pooling" else [(p, p) for p in range(size)]
        pairs = list(pairs)
        found.append([[np.mean([of[(i, p), (j, r)] for p, r in pairs]) for j in images] for i in images])
    nngp = sigma_b**2 + sigma_w**2 * np.array(found[0])
    return nngp, nngp + sigma_w**2 * np.array(found[1])


@pytest.mark.parametrize("readout", ["flatten", "pooling"])
@pytest.mark.parametrize("name, depth, taps", [("relu", 4, 3), ("erf", 3, 5), ("tanh", 3, 3)])
@pytest.mark.thorough(first=2)
def test_against_loops(name: str, depth: int, taps: int, readout: str) -> None:
    x = images(2, 2, 5)
    found = conv_kernels(NAMED[name], x, sigma_b=0.3, sigma_w=1.4, depth=depth, filter_size=taps, readout=readout)
    nngp, ntk = by_loops(name, x, (0.3, 1.4), depth, taps, readout)
    np.testing.assert_allclose(found.nngp, nngp, rtol=1e-7)
    np.testing.assert_allclose(found.ntk, ntk, rtol=1e-7)


@pytest.mark.parametrize("readout", ["flatten", "pooling"])
@pytest.mark.thorough(first=1)
def test_random_networks_have_these_kernels(readout: str) -> None:
    """2-D, two channels: mean over finite networks within five standard errors and the order of 1/channels."""
    act, depth, channels, draws, sigma_b, sigma_w = NAMED["tanh"], 3, 64, 60, 0.4, 1.5
    x = jnp.asarray(images(2, 2, 3, 3))

    def network(weights: list, x: jax.Array) -> jax.Array:
        h = x[None]
        for w, b in weights[:-1]:
            wrapped = jnp.pad(h, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="wrap")
            y = lax.conv(wrapped, w, (1, 1), "VALID") * sigma_w / np.sqrt(w[0].size)
            h = act.phi(y + sigma_b * b[None, :, None, None])
        w, b = weights[-1]
        if readout == "pooling":
            return sigma_w * w[:, 0, 0] @ h[0].mean((1, 2)) / np.sqrt(channels) + sigma_b * b
        return sigma_w * jnp.sum(w * h[0]) / np.sqrt(h[0].size) + sigma_b * b

    def kernel(key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, (depth, 2))
        fans = [2, *[channels] * (depth - 2)]
        weights = [
            (jax.random.normal(k[0], (channels, fan, 3, 3)), jax.random.normal(k[1], (channels,)))
            for k, fan in zip(keys, fans, strict=False)
        ]
        weights.append((jax.random.normal(keys[-1][0], (channels, 3, 3)), jax.random.normal(keys[-1][1])))
        rows = jax.vmap(jax.grad(network), (None, 0))(weights, x)
        if readout == "pooling":  # one weight per channel
            w, b = rows[-1]
            rows[-1] = (w[:, :, 0, 0], b)
        flat = jnp.concatenate([leaf.reshape(2, -1) for leaf in jax.tree.leaves(rows)], axis=1)
        return flat @ flat.T

    found = np.asarray(lax.map(jax.jit(kernel), jax.random.split(jax.random.key(0), draws)))
    expected = conv_kernels(act, x, sigma_b=sigma_b, sigma_w=sigma_w, depth=depth, readout=readout).ntk
    error = found.std(axis=0) / np.sqrt(draws)
    assert (np.abs(found.mean(axis=0) - expected) < 5 * error + 2 * np.abs(expected).max() / channels).all()


@pytest.mark.parametrize("readout", ["flatten", "pooling"])
@pytest.mark.thorough(first=1)
def test_one_pixel_is_a_dense_network(readout: str) -> None:
    x = images(3, 6, 1)
    found = conv_kernels(NAMED["elu"], x, sigma_b=0.2, sigma_w=1.2, depth=4, filter_size=1, readout=readout)
    dense = kernels(NAMED["elu"], jnp.asarray(x[:, :, 0]), sigma_b=0.2, sigma_w=1.2, depth=4)
    np.testing.assert_allclose(found.nngp, dense.nngp, rtol=1e-12)
    np.testing.assert_allclose(found.ntk, dense.ntk, rtol=1e-12)


@pytest.mark.parametrize("readout", ["flatten", "pooling"])
@pytest.mark.thorough
def test_filters_of_one_tap_see_pixels_as_inputs(readout: str) -> None:
    """Flattened, such a network's kernel is the mean over pixels of a dense one's; pooled, over pairs of pixels."""
    x = images(2, 3, 4)
    found = conv_kernels(NAMED["relu"], x, **RELU, depth=3, filter_size=1, readout=readout)
    rows = jnp.asarray(np.moveaxis(x, 1, 2).reshape(8, 3))
    dense = np.asarray(kernels(NAMED["relu"], rows, **RELU, depth=3).ntk).reshape(2, 4, 2, 4)
    expected = dense.mean((1, 3)) if readout == "pooling" else np.einsum("npmp->nm", dense) / 4
    np.testing.assert_allclose(found.ntk, expected, rtol=1e-12)


@pytest.mark.parametrize("readout, same", [("flatten", False), ("pooling", True)])
@pytest.mark.thorough(first=1)
def test_only_pooling_does_not_see_where_things_are(readout: str, same: bool) -> None:
    x = images(1, 1, 6, 6)
    moved = np.roll(x, (2, 1), (2, 3))
    found = conv_kernels(NAMED["relu"], np.concatenate([x, moved]), **RELU, depth=4, readout=readout).ntk
    assert bool(abs(found[0, 1] / found[0, 0] - 1) < 1e-12) is same


@pytest.mark.parametrize("readout", ["flatten", "pooling"])
@pytest.mark.parametrize("name, limit", [("relu", 1 / 4), ("erf", 1 / 3)])
def test_deep_on_the_edge(name: str, limit: float, readout: str) -> None:
    """Circular padding: flattened, the dense limit; pooled, P of the P^2 pairs of an image's positions are equal."""
    sigma_b = 0.0 if name == "relu" else 0.2
    sigmas = {"sigma_b": sigma_b, "sigma_w": eoc_points(NAMED[name], sigma_b)[0].sigma_w}
    expected = limit if readout == "flatten" else limit / (limit + (1 - limit) / 5)
    k = conv_kernels(NAMED[name], images(2, 1, 5), **sigmas, depth=2000, readout=readout).ntk
    assert float(k[0, 1] / np.sqrt(k[0, 0] * k[1, 1])) == pytest.approx(expected, abs=0.01)


def test_order_and_symmetry() -> None:
    x = images(4, 2, 5)
    found = conv_kernels(NAMED["relu"], x, **RELU, depth=5).ntk
    np.testing.assert_allclose(found, found.T, rtol=1e-13)
    assert np.linalg.eigvalsh(found).min() > 0
    order = [2, 0, 3, 1]
    again = conv_kernels(NAMED["relu"], x[order], x, **RELU, depth=5).ntk
    np.testing.assert_allclose(again, found[np.array(order)], rtol=1e-13)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"filter_size": 2}, "filter_size: expected an odd number of taps, got 2"),
        ({"filter_size": 7}, "x1: expected images of at least the 7 taps"),
        ({"x2": images(2, 3, 5)}, "x2: expected images of shape"),
        ({"depth": 1}, "depth: expected at least 2 layers"),
        ({"readout": "pool"}, "readout: expected one of flatten, pooling"),
        ({"x1": images(2, 5)}, "x1: expected images"),
        ({"x1": np.full((1, 1, 5), np.nan)}, "x1: expected finite numbers"),
    ],
)
def test_bad_input(change: dict, message: str) -> None:
    given = {"x1": images(2, 2, 5), "x2": None, "depth": 3, **RELU, **change}
    with pytest.raises(ValueError, match=message):
        conv_kernels(NAMED["relu"], **given)
