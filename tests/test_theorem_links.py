"""Every theorem of the book names a function that exists and a test that exists, and both name it."""

import inspect
import re
from importlib import import_module
from typing import Any

import nbformat
import pytest
import theorem_links
from built_site import ROOT, site, table_of_contents

TABLE = theorem_links.table()
STATEMENT = re.compile(rf"\{{prf:(?:{'|'.join(theorem_links.KINDS)})\}}[^\n]*\n(?::(?!label)[^\n]*\n)*:label: (\S+)")


def statements() -> dict[str, str]:
    """The page of each labelled statement in the book's notebooks."""
    found = {}
    for page in table_of_contents():
        if (path := ROOT / f"{page}.ipynb").is_file():
            for cell in nbformat.read(path, as_version=4).cells:
                found |= {label: page for label in STATEMENT.findall(cell.source)}
    return found


def resolved(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def test_every_statement_is_in_the_table_and_nothing_else() -> None:
    assert sorted(statements()) == sorted(TABLE)


def test_no_statement_is_without_a_label() -> None:
    text = "\n".join(path.read_text() for page in table_of_contents() if (path := ROOT / f"{page}.ipynb").is_file())
    assert len(re.findall(rf"prf:(?:{'|'.join(theorem_links.KINDS)})\}}", text)) == len(statements())


@pytest.mark.parametrize("label", TABLE)
def test_functions_and_tests_exist(label: str) -> None:
    assert TABLE[label].functions and TABLE[label].tests
    for name in TABLE[label].functions:
        found = resolved(name)
        assert callable(found) and inspect.getdoc(found)
        # The reference has it under the module that defines it.
        assert f"{found.__module__}.{found.__qualname__}" == name
    for test in TABLE[label].tests:
        assert "assert" in theorem_links.source(test)


def test_a_test_that_is_not_there_is_noticed() -> None:
    with pytest.raises(KeyError, match="test_no_such_thing"):
        theorem_links.source("test_meanfield.test_no_such_thing")


def test_decorators_belong_to_a_test() -> None:
    assert theorem_links.source("test_theorem_links.test_functions_and_tests_exist").startswith("@pytest.mark")


# --- the built pages -------------------------------------------------------------------------


def test_statements_link_to_both_and_both_link_back() -> None:
    reference = {path.stem: path.read_text() for path in (site() / "book" / "api").glob("*.html")}
    everything, overview = "".join(reference.values()), reference["theorems"]
    for label, page in statements().items():
        text = (site() / f"{page}.html").read_text()
        below = text[text.index(f'id="{label}"') :]
        line = re.search(r'<p class="theorem-links">.*?</p>', below, re.DOTALL)
        assert line, label
        for name in TABLE[label].functions:
            assert f"#{name}" in line[0], f"{label}: no link to {name}"
            entry = everything[everything.index(f'id="{name}"') :].partition('<dl class="py')[0]
            assert f"#{label}" in entry, f"{name}: no link back to {label}"
        for test in TABLE[label].tests:
            assert f"#check-{test}".replace("_", "-").replace(".", "-") in line[0].lower(), (
                f"{label}: no link to {test}"
            )
        assert f"#{label}" in overview
