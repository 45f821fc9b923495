"""The chapter's own function: its file, its starts, and small networks that begin there."""

from pathlib import Path

import numpy as np
import pytest

from ntk_eoc.activations import get
from ntk_eoc.experiments import own_activation as own
from ntk_eoc.recommend import recommend

BOOK = Path(__file__).parents[1] / "book"
CONFIG = own.OwnConfig(f"{BOOK / 'my_activation.py'}:mish", width=8, depth=4, epochs=1, seeds=1)


def test_the_function_is_what_the_chapter_says() -> None:
    x = np.linspace(-3.0, 3.0, 13)
    np.testing.assert_allclose(get(CONFIG.activation).phi(x), x * np.tanh(np.log1p(np.exp(x))), rtol=1e-12)


@pytest.mark.thorough
def test_starts_recipe_law_and_training() -> None:
    act = get(CONFIG.activation)
    best, found = recommend(act, CONFIG.depth).start, own.starts(CONFIG)
    assert list(found) == ["recommended", "He", "Glorot"] and found["recommended"] == (best.sigma_b, best.sigma_w)
    assert own.law_at(act, best).limit == pytest.approx(1 / 3)
    text = own.recipe(act, best, CONFIG)
    assert "TODO: my_activation.py:mish" in text and "width=8, depth=4" in text
    assert {name: values.shape for name, values in own.train_starts(CONFIG).items()} == dict.fromkeys(found, (1, 2))


def test_measured_reads_the_record() -> None:
    count, worst = own.measured(BOOK / "results" / "recipes.json")
    assert count == 15 and 0 < worst < 5
