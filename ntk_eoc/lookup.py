"""A kernel of one depth as a table that any pair of inputs is looked up in, at the same few operations whatever the
depth, the activation or the phase.

Pairs come as their fold (``angles``): s = sin of half the angle to the other row or to its opposite, whichever is
nearer. The floating-point number s names its own panel: its exponent and the first bits of its mantissa. Panels are
finer than the profile's, so that short polynomials do.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_eoc.profile import Profile, at_angles
from ntk_eoc.stretches import TINY

BITS = 4  # of the mantissa: 2^BITS panels in each octave of s
OCTAVES = 56  # from 1 downwards; closer pairs are as good as equal, closer to opposite as good as opposite
TERMS = {"float32": 6, "float64": 9}  # of the polynomial on one panel
RESOLVED = {"float32": 2e-6, "float64": 2e-12}  # what its last term may hold; the next holds 1/33 of that at most
PANELS = OCTAVES << BITS


class Lookup(NamedTuple):
    """q^L and K^L over their diagonals at one depth: ``polynomials`` (2 PANELS, 2 TERMS), of q^L and then of K^L, first
    for acute and then for obtuse angles; the logarithms of what they are divided by at |x|^2/d = q0."""

    polynomials: Float[Array, "P K"]
    log_q: float
    log_diagonal: float
    error: float


def lookup(found: Profile, dtype: str = "float64", rough: float = 0.0) -> Lookup:
    """The table of the last depth of a profile, for results in ``dtype``: ``RuntimeError`` if it does not resolve the
    kernel to the dtype's accuracy, or as well as the relative error ``rough``.

    >>> from ntk_eoc.activations import NAMED
    >>> from ntk_eoc.profile import profile
    >>> relu = lookup(profile(NAMED["relu"], [100], sigma_b=0.0, sigma_w=2**0.5))
    >>> [float(part) for part in look_up(relu.polynomials, jnp.array(1.0))]
    [0.9964, 0.2727]
    """
    s = nodes(dtype)
    near, angle = 2 * s * s, 2 * np.arcsin(s)
    values = np.empty((2, 2, *s.shape))  # acute and obtuse, q and K
    if found.odd:  # the profile of an odd kernel ends at right angles, on a panel of this table
        gaps, angles, sign = np.minimum(near, 2.0 - near), np.minimum(angle, np.pi - angle), np.sign(1.0 - near)
        values[0] = sign * _ratios(found, gaps, angles)
        values[1] = -values[0]
    else:
        values[0], values[1] = _ratios(found, near, angle), _ratios(found, 2.0 - near, np.pi - angle)
    polynomials, last = fit(values)
    # relative to the kernel at angles like these; obtuse ones include those where it may vanish
    size = np.abs(values).reshape(2, 2, OCTAVES, -1).max(axis=-1)
    size[1] = size[1].max(axis=-1, keepdims=True)
    tail = np.where(reached(dtype), last, 0.0).reshape(2, 2, OCTAVES, -1).max(axis=-1)
    worst = float((tail / np.maximum(size, TINY)).max())
    if not worst <= max(RESOLVED[dtype], rough):
        raise RuntimeError(f"lookup: the kernel is not resolved in the angle, relative error {worst:.1e}")
    error = 0.0 if worst <= RESOLVED[dtype] else worst
    return Lookup(jnp.asarray(polynomials, dtype=dtype), float(found.log_q[-1]), float(found.log_diagonal[-1]), error)


def nodes(dtype: str) -> Float[ndarray, "P n"]:
    """The s that a table for ``dtype`` interpolates between, panel by panel, in (0, 1]."""
    panel = np.arange(PANELS)
    # 2^(octave - OCTAVES) (1 + (step + (1 + point)/2)/2^BITS), as ``look_up`` takes it apart
    step = (panel % (1 << BITS))[:, None] + 0.5 * (1.0 + _points(TERMS[dtype]))
    return np.minimum(np.ldexp(1.0 + step / (1 << BITS), (panel >> BITS)[:, None] - OCTAVES), 1.0)


def reached(dtype: str) -> Bool[ndarray, " P"]:
    """The panels that a pair may be looked up in: beyond right angles it is on the other side."""
    return np.asarray(nodes(dtype).min(axis=1) < 0.5**0.5)


def fit(values: Float[ndarray, "2 F P n"]) -> tuple[Float[ndarray, "_ _"], Float[ndarray, "2 F P"]]:
    """The polynomials on each panel of F functions given at the ``nodes``, for acute and for obtuse angles, and the
    size of the last term of each."""
    terms = values.shape[-1]
    points = _points(terms)
    vandermonde = np.polynomial.chebyshev.chebvander(points, terms - 1)
    series = np.einsum("kj,aopj->aopk", np.linalg.inv(vandermonde), values)
    powers = np.linalg.solve(np.vander(points, increasing=True), vandermonde)
    return (series @ powers.T).swapaxes(1, 2).reshape(2 * PANELS, -1), np.abs(series[..., -1])


def _points(terms: int) -> Float[ndarray, " n"]:
    return np.asarray(np.polynomial.chebyshev.chebpts1(terms), dtype=float)


def _ratios(found: Profile, gaps: Float[ndarray, "P n"], angles: Float[ndarray, "P n"]) -> Float[ndarray, "2 P n"]:
    return np.stack([1.0 - at_angles(found, 1, gaps, angles)[-1], at_angles(found, 2, gaps, angles)[-1]])


@jax.jit
def look_up(polynomials: Array, fold: Array) -> tuple[Array, ...]:
    """Each function of a table at each fold, in the dtype of the table and exactly 1 at fold 0: of a ``Lookup``, q^L
    and K^L over their diagonals."""
    s = jnp.maximum(jnp.sqrt(0.5 * jnp.abs(fold.astype(jnp.float64))), 2.0**-OCTAVES)
    bits = jax.lax.bitcast_convert_type(s, jnp.int64)
    place = (bits >> (52 - BITS)).astype(jnp.int32) - ((1023 - OCTAVES) << BITS)
    panel = jnp.where(jnp.signbit(fold), place + PANELS, place)
    rest = bits & ((1 << (52 - BITS)) - 1)  # where on the panel, as the mantissa of a number in [1, 2)
    x = jax.lax.bitcast_convert_type((rest << BITS) | (1023 << 52), jnp.float64)
    x = (2.0 * x - 3.0).astype(polynomials.dtype)
    functions = polynomials.shape[1] // TERMS[str(polynomials.dtype)]
    return tuple(_value(polynomials, panel, x, which, fold) for which in range(functions))


def _value(polynomials: Array, panel: Array, x: Array, which: int, fold: Array) -> Array:
    terms = TERMS[str(polynomials.dtype)]
    total = jnp.zeros_like(x)
    for k in range(terms - 1, -1, -1):
        total = total * x + polynomials.at[panel, which * terms + k].get(mode="promise_in_bounds")
    return jnp.where((fold == 0) & ~jnp.signbit(fold), 1.0, total)
