"""The site's own extensions, and what can be said of the built pages without a browser."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import local_assets
import module_reference
import pytest
from built_site import ROOT, site, table_of_contents

ADDRESSES = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src", "a": "href"}


class Page(HTMLParser):
    """(tag, address) of everything that a page loads or links to, and every id on it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.ids: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given["id"]} if "id" in given else set()
        if (name := ADDRESSES.get(tag)) and name in given and given.get("rel") != "canonical":
            self.found.append((tag, given[name]))


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site().rglob("*.html")) if "_static" not in path.parts}


# --- local assets ----------------------------------------------------------------------------


def test_mathjax_is_there_with_its_fonts() -> None:
    files = dict(map(reversed, local_assets.mathjax_files()))
    assert {"startup.js", "output/chtml/fonts/tex.js", "input/tex/extensions/boldsymbol.js"} <= files.keys()
    assert sum(name.endswith(".woff") for name in files) > 20
    assert [name for name, source in files.items() if not source.is_file()] == []


@pytest.mark.parametrize(
    ("head", "left"),
    [
        ('<script src="../searchindex.js"></script>', ""),
        ('<script defer src="_static/scripts/fontawesome.js?digest=1" ></script>x', "x"),
        ('<script src="other.js"></script>', '<script src="other.js"></script>'),
        ('<script>var a = "searchtools.js"</script>', '<script>var a = "searchtools.js"</script>'),
        ('<script src="my-searchtools.js.map"></script>', '<script src="my-searchtools.js.map"></script>'),
    ],
)
def test_only_named_scripts_are_dropped(head: str, left: str) -> None:
    assert local_assets.drop_scripts(head) == left


# --- the reference ---------------------------------------------------------------------------


def test_every_module_is_in_the_reference_once() -> None:
    pages = "\n".join(path.read_text() for path in (ROOT / "book" / "api").glob("*.md"))
    layers = [layer for listed in re.findall(r"\{modules\} (.+)", pages) for layer in listed.split()]
    listed = [name for layer in layers for name in module_reference.modules(layer)]
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "ntk_eoc").rglob("*.py")]
    names = [".".join(path.parts).removesuffix(".__init__") for path in files]
    public = [name for name in names if not name.endswith(".__main__") and name != "ntk_eoc"]
    assert sorted(listed) == sorted(public)


@pytest.mark.parametrize(
    ("written", "escaped"),
    [
        ("a * b and c_", r"a \* b and c\_"),
        ("snake_case stays", "snake_case stays"),
        ("``K*_`` stays", "``K*_`` stays"),
        (">>> 2 * 3", ">>> 2 * 3"),
        ("|x|", r"\|x\|"),
    ],
)
def test_docstrings_are_plain_text(written: str, escaped: str) -> None:
    assert module_reference.as_plain([written]) == [escaped]


# --- the built pages -------------------------------------------------------------------------


def test_every_page_of_the_contents_is_built() -> None:
    assert [name for name in table_of_contents() if not (site() / f"{name}.html").is_file()] == []


def test_pages_load_nothing_from_elsewhere(pages: dict[Path, Page]) -> None:
    loaded = {
        (path.name, address)
        for path, page in pages.items()
        for tag, address in page.found
        if tag != "a" and (urlsplit(address).netloc or urlsplit(address).scheme == "http")
    }
    assert loaded == set()


def test_style_sheets_load_nothing_from_elsewhere() -> None:
    used = list(site().rglob("*.css"))
    assert used
    assert [path.name for path in used if re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", path.read_text())] == []


def test_no_script_announces_a_public_server(pages: dict[Path, Page]) -> None:
    scripts = {path: re.findall(r"<script\b.*?</script>", path.read_text(), re.DOTALL) for path in pages}
    assert any(scripts.values())
    assert [path.name for path, found in scripts.items() if "http" in "".join(found)] == []


def test_links_inside_the_site_resolve(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # it may stand at any depth, so its link begins at the root
            continue
        for _, address in page.found:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                broken.append((path.name, address))
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                broken.append((path.name, address))
    assert broken == []


def test_symbols_of_every_chapter_lead_to_the_notation(pages: dict[Path, Page]) -> None:
    """A page of formulas that begin with one of these links the first of them, and no other."""
    notation = pages[site() / "book" / "notation.html"]
    chapters = [site() / f"{name}.html" for name in table_of_contents() if (ROOT / f"{name}.ipynb").is_file()]
    linked = 0
    for tex, anchor in {r"\sigma_w": "sigma-w", r"\sigma_b": "sigma-b", r"\chi": "chi", "K": "K", "q": "q"}.items():
        assert f"symbol-{anchor}" in notation.ids
        begins = re.compile(rf'<p>(?:(?!</p>).)*?<span class="math[^"]*">\\\({re.escape(tex)}(?![A-Za-z_])', re.DOTALL)
        for path in chapters:
            if path.name == "notation.html":
                continue
            found = [address for _, address in pages[path].found if address.endswith(f"#symbol-{anchor}")]
            body = re.sub(r"<(figure|table)\b.*?</\1>", "", path.read_text(), flags=re.DOTALL)
            assert found == ["notation.html#symbol-" + anchor] * bool(begins.search(body)), (path.name, tex)
            linked += len(found)
    assert linked > 20
