"""Laws in closed form, against the depth engine, expansions at small delta, mpmath and known constants."""

import math
import warnings
from functools import lru_cache

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from ntk_eoc import zonal
from ntk_eoc.activations import NAMED, SELU_ALPHA, SELU_LAMBDA, Activation, from_function, leaky_relu
from ntk_eoc.asymptotics import Law, curvature_terms, kink_terms, law
from ntk_eoc.depth import depth_kernels
from ntk_eoc.experiments.logarithm import SOFTSIGN
from ntk_eoc.gaussian import slope_gap


def _turned(x):
    """tanh up to 0.5, then downwards: a kink away from the origin with curvature on both of its sides."""
    beyond = jnp.tanh(x - 0.5)
    return jnp.where(x > 0.5, jnp.tanh(0.5) - 0.8 * beyond + 0.3 * beyond**2, jnp.tanh(x))


def _two_kinks(x):
    return jnp.where(x < -0.7, -0.7 + jnp.tanh(0.4 * (x + 0.7)), jnp.where(x > 0.4, 0.4 - 0.5 * (x - 0.4), x))


OWN = {
    "turned": from_function(_turned, [0.5], name="turned"),
    "two_kinks": from_function(_two_kinks, [-0.7, 0.4], name="two_kinks"),
    "softsign": SOFTSIGN,  # phi'' jumps
    "isrlu": from_function(  # only phi''' jumps: the smooth law
        lambda x: jnp.where(x > 0, x, x / jnp.sqrt(1 + jnp.minimum(x, 0.0) ** 2)), [0.0], name="isrlu"
    ),
}
LIMITS = {
    **dict.fromkeys(("relu", "leaky_relu", "selu", "hard_tanh", "turned", "two_kinks"), 0.25),
    **dict.fromkeys(("elu", "softsign", "tanh", "erf", "sin", "isrlu"), 1 / 3),
}
ROOTS = ("elu", "softsign")


def _act(name: str) -> Activation:
    return OWN.get(name) or NAMED[name]


@lru_cache
def _law(name: str) -> tuple[Law, float]:
    act = _act(name)
    found = law(act, sigma_b=0.0 if act.slopes else 0.2)
    return found, 1.0 if found.point.q is None else found.point.q


@lru_cache
def _deviation(name: str, gap: float = 0.7) -> np.ndarray:
    """K^L/q - limit L at L = 2^k, k = 0..18, of a pair whose first layer has delta = gap."""
    (found, q), depths = _law(name), 2 ** np.arange(19)
    layer = zonal.Layer(1.0, found.point.sigma_w**2, 1.0, 0.0)
    scan = zonal.depth_scan(zonal.table(_act(name), q), layer, gap, depths)
    return scan.kappa - found.limit * depths


def _measured(name: str, gap: float = 0.7) -> np.ndarray:
    """The coefficient at growing depths, after the next order has been taken away."""
    dev = _deviation(name, gap)
    if name not in ROOTS:  # dev = C log L + constant
        slope = np.diff(dev) / np.log(2)
        # a jump of the third derivative is felt one order later, as L^(-1/2): halved from L to 4 L
        return 2 * slope[2:] - slope[:-2] if name == "isrlu" else slope
    steps = dev[2:] - dev[:-2]  # dev = C sqrt L + c log L + constant: from L to 4 L, C sqrt L + c log 4
    return (steps[2:] - steps[:-2]) / 2.0 ** (0.5 * np.arange(len(steps) - 2))


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.thorough(first=2)
def test_coefficient_is_what_the_depth_engine_tends_to(name: str) -> None:
    found, _ = _law(name)
    error = np.abs(_measured(name) / found.coefficient - 1)
    assert error[-1] < 0.01
    assert error[-1] < 0.6 * error[-4] < 0.4 * error[-7]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.thorough(first=2)
def test_limit_and_rate_are_those_of_the_depth_engine(name: str) -> None:
    found, _ = _law(name)
    assert found.limit == pytest.approx(LIMITS[name], abs=1e-15)
    assert found.rate == ("L^(-1/2)" if name in ROOTS else "log(L)/L")
    distance = np.abs(_deviation(name)) / 2.0 ** np.arange(19)
    assert distance[-1] < 2e-3
    assert distance[-1] < 0.6 * distance[-3]
    wrong = {0.25: 1 / 3, 1 / 3: 0.25}[found.limit]  # and not to the other class's limit
    assert abs(found.limit + distance[-1] - wrong) > 0.08


