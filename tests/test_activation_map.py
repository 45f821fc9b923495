"""The map of activations: small, against what it is made of; the record, against the same."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ntk_eoc.activations import NAMED
from ntk_eoc.asymptotics import law
from ntk_eoc.experiments import activation_map as maps
from ntk_eoc.experiments.trained_record import Record, Row
from ntk_eoc.plotting import activation_map as draw
from ntk_eoc.recommend import recommend

RECORD = Path(__file__).parents[1] / "book" / "results" / "activation_map.npz"
SMALL = maps.ActivationsConfig(("relu", "erf", "softplus", "identity"), (0.0, 0.2), (10,))


@pytest.fixture(scope="module")
def small() -> maps.ActivationMap:
    return maps.activation_map(SMALL)


def test_a_small_map(small: maps.ActivationMap) -> None:
    assert np.isfinite(small.sigma_w).tolist() == [[True, False], [False, True], [False, False], [True, False]]
    assert small.stable.tolist() == [[False, False], [False, True], [False, False], [False, False]]
    assert np.isnan(small.condition[2:]).all() and np.isnan(small.law[2:]).all()
    found = recommend(NAMED["erf"], 10)
    assert small.condition[1, 0] == found.verdict.condition and small.bias[1, 0] == found.start.sigma_b
    assert small.law[0].tolist() == pytest.approx([0.25, 0.375])
    assert small.law[1, 1] == pytest.approx(law(NAMED["erf"], sigma_b=found.start.sigma_b).coefficient)


def test_table_and_figure_say_what_was_not_run(small: maps.ActivationMap) -> None:
    trained = {"relu": 0.75}
    lines = maps.table(SMALL, small, trained).splitlines()
    assert len(lines) == 2 + len(SMALL.activations) and len({line.count("|") for line in lines}) == 1
    assert "75.0 %" in lines[2] and "1/4" in lines[2] and "not run" in lines[3] and "none" in lines[4]
    fig, axes = plt.subplots(1, 2)
    draw.edges(axes[0], SMALL.sigma_b, maps.edges(SMALL, small))
    assert len(axes[0].lines) == 6  # softplus has none
    draw.richness(axes[1], SMALL, small, trained, (11 / 3, 5.0))
    assert [text.get_text() for text in axes[1].get_yticklabels()] == ["ReLU", "erf"]


def test_the_first_record_that_has_an_activation_counts() -> None:
    rows = {name: Row(name, 0.0, 1.0, np.array([[0.1, value]], np.float32)) for name, value in (("relu", 0.5),)}
    more = {
        n: Row(n, 0.0, 1.0, np.array([[0.1, 0.3]], np.float32)) for n in ("relu", "leaky_relu:0.01", "sigmoid-edge")
    }
    found = maps.accuracies([Record("mnist", 2, 2, 1.0, rows), Record("mnist", 2, 2, 1.0, more)], 1)
    assert found == pytest.approx({"relu": 0.5, "leaky_relu": 0.3, "sigmoid": 0.3})


@pytest.mark.skipif(not RECORD.is_file(), reason="nothing recorded")
def test_the_record_is_what_is_computed(small: maps.ActivationMap) -> None:
    config, found = maps.load(RECORD)
    assert config == maps.ActivationsConfig()
    for at, name in enumerate(SMALL.activations):
        row = config.activations.index(name)
        np.testing.assert_allclose(found.condition[row, 0], small.condition[at, 0], rtol=1e-9)
        np.testing.assert_allclose(found.sigma_w[row, config.sigma_b.index(0.2)], small.sigma_w[at, 1], rtol=1e-12)
