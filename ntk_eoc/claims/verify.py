"""Run the ledger: evidence in, verdicts out."""

import inspect
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from ntk_eoc import __version__
from ntk_eoc.claims.ledger import CLAIMS, EVIDENCE, HOLDS, NOT_RUN, Claim
from ntk_eoc.claims.rows import Row, agrees
from ntk_eoc.errors import check_choice, check_seed
from ntk_eoc.records import commit

Watch: TypeAlias = Callable[[Iterable[Claim]], Iterable[Claim]]


class Result(NamedTuple):
    """A claim with the rows of its evidence, the verdict they lead to, and whether that is the published one."""

    claim: Claim
    rows: list[Row]
    verdict: str
    ok: bool
    seconds: float


def judge(claim: Claim, rows: Sequence[Row]) -> tuple[str, bool]:
    """(verdict, ok): "holds" where every row on the printed side agrees, else the ledger's word for a statement that
    needs care; ok if all of our rows agree and the verdict is the published one.

    >>> claim = Claim("x", "Item", "Theirs.", "Ours.", "corrected")
    >>> judge(claim, [Row("ours", 1.0, 1.0, 0.1), Row("theirs", 1.0, 2.0, 0.1, "printed")])
    ('corrected', True)
    >>> judge(claim, [Row("ours", 1.0, 1.0, 0.1), Row("theirs", 1.0, 1.0, 0.1, "printed")])
    ('holds', False)
    >>> judge(claim._replace(verdict="not run"), [])
    ('not run', True)
    """
    if not rows:
        return NOT_RUN, claim.verdict == NOT_RUN
    printed = all(agrees(row) for row in rows if row.side == "printed")
    needs_care = claim.verdict if claim.verdict != HOLDS else "does not hold"
    verdict = HOLDS if printed else needs_care
    return verdict, verdict == claim.verdict and all(agrees(row) for row in rows if row.side == "ours")


def verify(only: Iterable[str] = (), watch: Watch = iter, seed: int = 0) -> list[Result]:
    """Evaluate the claims with the ids ``only`` (all of them if empty); ``watch`` may wrap them in a progress bar.

    ``seed`` is that of the networks and batches which some of the evidence draws. Raises ``ValueError`` for an unknown
    id, with the nearest one, and for a seed that is none.

    >>> [result.verdict for result in verify(["prop2a"])]
    ['corrected']
    """
    seed = check_seed(seed)
    return [evaluate(claim, seed) for claim in watch(chosen(only))]


def chosen(only: Iterable[str] = ()) -> list[Claim]:
    """The claims with the ids ``only``, in the ledger's order; all of them if it is empty.

    >>> [claim.id for claim in chosen(["gd", "eq4"])]
    ['eq4', 'gd']
    """
    ids = [claim.id for claim in CLAIMS]
    wanted = [check_choice("only", name, ids) for name in only] or ids
    return [claim for claim in CLAIMS if claim.id in wanted]


def draws(claim: Claim) -> bool:
    """Whether the evidence draws networks or batches, and so takes a seed.

    >>> [draws(claim) for claim in chosen(["eq4", "prop2a"])]
    [True, False]
    """
    return claim.id in EVIDENCE and "seed" in inspect.signature(EVIDENCE[claim.id]).parameters


def evaluate(claim: Claim, seed: int = 0) -> Result:
    """One claim, now."""
    began = time.perf_counter()
    options = {"seed": seed} if draws(claim) else {}
    found = EVIDENCE[claim.id](**options) if claim.id in EVIDENCE else []
    rows = [row._replace(measured=float(row.measured), expected=float(row.expected)) for row in found]
    verdict, ok = judge(claim, rows)
    return Result(claim, rows, verdict, ok, time.perf_counter() - began)


def headline(rows: Sequence[Row]) -> Row | None:
    """The row that the short table shows: the first that fails, else the first on our side, else the first."""
    ours = [row for row in rows if row.side == "ours"]
    return next((row for row in ours if not agrees(row)), ours[0] if ours else rows[0] if rows else None)


def report(results: Sequence[Result], seed: int = 0) -> dict[str, Any]:
    """The results, found with ``seed``, as the public JSON.

    >>> report(verify(["prop2a"]))["claims"][0]["verdict"]
    'corrected'
    """
    return {**origin(seed), "claims": [entry(result) for result in results]}


def origin(seed: int) -> dict[str, Any]:
    """Which package evaluates the claims, and from which seed."""
    return {"version": __version__, "commit": commit(), "seed": check_seed(seed)}


def entry(result: Result) -> dict[str, Any]:
    """One result as in the public JSON: numbers of the headline row, and every row under ``evidence``."""
    claim, row = result.claim, headline(result.rows)
    rows = [{**row._asdict(), "ok": agrees(row)} for row in result.rows]
    return {
        "id": claim.id,
        "item": claim.item,
        "printed": claim.printed,
        "statement": claim.statement,
        "verdict": result.verdict,
        "quantity": row.quantity if row else None,
        "measured": row.measured if row else None,
        "expected": row.expected if row else None,
        "tolerance": row.tolerance if row else None,
        "ok": result.ok,
        "seconds": round(result.seconds, 3),
        "chapter": claim.chapter or None,
        "evidence": rows,
    }
