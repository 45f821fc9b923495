"""The tangent kernel of finite networks against differences, whole Jacobians, and the kernel of infinite width."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from ntk_eoc.activations import NAMED
from ntk_eoc.empirical import dense, dense_ntk, empirical_ntk, general
from ntk_eoc.kernels import kernels
from ntk_eoc.networks import Network, Params, apply, init

TANH, RELU = NAMED["tanh"], NAMED["relu"]
KEY = jax.random.key(5)
X1, X2 = (jnp.asarray(np.random.default_rng(rows).normal(size=(rows, 3))) for rows in (5, 4))
BOTH = pytest.mark.parametrize("architecture", ["ffnn", "residual"])


def network(depth: int = 5, architecture: str = "ffnn", kind: str = "ntk", width: int = 6) -> tuple[Params, Network]:
    """A network with NumPy's numbers for its parameters: compiling JAX's generator takes longer than the tests."""
    net, rng = Network(width, depth, 0.6, 1.3, architecture), np.random.default_rng(depth)
    shapes = jax.eval_shape(lambda: init(KEY, net, 3, 2, parameterisation=kind))
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.8), shapes), net


def function(net: Network) -> Callable[[Params, jax.Array], jax.Array]:
    return lambda params, x: apply(params, TANH, net, x)


def gram(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Eq. 4 from Jacobians of shape (N, o, P)."""
    return np.einsum("ncp,mdp->nmcd", first, second)


def brute_force(net: Network, params: Params, x1: jax.Array, x2: jax.Array) -> np.ndarray:
    flat, rebuild = ravel_pytree(params)
    both = jnp.concatenate([x1, x2])
    jacobian = np.asarray(jax.jit(jax.jacfwd(lambda p: apply(rebuild(p), TANH, net, both)))(flat))
    return gram(jacobian[: len(x1)], jacobian[len(x1) :])


@BOTH
def test_both_ways_equal_central_differences(architecture: str) -> None:
    """Without any automatic derivative: every parameter moved to and fro."""
    params, net = network(3, architecture, width=3)
    flat, rebuild = ravel_pytree(params)

    moved = jax.jit(lambda step: apply(rebuild(flat + step), TANH, net, X1))
    steps = 1e-5 * np.eye(len(flat))
    jacobian = np.stack([np.asarray(moved(step) - moved(-step)) / 2e-5 for step in steps], axis=-1)
    for kernel in (empirical_ntk(function(net), params, X1), dense_ntk(params, TANH, net, X1)):
        np.testing.assert_allclose(kernel, gram(jacobian, jacobian), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "depth, architecture, kind",
    [(1, "residual", "ntk"), (2, "ffnn", "standard"), (5, "residual", "standard")],
)
def test_layers_equal_the_whole_jacobian(depth: int, architecture: str, kind: str) -> None:
    params, net = network(depth, architecture, kind)
    expected = brute_force(net, params, X1, X2)
    parts = dense_ntk(params, TANH, net, X1, X2, by_layer=True)
    assert parts.shape == (depth, *expected.shape)
    np.testing.assert_allclose(parts.sum(axis=0), expected, rtol=1e-11, atol=1e-12)


def test_each_layer_has_the_kernel_of_its_own_parameters() -> None:
    """A tree with one leaf per layer gives the layers of the general way: here it splits the hidden stack."""
    params, net = network(5, "residual")
    layers = [params.first, *(jax.tree.map(lambda a, i=i: a[i], params.hidden) for i in range(3)), params.last]
    tree = {f"layer {i}": ravel_pytree(layer)[0] for i, layer in enumerate(layers)}

    def split(tree: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        first, *hidden, last = (ravel_pytree(layer)[1](v) for layer, v in zip(layers, tree.values(), strict=True))
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *hidden)
        return apply(Params(first, stacked, last, "ntk"), TANH, net, x)

    general = empirical_ntk(split, tree, X1, by_leaf=True)
    np.testing.assert_allclose(
        dense_ntk(params, TANH, net, X1, by_layer=True), list(general.values()), rtol=1e-11, atol=1e-12
    )


