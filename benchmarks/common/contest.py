"""Contenders timed in turns, each in a process of its own that stays; what came out goes to results/NAME.json.

On a machine that does other things too, a time says little and the ratio of two times taken one after the other says
more: each turn times a burst of calls of one and of the other, and the ratio is the median over the turns.
"""

import json
import platform
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common.serve import Case, serve
from common.worker import BENCHMARKS, BURST, Worker

COMMON, RESULTS, PEER = BENCHMARKS / "common", BENCHMARKS / "results", BENCHMARKS / ".venv-peer" / "bin" / "python"
TURNS = 9


@dataclass(frozen=True)
class Match:
    """One line of the table: our case, the peer's (the fastest of several), what both compute, and the limit.

    The limit is either another case of ours, the least that has to be done, timed in our process in the same turns; or
    the count of operations by the rate of a product of large matrices.
    """

    ours: str
    peers: tuple[str, ...]
    tolerance: float  # between the two results, relative to the largest entry
    limit: str | None = None
    flops: float | None = None
    x64: bool = False
    script: str = "peer.py"  # the peer's


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
        if row["flops"]:
            row["share_of_limit"] = row["flops"] / row["ours_s"] / limits[row["dtype"]]
    write(name, {"title": title, "limits_flops_per_s": limits, "rows": rows}, time.perf_counter() - start)


def contest(match: Match, script: str) -> dict[str, Any]:
    """One line: medians over the turns, the ratio with its range, first calls, and how far the results differ."""
    ours, peer = Worker(sys.executable, script, match.x64), Worker(PEER, COMMON / match.script, match.x64)
    machine = Worker(sys.executable, COMMON / "machine.py", x64=True)
    first, usual = ours.prepare(match.ours)
    peers = {case: peer.prepare(case) for case in match.peers}
    best = min(peers, key=lambda case: peers[case][1])
    expected = ours.result(match.ours), peer.result(best)
    difference = float(np.abs(expected[0] - expected[1]).max() / np.abs(expected[1]).max())
    if not difference < match.tolerance:
        raise RuntimeError(f"{match.ours}: expected the peer's result to {match.tolerance:g}, got {difference:.2g}")
    sides = {"ours": (ours, match.ours, usual), "peer": (peer, best, peers[best][1])}
    if match.limit:
        sides["limit"] = (ours, match.limit, ours.prepare(match.limit)[1])
    turns, products = take_turns(sides, machine)
    times = {side: [statistics.median(burst) for burst in turns[side]] for side in sides}
    ratios = over(times["peer"], times["ours"])
    row = {
        "work": match.ours,
        "dtype": "float64" if match.x64 else "float32",
        **{f"{side}_s": statistics.median(times[side]) for side in sides},
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "fastest_s": {side: min(map(min, turns[side])) for side in sides},
        "first_call_s": {"ours": first, "peer": peers[best][0]},
        "peer_method": best.partition(": ")[2],
        "peer_other_methods_s": {case.partition(": ")[2]: peers[case][1] for case in peers if case != best},
        "difference": difference,
        "flops": match.flops,
        "limits": {kind: 2 * 1024**3 / min(seconds) for kind, seconds in products.items()},
        "versions": {"ours": ours.ask("versions"), "peer": peer.ask("versions")},
    }
    if match.limit:
        row |= {"limit": match.limit, "share_of_limit": statistics.median(over(times["limit"], times["ours"]))}
    for worker in (ours, peer, machine):
        worker.close()
    share = f", {row['share_of_limit']:.0%} of the limit" if match.limit else ""
    print(
        f"  {row['work']}: {row['ours_s']:.3g} s, peer {row['peer_s']:.3g} s, {row['ratio']:.2f} times as fast{share}"
    )
    return row


def take_turns(sides: dict[str, Any], machine: Worker) -> tuple[dict[str, list[list[float]]], dict[str, list[float]]]:
    """Seconds of the calls in each turn of each side, and those of products of large matrices meanwhile."""
    turns: dict[str, list[list[float]]] = {side: [] for side in sides}
    products: dict[str, list[float]] = {kind: list(machine.prepare(kind)) for kind in ("float32", "float64")}
    for turn in range(TURNS):
        order = list(sides)
        for side in order[turn % len(order) :] + order[: turn % len(order)]:
            worker, case, about = sides[side]
            turns[side].append(worker.burst(case, about))
        for kind in products:
            products[kind] += machine.ask("run", kind, times=3)["seconds"]
    return turns, products


def over(numerators: list[float], denominators: list[float]) -> list[float]:
    """Ratios, turn by turn."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


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
