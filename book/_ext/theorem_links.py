"""Each theorem names the function that computes it and the test that checks it, and these name the theorem.

``theorems.yml`` says which belong together. ``{theorem-table}`` sets all of it, with the tests' code.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1] / "tests"
KINDS = ("theorem", "proposition", "lemma", "corollary")


class Entry(NamedTuple):
    """Full names of the functions, and tests as file.function."""

    functions: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def table() -> dict[str, Entry]:
    """The entries by label, in the order of the file."""
    read = yaml.safe_load((HERE / "theorems.yml").read_text())
    return {
        label: Entry(tuple(f"ntk_eoc.{name}" for name in entry["functions"]), tuple(entry["tests"]))
        for label, entry in read.items()
    }


def source(test: str) -> str:
    """The code of a test with its decorators; ``KeyError`` if there is no such test."""
    file, _, name = test.partition(".")
    lines = (TESTS / f"{file}.py").read_text().splitlines()
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return "\n".join(lines[first - 1 : node.end_lineno])
    raise KeyError(test)


def add_links(app: Sphinx, document: nodes.document) -> None:
    """Below each statement: what computes it, what checks it."""
    for node in list(document.findall(_is_statement)):
        if entry := table().get(node["label"]):
            functions = [_link("py", "func", name, name.removeprefix("ntk_eoc.")) for name in entry.functions]
            tests = [_link("std", "ref", f"check-{name}", name.replace(".", ".py::", 1)) for name in entry.tests]
            words = [nodes.Text("Computed by "), *_listed(functions), nodes.Text("; checked by "), *_listed(tests)]
            line = nodes.paragraph("", "", *words, classes=["theorem-links"])
            node.parent.insert(node.parent.index(node) + 1, line)


def _is_statement(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Admonition) and node.__class__.__name__.removesuffix("_node") in KINDS


def _link(domain: str, kind: str, target: str, text: str) -> nodes.Node:
    name = target.lower() if domain == "std" else target
    # quiet: where the reference is not in the book, figure_cards leaves the text without its link.
    return addnodes.pending_xref(
        "", nodes.literal("", text), refdomain=domain, reftype=kind, reftarget=name, refexplicit=True, quiet=True
    )


def _listed(links: list[nodes.Node]) -> list[nodes.Node]:
    return [part for link in links for part in (nodes.Text(", "), link)][1:]


def add_backlinks(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """In the reference: the theorems that a function computes."""
    if labels := [label for label, entry in table().items() if name in entry.functions]:
        lines += ["", "In the book: " + ", ".join(f":prf:ref:`{label}`" for label in labels) + "."]


class TheoremTable(SphinxDirective):
    """A row for each statement."""

    def run(self) -> list[nodes.Node]:
        lines = ["| statement | computed by | checked by |", "|---|---|---|"]
        for label, entry in table().items():
            functions = ", ".join(f"{{py:func}}`{name.removeprefix('ntk_eoc.')} <{name}>`" for name in entry.functions)
            tests = ", ".join(f"{{ref}}`{_title(test)} <check-{test}>`" for test in entry.tests)
            lines.append(f"| {{prf:ref}}`{label}` | {functions} | {tests} |")
        self.env.note_dependency(str(HERE / "theorems.yml"))
        return self.parse_text_to_nodes("\n".join(lines))


class TheoremTests(SphinxDirective):
    """The code of each test, under a heading of its own."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for test in dict.fromkeys(test for entry in table().values() for test in entry.tests):
            file, _, name = test.partition(".")
            lines += [f"(check-{test})=", f"### {_title(test)}", "", f"`pytest tests/{file}.py -k {name}`", ""]
            lines += ["```python", *source(test).splitlines(), "```", ""]
        self.env.note_dependency(str(HERE / "theorems.yml"))
        place = nodes.section()
        place.document = self.state.document
        self.state.nested_parse(StringList(lines, source=self.env.doc2path(self.env.docname)), 0, place, True)
        return place.children


def _title(test: str) -> str:
    return test.partition(".test_")[2].replace("_", " ")


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("theorem-table", TheoremTable)
    app.add_directive("theorem-tests", TheoremTests)
    app.connect("doctree-read", add_links)
    # After module_reference has made plain text of the docstring.
    app.connect("autodoc-process-docstring", add_backlinks, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
