"""Every chapter is executed, clean, described and short enough to read."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
CHECKED = "# NBVAL_CHECK_OUTPUT"
FILE_NAME = re.compile(r"\S*[/\\]\S*|\S+\.(png|svg|jpe?g|pdf)", re.IGNORECASE)
# What would make a chapter depend on the network or on data that runs code; what hides a failing cell.
FORBIDDEN = re.compile(r"\bpip\b|https?:|\burllib\b|\brequests\b|\burlopen\b|pickle|joblib\.load|^\s*[%!]", re.M)
FORBIDDEN_TAGS = {"raises-exception", "skip-execution", "nbval-skip", "nbval-raises-exception"}

pytestmark = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)


def code_cells(chapter: Path) -> list[NotebookNode]:
    cells = nbformat.read(chapter, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def prose(chapter: Path) -> str:
    """The Markdown of a chapter."""
    cells = nbformat.read(chapter, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def words(markdown: str) -> int:
    """Count words as a reader would: no displayed equations, comments, directive lines or options."""
    text = re.sub(r"\$\$.*?\$\$|<!--.*?-->|```\{math\}.*?```", " ", markdown, flags=re.DOTALL)
    text = re.sub(r"^\s*(:::|```|:[\w-]+:|\([\w-]+\)=|---).*$", " ", text, flags=re.MULTILINE)
    return len([word for word in text.split() if re.search(r"[A-Za-z]", word)])


def output_text(cell: NotebookNode) -> str:
    """Everything textual that a cell has printed or shown."""
    shown = [text for output in cell.outputs for text in output.get("data", {}).values()]
    printed = [output.get("text", "") for output in cell.outputs]
    return "\n".join(str(text) for text in shown + printed)


def is_figure(cell: NotebookNode) -> bool:
    kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
    return any(kind.endswith(("image/png", "image/svg+xml", "image/jpeg")) for kind in kinds)


def is_checked(cell: NotebookNode) -> bool:
    tags = cell.metadata.get("tags", [])
    return CHECKED in cell.source.splitlines() or "nbval-check-output" in tags


def test_every_cell_was_executed_in_order(chapter: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(chapter)]
    assert counts, "there is no code"
    assert counts == list(range(1, len(counts) + 1)), "run make notebooks"


def test_no_output_is_an_error_or_a_warning(chapter: Path) -> None:
    outputs = [output for cell in code_cells(chapter) for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


def test_no_output_depends_on_the_machine(chapter: Path) -> None:
    for cell in code_cells(chapter):
        shown = output_text(cell)
        assert not re.search(r"\bat 0x[0-9a-f]{6,}", shown), cell.source
        assert str(ROOT) not in shown and str(Path.home()) not in shown, cell.source


def test_checked_cells_have_outputs(chapter: Path) -> None:
    cells = code_cells(chapter)
    assert any(is_checked(cell) for cell in cells), "no claim of this chapter is checked"
    for cell in cells:
        marked = re.search(r"#\s*NBVAL", cell.source) is not None
        assert not marked or is_checked(cell), f"{CHECKED} needs a line of its own"
        assert not is_checked(cell) or output_text(cell).strip(), f"nothing to compare: {cell.source}"


def test_figures_have_caption_and_alt_text(chapter: Path) -> None:
    for cell in filter(is_figure, code_cells(chapter)):
        described = cell.metadata.get("mystnb", {})
        figure, alt = described.get("figure", {}), described.get("image", {}).get("alt", "")
        assert figure.get("caption", "").strip(), f"no caption: {cell.source}"
        assert re.fullmatch(r"fig-[a-z0-9-]+", figure.get("name", "")), f"no fig-... name: {cell.source}"
        assert len(alt.split()) >= 5 and not FILE_NAME.fullmatch(alt.strip()), f"alt text: {alt!r}"
        assert alt.strip() != figure["caption"].strip(), "alt text says what is seen, the caption why"


def test_figures_are_referred_to(chapter: Path) -> None:
    names = [cell.metadata["mystnb"]["figure"]["name"] for cell in filter(is_figure, code_cells(chapter))]
    assert [name for name in names if name not in prose(chapter)] == []


def test_code_is_short(chapter: Path) -> None:
    cells = code_cells(chapter)
    assert len(cells) <= 12
    for cell in cells:
        assert len(cell.source.splitlines()) <= 15, cell.source
        nodes = ast.walk(ast.parse(cell.source))
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < 5, f"{node.name} belongs in the package"


def test_prose_is_of_readable_length(chapter: Path) -> None:
    assert 1000 <= words(prose(chapter)) <= 2500


def test_there_are_exercises_with_solutions(chapter: Path) -> None:
    text = prose(chapter)
    labels = set(re.findall(r"\{exercise(?:-start)?\}.*\n(?:.*\n)*?:label: (\S+)", text))
    solved = set(re.findall(r"\{solution(?:-start)?\} (\S+)", text))
    assert len(labels) >= 2
    assert labels == solved


def test_no_network_no_installation_no_pickles(chapter: Path) -> None:
    for cell in code_cells(chapter):
        assert not FORBIDDEN.search(cell.source), cell.source
        assert not FORBIDDEN_TAGS & set(cell.metadata.get("tags", [])), cell.source
