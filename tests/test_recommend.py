"""Which initialisation: the kernel on the reference inputs by other ways, the criterion, the choice, and refusals."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import conditioning
from ntk_eoc import recommend as chooser
from ntk_eoc.activations import NAMED, Activation, get
from ntk_eoc.cli import main
from ntk_eoc.conditioning import POINTS, by_series, by_table, condition, reference_gaps
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import eoc_points
from ntk_eoc.recommend import GROWTH, SLACK, Start, judge, recommend

ERF, RELU = NAMED["erf"], NAMED["relu"]  # both have closed forms: the recursion over pairs is quick


def circle(q0: float) -> np.ndarray:
    angle = 2 * np.pi * np.arange(POINTS) / POINTS
    return np.sqrt(2 * q0) * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@pytest.mark.parametrize("architecture", ["ffnn", "residual"])
@pytest.mark.parametrize(("sigma_b", "sigma_w"), [(0.3, 1.2), (0.1, 0.8)])
@pytest.mark.thorough(first=1)
def test_series_agree_with_the_recursion_over_pairs(architecture: str, sigma_b: float, sigma_w: float) -> None:
    skip, q0 = architecture == "residual", 0.7
    exact = kernels(ERF, jnp.asarray(circle(q0)), depth=9, sigma_b=sigma_b, sigma_w=sigma_w, architecture=architecture)
    found = by_series(ERF, 9, sigma_b=sigma_b, sigma_w=sigma_w, q0=q0, skip=skip)
    ntk = np.asarray(exact.ntk)
    np.testing.assert_allclose(found.gap, 1 - ntk[0] / ntk[0, 0], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found.delta, exact.delta[0], rtol=1e-10, atol=1e-15)
    assert found.log_size == pytest.approx(np.log(ntk[0, 0]), abs=1e-11)
    assert found.log_q == pytest.approx(np.log(float(exact.nngp[0, 0])), abs=1e-11)
    assert condition(found.gap) == pytest.approx(np.linalg.cond(ntk), rel=1e-6)


def test_a_kink_costs_the_series_little_and_the_table_nothing() -> None:
    exact = kernels(RELU, jnp.asarray(circle(1.0)), depth=20, sigma_b=0.0, sigma_w=2**0.5).ntk
    wanted = float(np.linalg.cond(np.asarray(exact)))
    tabled = by_table(RELU, 20, sigma_b=0.0, sigma_w=2**0.5, q0=None, skip=False)
    assert condition(tabled.gap) == pytest.approx(wanted, rel=1e-9)
    series = by_series(RELU, 20, sigma_b=0.0, sigma_w=2**0.5, q0=1.0)
    assert condition(series.gap) == pytest.approx(wanted, rel=1e-2) and series.cut > 1e-3


def test_condition_tells_constant_linear_and_identity_kernels() -> None:
    assert condition(np.zeros(POINTS)) == float("inf")
    assert condition(reference_gaps()) == float("inf")
    assert condition(np.where(np.arange(POINTS) == 0, 0.0, 1.0)) == pytest.approx(1.0)
    flat = condition(1e-30 * np.where(np.arange(POINTS) == 0, 0.0, 1.0))
    assert flat == pytest.approx(POINTS / 1e-30)


@pytest.mark.parametrize(("act", "sigma_b", "limit"), [(RELU, 0.0, 1 / 4), (ERF, 0.3, 1 / 3)])
def test_condition_tends_to_what_proposition_2_says(act: Activation, sigma_b: float, limit: float) -> None:
    sigma_w = eoc_points(act, sigma_b)[0].sigma_w
    deep = by_table(act, 3000, sigma_b=sigma_b, sigma_w=sigma_w, q0=None, skip=False)
    assert condition(deep.gap) == pytest.approx((1 + (POINTS - 1) * limit) / (1 - limit), rel=1e-2)


def test_the_choice_is_the_least_bias_near_the_best() -> None:
    for depth in (10,):
        found, by_bias = recommend(ERF, depth), {}
        for sigma_b in chooser.SIGMA_B[1:]:
            (point,) = eoc_points(ERF, sigma_b)
            q0 = (point.q - sigma_b**2) / point.sigma_w**2
            kernel = by_series(ERF, depth, sigma_b=sigma_b, sigma_w=point.sigma_w, q0=q0)
            by_bias[sigma_b] = condition(kernel.gap)
        best = min(by_bias.values())
        assert found.start.sigma_b == min(b for b, value in by_bias.items() if value <= SLACK * best)
        assert found.verdict.condition == pytest.approx(by_bias[found.start.sigma_b], rel=1e-6)
        assert found.verdict.phase == "eoc" and found.start.stable


def test_deeper_networks_get_weaker_biases() -> None:
    chosen = [recommend(ERF, depth).start.sigma_b for depth in (5, 200)]
    assert chosen == sorted(chosen, reverse=True) and chosen[0] > chosen[-1]


def test_relu_gets_he_and_glorot_dies_with_the_same_condition() -> None:
    found = recommend(RELU, 200)
    assert found.start.sigma_w == pytest.approx(2**0.5) and found.start.q is None and not found.start.stable
    assert found.usual["He"][1].condition == pytest.approx(found.verdict.condition)
    glorot = found.usual["Glorot"][1]
    assert glorot.phase == "ordered" and glorot.condition == pytest.approx(found.verdict.condition)
    assert glorot.log10_size < -50 < 0 < found.verdict.log10_size


def test_unstable_points_are_avoided_or_come_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chooser, "SIGMA_B", (0.1, 0.2, 0.5))
    found = recommend(NAMED["gelu"], 20)
    assert found.start.stable and found.start.sigma_b == 0.5
    assert any("from 0.1 to 0.2" in text for text in found.warnings)
    monkeypatch.setattr(chooser, "SIGMA_B", (0.1, 0.2))
    found = recommend(NAMED["gelu"], 20, width=100)
    assert not found.start.stable and "no stable point" in found.warnings[0] and "width 100" in found.warnings[0]
    assert np.isfinite(found.verdict.condition)


def test_residual_branches_let_the_variance_grow_as_said() -> None:
    for act in (RELU, ERF):
        start = recommend(act, 30, "residual").start
        found = kernels(
            act,
            jnp.asarray(circle(start.q0)),
            depth=30,
            sigma_b=start.sigma_b,
            sigma_w=start.sigma_w,
            architecture="residual",
        )
        assert start.sigma_b**2 + start.sigma_w**2 * start.q0 == pytest.approx(1.0, rel=1e-12)
        assert float(found.nngp[0, 0]) == pytest.approx(GROWTH, rel=1e-6)
        assert (start.sigma_b > 0) == (act is ERF)  # an odd function needs biases


@pytest.mark.parametrize(("act", "architecture"), [(NAMED["gelu"], "ffnn"), (ERF, "residual")])
def test_two_layers_are_the_fewest(act: Activation, architecture: str) -> None:
    assert np.isfinite(recommend(act, 2, architecture).verdict.condition)
    with pytest.raises(ValueError, match="depth: expected from 2 to"):
        recommend(act, 1, architecture)


def test_odd_functions_without_biases_are_singular() -> None:
    for depth in (3, 30, 300):
        assert judge(ERF, Start(0.0, 2.0, None, False, 1.0), depth, False).condition == float("inf")


def test_rounding_past_opposite_inputs_ends_in_no_nan() -> None:
    """Releases round 2 - delta of opposite inputs differently; chaos had taken one of them out of float64."""
    past = jnp.array([0.0, 1.0, 2.0 + 1e-12])
    found = conditioning._iterate(ERF, False, False, True, 299, 4.0, 0.0, 2.0, past)
    assert all(np.isfinite(part).all() for part in found) and float(found[1].max()) <= 2.0


def test_a_start_that_no_number_holds_has_no_condition() -> None:
    found = judge(NAMED["gelu"], Start(0.0, 1e50, None, False, 1.0), 7, skip=False)
    assert found[1:] == (None, None, None, None)


def test_width_matters_where_it_is_small() -> None:
    assert not recommend(RELU, 20, width=1000).warnings
    assert "depth/width" in recommend(RELU, 20, width=40).warnings[0]


BAD: list[tuple[Any, int, str, str]] = [
    ("softplus", 10, "ffnn", "which has none; take a residual"),
    ("identity", 10, "ffnn", "linear"),
    ("identity", 10, "residual", "linear"),
    ("relu", 1, "ffnn", "from 2 to 20000"),
    ("relu", 10, "resnet", "architecture"),
    ("hard_tanh", 10, "residual", "kinks off zero"),
    (Activation("step", lambda x: jnp.where(x > 0, 1.0, 0.0) + 0 * x, (0.0,)), 10, "ffnn", "continuous"),
]


@pytest.mark.parametrize(("name", "depth", "architecture", "hint"), BAD)
def test_refusals_are_one_sentence(name: Any, depth: int, architecture: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as caught:
        recommend(get(name), depth, architecture)
    assert "\n" not in str(caught.value) and ": expected" in str(caught.value)


KEYS = {"activation", "architecture", "depth", "sigma_w", "sigma_b", "q", "stable", "expected_correlation"}


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "erf", "--depth", "30", "--width", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert KEYS | {"ntk_condition", "recipe"} <= set(found)
    assert set(found["recipe"]) == {"pytorch", "flax", "keras"}
    assert found["q"] == eoc_points(ERF, found["sigma_b"])[0].q and found["stable"] is True
    assert [row["name"] for row in found["usual"]] == ["He", "Glorot", "LeCun"]
    assert found["usual"][0]["singular"] and found["usual"][0]["ntk_condition"] is None
    assert main(["recommend", "relu", "--depth", "30", "--architecture", "residual"]) == 0
    out = capsys.readouterr().out
    assert "recommended" in out and "need no Edge of Chaos" in out and "import torch" in out and "None" not in out


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["softplus", "--depth", "9"], "residual network"),
        (["relu", "--depth", "0"], "depth"),
        (["relu", "--depth", "9", "--width", "0"], "width"),
        (["relu", "--depth", "9", "--architecture", "cnn"], "architecture"),
        (["tahn", "--depth", "9"], "did you mean"),
    ],
)
def test_bad_lines(capsys: pytest.CaptureFixture[str], line: list[str], hint: str) -> None:
    assert main(["recommend", *line]) == 2
    out = capsys.readouterr()
    assert not out.out and hint in out.err and out.err.count("\n") == 1
