"""Under every figure of a chapter: how it was made, how to make it again, and the plotted arrays.

What a card says is read off the notebook's code (``cell_sources``), off the records that it reads, and off
the run that built the page (``execution_watch``). Chapters are not touched for it.
"""

import json
import shutil
from pathlib import Path
from posixpath import dirname, relpath
from typing import Any, TypeAlias

import cell_sources
import execution_watch
import nbformat
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from ntk_eoc.records import commit

ARRAYS = "_arrays"
Inline: TypeAlias = list[nodes.Node]


def add_cards(app: Sphinx, document: nodes.document) -> None:
    page = app.env.docname
    source = Path(app.env.doc2path(page))
    if source.suffix != ".ipynb":
        return
    notebook = nbformat.read(source, as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for cell in list(document.findall(_is_code_cell)):
        number = cell["exec_count"]
        figures = list(cell.findall(nodes.figure))
        tables = execution_watch.arrays(app, page, number)
        for k, figure in enumerate(figures):
            rows = _rows(app, page, code[:number], number)
            if k < len(tables):
                name = f"{ARRAYS}/{page}/{figure['ids'][0]}.csv"
                target = Path(app.outdir, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(tables[k], target)
                link = nodes.reference("", "the plotted arrays", refuri=relpath(name, dirname(page)), internal=True)
                rows.append(("Download", [link, nodes.Text(f" as CSV, {_size(target.stat().st_size)}")]))
            figure.parent.insert(figure.parent.index(figure) + 1, _card(rows))


def _is_code_cell(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def _rows(app: Sphinx, page: str, cells: list[str], number: int) -> list[tuple[str, Inline]]:
    """Name and content of each line of a card."""
    sources = cell_sources.behind(cells)
    functions = cell_sources.functions(sources)
    drawn = [name for name in functions if ".plotting." in name]
    computed = [name for name in functions if name not in drawn]
    chapter = Path(app.env.doc2path(page)).relative_to(app.srcdir)
    rows = [("Computed by", _links(computed)), ("Drawn by", _links(drawn))]
    rows = [(name, content) for name, content in rows if content]
    rows.append(("Made again by", [nodes.literal("", f"make notebooks NOTEBOOKS={chapter.as_posix()}")]))
    rows.append(("Seed", [nodes.Text("; ".join(cell_sources.seeds(sources)) or "none: these functions take no seed")]))
    for record in sources.records:
        rows += _record(chapter.parent / record, Path(app.srcdir))
    if number in (seen := execution_watch.cells(app, page)):
        rows.append(("Run time", [nodes.Text(f"{_time(seen[number].seconds)} in the run that made this page")]))
    if state := commit():
        rows.append(("Commit", [nodes.literal("", state[:10] + state[40:])]))
    return rows


def _record(path: Path, root: Path) -> list[tuple[str, Inline]]:
    """What a recorded result says of itself: the recorder's command, its time, data by checksum, commit."""
    file = root / path.with_suffix(".json")
    about = json.loads(file.read_text()) if file.is_file() else {}
    parts: list[nodes.Node] = [nodes.literal("", path.as_posix())]
    if "command" in about:
        parts += [nodes.Text(", recorded by "), nodes.literal("", about["command"])]
    if "seconds" in about:
        parts.append(nodes.Text(f" in {_time(about['seconds'])}"))
    if about.get("device"):
        parts.append(nodes.Text(f" ({about['device']})"))
    if about.get("seed") is not None:
        parts.append(nodes.Text(f", seed {about['seed']}"))
    if about.get("commit"):
        parts += [nodes.Text(", commit "), nodes.literal("", about["commit"][:10] + about["commit"][40:])]
    rows: list[tuple[str, Inline]] = [("Record", parts)]
    sums = {path.name: about["sha256"]} if "sha256" in about else {}
    for name, checksum in {**sums, **(about.get("data") or {})}.items():
        rows.append(("Checksum", [nodes.literal("", name), nodes.Text(" sha256 "), nodes.literal("", checksum)]))
    return rows


def _links(names: list[str]) -> Inline:
    """Comma-separated links to the reference."""
    found: Inline = []
    for name in names:
        link = addnodes.pending_xref("", refdomain="py", reftype="func", reftarget=name, refexplicit=True, quiet=True)
        link += nodes.literal("", name.removeprefix("ntk_eoc."))
        found += [nodes.Text(", "), link]
    return found[1:]


def without_reference(app: Sphinx, env: Any, node: Any, content: nodes.Node) -> nodes.Node | None:
    """A book without the reference still has its cards: the names stay, the links go."""
    return content if node.get("quiet") else None


def _card(rows: list[tuple[str, Inline]]) -> nodes.container:
    fields = nodes.field_list(classes=["figure-card-rows"])
    for name, content in rows:
        fields += nodes.field("", nodes.field_name("", name), nodes.field_body("", nodes.paragraph("", "", *content)))
    opening = '<details class="figure-card"><summary>How this figure was made</summary>'
    return nodes.container("", *_raw(opening), fields, *_raw("</details>"), classes=["figure-card-box"])


def _raw(html: str) -> Inline:
    return [nodes.raw("", html, format="html")]


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


def _size(size: int) -> str:
    return f"{max(size / 1000, 1):.0f} kB"


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("execution_watch")
    app.connect("doctree-read", add_cards)
    app.connect("missing-reference", without_reference)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