@pytest.mark.parametrize("gap", [0.05, 1.4])
def test_the_coefficient_does_not_depend_on_the_inputs(gap: float) -> None:
    for name in ("relu", "tanh"):
        assert _measured(name, gap)[-1] == pytest.approx(_law(name)[0].coefficient, rel=0.01)


def test_residual_networks_begin_where_their_branches_keep_the_variance() -> None:
    point = law(NAMED["relu"], sigma_b=0.0, architecture="residual").point
    assert point.sigma_w == np.sqrt(2.0) and point.chi == pytest.approx(2.0, rel=1e-14)


@pytest.mark.parametrize("sigma_w", [0.5, 2.0])
def test_residual_networks_have_one_law_for_every_sigma_w(sigma_w: float) -> None:
    found = law(NAMED["relu"], sigma_b=0.0, sigma_w=sigma_w, architecture="residual")
    s = sigma_w**2 / 2
    assert (found.limit, found.coefficient) == (0.25, pytest.approx(3 / 8, abs=1e-12))
    assert found.point.chi == pytest.approx(1 + s, rel=1e-14)
    depths = 4 ** np.arange(1, 5)  # (1 + s)^L must stay a float64
    kernels = depth_kernels(NAMED["relu"], 0.3, depths, sigma_b=0.0, sigma_w=sigma_w, architecture="residual")
    distance = kernels.ntk / (kernels.q * depths * s / (1 + s)) - found.limit
    assert np.all(np.diff(np.abs(distance)[1:]) < 0)
    assert abs(distance[-1]) < 0.06


# --- the terms of the expansions ---------------------------------------------------------------


def _expansion(name: str, first_power: float, terms: int = 6) -> np.ndarray:
    """Coefficients of sigma_w^2 (E[phi'^2] - E[phi' phi']) in powers delta^(first_power + k/2), fitted at small
    delta: a witness that knows no formula for them."""
    (found, q), act = _law(name), _act(name)
    root = np.geomspace(1e-3, 4e-2, 24)
    values = found.point.sigma_w**2 * np.asarray(slope_gap(act, jnp.array(q), jnp.asarray(root**2)))
    design = root[:, None] ** np.arange(terms)
    return np.linalg.lstsq(design, values / root ** (2 * first_power), rcond=None)[0]


@pytest.mark.parametrize("name", ["relu", "selu", "turned", "two_kinks"])
def test_kink_terms_are_those_of_the_expansion(name: str) -> None:
    # delta' = delta - A delta^(3/2) - B delta^2 has the slope 1 - (3/2) A sqrt(delta) - 2 B delta
    found, q = _law(name)
    A, B = kink_terms(_act(name), q, found.point.sigma_w)
    fitted = _expansion(name, 0.5)
    assert A == pytest.approx(fitted[0] / 1.5, rel=1e-6)
    assert B == pytest.approx(fitted[1] / 2, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("name", ["elu", "softsign", "tanh", "isrlu"])
def test_curvature_terms_are_those_of_the_expansion(name: str) -> None:
    found, q = _law(name)
    a, beta = curvature_terms(_act(name), q, found.point.sigma_w)
    fitted = _expansion(name, 1.0)
    assert a == pytest.approx(fitted[0], rel=1e-7)
    assert beta == pytest.approx(-1.5 * fitted[1], rel=1e-4, abs=1e-6)
    assert (beta > 1e-12) == (name in ROOTS)


def _below(q: float, power: int) -> mpmath.mpf:
    """E[exp(power sqrt(q) Z); Z < 0], what the exponential branch of ELU and SELU integrates to."""
    return mpmath.exp(power**2 * q / 2) * mpmath.ncdf(-power * mpmath.sqrt(q))


def test_terms_have_their_exact_values() -> None:
    q, sigma_w = 0.7, 1.1
    A, B = kink_terms(NAMED["relu"], 3.0, math.sqrt(2))
    assert A == pytest.approx(float(2 * mpmath.sqrt(2) / (3 * mpmath.pi)), rel=1e-14)
    assert B == 0
    kink, slope = SELU_LAMBDA * (1 - SELU_ALPHA), SELU_LAMBDA * SELU_ALPHA
    density = 1 / mpmath.sqrt(2 * mpmath.pi * q)
    A, B = kink_terms(NAMED["selu"], q, sigma_w)
    assert A == pytest.approx(float(2 * sigma_w**2 * mpmath.sqrt(q / mpmath.pi) / 3 * kink**2 * density), rel=1e-7)
    exact = sigma_w**2 * q / 2 * (slope**2 * _below(q, 2) + kink * slope * density)
    assert B == pytest.approx(float(exact), rel=1e-6)
    a, beta = curvature_terms(NAMED["elu"], q, sigma_w)
    assert a == pytest.approx(float(sigma_w**2 * q * _below(q, 2)), rel=1e-12)
    assert beta == pytest.approx(float(sigma_w**2 * q / (mpmath.sqrt(2) * mpmath.pi)), rel=1e-6)


def test_the_smooth_coefficient_from_moments_by_mpmath() -> None:
    found, q = _law("tanh")

    def moment(order: int) -> mpmath.mpf:
        def value(z):
            t = mpmath.tanh(mpmath.sqrt(q) * z)
            bend = -2 * t * (1 - t**2) if order == 2 else (1 - t**2) * (6 * t**2 - 2)
            return bend**2 * mpmath.npdf(z)

        return mpmath.quad(value, mpmath.linspace(-9, 9, 13))

    a, b = (found.point.sigma_w**2 * q ** (k - 1) * moment(k) for k in (2, 3))
    assert found.coefficient == pytest.approx(float((1 - 2 * b / (3 * a * a)) / 3), rel=1e-10)


@pytest.mark.parametrize("slope", [-1.0, -0.3, 0.2, 0.9])
def test_every_relu_like_activation_has_the_same_law(slope: float) -> None:
    found = law(leaky_relu(slope), sigma_b=0.0)
    assert (found.limit, found.coefficient) == (0.25, pytest.approx(3 / 8, abs=1e-12))
    assert found.point.sigma_w == pytest.approx(math.sqrt(2 / (1 + slope**2)), rel=1e-14)


# --- regularity, several points, bad input -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "regularity"),
    [("relu", "kink in phi"), ("turned", "kink in phi"), ("elu", "kink in phi'"), ("isrlu", "kink in phi''")]
    + [("tanh", "smooth")],
)
def test_the_first_kink_is_named(name: str, regularity: str) -> None:
    assert _law(name)[0].regularity == regularity


