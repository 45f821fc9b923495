"""The front page's table says what the ledger says: every claim, its verdict, a chapter that exists."""

import json
import re
from pathlib import Path

import claims_table

from ntk_eoc.claims.ledger import CLAIMS
from ntk_eoc.claims.page import plain

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


def test_powers_are_set_as_powers_and_nothing_else_changes() -> None:
    set_as = {
        "n^(-1/2)": "n<sup>\N{MINUS SIGN}1/2</sup>",
        "K(X, X)^-1 (I": "K(X, X)<sup>\N{MINUS SIGN}1</sup> (I",
        "(1 + s)^(L-2) q^1": "(1 + s)<sup>L\N{MINUS SIGN}2</sup> q<sup>1</sup>",
        "K^L(x, x)/L, exp(-K t/N)": "K<sup>L</sup>(x, x)/L, exp(-K t/N)",
    }
    assert {text: plain(text) for text in set_as} == set_as


def test_no_power_of_the_record_is_left_as_typed() -> None:
    """Every text of the ledger, and what is between the marks is the text: nothing is lost."""
    report = json.loads((ROOT / "book" / "results" / "claims.json").read_text())
    texts = [claim[key] for claim in report["claims"] for key in ("printed", "statement", "quantity") if claim[key]]
    assert any("^" in text for text in texts)
    for text in texts:
        assert "^" not in plain(text)
        letters = re.sub(r"<sup>|</sup>|[\\^()]", "", plain(text)).replace("\N{MINUS SIGN}", "-")
        assert letters == re.sub(r"[\^()]", "", text)


def test_the_front_page_shows_the_table() -> None:
    assert "{claims-table}" in (ROOT / "book" / "index.md").read_text()
