"""The front page's table says what the ledger says: every claim, its verdict, a chapter that exists."""

import json
import re
from pathlib import Path

import claims_table

from ntk_eoc.claims.ledger import CLAIMS

ROOT = Path(__file__).parents[1]


def test_every_claim_has_a_row_with_its_verdict_and_its_chapter() -> None:
    report = json.loads((ROOT / "book" / "results" / "claims.json").read_text())
    rows = claims_table.table(report).splitlines()[2:]
    assert len(rows) == len(CLAIMS)
    for row, claim in zip(rows, report["claims"], strict=True):
        assert claim["item"] in row and f"`{claim['verdict']}` |" in row
        for chapter in re.findall(r"<(\w+)>`", row):
            assert chapter == claim["chapter"] and (ROOT / "book" / f"{chapter}.ipynb").is_file()


def test_text_of_a_claim_is_not_read_as_markdown() -> None:
    claim = {"item": "x", "statement": "q_a * b_c | [d]", "verdict": "corrected", "chapter": ""}
    assert r"q\_a \* b\_c \| \[d\]" in claims_table.table({"claims": [claim]})


def test_the_front_page_shows_the_table() -> None:
    assert "{claims-table}" in (ROOT / "book" / "index.md").read_text()
