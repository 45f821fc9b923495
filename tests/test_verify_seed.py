"""`ntk-eoc verify --seed`: which evidence draws, that every draw is handed the seed, and what seed 0 is."""

import ast
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntk_eoc import claims
from ntk_eoc.claims import evidence_sgd, ledger
from ntk_eoc.claims.rows import Row, agrees
from ntk_eoc.claims.verify import chosen, draws
from ntk_eoc.cli import main
from ntk_eoc.experiments import finite_ntk, linear_training, ntk_drift, ntk_parts, plans, trained

ROOT = Path(__file__).parents[1]


def test_what_draws_takes_a_seed_and_nothing_else_does() -> None:
    drawing = {"eq4", "eq6", "eq8", "eq9", "gd", "lemma1", "grad", "fig2", "sgd"}
    assert {claim.id for claim in ledger.CLAIMS if draws(claim)} == drawing
    for name in drawing:
        assert inspect.signature(ledger.EVIDENCE[name]).parameters["seed"].default == 0


def test_the_seed_reaches_what_draws_and_the_report(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawing(seed: int = 0) -> list[Row]:
        return [Row("drawn", 1.0 + seed, 1.0 + seed, 0.1)]

    monkeypatch.setitem(ledger.EVIDENCE, "gd", drawing)
    monkeypatch.setitem(ledger.EVIDENCE, "eq4", lambda: [Row("still", 1.0, 1.0, 0.1)])
    for words, seed in (([], 0), (["--seed", "3"], 3)):
        assert main(["verify", "--json", "--only", "eq4", "gd", *words]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["seed"] == seed
        assert [entry["measured"] for entry in found["claims"]] == [1.0, 1.0 + seed]


def test_seed_0_is_the_recorded_draw_and_another_seed_another_one() -> None:
    recorded = {entry["id"]: entry for entry in json.loads((ROOT / "book/results/claims.json").read_text())["claims"]}
    old = [row["measured"] for row in recorded["gd"]["evidence"]]
    first, other = ([row.measured for row in claims.verify(["gd"], seed=seed)[0].rows] for seed in (0, 1))
    assert first == pytest.approx(old, rel=1e-6)
    assert all(abs(a - b) > 1e-5 for a, b in zip(first[:3], other[:3], strict=True))


# Calls in the evidence that draw, as they are written there.
DRAWING = {
    *("draw", "ensemble", "gradient_norms", "width_errors", "drift", "ratio", "learned_slopes", "scan", "follow"),
    *("linear_steps.start", "linear_steps.step_errors", "linear_steps.around_the_bound", "linear_lemma.train_singular"),
    *("nets.Task", "jax.random.key", "sampling.draw", "distances", "trained.live"),
}


def test_every_draw_in_the_evidence_is_handed_the_seed() -> None:
    seen = set()
    for path in (ROOT / "ntk_eoc" / "claims").glob("evidence*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and (name := ast.unparse(call.func)) in DRAWING:
                given = [*call.args, *(keyword.value for keyword in call.keywords)]
                names = {node.id for part in given for node in ast.walk(part) if isinstance(node, ast.Name)}
                assert "seed" in names, f"{path.name}: {ast.unparse(call)}"
                seen.add(name)
    assert seen == DRAWING


def test_interpolation_leaves_no_noise_whichever_the_digits() -> None:
    """Seed 4 has the slowest mode of the first ten."""
    assert all(agrees(row) for row in evidence_sgd._ends(4))


SMALL = {
    "width_errors": lambda s: finite_ntk.width_errors(finite_ntk.WidthConfig(("tanh",), (2,), (8,), 2, 2), s),
    "ratio": lambda s: finite_ntk.ratio(finite_ntk.RatioConfig(("relu",), (2,), (8,), numbers=2000), 2, s).on,
    "drift": lambda s: ntk_drift.drift(ntk_drift.DriftConfig(("tanh",), ((2, 8),), (1,), 2, 2), s).moved,
    "learned_slopes": lambda s: ntk_parts.learned_slopes((8,), seeds=2, seed=s).slopes,
    "scan": lambda s: linear_training.scan(linear_training.Config("erf", 2, 10, steps=(0, 2)), [8], 2, 2 * s).own,
    "live": lambda s: trained.live(
        plans.plan("fig2", False, rows=["relu"], width=8, depth=3, epochs=1, seeds=2), 2 * s
    )["relu"],
}


@pytest.mark.parametrize("name", SMALL)
def test_another_seed_is_another_draw(name: str) -> None:
    first, again, other = (np.asarray(SMALL[name](seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and first.shape == other.shape
    assert not np.isclose(first, other, rtol=1e-9).any()


@pytest.mark.parametrize("seed", ["-1", "1000001", "1.5", "x"])
def test_what_is_no_seed_is_refused(seed: str, capsys: Any) -> None:
    try:
        code = main(["verify", "--only", "eoc", "--seed", seed])
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and "seed: expected a whole number" in said.replace("argument --", "")


def test_the_chosen_claims_are_in_the_ledgers_order() -> None:
    assert [claim.id for claim in chosen(["gd", "eq4"])] == ["eq4", "gd"] and chosen() == list(ledger.CLAIMS)
