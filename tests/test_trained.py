"""Recorded trainings beside the paper's table, the map over depth and sigma_w, the effect of open choices, figures."""

import math
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ntk_eoc import data
from ntk_eoc.experiments import flat_kernel, plans, reproduce, table1, trained_choices, trained_map, trained_record
from ntk_eoc.plotting import trained as draw
from ntk_eoc.training import Config, Inputs, Model, Network, Seeds, Sgd, train

RESULTS = Path(__file__).parents[1] / "book" / "results"
FIGURE_2 = RESULTS / "fig2_mnist_200x100.npz"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> trained_record.Record:
    """Two rows of two seeds on digits, written by the command that readers use."""
    out = tmp_path_factory.mktemp("fig2")
    plan = plans.plan("fig2", False, rows=["relu", "tanh"], width=16, depth=4, epochs=3, seeds=2)
    reproduce.training("fig2", plan, out, resume=False)
    return trained_record.load(out / "fig2_digits_16x4.npz")


def row(*last: float) -> trained_record.Row:
    return trained_record.Row("", 0.0, 1.0, np.array([[0.1, value] for value in last], np.float32))


def test_a_record_of_reproduce_is_read_as_what_was_trained(small: trained_record.Record) -> None:
    assert (small.dataset, small.width, small.depth) == ("digits", 16, 4)
    assert list(small.rows) == ["relu", "tanh"] and small.seconds > 0
    job = plans.jobs(plans.plan("fig2", False, rows=["tanh"], width=16, depth=4, epochs=3, seeds=2))[0]
    again = train(job.config, data.load("digits")).curves.test_accuracy
    np.testing.assert_allclose(small.rows["tanh"].accuracy, again, atol=0.01)


def test_wins_counts_pairs_of_seeds_and_divergence_loses() -> None:
    assert trained_record.wins(row(0.5, 0.9), row(0.6, 0.7)) == 0.5
    assert trained_record.wins(row(0.5, 0.5), row(0.5, 0.5)) == 0.0
    assert trained_record.wins(row(0.2), row(math.nan)) == 1.0 and trained_record.wins(row(math.nan), row(0.2)) == 0.0


def test_difference_from_the_paper_is_in_units_of_the_combined_spread(small: trained_record.Record) -> None:
    values = np.array([[0.1, *[0.5] * 9, 0.80], [0.1, *[0.5] * 9, 0.84]], np.float32)
    found = small._replace(rows={"elu": trained_record.Row("elu", 0.2, 1.227, values)})
    line = trained_record.beside("elu", "mnist", 10, found)
    assert line["ours"] == pytest.approx((82.0, math.sqrt(8)), rel=1e-5)
    assert line["gap"] == pytest.approx((82.0 - 91.63) / math.hypot(math.sqrt(8), 2.21), rel=1e-5)
    assert trained_record.beside("elu", "mnist", 100, found)["ours"] is None
    assert "not run" in trained_record.table("mnist", {10: found}).splitlines()[2]


def test_table_has_every_row_of_the_paper_and_its_numbers() -> None:
    lines = trained_record.table("cifar10", {10: None, 100: None}).splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == list(table1.PAPER)
    assert all(line.count("not run") == 2 for line in lines) and "46.14 ± 1.49" in lines[5]


@pytest.mark.thorough
def test_one_cell_of_the_map_is_one_training() -> None:
    config = trained_map.MapConfig(("relu",), (1.2, 1.5), (3, 5), seeds=2, epochs=2)
    model = Model("relu", Network(64, 5, 0.2, 1.5))
    alone = train(Config(model, Sgd(1e-2, 2), Inputs("digits"), Seeds(2)), data.load("digits")).curves
    np.testing.assert_allclose(trained_map.accuracies(config)[0, 1, 1], alone.test_accuracy[:, -1], atol=0.01)


def test_the_map_comes_back_and_shows_the_edge() -> None:
    config, accuracy = trained_map.load(RESULTS / "trained_map.npz")
    assert config == trained_map.MapConfig() and accuracy.shape == (2, 12, 6, 3)
    tanh = np.nan_to_num(accuracy, nan=0.1).mean(axis=-1)[0, :, config.depths.index(64)]
    best = config.sigma_w[int(tanh.argmax())]
    assert abs(best - 1.3) <= 0.2 and tanh.max() > 0.8
    assert tanh[0] < 0.4 and tanh[-1] < 0.4


def test_choices_change_what_they_say() -> None:
    plan = plans.plan("fig2", False, rows=["tanh"])
    base = plans.jobs(plan)[0].config
    for choice, (part, fields) in trained_choices.CHOICES.items():
        config = trained_choices.changed(base, choice)
        assert (config == base) == (choice == "ours")
        assert all(getattr(getattr(config, part), name) == value for name, value in fields.items())


def test_recorded_choices_are_what_the_code_computes() -> None:
    found = trained_choices.load(RESULTS / "trained_choices.npz")
    assert list(found) == list(trained_choices.CHOICES)
    config = trained_choices.ChoicesConfig(rows=("tanh",), seeds=1)
    plan = plans.plan("fig2", False, rows=config.rows, seeds=1)
    setting = trained_choices.changed(plans.jobs(plan)[0].config, "every image scaled to one norm")
    images = data.load("digits", scaling="norm")
    again = train(replace(setting), images).curves.test_accuracy[0, -1]
    assert found["every image scaled to one norm"]["tanh"][0] == pytest.approx(again, abs=0.02)


@pytest.mark.thorough
def test_figures_show_the_arrays(small: trained_record.Record) -> None:
    fig, ax = plt.subplots()
    draw.curves(ax, {name: found.accuracy for name, found in small.rows.items()}, "small")
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata(), small.rows["tanh"].accuracy.mean(axis=0), rtol=1e-6)
    config = trained_map.MapConfig(("tanh",), (1.0, 1.3, 2.0), (4, 8), seeds=2)
    accuracy = np.linspace(0.1, 0.9, 12).reshape(1, 3, 2, 2)
    fig, axes = plt.subplots(1, 1, squeeze=False)
    scales = {"tanh": flat_kernel.scales(flat_kernel.Family("tanh", 0.2, config.sigma_w), points=5)}
    draw.maps(axes[0], config, accuracy, scales)
    mesh = axes[0, 0].collections[0].get_array()
    np.testing.assert_allclose(np.asarray(mesh).T.reshape(3, 2), accuracy[0].mean(axis=-1))
    plt.close("all")