def test_a_point_can_be_chosen_by_its_sigma_w() -> None:
    point = _law("elu")[0].point
    for far in (4.95e-9, -4.95e-9):  # chi within 1e-8 of 1
        assert law(NAMED["elu"], sigma_b=0.2, sigma_w=point.sigma_w * (1 + far)) == _law("elu")[0]
        with pytest.raises(ValueError, match="sigma_w: expected a point of the Edge of Chaos"):
            law(NAMED["elu"], sigma_b=0.2, sigma_w=point.sigma_w * (1 + 1.02 * far))
    assert not law(NAMED["gelu"], sigma_b=0.2).point.stable  # said, not hidden


def test_kinks_that_are_not_there_are_named() -> None:
    act = Activation("tanh with marks", jnp.tanh, (-1.0, 0.5))
    with pytest.warns(UserWarning) as caught:
        found = law(act, sigma_b=0.2)
    places = [str(w.message) for w in caught]
    assert [place for place in ("-1", "0.5") if any(f"place {place}" in text for text in places)] == ["-1", "0.5"]
    assert found.coefficient == pytest.approx(_law("tanh")[0].coefficient, rel=1e-9)


def test_kinks_that_are_there_cause_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("relu", "hard_tanh", "elu", "two_kinks", "isrlu"):
            law(_act(name), sigma_b=0.0 if name == "relu" else 0.2)


BAD = [
    ("softplus", {"sigma_b": 0.2}, "sigma_b: expected a value at which softplus has .* there is none"),
    ("relu", {"sigma_b": 0.1}, "sigma_b: .* got 0.1, where there is none"),
    ("tanh", {"sigma_b": 0.0}, "sigma_b: .* only the degenerate one with variance 0"),
    ("tanh", {"sigma_b": 0.2, "sigma_w": 1.302}, "sigma_w: expected a point of the Edge of Chaos .* got 1.302"),
    ("tanh", {"sigma_b": -0.1}, "sigma_b: expected a standard deviation at least 0, got -0.1"),
    ("tanh", {"sigma_b": float("nan")}, "sigma_b: expected a finite number"),
    ("identity", {"sigma_b": 0.0}, "activation: identity is linear"),
    ("tanh", {"sigma_b": 0.2, "architecture": "resnet"}, "architecture: expected one of ffnn, residual, got 'resnet'"),
    ("tanh", {"sigma_b": 0.0, "architecture": "residual"}, "architecture: .* positively homogeneous .* got tanh"),
    ("relu", {"sigma_b": 0.2, "architecture": "residual"}, "architecture: .* with sigma_b = 0.2"),
]


@pytest.mark.parametrize(("name", "arguments", "sentence"), BAD)
def test_bad_input_gets_one_sentence(name: str, arguments: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        law(NAMED[name], **arguments)
    assert "\n" not in str(caught.value)
