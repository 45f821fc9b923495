"""Real processes of the command line stopped at random instants, gone on with, and compared with one left in peace.

    python tests/kills.py --kills 100 --seconds 3600 --seed 0 --record book/results/kills.json

Each job of ``kill_jobs`` is started and stopped, by SIGKILL, SIGTERM and SIGINT in turn, checked, and started again on
what is left, until a run ends by itself; then anew in an empty folder. Half of the stops come at an instant uniform
over an undisturbed run, half right after a change of the folder, where there is something to tear. Besides, the disk is
full or the folder read-only. Faults are: a file that is not whole under its final name; a traceback; another exit code
or no sentence; finished work done again; in the end another answer than that of a run that nobody stopped. Each is
printed with what repeats it, as far as the machine's timing allows, and the exit code is 1.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from kill_disks import OBSTACLES, NotRunError, disk
from kill_jobs import JOBS, Job, Units, answer, differences, torn
from kill_runs import NEVER, SIGNALS, Peace, Run, Stop, after_stop, finished, refused, run, settled

from ntk_eoc import records

KEYS = ("stopped", "start-up", "work", "after the end", "resumed", "faults")
Counts = dict[str, Counter[str]]


class Report:
    """Counts by kind of stop of one job; prints faults."""

    def __init__(self, job: str, seed: int) -> None:
        self.job, self.seed, self.counts = job, seed, Counts()

    def add(self, kind: str, *keys: str) -> None:
        self.counts.setdefault(kind, Counter()).update(keys)

    def fault(self, kind: str, what: str, wrong: list[str], got: Run) -> bool:
        """Tell of what is wrong, if anything is."""
        if wrong:
            self.add(kind, "faults")
            repeat = f"python tests/kills.py --seed {self.seed} --only {self.job!r}"
            said = "".join(f"\n      | {row}" for row in got.said[1].splitlines())
            print(f"FAULT {self.job}: {kind} {what} ({repeat})", *wrong, sep="\n      ", end=f"{said}\n", flush=True)
        return bool(wrong)


def undisturbed(job: Job, work: Path, report: Report) -> Peace:
    """The answer and the time of a run in peace: of the second one, since the first one compiles."""
    runs = []
    for name in ("first", "second"):
        out = work / name / "out"
        out.parent.mkdir()
        runs.append((out, run(job, out)))
        wrong = [*torn(out), *([f"exit code {runs[-1][1].code}"] if runs[-1][1].code else [])]
        if report.fault("undisturbed", name, wrong, runs[-1][1]):
            raise RuntimeError(f"{report.job}: expected a run that ends well, got {wrong}")
    peace = Peace(out, runs[1][1].lasted, answer(out))
    report.fault("undisturbed", "twice", differences(answer(runs[0][0]), peace.answer), runs[1][1])
    return peace


def signals(job: Job, peace: Peace, report: Report, count: int, until: float) -> None:
    """``count`` processes stopped by signals, in chains that each go on to the end."""
    r, chain, killed, held, last = random.Random(f"{report.seed} {report.job}"), 0, 0, Units(), ""
    while (more := killed < count and time.monotonic() < until) or last:
        out = peace.out.parents[1] / f"chain{chain}" / "out"
        out.parent.mkdir(exist_ok=True)
        stop = drawn(r, list(SIGNALS)[killed % len(SIGNALS)], peace)
        what = f"{stop if more else 'the end'} in chain {chain} after {last or 'nothing'}"
        got = settled(run(job, out, stop if more else NEVER), out, peace)
        wrong = after_stop(job, out, got, stop, held) if more else finished(job, out, got, held, peace)
        if more and got.code == 0 and not wrong:
            wrong = differences(answer(out), peace.answer)
        stopped = got.met != "after the end"
        if last:
            report.add(last, "resumed")
        if more:
            report.add(stop.name, got.met, *(["stopped"] if stopped else []))
        killed += stopped
        ended = report.fault(stop.name if more else last, what, wrong, got) or got.code == 0
        chain, last, held = (chain + 1, "", {}) if ended else (chain, stop.name, job.units(out))


def drawn(r: random.Random, name: str, peace: Peace) -> Stop:
    """Half of the stops anywhere in the time of a run, half at a change of its folder."""
    if r.randrange(2):
        return Stop(name, changes=r.randint(1, max(1, peace.lasted[1])))
    return Stop(name, seconds=r.uniform(0, peace.lasted[0]))


def obstacles(job: Job, peace: Peace, report: Report, count: int, until: float) -> dict[str, str]:
    """``count`` runs on a full disk and in a read-only folder, each then gone on with; says what was not run."""
    r, not_run = random.Random(f"{report.seed} {report.job} disks"), {}
    for number, (kind, obstacle) in [(i, item) for i in range(count) for item in OBSTACLES.items()]:
        if time.monotonic() > until:
            break
        place = peace.out.parents[1] / f"{kind.split()[0]}{number}"
        share, instant = r.uniform(0.3, 0.8), r.uniform(0.5, 0.9) * peace.lasted[0]
        with disk(place) as on:
            out, held = place / "out", Units()
            if kind != "full disk":
                run(job, out, Stop("SIGKILL", instant))
                held = job.units(out)
            try:
                with obstacle(on, peace.out, share) as before:
                    got = run(job, out, before=before)
            except NotRunError as why:
                not_run[kind] = str(why)
                continue
            report.add(kind, "stopped", "work" if job.units(out) else "start-up")
            if report.fault(kind, f"with {share:.3f} of the room", refused(job, out, got, held), got):
                continue
            held, got = job.units(out), run(job, out)
            report.add(kind, "resumed")
            report.fault(kind, "and then room again", finished(job, out, got, held, peace), got)
    return not_run


def kills(jobs: dict[str, Job], count: int, seed: int, seconds: float) -> dict[str, Any]:
    """Counts by job and kind of stop; each job gets an equal share of the stops, and of the time that is left."""
    start, found = time.monotonic(), {}
    for i, (name, job) in enumerate(jobs.items()):
        share = count // len(jobs) + (i < count % len(jobs))
        now, report = time.monotonic(), Report(name, seed)
        until = now + (seconds - (now - start)) / (len(jobs) - i)
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "x.npy", np.random.RandomState(0).normal(size=(24, 8)))
            peace = undisturbed(job, Path(folder), report)
            signals(job, peace, report, share, until)
            not_run = obstacles(job, peace, report, 1 + share // 12, until)
        counted = {kind: {key: counts[key] for key in KEYS} for kind, counts in report.counts.items()}
        found[name] = {**counted, **({"not run": not_run} if not_run else {})}
        print(f"{name}, {peace.lasted[0]:.1f} s undisturbed: {json.dumps(found[name])}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="stops by a signal, of all jobs together")
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no stop later, and finish")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[""], help="jobs whose names hold one of these")
    parser.add_argument("--record", type=Path, help="JSON file for the counts and where they came from")
    args = parser.parse_args()
    # In the background SIGINT is ignored, and the children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start, jobs = time.monotonic(), {n: job for n, job in JOBS.items() if any(part in n for part in args.only)}
    with tempfile.TemporaryDirectory() as cache:  # a kill may tear what it holds
        os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
        found = kills(jobs, args.kills, args.seed, args.seconds)
    counts = [kind for job in found.values() for name, kind in job.items() if name != "not run"]
    faults, stopped = (sum(kind[key] for kind in counts) for key in ("faults", "stopped"))
    if args.record:
        config = {"kills": args.kills, "seconds": args.seconds}
        about = records.about(command="make kills", config=config, seed=args.seed, seconds=time.monotonic() - start)
        records.write_json(args.record, {**about, "stops": found})
    print(f"{stopped} stops, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
