"""Killed at any instant and resumed, a training ends with the same bits; foreign and broken folders are refused."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntk_eoc.data import digits, train_test
from ntk_eoc.training import Config, Inputs, Model, Network, Result, Seeds, Sgd, checkpoint, group, to_json, train

DATA = train_test(digits(300))
CONFIG = Config(Model("prelu", Network(24, 6, 0.0, 1.3)), Sgd(0.05, 3, 32, momentum=0.5), Inputs(), Seeds(2))
CHILD = """
import sys, pathlib
from ntk_eoc.data import digits, train_test
from ntk_eoc.training import from_json, group, train
group.CALL_SECONDS, group.SAVE_SECONDS = 0.0, 0.0
train(from_json(sys.argv[1]), train_test(digits(300)), out=pathlib.Path(sys.argv[2]), resume=True)
"""


class Killed(BaseException):
    """What no code catches."""


def kept(out: Path) -> dict[str, np.ndarray]:
    """All that the checkpoints in ``out`` hold but the seconds and the digest over them."""
    found = {}
    for seeds in checkpoint.groups(out):
        with np.load(checkpoint.path(out, seeds)) as npz:
            found |= {f"{seeds} {name}": npz[name] for name in npz.files}
    return {name: array for name, array in found.items() if not name.endswith(("seconds", "spent", "sha256", "about"))}


def log(out: Path) -> list[dict[str, Any]]:
    rows = [json.loads(row) for row in (out / group.LOG).read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    return out, train(CONFIG, DATA, out=out)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step a call, and a checkpoint after each."""
    monkeypatch.setattr(group, "CALL_SECONDS", 0.0)
    monkeypatch.setattr(group, "SAVE_SECONDS", 0.0)


def assert_same(out: Path, result: Result, undisturbed: tuple[Path, Result]) -> None:
    mine, theirs = kept(out), kept(undisturbed[0])
    assert mine.keys() == theirs.keys() and len(mine) > 20
    for name, array in mine.items():
        assert array.dtype == theirs[name].dtype, name
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    for name in ("test_accuracy", "test_loss", "train_accuracy", "train_loss"):
        np.testing.assert_array_equal(getattr(result.curves, name), getattr(undisturbed[1].curves, name))
    rows = sorted(log(out), key=lambda row: (row["seed"], row["epoch"]))  # epochs added later stand behind
    assert rows == log(undisturbed[0])
    assert [(row["seed"], row["epoch"]) for row in rows] == [(s, e) for s in (0, 1) for e in range(4)]
    assert sorted(file.name for file in out.iterdir()) == sorted(file.name for file in undisturbed[0].iterdir())


