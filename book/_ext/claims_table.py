"""``{claims-table}``: the recorded ledger as a table, one row a claim, with a badge for its verdict and its chapter."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ntk_eoc.claims.page import plain, read

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
        badge = f"{{{BADGES[claim['verdict']]}}}`{claim['verdict']}`"
        lines.append(f"| {linked(claim)} | {plain(claim['statement'])} | {badge} |")
    return "\n".join(lines)


def linked(claim: dict[str, Any]) -> str:
    """The place in the paper, as a link to the chapter about it where there is one."""
    return f"{{doc}}`{claim['item']} <{claim['chapter']}>`" if claim["chapter"] else str(claim["item"])


def recorded(srcdir: Path | str) -> dict[str, Any]:
    """The report that the book shows."""
    return read(Path(srcdir) / RECORD)


class ClaimsTable(SphinxDirective):
    """The table, from the record in the book."""

    def run(self) -> list[nodes.Node]:
        """The parsed table; the page is built again when the record changes."""
        self.env.note_dependency(str(Path(self.env.srcdir) / RECORD))
        parsed = self.parse_text_to_nodes(table(recorded(self.env.srcdir)))
        for found in parsed:
            found["classes"].append("stacked")
        return parsed


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("claims-table", ClaimsTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
