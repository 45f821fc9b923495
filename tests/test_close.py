"""Pairs that are too close for series: recomputed, they and no others, to what the recursion over all of them gives."""

from itertools import combinations
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc import close, gram
from ntk_eoc.activations import NAMED
from ntk_eoc.kernels import kernels

CHAOS = {"sigma_b": 0.1, "sigma_w": 2.5}
EDGE = {"sigma_b": 0.3, "sigma_w": 1.2}


def rows() -> np.ndarray:
    """Of unlike norms; the last three parallel, opposite and close to the first, and no multiples of 1 and -1."""
    x = np.random.default_rng(3).normal(size=(4, 6)) * np.array([[0.5], [0.7], [1.0], [1.3]])
    return np.concatenate([x, 1.5 * x[:1], -0.8 * x[:1], x[:1] + 1e-5 * x[1:2]])


@pytest.mark.parametrize(
    "name, sigmas, architecture",
    [
        ("hard_tanh", EDGE, "ffnn"),
        ("hard_tanh", {"sigma_b": 0.0, "sigma_w": 1.2}, "residual"),
        ("gelu", CHAOS, "ffnn"),
    ],
)
@pytest.mark.thorough(first=2)
def test_close_pairs_are_recomputed_and_no_others(
    name: str, sigmas: dict[str, float], architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, x, depths = NAMED[name], rows(), [2, 4]
    exact = kernels(act, jnp.asarray(x), depth=4, every_depth=True, architecture=architecture, **sigmas)
    counted, recomputed = [], close._recomputed

    def counting(act: Any, found: Any, some: Any, *rest: Any, **options: Any) -> Any:
        counted.append([tuple(pair) for pair in np.transpose(some).tolist()])
        return recomputed(act, found, some, *rest, **options)

    monkeypatch.setattr(close, "_recomputed", counting)
    monkeypatch.setattr(gram, "kernels", lambda *_, **__: pytest.fail("a quadrature for each pair"))
    group = [0, 4, 6] if sigmas["sigma_b"] else [0, 4, 5, 6]  # opposite inputs are close where there is no bias
    for other, expected in (
        (None, list(combinations(group, 2))),
        (x[:2] * 1.0, [(i, 0) for i in group[1:]]),  # equal ones need no recursion
    ):
        found = gram.gram(act, x, other, depth=depths, architecture=architecture, **sigmas)
        assert counted.pop() == expected and not counted
        assert close.RECURSION <= found.error < gram.LOOSE
        for part, truth in ((found.ntk, exact.ntk), (found.nngp, exact.nngp)):
            for i, depth in enumerate(depths):
                whole = np.asarray(truth)[depth - 1]
                off = np.abs(np.asarray(part)[i] - whole[:, : part.shape[2]]) / whole.diagonal().max()
                assert off.max() <= found.error
                assert [off[pair] for pair in expected] == pytest.approx([0.0] * len(expected), abs=1e-13)


def test_float32_takes_float64s_way_and_says_so() -> None:
    found, exact = (gram.gram(NAMED["tanh"], rows(), depth=3, dtype=dtype, **CHAOS) for dtype in gram.DTYPES)
    assert found.ntk.dtype == np.float32 and found.error >= gram.ERROR["float32"]
    np.testing.assert_allclose(found.ntk, exact.ntk, rtol=2e-7 + found.error)


def test_closed_forms_are_quick_for_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where layers are chaotic enough for series to fail, erf's recursion in closed form takes them all."""
    monkeypatch.setattr(close, "_recomputed", lambda *_, **__: pytest.fail("a pair on its own"))
    x, sigmas = rows(), {"sigma_b": 0.1, "sigma_w": 9.0}
    found = gram.gram(NAMED["erf"], x, depth=30, **sigmas)
    np.testing.assert_allclose(found.ntk, kernels(NAMED["erf"], jnp.asarray(x), depth=30, **sigmas).ntk, rtol=1e-12)
