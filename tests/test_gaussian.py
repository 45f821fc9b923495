"""Gaussian expectations against mpmath (values in oracle/, some computed again here), and against each other."""

import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import integrate, special

from ntk_eoc import gaussian
from ntk_eoc.activations import NAMED, Activation, derivative
from ntk_eoc.closed_forms import closed_form
from ntk_eoc.gaussian import Pair, expectation, pair, pair_by_panels, second_moment, second_moment_by_panels
from ntk_eoc.panels import REACH, SCALE, STEPS, Rule, choose_rule

ORACLE = json.loads((Path(__file__).parent / "oracle" / "gaussian_moments.json").read_text())
MOMENTS = {(row["activation"], row["order"]): row["moments"] for row in ORACLE["moments"]}
DEAREST = Rule(tuple(STEPS), tuple(SCALE), True)
PLAIN = Rule(tuple(np.linspace(-10.0, 10.0, 17)), (), True)  # what variances up to 4 need


def test_the_reference_file_covers_every_named_activation() -> None:
    assert {name for name, _ in MOMENTS} == set(NAMED)
    assert {order for _, order in MOMENTS} == {0, 1, 2}
    assert all(list(values) == ["1e-4", "1e-2", "1", "30", "1e3"] for values in MOMENTS.values())
    exact = [mpf(v) for values in MOMENTS.values() for v in values.values()]
    assert all(v >= 0 for v in exact) and "mpmath" in ORACLE["origin"]


SECH2: Callable = lambda x: mp.sech(x) ** 2  # noqa: E731
AGAIN = [("tanh", 1, "1", SECH2, ()), ("elu", 0, "1e-2", lambda x: x if x > 0 else mp.expm1(x), (0,))]
AGAIN += [("hard_tanh", 0, "30", lambda x: min(max(x, mpf(-1)), mpf(1)), (-1, 1))]


@pytest.mark.parametrize("name, order, q, fn, kinks", AGAIN, ids=lambda v: v if isinstance(v, str) else "")
def test_the_reference_file_is_what_mpmath_says(name: str, order: int, q: str, fn: Callable, kinks: tuple) -> None:
    """By another rule than the one that wrote the file: tanh-sinh in the activation's own argument."""
    with mp.workdps(34):
        variance = mpf(float(q))
        reach = 14 * mp.sqrt(variance)
        ends = sorted({reach * i / 14 for i in range(-14, 15)} | {mpf(k) for k in kinks})
        total = mp.quad(lambda x: fn(x) ** 2 * mp.exp(-x * x / (2 * variance)), ends)
        value = total / mp.sqrt(2 * mp.pi * variance)
        assert abs(value / mpf(MOMENTS[name, order][q]) - 1) < mpf(10) ** -25


def relative(found: jax.Array, exact: list[str]) -> np.ndarray:
    """Relative errors, formed in mpmath; an exact 0 must be met exactly."""
    pairs = [(mpf(float(f)), mpf(e)) for f, e in zip(found, exact, strict=True)]
    return np.array([float(abs(f / e - 1)) if e else float(f != 0) for f, e in pairs])


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", NAMED)
def test_second_moments_have_twelve_digits(name: str, order: int) -> None:
    row = MOMENTS[name, order]
    found = second_moment(NAMED[name], jnp.array([float(q) for q in row]), order)
    assert relative(found, list(row.values())).max() < 1e-12


@pytest.mark.parametrize("name", [name for name, act in NAMED.items() if closed_form(act)])
def test_panels_agree_where_the_closed_form_is_used(name: str) -> None:
    row = {q: v for q, v in MOMENTS[name, 0].items() if name != "sin" or float(q) <= 30}
    found = second_moment_by_panels(NAMED[name], jnp.array([float(q) for q in row]))
    assert relative(found, list(row.values())).max() < 1e-12