def crashes(monkeypatch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """Die at the ``at``-th moment at which the folder changes; returns a count of those moments.

    Moments are: before a file is written, when half of it is, and right after.
    """
    seen, write_atomically = [0], checkpoint.write_atomically

    def moment() -> None:
        seen[0] += 1
        if seen[0] == at:
            raise Killed

    def dying(path: Path, content: bytes) -> None:
        moment()
        part = path.with_name(f".{path.name}.1.part")
        part.write_bytes(content[: len(content) // 2])
        moment()
        part.unlink()
        write_atomically(path, content)
        moment()

    monkeypatch.setattr(checkpoint, "write_atomically", dying)
    return lambda: seen[0]


def test_killed_whenever_the_folder_changes(
    tmp_path: Path, undisturbed: tuple[Path, Result], small_steps: None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        count = crashes(patch, -1)
        train(CONFIG, DATA, out=tmp_path / "count")
    total = count()
    assert total > 3 * 2 * 3 * 8  # three moments for each of two seeds, three epochs, eight batches
    for at in range(1, total + 1, 17):
        out = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patch:
            crashes(patch, at)
            with pytest.raises(Killed):
                train(CONFIG, DATA, out=out)
        assert_same(out, train(CONFIG, DATA, out=out, resume=True), undisturbed)


def test_kill_9_at_random_instants(tmp_path: Path, undisturbed: tuple[Path, Result]) -> None:
    random, kills = np.random.RandomState(0), 0
    for _ in range(2):
        before = len(log(tmp_path)) if (tmp_path / group.LOG).exists() else 0
        command = [sys.executable, "-c", CHILD, to_json(CONFIG), str(tmp_path)]
        child = subprocess.Popen(command, env={**os.environ, "JAX_PLATFORMS": "cpu"})
        while child.poll() is None and lines_in(tmp_path) <= before:
            time.sleep(0.002)
        time.sleep(random.uniform(0.0, 0.05))
        child.kill()
        kills += child.wait() == -signal.SIGKILL
    assert kills == 2
    with (tmp_path / group.LOG).open("a") as file:
        file.write('{"seed": 0, "epo')  # what a kill may leave behind
    assert_same(tmp_path, train(CONFIG, DATA, out=tmp_path, resume=True), undisturbed)


def lines_in(out: Path) -> int:
    file = out / group.LOG
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_finished_seeds_are_not_computed_again(tmp_path: Path, undisturbed: tuple[Path, Result]) -> None:
    rows: list[dict[str, Any]] = []
    train(replace(CONFIG, seeds=Seeds(1)), DATA, out=tmp_path, watch=rows.append)
    times = (tmp_path / "seeds-0-0.npz").stat().st_mtime_ns
    result = train(CONFIG, DATA, out=tmp_path, resume=True, watch=rows.append)
    assert_same(tmp_path, result, undisturbed)
    assert [(row["seed"], row["epoch"]) for row in rows] == [(s, e) for s in (0, 1) for e in range(4)]
    assert (tmp_path / "seeds-0-0.npz").stat().st_mtime_ns == times
    again = train(CONFIG, DATA, out=tmp_path, resume=True, watch=rows.append)
    assert len(rows) == 8
    for a, b in zip(again.curves, result.curves, strict=True):
        np.testing.assert_array_equal(a, b)


def test_more_epochs_go_on_and_fewer_are_a_part(tmp_path: Path, undisturbed: tuple[Path, Result]) -> None:
    short = replace(CONFIG, sgd=replace(CONFIG.sgd, epochs=1))
    train(short, DATA, out=tmp_path)
    assert_same(tmp_path, train(CONFIG, DATA, out=tmp_path, resume=True), undisturbed)
    part = train(short, DATA, out=tmp_path, resume=True).curves
    for name, column in part._asdict().items():
        np.testing.assert_array_equal(
            column, getattr(train(CONFIG, DATA, out=tmp_path, resume=True).curves, name)[:, : column.shape[1]]
        )
    assert part.train_loss.shape == (2, 1) and part.test_loss.shape == (2, 2)


def saved(out: Path) -> Path:
    """A folder with one finished seed."""
    train(replace(CONFIG, seeds=Seeds(1)), DATA, out=out)
    return out / "seeds-0-0.npz"


def complaint(out: Path, config: Config = CONFIG, *, resume: bool = True, data: Any = DATA) -> str:
    with pytest.raises(ValueError) as caught:
        train(config, data, out=out, resume=resume)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_broken_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    file = saved(tmp_path)
    content = file.read_bytes()
    assert "expected an empty folder, or resume" in complaint(tmp_path, resume=False)
    other = replace(CONFIG, sgd=replace(CONFIG.sgd, rate=0.06))
    text = complaint(tmp_path, other)
    assert str(file) in text and "sgd.rate (0.05 there, 0.06 here)" in text and "momentum" not in text
    deeper = replace(CONFIG, model=replace(CONFIG.model, net=replace(CONFIG.model.net, depth=7)))
    assert "model.net.depth (6 there, 7 here)" in complaint(tmp_path, deeper)
    data = train_test(digits(300), seed=1)
    assert "differs in data" in complaint(tmp_path, data=data)
    for broken in (content[: len(content) // 2], content[:-1], b"", b"no zip at all"):
        file.write_bytes(broken)
        text = complaint(tmp_path)
        assert str(file) in text and "expected a complete checkpoint, found" in text
    with np.load(io.BytesIO(content)) as npz:
        arrays = dict(npz)
    np.savez(file, **{**arrays, "state0": arrays["state0"] + np.float32(1e-6)})
    assert f"{file}: expected contents of sha256 {arrays['sha256']}, found " in complaint(tmp_path)
    np.savez(file, x=np.zeros(3))
    assert "expected a complete checkpoint" in complaint(tmp_path)
    np.savez(file, about=np.array([{}], dtype=object))
    assert "expected a complete checkpoint" in complaint(tmp_path)
    file.write_bytes(content)
    assert train(CONFIG, DATA, out=tmp_path, resume=True).diverged == (None, None)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_keeps_the_last_checkpoint(
    tmp_path: Path, undisturbed: tuple[Path, Result], small_steps: None, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real, calls = os.fsync, [0]

    def fsync(handle: int) -> None:
        calls[0] += 1
        if calls[0] > 12:
            raise OSError(number, os.strerror(number))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError) as caught:
            train(CONFIG, DATA, out=tmp_path)
    file = tmp_path / "seeds-0-0.npz"
    assert str(caught.value) == f"out: cannot write {file} ({os.strerror(number)}); the last checkpoint is kept"
    arrays, _ = checkpoint.load(file, run_of(file))
    assert arrays["step"] > 0 or arrays["seconds"].shape[1] > 0
    assert_same(tmp_path, train(CONFIG, DATA, out=tmp_path, resume=True), undisturbed)


def run_of(file: Path) -> dict[str, Any]:
    with np.load(file) as npz:
        return json.loads(str(npz["about"]))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="^out: cannot make the folder .*file/run"):
        train(CONFIG, DATA, out=tmp_path / "file" / "run")


def test_ctrl_c_saves_and_says_how_to_go_on(
    tmp_path: Path, undisturbed: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "CALL_SECONDS", 0.0)
    show, count, before = group._show, [0], signal.getsignal(signal.SIGINT)

    def pressed(*args: Any) -> None:
        show(*args)
        count[0] += 1
        if count[0] == 11:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(group, "_show", pressed)
        with pytest.raises(KeyboardInterrupt) as caught:
            train(CONFIG, DATA, out=tmp_path)
    assert str(
        caught.value
    ) == f"stopped at seed 0, epoch 2, step 3; the checkpoint is in {tmp_path}: run again with " + ("resume to go on")
    assert signal.getsignal(signal.SIGINT) is before
    assert_same(tmp_path, train(CONFIG, DATA, out=tmp_path, resume=True), undisturbed)


def test_ctrl_c_after_the_last_step_is_not_forgotten(
    tmp_path: Path, undisturbed: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch, ctrl_c: None
) -> None:
    """Whoever trains the next row would go on with it."""
    append = checkpoint.append

    def pressed(file: Path, text: str) -> None:
        append(file, text)
        row = json.loads(text)
        if (row["seed"], row["epoch"]) == (CONFIG.seeds.count - 1, CONFIG.sgd.epochs):
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "append", pressed)
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, DATA, out=tmp_path)
    assert_same(tmp_path, train(CONFIG, DATA, out=tmp_path, resume=True), undisturbed)
