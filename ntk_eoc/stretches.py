"""The layers of a network one after another, as stretches of like ones: what each does to pairs of inputs of one norm.

A variance that stays where it is, and a homogeneous phi at any variance, take one table for all layers; so does a phi
with straight tails where the variance has run away. Elsewhere each layer has its own variance, and its table is found
with those of its octave (``octaves``).
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby, islice, repeat
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ntk_eoc.activations import Activation
from ntk_eoc.errors import LARGEST
from ntk_eoc.meanfield import limit_variance, variance_map
from ntk_eoc.octaves import octave, tables
from ntk_eoc.tables import Table, table

SETTLED = 1e-13  # relative distance from its fixed point at which a variance is taken to stay there
TINY = 1e-290  # the least that a logarithm is taken of
FAR = 1e26  # variance from which on a phi with straight tails acts as they do, but for 1/sqrt(FAR)


def first_variance(act: Activation, sigma_b: float, sigma_w: float, q0: float | None) -> float:
    """q^1 of inputs with |x|^2/d = q0; without q0 the fixed point, or that of q0 = 1 where any size will do."""
    if q0 is None and is_homogeneous(act) and sigma_b == 0:
        q0 = 1.0
    if q0 is None:
        q = limit_variance(act, sigma_b=sigma_b, sigma_w=sigma_w)
        if not sigma_b**2 < q < np.inf:
            raise ValueError(f"q0: expected a number, since {act.name} has no variance fixed point here, got None")
    else:
        q = sigma_b**2 + sigma_w**2 * q0
    if not q > TINY:
        raise ValueError(f"sigma_w: expected a variance of the first layer above {TINY:g}, got {q:g}")
    return q


def is_homogeneous(act: Activation) -> bool:
    """Whether phi is positively homogeneous, and not zero."""
    return act.slopes is not None and any(act.slopes)


class Stretch(NamedTuple):
    """``length`` like layers (infinity: all that follow) in units of their own variances.

    delta' = delta (chi - scale r), and K/q is multiplied by chi - scale g, with r, g of the ``table`` and
    scale = sigma_w^2 q/q'; ``share`` is the branch's part of q', 1 without a skip connection; ``layer`` is
    (chi, scale, share), and ``growth`` = log(q'/q).
    """

    length: float
    table: Table
    layer: tuple[float, float, float]
    growth: float


def stretches(
    act: Activation, q: float, layers: int, *, sigma_b: float, sigma_w: float, skip: bool
) -> Iterator[Stretch]:
    """The next ``layers`` layers from the variance q on, with a ``skip`` connection or without.

    Raises ``RuntimeError`` at a variance that float64 cannot carry, or that the angles are not resolved at.

    >>> from ntk_eoc.activations import NAMED
    >>> [found.length for found in stretches(NAMED["tanh"], 0.5, 3, sigma_b=0.3, sigma_w=1.0, skip=False)]
    [1, 1, 1]
    """
    steps = islice(_steps(act, q, sigma_b, sigma_w, skip), layers)
    for straight, group in groupby(steps, lambda step: step.scales or octave(step.q)):
        some = list(group)
        found = repeat(table(straight, 1.0)) if isinstance(straight, Activation) else tables(act, [at.q for at in some])
        for (length, q, added, after, _), tab in zip(some, found, strict=False):
            kept, share = q / after, (added / after if skip else 1.0)
            chi = kept * (sigma_w**2 * tab.slopes + (1.0 if skip else 0.0))
            yield Stretch(length, tab, (chi, kept * sigma_w**2, share), float(np.log(after / q)))


class Step(NamedTuple):
    """``length`` like layers from the variance ``q``: to ``after``, of which ``added`` is the branch's part; ``scales``
    is the homogeneous phi that acts as this one does there, if there is one."""

    length: float
    q: float
    added: float
    after: float
    scales: Activation | None


def _steps(act: Activation, q: float, sigma_b: float, sigma_w: float, skip: bool) -> Iterator[Step]:
    while True:
        added = float(variance_map(act, jnp.array(q), sigma_b=sigma_b, sigma_w=sigma_w))
        after = added + q if skip else added
        if not TINY < after <= LARGEST**2:
            raise RuntimeError(
                f"layers: the variance of {act.name} leaves the range of float64, from {q:.3g} to {after:.3g}"
            )
        scales = act if is_homogeneous(act) else tails(act) if q > FAR else None
        stays = not skip and abs(after / q - 1.0) <= SETTLED
        forgets = scales and (sigma_b == 0 or (after > q and sigma_b**2 < 1e-17 * q))  # the bias, for good
        yield Step(np.inf if stays or forgets else 1, q, added, q if stays else after, scales)
        if stays or forgets:
            return
        q = after


@lru_cache(maxsize=64)
def tails(act: Activation) -> Activation | None:
    """The homogeneous phi that ``act`` is beyond sqrt(FAR); None where its tails are not straight there, or flat.

    >>> from ntk_eoc.activations import NAMED
    >>> [found and found.slopes for found in map(tails, (NAMED["gelu"], NAMED["tanh"]))]
    [(1.0, 0.0), None]
    """
    x = np.outer([1.0, -1.0], [FAR**0.5, 10 * FAR**0.5])
    (right, again), (left, once_more) = np.asarray(act.phi(jnp.asarray(x))) / x
    if not max(abs(right - again), abs(left - once_more)) <= 1e-12 * max(abs(right), abs(left)):
        return None
    kinks = (0.0,) if right != left else ()
    slopes = (float(right), float(left))
    return Activation(f"tails of {act.name}", lambda x: jnp.where(x > 0, right * x, left * x), kinks, slopes)
