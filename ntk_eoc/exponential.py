"""Slope gaps of ELU, SELU and their like, straight on one side of 0 and exponential on the other, by one integral.

With phi'(x) = A e^(bx) for x < 0 and A + J beyond, Q = b^2 q, C = cos(theta/2) and S = sin(theta/2), Price's theorem
gives g(theta) = int_0^theta sin(t) h(t) dt with

    h = A^2 Q I(theta) + A J sqrt(Q/(2 pi)) erfcx(sqrt(Q/2) sin(theta)) + J^2/(2 pi sin(theta)),
    I = (C/pi) int_0^inf exp(-2 Q C^2 (t^2 + 2 S t))/(C^2 + (S + t)^2) dt,

which is E[e^(u + v); u, v < 0] for u, v of variance Q: Owen's integral for a quarter of the plane, with its scale.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import erfcx

from ntk_eoc.activations import Activation, derivative
from ntk_eoc.bends import accumulated
from ntk_eoc.regularity import jump

STEP = 0.125  # of the trapezoidal rule in log t, whose error is exp(-pi^2/(2 STEP)): below rounding
LOGS = np.arange(-38.0, 38.0 + STEP, STEP)  # beyond them is nothing of the integral: exp(-38)
ROUNDING = 1e-13  # how far phi' may be from the formula, relative to its largest
STEPLESS = 1e-9  # and phi at 0 from its limit on the other side


def applies(act: Activation) -> bool:
    """Whether phi is like ELU: continuous, its one kink at 0, exponential on the left and straight on the right.

    >>> from ntk_eoc.activations import NAMED
    >>> [applies(NAMED[name]) for name in ("elu", "selu", "relu", "hard_tanh", "softplus")]
    [True, True, False, False, False]
    """
    return _sides(act) is not None


@lru_cache(maxsize=64)
def _sides(act: Activation) -> tuple[float, float, float] | None:
    """A, b and J of phi' = A exp(b x) left of 0 and A + J right of it; None where phi' is anything else."""
    if act.slopes is not None or set(act.kinks) != {0.0}:
        return None
    x = jnp.outer(jnp.geomspace(1e-3, 100.0, 99), jnp.array([-1.0, 1.0]))
    slopes = np.asarray(derivative(act)(x))
    first, beyond = slopes[0]
    bend = float(derivative(act, 2)(x[0, 0]))
    if not (0 < bend / first < np.inf if first else False):
        return None
    b = bend / first
    a = first * np.exp(-b * float(x[0, 0]))
    expected = np.stack([a * np.exp(b * np.asarray(x[:, 0])), np.full(len(x), beyond)], axis=1)
    largest = np.abs(expected).max()
    same = np.abs(expected - slopes).max() <= ROUNDING * largest and abs(jump(act, 0.0, 0)) <= STEPLESS * largest
    return (float(a), float(b), float(beyond - a)) if same else None


def slope_gaps(
    act: Activation, q: float, s: Float[ndarray, " S"], theta: Float[ndarray, "P T"], edges: Float[ndarray, " P1"]
) -> Float[ndarray, " M"]:
    """g at the nodes of a table, in the order of ``bends.slope_gaps``.

    Raises ``ValueError`` where ``applies`` is False.

    >>> from numpy.polynomial.chebyshev import chebpts1
    >>> from ntk_eoc.activations import NAMED
    >>> from ntk_eoc.gaussian import slope_gap
    >>> s, theta = 0.05 * (1 + chebpts1(12)), np.zeros((0, 24))
    >>> g = slope_gaps(NAMED["selu"], 0.5, s, theta, np.array([2 * np.arcsin(0.1)]))
    >>> bool(np.allclose(g, slope_gap(NAMED["selu"], jnp.array(0.5), jnp.asarray(2 * s * s)), rtol=1e-13))
    True
    """
    if (found := _sides(act)) is None:
        raise ValueError(
            f"activation: expected phi' exponential left of a kink at 0 and constant right, got {act.name}"
        )
    a, b, step = found
    angles = np.concatenate([2 * np.arcsin(s), theta.ravel()])
    smooth = a * a * b * b * q * quarter(b * b * q, angles)
    mixed = a * step * b * np.sqrt(q / (2 * np.pi)) * erfcx(b * np.sqrt(0.5 * q) * np.sin(angles))
    return accumulated(smooth + mixed, s, theta, edges) + step * step * angles / (2 * np.pi)


def quarter(q: float, theta: Float[ndarray, " M"]) -> Float[ndarray, " M"]:
    """E[exp(u + v); u < 0, v < 0] for u, v of variance q at angles theta.

    >>> quarter(1e-30, np.array([0.0, np.pi / 2])).round(12).tolist()  # of the plane itself
    [0.5, 0.25]
    """
    cosine, sine = np.cos(theta / 2)[:, None], np.sin(theta / 2)[:, None]
    unit = 1.0 / (1.0 + np.sqrt(2 * q) * cosine + 4 * q * cosine**2 * sine)  # where the integrand has its bulk
    t = unit * np.exp(LOGS)
    density = np.exp(-2 * q * cosine**2 * t * (t + 2 * sine)) / (cosine**2 + (sine + t) ** 2)
    return STEP / np.pi * cosine[:, 0] * np.sum(t * density, axis=1)
