"""Kernel regression through a store and conjugate gradients, on digits: the numbers of a dense solution, resumable."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import data, records
from ntk_eoc.activations import get
from ntk_eoc.experiments import mnist_regression
from ntk_eoc.experiments.flat_learning import targets
from ntk_eoc.experiments.mnist_regression import RegressionConfig, images, kernel_of, record
from ntk_eoc.kernels import kernels

CONFIG = RegressionConfig(rows=(("relu", 20), ("erf", 3)), ridges=(1.0, 0.01), train=150, rank=40, memory=2**18)


def shares(activation: str, depth: int, ridge: float) -> list[float]:
    given, kernel = images(data.load("digits", scaling="centred"), CONFIG.train), kernel_of(activation, depth)
    assert np.allclose(np.mean(given.x**2, axis=1), 1.0, atol=1e-6)
    x = jnp.asarray(np.concatenate([given.x, given.x_test]), dtype=float)
    sigma_b, sigma_w = kernel.sigmas
    gram = np.asarray(kernels(get(activation), x[:150], x, sigma_b=sigma_b, sigma_w=sigma_w, depth=depth).ntk)
    fitted = np.linalg.solve(gram[:, :150] + ridge * gram[0, 0] * np.eye(150), targets(given.y))
    outputs, labels = gram.T @ fitted, np.concatenate([given.y, given.y_test])
    right = outputs.argmax(axis=1) == labels
    return [right[:150].mean(), right[150:].mean()]


@pytest.mark.thorough
def test_accuracies_are_those_of_a_dense_solution_and_finished_rows_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record(tmp_path / "out", tmp_path / "work", CONFIG, "digits")
    arrays, about = records.load(path)
    assert arrays["activation"].tolist() == ["relu", "erf"]
    assert arrays["depth"].tolist() == [20, 3]
    for row, (activation, depth) in enumerate(CONFIG.rows):
        for column, ridge in enumerate(CONFIG.ridges):
            # an output within the tolerance of another may change places: at most one image of each side
            wanted = shares(activation, depth, ridge)
            assert np.all(np.abs(arrays["accuracy"][row, column] - wanted) * [150, len(data.digits().y) // 5] < 1.5)
    assert (arrays["residual"] < 1e-4).all()
    assert about["command"].endswith("--activation relu --depths 20 3 --train 150")
    assert sorted(file.name for file in (tmp_path / "work").iterdir()) == [
        f"{name}.{end}" for name in ("erf-3", "relu-20") for end in ("json", "npz")
    ]
    monkeypatch.setattr(mnist_regression, "row", None)  # a finished row is never computed again
    again, _ = records.load(record(tmp_path / "again", tmp_path / "work", CONFIG, "digits"))
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays)
    other = RegressionConfig(CONFIG.rows, (0.5,), 150, 40, 2**18)
    with pytest.raises(ValueError, match="work: expected rows of this configuration, got another"):
        record(tmp_path / "again", tmp_path / "work", other, "digits")
