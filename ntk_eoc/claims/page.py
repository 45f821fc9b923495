"""The ledger as text: what the site shows is generated from a report, never typed."""

import json
import re
from pathlib import Path
from typing import Any

from ntk_eoc.claims.ledger import CONDITIONS, CORRECTED, FALSE, HOLDS, NOT_RUN

ORDER = (HOLDS, CONDITIONS, CORRECTED, FALSE, NOT_RUN)
_HEADINGS = {
    HOLDS: "Holds",
    CONDITIONS: "Holds with conditions",
    CORRECTED: "Corrected",
    FALSE: "Does not hold",
    NOT_RUN: "Not run yet",
}
_MINUS = "\N{MINUS SIGN}"
_POWER = re.compile(r"\^(?:\(([^()]+)\)|(-?[A-Za-z0-9]+))")


def read(path: Path | str) -> dict[str, Any]:
    """A recorded report; ``ValueError`` that names the file if it is not one."""
    try:
        found = json.loads(Path(path).read_text())
        assert {"version", "commit", "claims"} <= set(found)
    except (OSError, ValueError, AssertionError, TypeError) as error:
        raise ValueError(
            f"{path}: expected a report of `ntk-eoc verify --json`, got something else ({error})"
        ) from None
    return found


def markdown(report: dict[str, Any]) -> str:
    """The report as Markdown: one heading per verdict, one item per claim, linked to its chapter.

    >>> from ntk_eoc.claims.verify import report, verify
    >>> print(markdown(report(verify(["prop2a"]))).splitlines()[0])
    **Corrected** (1)
    """
    parts = []
    for verdict in ORDER:
        claims = [claim for claim in report["claims"] if claim["verdict"] == verdict]
        if claims:
            parts.append(f"**{_HEADINGS[verdict]}** ({len(claims)})\n\n" + "\n".join(map(_item, claims)))
    return "\n\n".join(parts)


def _item(claim: dict[str, Any]) -> str:
    lines = [f"- {claim['item']} (`{claim['id']}`)"]
    if claim["printed"]:  # not one of this companion's own
        lines.append(f"  - *In the paper:* {plain(claim['printed'])}")
    lines.append(f"  - *Here:* {plain(claim['statement'])}")
    if claim["measured"] is not None:
        numbers = f"{claim['measured']:.6g}, expected {claim['expected']:.6g} ± {claim['tolerance']:.2g}"
        link = f" See [the chapter]({claim['chapter']}.ipynb)." if claim["chapter"] else ""
        lines.append(f"  - *Measured:* {plain(claim['quantity'])}: {numbers}.{link}")
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text in which Markdown finds nothing to set but the powers, and no end of a table's cell.

    >>> print(plain("q_a * [b] | c"))
    q\\_a \\* \\[b\\] \\| c
    >>> print(plain("chi^(-L/2) and 10^6"))
    chi<sup>−L/2</sup> and 10<sup>6</sup>
    """
    for mark in r"*_[]|":
        text = text.replace(mark, "\\" + mark)
    return _POWER.sub(lambda power: f"<sup>{(power[1] or power[2]).replace('-', _MINUS)}</sup>", text)
