"""Numbers from the records in running text: no page types a result.

``{measured}`eoc|elu on the EOC` `` is what the ledger measured in the row of claim ``eoc`` that has these words.
``{effect}`momentum 0.9` `` is what that choice does to the trained accuracies, in percentage points.
``{regressions}`` is the table of the kernel regressions on MNIST.
"""

from pathlib import Path
from typing import Any

from claims_table import recorded
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from ntk_eoc.experiments import mnist_regression, trained_choices
from ntk_eoc.plotting.style import look

RESULTS = Path("book") / "results"
MINUS = "\N{MINUS SIGN}"


def measured(report: dict[str, Any], key: str) -> str:
    """A number of a report of ``ntk-eoc verify``; ``KeyError`` unless the words belong to one quantity of the claim.

    >>> row = {"quantity": "sigma_w of elu", "measured": 1.2292511}
    >>> measured({"claims": [{"id": "eoc", "evidence": [row]}]}, "eoc|elu")
    '1.229'
    """
    claim, _, words = key.partition("|")
    rows = [row for entry in report["claims"] if entry["id"] == claim for row in entry["evidence"]]
    found = {row["quantity"]: row["measured"] for row in rows if words in row["quantity"]}
    if words in found:
        found = {words: found[words]}
    if len(found) != 1:
        raise KeyError(key)
    return f"{next(iter(found.values())):.4g}".replace("-", MINUS)


def effect(record: dict[str, dict[str, Any]], choice: str) -> str:
    """Change of the mean accuracy of each row, in percentage points; ``KeyError`` for an unknown choice.

    >>> import numpy as np
    >>> accuracy = {"relu": np.array([0.5, 0.7])}
    >>> effect({"ours": accuracy, "other": {"relu": np.array([0.5, 0.5])}}, "other")
    'ReLU \N{MINUS SIGN}10.0'
    """
    ours = record["ours"]
    change = {row: 100 * (found.mean() - ours[row].mean()) for row, found in record[choice].items()}
    return ", ".join(f"{look(row).label} {points:+.1f}".replace("-", MINUS) for row, points in change.items())


class Recorded(SphinxRole):
    """A role whose text is a key; a key without a number is a warning, and warnings fail the build."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        root = Path(self.env.srcdir) / RESULTS
        try:
            if self.name == "effect":
                text = effect(trained_choices.load(root / "trained_choices.npz"), self.text)
            else:
                text = measured(recorded(self.env.srcdir), self.text)
        except KeyError:
            message = self.inliner.reporter.warning(f"no recorded number for {self.text!r}", line=self.lineno)
            return [], [message]
        return [nodes.Text(text)], []


class Regressions(SphinxDirective):
    """The table, from the records in the book."""

    def run(self) -> list[nodes.Node]:
        paths = sorted((Path(self.env.srcdir) / RESULTS).glob("mnist_regression*.npz"))
        return self.parse_text_to_nodes(mnist_regression.table(paths))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("regressions", Regressions)
    app.add_role("effect", Recorded())
    app.add_role("measured", Recorded())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
