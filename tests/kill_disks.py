"""A full disk and a read-only folder for ``kills``: really, by a small file system, or as near as this process may."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOM = "size=64m"
# Not by preexec_fn: a process with JAX's threads, as pytest's, must not be forked.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (int(sys.argv[1]),))
os.execv(sys.argv[2], sys.argv[2:])
"""
Words = tuple[str, ...]


class NotRunError(Exception):
    """Why an obstacle cannot be put up here."""


class Disk(NamedTuple):
    """A folder, and whether it is a file system of its own."""

    place: Path
    mounted: bool


@contextmanager
def disk(place: Path) -> Iterator[Disk]:
    """A small file system in memory at ``place``, or without the right to mount the folder that it is."""
    place.mkdir(parents=True)
    mounted = os.geteuid() == 0 and _call("mount", "-t", "tmpfs", "-o", ROOM, "tmpfs", str(place))
    try:
        yield Disk(place, mounted)
    finally:
        if mounted:
            _call("umount", "--lazy", str(place))


@contextmanager
def full(on: Disk, out: Path, share: float) -> Iterator[Words]:
    """Room for a ``share`` of the files of ``out``, an undisturbed run; gives words to put before a line."""
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    if not on.mounted:
        limit = max(1, int(share * max(sizes)))
        yield sys.executable, "-c", LIMITED, str(limit)
        return
    pages = sum(-(-size // 4096) for size in sizes)
    _remount(on, f"size={max(1, int(share * pages)) * 4096}")
    try:
        yield ()
    finally:
        _remount(on, ROOM)


@contextmanager
def read_only(on: Disk, *_: Any) -> Iterator[Words]:
    """Nothing can be written or made."""
    folders = [on.place, *(path for path in on.place.rglob("*") if path.is_dir())]
    if on.mounted:
        _remount(on, "ro")
    elif os.geteuid() == 0:
        raise NotRunError("root may write anywhere, and mount nothing here")
    else:
        _allow(folders, 0o555)
    try:
        yield ()
    finally:
        _remount(on, "rw") if on.mounted else _allow(folders, 0o755)


OBSTACLES = {"full disk": full, "read-only folder": read_only}


def _allow(folders: list[Path], mode: int) -> None:
    for folder in folders:
        folder.chmod(mode)


def _remount(on: Disk, option: str) -> None:
    if not _call("mount", "-o", f"remount,{option}", str(on.place)):
        raise NotRunError(f"cannot remount with {option}")


def _call(*words: str) -> bool:
    try:
        return subprocess.run(words, capture_output=True).returncode == 0
    except OSError:
        return False
