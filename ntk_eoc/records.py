"""Results that were computed once and are read again: arrays in an .npz, and beside it a .json that says whence.

A record gets its final name only when it is complete, and is read only if its bytes are those that were written. Its
.npz comes last and goes first: where one is, the .json beside it is its own, whenever a process was killed.
"""

import hashlib
import io
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntk_eoc import __version__

Arrays = Mapping[str, Any]
PACKAGE = Path(__file__).resolve().parent


def about(
    *, command: str, config: Any, seed: int | None, seconds: float, data: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Where a result comes from: command, configuration, seed, run time, commit, device, versions, data by sha256.

    >>> sorted(about(command="x", config={}, seed=0, seconds=1.0))[:4]
    ['command', 'commit', 'config', 'data']
    """
    return {
        "command": command,
        "commit": commit(),
        "config": config,
        "seed": seed,
        "seconds": round(seconds, 1),
        "device": f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            "ntk_eoc": __version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
        },
        "data": dict(data or {}),
    }


def commit() -> str | None:
    """The commit that the package runs from, with "-dirty" if its files differ from it; None outside a repository."""
    head = _git("rev-parse", "HEAD")
    return head and head + ("-dirty" if _git("status", "--porcelain", "--", ".") else "")


def save(path: Path | str, arrays: Arrays, about: Mapping[str, Any]) -> Path:
    """Write ``arrays`` to ``path`` (.npz) and ``about`` with their sha256 to the .json beside it; returns the path.

    A killed process or a full disk leaves the old record or the new one, or in the instant between them none. Raises
    ``ValueError`` for an array that only pickle could store.
    """
    path, buffer = Path(path).with_suffix(".npz"), io.BytesIO()
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:  # NumPy's own allow_pickle=False is newer than the oldest that we allow
            raise ValueError(f"{name}: expected an array without Python objects, got dtype {np.asarray(array).dtype}")
    np.savez_compressed(buffer, **arrays)
    text = json.dumps({**about, "sha256": _sha256(buffer.getvalue())}, indent=2, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    origin = path.with_suffix(".json")
    with _part(path, buffer.getvalue()) as arrays_part, _part(origin, text.encode() + b"\n") as origin_part:
        path.unlink(missing_ok=True)
        origin_part.replace(origin)
        arrays_part.replace(path)
    return path


def load(path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, about) of a record. Raises ``ValueError`` naming the file that is missing or not as it was written.

    >>> load("nowhere.npz")
    Traceback (most recent call last):
    ValueError: nowhere.npz: expected a recorded result, got no such file
    """
    path = Path(path)
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            raise ValueError(f"{file}: expected a recorded result, got no such file")
    content = path.read_bytes()
    try:
        about = json.loads(path.with_suffix(".json").read_text())
        expected = about["sha256"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path.with_suffix('.json')}: expected the provenance of a record, got other text") from None
    if (found := _sha256(content)) != expected:
        raise ValueError(f"{path}: expected the recorded bytes, sha256 {expected}, got {found}")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file), about


def write_atomically(path: Path, content: bytes) -> None:
    """``content`` under the name ``path`` all at once: a reader or a crash sees the old file or the new one."""
    with _part(path, content) as part:
        part.replace(path)


def write_json(path: Path, content: Any) -> None:
    """``content`` as readable JSON, all at once; ``ValueError`` for NaN and infinity, which are none."""
    write_atomically(path, json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")


@contextmanager
def _part(path: Path, content: bytes) -> Iterator[Path]:
    """``content`` on the disk under a hidden name beside ``path``, to be renamed; ``OSError`` names ``path``."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _write(part, content, path)
        yield part
    finally:
        part.unlink(missing_ok=True)


def _write(part: Path, content: bytes, path: Path) -> None:
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=PACKAGE, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
