"""The layers that pairs of any norms go through: their series, variances and what they say of themselves, against the
variance and correlation maps, which take quadratures of their own."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import hermite, maps
from ntk_eoc.activations import NAMED
from ntk_eoc.gaussian import pair, second_moment
from ntk_eoc.profile import is_odd

SIGMAS = {"sigma_b": 0.4, "sigma_w": 1.3}
Q = np.array([0.4, 1.0, 2.3])
LEFT_OUT, SLOPE_LEFT_OUT, SLOPE, BEND, FLATTEST, ADDED = range(6)


def made(name: str, skip: bool, near: bool = True, dtype: str = "float64", count: int = 2) -> hermite.Layers:
    act = NAMED[name]
    return hermite.layers(act, jnp.asarray(Q), count, skip=skip, near=near, odd=is_odd(act), dtype=dtype, **SIGMAS)


def whole(found: hermite.Layers, name: str, level: int) -> np.ndarray:
    """(2, T, N): the series of phi and of sqrt(q) phi' with the terms that an odd phi leaves out, cut where it is."""
    series = np.asarray(found.series[level], dtype=float)
    if is_odd(NAMED[name]):
        full = np.zeros((2, hermite.TERMS, Q.size))
        full[0, 1::2], full[1, ::2] = series
        series = full
    return series[:, : int(found.steps[level]) * hermite.STEP]


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize(
    "name, skip", [("tanh", False), ("tanh", True), ("gelu", False), ("softplus", True), ("hard_tanh", False)]
)
def test_a_layer_is_the_variance_map_and_the_correlation_map(name: str, skip: bool, near: bool) -> None:
    found, act, q = made(name, skip, near), NAMED[name], Q
    for level in range(2):
        after = np.asarray(maps.variance_map(act, jnp.asarray(q), **SIGMAS)) + (q if skip else 0.0)
        np.testing.assert_allclose(found.q[level], after, rtol=1e-12)
        bias, kept = np.asarray(found.rest[level], dtype=float)
        np.testing.assert_allclose(bias, SIGMAS["sigma_b"] / np.sqrt(after), rtol=1e-12)
        np.testing.assert_allclose(kept, np.sqrt(q / after) if skip else 0.0 * q, rtol=1e-12)
        values, slopes = whole(found, name, level)
        one, two = (jnp.asarray(part) for part in (q[[0, 0, 1]], q[[1, 2, 2]]))
        for c in (0.9, 0.3, -0.7):
            exact = pair(act, one, two, jnp.full(3, 1.0 - c))
            scale = SIGMAS["sigma_w"] ** 2 / np.sqrt(after[[0, 0, 1]] * after[[1, 2, 2]])
            powers = c ** np.arange(len(values))[:, None]
            moment, slope = (
                (part[:, [0, 0, 1]] * part[:, [1, 2, 2]] * powers).sum(axis=0) for part in (values, slopes)
            )
            norms = np.sqrt(second_moment(act, one) * second_moment(act, two))
            np.testing.assert_allclose(moment, scale * norms * (1.0 - exact.gap), atol=1e-11)
            np.testing.assert_allclose(slope, scale * np.sqrt(one * two) * exact.slope_product, atol=1e-11)
        q = after
    assert (np.asarray(found.q[2:]) == 0).all()  # no more layers than asked for


