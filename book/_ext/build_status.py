"""``{build-status}``: what made this site, and how long each chapter took. ``{ledger-status}``: the verdicts.

The first is known only when every chapter has been executed, so it is set when pages are written.
"""

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from posixpath import dirname, relpath
from typing import Any, TypeAlias

import execution_watch
import jax
from claims_table import linked, recorded
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ntk_eoc.records import about

PACKAGES = ("ntk-eoc", "jax", "numpy", "scipy", "scikit-learn", "matplotlib", "jupyter-book")
Cell: TypeAlias = str | nodes.Node


class pending_status(nodes.General, nodes.Element):
    """The place of the table, until it can be made."""


class BuildStatus(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return [pending_status()]


class LedgerStatus(SphinxDirective):
    """Each claim of the recorded ledger with its verdict and the seconds that its evidence took."""

    def run(self) -> list[nodes.Node]:
        report = recorded(self.env.srcdir)
        rows = []
        for claim in report["claims"]:
            state = ("agrees" if claim["ok"] else "**disagrees**") if claim["evidence"] else "none"
            rows.append(
                f"| `{claim['id']}` | {linked(claim)} | {claim['verdict']} | {state} | {claim['seconds']:.1f} |"
            )
        head = ["| id | in the paper | verdict | evidence | seconds |", "|---|---|---|---|---:|"]
        total = sum(claim["seconds"] for claim in report["claims"])
        closing = f"In all {total:.0f} seconds, recorded at commit `{(report['commit'] or 'unknown')[:10]}`."
        return self.parse_text_to_nodes("\n".join([*head, *rows, "", closing]))


def build_rows() -> list[list[Cell]]:
    """What made this site."""
    here = about(command="", config={}, seed=None, seconds=0.0)
    commit = here["commit"] or "unknown"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        ["Built", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"],
        ["Commit", nodes.literal("", commit, classes=["commit"])],
        ["Device", f"{here['device']}, {platform.system()}, JAX on {jax.default_backend()}"],
        ["Versions", f"Python {platform.python_version()}, {versions}"],
    ]


def chapter_rows(app: Sphinx, page: str) -> list[list[Cell]]:
    """Chapter, cells, seconds and peak memory of every notebook, in the order of the book."""
    rows: list[list[Cell]] = []
    for name in _order(app):
        if Path(app.env.doc2path(name)).suffix == ".ipynb":
            address = relpath(app.builder.get_target_uri(name), dirname(page))
            link = nodes.reference("", app.env.titles[name].astext(), refuri=address, internal=True)
            cells = execution_watch.cells(app, name)
            if cells:
                seconds, peak = sum(cell.seconds for cell in cells.values()), max(cell.bytes for cell in cells.values())
                rows.append(
                    [
                        link,
                        str(len(cells)),
                        f"{seconds:.1f}\N{NO-BREAK SPACE}s",
                        f"{peak / 2**20:.0f}\N{NO-BREAK SPACE}MiB",
                    ]
                )
            else:
                rows.append([link, "not executed in this build", "", ""])
    return rows


def _order(app: Sphinx) -> list[str]:
    def below(name: str) -> list[str]:
        return [name, *(each for child in app.env.toctree_includes.get(name, []) for each in below(child))]

    return below(app.config.root_doc)


def table(head: list[str] | None, rows: list[list[Cell]]) -> nodes.table:
    """A table of text and inline nodes."""
    group = nodes.tgroup(cols=len(rows[0]))
    group += [nodes.colspec(colwidth=1) for _ in rows[0]]
    if head:
        group += nodes.thead("", _row([*head]))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", group)


def _row(cells: list[Cell]) -> nodes.row:
    inline = [nodes.Text(cell) if isinstance(cell, str) else cell for cell in cells]
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in inline))


def resolve(app: Sphinx, document: nodes.document, page: str) -> None:
    for place in list(document.findall(pending_status)):
        chapters = table(["chapter", "cells", "time", "peak memory"], chapter_rows(app, page))
        place.replace_self([table(None, build_rows()), chapters])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(pending_status)
    app.add_directive("build-status", BuildStatus)
    app.add_directive("ledger-status", LedgerStatus)
    app.connect("doctree-resolved", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
