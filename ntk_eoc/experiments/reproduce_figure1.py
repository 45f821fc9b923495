"""Figure 1 as ``ntk-eoc reproduce`` records it: a panel's arrays, its configuration, and a line for each curve."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from ntk_eoc.activations import get
from ntk_eoc.experiments import figure1
from ntk_eoc.meanfield import eoc_points

QUICK = {
    "fig1a": figure1.Edge(deepest=1000),
    "fig1b": figure1.Ordered(),
    "fig1c": figure1.Residual(deepest=1000),
}
# All pairs of 100 images, deep enough for the logarithms; and for panel (a) finite networks beside the limit.
FULL = {
    "fig1a": figure1.Edge(deepest=10**6, images=100),
    "fig1b": figure1.Ordered(deepest=400, images=100),
    "fig1c": figure1.Residual(deepest=10**6, images=100),
}
PANELS: dict[str, Callable[..., figure1.Panel]] = {
    "fig1a": figure1.edge,
    "fig1b": figure1.ordered,
    "fig1c": figure1.residual,
}
WITNESS = figure1.Witness(depths=(4, 16, 64))


class Drawn(NamedTuple):
    """``arrays`` by name; ``lines`` of the answer, one per curve: supremum over the pairs at the greatest depth."""

    arrays: dict[str, Any]
    lines: list[dict[str, Any]]


def config(item: str, full: bool) -> dict[str, Any]:
    """The configuration of a panel as plain values.

    >>> config("fig1b", full=False)["deepest"]
    100
    """
    chosen: Any = (FULL if full else QUICK)[item]
    witness = {"witness": asdict(_witness(chosen))} if full and isinstance(chosen, figure1.Edge) else {}
    return {**asdict(chosen), **witness}


def draw(item: str, full: bool) -> Drawn:
    """Compute a panel: fig1a, fig1b or fig1c, at the quick size (seconds) or the full one (a minute or two)."""
    chosen: Any = (FULL if full else QUICK)[item]
    panel = PANELS[item](chosen)
    arrays = {**panel._asdict(), "supremum": figure1.supremum(panel)}
    if isinstance(chosen, figure1.Residual):
        arrays["log_printed_normaliser"] = figure1.printed_normaliser(chosen)
    if full and isinstance(chosen, figure1.Edge):
        arrays |= {f"finite_{key}": value for key, value in figure1.witness(_witness(chosen))._asdict().items()}
    return Drawn(arrays, lines(item, full, arrays))


def lines(item: str, full: bool, arrays: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer's lines for the arrays of a panel, computed or read back."""
    curves = _curves((FULL if full else QUICK)[item])
    return [
        {
            "activation": name,
            "sigma_b": sigma_b,
            "sigma_w": sigma_w,
            "depth": int(arrays["depth"][-1]),
            "limit": float(arrays["limit"][i]),
            "supremum": float(arrays["supremum"][i, -1]),
            "status": "done",
        }
        for i, (name, sigma_b, sigma_w) in enumerate(curves)
    ]


def _witness(chosen: figure1.Edge) -> figure1.Witness:
    return replace(WITNESS, edge=chosen)


def _curves(chosen: Any) -> list[tuple[str, float, float]]:
    if isinstance(chosen, figure1.Ordered):
        return [(name, chosen.sigma_b, chosen.sigma_w) for name in chosen.curves]
    if isinstance(chosen, figure1.Residual):
        return [("residual relu", 0.0, sigma_w) for sigma_w in chosen.sigma_w]
    points = {name: eoc_points(get(name), sigma_b) for name, sigma_b in chosen.curves}
    return [
        (name, sigma_b, next((p for p in points[name] if p.stable), points[name][0]).sigma_w)
        for name, sigma_b in chosen.curves
    ]
