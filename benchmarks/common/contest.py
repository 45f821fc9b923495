"""Two contenders, each in a process of its own that stays, timed in turns; what came out goes to results/NAME.json.

On a machine that does other things too, a time says little and the ratio of two times taken one after the other says
more: each turn times a burst of calls of one and of the other, and the ratio is the median over the turns.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common.serve import Case, serve

HERE = Path(__file__).resolve().parents[1]
COMMON, RESULTS, PEER = HERE / "common", HERE / "results", HERE / ".venv-peer" / "bin" / "python"
TURNS, BURST = 9, 0.3  # turns of each contender, seconds of each turn (three calls at least)


@dataclass(frozen=True)
class Match:
    """One line of the table: our case, the peer's (the fastest of several), what both compute, and its work."""

    ours: str
    peers: tuple[str, ...]
    tolerance: float  # between the two results, relative to the largest entry
    flops: float | None = None
    x64: bool = False


class Worker:
    """A process that prepares cases and runs them when asked."""

    def __init__(self, python: Path | str, script: Path | str, x64: bool = False) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("JAX_", "XLA_"))}
        env |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": str(int(x64)), "PYTHONPATH": str(HERE)}
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


def main(title: str, cases: Mapping[str, Case], matches: list[Match], script: str) -> None:
    """Serve the cases of ``script`` to another process, or hold its contest and write results/NAME.json."""
    if "--serve" in sys.argv:
        return serve(cases, ("jax", "jaxlib", "numpy"))
    start, name = time.perf_counter(), Path(script).stem
    print(f"{title}, {TURNS} turns")
    rows = [contest(match, script) for match in matches]
    measured = [row.pop("limits") for row in rows]
    limits = {kind: max(limit[kind] for limit in measured) for kind in measured[0]}
    for row in rows:
        flops = row["flops"]
        row["share_of_limit"] = flops and flops / row["ours_s"] / limits[row["dtype"]]
    write(name, {"title": title, "limits_flops_per_s": limits, "rows": rows}, time.perf_counter() - start)


def contest(match: Match, script: str) -> dict[str, Any]:
    """One line: medians over the turns, the ratio with its range, first calls, and how far the results differ."""
    ours, peer = Worker(sys.executable, script, match.x64), Worker(PEER, COMMON / "peer.py", match.x64)
    machine = Worker(sys.executable, COMMON / "machine.py", x64=True)
    first, usual = ours.prepare(match.ours)
    peers = {case: peer.prepare(case) for case in match.peers}
    best = min(peers, key=lambda case: peers[case][1])
    expected = ours.result(match.ours), peer.result(best)
    difference = float(np.abs(expected[0] - expected[1]).max() / np.abs(expected[1]).max())
    if not difference < match.tolerance:
        raise RuntimeError(f"{match.ours}: expected the peer's result to {match.tolerance:g}, got {difference:.2g}")
    products = {kind: list(machine.prepare(kind)) for kind in ("float32", "float64")}
    turns: dict[str, list[float]] = {"ours": [], "peer": []}
    fastest = {"ours": float("inf"), "peer": float("inf")}
    for turn in range(TURNS):
        pair = [("ours", ours, match.ours, usual), ("peer", peer, best, peers[best][1])]
        for key, worker, case, about in pair if turn % 2 else reversed(pair):
            burst = worker.burst(case, about)
            turns[key].append(statistics.median(burst))
            fastest[key] = min(fastest[key], *burst)
        for kind in products:
            products[kind] += machine.ask("run", kind, times=3)["seconds"]
    ratios = [theirs / own for theirs, own in zip(turns["peer"], turns["ours"], strict=True)]
    row = {
        "work": match.ours,
        "dtype": "float64" if match.x64 else "float32",
        "ours_s": statistics.median(turns["ours"]),
        "peer_s": statistics.median(turns["peer"]),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "fastest_s": fastest,
        "first_call_s": {"ours": first, "peer": peers[best][0]},
        "peer_method": best.partition(": ")[2],
        "peer_other_methods_s": {case.partition(": ")[2]: peers[case][1] for case in peers if case != best},
        "difference": difference,
        "flops": match.flops,
        "limits": {kind: 2 * 1024**3 / min(seconds) for kind, seconds in products.items()},
        "versions": {"ours": ours.ask("versions"), "peer": peer.ask("versions")},
    }
    for worker in (ours, peer, machine):
        worker.close()
    print(f"  {row['work']}: {row['ours_s']:.3g} s, peer {row['peer_s']:.3g} s, {row['ratio']:.2f} times as fast")
    return row


def write(name: str, found: dict[str, Any], seconds: float) -> None:
    """results/NAME.json, complete or not at all, with its provenance."""
    from ntk_eoc import records

    config = {"turns": TURNS, "burst_seconds": BURST}
    about = records.about(command=f"python benchmarks/{name}.py", config=config, seed=0, seconds=seconds)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({**found, "about": {**about, "processor": processor()}}, indent=2, allow_nan=False)
    records.write_atomically(RESULTS / f"{name}.json", text.encode() + b"\n")


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
