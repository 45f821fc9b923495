"""An output folder belongs to one configuration: written into it first, and compared with whatever comes later."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ntk_eoc import records
from ntk_eoc.training.config import differences

NAME = "config.json"


def differing(folder: Path, config: dict[str, Any]) -> None:
    """Raise ``ValueError`` with the differing fields if ``folder`` holds another configuration than ``config``."""
    path = folder / NAME
    if not path.is_file():
        return
    try:
        there = json.loads(path.read_text())
        fields = differences(there, json.loads(json.dumps(config)))
    except (ValueError, AttributeError):
        raise ValueError(f"{path}: expected the configuration of a run, got other text") from None
    if fields:
        raise ValueError(f"out: expected a folder of this configuration, got {folder} with other {', '.join(fields)}")


def claim(folder: Path, config: dict[str, Any]) -> None:
    """Make ``folder`` the place of ``config``, without what a killed run was writing there; raises as ``differing``
    does, ``OSError`` if it cannot be written."""
    differing(folder, config)
    with writing(folder):
        for part in folder.glob(".*.part"):
            part.unlink(missing_ok=True)
    write(folder, NAME, config)


def write(folder: Path, name: str, content: Any) -> None:
    """``content`` as JSON in the file ``name`` of ``folder``, whole; ``OSError`` in one sentence if it cannot be."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        records.write_json(folder / name, content)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Within it, what ``folder`` does not take is an ``OSError`` of one sentence.

    >>> with writing(Path("there")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    OSError: out: cannot write into there (No space left on device)
    """
    try:
        yield
    except OSError as error:
        raise OSError(f"out: cannot write into {folder} ({error.strerror or error})") from error
