"""Make benchmarks/.venv-peer, the environment of peer-requirements.txt and peer-torch.txt, unless it is there."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
VENV, PINS, TORCH = HERE / ".venv-peer", HERE / "peer-requirements.txt", HERE / "peer-torch.txt"
STAMP = VENV / ".complete"
OLDEST, NEWEST = (3, 11), (3, 13)  # for which the pinned releases have wheels


def main() -> None:
    """The stamp is written last and names pins and place: a half-made, outdated or moved environment is made anew."""
    wanted = f"{hashlib.sha256(PINS.read_bytes() + TORCH.read_bytes()).hexdigest()} {VENV}"
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return
    print(f"Making {VENV.relative_to(HERE.parent)} for the peers (once, about two minutes)")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    subprocess.run([interpreter(), "-I", "-m", "venv", "--clear", VENV], check=True, env=env)
    (VENV / ".gitignore").write_text("*\n")
    pip = [VENV / "bin" / "python", "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", PINS], check=True, env=env)
    subprocess.run([*pip, "-r", TORCH], check=True, env=env)
    STAMP.write_text(wanted)


def interpreter() -> str:
    """A Python that the peer's wheels exist for."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys._base_executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        if found := shutil.which(f"python3.{minor}"):
            return found
    sys.exit(f"The peer needs Python 3.{OLDEST[1]} to 3.{NEWEST[1]}, and none was found: install one of them.")


if __name__ == "__main__":
    main()
