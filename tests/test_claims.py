"""The ledger: every claim of the paper accounted for, verdicts from evidence, and evidence that can fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from ntk_eoc import asymptotics, claims, zonal
from ntk_eoc.claims import evidence, ledger
from ntk_eoc.claims.rows import Row, agrees
from ntk_eoc.claims.verify import Result

ROOT = Path(__file__).parents[1]
# The paper's claims, by the ids under which they are tracked.
IDS = "eq4 eq6 eq8 eq9 gd lemma1 gen prop1 grad prop2a prop2b prop2c prop3 fig1a fig1b fig1c fig2 eoc tab1 sgd".split()
# What later versions state, and what is this companion's own.
IDS += "scaled conv sphere layers recommend".split()
# What trains or draws finite networks for its evidence: minutes, which `make test` leaves to `make thorough`.
NETWORKS = {"eq4", "eq6", "eq8", "eq9", "gd", "lemma1", "grad", "fig2", "sgd"}
# What the text of a notebook may quote from the record, and a fresh run must give again.
SAME = 1e-6


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> list[Result]:
    """What the command says, in a process of its own: without the run-time checks of shapes it takes a third."""
    wanted = IDS if request.config.getoption("--thorough") else [name for name in IDS if name not in NETWORKS]
    command = [sys.executable, "-m", "ntk_eoc.cli", "verify", "--json", "--only", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "JAXTYPING_DISABLE": "1"})
    assert done.returncode in (0, 1), done.stderr
    found = []
    for entry in json.loads(done.stdout)["claims"]:
        (claim,) = (claim for claim in ledger.CLAIMS if claim.id == entry["id"])
        rows = [Row(*(row[name] for name in Row._fields)) for row in entry["evidence"]]
        found.append(Result(claim, rows, entry["verdict"], entry["ok"], entry["seconds"]))
    return found


@pytest.fixture
def clean_caches():
    """A patched formula must be traced anew, and its traces must not outlive the test."""
    jax.clear_caches()
    yield
    jax.clear_caches()


def test_every_claim_of_the_paper_is_one_entry():
    assert [claim.id for claim in ledger.CLAIMS] == IDS


def test_every_verdict_follows_from_its_evidence(results):
    failed = {r.claim.id: [row for row in r.rows if not agrees(row)] for r in results if not r.ok}
    assert not failed


def test_corrected_claims_have_evidence_for_ours_and_against_the_printed_one(results):
    for result in results:
        if result.verdict == ledger.CORRECTED:
            assert any(row.side == "ours" for row in result.rows), result.claim.id
            assert any(row.side == "printed" and not agrees(row) for row in result.rows), result.claim.id


def test_evidence_is_numbers_with_finite_tolerances(results):
    for result in results:
        assert bool(result.rows) == (result.verdict != ledger.NOT_RUN)
        for row in result.rows:
            assert isinstance(float(row.measured), float) and not isinstance(row.measured, bool)
            assert 0 <= row.tolerance <= max(0.25 * abs(row.expected), 0.1), row


def test_chapters_exist(results):
    for result in results:
        assert not result.claim.chapter or (ROOT / "book" / f"{result.claim.chapter}.ipynb").is_file()


def test_the_recorded_ledger_is_what_verify_says(results):
    recorded = {entry["id"]: entry for entry in json.loads((ROOT / "book/results/claims.json").read_text())["claims"]}
    assert list(recorded) == IDS
    for result in results:
        entry = recorded[result.claim.id]
        assert (entry["statement"], entry["printed"]) == (result.claim.statement, result.claim.printed)
        assert entry["verdict"] == result.verdict
        for row, old in zip(result.rows, entry["evidence"], strict=True):
            assert row.quantity == old["quantity"]
            assert row.measured == pytest.approx(old["measured"], rel=SAME, abs=1e-30), row.quantity


def perturbed_look_up(which, monkeypatch):
    right = zonal.evaluate

    def perturbed(*args, **options):
        parts = list(right(*args, **options))
        parts[which] = parts[which] * 1.001
        return tuple(parts)

    monkeypatch.setattr(zonal, "evaluate", perturbed)


@pytest.mark.parametrize("which", [0, 1], ids=["correlation map", "qdot"])
def test_verify_turns_red_when_a_layer_is_wrong(which, monkeypatch, clean_caches):
    perturbed_look_up(which, monkeypatch)
    assert not claims.verify(["prop2a"])[0].ok


def test_verify_turns_red_when_the_residual_damping_is_wrong(monkeypatch):
    right = evidence.homogeneous_layer

    def undamped(tab, sigma_w, architecture="ffnn"):
        return right(tab, sigma_w, architecture)._replace(scale=sigma_w**2)

    monkeypatch.setattr(evidence, "homogeneous_layer", undamped)
    assert not claims.verify(["prop3"])[0].ok


@pytest.mark.parametrize("claim", ["prop2a", "prop2b"])
@pytest.mark.thorough(first=1)
def test_verify_turns_red_when_a_coefficient_is_wrong(claim, monkeypatch):
    right = asymptotics.coefficient
    monkeypatch.setattr(asymptotics, "coefficient", lambda *args: (*right(*args)[:2], 1.01 * right(*args)[2]))
    assert not claims.verify([claim])[0].ok


def test_a_printed_statement_that_agrees_is_not_called_corrected():
    claim = ledger.Claim("x", "Item", "Theirs.", "Ours.", ledger.CORRECTED)
    rows = [Row("ours", 1.0, 1.0, 0.1), Row("printed", 1.0, 1.0, 0.1, "printed")]
    from ntk_eoc.claims.verify import judge

    assert judge(claim, rows) == (ledger.HOLDS, False)


def test_unknown_ids_are_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match="did you mean 'lemma1'"):
        claims.verify(["lemma"])


def test_report_has_the_public_keys():
    found = claims.report(claims.verify(["prop2a", "tab1"]))
    assert set(found) == {"version", "commit", "seed", "claims"}
    keys = {"id", "item", "statement", "verdict", "measured", "expected", "tolerance", "ok", "seconds", "chapter"}
    assert all(keys <= set(entry) for entry in found["claims"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
