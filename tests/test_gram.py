"""Gram matrices against the recursion pair by pair and fifty digits; close, opposite and zero inputs; invariants."""

import inspect
from functools import partial

import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from ntk_eoc import close, hermite
from ntk_eoc import gram as module
from ntk_eoc import lookup as tables
from ntk_eoc import pairs as expansions
from ntk_eoc import profile as profiles
from ntk_eoc import stack as stacks
from ntk_eoc.activations import NAMED, from_function
from ntk_eoc.gram import ERROR, Gram, gram
from ntk_eoc.kernels import kernels
from ntk_eoc.maps import variance_map
from ntk_eoc.meanfield import chi

EDGE = {"sigma_b": 0.0, "sigma_w": 2**0.5}
BIASED = {"sigma_b": 0.2, "sigma_w": 1.3}
# directions: one, close to it, opposite to it, close to that, and others
PLANE = np.array(
    [[1.0, 0.0], [1.0, 1e-9], [-1.0, 0.0], [-1.0, 1e-7], [1.0, 3e-3], [-1.0, 3e-3], [0.3, 1.0], [-0.4, 1.0]]
)


def inputs(one_norm: bool, rows: int = 6, d: int = 5) -> np.ndarray:
    """Rows with an equal, an opposite, a close and an orthogonal one; of one norm or not."""
    x = np.random.default_rng(4).normal(size=(rows, d))
    x = np.concatenate([x, x[:1], -x[1:2], x[2:3] + 1e-6 * x[3:4]])
    x *= (d**0.5 / np.linalg.norm(x, axis=1))[:, None]
    return x if one_norm else x * np.linspace(0.5, 1.5, len(x))[:, None]


def plain(found: Gram) -> tuple[np.ndarray, np.ndarray]:
    """q and K themselves, in float64."""
    pairs = ((found.nngp, found.log_nngp), (found.ntk, found.log_ntk))
    nngp, ntk = (np.asarray(part, dtype=float) * np.exp(np.asarray(log))[..., None, None] for part, log in pairs)
    return nngp, ntk


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "name, one_norm, options, architecture",
    [
        ("relu", False, EDGE, "ffnn"),
        ("relu", False, {"sigma_b": 0.0, "sigma_w": 1.1}, "residual"),
        ("leaky_relu", True, BIASED, "ffnn"),
        ("erf", False, BIASED, "ffnn"),
        ("erf", True, {"sigma_b": 0.3, "sigma_w": 0.8}, "residual"),
        ("erf", False, BIASED, "residual"),
        ("erf", False, {"sigma_b": 0.2, "sigma_w": 10.0}, "ffnn"),
        ("sin", False, BIASED, "ffnn"),
    ],
)
@pytest.mark.thorough(first=4)
def test_every_pair_is_that_of_the_recursion(
    name: str, one_norm: bool, options: dict, architecture: str, dtype: str
) -> None:
    x, act = inputs(one_norm), NAMED[name]
    for depth in (1, 2, 5, 30):
        other = kernels(act, jnp.asarray(x), depth=depth, architecture=architecture, **options)
        found = gram(act, x, depth=depth, architecture=architecture, dtype=dtype, **options)
        apart = gram(act, x, x[:4] + 0.0, depth=depth, architecture=architecture, dtype=dtype, **options)
        assert found.ntk.dtype == dtype and found.nngp.shape == (len(x), len(x))
        for some, exact in zip(plain(found), (other.nngp, other.ntk), strict=True):
            scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
            np.testing.assert_allclose(some / scale, exact / scale, rtol=ERROR[dtype], atol=ERROR[dtype])
        for some, whole in zip(plain(apart), plain(found), strict=True):
            np.testing.assert_allclose(some, whole[:, :4], rtol=2 * ERROR[dtype], atol=ERROR[dtype] * whole.max())


