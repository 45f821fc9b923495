"""``{claims-table}``: the recorded ledger as a table, one row a claim, with a badge for its verdict and its chapter."""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RECORD = Path("book") / "results" / "claims.json"
BADGES = {
    "holds": "bdg-success",
    "holds with conditions": "bdg-info",
    "corrected": "bdg-warning",
    "does not hold": "bdg-danger",
    "not run": "bdg-secondary",
}


def table(report: dict[str, Any]) -> str:
    """Markdown of a report of ``ntk-eoc verify --json``; the chapter is linked where there is one.

    >>> claim = {"item": "Lemma 1", "statement": "x", "verdict": "holds", "chapter": "sgd"}
    >>> print(table({"claims": [claim]}).splitlines()[-1])
    | {doc}`Lemma 1 <sgd>` | x | {bdg-success}`holds` |
    """
    lines = ["| in the paper | what holds | verdict |", "|---|---|---|"]
    for claim in report["claims"]:
        chapter = claim["chapter"]
        item = f"{{doc}}`{claim['item']} <{chapter}>`" if chapter else claim["item"]
        badge = f"{{{BADGES[claim['verdict']]}}}`{claim['verdict']}`"
        lines.append(f"| {item} | {_plain(claim['statement'])} | {badge} |")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text in which Markdown finds nothing to set, and no end of a cell."""
    for mark in r"*_[]|":
        text = text.replace(mark, "\\" + mark)
    return text


class ClaimsTable(SphinxDirective):
    """The table, from the record in the book."""

    def run(self) -> list[nodes.Node]:
        """The parsed table; the page is built again when the record changes."""
        path = Path(self.env.srcdir) / RECORD
        self.env.note_dependency(str(path))
        return self.parse_text_to_nodes(table(json.loads(path.read_text())))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("claims-table", ClaimsTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
