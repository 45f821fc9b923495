"""The status page and the page of open choices say what the records say."""

import html
import json
import re

import pytest
import recorded_numbers
from built_site import ROOT, site, table_of_contents

from ntk_eoc.experiments import trained_choices

REPORT = json.loads((ROOT / "book" / "results" / "claims.json").read_text())
ROWS = [
    {"quantity": "sigma_w of elu", "measured": 1.25},
    {"quantity": "sigma_w of relu", "measured": 1.5},
    {"quantity": "slope", "measured": -2.0},
    {"quantity": "slope, as printed", "measured": -2.0},
]


@pytest.mark.parametrize(
    ("key", "number"),
    [("a|of elu", "1.25"), ("a|relu", "1.5"), ("a|slope", "\N{MINUS SIGN}2"), ("a|printed", "\N{MINUS SIGN}2")],
)
def test_a_number_is_found_by_its_words(key: str, number: str) -> None:
    assert recorded_numbers.measured({"claims": [{"id": "a", "evidence": ROWS}]}, key) == number


@pytest.mark.parametrize("key", ["a|elu", "a|nothing", "b|relu", "a|sigma"])
def test_words_without_a_number_or_with_two_are_refused(key: str) -> None:
    with pytest.raises(KeyError):
        recorded_numbers.measured({"claims": [{"id": "a", "evidence": ROWS}]}, key)


def test_every_open_choice_of_the_training_is_on_the_page() -> None:
    text = (ROOT / "book" / "deviations.md").read_text()
    assert set(re.findall(r"\{effect\}`([^`]+)`", text)) == set(trained_choices.CHOICES) - {"ours"}


def test_effects_are_differences_to_ours() -> None:
    record = trained_choices.load(ROOT / "book" / "results" / "trained_choices.npz")
    found = recorded_numbers.effect(record, "momentum 0.9").replace("\N{MINUS SIGN}", "-")
    numbers = [float(part.split()[1]) for part in found.split(", ")]
    means = [[100 * part.mean() for part in record[name].values()] for name in ("momentum 0.9", "ours")]
    assert numbers == pytest.approx([new - old for new, old in zip(*means, strict=True)], abs=0.051)


# --- the built pages -------------------------------------------------------------------------


def test_status_lists_every_chapter_and_every_verdict() -> None:
    page = (site() / "book" / "status.html").read_text()
    chapters = [name for name in table_of_contents() if (ROOT / f"{name}.ipynb").is_file()]
    main = html.unescape(page[page.index("<article") : page.index("</article>")])
    for name in chapters:
        row = re.search(
            rf'<tr[^>]*>(?:(?!</tr>).)*href="{name.removeprefix("book/")}\.html"(?:(?!</tr>).)*</tr>', main, re.DOTALL
        )
        assert row, name
        if (site() / "_arrays").is_dir():  # executed
            assert re.search(r"\d+\.\d\ss", row[0]) and re.search(r"\d{2,}\sMiB", row[0]), row[0]
    for claim in REPORT["claims"]:
        assert re.search(rf"{claim['id']}</span>.*?{claim['verdict']}", main, re.DOTALL), claim["id"]
    assert re.search(r"[0-9a-f]{40}", main) and "jax" in main
