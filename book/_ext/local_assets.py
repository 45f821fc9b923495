"""Everything that a page needs comes from the site itself, and nothing comes that no page needs.

Jupyter Book takes MathJax from a public server, announces a live-code library on every page, and loads a
megabyte and a half of icons as a script, although the same icons are in a small font that the style sheet names.
"""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

# What MathJax loads of itself: TeX in, HTML and fonts out, and hidden MathML for screen readers.
# The page asks for the first four, and the output for its fonts when it is ready for them.
COMPONENTS = ("core", "input/tex", "output/chtml", "a11y/assistive-mml")
FONTS = "output/chtml/fonts/tex.js"
FONT_FILES = "output/chtml/fonts/woff-v2"
UNUSED = ("thebe",)
# The search box leads to a page of its own, which is the only one that needs the index.
REPLACED = ("fontawesome.js", "searchtools.js", "language_data.js", "searchindex.js")


def mathjax_files() -> list[tuple[Path, str]]:
    """(file, its name below _static/mathjax) for everything that a page may load of MathJax."""
    found = find_spec("sphinx-mathjax-offline")
    assert found is not None and found.origin is not None, "pip install sphinx-mathjax-offline"
    root = Path(found.origin).parent / "static" / "mathjax"
    names = ["startup.js", *(f"{name}.js" for name in COMPONENTS), FONTS]
    names += [path.relative_to(root).as_posix() for path in sorted((root / FONT_FILES).glob("*.woff"))]
    names += [path.relative_to(root).as_posix() for path in sorted((root / "input/tex/extensions").glob("*.js"))]
    return [(root / name, name) for name in names]


def drop_scripts(head: str, names: tuple[str, ...] = REPLACED) -> str:
    """HTML without the script elements that load one of ``names``.

    >>> drop_scripts('<script defer src="a/fontawesome.js?v=1"></script><script src="b.js"></script>')
    '<script src="b.js"></script>'
    """
    listed = "|".join(map(re.escape, names))
    return re.sub(rf'<script[^>]*src="[^"]*/?(?:{listed})(?:\?[^"]*)?"[^>]*></script>', "", head)


def configure(app: Sphinx, config: Any) -> None:
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = {**(config.mathjax3_config or {}), "loader": {"load": list(COMPONENTS)}}


def add_filter(app: Sphinx) -> None:
    environment = getattr(getattr(app.builder, "templates", None), "environment", None)
    if environment is not None:  # only builders of HTML have templates
        environment.filters["drop_scripts"] = drop_scripts


def drop_unused(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Leave out what Jupyter Book's unused extensions announce, and what two of them announce twice."""
    for kind in ("script_files", "css_files"):
        kept: dict[tuple[str, str], Any] = {}
        for file in context.get(kind, []):
            name, body = str(file.filename or ""), str(file.attributes.get("body") or "")
            if not any(word in name + body for word in UNUSED):
                kept.setdefault((name, body), file)
        context[kind] = list(kept.values())


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        for source, name in mathjax_files():
            target = Path(app.outdir) / "_static" / "mathjax" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def setup(app: Sphinx) -> dict[str, Any]:
    # Late, so that other extensions have had their say.
    app.connect("config-inited", configure, priority=900)
    app.connect("builder-inited", add_filter)
    app.connect("html-page-context", drop_unused, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