def test_any_parameters_and_inputs() -> None:
    """f = (a . |x| + b (sum x)^2, b (sum x)^2) on images, each leaf in closed form."""
    images = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 3)))

    def f(p: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        total = x.sum(axis=(1, 2)) ** 2
        return jnp.stack([(jnp.abs(x) * p["a"]).sum(axis=(1, 2)) + total * p["b"], total * p["b"]], axis=1)

    leaves = empirical_ntk(f, {"a": jnp.ones((2, 3)), "b": jnp.ones(())}, images, by_leaf=True)
    sizes, totals = np.abs(images).reshape(4, -1), np.asarray(images).sum(axis=(1, 2)) ** 2
    assert leaves.keys() == {"a", "b"}
    np.testing.assert_allclose(leaves["a"], (sizes @ sizes.T)[:, :, None, None] * np.diag([1, 0]), rtol=1e-12)
    np.testing.assert_allclose(leaves["b"], np.outer(totals, totals)[:, :, None, None] * np.ones((2, 2)), rtol=1e-12)


@pytest.mark.parametrize("second, parts", [(None, False), (X2, True)], ids=["symmetric", "rectangular"])
@pytest.mark.parametrize("way", ["general", "dense"])
def test_blocks_change_nothing_and_keep_to_the_memory(
    way: str, parts: bool, second: jax.Array | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit holds for what the compiler says that a block needs beside its result; 5 rows do not fill 3 blocks."""
    params, net = network(3, width=20)
    module, inner = (general, "_jacobian_block") if way == "general" else (dense, "_dense_block")
    block, calls = getattr(module, inner), []

    def watched(*args: object, **options: object) -> object:
        calls.append((args, options))
        return block(*args, **options)

    def ntk(memory: float) -> object:
        if way == "general":
            return empirical_ntk(f, params, X1, second, memory=memory, by_leaf=parts)
        return dense_ntk(params, TANH, net, X1, second, memory=memory, by_layer=parts)

    f = function(net)
    with pytest.raises(ValueError, match="memory: expected at least [0-9]+ bytes, for one row on each side") as error:
        ntk(10)
    least = int(str(error.value).split()[4])
    whole = ntk(1e9)
    monkeypatch.setattr(module, inner, watched)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-13), ntk(2.4 * least), whole)
    assert len(calls) == (3 * 4 // 2 if second is None else 3 * 2)
    args, options = calls[1]  # two different blocks
    used = block.lower(*args, **options).compile().memory_analysis().temp_size_in_bytes
    assert 0 < used <= 2.4 * least


def test_pairs_swap_with_their_outputs() -> None:
    params, net = network()
    kernel = dense_ntk(params, TANH, net, X1)
    np.testing.assert_allclose(kernel, kernel.transpose(1, 0, 3, 2), rtol=1e-12)
    assert np.linalg.eigvalsh(kernel.transpose(0, 2, 1, 3).reshape(10, 10))[0] > 0


@BOTH
def test_mean_over_networks_is_the_kernel_of_infinite_width(architecture: str) -> None:
    """Two-sided at six standard errors, small enough to tell one layer more or less, or no bias."""
    net, x, seeds = Network(512, 3, 0.5, 1.2, architecture), X1[:3], 32

    def sample(key: jax.Array) -> jax.Array:
        return dense_ntk(init(key, net, 3, 2, dtype=np.float32), RELU, net, x.astype(np.float32))

    samples = np.asarray(jax.jit(partial(jax.lax.map, sample))(jax.random.split(KEY, seeds)))
    mean, error = samples.mean(axis=0), samples.std(axis=0, ddof=1) / seeds**0.5

    def misses(depth: int, sigma_b: float) -> np.ndarray:
        ntk = kernels(RELU, x, sigma_b=sigma_b, sigma_w=1.2, depth=depth, architecture=architecture).ntk
        return np.abs(mean - np.asarray(ntk)[:, :, None, None] * np.eye(2)) / error

    assert misses(3, 0.5).max() < 6
    assert samples.dtype == np.float32 and error.max() < 0.02 * mean.max()
    for wrong in (misses(2, 0.5), misses(4, 0.5), misses(3, 0.0)):
        assert wrong.max() > 12


@pytest.mark.parametrize("call", [empirical_ntk, dense_ntk])
def test_program_does_not_grow_with_depth(call: Callable[..., jax.Array]) -> None:
    def size(depth: int) -> int:
        net = Network(6, depth, 0.6, 1.3)
        way = partial(call, function(net)) if call is empirical_ntk else lambda p, x: dense_ntk(p, TANH, net, x)
        return len(jax.jit(way).lower(jax.eval_shape(lambda: init(KEY, net, 3)), X1).as_text().splitlines())

    assert size(3) > 20 and abs(size(300) - size(3)) < 10


def test_dense_way_forms_no_gradient_by_a_weight() -> None:
    """Memory for all its work is far below one Jacobian, N x P."""
    params = jax.eval_shape(lambda: init(KEY, Network(64, 5, 0.6, 1.3), 3))
    lowered = dense._dense_block.lower(params, (1.0, 1.0), X1, None, phi=TANH.phi, residual=False, by_layer=False)
    jacobian = 8 * len(X1) * sum(leaf.size for leaf in jax.tree.leaves(params))
    assert lowered.compile().memory_analysis().temp_size_in_bytes < jacobian / 8


PARAMS, NET = network()
F = function(NET)
REFUSED = {
    r"x1: expected inputs of shape \(N, d\)": lambda: dense_ntk(PARAMS, TANH, NET, X1[0]),
    "x1: expected finite inputs": lambda: empirical_ntk(F, PARAMS, X1 * np.nan),
    r"x1: expected inputs up to 1e\+50": lambda: dense_ntk(PARAMS, TANH, NET, 1e60 * X1),
    "x2: expected finite inputs": lambda: empirical_ntk(F, PARAMS, X1, X2 / 0.0),
    r"x2: expected inputs of shape \(3,\) as in x1, got \(2,\)": lambda: dense_ntk(PARAMS, TANH, NET, X1, X2[:, :2]),
    r"params: made for depth 5 .* got depth 4": lambda: dense_ntk(PARAMS, TANH, replace(NET, depth=4), X1),
    r"params: made .* in R\^3, got .* \(5, 2\)": lambda: dense_ntk(PARAMS, TANH, NET, X1[:, :2]),
    r"apply: expected outputs of shape \(5, o\), got \(5,\)": lambda: empirical_ntk(
        lambda p, x: x @ p, jnp.ones(3), X1
    ),
    "memory: expected a finite number": lambda: empirical_ntk(F, PARAMS, X1, memory=float("nan")),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_in_one_sentence(message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        REFUSED[message]()
    assert "\n" not in str(error.value)


def test_whole_numbers_have_no_derivatives() -> None:
    with pytest.raises(TypeError, match="x1: expected floating-point inputs"):
        dense_ntk(PARAMS, TANH, NET, np.ones((2, 3), dtype=int))
    with pytest.raises(TypeError, match="params: expected floating-point arrays"):
        empirical_ntk(lambda p, x: x * p, jnp.arange(3), X1)
