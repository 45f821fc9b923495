"""The kernel as a function of one number, at any depth: a table of one layer, then a scan.

At a variance fixed point (and for a positively homogeneous phi with sigma_b = 0 at any variance) one layer sees two
inputs through delta = 1 - c alone.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntk_eoc.errors import Scalar
from ntk_eoc.tables import Table as Table
from ntk_eoc.tables import arrays_of, evaluate
from ntk_eoc.tables import look_up as look_up
from ntk_eoc.tables import table as table

ON_THE_EDGE = 1e-12  # |chi - 1| up to which a scan is run at chi = 1 exactly


class Layer(NamedTuple):
    """One layer at a fixed correlation geometry, in units of the current variance q^l:

    delta' = delta (chi - scale r),  kappa' = (chi - scale g) kappa + share - delta' + (1 - share) delta,

    with kappa = K/q. A dense layer at a variance fixed point has scale = sigma_w^2, share = 1. A homogeneous phi
    without bias is brought to chi = 1 by dividing by the growth of q per layer, exp(``log_growth``); with a
    residual connection share = s/(1 + s), the branch's part of the variance, s = sigma_w^2 E[phi'^2].
    """

    chi: float
    scale: float
    share: float
    log_growth: float


def homogeneous_layer(tab: Table, sigma_w: Scalar, architecture: str = "ffnn") -> Layer:
    """The Layer of a positively homogeneous phi without bias, in units of its own variance, where chi = 1.

    A residual branch takes the share s/(1 + s) of the next variance, and damps what one layer does by as much.

    >>> from ntk_eoc.activations import NAMED
    >>> layer = homogeneous_layer(table(NAMED["relu"], 1.0), 2**0.5, "residual")
    >>> round(layer.share, 12), round(layer.log_growth / float(np.log(2)), 12)
    (0.5, 1.0)
    """
    slope = float(sigma_w) ** 2 * tab.slopes
    slope = 1.0 if abs(slope - 1.0) <= ON_THE_EDGE else slope
    growth = 1.0 + slope if architecture == "residual" else slope
    share = slope / growth if architecture == "residual" else 1.0
    return Layer(1.0, float(sigma_w) ** 2 / growth, share, float(np.log(growth)))


class DepthScan(NamedTuple):
    """Kernels of one pair of inputs at some depths L, each an array like ``depth``.

    ``delta`` = 1 - correlation of the outputs; ``kappa`` = K^L/q^L; ``deviation`` = what is left of kappa after its
    limiting behaviour, without cancellation: kappa - limit * share * L on the Edge of Chaos, kappa - 1/(1 - chi)
    in the ordered phase, kappa in the chaotic phase; ``log_scale`` = log(q^L/q^1).
    """

    depth: np.ndarray
    delta: np.ndarray
    kappa: np.ndarray
    deviation: np.ndarray
    log_scale: np.ndarray


def eoc_limit(tab: Table) -> float:
    """lim K^L/(L q) off the diagonal, on the Edge of Chaos: 1/4 where phi has a kink, 1/3 where it has none (0 for
    a linear phi, whose correlations never move and for which there is no common limit)."""
    return {1: 0.25, 2: 1.0 / 3.0, 3: 0.0}[tab.power]


def depth_scan(
    tab: Table, layer: Layer, delta: Scalar, depths: np.ndarray, *, start: int = 1, kappa: Scalar | None = None
) -> DepthScan:
    """Iterate one pair from layer ``start``, where 1 - correlation is ``delta``, to each of the sorted ``depths``.

    ``kappa`` is K/q there, 1 - delta by default (the first layer's). Cost: less than a microsecond a layer, and once
    the inputs are close (delta below about 1e-3) less than a tenth of that. delta is carried as s = sqrt(delta/2) and
    both carried sums are compensated, so the rounding of 10^7 steps does not add up.

    >>> from ntk_eoc.activations import NAMED
    >>> tab = table(NAMED["relu"], 1.0)
    >>> scan = depth_scan(tab, Layer(1.0, 2.0, 1.0, 0.0), 1.0, np.array([1, 2]))
    >>> round(float(scan.kappa[1]), 12) == round(1 / np.pi, 12)
    True
    """
    depths = np.asarray(depths, dtype=np.int64)
    constant, slope = _line(tab, layer)
    first = 1.0 - delta if kappa is None else kappa
    state = (np.sqrt(0.5 * delta), 0.0, first - constant - slope * start, 0.0, float(start))
    # what the source and the reference line leave over where delta = 0: nothing in the ordered phase
    left_over = layer.share - slope if layer.chi >= 1.0 else 0.0
    scalars = (layer.chi, layer.scale, layer.share, constant, slope, left_over)
    steps = jnp.asarray(np.diff(np.concatenate([[start], depths])))
    s, rest = (np.asarray(a) for a in _scan(tab.power, arrays_of(tab), scalars, state, steps))
    return DepthScan(depths, 2 * s * s, constant + slope * depths + rest, rest, layer.log_growth * (depths - 1.0))


def _line(tab: Table, layer: Layer) -> tuple[float, float]:
    """(constant, slope) of the straight line in L that kappa is compared with."""
    if layer.chi == 1.0:
        return 0.0, eoc_limit(tab) * layer.share
    return (1.0 / (1.0 - layer.chi), 0.0) if layer.chi < 1.0 else (0.0, 0.0)


@partial(jax.jit, static_argnums=0)
def _scan(power: int, arrays: tuple, scalars: tuple, state: tuple, steps: Array) -> tuple[Array, Array]:
    chi, scale, share, constant, slope, left_over = scalars
    innermost = jnp.sin(arrays[0][0] / 2)

    def one(state: tuple, inside: bool) -> tuple:
        s, s_low, rest, rest_low, level = state
        r, g = evaluate(power, arrays, s, inside=inside)
        turn = chi - 1.0 - scale * r
        new_s, s_low = compensated(s, s_low, s * turn / (1.0 + jnp.sqrt(1.0 + turn)))
        drift = left_over - 2 * new_s * new_s + (1.0 - share) * 2 * s * s - scale * g * (constant + slope * level)
        rest, rest_low = compensated(rest, rest_low, drift + (chi - 1.0 - scale * g) * rest)
        return new_s, s_low, rest, rest_low, level + 1.0

    def segment(state: tuple, count: Array) -> tuple[tuple, tuple[Array, Array]]:
        # outside the innermost panel first; with chi <= 1 delta only falls, so that panel is never left again
        done, state = jax.lax.while_loop(
            lambda at: (at[0] < count) & ((chi > 1.0) | (at[1][0] > innermost)),
            lambda at: (at[0] + 1, one(at[1], False)),
            (jnp.zeros_like(count), state),
        )
        state = jax.lax.fori_loop(done, count, lambda _, state: one(state, True), state)
        return state, (state[0], state[2])

    state = tuple(jnp.asarray(part, dtype=float) for part in state)
    return jax.lax.scan(segment, state, steps)[1]


def compensated(high: Array, low: Array, term: Array) -> tuple[Array, Array]:
    """Compensated summation: high + low + term, with the rounding error carried in the new low."""
    term = term + low
    total = high + term
    return total, term - (total - high)
