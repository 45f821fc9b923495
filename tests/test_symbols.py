"""First mentions of symbols: what the notation's table defines, and which formulas are about it."""

import pytest
import symbols
from docutils import nodes
from docutils.utils import new_document


def row(tex: str, meaning: str) -> nodes.row:
    cells = [
        nodes.entry("", nodes.paragraph("", "", nodes.math("", tex))),
        nodes.entry("", nodes.paragraph("", meaning)),
    ]
    return nodes.row("", *cells)


def page(*formulas: str) -> nodes.document:
    document = new_document("page")
    document += [nodes.paragraph("", "", nodes.Text("see "), nodes.math("", tex)) for tex in formulas]
    return document


@pytest.fixture
def notation() -> nodes.document:
    document = new_document("notation")
    head = nodes.row("", nodes.entry("", nodes.paragraph("", "symbol")), nodes.entry())
    rows = [
        row("q^l(x, x)", "variance"),
        row("q^l(x, x')", "covariance"),
        row(r"\\dot q^l", "slope"),
        row("f(c)", "map"),
    ]
    body = nodes.tgroup("", nodes.thead("", head), nodes.tbody("", *rows))
    document += [nodes.table("", body, ids=[symbols.TABLE]), nodes.table("", row("K", "no symbol: another table"))]
    return document


def test_the_table_defines_the_symbols(notation: nodes.document) -> None:
    found = list(symbols.symbols(notation).values())
    assert found == [("q", "symbol-q"), (r"\\dot q", "symbol-dot-q"), ("f(c)", "symbol-f-c")]


@pytest.mark.parametrize(
    ("formulas", "linked"),
    [
        (["q^{l-1}", "q"], ["q^{l-1}"]),
        ([r"1 + q", r"q_n", r"qx", r"q > 0"], ["q > 0"]),
        ([r"\\dot q^l = 1", "q"], [r"\\dot q^l = 1", "q"]),
        (["f", "f_t(x)", "f(c) = c"], ["f(c) = c"]),
        ([], []),
    ],
)
def test_a_mention_begins_a_formula(notation: nodes.document, formulas: list[str], linked: list[str]) -> None:
    document, known = page(*formulas), list(symbols.symbols(notation).values())
    found = [formula.astext() for formula, _ in symbols.first_mentions(document, known)]
    assert sorted(found) == sorted(linked)


def test_headings_links_captions_and_tables_are_left_alone(notation: nodes.document) -> None:
    document, known = new_document("page"), list(symbols.symbols(notation).values())
    document += nodes.section("", nodes.title("", "", nodes.math("", "q")))
    document += nodes.figure("", nodes.caption("", "", nodes.math("", "q")))
    document += nodes.paragraph("", "", nodes.reference("", "", nodes.math("", "q")))
    document += nodes.table("", nodes.tgroup("", nodes.tbody("", row("q", ""))))
    assert symbols.first_mentions(document, known) == []
