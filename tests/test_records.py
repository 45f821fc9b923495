"""Recorded results come back bit by bit, or not at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntk_eoc import records


def a_record(folder: Path) -> Path:
    about = records.about(command="make it", config={"depth": 3}, seed=7, seconds=1.26, data={"x.gz": "ab"})
    return records.save(folder / "results" / "found", {"names": np.array(["a", "b"]), "x": np.arange(3.0)}, about)


def test_what_was_saved_is_loaded_with_where_it_came_from(tmp_path: Path) -> None:
    path = a_record(tmp_path)
    assert path == tmp_path / "results" / "found.npz"
    arrays, about = records.load(path)
    assert arrays.keys() == {"names", "x"} and arrays["names"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(arrays["x"], [0.0, 1.0, 2.0])
    assert (about["command"], about["config"], about["seed"], about["seconds"]) == ("make it", {"depth": 3}, 7, 1.3)
    assert about["data"] == {"x.gz": "ab"} and {"python", "jax", "numpy", "ntk_eoc"} == set(about["versions"])


@pytest.mark.parametrize("position", [0, 50, -1])
def test_one_flipped_bit_is_seen(position: int, tmp_path: Path) -> None:
    path = a_record(tmp_path)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"found\.npz: expected the recorded bytes, sha256 [0-9a-f]{64}, got"):
        records.load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seed": 1}'])
def test_a_record_without_its_provenance_is_refused(text: str, tmp_path: Path) -> None:
    path = a_record(tmp_path)
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ValueError, match=r"found\.json: expected the provenance of a record"):
        records.load(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"found\.json: expected a recorded result, got no such file"):
        records.load(path)


def test_a_failed_write_leaves_the_old_record_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_record(tmp_path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*found\.npz'"):
        records.save(path, {"x": np.zeros(2)}, {})
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["found.json", "found.npz"]


class Killed(BaseException):
    """What no code catches."""


@pytest.mark.parametrize("old", [True, False])
def test_killed_at_any_moment_a_record_is_whole_or_absent(tmp_path: Path, old: bool) -> None:
    for at in range(20):
        folder, seen = tmp_path / str(at), [0]
        path = a_record(folder) if old else folder / "results" / "found.npz"

        def dying(real: Any, at: int = at, seen: list[int] = seen) -> Any:
            def call(*args: Any, **options: Any) -> Any:
                seen[0] += 1
                if seen[0] > at:  # nor is anything tidied up
                    raise Killed
                return real(*args, **options)

            return call

        with pytest.MonkeyPatch.context() as patch:
            for owner, name in ((Path, "replace"), (Path, "unlink"), (records.os, "fsync")):
                patch.setattr(owner, name, dying(getattr(owner, name)))
            try:
                records.save(path, {"x": np.ones(2)}, {})
            except Killed:
                if path.exists():
                    assert records.load(path)[0].keys() in ({"names", "x"}, {"x"})
                continue
        assert at > 5 and records.load(path)[0].keys() == {"x"}
        break
    else:
        pytest.fail("never finished")


def test_objects_are_never_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x: expected an array without Python objects"):
        records.save(tmp_path / "x", {"x": np.array([{}])}, {})
    with pytest.raises(ValueError, match="JSON"):
        records.save(tmp_path / "x", {"x": np.zeros(1)}, {"seconds": float("nan")})


def test_every_committed_record_is_intact() -> None:
    results = Path(__file__).parents[1] / "book" / "results"
    paths = sorted(results.rglob("*.npz"))
    assert paths
    for path in paths:
        _, about = records.load(path)
        assert about["command"] and about["versions"], path
        assert not str(about["commit"]).endswith("-dirty"), f"{path}: recorded by code that was not committed"
        assert json.loads(path.with_suffix(".json").read_text()) == about
