"""The record of versions counts what a run reports, and nothing of the caller's leads out of its environment."""

from pathlib import Path

import pytest
import versions

REPORT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"><skipped/></testcase><testcase name="c"><failure/></testcase>
<testcase name="d"><error/></testcase><testcase name="e"><failure/><error/></testcase>
</testsuite></testsuites>"""


def test_counts(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    assert versions.counts(tmp_path / "report.xml") == {"passed": 1, "skipped": 1, "failed": 3}


def test_nothing_of_the_caller_leads_out_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "JUPYTER_PATH", "JAX_COMPILATION_CACHE_DIR", "MPLCONFIGDIR", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/elsewhere")
    found = versions.surroundings(tmp_path)
    assert "/elsewhere" not in found.values() and found["JUPYTER_PATH"].startswith(str(tmp_path))


def test_one_row_for_each_python_and_resolution() -> None:
    rows = [{"resolution": "highest", "versions": {"python": python}} for python in ("3.12.1", "3.12.9", "3.13.0")]
    assert len({versions.key(row) for row in rows}) == 2