def test_polynomials_and_shapes() -> None:
    q = jnp.array([[0.3, 2.0, 50.0]])
    for power, factor in ((1, 0.0), (2, 1.0), (4, 3.0), (6, 15.0)):
        found = expectation(lambda x, power=power: x**power, q)
        assert found.shape == (1, 3)
        np.testing.assert_allclose(found, factor * q ** (power / 2), rtol=1e-13, atol=1e-13)


def test_a_kink_that_is_declared_is_split_at() -> None:
    """P(x > 0.37) for x ~ N(0, 2): to rounding with the kink declared, and not without."""
    exact = float(mp.ncdf(-0.37 / mp.sqrt(2)))

    def step(x: jax.Array) -> jax.Array:
        return jnp.where(x > 0.37, 1.0, 0.0)

    assert abs(float(expectation(step, jnp.array(2.0), (0.37,))) / exact - 1) < 1e-13
    assert abs(float(expectation(step, jnp.array(2.0))) / exact - 1) > 1e-4


@pytest.mark.parametrize("name", NAMED)
def test_variance_zero_is_the_limit_of_small_variances(name: str) -> None:
    act = NAMED[name]
    q = jnp.array([0.0, 1e-14, 1.0, 1.0, 1.0])  # five of them, as above
    at_zero, near = second_moment(act, q)[:2]
    np.testing.assert_allclose(at_zero, float(act.phi(jnp.array(0.0))) ** 2, rtol=1e-12, atol=1e-200)
    np.testing.assert_allclose(near, at_zero, rtol=1e-6, atol=1e-13)
    slopes = [float(derivative(act)(jnp.array(x))) ** 2 for x in (1e-9, -1e-9)]
    np.testing.assert_allclose(second_moment(act, q, 1)[0], np.mean(slopes), rtol=1e-8)


@pytest.mark.parametrize("name", ["tanh", "elu", "hard_tanh"])
def test_pairs_agree_with_conditional_integrals(name: str) -> None:
    """Variances that differ, nearly opposite and close pairs, against conditional integrals in mpmath."""
    rows = [row for row in ORACLE["pairs"] if row["activation"] == name]
    assert len(rows) == 5 and any(row["q1"] != row["q2"] for row in rows)
    q1, q2, delta = (jnp.array([float(row[key]) for row in rows]) for key in ("q1", "q2", "delta"))
    for rule in (PLAIN, DEAREST, None) if name == "elu" else (PLAIN,):
        found = pair(NAMED[name], q1, q2, delta, rule)
        assert relative(found.gap, [row["gap"] for row in rows]).max() < 1e-12
        assert relative(found.slope_product, [row["slope_product"] for row in rows]).max() < 1e-12


@pytest.mark.parametrize("name", ["elu", "hard_tanh"])
def test_pairs_at_the_ends(name: str) -> None:
    """delta = 0: nothing but what unequal variances cost; delta = 2: u and -u; delta = 1: a product of means."""
    act, q = NAMED[name], jnp.full(5, 0.8)  # five pairs, as above: one compilation
    found = Pair(*(part[:3] for part in pair_by_panels(act, q, q, jnp.array([0.0, 2.0, 1.0, 1.0, 1.0]), PLAIN)))
    slope, norm = derivative(act), second_moment(act, q[0])
    mirror = expectation(lambda x: act.phi(x) * act.phi(-x), q[0], act.kinks)
    turned = expectation(lambda x: slope(x) * slope(-x), q[0], act.kinks)
    mean, mean_slope = expectation(act.phi, q[0], act.kinks), expectation(slope, q[0], act.kinks)
    np.testing.assert_allclose(found.gap, [0.0, 1 - mirror / norm, 1 - mean**2 / norm], rtol=1e-12, atol=1e-30)
    products = [second_moment(act, q[0], 1), turned, mean_slope**2]
    np.testing.assert_allclose(found.slope_product, products, rtol=1e-12)
    np.testing.assert_allclose(found.slope_gap, products[0] - found.slope_product, rtol=1e-11, atol=5e-15)


