"""Run the benchmarks, all or those that are named, print their tables, and put these into README.md.

python benchmarks [NAME ...]
"""

import os
import subprocess
import sys
from pathlib import Path

from common import peer_env, report

HERE = Path(__file__).resolve().parent
NAMES = sorted(path.stem for path in HERE.glob("*.py") if path != Path(__file__).resolve())


def main(names: list[str]) -> None:
    """Benchmarks run one after the other, each in a process of its own; results of the others stay as they are."""
    names = [Path(name).stem for name in names] or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        sys.exit(f"benchmarks: expected some of {', '.join(NAMES)}, got {unknown[0]}")
    others = os.getloadavg()[0]
    if others > 0.5:
        print(f"This machine is busy with something else (load {others:.1f}): expect poor numbers.", file=sys.stderr)
    if names != ["website"]:
        peer_env.main()
    for name in names:
        if subprocess.run([sys.executable, HERE / f"{name}.py"]).returncode:
            sys.exit(f"benchmarks: {name} has failed, and README.md is as it was")
    report.main()
    print("\n" + report.tables())


if __name__ == "__main__":
    main(sys.argv[1:])
