"""That the script which stops processes sees what it should, by small jobs that err; the long run is `make kills`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kill_disks
import kills
import numpy as np
import pytest
from kill_jobs import Job, answer, blocks, differences, once, torn
from kill_runs import Run, Stop, after_end, after_stop

FAULTLESS = """
import json, os, pathlib, signal, sys, time
def stopped(*_):
    os.write(2, b"ntk-eoc fake: stopped; go on with --resume\\n")
    os._exit(130)
signal.signal(signal.SIGINT, stopped)
out = pathlib.Path(sys.argv[-1])
try:
    out.mkdir(exist_ok=True)
    begun = len(os.listdir(out))
    for i in range(8):
        path = out / f"{i}.json"
        if not path.exists():
            time.sleep(0.03)
            part = out / f".{i}.part"
            part.write_text(json.dumps({"value": i}))
            part.replace(path)
except OSError as error:
    sys.exit(f"ntk-eoc fake: {error}")
"""
ERRING = {
    "is not whole": ("part.replace(path)", "path.write_text('{'); time.sleep(0.02); part.replace(path)"),
    "was lost or computed again": ("if not path.exists()", "if True"),
    "differs from that of a run that nobody stopped": ('{"value": i}', '{"value": i + begun}'),
    "Ctrl-C without a sentence": ("go on with --resume", "good-bye"),
    "a traceback": ("signal.SIGINT, stopped", "signal.SIGINT, signal.default_int_handler"),
    "expected one sentence": ("except OSError", "except KeyError"),
    "where nothing could be written": ('sys.exit(f"ntk-eoc fake: {error}")', 'print("all is well", file=sys.stderr)'),
    "of a run that nobody stopped": ("time.sleep(0.03)", "time.sleep(0.03); i == 7 and begun > 2 and sys.exit(3)"),
}


def fake(*change: str) -> Job:
    return Job((sys.executable, "-c", FAULTLESS.replace(*change) if change else FAULTLESS), once("*.json"))


def faults(found: dict[str, Any]) -> int:
    return sum(counts["faults"] for counts in found["fake"].values() if "faults" in counts)


def test_a_faultless_job_has_no_faults_and_every_stop_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    found = kills.kills({"fake": fake()}, 20, 0, 60)
    assert faults(found) == 0, capsys.readouterr().out
    for name, count in (("SIGKILL", 7), ("SIGTERM", 7), ("SIGINT", 6)):
        counts = found["fake"][name]
        assert counts["stopped"] == counts["start-up"] + counts["work"] == count
    assert sum(found["fake"][name]["work"] for name in kills.SIGNALS) > 5
    for kind in kill_disks.OBSTACLES:
        assert kind in found["fake"].get("not run", {}) or found["fake"][kind]["resumed"] == 2


@pytest.mark.thorough(first=3)
@pytest.mark.parametrize("sentence", ERRING)
def test_a_fault_is_seen_and_told(sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ERRING[sentence][0] in FAULTLESS
    for seed in range(5):  # whether a stop comes at the right instant is chance
        found = kills.kills({"fake": fake(*ERRING[sentence])}, 9, seed, 60)
        said = capsys.readouterr().out
        if sentence in said:
            break
    assert faults(found) > 0
    assert sentence in said and f"python tests/kills.py --seed {seed} --only 'fake'" in said


def test_a_run_that_ends_badly_undisturbed_is_refused() -> None:
    with pytest.raises(RuntimeError, match="fake: expected a run that ends well, got .*exit code 3"):
        kills.kills({"fake": fake("begun = ", "sys.exit(3); begun = ")}, 1, 0, 60)


def test_without_the_right_to_mount_there_are_other_ways_or_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_disks, "_call", lambda *_: False)
    monkeypatch.setattr(kill_disks.os, "geteuid", lambda: 0)
    found = kills.kills({"fake": fake()}, 3, 0, 60)["fake"]
    assert found["full disk"]["stopped"] == found["full disk"]["resumed"] == 1 > found["full disk"]["faults"]
    assert found["not run"] == {"read-only folder": "root may write anywhere, and mount nothing here"}


def test_computing_more_than_what_was_missing_is_a_fault(tmp_path: Path) -> None:
    job = Job((), blocks, lambda said: int(said))
    np.save(tmp_path / "done.npy", np.ones(5, np.uint8))
    held = {"block 0": True, "block 1": True}
    runs = [Run(0, (count, ""), "after the end", (1.0, 1), None) for count in ("3", "4")]
    assert after_end(job, tmp_path, runs[0], held) == []
    assert after_end(job, tmp_path, runs[1], held) == ["computed 4 where 3 were missing"]
    assert after_stop(job, tmp_path, runs[0], Stop("SIGKILL"), {"block 5": True})[0].startswith("block 5 was lost")


def test_a_press_that_changes_nothing_is_a_fault(tmp_path: Path) -> None:
    np.save(tmp_path / "done.npy", np.ones(5, np.uint8))
    for finished, wrong in ((1, "went on after Ctrl-C with block 1, block 2, block 3, block 4"), (2, None)):
        units = dict.fromkeys([f"block {i}" for i in range(finished)], True)
        got = Run(0, ("", ""), "work", (1.0, 1), units)
        assert after_stop(Job((), blocks), tmp_path, got, Stop("SIGINT"), {}) == ([wrong] if wrong else [])


def test_before_main_ctrl_c_is_pythons_to_answer(tmp_path: Path) -> None:
    job, stop = Job((), blocks), Stop("SIGINT")
    early = 'Traceback (most recent call last):\n  File "ntk_eoc/cli.py", line 7, in <module>\nKeyboardInterrupt\n'
    late = early.replace("<module>", "main")
    for errors, met, fine in ((early, "start-up", True), (early, "work", False), (late, "start-up", False)):
        assert (after_stop(job, tmp_path, Run(-2, ("", errors), met, (0.1, 0), {}), stop, {}) == []) is fine


def test_answers_are_compared_bit_by_bit_but_for_times(tmp_path: Path) -> None:
    for name, zero, seconds in (("a", 0.0, 1.0), ("b", 0.0, 2.0), ("c", -0.0, 1.0)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", np.array([zero]))
        (tmp_path / name / "about.json").write_text(json.dumps({"seconds": seconds, "rows": [{"seconds": seconds}]}))
        row = {"seed": 0, "epoch": 1, "seconds": seconds}
        (tmp_path / name / "log.jsonl").write_text(json.dumps(row) + '\n{"seed": 0, "epo')
    a, b, c = (answer(tmp_path / name) for name in "abc")
    assert torn(tmp_path) == differences(a, b) == []
    assert differences(a, c) == ["x.npy differs from that of a run that nobody stopped"]
    assert differences({}, a)[0].startswith("about.json differs")


@pytest.mark.thorough
def test_a_sample_finds_no_fault(tmp_path: Path) -> None:
    record = tmp_path / "kills.json"
    command = [sys.executable, kills.__file__, "--kills", "3", "--only", "record", "--record", str(record)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(record.read_text())
    assert {"command", "commit", "seed", "seconds", "versions"} <= set(found)
    assert sum(found["stops"]["record"][name]["stopped"] for name in kills.SIGNALS) == 3
