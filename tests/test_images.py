"""Convolutional kernels of real images: tiles, what pooling is for, the record of the larger images."""

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import data
from ntk_eoc.activations import get
from ntk_eoc.convolution import conv_kernels
from ntk_eoc.experiments import images
from ntk_eoc.kernels import kernels

PAIRS = images.PairsConfig(("digits",), (2, 3), (60,))
SHIFT = images.ShiftConfig((2,), train=16, test=16)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> images.Images:
    pairs, shift, found = images.load(images.record(tmp_path_factory.mktemp("images"), PAIRS, SHIFT))
    assert (pairs, shift) == (PAIRS, SHIFT)
    return found


def test_tiles_make_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    x = data.digits(3).x
    whole = images.grams("digits", x, x[:2], [3])
    monkeypatch.setattr(images, "TILE", 64**2)
    np.testing.assert_allclose(images.grams("digits", x, x[:2], [3]), whole, rtol=1e-12)
    for row, readout in zip(whole, images.READOUTS, strict=False):
        gram = conv_kernels(get("relu"), x.reshape(3, 1, 8, 8), **images.SIGMAS, depth=3, readout=readout).ntk
        root = np.sqrt(np.diag(gram))
        np.testing.assert_allclose(row[0], (gram / np.outer(root, root))[:, :2], rtol=1e-12)
    dense = kernels(get("relu"), jnp.asarray(x), **images.SIGMAS, depth=3).ntk
    np.testing.assert_allclose(whole[2, 0], (dense / np.sqrt(np.outer(np.diag(dense), np.diag(dense))))[:, :2])


def test_flattened_convolutions_go_to_the_dense_limit_and_pooled_ones_nearly_to_one() -> None:
    flat, pooled, dense = images.pair_over_depth("digits", data.digits().x[:2], (3, 60))
    for ratio in (flat, dense):
        assert 0 < ratio[1] - 0.25 < 0.3 * (ratio[0] - 0.25)
    assert pooled[1] == pytest.approx(images.pooled_limit(0.25, images.positions("digits")), abs=5e-3)


def test_only_pooling_takes_a_shifted_image_for_the_same() -> None:
    x = data.digits(3).x
    flat, pooled, dense = images.grams("digits", x, images.shifted("digits", x, 3), [4])[:, 0]
    np.testing.assert_allclose(np.diag(pooled), 1.0, rtol=1e-12)
    assert np.diag(flat).max() < 0.9 and np.diag(dense).max() < 0.9


def test_what_is_recorded_is_read_back(recorded: images.Images) -> None:
    x = images.two_images("digits")
    again = images.pair_over_depth("digits", x, PAIRS.depths + PAIRS.deeper)
    np.testing.assert_array_equal(recorded.pair[0], again[:, :2])
    np.testing.assert_array_equal(recorded.deeper[0], again[0, 2:])
    assert recorded.accuracy.shape == (3, 2, 1)
    depths, ratio = images.curves(PAIRS, recorded)["digits"]["flatten"]
    assert depths == (2, 3, 60) and ratio.tolist() == again[0].tolist()


def test_pooled_accuracies_do_not_move_with_the_images(recorded: images.Images) -> None:
    found = recorded.accuracy
    assert (found * SHIFT.test == np.round(found * SHIFT.test)).all() and found[:, 0].min() > 0.3
    assert found[1, 0] == found[1, 1]
    assert (found[[0, 2], 1] < found[[0, 2], 0]).all()
