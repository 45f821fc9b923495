"""Composite Gauss-Legendre panels for Gaussian integrals: where they are split, their nodes and weights."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

REACH, NODES = 10.0, 16  # cut at 10 standard deviations, where the density is exp(-50); nodes per panel
# Where an activation of unit scale changes, in its own argument: dense near 0, where tanh and its kin turn. No panel is
# wider than 2, or than half its distance from 0.
_RIGHT = np.array([2, 4, 6, 9, 13, 19, 28, 40])
SCALE = np.array([*-_RIGHT[::-1], 0, *_RIGHT])
TAIL = np.outer(SCALE[[0, -1]], 2.0 ** np.arange(1, 13)).ravel()  # and where one with an algebraic tail does: doubling
EVEN = (8, 12, 16, 24, 32)  # panels for variances up to 1, 2, 4, 8 and 16

LEGENDRE, LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(NODES)


def even(panels: int) -> np.ndarray:
    """Ends of so many even panels."""
    return np.linspace(-REACH, REACH, panels + 1)


STEPS = even(8)  # what the Gaussian itself needs


# Called outside of a compiled function, every line of these would be a program of its own: 0.1 s each to compile.
@partial(jax.jit, static_argnums=1)
def normal_rule(breaks: Array, halved: bool = False) -> tuple[Array, Array]:
    """Nodes and standard-normal weights of the composite rule on the sorted ``breaks`` (zero-width panels weigh 0)."""
    edges = jnp.sort(jnp.clip(breaks, -REACH, REACH))
    if halved:
        edges = jnp.sort(jnp.concatenate([edges, 0.5 * (edges[1:] + edges[:-1])]))
    half, middle = 0.5 * jnp.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    z = (middle[:, None] + half[:, None] * LEGENDRE).ravel()
    weight = (half[:, None] * LEGENDRE_WEIGHTS).ravel()
    return z, weight * jnp.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


class Rule(NamedTuple):
    """Which panels a pair needs: ends for the Gaussian, marks for the activation, and whether points come close.

    ``half`` names the axis, x or y, that the exchange of both points mirrors: one half of it is enough.
    """

    steps: tuple[float, ...]
    marks: tuple[float, ...]
    close: bool
    half: str = ""


def choose_rule(variances: tuple[Array, ...], delta: Array) -> Rule:
    """The cheapest panels that keep all digits, from the values where they are known (not under ``jit``).

    Up to variance 16 even panels no wider than 2.5 units of the activation do, as many for all of an octave;
    differences of values at points a fraction 1e-2 apart are good to 14 digits as they are. One variance belongs to
    both points of a pair: what is symmetric in them is so in y where correlations are positive, in x elsewhere.
    """
    known = not any(isinstance(a, jax.core.Tracer) for a in (*variances, delta)) and delta.size > 0
    largest = max(float(np.asarray(q).max()) for q in variances) if known else np.inf
    gaps, half = np.asarray(delta) if known else np.zeros(1), ""  # what is not known may be close
    if known and len(variances) == 1:
        half = "y" if (gaps <= 1.0).all() else "x" if (gaps > 1.0).all() else ""
    close = bool((gaps < 1e-4).any())
    if not largest <= 16.0:  # or no number any more
        return Rule(tuple(STEPS), tuple(SCALE), close, half)
    return Rule(tuple(even(EVEN[math.ceil(math.log2(max(largest, 1.0)))])), (), close, half)
