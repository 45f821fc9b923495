"""Tables of layers whose variance is still on its way: many in one octave of it are interpolated from a few.

At a fixed angle a layer is a Gaussian integral over two points of variance q, analytic in log q wherever the imaginary
part of log q is below pi/2. On one octave, N Chebyshev nodes leave about 9^-N of it; and all of a Table but its slopes
is linear in the values that it was made of.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from numpy.polynomial.chebyshev import chebpts1, chebvander

from ntk_eoc.activations import Activation
from ntk_eoc.gaussian import second_moment
from ntk_eoc.tables import Table, panels_of, table, table_on

NODES = 14  # tables in one octave
RESOLVED = 3e-12  # what their last coefficient may hold of a panel's values; the next holds 1/9 of that


def octave(q: float) -> int:
    """The k for which q is in [2^k, 2^(k+1)).

    >>> [octave(q) for q in (0.5, 1.0, 1.9)]
    [-1, 0, 0]
    """
    return math.floor(math.log2(q))


def tables(act: Activation, variances: Sequence[float]) -> Iterator[Table]:
    """The table of each of ``variances``, all of one octave: to rounding the same as its own.

    >>> from ntk_eoc.activations import NAMED
    >>> found = list(tables(NAMED["tanh"], [1.0 + 0.01 * k for k in range(20)]))
    >>> own = table(NAMED["tanh"], 1.1)
    >>> bool(abs(found[10].outer[0, 0, 0] / own.outer[0, 0, 0] - 1.0) < 1e-11)
    True
    """
    series = _series(act, octave(variances[0])) if len(variances) > NODES else None
    for q in variances:
        yield table(act, q) if series is None else _at(series, act, q)


@lru_cache(maxsize=16)
def _series(act: Activation, number: int) -> Table | None:
    """A Table of Chebyshev series in log q over an octave, along the first axis; None if they do not resolve it."""
    edges = panels_of(act, 2.0 ** (number + 1))
    points = np.asarray(chebpts1(NODES), dtype=float)
    nodes = [table_on(edges, act, 2.0 ** float(number + 0.5 * (1.0 + point))) for point in points]
    series = np.linalg.inv(chebvander(points, NODES - 1))
    inner, outer = (np.array([getattr(node, part) for node in nodes]) for part in ("inner", "outer"))
    size = np.abs(outer).max(axis=2).min(axis=0)  # of r and of g on each panel, where they are smallest
    outer, inner = (np.tensordot(series, part, axes=1) for part in (outer, inner))
    if not (np.abs(outer[-1]).max(axis=1) <= RESOLVED * size).all():
        return None
    return Table(edges, outer, inner, math.nan, nodes[0].power)


def _at(series: Table, act: Activation, q: float) -> Table:
    weights = chebvander(2.0 * (math.log2(q) - octave(q)) - 1.0, NODES - 1)[0]
    outer, inner = (np.tensordot(weights, part, axes=1) for part in (series.outer, series.inner))
    return series._replace(outer=outer, inner=inner, slopes=float(second_moment(act, jnp.array(q), 1)))
