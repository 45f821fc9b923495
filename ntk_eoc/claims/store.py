"""Finished claims in a folder, so that a run of the ledger that was stopped computes only what is missing.

``config.json`` names the package and the seed, ``eq4.json`` and its like hold one finished claim each, and
``claims.json`` the whole report, once there is one. A commit that ends in "-dirty" stands for any change after it: who
edits the evidence starts another folder.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ntk_eoc import folders
from ntk_eoc.claims.ledger import CLAIMS
from ntk_eoc.claims.verify import Watch, chosen, entry, evaluate, origin

REPORT = "claims.json"
Entry = dict[str, Any]


def fill(
    folder: Path, only: Iterable[str] = (), watch: Watch = iter, *, seed: int = 0, resume: bool = False
) -> dict[str, Any]:
    """The report of ``verify.report``, from the claims that ``folder`` has and the others, evaluated into it.

    Raises ``ValueError`` for a folder of another seed or commit, with finished claims but without ``resume``, or with a
    damaged one; ``OSError`` if it cannot be written.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> fill(folder, ["prop2a"]) == fill(folder, ["prop2a"], resume=True)
    True
    """
    config, claims = origin(seed), chosen(only)
    folders.differing(folder, config)
    kept = sum(_path(folder, claim.id).is_file() for claim in CLAIMS)
    if kept and not resume:
        counts = f"{kept} of {len(CLAIMS)} claims"
        raise ValueError(f"out: expected no finished claims, got {counts} in {folder}; go on with --resume")
    done = {claim.id: _read(folder, claim.id, config) for claim in claims if _path(folder, claim.id).is_file()}
    folders.claim(folder, config)
    for claim in watch(claims):
        if claim.id not in done:
            done[claim.id] = entry(evaluate(claim, seed))
            _keep(folder, claim.id, config, done[claim.id])
    report = {**config, "claims": [done[claim.id] for claim in claims]}
    folders.write(folder, REPORT, report)
    return report


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _keep(folder: Path, name: str, config: dict[str, Any], found: Entry) -> None:
    folders.write(folder, _path(folder, name).name, {"entry": found, "sha256": _sha256(name, config, found)})


def _read(folder: Path, name: str, config: dict[str, Any]) -> Entry:
    path = _path(folder, name)
    try:
        kept = json.loads(path.read_text())
        found, expected = kept["entry"], kept["sha256"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: expected a finished claim, got other text; remove the file") from None
    if (sha256 := _sha256(name, config, found)) != expected:
        raise ValueError(f"{path}: expected the recorded claim, sha256 {expected}, got {sha256}; remove the file")
    return found


def _sha256(name: str, config: dict[str, Any], found: Entry) -> str:
    """Of the content with its name and the folder's configuration: a file from elsewhere is as wrong as half a file."""
    return hashlib.sha256(json.dumps([name, config, found], sort_keys=True).encode()).hexdigest()
