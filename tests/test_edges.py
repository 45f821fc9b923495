"""Inputs at the edges of what there is: a right answer, or one sentence. Random ones are for the fuzzer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from ntk_eoc import angles, convolution, dynamics, gaussian, meanfield, profile, scaled, spectrum
from ntk_eoc.activations import NAMED, get, leaky_relu
from ntk_eoc.asymptotics import coefficient, kink_terms
from ntk_eoc.blocks.inputs import read
from ntk_eoc.conditioning import by_series
from ntk_eoc.depth import depth_kernels
from ntk_eoc.empirical import empirical_ntk
from ntk_eoc.errors import number, plain, reals
from ntk_eoc.kernels import kernels
from ntk_eoc.layerwise import contributions
from ntk_eoc.tables import table

EDGE = {"sigma_b": 0.0, "sigma_w": 2**0.5}
RELU, TANH, ERF = NAMED["relu"], NAMED["tanh"], NAMED["erf"]
X = np.array([[1.0, 2.0], [3.0, -1.0], [1.0, 2.0]])


@pytest.fixture(autouse=True)
def as_users_call_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the run-time checks of shapes and types that only tests have: they would answer first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


class Foreign:
    """Arrays of other libraries: ``__array__``, and perhaps a refusal."""

    def __init__(self, values: np.ndarray, refusal: str = "") -> None:
        self.values, self.refusal = values, refusal

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.refusal:  # as PyTorch does for a tensor with a gradient
            raise RuntimeError(self.refusal)
        return np.asarray(self.values, dtype=dtype)


def relu_ntk(x: Any, depth: int = 3) -> np.ndarray:
    return np.asarray(kernels(RELU, x, depth=depth, **EDGE).ntk)


@pytest.mark.parametrize(
    "x",
    [
        X.astype(int),
        X.tolist(),
        np.asfortranarray(X),
        np.repeat(X, 2, axis=1)[:, ::2],
        X[::-1][::-1],
        X.astype(np.float32),
        X.astype(">f8"),
        Foreign(X),
        jnp.asarray(X),
    ],
    ids=["int", "list", "fortran", "strided", "reversed", "float32", "big-endian", "foreign", "jax"],
)
def test_one_matrix_in_many_dresses(x: Any) -> None:
    np.testing.assert_array_equal(relu_ntk(x), relu_ntk(X))
    values = np.asarray(plain("x", x), dtype=float)
    np.testing.assert_array_equal(angles.input_gaps(x), angles.input_gaps(values))
    q = Foreign(np.abs(values)) if isinstance(x, Foreign) else np.abs(values)
    np.testing.assert_array_equal(
        gaussian.second_moment(ERF, q), gaussian.second_moment(ERF, jnp.asarray(np.abs(values)))
    )


def test_a_pandas_frame_is_a_matrix() -> None:
    pandas = pytest.importorskip("pandas")
    np.testing.assert_array_equal(relu_ntk(pandas.DataFrame(X)), relu_ntk(X))
    assert gaussian.second_moment(RELU, pandas.Series([1.0, 2.0])).tolist() == [0.5, 1.0]
    with pytest.raises(TypeError, match="x1: expected an array of real numbers, got DataFrame"):
        relu_ntk(pandas.DataFrame({"a": ["x", "y"]}))


def test_equal_opposite_and_repeated_inputs() -> None:
    found = kernels(TANH, np.array([[1.0, 0.5], [1.0, 0.5], [-1.0, -0.5]]), sigma_b=0.0, sigma_w=1.5, depth=4)
    assert found.delta[0, 1] == 0.0 == found.delta[0, 0] and found.delta[0, 2] == 2.0
    np.testing.assert_allclose(found.ntk[0], float(found.ntk[0, 0]) * np.array([1.0, 1.0, -1.0]), rtol=1e-13)
    assert (angles.input_gaps(X)[0] == angles.input_gaps(X)[2]).all()


def test_one_point_and_none_and_the_first_layer() -> None:
    np.testing.assert_allclose(relu_ntk(X[:1]), relu_ntk(X)[:1, :1], rtol=1e-14)
    assert relu_ntk(X[:0]).shape == (0, 0) == angles.input_gaps(X[:0]).shape
    assert kernels(RELU, X, X[:0], depth=2, **EDGE).ntk.shape == (3, 0)
    first = kernels(ERF, X, sigma_b=0.3, sigma_w=1.2, depth=1)
    np.testing.assert_allclose(first.ntk, 0.09 + 1.44 * X @ X.T / 2, rtol=1e-13)
    np.testing.assert_allclose(first.nngp, first.ntk, rtol=1e-13)


@pytest.mark.parametrize("size", [1e-150, 1e-40, 1e40])
def test_huge_and_tiny_inputs_scale(size: float) -> None:
    np.testing.assert_allclose(relu_ntk(X * size) / size / size, relu_ntk(X), rtol=1e-12)


def test_sizes_that_float64_cannot_square() -> None:
    """1e150 squared leaves float64; 1e-200 squared is 0, as is the kernel then. At 1e-150 a product of two variances
    once left float64, and the kernel lost a third."""
    with pytest.raises(ValueError, match=r"x1: expected numbers up to 1e\+50"):
        relu_ntk(X * 1e150)
    for size in (5e-324, 1e-310, 1e-200):
        found = kernels(RELU, X * size, depth=3, **EDGE)
        assert (np.asarray(found.ntk) == 0).all() and np.isfinite(found.delta).all()


@pytest.mark.parametrize("act", [RELU, TANH, ERF])
def test_no_weights_and_no_bias(act: Any) -> None:
    nothing = kernels(act, X, sigma_b=0.0, sigma_w=0.0, depth=3)
    assert (np.asarray(nothing.ntk) == 0).all() and (np.asarray(nothing.delta) == 1).all()
    bias = kernels(act, X, sigma_b=0.5, sigma_w=0.0, depth=3)
    np.testing.assert_allclose(bias.ntk, 0.25, rtol=1e-14)
    assert (np.asarray(bias.delta) == 0).all()


def test_tiny_biases_are_none() -> None:
    for sigma_b in (5e-324, 1e-310, 1e-160):
        assert meanfield.limit_variance(TANH, sigma_b=sigma_b, sigma_w=0.6) == 0.0
        assert meanfield.phase(TANH, sigma_b=sigma_b, sigma_w=0.6).c_star is None


def test_variances_at_the_edges() -> None:
    for q in (0.0, 5e-324, 1e-310, 1e-200):
        assert float(meanfield.chi(TANH, q, sigma_w=1.0)) == pytest.approx(1.0, rel=1e-14)
    assert np.isfinite(gaussian.second_moment(TANH, 1e100))
    assert float(meanfield.variance_slope(TANH, 1e-200, sigma_w=1.0)) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("sigma_b", [0.0, 1e-310, 0.3])
def test_a_layer_of_biases_alone_tells_no_two_inputs_apart(sigma_b: float) -> None:
    """Without weights both outputs are the bias, also where its square is zero in floating point."""
    assert float(meanfield.correlation_map(TANH, 1.0, 0.5, sigma_b=sigma_b, sigma_w=0.0)) == 0.0


def test_no_correlation_leaves_its_interval_by_rounding() -> None:
    """tanh's quadrature gave 2.0000000000000004 for opposite inputs."""
    for q in (0.3, 1.0, 4.0):
        assert float(meanfield.correlation_map(TANH, q, 2.0, sigma_b=0.0, sigma_w=1.0)) <= 2.0


