"""Activations: values, derivatives, declared kinks, the reader's own functions, and what is refused."""

import inspect
import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ntk_eoc import errors
from ntk_eoc.activations import NAMED, Activation, derivative, from_function, get
from ntk_eoc.gaussian import expectation

X = np.concatenate([np.linspace(-8.0, 8.0, 41), [-700.0, -40.0, -1e-3, 1e-8, 40.0, 700.0]]) + 1e-9

# Written out by hand: phi and phi', in SciPy's own functions.
BY_HAND: dict[str, tuple[Callable, Callable]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "leaky_relu": (lambda x: np.maximum(x, 0.01 * x), lambda x: np.where(x > 0, 1, 0.01)),
    "prelu": (lambda x: np.maximum(x, 0.25 * x), lambda x: np.where(x > 0, 1, 0.25)),
    "identity": (lambda x: x, np.ones_like),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x: np.exp(np.minimum(x, 0))),
    "selu": (
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
        lambda x: 1.0507009873554805 * np.where(x > 0, 1, 1.6732632423543772 * np.exp(np.minimum(x, 0))),
    ),
    "tanh": (np.tanh, lambda x: 4 * special.expit(2 * x) * special.expit(-2 * x)),
    "erf": (special.erf, lambda x: 2 * np.exp(-(x**2)) / math.sqrt(math.pi)),
    "sigmoid": (special.expit, lambda x: special.expit(x) * special.expit(-x)),
    "softplus": (lambda x: -special.log_expit(-x), special.expit),
    "silu": (lambda x: x * special.expit(x), lambda x: special.expit(x) * (1 + x * special.expit(-x))),
    "gelu": (lambda x: x * stats.norm.cdf(x), lambda x: stats.norm.cdf(x) + x * stats.norm.pdf(x)),
    "sin": (np.sin, np.cos),
    "hard_tanh": (lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) < 1) * 1.0),
}


@pytest.mark.parametrize("name", NAMED)
def test_values_and_slopes(name: str) -> None:
    act = NAMED[name]
    for fn, exact in zip((act.phi, derivative(act)), BY_HAND[name], strict=True):
        error = np.abs(np.asarray(fn(jnp.asarray(X))) - exact(X))
        assert (error <= 1e-13 * np.abs(exact(X)) + 4e-16 * np.maximum(1, np.abs(X))).all()


@pytest.mark.parametrize("name", NAMED)
def test_derivatives_stay_finite_far_out(name: str) -> None:
    """An untaken branch must not leak inf * 0: derivatives at -700 and gradients at 800 are numbers."""
    for order in range(4):
        assert np.isfinite(derivative(NAMED[name], order)(jnp.asarray(X))).all()
    backwards = jax.vmap(jax.grad(NAMED[name].phi))(jnp.array([-800.0, 800.0]))
    np.testing.assert_allclose(backwards, BY_HAND[name][1](np.array([-800.0, 800.0])), atol=1e-12)


