"""PReLU's learned slopes in finite networks: values, gradients, and their part of the tangent kernel."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from ntk_eoc.activations import get
from ntk_eoc.empirical import dense, dense_ntk, empirical_ntk
from ntk_eoc.kernels import kernels
from ntk_eoc.networks import Network, Params, apply, init, layer_moments

PRELU, LEAKY, TANH = get("prelu:0.3"), get("leaky_relu:0.3"), get("tanh")
KEY = jax.random.key(7)
X1, X2 = (jnp.asarray(np.random.default_rng(rows).normal(size=(rows, 5))) for rows in (3, 4))
BOTH = pytest.mark.parametrize("architecture", ["ffnn", "residual"])


def network(depth: int, architecture: str, kind: str = "ntk", width: int = 4) -> tuple[Params, Network]:
    """A network whose slopes have moved, each elsewhere."""
    net, rng = Network(width, depth, 0.7, 1.3, architecture), np.random.default_rng(depth)
    shapes = jax.eval_shape(lambda: init(KEY, net, 5, 2, act=PRELU, parameterisation=kind))
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes), net


def function(net: Network) -> Callable[[Params, jax.Array], jax.Array]:
    return lambda params, x: apply(params, PRELU, net, x)


def by_hand(params: Params, net: Network, x: np.ndarray) -> list[np.ndarray]:
    """Every y^l as max(0, y) + a min(0, y) (PyTorch's convention), one matrix product after another."""
    dense_layers = [params.first, *zip(*params.hidden, strict=True)] + ([params.last] if params.last else [])
    ys: list[np.ndarray] = []
    for layer, (weight, bias) in enumerate(dense_layers):
        h = x if layer == 0 else np.maximum(ys[-1], 0) + float(params.slopes[layer - 1]) * np.minimum(ys[-1], 0)
        scales = (net.sigma_w / len(weight) ** 0.5, net.sigma_b) if params.kind == "ntk" else (1.0, 1.0)
        y = scales[0] * h @ np.asarray(weight) + scales[1] * np.asarray(bias)
        ys.append(y + ys[-1][:, : y.shape[1]] if net.architecture == "residual" and ys else y)
    return ys


@BOTH
@pytest.mark.parametrize("depth, kind", [(1, "ntk"), (2, "standard"), (5, "ntk")])
def test_every_hidden_layer_has_its_own_slope(architecture: str, depth: int, kind: str) -> None:
    """Values against products by hand, and gradients by the slopes against central differences."""
    params, net = network(depth, architecture, kind)
    assert params.slopes.shape == (depth - 1,)
    f = jax.jit(lambda slopes: apply(replace(params, slopes=slopes), PRELU, net, X1))
    np.testing.assert_allclose(f(params.slopes), by_hand(params, net, np.asarray(X1))[-1], rtol=1e-11, atol=1e-12)
    jacobian = jax.jacrev(f)(params.slopes)
    for layer, step in enumerate(1e-6 * np.eye(depth - 1)):
        difference = (f(params.slopes + step) - f(params.slopes - step)) / 2e-6
        assert np.abs(difference).max() > 1e-3
        np.testing.assert_allclose(jacobian[..., layer], difference, rtol=1e-6, atol=1e-7)


def test_slopes_start_where_the_activation_says_and_leave_the_weights_alone() -> None:
    net = Network(4, 5, 0.7, 1.3)
    for kind in ("ntk", "standard"):
        params = init(KEY, net, 5, 2, act=PRELU, parameterisation=kind)
        np.testing.assert_array_equal(params.slopes, [0.3] * 4)
        plain = init(KEY, net, 5, 2, act=TANH, parameterisation=kind)
        assert plain.slopes is None
        jax.tree.map(np.testing.assert_array_equal, replace(params, slopes=None), plain)
        np.testing.assert_allclose(apply(params, PRELU, net, X1), apply(plain, LEAKY, net, X1), rtol=1e-13)
    assert init(KEY, net, 5, act=PRELU, dtype=np.float32).slopes.dtype == np.float32


@BOTH
def test_moments_are_those_at_the_first_slope(architecture: str) -> None:
    net = Network(4, 5, 0.7, 1.3, architecture)
    ys = by_hand(init(KEY, net, 5, net.width, act=PRELU), net, np.asarray(X1))
    np.testing.assert_allclose(layer_moments(KEY, PRELU, net, X1), [y @ y.T / 4 for y in ys], rtol=1e-12)


@BOTH
@pytest.mark.parametrize("depth, kind", [(1, "ntk"), (2, "ntk"), (5, "standard")])
def test_kernel_is_that_of_the_whole_jacobian(architecture: str, depth: int, kind: str) -> None:
    params, net = network(depth, architecture, kind)
    flat, rebuild = ravel_pytree(params)
    both = jnp.concatenate([X1, X2])
    jacobian = np.asarray(jax.jit(jax.jacfwd(lambda p: apply(rebuild(p), PRELU, net, both)))(flat))
    expected = np.einsum("ncp,mdp->nmcd", jacobian[:3], jacobian[3:])
    parts = dense_ntk(params, PRELU, net, X1, X2, by_layer=True)
    assert parts.shape == (depth, *expected.shape)
    np.testing.assert_allclose(parts.sum(axis=0), expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(dense_ntk(params, PRELU, net, X1, X2), expected, rtol=1e-11, atol=1e-11)


@BOTH
def test_a_slope_counts_with_the_layer_whose_input_it_shapes(architecture: str) -> None:
    """A tree of layers, slopes[l-1] in that of layer l + 1, in the general way."""
    params, net = network(4, architecture)
    dense_layers = [params.first, *(jax.tree.map(lambda a, i=i: a[i], params.hidden) for i in range(2)), params.last]
    tree = {i: ravel_pytree((layer, params.slopes[max(i - 1, 0) : i]))[0] for i, layer in enumerate(dense_layers)}

    def split(tree: dict[int, jax.Array], x: jax.Array) -> jax.Array:
        shapes = [(layer, params.slopes[max(i - 1, 0) : i]) for i, layer in enumerate(dense_layers)]
        found = [ravel_pytree(shape)[1](tree[i]) for i, shape in enumerate(shapes)]
        (first, _), *middle, (last, top) = found
        hidden = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(layer for layer, _ in middle))
        slopes = jnp.concatenate([*(slope for _, slope in middle), top])
        return apply(Params(first, hidden, last, "ntk", slopes), PRELU, net, x)

    general = empirical_ntk(split, tree, X1, by_leaf=True)
    layers = dense_ntk(params, PRELU, net, X1, by_layer=True)
    np.testing.assert_allclose(layers, list(general.values()), rtol=1e-11, atol=1e-11)


def test_the_general_way_gives_the_slopes_a_leaf_of_their_own() -> None:
    params, net = network(3, "ffnn")
    leaves = empirical_ntk(function(net), params, X1, by_leaf=True)
    by_slope = np.asarray(jax.jacrev(lambda a: apply(replace(params, slopes=a), PRELU, net, X1))(params.slopes))
    np.testing.assert_allclose(leaves.slopes, np.einsum("ncp,mdp->nmcd", by_slope, by_slope), rtol=1e-12)
    np.testing.assert_allclose(dense_ntk(params, PRELU, net, X1), sum(jax.tree.leaves(leaves)), rtol=1e-11)


@pytest.mark.parametrize("second, parts", [(None, False), (X2, True)], ids=["symmetric", "rectangular"])
def test_blocks_keep_to_the_memory(second: jax.Array | None, parts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit holds for what the compiler says that a block needs beside its result, slopes included."""
    params, net = network(3, "residual", width=20)
    block, calls = dense._dense_block, []

    def watched(*args: object, **options: object) -> object:
        calls.append((args, options))
        return block(*args, **options)

    ntk = partial(dense_ntk, params, PRELU, net, X1, second, by_layer=parts)
    with pytest.raises(ValueError, match="memory: expected at least [0-9]+ bytes, for one row on each side") as error:
        ntk(memory=10)
    least, whole = int(str(error.value).split()[4]), ntk()
    monkeypatch.setattr(dense, "_dense_block", watched)
    np.testing.assert_allclose(ntk(memory=1.5 * least), whole, rtol=1e-12, atol=1e-12)
    assert len(calls) == (3 * 4 // 2 if second is None else 3 * 4)
    args, options = calls[1]
    used = block.lower(*args, **options).compile().memory_analysis().temp_size_in_bytes
    assert 0 < used <= 1.5 * least


@pytest.mark.parametrize("call", ["gradient", "dense_ntk"])
def test_program_does_not_grow_with_depth(call: str) -> None:
    def size(depth: int) -> int:
        net = Network(6, depth, 0.6, 1.3)
        params = jax.eval_shape(lambda: init(KEY, net, 5, act=PRELU))
        programs = {
            "gradient": lambda p: jax.grad(lambda p: apply(p, PRELU, net, X1).sum())(p),
            "dense_ntk": lambda p: dense_ntk(p, PRELU, net, X1),
        }
        return len(jax.jit(programs[call]).lower(params).as_text().splitlines())

    assert size(3) > 20 and abs(size(300) - size(3)) < 10


A = 0.6
EDGE = (2 / (1 + A**2)) ** 0.5


def samples(width: int, seeds: int) -> np.ndarray:
    """K(x, x)/q of networks of depth 3 on the Edge of Chaos: the parts of all weights and of each of the two slopes."""
    act, plain, x = get(f"prelu:{A}"), get(f"leaky_relu:{A}"), X1[:1].astype(np.float32)
    net = Network(width, 3, 0.0, EDGE)

    def sample(key: jax.Array) -> jax.Array:
        params = init(key, net, 5, act=act, dtype=np.float32)
        weights = dense_ntk(replace(params, slopes=None), plain, net, x, by_layer=True)
        slopes = dense_ntk(params, act, net, x, by_layer=True) - weights
        return jnp.concatenate([weights.sum(axis=0)[None], slopes[1:]])[:, 0, 0, 0, 0] / (EDGE**2 * (x**2).mean())

    return np.asarray(jax.jit(partial(jax.lax.map, sample))(jax.random.split(KEY, seeds)), dtype=float).T


@pytest.mark.thorough
def test_the_kernel_of_prelu_stays_random_at_any_width() -> None:
    """df/da is a sum over a whole layer and tends to a normal variable: its square spreads by sqrt(2) times its mean.

    On the Edge of Chaos that mean is q/(1 + a^2) for each slope, of the order of a layer of weights. The weights' part
    tends to the kernel of infinite width at the rate width^(-1/2); no width makes the slopes' part deterministic.
    """
    seeds, q = 1024, EDGE**2 * float((X1[0] ** 2).mean())
    limit = kernels(get(f"prelu:{A}"), X1[:1], sigma_b=0.0, sigma_w=EDGE, depth=3).ntk[0, 0] / q
    means = [float(limit), 1 / (1 + A**2), 1 / (1 + A**2)]
    narrow, wide = samples(16, seeds), samples(256, seeds)
    for found in (narrow, wide):
        assert (np.abs(found.mean(axis=1) - means) < 6 * found.std(axis=1) / seeds**0.5).all()
    spreads = np.array([found.std(axis=1) / found.mean(axis=1) for found in (narrow, wide)])
    assert spreads[1, 0] < spreads[0, 0] / 3
    np.testing.assert_allclose(spreads[1, 1:], 2**0.5, atol=0.3)


NET = Network(4, 5, 0.3, 1.2)
REFUSED = {
    "params: expected 4 learned slopes for prelu:0.3 .*, got 0": lambda: apply(init(KEY, NET, 5), PRELU, NET, X1),
    "params: expected 0 learned slopes for tanh .*, got 4": lambda: apply(network(5, "ffnn")[0], TANH, NET, X1),
    "params: expected 4 learned slopes for prelu:0.3, got 0": lambda: dense_ntk(init(KEY, NET, 5), PRELU, NET, X1),
    "params: expected 0 learned slopes for tanh, got 4": lambda: dense_ntk(network(5, "ffnn")[0], TANH, NET, X1),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_in_one_sentence(message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        REFUSED[message]()
    assert "\n" not in str(error.value)