@pytest.mark.parametrize("name, q", [("elu", 0.6), ("hard_tanh", 1.7), ("softplus", 20.0)])
def test_half_an_axis_is_enough_for_slope_gaps(name: str, q: float) -> None:
    """Exchanging u and v changes nothing: with the halves that mirror it the integral is that over both axes."""
    act, far, near = NAMED[name], jnp.array([1.9, 1.2]), jnp.array([0.9, 0.02])
    each = [gaussian.slope_gap(act, jnp.array(q), delta) for delta in (far, near)]
    both = gaussian.slope_gap(act, jnp.array(q), jnp.concatenate([far, near]))
    np.testing.assert_allclose(jnp.concatenate(each), both, rtol=1e-13)
    assert gaussian.slope_gap(act, jnp.array(q), far[0]).shape == ()
    assert (gaussian.slope_gap(act, jnp.array(q), far[:, None])[:, 0] == each[0]).all()


@pytest.mark.parametrize("name", ["tanh", "elu", "hard_tanh"])
def test_close_pairs_shrink_as_they_must(name: str) -> None:
    """gap/delta -> q E[phi'^2]/E[phi^2] as delta -> 0, down to where 1 - delta is 1 in floating point."""
    act, q, delta = NAMED[name], jnp.array(0.6), jnp.array([1e-10, 1e-14, 1e-16, 1e-30, 1e-40])
    found = gaussian.slope_gap(act, q, delta)
    same = pair(act, q, q, delta, PLAIN)
    ratio = float(q * second_moment(act, q, 1) / second_moment(act, q))
    np.testing.assert_allclose(same.gap / delta, ratio, rtol=2e-5)
    np.testing.assert_allclose(np.asarray(same.gap[1:] / delta[1:]), ratio, rtol=2e-7)
    few = slice(None, 3 if name == "hard_tanh" else None)
    np.testing.assert_allclose(same.slope_gap[few], found[few], rtol=1e-7 if name == "hard_tanh" else 1e-11)
    power = 0.5 if name == "hard_tanh" else 1.0  # a kink in phi makes the slope gap a square root
    last = 2 if name == "hard_tanh" else 3  # at 1e-30 its kinks at -1 and 1 are lost in rounding, as documented
    np.testing.assert_allclose(found[1] / found[last], (delta[1] / delta[last]) ** power, rtol=1e-6)


def tiny_gap(name: str, delta: float) -> float:
    """What a tiny variance makes of delta: the tangent at 0 keeps it, ReLU stays itself."""
    theta = np.arccos(1 - delta)
    return 1 - (np.sin(theta) + (np.pi - theta) * (1 - delta)) / np.pi if name == "relu" else delta


def test_zero_variance_pairs_have_no_nan() -> None:
    for name in ("tanh", "hard_tanh", "relu", "erf", "sin"):
        q1, q2 = jnp.array([0.0, 0.0, 1.0, 0.0, 1e-200]), jnp.array([0.0, 1.0, 0.0, 1e-200, 1.0])
        found = pair(NAMED[name], q1, q2, jnp.array([0.5, 0.0, 2.0, 1.0, 1.0]), PLAIN)
        np.testing.assert_allclose(found.gap[jnp.array([0, 3, 4])], [tiny_gap(name, 0.5), *2 * [tiny_gap(name, 1.0)]])
        assert all(np.isfinite(np.asarray(part)).all() for part in found), name
        assert (np.asarray(found.gap) >= 0).all() and (np.asarray(found.gap) <= 2).all(), name


def test_float32_is_refused() -> None:
    with jax.enable_x64(False):
        for call in (
            lambda: expectation(jnp.tanh, jnp.array(1.0)),
            lambda: second_moment(NAMED["relu"], jnp.array(1.0)),
            lambda: pair(NAMED["relu"], jnp.array(1.0), jnp.array(1.0), jnp.array(0.1)),
            lambda: gaussian.slope_gap(NAMED["relu"], jnp.array(1.0), jnp.array([0.1])),
        ):
            with pytest.raises(RuntimeError, match="float64.*jax_enable_x64"):
                call()


