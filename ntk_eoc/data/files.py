"""Files whose bytes are known in advance: looked for in a folder, or downloaded from the first mirror that has them.

A file is used only if its size and sha256 are the known ones. A download gets its final name after that check.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

FOLDER_VARIABLE = "NTK_EOC_DATA"


class Known(NamedTuple):
    """What a file is called and what it holds: its size in bytes and its sha256 in hexadecimal."""

    name: str
    size: int
    sha256: str


def verify(path: Path, known: Known, origin: str = "") -> Path:
    """``path``, if its bytes are the known ones; otherwise ``ValueError`` with the file, expected and found.

    ``origin`` is what the sentence calls the file, its path unless given.

    >>> verify(Path(os.devnull), Known("a", 3, "0" * 64), "a")
    Traceback (most recent call last):
    ValueError: a: expected 3 bytes, found 0; the file is not used
    """
    name, size = origin or str(path), path.stat().st_size
    if size != known.size:
        raise ValueError(f"{name}: expected {known.size} bytes, found {size}; the file is not used")
    with path.open("rb") as file:
        check_sum(name, hashlib.file_digest(file, "sha256").hexdigest(), known)
    return path


def check_sum(name: str, found: str, known: Known) -> None:
    """Raise ``ValueError`` unless ``found`` is the sha256 of ``known``."""
    if found != known.sha256:
        raise ValueError(f"{name}: expected sha256 {known.sha256}, found {found}; the file is not used")


def own_folder() -> Path | None:
    """The reader's own folder of data files, from the environment; ``ValueError`` if it names no folder."""
    value = os.environ.get(FOLDER_VARIABLE, "")
    if value and not Path(value).is_dir():
        raise ValueError(f"{FOLDER_VARIABLE}: expected a folder with the data files, got {value!r}")
    return Path(value) if value else None


def in_folder(folder: Path, sub: str, files: Sequence[Known]) -> list[Path] | None:
    """The verified files of ``folder`` or of its sub-folder ``sub``; None if one of them is in neither."""
    places = [next((p for p in (folder / f.name, folder / sub / f.name) if p.is_file()), None) for f in files]
    found = [place for place in places if place is not None]
    if len(found) < len(files):
        return None
    return [verify(path, known) for path, known in zip(found, files, strict=True)]


def download(dataset: str, files: Sequence[Known], mirrors: Sequence[str]) -> list[Path]:
    """The verified files, from the user's cache folder or else from the first of ``mirrors`` that delivers each.

    The cache folder is that of the system for ntk-eoc (``XDG_CACHE_HOME`` moves it). Raises ``RuntimeError``, with
    what each mirror answered and how to supply the files by hand, if none delivers.
    """
    import pooch

    folder = Path(pooch.os_cache("ntk-eoc")) / dataset
    paths = []
    for known in files:
        path = folder / known.name
        if not _is_good(path, known):
            _from_mirrors(dataset, path, files, known, mirrors)
        paths.append(path)
    return paths


def _is_good(path: Path, known: Known) -> bool:
    try:
        return bool(verify(path, known))
    except (OSError, ValueError):
        return False


def _from_mirrors(dataset: str, path: Path, files: Sequence[Known], known: Known, mirrors: Sequence[str]) -> None:
    import pooch
    from requests.exceptions import RequestException

    pooch.get_logger().setLevel("WARNING")  # the progress bar says the same, and only to a terminal
    fetch = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16)

    def fetch_and_verify(url: str, to: str, _: Any) -> None:
        fetch(url, to, None)
        verify(Path(to), known, f"{known.name} from {urlsplit(url).netloc}")

    failures = []
    for mirror in mirrors:
        try:
            path.unlink(missing_ok=True)
            pooch.retrieve(
                mirror + known.name, f"sha256:{known.sha256}", path.name, path.parent, None, fetch_and_verify
            )
            return
        except RequestException as error:
            reason = type(error).__name__
            if error.response is not None:
                reason = f"status {error.response.status_code}"
                error.response.close()  # nobody else will: it is a stream of which nothing was read
            failures.append(f"{urlsplit(mirror).netloc}: {reason}")
        except ValueError as error:
            failures.append(str(error))
        except OSError as error:
            raise RuntimeError(f"{dataset}: cannot store {path}: {error.strerror or error}") from None
    raise RuntimeError(
        f"{dataset}: no mirror delivered {known.name} ({'; '.join(failures)}); put {', '.join(f.name for f in files)} "
        f"into a folder and set {FOLDER_VARIABLE} to it, or use digits, which needs no network"
    )
