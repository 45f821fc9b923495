"""Whether a verdict hangs on a lucky draw: the claims whose evidence draws networks or batches, at several seeds.

``python -m ntk_eoc.claims.seeds --out book/results`` records them in ``seeds.json``. What is finished is kept in the
folder ``seeds.part`` beside it until then.
"""

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from ntk_eoc import data, folders, records
from ntk_eoc.claims import store
from ntk_eoc.claims.ledger import CLAIMS
from ntk_eoc.claims.verify import draws
from ntk_eoc.errors import check_choice
from ntk_eoc.training.config import whole

COMMAND = "python -m ntk_eoc.claims.seeds"
RECORD, PART = "seeds.json", "seeds.part"
FIXED = ("quantity", "side", "expected", "tolerance")  # of a row, whatever the seed
Report = dict[str, Any]


def record(out: Path, seeds: int, only: Sequence[str] = (), *, resume: bool = False) -> Path:
    """Evaluate the drawing claims ``only`` (all of them if empty) at the seeds 0, ..., ``seeds`` - 1; write the record.

    Raises as ``store.fill`` does, and ``ValueError`` for a claim that draws nothing.

    >>> record(Path("nowhere"), 2, ["eoc"])
    Traceback (most recent call last):
    ValueError: only: expected one of eq4, eq6, eq8, eq9, gd, lemma1, grad, fig2, sgd, got 'eoc'
    """
    count, drawing = whole("seeds", seeds, 1), [claim.id for claim in CLAIMS if draws(claim)]
    names = [check_choice("only", name, drawing) for name in only] or drawing
    reports = [_report(out / PART, seed, names, resume) for seed in range(count)]
    seconds = sum(entry["seconds"] for report in reports for entry in report["claims"])
    about = records.about(
        command=f"{COMMAND} --seeds {count}" + (f" --only {shlex.join(only)}" if only else ""),
        config={"seeds": list(range(count)), "claims": [entry["id"] for entry in reports[0]["claims"]]},
        seed=None,
        seconds=seconds,
        data=data.checksums("digits"),
    )
    folders.write(out, RECORD, {**about, "claims": summary(reports)})
    shutil.rmtree(out / PART)
    return out / RECORD


def summary(reports: Sequence[Report]) -> dict[str, Any]:
    """For each claim its ``verdicts`` and ``ok`` in the order of the reports, and for each row of evidence the smallest
    and the largest number measured.

    >>> row = {"quantity": "order", "side": "ours", "expected": 1.0, "tolerance": 0.1}
    >>> gd = {"id": "gd", "verdict": "holds", "ok": True}
    >>> reports = [{"claims": [{**gd, "evidence": [{**row, "measured": found}]}]} for found in (1.05, 0.98)]
    >>> found = summary(reports)["gd"]
    >>> found["ok"], found["evidence"][0]["min"], found["evidence"][0]["max"]
    ([True, True], 0.98, 1.05)
    """
    claims = zip(*(report["claims"] for report in reports), strict=True)
    return {
        entries[0]["id"]: {
            "verdicts": [entry["verdict"] for entry in entries],
            "ok": [entry["ok"] for entry in entries],
            "evidence": [_range(rows) for rows in zip(*(entry["evidence"] for entry in entries), strict=True)],
        }
        for entries in claims
    }


def _range(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    fixed, measured = {key: rows[0][key] for key in FIXED}, [row["measured"] for row in rows]
    if any(row[key] != fixed[key] for row in rows for key in FIXED):
        raise ValueError(f"{fixed['quantity']}: expected the same {', '.join(FIXED)} at every seed, got several")
    return {**fixed, "min": float(np.min(measured)), "max": float(np.max(measured))}


def _report(part: Path, seed: int, names: Sequence[str], resume: bool) -> Report:
    def watch(claims: Iterable[Any]) -> Iterable[Any]:
        return tqdm(list(claims), desc=f"seed {seed}", unit="claim", disable=not sys.stderr.isatty())

    return store.fill(part / str(seed), names, watch, seed=seed, resume=resume)


def main(arguments: Sequence[str] | None = None) -> int:
    """Record into the folder ``--out``; returns the exit code, as ``ntk-eoc`` does."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("book/results"), help="folder to write to")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many, from 0 on (default 10)")
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="only these claims")
    parser.add_argument("--resume", action="store_true", help="go on with what is finished in that folder")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    try:
        print(record(options.out, options.seeds, options.only, resume=options.resume))
    except (ValueError, OSError) as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{COMMAND}: stopped; go on with the same line and --resume", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
