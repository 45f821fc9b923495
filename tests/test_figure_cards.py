"""The card under a figure: what stands behind a cell, what its kernel saw, and that every figure has one."""

import csv
import re
from pathlib import Path
from types import SimpleNamespace

import cell_sources
import execution_watch
import nbformat
import pytest
from built_site import ROOT, SITE, site, table_of_contents
from nbclient import NotebookClient

CHAPTERS = [path for name in table_of_contents() if (path := ROOT / f"{name}.ipynb").is_file()]
SETUP = "from ntk_eoc.experiments import residual\nfrom ntk_eoc.plotting import residual as draw"


def names(*cells: str) -> list[str]:
    return [name.removeprefix("ntk_eoc.") for name in cell_sources.functions(cell_sources.behind([SETUP, *cells]))]


# --- what stands behind a cell ---------------------------------------------------------------


def test_what_was_computed_in_an_earlier_cell_is_found() -> None:
    earlier, later = "runs = residual.universal()", "draw.universal(axes, runs)\nplt.show()"
    assert names(earlier, later) == ["plotting.residual.universal", "experiments.residual.universal"]


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        # The second value has nothing to do with the first.
        (["a, b = residual.universal(), residual.normalised()", "print(a)"], ["experiments.residual.universal"]),
        # A name given anew forgets what it was.
        (["a = residual.universal()", "a = 1", "print(a)"], []),
        (["x = residual.universal()", "[print(x) for x in (1, 2)]"], []),
        (["x = residual.universal()", "for x in (1, 2):\n    print(x)"], []),
        # What comes after the figure is not in it.
        (["plt.plot(1)\nplt.show()\nprint(residual.universal())"], []),
        (["def f():\n    return residual.universal()", "print(f())"], ["experiments.residual.universal"]),
        # A configuration is no function.
        (["print(residual.UniversalConfig())"], []),
    ],
)
def test_names_are_followed(cells: list[str], found: list[str]) -> None:
    assert names(*cells) == found


def test_names_are_those_of_the_reference() -> None:
    sources = cell_sources.behind(["from ntk_eoc.data import digits", "print(digits(n=3))"])
    assert cell_sources.functions(sources) == ["ntk_eoc.data.arrays.digits"]


@pytest.mark.parametrize(
    ("cell", "seeds"),
    [
        ("digits(n=3, seed=SEED)", ["seed = 4"]),
        ("digits(n=3, seed=7 + 1)", ["seed = 7 + 1"]),
        ("digits(n=3)", ["seed = 0"]),  # the default
        ("unit_norm(x)", []),
    ],
)
def test_seeds_are_as_written_or_by_default(cell: str, seeds: list[str]) -> None:
    setup = "from ntk_eoc.data import digits, unit_norm\nSEED, N = 4, 3"
    assert cell_sources.seeds(cell_sources.behind([setup, cell])) == seeds


def test_records_are_found() -> None:
    assert cell_sources.behind(["x = load('results/a.npz')", "print(x, 'text')"]).records == ("results/a.npz",)


# --- what a kernel saw -----------------------------------------------------------------------


def test_a_kernel_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = SimpleNamespace(outdir=tmp_path / "html")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel has its own
    monkeypatch.setenv("IPYTHONDIR", "")
    monkeypatch.setenv(execution_watch.FOLDER, "")
    execution_watch.prepare(app)
    execution_watch.announce(app, "page", [])
    cells = [
        "import matplotlib.pyplot as plt\nimport time",
        "plt.plot([1, 2], [3, 4], label='kept')\nplt.show()\nplt.plot([5])\nplt.show()",
        "plt.figure()\nplt.close()\ntime.sleep(0.2)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3").execute()
    seen = execution_watch.cells(app, "page")
    assert seen.keys() == {1, 2, 3}
    assert 0.2 <= seen[3].seconds < 5
    assert 2e7 < seen[1].bytes <= seen[3].bytes < 4e9
    first, second = execution_watch.arrays(app, "page", 2)
    assert "1,line,kept,2,4," in first.read_text().splitlines()
    assert "1,line,,0,5," in second.read_text().splitlines()
    # A figure that was never drawn is no figure of the page.
    assert execution_watch.arrays(app, "page", 3) == []


# --- the built pages -------------------------------------------------------------------------


def figures(chapter: Path) -> list[str]:
    described = [cell.metadata.get("mystnb", {}) for cell in nbformat.read(chapter, as_version=4).cells]
    return [each["figure"]["name"] for each in described if "figure" in each]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_has_its_card(chapter: Path) -> None:
    page = site() / "book" / f"{chapter.stem}.html"
    if not page.is_file():
        pytest.skip("the chapter is not in this build")
    parts = re.split(r'<figure [^>]*id="(fig-[^"]+)"', page.read_text())
    cards = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert set(figures(chapter)) == set(cards)
    for name, text in cards.items():
        card = re.search(r'<details class="figure-card">.*?</details>', text, re.DOTALL)
        assert card, name
        assert "NOTEBOOKS=book/" in card[0] and "Seed" in card[0] and "Commit" in card[0], name
        assert re.search(r'href="api/\w+\.html#ntk_eoc\.\w+', card[0]), f"{name}: no link to the function that made it"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_has_its_arrays(chapter: Path) -> None:
    if not (site() / "_arrays").is_dir() and SITE != ROOT / "_build" / "html":
        pytest.skip("this site was built without executing the chapters")
    if not (site() / "book" / f"{chapter.stem}.html").is_file():
        pytest.skip("the chapter is not in this build")
    for name in figures(chapter):
        file = site() / "_arrays" / "book" / chapter.stem / f"{name}.csv"
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        rows = list(csv.DictReader(lines))
        assert len(rows) > 1 and all(row["kind"] for row in rows), name