def relu_exactly(depth: int, skip: bool) -> tuple[np.ndarray, np.ndarray]:
    """q and K of ``PLANE`` from angles in fifty digits, sigma_w = sqrt(2), over the first input's."""
    n, pi = len(PLANE), mp.pi
    found = np.empty((2, n, n), dtype=object)
    for i in range(n):
        for j in range(n):
            angles = [mp.atan2(mp.mpf(float(y)), mp.mpf(float(x))) for x, y in (PLANE[i], PLANE[j])]
            theta = abs(angles[0] - angles[1])
            c = mp.cos(min(theta, 2 * pi - theta))
            kernel, growth = c, mp.mpf(1)
            for _ in range(depth - 1):
                theta = mp.acos(c)
                branch = (mp.sin(theta) + (pi - theta) * c) / pi
                kernel = branch + (1 - theta / pi + skip) * kernel
                c = (branch + skip * c) / (1 + skip)
                kernel, growth = kernel / (1 + skip), growth * (1 + skip)
            found[:, i, j] = c, kernel
    return found[0].astype(float), found[1].astype(float)


@pytest.mark.parametrize("architecture", ["ffnn", "residual"])
@pytest.mark.parametrize("depth", [2, 3, 40])
def test_relu_in_fifty_digits_close_and_opposite_inputs_included(depth: int, architecture: str) -> None:
    with mp.workdps(50):
        q, k = relu_exactly(depth, architecture == "residual")
    d = np.linalg.norm(PLANE, axis=1)
    scale = np.outer(d, d)  # |x|^2/d sigma_w^2 at d = 2
    for dtype in ("float64", "float32"):
        found = gram(NAMED["relu"], PLANE, depth=depth, architecture=architecture, dtype=dtype, **EDGE)
        growth = 2.0 ** (depth - 1) if architecture == "residual" else 1.0
        for some, exact in zip(plain(found), (q, k), strict=True):
            # of the entry; obtuse ones that nearly vanish: of the entry at right angles
            size = np.maximum(np.abs(exact), 0.2)
            assert (np.abs(some / scale / growth - exact) <= ERROR[dtype] * size).all(), dtype


def test_a_table_of_one_angle_against_the_arcsine_recursion_in_fifty_digits() -> None:
    x = inputs(True)[[0, 1, 2, 6, 7]]
    exact = np.empty((len(x), len(x)))
    with mp.workdps(50):
        b, w = mp.mpf(0.2) ** 2, mp.mpf(1.3) ** 2
        for i in range(len(x)):
            for j in range(len(x)):
                rows = [[mp.mpf(float(value)) for value in x[k]] for k in (i, j)]
                r, q = (b + w * mp.fdot(rows[0], some) / x.shape[1] for some in (rows[1], rows[0]))
                kernel = r
                for _ in range(59):
                    slope = w * 4 / mp.pi / mp.sqrt((1 + 2 * q) ** 2 - 4 * r**2)
                    r, q = (b + w * 2 / mp.pi * mp.asin(2 * some / (1 + 2 * q)) for some in (r, q))
                    kernel = r + slope * kernel
                exact[i, j] = float(kernel)
    for dtype in ("float64", "float32"):
        found = gram(NAMED["erf"], x, depth=60, dtype=dtype, **BIASED)
        np.testing.assert_allclose(found.ntk, exact, rtol=2 * ERROR[dtype])


@pytest.mark.parametrize("name, architecture", [("tanh", "ffnn"), ("elu", "ffnn"), ("tanh", "residual")])
@pytest.mark.thorough(first=1)
def test_expansions_are_off_by_no_more_than_they_say(name: str, architecture: str) -> None:
    x, act = inputs(False)[[0, 1, 3, 6, 7]], NAMED[name]
    other = kernels(act, jnp.asarray(x), depth=4, architecture=architecture, **BIASED)
    size = np.sqrt(np.outer(np.diag(other.ntk), np.diag(other.ntk)))
    for dtype in ("float64", "float32"):
        found = gram(act, x, depth=4, architecture=architecture, dtype=dtype, **BIASED)
        off = np.abs(plain(found)[1] - other.ntk) / size
        assert off.max() <= found.error + 1e-14 and found.error < 1e-3
        apart = gram(act, x, x[:2] + 0.0, depth=4, architecture=architecture, dtype=dtype, **BIASED)
        np.testing.assert_allclose(apart.ntk, found.ntk[:, :2], rtol=0, atol=10 * ERROR[dtype] * float(size.max()))


