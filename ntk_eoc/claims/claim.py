"""What a claim is, and the words of its verdict."""

from typing import NamedTuple

HOLDS, CONDITIONS, CORRECTED = "holds", "holds with conditions", "corrected"
FALSE, NOT_RUN = "does not hold", "not run"


class Claim(NamedTuple):
    """``printed`` restates the paper, ``statement`` is ours; ``verdict`` is what the evidence must lead to; ``chapter``
    is the page that shows it, empty before there is one."""

    id: str
    item: str
    printed: str
    statement: str
    verdict: str
    chapter: str = ""
