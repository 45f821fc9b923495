"""A process of its own for each contender, which stays and answers requests: ``serve`` is its other side."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

BENCHMARKS = Path(__file__).resolve().parents[1]
BURST = 0.3  # seconds of calls in one go (three calls at least)


class Worker:
    """A process that prepares cases and runs them when asked."""

    def __init__(self, python: Path | str, script: Path | str, x64: bool = False) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("JAX_", "XLA_"))}
        env |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": str(int(x64)), "PYTHONPATH": str(BENCHMARKS)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([str(python), str(script), "--serve"], env=env, text=True, **pipes)
        self.script = script

    def ask(self, do: str, case: str = "", **more: Any) -> dict[str, Any]:
        """The reply to one request; ``RuntimeError`` if the process has ended, which says why on stderr."""
        try:
            self.process.stdin.write(json.dumps({"do": do, "case": case, **more}) + "\n")
            self.process.stdin.flush()
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise RuntimeError(f"{self.script}: ended while asked to {do} {case}")
        return json.loads(reply)

    def prepare(self, case: str) -> tuple[float, float]:
        """Seconds of the first call, with its compilation, and of a later one."""
        first = self.ask("prepare", case)["first"]
        return first, min(self.ask("run", case, times=3)["seconds"])

    def burst(self, case: str, expected: float) -> list[float]:
        """Seconds of each call in a burst of calls that take about ``expected``."""
        return self.ask("run", case, times=int(np.clip(BURST / expected, 3, 100)))["seconds"]

    def result(self, case: str) -> np.ndarray:
        """What the case computes."""
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "result.npy")
            self.ask("save", case, path=path)
            return np.load(path)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