@pytest.mark.parametrize(
    "name, architecture, depth, sigma_b, sigma_w",
    [("sigmoid", "residual", 10, 1.0, 1.0), ("softplus", "ffnn", 10, 0.1, 0.7), ("tanh", "ffnn", 60, 0.3, 1.0)],
)
@pytest.mark.thorough(first=2)
def test_what_float32_rounds_in_each_layer_is_said(
    name: str, architecture: str, depth: int, sigma_b: float, sigma_w: float
) -> None:
    """Where short series leave out next to nothing, rounding is what an entry is off by: at most as stated."""
    options = {"depth": depth, "sigma_b": sigma_b, "sigma_w": sigma_w, "architecture": architecture}
    rough, exact = (gram(NAMED[name], inputs(False), dtype=dtype, **options) for dtype in ("float32", "float64"))
    kernel = plain(exact)[1]
    off = np.abs(plain(rough)[1] - kernel) / np.sqrt(np.outer(np.diag(kernel), np.diag(kernel)))
    assert 1e-8 < off.max() <= rough.error < 1e-4 and exact.error < 1e-5 * rough.error


@pytest.mark.thorough
def test_more_pairs_than_a_square_holds() -> None:
    x = np.random.default_rng(0).normal(size=(300, 3))
    few = np.r_[0:3, 254:259, 299]
    whole, part = (gram(NAMED["tanh"], rows, depth=12, **BIASED) for rows in (x, x[few]))
    np.testing.assert_allclose(np.asarray(whole.ntk)[np.ix_(few, few)], part.ntk, rtol=1e-9)
    np.testing.assert_array_equal(whole.ntk, whole.ntk.T)


def test_a_power_of_two_of_rows_is_mirrored_as_any_other_number() -> None:
    """The compiler had taken minutes for 1,024 rows, and the program had overflown its stack."""
    part, own = np.random.default_rng(0).normal(size=(1024, 1024)), np.arange(1024.0)
    alike = np.eye(1024, dtype=np.int8)
    alike[0, 9] = alike[9, 0] = -1
    found = expansions._whole(*(jnp.asarray(some) for some in (part, part + 1.0, alike, own)), True)
    for some, first, exact in zip(found, (part, part + 1.0), (np.ones(1024), own), strict=True):
        whole = np.triu(first) + np.triu(first, 1).T
        np.testing.assert_array_equal(some, np.where(alike == 0, whole, alike * exact[:, None]))


