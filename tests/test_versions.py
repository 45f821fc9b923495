"""Builds are compared, runs counted, and nothing of the caller leads out of a run's own environment."""

from pathlib import Path

import pytest
import repeat
import versions

REPORT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"><skipped/></testcase><testcase name="c"><failure/></testcase>
<testcase name="d"><error/></testcase><testcase name="e"><failure/><error/></testcase>
</testsuite></testsuites>"""


def test_counts(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    assert versions.counts(tmp_path / "report.xml") == {"passed": 1, "skipped": 1, "failed": 3}


def test_nothing_of_the_caller_leads_out_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "JUPYTER_PATH", "JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS", "MPLCONFIGDIR", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/elsewhere")
    found = versions.surroundings(tmp_path)
    assert "/elsewhere" not in found.values() and found["JUPYTER_PATH"].startswith(str(tmp_path))
    assert "XLA_FLAGS" not in found and "count=2" in versions.surroundings(tmp_path, devices=2)["XLA_FLAGS"]


def test_one_row_for_each_python_and_resolution() -> None:
    rows = [
        {"resolution": "highest", "devices": 1, "versions": {"python": python}}
        for python in ("3.12.1", "3.12.9", "3.13.0")
    ]
    assert len({versions.key(row) for row in rows}) == 2


def test_a_changed_digit_and_a_missing_figure_differ(tmp_path: Path) -> None:
    for site, figures in (("one", {"a": "1.0", "b": "2.0"}), ("other", {"a": "1.0", "b": "2.1", "c": "3"})):
        folder = tmp_path / site / repeat.ARRAYS / "book"
        folder.mkdir(parents=True)
        for name, text in figures.items():
            (folder / f"{name}.csv").write_text(text)
    wrong = repeat.different(repeat.found(tmp_path / "one"), repeat.found(tmp_path / "other"))
    assert wrong == ["_arrays/book/b.csv", "_arrays/book/c.csv"]
    with pytest.raises(ValueError, match="expected a built site"):
        repeat.found(tmp_path)
