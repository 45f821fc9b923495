"""Whatever a run wrote and was committed is what was committed: one flipped bit is seen, and the file is named."""

import importlib.util
import random
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("checksums", ROOT / "tools" / "checksums.py")
assert _spec is not None and _spec.loader is not None
checksums = importlib.util.module_from_spec(_spec)
sys.modules["checksums"] = checksums
_spec.loader.exec_module(checksums)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The recorded files and their manifest, elsewhere."""
    for name in [*checksums.sums(ROOT), checksums.MANIFEST]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_recorded_file_is_as_it_was_written() -> None:
    assert checksums.differences(ROOT) == []


def test_every_kind_of_file_is_covered() -> None:
    found = checksums.sums(ROOT)
    for pattern in checksums.PATTERNS:
        assert any(Path(name).match(pattern) for name in found), pattern
    assert {"book/results/claims.json", "book/results/fig2_mnist_200x100.npz", "book/ledger.ipynb"} <= set(found)


@pytest.mark.parametrize("pattern", checksums.PATTERNS)
def test_one_flipped_bit_is_named(copy: Path, pattern: str) -> None:
    draw = random.Random(pattern)
    name = draw.choice([name for name in checksums.sums(copy) if Path(name).match(pattern)])
    content = bytearray((copy / name).read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    (copy / name).write_bytes(content)
    (said,) = checksums.differences(copy)
    assert said.startswith(f"{name}: expected sha256 ") and "\n" not in said


def test_a_missing_and_a_new_file_are_named(copy: Path) -> None:
    (copy / "book/results/claims.json").unlink()
    (copy / "book/results/more.json").write_text("{}\n")
    said = checksums.differences(copy)
    assert [sentence.split(":")[0] for sentence in said] == ["book/results/claims.json", "book/results/more.json"]
    checksums.write(copy)
    assert checksums.differences(copy) == []
