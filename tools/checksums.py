"""SHA256SUMS: what every committed file that a run wrote held when it was committed. `sha256sum -c` reads it too.

python tools/checksums.py          write it anew
python tools/checksums.py --check  one sentence for each file that is not as it was written
"""

import hashlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = "SHA256SUMS"
# Results and the ledger, chapters with their outputs, the explorer's tables, pictures, values computed elsewhere.
PATTERNS = (
    "benchmarks/results/*.json",
    "book/*.ipynb",
    "book/_static/*.png",
    "book/_static/explorer/*.png",
    "book/_static/explorer/tables/*",
    "book/results/*",
    "tests/oracle/*",
)


def sums(root: Path) -> dict[str, str]:
    """The sha256 of every file of ``PATTERNS``, by its path from ``root``."""
    paths = sorted(path for pattern in PATTERNS for path in root.glob(pattern) if path.is_file())
    paths = [path for path in paths if not path.name.startswith(".") and path.suffix not in (".py", ".part", ".tmp")]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def differences(root: Path) -> list[str]:
    """A sentence for each file that is missing, new, or not as it was written."""
    lines = (line.split("  ", 1) for line in (root / MANIFEST).read_text().splitlines())
    recorded, found, said = {name: value for value, name in lines}, sums(root), []
    for name in sorted({*recorded, *found}):
        if name not in found:
            said.append(f"{name}: expected the file that {MANIFEST} lists, got none")
        elif name not in recorded:
            said.append(f"{name}: expected its line in {MANIFEST}, got none; run make sums")
        elif recorded[name] != found[name]:
            said.append(f"{name}: expected sha256 {recorded[name]}, got {found[name]}; run make sums if it was meant")
    return said


def write(root: Path) -> None:
    """Write the manifest of what is there now."""
    (root / MANIFEST).write_text("".join(f"{value}  {name}\n" for name, value in sums(root).items()))


def main(arguments: list[str]) -> int:
    """0 if all is well, 1 if a file differs."""
    if arguments == ["--check"]:
        said = differences(ROOT)
        print("\n".join(said) or f"every file is as {MANIFEST} says")
        return bool(said)
    write(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
