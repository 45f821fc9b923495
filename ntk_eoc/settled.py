"""What layers do to pairs of one variance that stays where it is, as functions of where their correlation was.

All such layers share a table, and with kappa = K/q they are (``zonal.Layer``)

    delta' = delta (chi - scale r),    kappa' = (chi - scale g) kappa + 1 - delta'.

Carried are 1 - correlation from every node of ``lookup``, what has been added to kappa there, and what has been kept
of it: any pair is then looked up once, however many the layers were.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from numpy import ndarray

from ntk_eoc.errors import Scalar
from ntk_eoc.lookup import BITS, OCTAVES, fit, nodes, reached
from ntk_eoc.stretches import TINY
from ntk_eoc.tables import Table, arrays_of, evaluate

SHARED = 32  # panels of tables are padded to a multiple of it
ROWS = 512  # layers in one go
LEAST = 2.0**-27  # of s = sin(theta/2): closer pairs have a correlation of 1 in float64
CLOSE = (OCTAVES - 28) << BITS  # panels of ``lookup`` that are for closer ones
ROUNDING = 4.4e-16  # of one layer


class Walk(NamedTuple):
    """Layers that have been gone through: s = sqrt(delta/2) from every node (sides, P, n), what was ``added`` to kappa
    and ``kept`` of it, the angles before the first layer; s of the ``closest`` pairs (K,); how many layers."""

    s: Array
    added: Array
    kept: Array
    angle: Array
    closest: Array
    level: Scalar


class Functions(NamedTuple):
    """c, what is added and what is kept, as ``polynomials`` of ``lookup`` in units of ``scales`` (3,), their values at
    c = 1; and how far they are ``unresolved`` (3,)."""

    polynomials: Array
    scales: ndarray
    unresolved: ndarray


def begin(dtype: str, reach: Array, odd: bool) -> Walk:
    """Before any layer, for results in ``dtype`` and pairs with |c| up to ``reach`` (K,); of an ``odd`` network without
    a bias acute angles are all there is to know."""
    s = nodes(dtype)[CLOSE:]
    angle = 2 * np.arcsin(s)
    sides = np.stack([angle] if odd else [angle, np.pi - angle])
    s = np.stack([s] if odd else [s, np.sqrt(1.0 - s * s)])
    closest = jnp.maximum(jnp.sqrt(0.5 * (1.0 - jnp.asarray(reach, float))), LEAST)
    return Walk(jnp.asarray(s), jnp.zeros(s.shape), jnp.ones(s.shape), jnp.asarray(sides), closest, 0)


def walk(at: Walk, tab: Table, sigma_w: Scalar, count: int) -> tuple[Walk, Float[ndarray, "L K 7"]]:
    """``count`` dense layers more, and the tails of each as in ``hermite.within``.

    >>> from ntk_eoc.activations import NAMED
    >>> from ntk_eoc.tables import table
    >>> found, tails = walk(begin("float32", jnp.array([0.5]), True), table(NAMED["erf"], 0.5), 1.0, 3)
    >>> int(found.level), tails.shape
    (3, (3, 1, 7))
    """
    rows, scale = [np.zeros((0, at.closest.size, 7))], float(sigma_w) ** 2
    while count:
        steps = min(count, ROWS)
        at, each = _iterate(tab.power, arrays_of(tab, SHARED), (scale * tab.slopes, scale), at, steps)
        rows.append(np.asarray(each)[:steps])
        count -= steps
    return at, np.concatenate(rows)


@partial(jax.jit, static_argnums=0)
def _iterate(power: int, arrays: tuple, layer: tuple, at: Walk, count: Scalar) -> tuple[Walk, Array]:
    chi, scale = layer

    def gap(s: Array) -> Array:
        return evaluate(power, arrays, s)[1]

    def one(step: Array, both: tuple[Walk, Array]) -> tuple[Walk, Array]:
        at, rows = both
        theta = jnp.where(at.level == 0, at.angle, 2.0 * jnp.arcsin(jnp.minimum(at.s, 1.0)))
        r, g = evaluate(power, arrays, at.s, theta)
        s, slope = at.s * jnp.sqrt(chi - scale * r), chi - scale * g
        found = at._replace(s=s, added=slope * at.added + 1.0 - 2 * s * s, kept=slope * at.kept, level=at.level + 1)
        # the pairs that are closest: what f' and f'' are there, with f'' = scale dg/d(delta)
        (g, turn), r = jax.vmap(jax.value_and_grad(gap))(at.closest), evaluate(power, arrays, at.closest)[0]
        each = 0.0, 0.0, chi - scale * g, scale * turn / (4.0 * at.closest), chi, 1.0, ROUNDING
        tails = jnp.stack(jnp.broadcast_arrays(*each), axis=-1)
        apart = at.closest**2 * (chi - scale * r) - 0.5 * ROUNDING
        return found._replace(closest=jnp.sqrt(jnp.maximum(apart, LEAST**2))), rows.at[step].set(tails)

    return jax.lax.fori_loop(0, count, one, (at, jnp.zeros((ROWS, at.closest.size, 7))))


def functions(at: Walk, dtype: str) -> Functions:
    """What became of pairs since ``begin``, to be looked up."""
    parts = np.stack([np.asarray(part) for part in (1.0 - 2.0 * at.s**2, at.added, at.kept)], axis=1)
    values = parts if len(parts) == 2 else np.concatenate([parts, parts * np.array([-1.0, -1.0, 1.0])[:, None, None]])
    equal = np.repeat(values[:, :, :1, :1], CLOSE, axis=2)
    values = np.concatenate([np.broadcast_to(equal, (*equal.shape[:3], values.shape[3])), values], axis=2)
    scales = np.maximum(values[0, :, 0, 0], TINY)
    polynomials, last = fit(values / scales[:, None, None])
    return Functions(jnp.asarray(polynomials, dtype), scales, scales * last[..., reached(dtype)].max(axis=(0, 2)))
