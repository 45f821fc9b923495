"""A figure's table holds what was drawn."""

import csv
import io

import matplotlib.pyplot as plt
import numpy as np

from ntk_eoc.plotting.arrays import plotted, table


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(line for line in io.StringIO(text) if not line.startswith("#")))


def test_a_curve_comes_back_as_it_was_drawn() -> None:
    x = np.geomspace(1, 1e7, 29)
    fig, ax = plt.subplots()
    ax.loglog(x, 3 / 8 * np.log(x) / x, label="law, with a comma")
    found = rows(table(fig))
    np.testing.assert_allclose([float(row["y"]) for row in found], 3 / 8 * np.log(x) / x, rtol=1e-8)
    assert {row["series"] for row in found} == {"law, with a comma"}
    assert {row["value"] for row in found} == {""}


def test_panels_are_counted_and_described() -> None:
    fig, (left, right) = plt.subplots(1, 2)
    left.plot([0.0], [1.0])
    right.scatter([2.0, np.nan], [3.0, 4.0], label="measured")
    right.set(title="two\nlines", xlabel="depth $L$")
    text = table(fig)
    assert text.splitlines()[:2] == ["# panel 1: no labelled axes", "# panel 2 (two lines): x is depth $L$"]
    assert [(row["panel"], row["kind"], row["x"], row["y"]) for row in rows(text)] == [
        ("1", "line", "0", "1"),
        ("2", "points", "2", "3"),
        ("2", "points", "", ""),
    ]


def test_a_map_holds_its_values_at_the_cells() -> None:
    fig, (left, right) = plt.subplots(1, 2)
    values = np.arange(6.0).reshape(2, 3)
    left.pcolormesh([0, 1, 2, 3], [0, 10, 20], values)
    right.imshow(values)
    mesh, image = plotted(fig)
    np.testing.assert_allclose([mesh.x[:3], mesh.y[:3]], [[0.5, 1.5, 2.5], [5, 5, 5]])
    np.testing.assert_allclose(mesh.value, values.ravel())
    np.testing.assert_allclose([image.x[-1], image.y[-1], image.value[-1]], [2, 1, 5])


def test_a_map_between_its_corners() -> None:
    fig, ax = plt.subplots()
    ax.pcolormesh([0.0, 1.0], [0.0, 2.0], np.ones((2, 2)), shading="gouraud")
    (mesh,) = plotted(fig)
    np.testing.assert_allclose(mesh.x, [0, 1, 0, 1])


def test_error_bars_bands_and_bars_are_kept_and_guides_are_not() -> None:
    fig, ax = plt.subplots()
    ax.errorbar([1.0], [2.0], yerr=[0.5])
    ax.fill_between([0.0, 1.0], [0.0, 0.0], [1.0, 1.0])
    ax.bar([3.0], [4.0])
    ax.axhline(0.25)
    found = {series.kind: series for series in plotted(fig)}
    assert set(found) == {"line", "segments", "area", "bars"}
    np.testing.assert_allclose(found["segments"].y, [1.5, 2.5])
    np.testing.assert_allclose([found["bars"].x, found["bars"].y], [[3.0], [4.0]])
    assert len(found["line"].x) == 1
