"""What a page says of itself to others, with and without an address of the site and of the repository."""

import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import launch
import nbformat
import page_head
import pytest
import yaml
from built_site import ROOT, site, table_of_contents

HOME, REPOSITORY = "https://example.org/book", "https://github.com/someone/ntk-eoc"


def metas(html: str) -> dict[str, str]:
    found = re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)"', html)
    return {name: unescape(value) for name, value in found}


def test_every_page_is_described_in_a_sentence() -> None:
    said = page_head.descriptions()
    assert set(table_of_contents()) <= set(said)
    assert [page for page, text in said.items() if not 30 <= len(text) <= 200 or not text.endswith(".")] == []
    assert len(set(said.values())) == len(said)


def test_a_card_without_an_address_names_no_picture() -> None:
    context: dict[str, Any] = {"title": "<span>1.</span> A <b>&</b> B", "docstitle": "Book", "html_baseurl": ""}
    found = metas(page_head.tags(context, 'said "so"', ("_images/a.png", "seen")))
    assert found["og:title"] == "1. A & B" and found["og:description"] == 'said "so"' == found["description"]
    assert not {"og:image", "og:url"} & found.keys()


def test_a_card_with_an_address_names_the_pages_picture() -> None:
    context = {"title": "T", "docstitle": "Book", "html_baseurl": HOME, "pageurl": f"{HOME}/a.html"}
    found = metas(page_head.tags(context, "said", ("_images/a.png", "seen")))
    assert (found["og:image"], found["og:image:alt"]) == (f"{HOME}/_images/a.png", "seen")
    assert found["og:url"] == f"{HOME}/a.html"


def test_the_copy_for_colab_installs_this_release_first() -> None:
    copy = launch.colab_copy(ROOT / "book" / "notation.ipynb", REPOSITORY, "1.2.3")
    first, *rest = copy.cells
    assert "--branch v1.2.3" in first.source and f"{REPOSITORY} " in first.source and '== "1.2.3"' in first.source
    assert [cell.source for cell in rest] == [
        cell.source for cell in nbformat.read(ROOT / "book" / "notation.ipynb", 4).cells
    ]
    assert not any(cell.get("outputs") for cell in copy.cells)
    nbformat.validate(copy)


# --- a small book with the real configuration ------------------------------------------------


def built(folder: Path, url: str, repository: str) -> Path:
    """The site of two pages under this project's configuration, not executed."""
    (folder / "book").mkdir()
    for name in ("_ext", "_static", "_templates"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name)
    shutil.copy(ROOT / "book" / "references.bib", folder / "book")
    (folder / "book" / "index.md").write_text(
        "# First\n\n```{figure} _static/headline.png\n:alt: a picture\n\nA figure\n```\n"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Second")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "book" / "notation.ipynb")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config["execute"]["execute_notebooks"] = "off"
    config["html"]["baseurl"], config["repository"]["url"] = url, repository
    (folder / "_config.yml").write_text(yaml.safe_dump(config))
    toc = {"format": "jb-book", "root": "book/index", "chapters": [{"file": "book/notation"}]}
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc))
    done = subprocess.run(
        [Path(sys.executable).with_name("jupyter-book"), "build", ".", "-W", "-q"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "_build" / "html"


def test_without_addresses_there_is_no_trace_of_them(tmp_path: Path) -> None:
    html = built(tmp_path, "", "")
    page = (html / "book" / "notation.html").read_text()
    assert not re.search(r"mybinder|colab|canonical|github", page)
    assert not (html / "sitemap.xml").exists() and not (html / "_colab").exists()
    assert 'href="/"' in (html / "404.html").read_text()


def test_with_addresses_pages_can_be_launched_and_found(tmp_path: Path) -> None:
    html = built(tmp_path, HOME, REPOSITORY)
    page = (html / "book" / "notation.html").read_text()
    assert "https://mybinder.org/v2/gh/someone/ntk-eoc/main?urlpath=lab/tree/book/notation.ipynb" in page
    assert "https://colab.research.google.com/github/someone/ntk-eoc/blob/gh-pages/_colab/book/notation.ipynb" in page
    assert (html / "_colab" / "book" / "notation.ipynb").is_file() and (html / ".nojekyll").is_file()
    assert f'href="{REPOSITORY}"' in page and f"{REPOSITORY}/issues" in page
    assert f'<link rel="canonical" href="{HOME}/book/notation.html"' in page
    assert metas((html / "book" / "index.html").read_text())["og:image"] == f"{HOME}/_images/headline.png"
    listed = re.findall("<loc>(.*)</loc>", (html / "sitemap.xml").read_text())
    assert listed == [f"{HOME}/book/index.html", f"{HOME}/book/notation.html"]
    assert f'href="{HOME}/"' in (html / "404.html").read_text()


# --- the built pages -------------------------------------------------------------------------


@pytest.mark.parametrize("name", table_of_contents())
def test_page_has_its_description(name: str) -> None:
    found = metas((site() / f"{name}.html").read_text())
    assert found["description"] == found["og:description"] == page_head.descriptions()[name]
    assert found["og:title"] and found["og:site_name"]


def test_a_wrong_address_and_no_address_have_their_pages() -> None:
    assert 'href="/"' in (site() / "404.html").read_text()
    assert "url=book/index.html" in (site() / "index.html").read_text()
