"""Which initialisation for which depth: the point of the Edge of Chaos whose deep kernel tells inputs apart best.

Dense networks. For each bias standard deviation of ``SIGMA_B`` the points of the Edge of Chaos are computed and, at
each, the condition number of the NTK at the depth asked for on the reference inputs (``conditioning`` says why that).
Along the edge it falls with sigma_b, towards the value that Proposition 2 fixes, and the sooner the deeper the network
is, while the kernel of two orthogonal inputs comes closer to that of one. So the least sigma_b is taken that comes
within ``SLACK`` of the best: more would gain no step of training, and lose contrast.

Residual networks need no Edge of Chaos: no gradient vanishes at any sigma_w (Proposition 3), but the variance grows.
The condition falls with the strength of the branches; the strongest are taken that let it grow ``GROWTH`` times. Only
odd activations get biases there, and again the least that do: without, they make odd functions only.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
from scipy.optimize import brentq

from ntk_eoc.activations import Activation
from ntk_eoc.conditioning import SHORT, Seen, by_series, by_table, condition
from ntk_eoc.errors import check_choice, check_depth, require_x64
from ntk_eoc.gaussian import second_moment
from ntk_eoc.hermite import applies
from ntk_eoc.kernels import ARCHITECTURES
from ntk_eoc.meanfield import eoc_points, phase
from ntk_eoc.profile import is_odd
from ntk_eoc.regularity import check_continuous

SIGMA_B = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
TABLED = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # where each condition takes a table
SLACK, GROWTH = 1.1, 10.0
BROUGHT = (0.1, 0.2, 0.3, 0.5, 0.7)  # sigma_b sqrt(depth) of residual networks of odd activations
USUAL = {"He": 2**0.5, "Glorot": 1.0, "LeCun": 1.0}  # sigma_w without biases; Glorot's between layers of one width
LONGEST = 20_000  # layers, which are computed one by one
ORTHOGONAL = 2  # which of the reference inputs is at right angles to the first
DENSE = (
    "the least sigma_b on the Edge of Chaos whose NTK has a condition number within 10 % of the best, for 8 inputs at "
    "equal angles on a circle; a number near one in the chaotic phase is that of a kernel that tells all inputs apart "
    "and connects none, and a kernel of log10 far from 0 needs a learning rate as far from 1"
)
RESIDUAL = "branches as strong as lets the variance grow tenfold, since the condition number falls with their strength"


class Start(NamedTuple):
    """An initialisation. ``q`` is the variance that every layer has, None where that depends on the inputs;
    ``stable``: it attracts; ``q0`` is the |x|^2/d of inputs that begin there."""

    sigma_b: float
    sigma_w: float
    q: float | None
    stable: bool
    q0: float


class Verdict(NamedTuple):
    """What an initialisation is like at a depth. ``phase`` is None for residual networks; ``correlation`` that of the
    outputs of two orthogonal inputs, ``contrast`` = 1 - K^L(x, x')/K^L(x, x) for them; ``condition`` of the NTK on the
    reference inputs, inf if it is singular to rounding; ``log10_size`` of K^L(x, x), to which rates of learning are
    proportional. None where it could not be computed."""

    phase: str | None
    correlation: float | None
    contrast: float | None
    condition: float | None
    log10_size: float | None


class Recommendation(NamedTuple):
    """The ``start`` to take and its ``verdict``, those of the ``usual`` ones by name, and ``warnings``."""

    start: Start
    verdict: Verdict
    usual: dict[str, tuple[Start, Verdict]]
    warnings: list[str]


def recommend(act: Activation, depth: int, architecture: str = "ffnn", width: int | None = None) -> Recommendation:
    """The initialisation for ``depth`` dense layers, beside the usual ones; standard deviations.

    ``width`` only serves warnings. Raises ``ValueError``, with what to do instead, for an activation without any
    usable Edge of Chaos up to sigma_b = 1, for a linear one, for a depth outside 2..20,000 and a width below 1.

    >>> from ntk_eoc.activations import NAMED
    >>> found = recommend(NAMED["tanh"], 100)
    >>> found.start.sigma_b, round(found.start.sigma_w, 4), round(found.verdict.condition, 2)
    (0.3, 1.3956, 5.53)
    """
    require_x64()
    depth, skip = check_depth(depth), check_choice("architecture", architecture, ARCHITECTURES) == "residual"
    if not 2 <= depth <= LONGEST:
        raise ValueError(f"depth: expected from 2 to {LONGEST} layers, since one alone is linear, got {depth}")
    if width is not None and width < 1:
        raise ValueError(f"width: expected at least 1, got {width}")
    check_continuous(act)
    start, notes = _branches(act, depth) if skip else _on_the_edge(act, depth, width)
    found = judge(act, start, depth, skip)
    if found.condition is None or math.isinf(found.condition):
        where = "the branches are not too strong" if skip else "its variance has a fixed point on the Edge of Chaos"
        raise ValueError(
            f"activation: expected one whose deep kernel is no linear or constant one, got {act.name}: the NTK of "
            f"{depth} layers is singular on the reference inputs wherever {where}"
        )
    usual = {name: Start(0.0, sigma_w, None, False, 1.0) for name, sigma_w in USUAL.items()}
    judged = {start.sigma_w: judge(act, start, depth, skip) for start in usual.values()}
    if width is not None and depth > width / 4:
        notes.append(
            f"depth/width is {depth / width:.2g}: kernels and variances of single networks scatter with that ratio "
            "around these numbers, which are for infinite width; take more units or fewer layers"
        )
    return Recommendation(start, found, {name: (one, judged[one.sigma_w]) for name, one in usual.items()}, notes)


def _on_the_edge(act: Activation, depth: int, width: int | None) -> tuple[Start, list[str]]:
    grid = SIGMA_B if applies(act) else TABLED
    starts = along(act, grid)
    if not starts:
        raise ValueError(
            f"activation: expected one with an Edge of Chaos at some sigma_b from 0 to {grid[-1]:g}, got {act.name}, "
            "which has none; take a residual network, which needs none, or another activation"
        )
    kept = [start for start in starts if start.stable or start.q is None] or starts
    chosen = _least(kept, lambda start: _edge_kernel(act, start, depth))
    shaky = [start for start in starts if start.q is not None and not start.stable]
    if chosen in shaky:
        return chosen, [_leaving(act, chosen, width)]
    if shaky:
        span = f"from {shaky[0].sigma_b:g} to {shaky[-1].sigma_b:g}" if len(shaky) > 1 else f"= {shaky[0].sigma_b:g}"
        return chosen, [f"for sigma_b {span} the variance fixed point on the Edge of Chaos is unstable: keep away"]
    return chosen, []


@lru_cache(maxsize=64)
def along(act: Activation, grid: tuple[float, ...]) -> list[Start]:
    """The points of the Edge of Chaos with a positive variance at each sigma_b of ``grid``.

    >>> from ntk_eoc.activations import NAMED
    >>> [round(start.sigma_w, 4) for start in along(NAMED["relu"], (0.0, 0.2))]  # no point with a bias
    [1.4142]
    """
    points = [(b, p) for b in grid for p in eoc_points(act, b) if p.q is None or p.q > 0]
    return [Start(b, p.sigma_w, p.q, p.stable, 1.0 if p.q is None else (p.q - b**2) / p.sigma_w**2) for b, p in points]


def _leaving(act: Activation, start: Start, width: int | None) -> str:
    slope = next(p.variance_slope for p in eoc_points(act, start.sigma_b) if p.sigma_w == start.sigma_w)
    layers = 0.5 * math.log(width or 256) / math.log(slope) if slope > 1 else math.inf
    return (
        f"{act.name} has no stable point of the Edge of Chaos up to sigma_b = {SIGMA_B[-1]:g}: a variance off its "
        f"fixed point leaves it by {slope:.3g} a layer; scale every input to |x|^2/d = {start.q0:.4g}, expect that to "
        f"last about {layers:.0f} layers at width {width or 256}, or take a residual network or layer normalisation"
    )


def _branches(act: Activation, depth: int) -> tuple[Start, list[str]]:
    """The residual start: branches with which the variance grows from 1 to GROWTH, and biases only for an odd phi."""
    note = (
        f"residual networks need no Edge of Chaos; these branches let the variance grow {GROWTH:g} times in {depth} "
        "layers, and stronger ones more"
    )
    if act.slopes is not None:
        strength = math.expm1(math.log(GROWTH) / (depth - 1))
        sigma_w = math.sqrt(strength / max(float(second_moment(act, jnp.array(1.0), 1)), 1e-300))
        return Start(0.0, sigma_w, None, False, sigma_w**-2), [note]
    if not applies(act):
        raise ValueError(
            f"architecture: expected ffnn for an activation with kinks off zero, got residual with {act.name}"
        )
    starts = [_grown(act, depth, share / math.sqrt(depth)) for share in (BROUGHT if is_odd(act) else (0.0,))]
    return _least(starts, lambda start: _followed(act, start, depth)), [note]


def _grown(act: Activation, depth: int, sigma_b: float) -> Start:
    def start(log: float) -> Start:
        sigma_w = math.exp(log)
        return Start(sigma_b, sigma_w, None, False, (1.0 - sigma_b**2) / sigma_w**2)

    def excess(log: float) -> float:
        return _followed(act, start(log), depth).log_q - math.log(GROWTH)

    low = high = math.log(1e-3)
    while high < 7.0 and not excess(high) > 0:
        low, high = high, high + 0.7
    if not high < 7.0:
        raise ValueError(f"activation: expected one whose variance grows with its weights, got {act.name}")
    return start(brentq(excess, low, high, xtol=1e-10))


def _followed(act: Activation, start: Start, depth: int, skip: bool = True) -> Seen:
    return by_series(act, depth, sigma_b=start.sigma_b, sigma_w=start.sigma_w, q0=start.q0, skip=skip)


def _least(starts: Sequence[Start], kernel: Callable[[Start], Seen]) -> Start:
    """The first, that is the one with the least biases, whose condition comes within SLACK of the best."""
    conditions = [condition(kernel(start).gap) for start in starts]
    best = min(conditions)
    return next(start for start, value in zip(starts, conditions, strict=True) if value <= SLACK * best)


def _edge_kernel(act: Activation, start: Start, depth: int, exact: bool = False) -> Seen:
    """On the Edge of Chaos: by series where they are good enough for the purpose, and by a table elsewhere."""
    if act.slopes is None and applies(act):
        found = by_series(act, depth, sigma_b=start.sigma_b, sigma_w=start.sigma_w, q0=start.q0, held=True)
        if found.cut <= SHORT or not (exact and start.stable):
            return found
    q0 = None if start.q is None else start.q0
    return by_table(act, depth, sigma_b=start.sigma_b, sigma_w=start.sigma_w, q0=q0, skip=False)


def judge(act: Activation, start: Start, depth: int, skip: bool) -> Verdict:
    """The verdict on any ``start`` at a depth, for inputs with its q0.

    >>> from ntk_eoc.activations import NAMED
    >>> found = judge(NAMED["tanh"], Start(0.0, 2**0.5, None, False, 1.0), 100, False)
    >>> found.phase, found.condition  # an odd function of the inputs, whatever the weights are: singular
    ('chaotic', inf)
    """
    sigmas: dict[str, Any] = {"sigma_b": start.sigma_b, "sigma_w": start.sigma_w}
    if start.q is not None:
        found: Seen | None = _edge_kernel(act, start, depth, exact=True)
    elif act.slopes is not None:
        found = by_table(act, depth, **sigmas, q0=None, skip=skip)
    elif applies(act):
        found = _or_none(lambda: _followed(act, start, depth, skip))
    else:
        found = _or_none(lambda: by_table(act, depth, **sigmas, q0=None, skip=skip))
    named = None if skip else "eoc" if start.q is not None else _phase(act, start.sigma_b, start.sigma_w)
    if found is None:
        return Verdict(named, None, None, None, None)
    numbers = (
        1.0 - float(found.delta[ORTHOGONAL]),
        float(found.gap[ORTHOGONAL]),
        condition(found.gap),
        found.log_size / math.log(10.0),
    )
    return Verdict(named, *(None if math.isnan(number) else number for number in numbers))


@lru_cache(maxsize=64)
def _phase(act: Activation, sigma_b: float, sigma_w: float) -> str | None:
    return _or_none(lambda: phase(act, sigma_b=sigma_b, sigma_w=sigma_w).phase)


def _or_none(compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except (ValueError, RuntimeError):  # no fixed point, none that is reached, or no number for it
        return None
