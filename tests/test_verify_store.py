"""`ntk-eoc verify --out DIR --resume` and the claims at several seeds: what is kept, what is refused."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ntk_eoc import records
from ntk_eoc.claims import ledger, seeds, store
from ntk_eoc.claims.rows import Row
from ntk_eoc.claims.verify import origin
from ntk_eoc.cli import STOPPED, main

IDS = ["eq4", "prop2a", "gd"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Evidence that costs nothing: which claims were evaluated, in order; eq4 and gd draw, prop2a does not."""
    found: list[str] = []

    def drawing(name: str) -> Callable[..., list[Row]]:
        def evidence(seed: int = 0) -> list[Row]:
            found.append(f"{name} {seed}")
            return [Row(f"{name} drawn", 1.0 + 0.01 * seed, 1.0, 0.1)]

        return evidence

    def still() -> list[Row]:
        found.append("prop2a")
        return [Row("ours", 0.375, 0.375, 0.1), Row("theirs", 0.375, 0.0, 0.1, "printed")]

    for name in ("eq4", "gd"):
        monkeypatch.setitem(ledger.EVIDENCE, name, drawing(name))
    monkeypatch.setitem(ledger.EVIDENCE, "prop2a", still)
    return found


def answered(capsys: Any, *line: Any) -> dict[str, Any]:
    assert main(["verify", "--json", *map(str, line)]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: Any, *line: Any) -> str:
    assert main(["verify", *map(str, line)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ntk-eoc verify: ") and said.count("\n") == 1
    return said


def test_claims_are_kept_and_not_computed_again(calls: list[str], capsys: Any, tmp_path: Path) -> None:
    first = answered(capsys, "--only", "eq4", "--out", tmp_path)
    assert calls == ["eq4 0"] and json.loads((tmp_path / "claims.json").read_text()) == first
    whole = answered(capsys, "--only", *IDS, "--out", tmp_path, "--resume")
    assert calls == ["eq4 0", "gd 0", "prop2a"] and json.loads((tmp_path / "claims.json").read_text()) == whole
    assert whole["claims"][0] == first["claims"][0]
    assert answered(capsys, "--only", *IDS, "--out", tmp_path, "--resume") == whole and len(calls) == 3
    assert {key: whole[key] for key in ("version", "commit", "seed")} == origin(0)


def test_what_is_finished_survives_a_stop(
    calls: list[str], capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(seed: int = 0) -> list[Row]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(ledger.EVIDENCE, "gd", stopped)
        assert main(["verify", "--only", *IDS, "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == f"ntk-eoc verify: {STOPPED}\n"
    assert calls == ["eq4 0"] and sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "eq4.json"]
    said = refused(capsys, "--only", *IDS, "--out", tmp_path)
    assert (
        f"out: expected no finished claims, got 1 of {len(ledger.CLAIMS)} claims in {tmp_path}; go on with --resume"
        in said
    )
    answered(capsys, "--only", *IDS, "--out", tmp_path, "--resume")
    assert calls == ["eq4 0", "gd 0", "prop2a"]


def cut(text: str) -> str:
    return text[: len(text) // 2]


def nudged(text: str) -> str:
    return text.replace("1.0,", "1.01,", 1)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut, "expected a finished claim, got other text; remove the file"),
        (lambda _: "[]", "expected a finished claim, got other text; remove the file"),
        (nudged, "expected the recorded claim, sha256 "),
    ],
    ids=["half", "other", "tampered"],
)
def test_a_damaged_claim_is_refused_before_anything_is_computed(
    damage: Callable[[str], str], sentence: str, calls: list[str], capsys: Any, tmp_path: Path
) -> None:
    answered(capsys, "--only", "gd", "--out", tmp_path)
    path, before = tmp_path / "gd.json", len(calls)
    assert damage(path.read_text()) != path.read_text()
    path.write_text(damage(path.read_text()))
    assert f"{path}: {sentence}" in refused(capsys, "--only", *IDS, "--out", tmp_path, "--resume")
    assert len(calls) == before


def test_a_claim_of_another_name_or_seed_is_refused(calls: list[str], capsys: Any, tmp_path: Path) -> None:
    for seed in (0, 1):
        answered(capsys, "--only", "eq4", "--seed", seed, "--out", tmp_path / str(seed))
    said = refused(capsys, "--only", "eq4", "--seed", 1, "--out", tmp_path / "0", "--resume")
    assert (
        f"out: expected a folder of this configuration, got {tmp_path / '0'} with other seed (0 there, 1 here)" in said
    )
    (tmp_path / "1" / "eq4.json").write_bytes((tmp_path / "0" / "eq4.json").read_bytes())
    assert "eq4.json: expected" in refused(capsys, "--only", "eq4", "--seed", 1, "--out", tmp_path / "1", "--resume")
    (tmp_path / "0" / "gd.json").write_bytes((tmp_path / "0" / "eq4.json").read_bytes())
    assert "gd.json: expected" in refused(capsys, "--only", "gd", "--out", tmp_path / "0", "--resume")


def test_a_folder_that_cannot_be_written(
    calls: list[str], capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    said = refused(capsys, "--only", "eq4", "--out", tmp_path / "file" / "out")
    assert "out: cannot write into" in said and "Not a directory" in said and not calls

    def full(path: Path, content: bytes) -> None:
        if path.name == "eq4.json":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(records, "write_atomically", full)
    said = refused(capsys, "--only", "eq4", "--out", tmp_path / "full")
    assert "out: cannot write into" in said and "No space left on device" in said
    assert "resume: expected --out" in refused(capsys, "--only", "eq4", "--resume")


def test_claims_at_several_seeds(calls: list[str], capsys: Any, tmp_path: Path) -> None:
    assert seeds.main(["--out", str(tmp_path), "--seeds", "3", "--only", "gd", "eq4"]) == 0
    assert calls == ["eq4 0", "gd 0", "eq4 1", "gd 1", "eq4 2", "gd 2"]
    assert [path.name for path in tmp_path.iterdir()] == ["seeds.json"]
    found = json.loads((tmp_path / "seeds.json").read_text())
    assert found["config"] == {"seeds": [0, 1, 2], "claims": ["eq4", "gd"]} and found["commit"] == records.commit()
    assert list(found["claims"]) == ["eq4", "gd"]
    assert found["claims"]["gd"]["verdicts"] == ["holds"] * 3 and found["claims"]["gd"]["ok"] == [True] * 3
    row = {"quantity": "gd drawn", "side": "ours", "expected": 1.0, "tolerance": 0.1, "min": 1.0, "max": 1.02}
    assert found["claims"]["gd"]["evidence"] == [row]
    assert seeds.main(["--out", str(tmp_path), "--only", "eoc"]) == 2
    assert seeds.main(["--out", str(tmp_path), "--seeds", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_several_seeds_go_on_after_a_stop(
    calls: list[str], capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["--out", str(tmp_path), "--seeds", "2", "--only", "eq4", "gd"]
    right = store.evaluate

    def stops(claim: Any, seed: int) -> Any:
        if (claim.id, seed) == ("gd", 1):
            raise KeyboardInterrupt
        return right(claim, seed)

    with monkeypatch.context() as patch:
        patch.setattr(store, "evaluate", stops)
        assert seeds.main(line) == 130
    assert "--resume" in capsys.readouterr().err and not (tmp_path / "seeds.json").exists()
    assert seeds.main(line) == 2
    assert "expected no finished claims" in capsys.readouterr().err
    assert seeds.main([*line, "--resume"]) == 0
    assert calls == ["eq4 0", "gd 0", "eq4 1", "gd 1"]
    assert json.loads((tmp_path / "seeds.json").read_text())["claims"]["gd"]["evidence"][0]["max"] == 1.01


def test_evidence_that_differs_in_more_than_what_was_measured_is_refused() -> None:
    row = {"quantity": "order", "side": "ours", "expected": 1.0, "tolerance": 0.1, "measured": 1.0}
    gd = {"id": "gd", "verdict": "holds", "ok": True}
    reports = [{"claims": [{**gd, "evidence": [{**row, "expected": value}]}]} for value in (1.0, 2.0)]
    with pytest.raises(ValueError, match="order: expected the same quantity, side, expected, tolerance"):
        seeds.summary(reports)