def test_panels_are_chosen_from_what_is_known() -> None:
    """Even and few for small variances, as fine as the variance asks for, and all of them under jit."""
    apart, traced = jnp.array(0.5), []
    for variance, count in ((1.0, 8), (2.0, 12), (4.0, 16), (8.0, 24), (16.0, 32)):
        rule = choose_rule((jnp.array(0.1), jnp.array(variance)), apart)
        assert rule == Rule(tuple(np.linspace(-REACH, REACH, count + 1)), (), False), variance
    general = (tuple(STEPS), tuple(SCALE))
    assert choose_rule((jnp.array(17.0), jnp.array(1.0)), apart) == Rule(*general, False)
    for delta, half in ((0.5, "y"), (1.0, "y"), (1.5, "x"), (0.0, "y")):
        assert choose_rule((jnp.array(17.0),), jnp.array(delta))[3] == half
    assert not choose_rule((jnp.array(17.0),), jnp.array([0.5, 1.5])).half
    assert choose_rule((jnp.array(1.0),), jnp.array([0.5, 0.9e-4])).close
    jax.jit(lambda q: traced.append(choose_rule((q,), apart)))(1.0)
    assert traced == [Rule(*general, True)]


def test_large_variances_have_fourteen_digits() -> None:
    """Panels with marks against erf's closed form, where tanh's kin are steps; ``pair`` says the errors."""
    grid = np.array([(*q, d) for q in ((25.0, 40.0), (1e4, 1e4), (0.1, 900.0)) for d in (1e-6, 0.1, 1.0, 1.9)])
    columns = [jnp.asarray(column) for column in grid.T]
    found, exact = pair_by_panels(NAMED["erf"], *columns), pair(NAMED["erf"], *columns)
    for part, value in zip(found, exact, strict=True):
        assert (np.abs(part - value) <= 1e-14 * value + 1e-15 * np.sqrt(value)).all()


@pytest.mark.parametrize("q1, q2", [(0.3, 2.0), (5.0, 30.0)])
def test_kinks_away_from_zero_meet(q1: float, q2: float) -> None:
    """P(|u| < 1, |v| < 1), what hard tanh's slopes come to, by SciPy: v given u is normal."""
    deltas = np.array([1e-3, 0.05, 0.6, 1.3, 1.99])

    def both(c: float) -> float:
        spread = np.sqrt(q2 * (1 - c * c))

        def density(x: float) -> float:
            ends = (np.array([1.0, -1.0]) - c * x * np.sqrt(q2 / q1)) / spread
            return np.exp(-x * x / (2 * q1)) * (special.ndtr(ends[0]) - special.ndtr(ends[1]))

        edges = np.linspace(-1.0, 1.0, 21)
        parts = (integrate.quad(density, a, b, epsabs=1e-16)[0] for a, b in zip(edges[:-1], edges[1:], strict=True))
        return sum(parts) / np.sqrt(2 * np.pi * q1)

    found = pair(NAMED["hard_tanh"], jnp.array(q1), jnp.array(q2), jnp.asarray(deltas))
    np.testing.assert_allclose(found.slope_product, [both(1 - d) for d in deltas], rtol=1e-12)


def test_what_panels_resolve_they_resolve_to_nine_digits() -> None:
    """E[phi'^2] = 800 (1 + exp(-3200 q)) for sin(40 x), where panels give up at last; a closed form never does."""
    q = np.geomspace(1e-6, 1e4, 41)
    fast = Activation("fast", lambda x: jnp.sin(40 * x))
    good = gaussian.resolved(fast, q)
    assert good[0] and not good[-1]
    found = np.asarray(second_moment(fast, jnp.asarray(q), 1))
    np.testing.assert_allclose(found[good], 800 * (1 + np.exp(-3200 * q[good])), rtol=1e-9)
    assert gaussian.resolved(NAMED["tanh"], q).all() and gaussian.resolved(NAMED["sin"], q).all()
