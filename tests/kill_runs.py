"""For ``kills``: a process stopped at an instant, and what is wrong with how it ended and with what it left."""

import math
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from kill_jobs import Job, Units, answer, differences, torn

ROOT = Path(__file__).parents[1]
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
LATE = 300.0  # seconds after which a process that should end has not
BEYOND = 3  # units that may still be finished after Ctrl-C: what is under way, and what is being looked at


class Stop(NamedTuple):
    """A signal ``seconds`` after the start, or when the folder has changed so many times."""

    name: str
    seconds: float = math.inf
    changes: float = math.inf


class Run(NamedTuple):
    """A process that has ended: what it said; what the stop ``met``: start-up, work, or after the end; seconds and
    changes of the folder until the stop; and what was finished then, None where nobody asked."""

    code: int
    said: tuple[str, str]
    met: str
    lasted: tuple[float, int]
    units: Units | None


NEVER = Stop("SIGKILL")


class Peace(NamedTuple):
    """A run that nobody stopped."""

    out: Path
    lasted: tuple[float, int]
    answer: dict[str, Any]


def stamp(out: Path) -> dict[str, tuple[int, int]]:
    """Times and sizes of all files there, hidden ones too."""
    found = {}
    for path in out.rglob("*"):
        try:
            found[str(path)] = ((about := path.stat()).st_mtime_ns, about.st_size)
        except FileNotFoundError:  # since it was listed
            continue
    return found


def run(job: Job, out: Path, stop: Stop = NEVER, before: tuple[str, ...] = ()) -> Run:
    """Start a job on the folder ``out``, with the words ``before`` its line, stop it, and wait for its end."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    empty, began, changes, met = stamp(out), time.monotonic(), 0, "after the end"
    now, units = empty, None
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as behind nohup: what a process ignores its children ignore
        signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen(
        [*before, *job.line, "--out", str(out)],
        cwd=out.parents[1],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while child.poll() is None and time.monotonic() - began < min(stop.seconds, LATE) and changes < stop.changes:
            time.sleep(0.001)
            then, now = now, stamp(out)
            changes += then != now
        lasted = time.monotonic() - began, changes
        if child.poll() is None:
            child.send_signal(SIGNALS[stop.name])
            met = "start-up" if now == empty else "work"
            units = job.units(out) if stop.name == "SIGINT" else None
        said = child.communicate(timeout=LATE)
    except subprocess.TimeoutExpired:
        child.kill()
        said = child.communicate()
    finally:
        child.kill()
        child.wait()
    return Run(child.returncode, said, met, lasted, units)


def settled(got: Run, out: Path, peace: Peace) -> Run:
    """Ended well, if all was done when Ctrl-C came: Python puts its handlers away before it ends."""
    silent = got.code == -signal.SIGINT and not got.said[1] and not torn(out)
    return got._replace(code=0) if silent and not differences(answer(out), peace.answer) else got


def after_stop(job: Job, out: Path, got: Run, stop: Stop, held: Units) -> list[str]:
    """What is wrong after a run that ``stop`` may have met, begun with the units ``held``."""
    errors, wrong = got.said[1], unharmed(job, out, held)
    # Before main is reached, Ctrl-C is Python's to answer.
    ours = got.met != "start-up" or "Traceback" not in errors or re.search(r'cli\.py", line \d+, in main', errors)
    if "Traceback" in errors and ours:
        wrong.append("a traceback")
    if got.code not in _codes(stop, got.met, bool(ours)):
        wrong.append(f"exit code {got.code}")
    if got.code == 130 and not re.fullmatch(r"ntk-eoc( \w+)?: .*go on with.*\n", errors):
        wrong.append("Ctrl-C without a sentence on how to go on")
    if got.code == 0 and not wrong:
        wrong += after_end(job, out, got, held)
        new = [] if got.units is None else [name for name in job.units(out) if name not in got.units]
        wrong += [f"went on after Ctrl-C with {', '.join(new)}"] if len(new) > BEYOND else []
    return wrong


def _codes(stop: Stop, met: str, ours: bool) -> set[int]:
    if met == "after the end":
        return {0}
    done = {0}  # if there was nothing more to do
    if stop.name != "SIGINT":
        return done | {-SIGNALS[stop.name]}
    early = {-signal.SIGINT} if met == "start-up" else set()  # Python has no handler yet
    return early | ({130} | done if ours else {1})


def unharmed(job: Job, out: Path, held: Units) -> list[str]:
    """Whether all files are whole, and all that was finished is there and not computed again."""
    if wrong := torn(out):
        return wrong
    units = job.units(out)
    return [f"{name} was lost or computed again" for name, value in held.items() if units.get(name) != value]


def after_end(job: Job, out: Path, got: Run, held: Units) -> list[str]:
    """Whether a run that ended well computed what was missing and no more."""
    missing = len(job.units(out)) - len(held)
    if job.computed is None or (count := job.computed(got.said[0])) == missing:
        return []
    return [f"computed {count} where {missing} were missing"]


def refused(job: Job, out: Path, got: Run, held: Units) -> list[str]:
    """What is wrong after a run that could not write."""
    wrong = unharmed(job, out, held)
    if got.code not in (1, 2):
        wrong.append(f"exit code {got.code} where nothing could be written")
    if "Traceback" in got.said[1] or len(got.said[1].splitlines()) != 1:
        wrong.append("expected one sentence")
    return wrong


def finished(job: Job, out: Path, got: Run, held: Units, peace: Peace) -> list[str]:
    """What is wrong with a folder that a run went through to the end."""
    if got.code:
        return [f"exit code {got.code} of a run that nobody stopped"]
    wrong = [*unharmed(job, out, held), *after_end(job, out, got, held)]
    return wrong or differences(answer(out), peace.answer)
