"""The first mention of a symbol on a page leads to its line in the table of the notation.

The table itself says which symbols there are. A mention is a formula in running text that begins with the symbol,
such as ``$\\chi < 1$`` for ``$\\chi$``: there the sentence is about it.
"""

import re
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx

NOTATION, TABLE = "book/notation", "tab-n-symbols"
LAYER_AND_INPUTS = re.compile(r"\^l|\(x, x'?\)")
# Letters that a page uses for something of its own.
OTHERWISE = {"book/flat_kernel": {"c"}}
ELSEWHERE = (nodes.reference, nodes.title, nodes.caption, nodes.table)


class Symbol(NamedTuple):
    """A symbol as a formula begins with it, and its place on the page of the notation."""

    tex: str
    anchor: str


def bare(tex: str) -> str:
    """A symbol without its layer and its inputs, which a mention may have or not.

    >>> bare("K^l(x, x')"), bare("f(c)")
    ('K', 'f(c)')
    """
    return LAYER_AND_INPUTS.sub("", tex)


def symbols(document: nodes.document) -> dict[nodes.row, Symbol]:
    """The rows of the notation's table that define a symbol; of two with one letter, the first."""
    found: dict[str, tuple[nodes.row, Symbol]] = {}
    for table in document.findall(lambda node: isinstance(node, nodes.table) and TABLE in node["ids"]):
        for row in table.findall(nodes.row):
            formula = next(row[0].findall(nodes.math), None)
            if formula is not None:
                tex = bare(formula.astext())
                found.setdefault(tex, (row, Symbol(tex, f"symbol-{_name(tex)}")))
    return dict(found.values())


def _name(tex: str) -> str:
    r"""The symbol as a part of an address: ``dot-q`` for ``\dot q``."""
    return re.sub(r"\W+", "-", tex.replace("_", "-")).strip("-")


def first_mentions(document: nodes.document, wanted: list[Symbol]) -> list[tuple[nodes.math, Symbol]]:
    """The formulas to link, each with its symbol."""
    found: dict[Symbol, nodes.math] = {}
    for formula in document.findall(nodes.math):
        if not _within(formula, ELSEWHERE):
            for symbol in wanted:
                if re.match(re.escape(symbol.tex) + r"(?![A-Za-z_])", formula.astext()):
                    found.setdefault(symbol, formula)
    return [(formula, symbol) for symbol, formula in found.items()]


def _within(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    return node.parent is not None and (isinstance(node.parent, kinds) or _within(node.parent, kinds))


def name_rows(app: Sphinx, document: nodes.document) -> None:
    """On the page of the notation: an anchor for each symbol."""
    if app.env.docname == NOTATION:
        for row, symbol in symbols(document).items():
            row["ids"].append(symbol.anchor)


def link_mentions(app: Sphinx, document: nodes.document, page: str) -> None:
    """On every other page: the links."""
    if page == NOTATION or NOTATION not in app.env.all_docs:
        return
    known = symbols(app.env.get_doctree(NOTATION)).values()
    wanted = [symbol for symbol in known if symbol.tex not in OTHERWISE.get(page, ())]
    address = app.builder.get_relative_uri(page, NOTATION)
    for formula, symbol in first_mentions(document, wanted):
        place = f"{address}#{symbol.anchor}"
        # The title is for programs that find no name in a formula.
        link = nodes.reference("", "", internal=True, refuri=place, reftitle="In the notation", classes=["symbol"])
        formula.replace_self(link)
        link += formula


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", name_rows)
    app.connect("doctree-resolved", link_mentions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
