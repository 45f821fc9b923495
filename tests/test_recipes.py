"""Recipes, executed as they are pasted: their networks have the variances and correlations that were predicted."""

import json
from pathlib import Path

import numpy as np
import pytest
import recipe_networks as made

from ntk_eoc.activations import NAMED
from ntk_eoc.recipes import EXPRESSIONS, recipes

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "book" / "results" / "recipes.json"
SIGMAS = {"sigma_b": 0.2, "sigma_w": 1.3}


@pytest.mark.filterwarnings("ignore")  # the frameworks' own
@pytest.mark.parametrize("framework", made.FRAMEWORKS)
@pytest.mark.parametrize("case", [made.Case("tanh"), made.Case("relu", architecture="residual")], ids=lambda c: c[0])
def test_a_pasted_recipe_initialises_what_it_says(framework: str, case: made.Case) -> None:
    pytest.importorskip(made.MODULES[framework])
    found = made.measure(framework, case)
    assert len(found.variance) == case.depth - 1
    assert max(made.excess(found, case)) < made.LIMIT


@pytest.mark.parametrize("name", NAMED)
def test_every_activation_has_its_expression_and_the_text_is_python(name: str) -> None:
    assert name in EXPRESSIONS
    for framework, text in recipes(NAMED[name].name, depth=9, architecture="residual", **SIGMAS).items():
        compile(text, framework, "exec")
        assert "$" not in text and "SIGMA_W, SIGMA_B = 1.3, 0.2" in text and "y + " in text


def test_a_slope_is_that_of_this_package_where_none_is_named() -> None:
    for name in ("leaky_relu", "prelu"):
        for text in recipes(name, depth=9, **SIGMAS).values():
            assert f"leaky_relu(x, {NAMED[name].slopes[1]})" in text
    assert "leaky_relu(x, 0.5)" in recipes("leaky_relu:0.5", depth=9, **SIGMAS)["keras"]


def test_flax_and_jax_mean_the_same_activation() -> None:
    """The expressions in JAX, on this package's own; the networks above check the other frameworks."""
    import jax
    import jax.numpy as jnp

    x = jnp.linspace(-3.0, 3.0, 61)
    for name, act in NAMED.items():
        call = EXPRESSIONS[name][1].replace("$slope", str(act.slopes[1] if act.slopes else ""))
        np.testing.assert_allclose(eval(call, {"jax": jax, "jnp": jnp, "x": x}), act.phi(x), atol=1e-12)


def test_an_activation_of_ones_own_is_left_to_fill_in() -> None:
    found = recipes("mine.py:phi", depth=9, q0=0.5, width=77, **SIGMAS)
    for framework, text in found.items():
        assert f"TODO: mine.py:phi in {framework}" in text and "mean square 0.5" in text and "width=77" in text


@pytest.mark.skipif(not RECORD.is_file(), reason="nothing recorded")
def test_the_record_holds_what_it_should() -> None:
    found = json.loads(RECORD.read_text())
    assert {row["framework"] for row in found["rows"]} == set(made.FRAMEWORKS)
    assert all(max(row["worst"]) < found["config"]["limit"] for row in found["rows"])
    for row in found["rows"]:
        case = made.Case(*(row[name] for name in made.Case._fields))
        again = made.Measured(*(np.array(row[name]) for name in made.Measured._fields))
        np.testing.assert_allclose(made.excess(again, case), row["worst"], rtol=1e-3)
    assert str(ROOT) not in RECORD.read_text()
