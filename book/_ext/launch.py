"""Buttons that lead to the repository, to Binder and to Colab: all of them once ``repository.url`` is configured.

Binder makes the environment of environment.yml and needs nothing more. Colab opens a notebook and nothing else, so
it gets a copy whose first cell fetches this release; the copies are in the site, under _colab, and Colab reads them
from the branch that the site is published on.
"""

from pathlib import Path
from typing import Any

import nbformat
from sphinx.application import Sphinx

from ntk_eoc import __version__

COPIES = "_colab"
BUTTONS = ("use_repository_button", "use_issues_button")
CELL = """# Fetch release {version} with its records, and install it. (Colab only: in a checkout, leave this cell out.)
!git clone --quiet --depth 1 --branch v{version} {url} ntk-eoc
%pip install --quiet "./ntk-eoc[book]"
%cd ntk-eoc/book
import ntk_eoc

assert ntk_eoc.__version__ == "{version}"
"""


def configure(app: Sphinx, config: Any) -> None:
    options = config.html_theme_options
    if options.get("repository_url"):
        options.update(dict.fromkeys(BUTTONS, True))
    else:
        options["launch_buttons"] = {}


def colab_copy(path: Path, url: str, version: str = __version__) -> nbformat.NotebookNode:
    """A notebook for Colab: without outputs, with a first cell that installs the release."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    first = nbformat.v4.new_code_cell(CELL.format(url=url, version=version), id="colab-install")
    notebook.cells.insert(0, first)
    return notebook


def to_copies(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Send the Colab button to the copy, on the branch of the site."""
    options = app.config.html_theme_options
    url = options.get("repository_url", "").rstrip("/")
    path = Path(app.env.doc2path(page)) if doctree is not None else Path()
    if not url or path.suffix != ".ipynb" or "github.com" not in url:
        return
    target = Path(app.outdir, COPIES, f"{page}.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(colab_copy(path, url), target)
    branch = app.config.site_branch
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button["text"] == "Colab":
                place = url.split("github.com/", 1)[1]
                base = options["launch_buttons"]["colab_url"].rstrip("/")
                button["url"] = f"{base}/github/{place}/blob/{branch}/{COPIES}/{page}.ipynb"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("site_branch", "gh-pages", "html", str)
    app.connect("config-inited", configure, priority=100)
    # After the theme has made its buttons.
    app.connect("html-page-context", to_copies, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
