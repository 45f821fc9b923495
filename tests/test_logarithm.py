"""The run of the chapter on the logarithm: its terms, its recorded copy, what is drawn of it."""

import hashlib
import json
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from ntk_eoc.activations import NAMED, from_function
from ntk_eoc.asymptotics import curvature_terms
from ntk_eoc.depth import depth_kernels
from ntk_eoc.experiments import logarithm
from ntk_eoc.gaussian import slope_gap
from ntk_eoc.plotting import logarithm as draw
from ntk_eoc.plotting import style

RESULTS = Path(__file__).parents[1] / "book" / "results"
FEW = logarithm.Config(("relu", "erf", "sin"), deepest=100_000)


@pytest.fixture(scope="module")
def few() -> logarithm.Run:
    return logarithm.run(FEW)


@pytest.fixture(scope="module")
def record() -> logarithm.Run:
    return logarithm.load(RESULTS / "logarithm.npz")


def test_depths_of_a_shallow_run_are_among_those_of_a_deep_one() -> None:
    deep = logarithm.depths_of(logarithm.Config())
    shallow = logarithm.depths_of(FEW)
    assert deep[0] == 1 and deep[-1] == 10_000_000 and (np.diff(deep) > 0).all()
    assert np.array_equal(deep[: shallow.size], shallow)
    assert {10**k for k in range(8)} <= set(deep.tolist())


def test_recorded_run_is_what_its_provenance_says(record: logarithm.Run) -> None:
    about = json.loads((RESULTS / "logarithm.json").read_text())
    assert about["sha256"] == hashlib.sha256((RESULTS / "logarithm.npz").read_bytes()).hexdigest()
    config = logarithm.Config(**{**about["config"], "activations": tuple(about["config"]["activations"])})
    assert config == logarithm.Config()
    assert record.activations == config.activations
    assert np.array_equal(record.depths, logarithm.depths_of(config))
    assert record.deviation.shape == record.delta.shape == (len(record.activations), len(record.depths))
    assert np.isfinite(record.deviation).all()
    assert {"commit", "seconds", "device", "versions"} <= set(about)


def test_live_and_recorded_agree_where_they_meet(few: logarithm.Run, record: logarithm.Run) -> None:
    shared = logarithm.select(record, few.activations, float(few.depths[-1]))
    assert np.array_equal(shared.depths, few.depths)
    assert np.allclose(few.terms, shared.terms, rtol=1e-9, atol=1e-12)
    assert np.allclose(few.deviation, shared.deviation, rtol=1e-9, atol=1e-9)
    assert np.allclose(few.delta, shared.delta, rtol=1e-9, atol=0)


def test_recorded_slopes_are_those_of_the_law(record: logarithm.Run) -> None:
    slopes, known = logarithm.slopes_in_log(record).value, record.terms[:, 4]
    error = np.abs(slopes / known[:, None] - 1)
    roots = np.isin(record.activations, logarithm.CURVED)
    assert (error[~roots, -1] < 1e-4).all()
    assert (error[roots, -1] < 0.03).all()  # the next term is L^(-1/2) there
    assert (error[roots, -1] < 0.2 * error[roots, -16]).all()  # and falls by 10 in two decades
    assert (error[~roots, -1] < 0.1 * error[~roots, 24]).all()


def test_run_is_that_of_the_command_lines_kernel(few: logarithm.Run) -> None:
    row, name = few.activations.index("erf"), "erf"
    sigma_w, q = few.terms[row, :2]
    q0 = (q - 0.2**2) / sigma_w**2
    gap = 0.7 * q / (sigma_w**2 * q0)
    other = depth_kernels(NAMED[name], 0.0, few.depths, sigma_b=0.2, sigma_w=sigma_w, q0=q0, gap=gap)
    ours = few.deviation[row] + few.terms[row, 2] * few.depths
    assert np.allclose(ours, other.ntk / other.q, rtol=1e-11)
    assert np.allclose(few.delta[row], other.delta, rtol=1e-10)


