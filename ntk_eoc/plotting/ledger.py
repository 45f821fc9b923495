"""The evidence of the ledger as one picture."""

from typing import Any

from matplotlib.axes import Axes

from ntk_eoc.plotting.style import palette

LIMIT = 30.0  # tolerances; what lies further out is drawn at the edge


def draw_evidence(ax: Axes, report: dict[str, Any]) -> None:
    """Every row of evidence as (measured - expected)/tolerance, one line per claim, the band |.| <= 1 shaded."""
    blue, orange = palette(2)
    claims = [claim for claim in report["claims"] if claim["evidence"]]
    for side, color, marker in (("ours", blue, "o"), ("printed", orange, "x")):
        points = [
            (max(-LIMIT, min(LIMIT, (row["measured"] - row["expected"]) / max(row["tolerance"], 1e-3))), y)
            for y, claim in enumerate(claims)
            for row in claim["evidence"]
            if row["side"] == side
        ]
        label = {"ours": "our statement", "printed": "as printed"}[side]
        ax.scatter(*zip(*points, strict=True), color=color, marker=marker, label=label, zorder=3)
    ax.axvspan(-1, 1, color="0.9", zorder=0)
    ax.set_xscale("symlog", linthresh=1.0)
    ax.set(yticks=range(len(claims)), yticklabels=[claim["item"] for claim in claims], xlim=(-1.3 * LIMIT, 1.3 * LIMIT))
    ax.set_xticks([-30, -10, -1, 0, 1, 10, 30], ["≤ −30", "−10", "−1", "0", "1", "10", "≥ 30"])
    ax.set_xlabel("(measured − expected) / tolerance")
    ax.invert_yaxis()
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, 1.14), ncols=2)
