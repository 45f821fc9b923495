"""``python -m ntk_eoc.explorer --out book/_static/explorer``: write the explorer's tables and its picture."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from ntk_eoc.explorer import CATALOGUE, files, picture


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ntk_eoc.explorer", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the explorer's files")
    parser.add_argument("--only", nargs="+", default=list(CATALOGUE), metavar="ACT", help="tables of these only")
    args = parser.parse_args(argv)
    jax.config.update("jax_enable_x64", True)
    start = time.monotonic()
    try:
        for name in args.only:
            print(files.write(args.out / "tables", name), flush=True)
        command = f"python -m ntk_eoc.explorer --out {args.out}"
        print(picture.draw(args.out))
        print(files.write_provenance(args.out / "tables", command=command, seconds=time.monotonic() - start))
    except (ValueError, OSError) as error:
        print(f"python -m ntk_eoc.explorer: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
