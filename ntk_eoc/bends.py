"""Slope gaps of a smooth phi that bends near 0 alone, at all angles of a table for the price of one grid.

By Price's theorem the slope gap g is an integral over the covariance r,

    g(delta) = int_0^delta q h dx,    h = E[phi''(u) phi''(v)] at r = q (1 - x).

a = (u + v)/sqrt(2) and b = (u - v)/sqrt(2) are independent, with variances q + r and q - r. So the nodes of a
quadrature in (a, b), and phi'' there, serve every r, whose densities are all that is left: one product of matrices. The
integrand lies where u and v are both near 0, however large q is.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy import ndarray
from numpy.polynomial.chebyshev import chebint, chebpts1, chebvander

from ntk_eoc.activations import Activation, derivative
from ntk_eoc.panels import LEGENDRE, LEGENDRE_WEIGHTS, REACH, SCALE

GONE = 1e-16  # of phi'' at its largest: what may be left of it where the marks end
GRADED = 21  # panels that halve towards 0, where a and b are narrow: pairs of nearly equal or opposite points


@lru_cache(maxsize=64)
def applies(act: Activation) -> bool:
    """Whether phi has no kinks, and does not bend outside of the panels' marks.

    >>> from ntk_eoc.activations import NAMED
    >>> [applies(NAMED[name]) for name in ("tanh", "softplus", "elu", "sin")]
    [True, True, False, False]
    """
    if act.kinks or act.slopes is not None:
        return False
    end = float(SCALE[-1])
    near, far = np.linspace(-end, end, 801), np.outer([-end, end], np.linspace(1.0, 50.0, 99)).ravel()
    inside, outside = (np.abs(np.asarray(derivative(act, 2)(jnp.asarray(x)))) for x in (near, far))
    return bool(0 < inside.max() < np.inf and outside.max() <= GONE * inside.max())


def slope_gaps(act: Activation, q: float, s: ndarray, theta: ndarray, edges: ndarray) -> ndarray:
    """g at the Chebyshev nodes ``s`` (S,) of sin(theta/2) up to the first of the ``edges`` (P + 1,) of the angle's
    panels, then at those nodes ``theta`` (P, T) on the panels.

    >>> from ntk_eoc.activations import NAMED
    >>> from ntk_eoc.gaussian import slope_gap
    >>> s, theta = 0.05 * (1 + chebpts1(12)), np.zeros((0, 24))
    >>> g = slope_gaps(NAMED["tanh"], 0.5, s, theta, np.array([2 * np.arcsin(0.1)]))
    >>> bool(np.allclose(g, slope_gap(NAMED["tanh"], jnp.array(0.5), jnp.asarray(2 * s * s)), rtol=1e-13))
    True
    """
    half = np.concatenate([np.arcsin(s), theta.ravel() / 2])  # near pi its cosine has digits that its sine has not
    return accumulated(q * products(act, q, 2 * np.sin(half) ** 2, 2 * np.cos(half) ** 2), s, theta, edges)


def accumulated(h: ndarray, s: ndarray, theta: ndarray, edges: ndarray) -> ndarray:
    """The integral of sin(t) h(t) dt up to each node, from h there; nodes as for ``slope_gaps``."""
    end = np.sin(edges[0] / 2)
    t, weight = 0.5 + 0.5 * LEGENDRE, 0.5 * LEGENDRE_WEIGHTS
    parts = np.outer(np.append(s, end), t)  # g = s^2 times the mean of h over them: relative accuracy at any s
    between = chebvander(2 * parts / end - 1, s.size - 1) @ _series(h[: s.size])
    first = np.append(s, end) ** 2 * (between @ (4 * t * weight))
    rows = np.sin(theta) * h[s.size :].reshape(theta.shape)
    return np.concatenate([first[:-1], integrals(rows, edges, first[-1]).ravel()])


def integrals(rows: ndarray, edges: ndarray, start: float) -> ndarray:
    """``start`` and the integral up to each Chebyshev node, from values (P, T) there on panels between ``edges``."""
    count = rows.shape[1]
    each = chebint(_series(rows.T), lbnd=-1, axis=0) * 0.5 * np.diff(edges)
    begins = start + np.cumsum([0.0, *each.sum(axis=0)])[:-1]
    return (begins + chebvander(np.asarray(chebpts1(count), dtype=float), count) @ each).T


def _series(values: ndarray) -> ndarray:
    """Chebyshev coefficients in place of values at the nodes, along the first axis."""
    count = len(values)
    return np.linalg.inv(chebvander(np.asarray(chebpts1(count), dtype=float), count - 1)) @ values


def products(act: Activation, q: float, near: ndarray, far: ndarray) -> ndarray:
    """E[phi''(u) phi''(v)] for u, v of variance q; ``near`` = 1 - correlation, ``far`` = 1 + correlation, each (M,)."""
    x, weight = _nodes(q)
    both, weights = np.concatenate([-x[::-1], x]), np.concatenate([weight[::-1], weight])
    table = np.asarray(_grid(act, jnp.asarray(both), jnp.asarray(x)))
    a = weights * _density(both, q * far)
    b = 2.0 * weight * _density(x, q * near)  # the integrand is even in b
    return np.sum((a @ table) * b, axis=1)


def _density(x: ndarray, variance: ndarray) -> ndarray:
    """(M, N): of centred normal variables, one of each variance (M,)."""
    return np.exp(-0.5 * x * x / variance[:, None]) / np.sqrt(2 * np.pi * variance[:, None])


def _nodes(q: float) -> tuple[ndarray, ndarray]:
    """Of a half-line: to the marks' end or REACH standard deviations, whichever is nearer; always as many."""
    spread, marks = np.sqrt(2 * q), np.sqrt(2) * SCALE[SCALE > 0]
    steps = spread * np.linspace(0.0, REACH, 9)
    graded = min(marks[0], steps[1]) * 0.5 ** np.arange(GRADED)
    edges = np.sort(np.minimum(np.concatenate([steps, marks, graded]), min(marks[-1], steps[-1])))
    half = 0.5 * np.diff(edges)[:, None]
    return (0.5 * (edges[1:] + edges[:-1])[:, None] + half * LEGENDRE).ravel(), (half * LEGENDRE_WEIGHTS).ravel()


@partial(jax.jit, static_argnums=0)
def _grid(act: Activation, a: Array, b: Array) -> Array:
    bend = derivative(act, 2)
    return bend((a[:, None] + b) / np.sqrt(2)) * bend((a[:, None] - b) / np.sqrt(2))