def test_one_slope_is_one_activation() -> None:
    """So that what was compiled and tabulated for it serves again."""
    assert get("leaky_relu:0.3") == leaky_relu(0.3) == get("leaky_relu:0.3")


def test_inputs_whose_square_is_zero_have_no_kernel() -> None:
    found = depth_kernels(RELU, 0.5, [1, 3], sigma_b=0.0, sigma_w=1e-3, q0=1e-320)
    assert (found.ntk == 0).all() and (found.ntk_diagonal == 0).all() and (found.delta == 1).all()


def test_a_number_in_words_is_one_to_every_layer() -> None:
    assert contributions(RELU, 1.0, 2, sigma_b="0", sigma_w="2").tolist() == [8.0, 8.0]


def test_a_file_of_inputs_that_float64_cannot_square(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", 1e200 * X)
    with pytest.raises(ValueError, match=r"inputs: expected numbers up to 1e\+50, got 3e\+200 in"):
        read(tmp_path / "x.npy")


def linear(params: jax.Array, x: jax.Array) -> jax.Array:
    return x @ params


LONE, FOUR = np.ones((1, 1, 4)), np.ones(4)
FAINT, STRONG = {"sigma_b": 0.0, "sigma_w": 1e-200}, {"sigma_b": 0.0, "sigma_w": 1e50}
DIAGONAL = dynamics.decompose(jnp.eye(2))
REFUSED: list[tuple[Callable[[], Any], type, str]] = [
    (lambda: gaussian.second_moment(TANH, -1.0), ValueError, "q: expected finite numbers from 0 to 1e+100, got -1"),
    (lambda: gaussian.second_moment(RELU, [1.0, np.nan]), ValueError, "q: expected finite numbers"),
    (lambda: gaussian.expectation(jnp.cos, "x"), TypeError, "q: expected an array of real numbers, got str"),
    (lambda: gaussian.expectation(jnp.cos, 1j), TypeError, "q: expected an array of real numbers, got complex"),
    (lambda: gaussian.expectation(jnp.cos, [None]), TypeError, "q: expected an array of real numbers, got list"),
    (lambda: gaussian.pair(RELU, 1.0, 1.0, 2.5), ValueError, "delta: expected finite numbers from 0 to 2, got 2.5"),
    (lambda: gaussian.slope_gap(ERF, 1.0, [-0.1]), ValueError, "delta: expected finite numbers from 0 to 2"),
    (lambda: gaussian.slope_gap(ERF, np.inf, [0.1]), ValueError, "q: expected finite numbers"),
    (
        lambda: spectrum.funk_hecke([[1e99]], [1.0], [9.0], 3, 1),
        ValueError,
        "gaps: expected finite numbers from -1e+50",
    ),
    (lambda: meanfield.variance_slope(TANH, 0.0, sigma_w=1.0), ValueError, "q: expected finite numbers from 1e-280"),
    (lambda: meanfield.chi(TANH, 1.0, sigma_w=-1.0), ValueError, "sigma_w: expected a standard deviation at least 0"),
    (lambda: meanfield.chi(TANH, 1.0, sigma_w=1e308), ValueError, "sigma_w: expected at most 1e+50"),
    (lambda: meanfield.variance_map(TANH, 1.0, sigma_b=1j, sigma_w=1.0), TypeError, "sigma_b: expected a real number"),
    (
        lambda: meanfield.limit_variance(TANH, sigma_b=0.1, sigma_w=1.0, q0=-1),
        ValueError,
        "q0: expected a number",
    ),
    (
        lambda: meanfield.chaotic_delta(TANH, 1.0, sigma_b=0.5, sigma_w=0.5),
        ValueError,
        "q: expected a variance",
    ),
    (lambda: meanfield.chaotic_delta(TANH, -1.0, sigma_b=0.0, sigma_w=2.0), ValueError, "q: expected a number above 0"),
    (
        lambda: depth_kernels(RELU, 0.5, [1], gap=3.0, **EDGE),
        ValueError,
        "gap: expected 1 - cosine, from 0 to 2",
    ),
    (lambda: depth_kernels(RELU, 0.5, [1], gap="x", **EDGE), TypeError, "gap: expected a real number, got 'x'"),
    (lambda: depth_kernels(RELU, 0.5, 5, **EDGE), TypeError, "depths: expected a list of numbers, got 5"),
    (lambda: depth_kernels(RELU, 0.5, [], **EDGE), ValueError, "depths: expected increasing depths, at least one"),
    (lambda: profile.profile(RELU, "12", **EDGE), TypeError, "depths: expected a list of numbers, got '12'"),
    (lambda: leaky_relu(float("nan")), ValueError, "slope: expected a finite number, got nan"),
    (lambda: leaky_relu(1e60), ValueError, "slope: expected a number of at most 1e+50 in size"),
    (lambda: leaky_relu(10**400), TypeError, "slope: expected a real number"),
    (lambda: number("x", np.ones(1)), TypeError, "x: expected a real number, got array([1.])"),
    (lambda: reals("x", Foreign(X, "needs grad")), TypeError, "x: expected an array of real numbers, got Foreign"),
    (lambda: relu_ntk(Foreign(X, "needs grad")), TypeError, "x1: expected an array of real numbers, got Foreign"),
    (lambda: dynamics.decompose(Foreign(X, "needs grad")), TypeError, "gram: expected an array of real numbers"),
    (lambda: dynamics.flow(DIAGONAL, "x"), TypeError, "times: expected an array of real numbers, got str"),
    (lambda: coefficient(RELU, 1.0, 1e-310), ValueError, "sigma_w: expected a point of the Edge of Chaos"),
    (lambda: coefficient(get("silu"), 1e50, 1e-150), ValueError, "sigma_w: expected a point of the Edge of Chaos"),
    (
        lambda: coefficient(NAMED["identity"], 1.0, 1.0),
        ValueError,
        "activation: identity is linear",
    ),
    (lambda: kink_terms(RELU, 0.0, 1.0), ValueError, "q: expected a number above 0"),
    (lambda: depth_kernels(RELU, 0.5, [1, [2]], **EDGE), TypeError, "depths: expected a list of numbers, got [1, [2]]"),
    (lambda: depth_kernels(RELU, 0.5, [10**20], **EDGE), ValueError, "depth: expected at most 1e+15 layers"),
    (lambda: profile.profile(RELU, [1], **FAINT), ValueError, "sigma_w: expected a variance"),
    (lambda: by_series(TANH, 2, q0=1.0, **FAINT), ValueError, "sigma_w: expected a variance of the first layer"),
    (lambda: table(TANH, 1e40), RuntimeError, "table: tanh is not resolved in the angle at variance 1e+40; expected"),
    (lambda: spectrum.multiplicity(3, None), TypeError, "degrees: expected an array of real numbers, got NoneType"),
    (lambda: spectrum.multiplicity(3, [0.5]), ValueError, "degrees: expected whole numbers, got 0.5"),
    (lambda: spectrum.multiplicity(10**9, [1]), ValueError, "dimension: expected a whole number from 2 to 1000000"),
    (lambda: spectrum.nodes(3, 1e308), ValueError, "highest: expected a whole number from 0 to 20000, got 1e+308"),
    (
        lambda: dynamics.fitted(dynamics.flow(DIAGONAL, np.inf), 1e308 * np.ones((2, 1)), -1e308 * np.ones((2, 1))),
        ValueError,
        "y: expected targets and outputs that predictions can be made of",
    ),
    (lambda: empirical_ntk(linear, X, "2"), TypeError, "x1: expected an array of real numbers, got str"),
    (lambda: empirical_ntk(linear, X, None), TypeError, "x1: expected an array of real numbers, got NoneType"),
    (lambda: dynamics.decompose(np.eye(2), rounding=[1.0]), TypeError, "rounding: expected a real number, got"),
    (
        lambda: by_series(get("gelu"), 7, sigma_b=0.1, sigma_w=1e50, q0=1.0),
        ValueError,
        "depth: the kernel leaves the range",
    ),
    (lambda: spectrum.funk_hecke(X, FOUR, FOUR, 3, 1), ValueError, "gaps: expected rows with a value at each of the"),
    (lambda: spectrum.spectrum(RELU, [2], dimension=3, highest=1.5, **EDGE), ValueError, "highest: expected a whole"),
    (lambda: scaled.scaled_depths(RELU, 0.0, 5, sigma_w=1.0), TypeError, "depths: expected a list of numbers, got 5"),
    (lambda: scaled.scaled_depths(RELU, 0.0, [5], sigma_w=1.0, engine=0), ValueError, "engine: expected a whole"),
    (lambda: scaled.scaled_kernels(RELU, X, X[:, :1], depth=2, **EDGE), ValueError, "x2: expected 2 columns as in x1"),
    (lambda: scaled.scaled_kernels(RELU, X, depth=7, **STRONG), ValueError, "depth: the kernels leave the range of"),
    (lambda: scaled.branch_share(RELU, None), TypeError, "sigma_w: expected a real number, got None"),
    (lambda: scaled.branch_share(RELU, 1e40), ValueError, "sigma_w: expected sigma_w^2 E[phi'^2] of at most 1e+50"),
    (lambda: scaled.tau("x", 1, 2), TypeError, "s: expected a real number, got 'x'"),
    (lambda: scaled.tau(1.0, 2, 1), ValueError, "end: expected a depth no less than the one to begin at"),
    (lambda: scaled.tau(1.0, [1, 2], [3, 4, 5]), ValueError, "end: expected as many depths as begin has"),
    (lambda: scaled.continued(TANH, 1.0, (1.0, 0.0), (1, 2)), ValueError, "act: expected a positively homogeneous"),
    (lambda: scaled.continued(RELU, 1.0, (1.0,), (1, 2)), ValueError, "state: expected two numbers, got 1"),
    (lambda: scaled.continued(RELU, 1.0, (3.0, 0.0), (1, 2)), ValueError, "state: expected finite numbers from 0 to 2"),
    (lambda: scaled.continued(RELU, 1.0, (1.0, 0.0), (3, 1)), ValueError, "between: expected a depth and a deeper one"),
    (lambda: convolution.check_images("x", LONE, "x"), TypeError, "filter_size: expected a real number, got 'x'"),
    (lambda: convolution.check_images("x", 1j * LONE, 3), TypeError, "x: expected an array of real numbers"),
    (lambda: convolution.check_images("x", 1e60 * LONE, 3), ValueError, "x: expected numbers up to 1e+50"),
    (lambda: convolution.conv_kernels(RELU, LONE, depth=7, **STRONG), ValueError, "depth: the kernels leave the"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), REFUSED, ids=[sentence for _, _, sentence in REFUSED])
def test_what_is_refused_in_one_sentence(call: Callable[[], Any], kind: type, sentence: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind and str(caught.value).startswith(sentence) and "\n" not in str(caught.value)
