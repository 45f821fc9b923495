"""Refuse an installed distribution whose licence is none of those that this project may be shared with.

    python tools/licences.py

Reads what the distributions of this environment declare about themselves: the licence expression, or the classifiers,
or the first line of the older free text, in this order. All but free and permissive ones, and the file-wise copyleft of
Mozilla, are refused with a sentence. Exit code 1 if there is one.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions

PERMISSIVE = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|Zlib|CC0|Public Domain|Unlicense)\b", re.I
)
READ = {  # what the licence files say where the metadata says nothing, or more than is installed
    "axe-playwright-python": "MIT",
    "docutils": "Public Domain, PSF and BSD; the GPL is that of an Emacs mode",
}


def declared(given: Distribution) -> list[str]:
    """The licences of a distribution; more than one where it says several of equal standing."""
    about = given.metadata
    classes = [text.split("::")[-1].strip() for text in about.get_all("Classifier") or [] if text.startswith("License")]
    expression, free_text = ((about.get_all(name) or [""])[0] for name in ("License-Expression", "License"))
    return [expression] if expression else classes or [free_text.strip().split("\n")[0]]


def refused(found: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    """A sentence for each distribution with a licence that is not among the permitted.

    >>> list(refused([("a", ["MIT"]), ("b", ["GPL-3.0-only"])]))
    ['b: expected a permissive licence, got GPL-3.0-only']
    >>> list(refused([("c", ["MIT AND GPL-2.0-only"]), ("d", ["MIT OR GPL-2.0-only"]), ("e", [""])]))
    ['c: expected a permissive licence, got MIT AND GPL-2.0-only', 'e: expected a permissive licence, got none']
    """
    for name, licences in found:
        if name not in READ and not all(
            any(_permits(choice) for choice in re.split(r"\bOR\b", text)) for text in licences
        ):
            yield f"{name}: expected a permissive licence, got {', '.join(filter(None, licences)) or 'none'}"


def _permits(choice: str) -> bool:
    return all(PERMISSIVE.search(part) for part in re.split(r"\bAND\b", choice))


def main() -> int:
    found = {one.name.lower(): declared(one) for one in distributions()}
    faults = list(refused(sorted(found.items())))
    print("\n".join(faults) or f"{len(found)} distributions, all of them under permissive licences")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
