"""The status page counts what the records of faults say, and says where there is none."""

import doctest
import json
from pathlib import Path

import fault_status
from built_site import ROOT, site

RESULTS = ROOT / "book" / "results"


def test_its_examples_are_true() -> None:
    found = doctest.testmod(fault_status)
    assert found.attempted >= 4 and not found.failed


def test_a_run_without_a_record_is_not_run(tmp_path: Path) -> None:
    assert fault_status.runs(tmp_path).count(fault_status.NOT_RUN) == len(fault_status.RUNS)
    record = {"command": "make mutate", "commit": "0123456789abc", "modules": {"rays": {"killed": 1, "tried": 2}}}
    (tmp_path / "mutants.json").write_text(json.dumps(record))
    text = fault_status.runs(tmp_path)
    assert text.count(fault_status.NOT_RUN) == len(fault_status.RUNS) - 1
    assert "| 2 | 1 seen by the tests (50 %); 1 module | `make mutate` at `0123456789` |" in text


def test_releases_are_rows() -> None:
    part = {"passed": 2000, "failed": 1, "skipped": 3}
    row = {
        "resolution": "lowest-direct",
        "devices": 1,
        "versions": {"python": "3.12.1", "jax": "0.10.0", "numpy": "2.0.0"},
        "commit": "0123456789abc",
        "found": {"unit tests": part},
    }
    last = fault_status.versions({"rows": [row]}).splitlines()[-1]
    assert last == "| 3.12.1 | oldest | 0.10.0 | 2.0.0 | 1 | 2,000 passed, 1 failed | not run | `0123456789` |"
    assert fault_status.NOT_RUN in fault_status.versions(None)


def test_every_committed_record_can_be_told() -> None:
    for _, name, told in fault_status.RUNS:
        if record := fault_status.read(RESULTS / name):
            tried, _ = told(record)
            assert tried > 0 and record["commit"] and "dirty" not in record["commit"], name


# --- the built page --------------------------------------------------------------------------


def test_the_status_page_shows_them() -> None:
    page = (site() / "book" / "status.html").read_text()
    for title, name, told in fault_status.RUNS:
        assert title in page
        if record := fault_status.read(RESULTS / name):
            assert f"{told(record)[0]:,}" in page, name
