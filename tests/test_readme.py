"""What the README and the table of contents promise is there."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"]] + [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]


def test_the_two_commands_are_targets() -> None:
    commands = set(re.findall(r"^\s*make ([a-z]+)", README, re.MULTILINE))
    assert {"book", "test"} <= commands <= TARGETS


def test_every_command_the_readme_mentions_is_a_target() -> None:
    assert set(re.findall(r"`make ([a-z]+)", README)) <= TARGETS


def test_relative_links_exist() -> None:
    links = re.findall(r"\]\(([^)#\s]+)", README)
    relative = [link for link in links if "://" not in link]
    assert relative
    assert [link for link in relative if not (ROOT / link).exists()] == []


def test_every_page_of_the_contents_exists() -> None:
    missing = [page for page in PAGES if not list(ROOT.glob(f"{page}.*"))]
    assert missing == []


def test_every_page_is_in_the_contents() -> None:
    pages = [path for pattern in ("*.md", "*.ipynb") for path in (ROOT / "book").glob(pattern)]
    named = {str(path.relative_to(ROOT).with_suffix("")) for path in pages}
    assert named - {"book/LICENSE"} == set(PAGES)