@pytest.mark.parametrize(
    "name, sigma_b, sigma_w, depth",
    [
        ("erf", 0.2, 1.0, 160),
        ("elu", 0.3, 0.7, 64),
        ("tanh", 0.5, 0.9, 64),
        ("selu", 0.4, 0.5, 64),
    ],
)
@pytest.mark.thorough(first=1)
def test_once_variances_have_settled_no_pair_goes_through_layers(
    name: str, sigma_b: float, sigma_w: float, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of their correlation does: the recursion over pairs, opposite and close inputs too."""
    x, act, sigmas = np.random.default_rng(0).normal(size=(9, 3)), NAMED[name], {"sigma_b": sigma_b, "sigma_w": sigma_w}
    x[[4, 5, 6, 7]] = -x[0], 1.2 * x[1], x[2] + 1e-6 * x[3], x[2]
    exact = kernels(act, jnp.asarray(x), depth=depth, **sigmas)
    made, layers = [], expansions.layers
    monkeypatch.setattr(expansions, "layers", lambda *args, **kept: made.append(args) or layers(*args, **kept))
    for dtype in ("float64", "float32"):
        made.clear()
        whole, apart = (
            gram(act, x, other, depth=[depth - 9, depth], dtype=dtype, **sigmas) for other in (None, x[:5] + 0.0)
        )
        assert 0 < len(made) < 2 * (depth - 10) / hermite.LAYERS
        assert whole.error < {"float64": 1e-6, "float32": 1e-3}[dtype]
        size = np.sqrt(np.outer(np.diag(exact.ntk), np.diag(exact.ntk)))
        assert np.abs((np.asarray(whole.ntk[-1]) - exact.ntk) / size).max() <= whole.error + ERROR[dtype]
        assert np.abs((np.asarray(apart.ntk[-1]) - exact.ntk[:, :5]) / size[:, :5]).max() <= apart.error + ERROR[dtype]
        np.testing.assert_allclose(whole.nngp[-1], exact.nngp, rtol=1e-5 if dtype == "float32" else 1e-11, atol=1e-30)
        between = gram(act, x, depth=depth - 9, dtype=dtype, **sigmas)
        off = np.abs(np.asarray(whole.ntk[0]) - between.ntk).max() / float(between.ntk.max())
        assert off <= whole.error + between.error + ERROR[dtype]


def chaotic(sigma_b: float) -> ndarray:
    """Rows of several norms: the first one four times, opposite in one and close in one; the sixth is 0."""
    x = np.random.default_rng(4).normal(size=(7, 5)) * np.linspace(0.5, 1.0, 7)[:, None]
    x[[1, 2, 3, 5]] = x[0], -x[0], x[0] + 1e-3 * x[4], 0.0 * x[0]
    return x if sigma_b else np.delete(x, 5, axis=0)


@pytest.mark.parametrize("name, sigma_b", [("tanh", 0.3), ("tanh", 0.0), ("softplus", 0.3)])
@pytest.mark.thorough(first=2)
def test_chaos_takes_no_quadrature_of_pairs(name: str, sigma_b: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the recursion, where it still has digits; what layers tear apart here are 1e-3 and no rounding."""
    x, act, options = chaotic(sigma_b), NAMED[name], {"sigma_b": sigma_b, "sigma_w": 1.9 if name == "tanh" else 1.2}
    exact = np.asarray(kernels(act, jnp.asarray(x), depth=16, **options).ntk)
    for home, name in ((module, "kernels"), (close, "_recomputed")):
        monkeypatch.setattr(home, name, lambda *_, **__: pytest.fail("a quadrature for a pair"))
    found = gram(act, x, depth=16, **options)
    apart = gram(act, x, x[:3] * 1.0, depth=16, **options)
    assert found.error < 1e-6
    np.testing.assert_allclose(found.ntk, exact, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(apart.ntk, np.asarray(found.ntk)[:, :3], rtol=1e-9, atol=1e-9)
    rough = gram(act, x, depth=16, dtype="float32", **options)
    assert np.abs(plain(rough)[1] - exact).max() <= (rough.error + 1e-6) * exact.max()


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (-0.2, 3.0)])
@pytest.mark.thorough(first=1)
def test_kinks_anywhere_take_no_quadrature_of_pairs(low: float, high: float, monkeypatch: pytest.MonkeyPatch) -> None:
    act = from_function(lambda x: jnp.clip(x, low, high), kinks=(low, high))
    x = np.random.default_rng(4).normal(size=(6, 5)) * np.linspace(0.5, 1.0, 6)[:, None]
    exact = np.asarray(kernels(act, jnp.asarray(x), depth=9, **BIASED).ntk)
    for home, name in ((module, "kernels"), (close, "_recomputed")):
        monkeypatch.setattr(home, name, lambda *_, **__: pytest.fail("a quadrature for a pair"))
    found = gram(act, x, depth=9, **BIASED)
    assert found.error < 1e-6
    assert np.abs(np.asarray(found.ntk) - exact).max() <= (found.error + ERROR["float64"]) * exact.max()


@pytest.mark.parametrize("depth", [20, 260])
def test_chaotic_kernels_keep_their_diagonal(depth: int) -> None:
    """It grows out of float32, and at depth 2000 out of float64; K(x, x) = q + chi K(x, x) of the layer before."""
    x, act, options = inputs(False)[:3], NAMED["tanh"], {"sigma_b": 0.2, "sigma_w": 2.5}
    found, wide = (gram(act, x, depth=depth, dtype=dtype, **options) for dtype in ("float32", "float64"))
    q = 0.2**2 + 2.5**2 * np.sum(x**2, axis=1) / x.shape[1]
    kernel = q
    for _ in range(depth - 1):
        slopes = np.asarray(chi(act, jnp.asarray(q), sigma_w=2.5))
        q = np.asarray(variance_map(act, jnp.asarray(q), sigma_b=0.2, sigma_w=2.5))
        kernel = q + slopes * kernel
    np.testing.assert_allclose(np.diag(wide.nngp), q, rtol=1e-12)
    np.testing.assert_allclose(np.diag(wide.ntk), kernel, rtol=1e-11)
    np.testing.assert_allclose(np.diag(plain(found)[1]), kernel, rtol=3e-6)
    assert wide.error < 1e-9 and float(found.log_ntk > 60) == (depth == 260) and float(wide.log_ntk) == 0
    with pytest.raises(ValueError, match="leave the range of float64"):
        gram(act, x, depth=2000, **options)