@pytest.mark.parametrize(
    "name, skip", [("tanh", False), ("tanh", True), ("elu", False), ("gelu", True), ("hard_tanh", False)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_say_what_their_series_leave_out(name: str, skip: bool, dtype: str) -> None:
    """At c = 1 and of the worst input, as sums of squares; the slope is chi there, and a bend no series exceeds."""
    found, act = made(name, skip, dtype=dtype, count=1), NAMED[name]
    tails, after = np.asarray(found.tails[0]), np.asarray(found.q[0])
    values, slopes = whole(found, name, 0)
    kept = Q / after if skip else 0.0 * Q
    moment = (after - SIGMAS["sigma_b"] ** 2) / after - kept
    slope = np.asarray(maps.chi(act, jnp.asarray(Q), sigma_w=SIGMAS["sigma_w"])) * Q / after
    rounding = 1e-6 if dtype == "float32" else 1e-12
    assert tails[LEFT_OUT] == pytest.approx((moment - (values**2).sum(axis=0)).max(), rel=1e-3, abs=rounding)
    assert tails[SLOPE_LEFT_OUT] == pytest.approx((slope - (slopes**2).sum(axis=0)).max(), rel=1e-3, abs=rounding)
    assert tails[SLOPE] == pytest.approx((slope + kept).max(), rel=1e-9)
    assert tails[FLATTEST] == pytest.approx((slope + kept).min(), rel=1e-9)
    assert tails[ADDED] == pytest.approx((1.0 - kept).min(), rel=1e-12)
    order = np.arange(len(slopes))[:, None]
    bend = (order * slopes**2).sum(axis=0).max()
    assert bend * (1 - 1e-6) <= tails[BEND] <= 3.0 * bend
    good = hermite.GOOD[dtype]
    assert max(tails[:2]) <= good or int(found.steps[0]) == hermite.TERMS // hermite.STEP
    fewer = (slopes[: -hermite.STEP] ** 2).sum(axis=0)
    assert (slope - fewer).max() > 0.9 * good  # a step less would not have done


@pytest.mark.parametrize("name, skip", [("tanh", False), ("tanh", True), ("gelu", False), ("elu", False)])
def test_pairs_that_are_not_close_see_less_of_what_layers_do(name: str, skip: bool) -> None:
    """At |c| up to 0.7: what is left out there, f' and f'' by their definitions, and how far |c| reaches afterwards."""
    found, odd = made(name, skip), is_odd(NAMED[name])
    tails = np.asarray(hermite.within(found, 0, jnp.array([0.7, 1.0]), 1e-9, odd))[:, 0]
    reach = 0.7
    for level in range(2):
        values, slopes = whole(found, name, level)
        bias, kept = np.asarray(found.rest[level], dtype=float)
        order = np.arange(len(values))[:, None]
        assert tails[level, SLOPE] == pytest.approx(((slopes**2 * reach**order).sum(axis=0) + kept**2).max(), rel=1e-9)
        bend = (order * slopes**2 * reach ** np.maximum(order - 1, 0)).sum(axis=0).max()
        assert tails[level, BEND] == pytest.approx(bend, rel=1e-9)
        least = np.asarray(found.tails[level, :2]) * reach ** len(values)
        assert (tails[level, :2] >= least).all() and (tails[level, :2] <= least / reach**2 + 1e-300).all()
        np.testing.assert_array_equal(tails[level, FLATTEST:], [*found.tails[level, FLATTEST:], 1e-9])
        reach = ((values**2 * reach**order).sum(axis=0) + bias**2 + kept**2 * reach).max() + 1e-9
    later = np.asarray(hermite.within(found, 1, jnp.array([0.7]), 1e-9, odd))[:, 0]
    assert later[1, SLOPE] < tails[1, SLOPE] or reach < 0.7
    at_one = np.asarray(hermite.within(found, 0, jnp.array([0.7, 1.0]), 0.0, odd))[:, 1]
    np.testing.assert_allclose(at_one[:2, :6], found.tails[:2], rtol=1e-3 if name == "elu" else 1e-12)
    assert (at_one[:2, :6] <= np.asarray(found.tails[:2])).all()


@pytest.mark.parametrize("name, skip", [("tanh", False), ("gelu", True)])
def test_no_pair_gets_past_the_reach(name: str, skip: bool) -> None:
    """Correlations of inputs of three norms after a layer, from anywhere up to 0.8."""
    found, act, odd = made(name, skip), NAMED[name], is_odd(NAMED[name])
    one, two = (part.ravel() for part in np.meshgrid(Q, Q))
    after = np.sqrt(np.outer(found.q[0], found.q[0])).ravel()
    largest = 0.0
    for c in (0.8, 0.3, -0.5, -0.8):
        exact = pair(act, jnp.asarray(one), jnp.asarray(two), jnp.full(9, 1.0 - c))
        norms = np.sqrt(second_moment(act, jnp.asarray(one)) * second_moment(act, jnp.asarray(two)))
        moved = SIGMAS["sigma_b"] ** 2 + SIGMAS["sigma_w"] ** 2 * norms * (1.0 - np.asarray(exact.gap))
        moved = moved + (np.sqrt(one * two) * c if skip else 0.0)
        largest = max(largest, float(np.abs(moved / after).max()))
    foreseen = float(hermite.within(found, 0, jnp.array([0.8]), 0.0, odd)[1, 0, SLOPE])
    at_most, more = hermite.within(found, 1, jnp.array([largest, largest + 0.1]), 0.0, odd)[1, :, SLOPE]
    assert at_most * (1 - 1e-12) <= foreseen <= more


@pytest.mark.parametrize("name", ["tanh", "elu", "hard_tanh"])
@pytest.mark.parametrize("ratio", [1.5, 10.0, 99.0])
def test_few_variances_stand_for_all(name: str, ratio: float) -> None:
    q = jnp.geomspace(0.2, 0.2 * ratio, 23)
    own, few = hermite.moments(NAMED[name], q), hermite._interpolated(NAMED[name], q)
    np.testing.assert_allclose(few, own, rtol=1e-14, atol=3e-14)


@pytest.mark.parametrize("q", [1e-6, 0.3, 50.0])
def test_kinks_that_move_with_the_variance_in_closed_form(q: float) -> None:
    """phi'(sqrt(q) z) = 1 between +-t: the coefficients are integrals of h_k over there, by h_k' = sqrt(k) h_(k-1)."""
    found = np.asarray(hermite.moments(NAMED["hard_tanh"], jnp.array([q])))[:, 0]
    t = 1.0 / np.sqrt(q)
    expected = [math.erf(t / np.sqrt(2))]  # of phi', b_0; then b_k = -2 h_(k-1)(t) density(t)/sqrt(k) for even k
    before, last = 0.0, np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi)  # h_k(t) times the density
    for k in range(1, 40):
        expected.append(-2.0 * last / np.sqrt(k) if k % 2 == 0 else 0.0)
        before, last = last, (t * last - np.sqrt(k - 1.0) * before) / np.sqrt(k)
    slopes = found[1:41] * np.sqrt(np.arange(1, 41)) / np.sqrt(q)
    np.testing.assert_allclose(slopes, expected, atol=1e-12)
    assert found[-1] / q == pytest.approx(math.erf(t / np.sqrt(2)), rel=1e-14)


def test_the_bound_is_what_errors_add_up_to() -> None:
    """Two layers that are off as they say, on the diagonal where all of it meets, against K itself."""
    slope, bend, out, slope_out = 1.2, 3.0, 1e-5, 2e-5
    tails = np.array([[[out, slope_out, slope, bend, slope, 1.0, 0.0]]] * 3)

    def kernel(off: float) -> float:
        c, k = 1.0, 1.0
        for _ in tails:
            steep = slope - off * slope_out + bend * (c - 1.0)
            c = 1.0 + slope * (c - 1.0) - off * out
            k = c + steep * k
        return k

    error = (kernel(0.0) - kernel(1.0)) / (1.0 + len(tails))  # K of that many layers with f'(1) = 1
    assert hermite.bound(tails) == pytest.approx(error, rel=1e-3)
    rounding = np.where(np.arange(7) == 6, 1e-4, tails)
    rounded = hermite.bound(rounding)
    assert rounded > hermite.bound(tails + np.where(np.arange(7) == 0, 1e-4, 0.0))
    assert hermite.bound(rounding, rounded=False) == hermite.bound(tails)
    assert hermite.bound(np.array([[[0.0, 0.0, 1e200, 1e200, 1.0, 1.0, 1e-4]]] * 9)) == np.inf
    steep = np.array([[[out, slope_out, 0.5, bend, 1.0, 1.0, 0.0]]] * 3)
    assert hermite.bound(np.concatenate([tails, steep], axis=1)).tolist() == [
        hermite.bound(tails),
        hermite.bound(steep),
    ]
    assert hermite.bound(steep) == hermite.bound(np.where(np.arange(7) == 4, 7.0, steep))  # K(x, x) of chi = 1
    assert hermite.bound(steep) < hermite.bound(np.where(np.arange(7) == 4, 0.9, steep))
