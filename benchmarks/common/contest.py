"""Contenders timed in turns, each in a process of its own that stays; what came out goes to results/NAME.json.

On a machine that does other things too, a time says little and the ratio of two times taken one after the other says
more: each turn times a burst of calls of one and of the other, and the ratio is the median over the turns.
"""

import json
import platform
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common.serve import Case, serve
from common.worker import BENCHMARKS, BURST, Worker

COMMON, RESULTS, PEER = BENCHMARKS / "common", BENCHMARKS / "results", BENCHMARKS / ".venv-peer" / "bin" / "python"
TURNS = 9
CLOSE = 1.5  # a peer's methods that need no more than this times its fastest all take turns


@dataclass(frozen=True)
class Match:
    """One line of the table: our case, the peer's (the fastest of several), what both compute, and the limit.

    The limit is either another case of ours, the least that has to be done, timed in our process in the same turns; or
    the count of operations by the rate of a product of large matrices. Parts are further cases of ours that say where
    the time goes.
    """

    ours: str
    peers: tuple[str, ...]
    tolerance: float  # between the two results, relative to the largest entry
    limit: str | None = None
    parts: tuple[str, ...] = ()
    flops: float | None = None
    x64: bool = False
    script: str = "peer.py"  # the peer's
    turns: int = TURNS  # fewer where a call takes long


Side = tuple[Worker, str, float]  # who runs which case, and about how long it takes


def main(title: str, cases: Mapping[str, Case], matches: list[Match], script: str) -> None:
    """Serve the cases of ``script`` to another process, or hold its contest and write results/NAME.json."""
    if "--serve" in sys.argv:
        return serve(cases, ("jax", "jaxlib", "numpy"))
    start, name = time.perf_counter(), Path(script).stem
    print(title, flush=True)
    rows = [contest(match, script) for match in matches]
    measured = [row.pop("limits") for row in rows]
    limits = {kind: max(limit[kind] for limit in measured) for kind in measured[0]}
    for row in rows:
        if row["flops"] and not row["limit"]:
            row["share_of_limit"] = row["flops"] / row["ours_s"] / limits[row["dtype"]]
    write(name, {"title": title, "limits_flops_per_s": limits, "rows": rows}, time.perf_counter() - start)


def contest(match: Match, script: str) -> dict[str, Any]:
    """One line: medians over the turns, the ratio with its range, first calls, and how far the results differ."""
    ours, peer = Worker(sys.executable, script, match.x64), Worker(PEER, COMMON / match.script, match.x64)
    machine = Worker(sys.executable, COMMON / "machine.py", x64=True)
    first, usual = ours.prepare(match.ours)
    peers = {case: peer.prepare(case) for case in match.peers}
    close = [case for case in peers if peers[case][1] <= CLOSE * min(later for _, later in peers.values())]
    result = ours.result(match.ours)
    differences = {case: compared(match, result, peer.result(case)) for case in close}
    sides: dict[str, Side] = {match.ours: (ours, match.ours, usual)}
    sides |= {case: (peer, case, peers[case][1]) for case in close}
    sides |= {case: (ours, case, ours.prepare(case)[1]) for case in (match.limit, *match.parts) if case}
    turns, products = take_turns(sides, machine, match.turns)
    times = {case: [median(burst) for burst in turns[case]] for case in sides}
    best = min(close, key=lambda case: median(times[case]))
    ratios = over(times[best], times[match.ours])
    row = {
        "work": match.ours,
        "dtype": "float64" if match.x64 else "float32",
        "turns": match.turns,
        "ours_s": median(times[match.ours]),
        "peer_s": median(times[best]),
        "ratio": median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "fastest_s": {side: min(map(min, turns[case])) for side, case in (("ours", match.ours), ("peer", best))},
        "first_call_s": {"ours": first, "peer": peers[best][0]},
        "peer_method": method(best),
        "peer_other_methods_s": {
            method(case): median(times[case]) if case in times else peers[case][1] for case in peers if case != best
        },
        "difference": differences[best],
        "flops": match.flops,
        "limit": match.limit,
        "parts_s": {case: median(times[case]) for case in (match.limit, *match.parts) if case},
        "limits": {kind: 2 * 1024**3 / min(seconds) for kind, seconds in products.items()},
        "versions": {"ours": ours.ask("versions"), "peer": peer.ask("versions")},
    }
    if match.limit:
        row["share_of_limit"] = median(over(times[match.limit], times[match.ours]))
    for worker in (ours, peer, machine):
        worker.close()
    share = f", {row['share_of_limit']:.0%} of the limit" if match.limit else ""
    print(
        f"  {row['work']}: {row['ours_s']:.3g} s, peer {row['peer_s']:.3g} s, {row['ratio']:.2f} times as fast{share}"
    )
    return row


def take_turns(
    sides: Mapping[str, Side], machine: Worker, count: int
) -> tuple[dict[str, list[list[float]]], dict[str, list[float]]]:
    """Seconds of the calls in each turn of each side, and those of products of large matrices meanwhile."""
    turns: dict[str, list[list[float]]] = {side: [] for side in sides}
    products: dict[str, list[float]] = {kind: list(machine.prepare(kind)) for kind in ("float32", "float64")}
    order = list(sides)
    for _ in range(count):
        for side in order:
            worker, case, about = sides[side]
            turns[side].append(worker.burst(case, about))
        for kind in products:
            products[kind] += machine.ask("run", kind, times=3)["seconds"]
        order = order[1:] + order[:1]
    return turns, products


def compared(match: Match, ours: np.ndarray, peers: np.ndarray) -> float:
    """How far two results differ, relative to the largest entry; ``RuntimeError`` if that is too far."""
    difference = float(np.abs(ours - peers).max() / np.abs(peers).max())
    if not difference < match.tolerance:
        raise RuntimeError(f"{match.ours}: expected the peer's result to {match.tolerance:g}, got {difference:.2g}")
    return difference


def over(numerators: Iterable[float], denominators: Iterable[float]) -> list[float]:
    """Ratios, turn by turn."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def method(case: str) -> str:
    """What stands behind the work in the name of a peer's case."""
    return case.partition(": ")[2]


def write(name: str, found: dict[str, Any], seconds: float, config: dict[str, Any] | None = None) -> None:
    """results/NAME.json, complete or not at all, with its provenance; a contest's own configuration by default."""
    from ntk_eoc import records

    config = config or {"turns": TURNS, "burst_seconds": BURST}
    about = records.about(command=f"python benchmarks {name}", config=config, seed=0, seconds=seconds)
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