@pytest.mark.parametrize("name, one_norm, sigma_w", [("erf", True, 1.3), ("erf", True, 3.0), ("tanh", False, 1.3)])
def test_every_depth_is_a_single_depth(name: str, one_norm: bool, sigma_w: float) -> None:
    x, act, options = inputs(one_norm), NAMED[name], {"sigma_b": 0.2, "sigma_w": sigma_w}
    depths = [1, 2, 9, 30]
    every = gram(act, x, depth=depths, **options)
    for at, depth in enumerate(depths):
        single = gram(act, x, depth=depth, **options)
        for part in ("nngp", "ntk"):
            one, many = getattr(single, part), getattr(every, part)[at]
            np.testing.assert_allclose(many, one, rtol=2e-12, atol=2e-13 * float(one.max()))
            np.testing.assert_array_equal(np.diag(many), np.diag(one)) if name == "erf" else None


def test_residual_networks_of_any_depth_in_float32() -> None:
    """The kernel of depth 5000 is beyond 1e1500: it grows twofold a layer, and tends to a quarter of its diagonal."""
    x = inputs(False)
    found = gram(NAMED["relu"], x, depth=5000, architecture="residual", dtype="float32", **EDGE)
    assert np.isfinite(found.ntk).all() and np.isfinite(found.nngp).all()
    expected = 4999 * np.log(2) + np.log(np.sum(x[0] ** 2) / 5 * 2 * (1 + 4999 * 0.5))
    assert float(np.log(found.ntk[0, 0]) + found.log_ntk) == pytest.approx(expected, rel=1e-7)
    size = np.sqrt(np.outer(np.diag(found.ntk), np.diag(found.ntk)))
    assert np.abs(found.ntk / size)[0, 1:6] == pytest.approx(0.25, abs=3e-3)


