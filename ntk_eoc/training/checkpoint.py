"""Checkpoints: one .npz per group of seeds, replaced as a whole or not at all, read only if complete and ours."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy import ndarray

from ntk_eoc.records import write_atomically
from ntk_eoc.training.config import Fields, differences

ABOUT, DIGEST = "about", "sha256"
Arrays = dict[str, ndarray]


def path(out: Path, seeds: range) -> Path:
    """Where the checkpoint of a group of seeds is.

    >>> path(Path("run"), range(2, 5)).name
    'seeds-2-4.npz'
    """
    return out / f"seeds-{seeds[0]}-{seeds[-1]}.npz"


def groups(out: Path) -> list[range]:
    """The groups of seeds that have a checkpoint in ``out``."""
    names = sorted(file.stem.split("-") for file in out.glob("seeds-*-*.npz"))
    return [range(int(first), int(last) + 1) for _, first, last in names if (first + last).isdecimal()]


def save(file: Path, arrays: Arrays, about: Fields) -> None:
    """Replace ``file``: at any instant it is the old checkpoint or the new one. Raises as ``write`` does."""
    members = {**arrays, ABOUT: np.array(json.dumps(about, sort_keys=True))}
    buffer = io.BytesIO()
    np.savez(buffer, **members, **{DIGEST: np.array(digest(members))})  # type: ignore[arg-type]
    write(file, buffer.getvalue())


def write(file: Path, content: bytes) -> None:
    """``records.write_atomically``, or ``OSError`` in one sentence where the disk is full or the folder read-only."""
    with _one_sentence(file):
        write_atomically(file, content)


def append(file: Path, text: str) -> None:
    """``text`` at the end of ``file``; raises as ``write`` does."""
    with _one_sentence(file), file.open("a") as handle:
        handle.write(text)


@contextmanager
def _one_sentence(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kept = "; the last checkpoint is kept" if any(file.parent.glob("seeds-*.npz")) else ""
        raise OSError(f"out: cannot write {file} ({error.strerror or error}){kept}") from error


def load(file: Path, about: Fields) -> tuple[Arrays, Fields]:
    """The arrays and the ``about`` of a checkpoint that continues a run described by ``about``.

    Raises ``ValueError`` in one sentence naming the file, what was expected and what was found: if the file is cut
    short or changed, is no checkpoint of ours, or belongs to another configuration or other data.
    """
    try:
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as npz:
            members = {name: npz[name] for name in npz.files}
        expected = str(members.pop(DIGEST))
        found: Fields = json.loads(str(members[ABOUT]))
    except (EOFError, KeyError, TypeError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        size = file.stat().st_size
        raise ValueError(f"{file}: expected a complete checkpoint, found {size} bytes that are none") from None
    if (actual := digest(members)) != expected:
        raise ValueError(f"{file}: expected contents of sha256 {expected}, found {actual}")
    if other := differences(found, about):
        raise ValueError(f"{file}: expected a checkpoint of this run, found one that differs in {', '.join(other)}")
    del members[ABOUT]
    return members, found


def digest(arrays: Arrays) -> str:
    """The sha256 of names, dtypes, shapes and contents.

    >>> digest({"a": np.zeros(2)}) == digest({"a": np.zeros((1, 2))})
    False
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def clean(out: Path) -> None:
    """Remove what a killed run was writing."""
    for file in out.glob(".*.part"):
        file.unlink(missing_ok=True)
