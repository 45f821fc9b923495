"""The built site as the tests see it: where it is, which pages it must have, and whether it is up to date.

``make test`` runs before anything is built, so tests of the site are skipped where it is missing or old. With
SITE_TESTS=required, as ``make browser`` sets it after ``make book``, the same is a failure. SITE=folder names a
build elsewhere, of any age.
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
    """The folder of the built site; skips or fails the test that asks for it without one."""
    if reason := why_not():
        (pytest.fail if os.environ.get("SITE_TESTS") == "required" else pytest.skip)(reason)
    return SITE