@settings(max_examples=6)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["relu", "tanh"]), one_norm=st.booleans())
def test_what_holds_for_any_inputs(seed: int, name: str, one_norm: bool) -> None:
    """Symmetric, positive semi-definite to rounding, the same for permuted and for turned inputs."""
    rng = np.random.default_rng(seed)
    x, order, turn = rng.normal(size=(5, 3)), rng.permutation(5), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if one_norm else x
    sigma_b = 0.2 if name == "tanh" else 0.0
    call = partial(gram, NAMED[name], depth=3, sigma_b=sigma_b, sigma_w=1.4)
    first, mixed, turned = (call(rows).ntk for rows in (x, x[order], x @ turn))
    np.testing.assert_array_equal(first, first.T)
    assert np.linalg.eigvalsh(first).min() > -1e-9 * float(first.max())
    np.testing.assert_allclose(mixed, np.asarray(first)[np.ix_(order, order)], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(turned, first, rtol=1e-9, atol=1e-12)


def test_depth_compiles_nothing_anew() -> None:
    functions = (module._scaled, module.look_up, profiles._iterate, hermite.layers, hermite.advance)
    cases = [("relu", True, EDGE), ("tanh", False, BIASED)]

    def compiled(depth: int) -> list[int]:
        for name, one_norm, options in cases:
            gram(NAMED[name], inputs(one_norm), depth=depth, **options)
        return [function._cache_size() for function in functions]

    assert compiled(3) == compiled(300)


@pytest.mark.thorough
def test_what_no_table_resolves_goes_pair_by_pair() -> None:
    """Odd but for a hair: opposite inputs part within an angle that no panel shows; shallow, the expansion takes over,
    and deep, where chaos magnifies its rounding, the recursion."""
    act = from_function(lambda x: jnp.tanh(x) + 1e-9, name="nearly_odd")
    with pytest.raises(RuntimeError, match="not resolved in the angle"):
        profiles.profile(act, [60], sigma_b=0.0, sigma_w=2.0, q0=1.0)
    x = inputs(True)[[0, 3, 4]]
    found, shallow = (gram(act, x, depth=depth, sigma_b=0.0, sigma_w=2.0) for depth in (60, 3))
    deep, other = (kernels(act, jnp.asarray(x), depth=depth, sigma_b=0.0, sigma_w=2.0) for depth in (60, 3))
    np.testing.assert_array_equal(found.ntk, deep.ntk)
    np.testing.assert_allclose(shallow.ntk, other.ntk, rtol=1e-8)


@pytest.mark.parametrize("degrees", [5, 40, 65, 88, 100, 150])
def test_a_table_is_tested_at_every_angle(degrees: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step anywhere, and the table does not stand for the kernel."""
    found, smooth = profiles.profile(NAMED["relu"], [3], **EDGE), tables._ratios
    tables.lookup(found)
    monkeypatch.setattr(
        tables, "_ratios", lambda f, gaps, angles: smooth(f, gaps, angles) + (angles > np.radians(degrees))
    )
    with pytest.raises(RuntimeError, match="not resolved in the angle"):
        tables.lookup(found)


def test_a_steep_kernel_keeps_its_diagonal_and_says_how_well_it_is_known() -> None:
    """SELU deep in its chaotic phase: K(x, x) = (chi^L - 1)/(chi - 1) at q = 1, and next to nothing between inputs."""
    x = inputs(True)[[0, 3, 4]]
    found = gram(NAMED["selu"], x * (x.shape[1] ** 0.5 / np.linalg.norm(x[0])), depth=300, sigma_b=0.0, sigma_w=1.0)
    slope = float(chi(NAMED["selu"], jnp.array(1.0), sigma_w=1.0))
    size = (slope**300 - 1) / (slope - 1)
    np.testing.assert_allclose(np.diag(found.ntk), size, rtol=1e-11)
    assert ERROR["float64"] < found.error < 1e-9 and abs(found.ntk[0, 1]) < found.error * size


def test_depths_with_little_in_common_get_tables_of_their_own() -> None:
    """Deep in the chaotic phase the kernel falls steeply at one angle after another: no few functions span them."""
    flat, steep = (
        profiles.profile(NAMED["erf"], np.arange(1, 41), sigma_b=0.2, sigma_w=sigma_w, q0=1.0) for sigma_w in (1.0, 4.0)
    )
    found = stacks.stack(flat)
    assert found is not None and stacks.stack(steep) is None
    assert found.weights.shape[1] < 20  # of 80 kernels
    folds = np.array([0.9, 0.05, -0.4])
    values = found.weights @ stacks.at_folds(found, folds)[:-1]
    gaps = np.where(folds < 0, 2.0 + folds, folds)
    np.testing.assert_allclose(values[40:], profiles.ntk_ratio(flat, gaps), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(values[:40], 1.0 - profiles.nngp_delta(flat, gaps), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("depth", [4, 20])
@pytest.mark.parametrize("name", ["elu", "softplus"])
def test_a_kernel_out_of_float64_is_refused_wherever_it_leaves(name: str, depth: int) -> None:
    """At a layer whose variance has no square, or after it, where variances are no numbers any more."""
    with pytest.raises(ValueError, match="depth: the kernels leave the range of float64"):
        gram(NAMED[name], inputs(False), depth=depth, sigma_b=0.0, sigma_w=1e50)


def test_zero_rows() -> None:
    x = np.array([[0.0, 0.0], [1.0, 2.0], [0.5, -1.0]])
    for name in ("relu", "erf", "tanh"):
        found = gram(NAMED[name], x, depth=3, sigma_b=0.0, sigma_w=1.2)
        assert (found.ntk[0] == 0).all() and (found.nngp[:, 0] == 0).all() and found.ntk[1, 1] > 0
        biased = gram(NAMED[name], x, depth=3, **BIASED)
        other = kernels(NAMED[name], jnp.asarray(x), depth=3, **BIASED)
        np.testing.assert_allclose(biased.ntk, other.ntk, rtol=1e-6)


@pytest.mark.parametrize(
    "change, kind, message",
    [
        ({"x1": np.array([[1.0, np.nan]])}, ValueError, "x1: expected finite numbers, got NaN or infinity in row 0"),
        ({"x2": np.array([[1.0]])}, ValueError, "x2: expected 2 columns as in x1, got 1"),
        ({"x1": np.zeros(2)}, ValueError, r"x1: expected a matrix with one input a row, got shape \(2,\)"),
        ({"x1": np.zeros((0, 2))}, ValueError, "x1: expected at least one input, got none"),
        ({"depth": 0}, ValueError, "depth: expected a whole number of layers, at least 1, got 0"),
        ({"depth": [2, 2]}, ValueError, "depth: expected a depth, or increasing depths"),
        ({"dtype": "float16"}, ValueError, "dtype: expected one of float32, float64, got 'float16'"),
        ({"sigma_w": -1.0}, ValueError, "sigma_w: expected a standard deviation at least 0, got -1"),
        ({"architecture": "residul"}, ValueError, "expected one of ffnn, residual, got 'residul'; did you mean"),
    ],
)
def test_bad_input_gets_one_sentence(change: dict, kind: type, message: str) -> None:
    options = {"x1": np.array([[1.0, 2.0]]), "sigma_b": 0.0, "sigma_w": 1.0, "depth": 2} | change
    with pytest.raises(kind, match=message) as caught:
        inspect.unwrap(gram)(NAMED["relu"], **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [20, [3, 20]])
@pytest.mark.parametrize("name, sigma_w", [("erf", 1.2), ("tanh", 1.5), ("sin", 1.1)])
@pytest.mark.thorough(first=2)
def test_odd_networks_at_right_angles(name: str, sigma_w: float, depth: int | list[int]) -> None:
    """Without a bias their kernels go through zero there, between two branches of the table."""
    theta = 0.5 * np.pi + np.array([-0.2, -0.07, -0.02, -1e-3, 1e-6, 2e-4, 0.03, 0.1])
    x, one = np.sqrt(2) * np.stack([np.cos(theta), np.sin(theta)], axis=1), np.array([[np.sqrt(2), 0.0]])
    found = gram(NAMED[name], one, x, depth=depth, sigma_b=0.0, sigma_w=sigma_w)
    wanted = kernels(NAMED[name], jnp.asarray(one), jnp.asarray(x), depth=20, sigma_b=0.0, sigma_w=sigma_w)
    for part, exact in ((found.ntk, wanted.ntk), (found.nngp, wanted.nngp)):
        part = part if isinstance(depth, int) else part[-1]
        np.testing.assert_allclose(part, exact, rtol=0, atol=2e-11 * float(jnp.abs(exact).max()))


@pytest.mark.parametrize("name", ["erf", "tanh", "hard_tanh"])
def test_nothing_but_zero_rows_without_a_bias(name: str) -> None:
    found = gram(NAMED[name], np.zeros((2, 3)), depth=3, sigma_b=0.0, sigma_w=1.5)
    assert not np.asarray(found.ntk).any() and not np.asarray(found.nngp).any()


@pytest.mark.parametrize("sigma_w", [1.2, 1e50])
def test_one_variance_that_moves_has_not_settled(sigma_w: float) -> None:
    """Of one layer more, and inputs of one norm but for rounding: their variance is another one after it."""
    x, sigmas = np.array([[1.0, 2.0], [2.0 + 1e-12, 1.0]]), {"sigma_b": 0.2, "sigma_w": sigma_w}
    for rows in (x, np.zeros((1, 2))):
        found = gram(NAMED["erf"], rows, depth=2, **sigmas)
        exact = kernels(NAMED["erf"], jnp.asarray(rows), depth=2, **sigmas)
        np.testing.assert_allclose(found.ntk, exact.ntk, rtol=1e-12)
        np.testing.assert_allclose(found.nngp, exact.nngp, rtol=1e-12)


def test_a_variance_out_of_float64_is_refused_before_a_table_is_asked_for() -> None:
    with pytest.raises(ValueError, match="leave the range of float64"):
        gram(NAMED["identity"], np.array([[0.3, 2.5], [1.0, 0.2]]), depth=30, sigma_b=1.2, sigma_w=1e20)


@pytest.mark.parametrize("name, sigma_b, sigma_w, skip", [("sin", 0.0, 1e-150, False), ("elu", 1e50, 1e20, True)])
def test_variances_at_either_end_of_float64(name: str, sigma_b: float, sigma_w: float, skip: bool) -> None:
    """Right, or one sentence; no warning."""
    options = {"depth": 30, "sigma_b": sigma_b, "sigma_w": sigma_w, "architecture": "residual" if skip else "ffnn"}
    x = np.array([[0.0, -1.0], [0.0, 0.0], [2.0, 1.0]])
    if skip:
        with pytest.raises(ValueError, match="leave the range of float64"):
            gram(NAMED[name], x, dtype="float32", **options)
    else:
        assert np.abs(np.asarray(gram(NAMED[name], x, **options).ntk)).max() < 1e-290