def test_terms_of_the_class_between(record: logarithm.Run) -> None:
    for name in logarithm.CURVED:
        act = logarithm.activation(name)
        sigma_w, q, limit, root, slope = found = logarithm.terms(act, logarithm.Config().sigma_b)
        assert np.allclose(found, record.terms[record.activations.index(name)], rtol=1e-9)
        a, beta = curvature_terms(act, q, sigma_w)
        x = np.geomspace(1e-3, 4e-2, 24)  # sqrt(delta): gamma from a fit, which knows no formula for it
        values = sigma_w**2 * np.asarray(slope_gap(act, jnp.array(q), jnp.asarray(x**2))) / x**2
        fit = np.linalg.lstsq(x[:, None] ** np.arange(6), values, rcond=None)[0]
        h = (beta / a) * (2 / a) ** 0.5
        assert root == pytest.approx(-8 / 75 * h, rel=1e-12)
        assert slope == pytest.approx(1 / 3 + 4 * fit[2] / (9 * a * a) - 64 / 675 * h * h, abs=1e-4)
        assert limit == pytest.approx(1 / 3)


def test_drawn_quantities_are_those_of_a_known_run() -> None:
    depths = np.array([1, 4, 16, 64])
    deviation = (2.0 * np.sqrt(depths) - 0.5 * np.log(depths) + 3.0)[None]
    known = np.array([[1.0, 1.0, 1 / 3, 2.0, -0.5]])
    found = logarithm.Run(("elu",), depths, known, deviation, np.ones_like(deviation))
    x, measured, theory = logarithm.lines(found)
    assert np.allclose(measured, 3.0 - 0.5 * x) and np.allclose(theory, measured)
    x, measured, theory = logarithm.roots(found)
    assert np.allclose(measured, deviation / np.sqrt(depths)) and np.allclose(theory, measured)
    assert np.allclose(logarithm.slopes_in_log(found).value, -0.5)
    power = found._replace(deviation=depths[None] ** 0.5 * np.array([[-1.0, 1.0, 1.0, 1.0]]))
    exponent = logarithm.local_exponents(power).value[0]
    assert np.isnan(exponent[0]) and np.allclose(exponent[1:], -0.5)


def test_a_readers_own_activation_can_be_run() -> None:
    act = from_function(lambda x: jnp.where(x > 0, x, 0.5 * x), [0.0], "mine", slopes=(1.0, 0.5))
    found = logarithm.run(logarithm.Config((act,), deepest=100))
    assert found.activations == ("mine",)
    assert found.terms[0, 2:] == pytest.approx([0.25, 0.0, 0.375])


def test_command_records_a_run_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    logarithm.main(["--out", str(tmp_path / "new"), "--deepest", "100", "--activations", "relu"])
    path = Path(capsys.readouterr().out.strip())
    found, about = logarithm.load(path), json.loads(path.with_suffix(".json").read_text())
    assert found.activations == ("relu",) and found.depths[-1] == 100
    assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert about["config"]["deepest"] == 100


def test_every_plot_draws_what_it_is_given(few: logarithm.Run) -> None:
    x, measured, theory = logarithm.lines(few)
    slopes = logarithm.slopes_in_log(few)
    with style.styled():
        fig, axes = plt.subplots(2, 3)
        draw.straight_lines(axes[0, 0], few.depths, measured, theory, few.activations)
        draw.towards_zero(axes[0, 1], x, measured, theory, few.terms[:, 3], few.activations)
        draw.errors(axes[0, 2], slopes.depth, np.abs(slopes.value), few.activations)
        draw.decay(axes[1, 0], few.depths, np.abs(few.deviation), few.activations)
        draw.exponents(axes[1, 1], slopes.depth, np.stack([slopes.value] * 2), few.activations, ("a", "b"))
        draw.ranking(axes[1, 2], np.abs(few.deviation[:, -3:]), few.activations, ("1", "2", "3"))
        draw.legend_below(fig, axes[0, 0])
        fig.canvas.draw()
    assert np.array_equal(axes[0, 0].lines[1].get_ydata(), measured[0])
    assert np.array_equal(axes[0, 0].lines[0].get_ydata(), theory[0])
    assert axes[1, 0].get_yscale() == "log"
    assert [text.get_text() for text in axes[1, 2].get_yticklabels()] == ["ReLU", "erf", "sin"]
