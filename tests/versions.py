"""Do the tests pass with the oldest and with the newest releases that pyproject.toml allows?

    python tests/versions.py --python python3.12 --resolution lowest-direct --record book/results/versions.json

makes an environment of that Python with the lowest (``lowest-direct``) or highest releases of the direct dependencies,
runs there what `make test` runs, and writes the counts beside the versions. A record holds a row for each Python,
resolution and number of devices; a new run replaces its own. The exit code is 1 if a test failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ntk_eoc import records

ROOT = Path(__file__).parents[1]
SHOWN = ("jax", "jaxlib", "numpy", "scipy", "matplotlib", "scikit-learn", "pytest", "jupyter-book", "nbval")
UNIT = ["tests", "ntk_eoc", "--doctest-modules"]
CHAPTERS = ["book", "-o", "addopts=", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
VERSIONS = """
import json, platform, sys
from importlib.metadata import version
print(json.dumps({"python": platform.python_version(), **{name: version(name) for name in sys.argv[1:]}}))
"""


def environment(folder: Path, python: str, resolution: str) -> Path:
    """The interpreter of a fresh environment in ``folder`` with this package in it, editable."""
    subprocess.run([python, "-I", "-m", "venv", str(folder)], check=True)
    inside = folder / "bin" / "python"
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(inside)]
    subprocess.run([*install, "--resolution", resolution, "--editable", f"{ROOT}[book,test,cluster]"], check=True)
    return inside


def surroundings(folder: Path, devices: int = 1) -> dict[str, str]:
    """The caller's environment without what would lead kernels or compiled programs out of ``folder``."""
    foreign = ("PYTHON", "JUPYTER", "JAX_", "XLA_FLAGS", "MPL", "IPYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {"JUPYTER_PATH": "environment/share/jupyter", "IPYTHONDIR": "ipython", "MPLCONFIGDIR": "matplotlib"}
    places = {name: str(folder / place) for name, place in {**own, "JAX_COMPILATION_CACHE_DIR": "jax"}.items()}
    jax = {"JAX_PLATFORMS": "cpu", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    if devices > 1:
        jax["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    return {**kept, **places, **jax, "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_NO_CONFIG": "1"}


def counts(report: Path) -> Counter[str]:
    """Passed, failed and skipped cases of a JUnit report."""
    found: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        found["failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"] += 1
    return found


def run(python: Path, words: list[str], folder: Path, args: argparse.Namespace) -> Counter[str]:
    report = folder / "report.xml"
    command = [str(python), "-m", "pytest", *words, "-n", str(args.workers), "--dist", "loadfile", "-q"]
    subprocess.run([*command, f"--junitxml={report}"], cwd=ROOT, env=surroundings(folder, args.devices), check=False)
    return counts(report)


def row(args: argparse.Namespace) -> dict[str, Any]:
    """One row of the record."""
    with tempfile.TemporaryDirectory() as place:
        folder, began = Path(place), time.perf_counter()
        inside = environment(folder / "environment", args.python, args.resolution)
        answer = subprocess.run([inside, "-c", VERSIONS, *SHOWN], check=True, capture_output=True, text=True)
        found = {"unit tests": run(inside, UNIT, folder, args)}
        if not args.no_chapters:
            found["cells of chapters"] = run(inside, CHAPTERS, folder, args)
    return {
        "resolution": args.resolution,
        "devices": args.devices,
        "versions": json.loads(answer.stdout),
        "commit": records.commit(),
        "seconds": round(time.perf_counter() - began),
        "found": {name: {kind: part[kind] for kind in ("passed", "failed", "skipped")} for name, part in found.items()},
    }


def key(entry: dict[str, Any]) -> tuple[str, int, str]:
    """What a row is about: resolution, devices, and Python without its last number."""
    return entry["resolution"], entry["devices"], entry["versions"]["python"].rpartition(".")[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="python3", help="an interpreter with its venv module")
    parser.add_argument("--resolution", choices=("lowest-direct", "highest"), required=True)
    parser.add_argument("--devices", type=int, default=1, help="XLA devices that the CPU pretends to be")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-chapters", action="store_true", help="the unit tests alone")
    parser.add_argument("--record", type=Path, help="JSON file that holds a row for each Python and resolution")
    args = parser.parse_args()
    found = row(args)
    print(json.dumps(found, indent=2))
    if args.record:
        before = json.loads(args.record.read_text())["rows"] if args.record.is_file() else []
        rows = sorted([*(entry for entry in before if key(entry) != key(found)), found], key=key)
        records.write_json(args.record, {"command": "make versions", "rows": rows})
    return int(any(part["failed"] for part in found["found"].values()))


if __name__ == "__main__":
    sys.exit(main())