@pytest.mark.parametrize("name", NAMED)
def test_second_derivative_is_the_slope_of_the_first(name: str) -> None:
    x, step = np.linspace(-3.05, 3.05, 24), 1e-5
    slope = BY_HAND[name][1]
    found = derivative(NAMED[name], 2)(jnp.asarray(x))
    np.testing.assert_allclose(found, (slope(x + step) - slope(x - step)) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("name", NAMED)
def test_kinks_are_where_smoothness_ends(name: str) -> None:
    """Some derivative up to the third jumps at every declared kink, and none on a grid of other places."""
    act = NAMED[name]
    around = [(k, True) for k in act.kinks] + [(x, False) for x in np.arange(-3.0, 3.5, 0.5) if x not in act.kinks]
    for place, expected in around:
        sides = [[float(derivative(act, order)(jnp.array(place + s))) for order in range(3)] for s in (1e-9, -1e-9)]
        assert (np.abs(np.subtract(*sides)) > 1e-6).any() == expected, place


@pytest.mark.parametrize("name", NAMED)
def test_slopes_say_whether_it_is_homogeneous(name: str) -> None:
    act, x = NAMED[name], np.array([-2.0, -0.4, 0.3, 1.7])
    scaled = np.asarray(act.phi(jnp.asarray(3.0 * x)))
    homogeneous = np.allclose(scaled, 3.0 * np.asarray(act.phi(jnp.asarray(x))), rtol=1e-12)
    assert homogeneous == (act.slopes is not None)
    if act.slopes:
        assert act.slopes == (float(act.phi(jnp.array(1.0))), -float(act.phi(jnp.array(-1.0))))


def test_prelu_takes_another_slope() -> None:
    phi, x = get("prelu").phi, jnp.array([-2.0, -0.4, 0.3, 1.7])
    np.testing.assert_allclose(phi(x, jnp.array(0.7)), np.maximum(x, 0) + 0.7 * np.minimum(x, 0), rtol=1e-15)
    by_slope = jax.jacfwd(lambda a: phi(x, a))(0.7)
    np.testing.assert_array_equal(by_slope, np.minimum(x, 0))


def test_selu_constants_make_unit_variance_a_fixed_point() -> None:
    act, one = NAMED["selu"], jnp.array(1.0)
    assert abs(float(expectation(act.phi, one, act.kinks))) < 1e-14
    assert abs(float(expectation(lambda x: act.phi(x) ** 2, one, act.kinks)) - 1) < 1e-14


def test_every_named_activation_says_where_it_comes_from() -> None:
    assert list(NAMED) == [act.name.split(":")[0] for act in NAMED.values()]
    assert all(act.source and "\n" not in act.source for act in NAMED.values())
    asked = "relu, leaky_relu, prelu, elu, selu, tanh, erf, sigmoid, softplus, silu, gelu, sin, hard_tanh, identity"
    assert set(NAMED) == set(asked.split(", "))


def test_get_by_name_by_slope_and_as_it_is() -> None:
    assert get("tanh") is NAMED["tanh"] and get(NAMED["elu"]) is NAMED["elu"]
    assert get("leaky_relu").slopes == (1.0, 0.01) and get("leaky_relu:0.25").slopes == (1.0, 0.25)
    assert get("leaky_relu:0.25").name == "leaky_relu:0.25"
    assert get("prelu").slopes == (1.0, 0.25) and get("prelu:0.1").slopes == (1.0, 0.1)
    assert get("prelu:0.1") == get("prelu:0.1") and hash(get("prelu:0.1"))  # one compilation, not one per call
    straight = get("leaky_relu:1")
    assert straight.kinks == () and straight.slopes == (1.0, 1.0)


def write(tmp_path: Path, body: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text("import jax.numpy as jnp\nimport numpy as np\n" + body)
    return str(path)


def test_a_function_from_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "def cut(x):\n    return jnp.clip(x, 0.0, 2.0)\n")
    act = get(f"{path}:cut", kinks=(2.0, 0.0))
    assert act.name == "mine.py:cut" and act.kinks == (0.0, 2.0) and act.slopes is None
    assert float(derivative(act)(jnp.array(1.0))) == 1.0


BROKEN = [
    ("def f(x):\n    return float(x)\n", TypeError, "expected a JAX-traceable function of one array"),
    ("def f(x):\n    return np.tanh(x)\n", TypeError, "expected a JAX-traceable function"),
    ("def f(x):\n    return x if x > 0 else 0.0\n", TypeError, "expected a JAX-traceable function"),
    ("def f(x):\n    return jnp.sum(x)\n", TypeError, "got shape"),
    ("def f(x):\n    return jnp.stack([x, x])\n", TypeError, "JAX-traceable|got shape"),
    ("def f(x):\n    return x - jnp.mean(x)\n", TypeError, "depends on the batch"),
    ("def f(x):\n    return jnp.log(x)\n", ValueError, r"expected finite values and slopes on \[-4, 4\], got NaN"),
    ("def f(x, y):\n    return x\n", TypeError, "expected a JAX-traceable function of one array"),
    ("f = 3\n", ValueError, "defines no function 'f'"),
    ("def g(x):\n    return x\n", ValueError, "defines no function 'f'"),
    ("raise OSError('gone')\n", ValueError, "fails when it runs: OSError: gone"),
    ("def f(x:\n", ValueError, "fails when it runs: SyntaxError"),
]


@pytest.mark.parametrize("body, kind, message", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_gets_one_sentence(tmp_path: Path, body: str, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        get(write(tmp_path, body) + ":f")
    sentence = str(caught.value)
    assert sentence.startswith("activation") and "\n" not in sentence and "mine.py" in sentence


@pytest.mark.parametrize(
    "spec, kind, message",
    [
        ("rleu", ValueError, "did you mean 'relu'?"),
        ("", ValueError, "expected one of relu, "),
        ("leaky_relu:steep", ValueError, "expected leaky_relu:SLOPE with a number, got 'leaky_relu:steep'"),
        ("prelu:steep", ValueError, "expected prelu:SLOPE with a number, got 'prelu:steep'"),
        ("leaky_relu:nan", ValueError, "slope: expected a finite number, got nan"),
        ("no/such/file.py:f", ValueError, r"activation: no file 'no/such/file.py' \(from 'no/such/file.py:f'\)"),
        (3, TypeError, "expected a name or an Activation, got int"),
        (None, TypeError, "expected a name or an Activation, got NoneType"),
    ],
)
def test_bad_specs(spec: object, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        inspect.unwrap(get)(spec)  # without the type checker of the tests, which would refuse it first
    assert "\n" not in str(caught.value)


def test_kinks_belong_to_the_readers_own_function() -> None:
    with pytest.raises(ValueError, match="kinks: given with the named activation 'tanh'"):
        get("tanh", kinks=(0.0,))
    with pytest.raises(ValueError, match="kinks: expected a finite number, got inf"):
        from_function(jnp.abs, kinks=(math.inf,))


def test_your_own_function_gets_a_name() -> None:
    act = from_function(lambda x: jnp.tanh(2 * x))
    assert "lambda" in act.name and act.kinks == () and isinstance(act, Activation)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: errors.check_sigma("sigma_w", -1), ValueError, "sigma_w: expected .*at least 0, got -1"),
        (lambda: errors.check_sigma("sigma_w", 0, positive=True), ValueError, "sigma_w: .*above 0, got 0"),
        (lambda: errors.check_sigma("sigma_b", math.inf), ValueError, "sigma_b: expected a finite number, got inf"),
        (lambda: errors.check_sigma("sigma_b", math.nan), ValueError, "sigma_b: expected a finite number, got nan"),
        (lambda: errors.check_sigma("sigma_b", 1e60), ValueError, "sigma_b: expected at most"),
        (lambda: errors.check_sigma("sigma_b", "wide"), TypeError, "sigma_b: expected a real number, got 'wide'"),
        (lambda: errors.check_sigma("sigma_b", 1j), TypeError, "sigma_b: expected a real number, got 1j"),
        (lambda: errors.check_cosine(1.0000001), ValueError, r"cosine: expected a number in \[-1, 1\], got 1"),
        (lambda: errors.check_cosine(math.nan), ValueError, "cosine: expected a finite number, got nan"),
        (lambda: errors.check_depth(0), ValueError, "depth: expected a whole number .*at least 1, got 0"),
        (lambda: errors.check_depth(2.5), ValueError, "depth: expected a whole number of layers.*got 2.5"),
        (lambda: errors.check_depth(None), TypeError, "depth: expected a real number, got None"),
        (lambda: errors.check_positive("q0", 0.0), ValueError, "q0: expected a number above 0.*got 0"),
        (lambda: errors.check_choice("colour", "blu", ["blue", "red"]), ValueError, "did you mean 'blue'"),
    ],
)
def test_one_sentence_names_the_argument(call: Callable, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and str(caught.value).count(". ") == 0


def test_good_values_pass_unchanged() -> None:
    assert errors.check_depth(np.int64(7)) == 7 and errors.check_sigma("sigma_b", 0) == 0.0
    assert errors.check_cosine(-1) == -1.0 and errors.check_choice("a", "b", ["b"]) == "b"
    with jax.enable_x64(False), pytest.raises(RuntimeError, match="float64"):
        errors.require_x64()
