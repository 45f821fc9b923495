"""Is a figure the same when it is made again? The arrays of two builds of the book, number by number.

    python tests/repeat.py ONE OTHER --record book/results/repeats.json

compares the downloads of two built sites (folders ``_arrays``), all digits of them, and records how many were compared
and which differ. The exit code is 1 if any does, or is missing in one of the two.
"""

import argparse
import sys
from pathlib import Path

from ntk_eoc import records

ARRAYS = "_arrays"


def found(site: Path) -> dict[str, bytes]:
    """Contents of the plotted arrays of a site; ``ValueError`` where it has none."""
    files = {str(path.relative_to(site)): path.read_bytes() for path in sorted((site / ARRAYS).rglob("*.csv"))}
    if not files:
        raise ValueError(f"{site}: expected a built site with {ARRAYS}/, found none: make book first")
    return files


def different(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Names of the arrays that are not the same in both, or are in one only."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sites", nargs=2, type=Path, help="two built sites, as _build/html")
    parser.add_argument("--record", type=Path, help="JSON file for what was found")
    args = parser.parse_args()
    one, other = (found(site) for site in args.sites)
    wrong = different(one, other)
    print(
        *(f"{name}: not the same in both builds" for name in wrong),
        f"{len(one)} figures, {len(wrong)} differ",
        sep="\n",
    )
    if args.record:
        about = records.about(command="make repeat", config={}, seed=None, seconds=0.0)
        records.write_json(args.record, {**about, "figures": len(one), "different": wrong})
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
