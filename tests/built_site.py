"""The built site as the tests see it: where it is, which pages it must have, and whether it is up to date.

``make browser`` asks for these tests by SITE_TESTS, after ``make book``; then a site that is missing or older than its
sources is a failure. SITE=folder names a build elsewhere, of any age. ``make test``, which needs no site, skips them.
"""

import os
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SITE = Path(os.environ.get("SITE", ROOT / "_build" / "html"))
SOURCES = ("_config.yml", "_toc.yml", "book/**/*.ipynb", "book/**/*.md", "book/_ext/*.py", "book/_static/**/*")


def table_of_contents() -> list[str]:
    """Every page that _toc.yml names, without suffix."""

    def names(entry: object) -> list[str]:
        if isinstance(entry, list):
            return [name for item in entry for name in names(item)]
        if isinstance(entry, dict):
            own = [entry[key] for key in ("root", "file") if key in entry]
            return own + [name for value in entry.values() for name in names(value)]
        return []

    return names(yaml.safe_load((ROOT / "_toc.yml").read_text()))


def why_not() -> str | None:
    """Why the site cannot be tested, or None."""
    built = SITE / "book" / "index.html"
    if not built.is_file():
        return "there is no built site: run make book"
    if "SITE" in os.environ:
        return None
    newest = max(path.stat().st_mtime for pattern in SOURCES for path in ROOT.glob(pattern))
    return "the built site is older than its sources: run make book" if newest > built.stat().st_mtime else None


def site() -> Path:
    """The folder of the built site; skips the test that asks for it unless tests of the site were asked for."""
    if not {"SITE", "SITE_TESTS"} & os.environ.keys():
        pytest.skip("a test of the built site: make book, then make browser")
    if reason := why_not():
        pytest.fail(reason)
    return SITE
