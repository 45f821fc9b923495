"""The laws of Propositions 2 and 3 in closed form: limit, rate and coefficient of the normalised NTK at large depth.

On the Edge of Chaos K^L(x, x')/(L q) tends to a limit that only the roughness of phi decides, and the next term is

    kink in phi (phi' jumps):      1/4 + (3/8 + B/(2 A^2)) log(L)/L,
    kink in phi' (phi'' jumps):    1/3 - (8/75) (beta/a) sqrt(2/a) L^(-1/2),
    smoother:                      1/3 + (1/3 - 2 b/(9 a^2)) log(L)/L,

where 1 - f(1 - delta) = delta - A delta^(3/2) - B delta^2 + ..., a = f''(1), b = f'''(1) and beta is the weight of the
delta^(3/2) term of f'. They follow from iterating the correlation map near its fixed point c = 1 and inserting the
orbit in K' = q f(c) + f'(c) K; the chapter on the logarithm derives them.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp

from ntk_eoc.activations import Activation
from ntk_eoc.errors import Scalar, check_choice, check_positive, check_sigma, require_x64
from ntk_eoc.gaussian import second_moment
from ntk_eoc.kernels import ARCHITECTURES
from ntk_eoc.meanfield import ON_THE_EDGE, EocPoint, chi, eoc_points
from ntk_eoc.regularity import NAMES, check_continuous, first_kink, jump, one_sided, warn_of_missing_kinks


class Law(NamedTuple):
    """K^L/(L q) = limit + coefficient * rate(L) + smaller terms, off the diagonal, at the EOC ``point``.

    With a residual connection L q stands for the growth of the diagonal K^L(x, x).
    """

    point: EocPoint
    regularity: str
    limit: float
    rate: str
    coefficient: float


def kink_terms(act: Activation, q: Scalar, sigma_w: Scalar) -> tuple[float, float]:
    """(A, B) of delta' = delta - A delta^(3/2) - B delta^2 + ... for an activation with kinks in phi.

    A = (2/3) sigma_w^2 sqrt(q/pi) sum_k J_k^2 p(k) and
    B = (1/2) sigma_w^2 q (E[phi''^2] + sum_k J_k (phi''(k+) + phi''(k-)) p(k)), with J_k the jump of phi' at the kink
    k and p the density of N(0, q). A ReLU-like phi has B = 0.

    >>> from ntk_eoc.activations import NAMED
    >>> A, B = kink_terms(NAMED["relu"], 1.0, 2**0.5)
    >>> round(A, 6), B
    (0.300105, 0.0)
    """
    q, sigma_w = check_positive("q", q), check_sigma("sigma_w", sigma_w)
    jumps = [(jump(act, kink, 1), sum(one_sided(act, kink, 2)), _density(kink, q)) for kink in act.kinks]
    curvature = float(second_moment(act, jnp.array(q), 2)) + sum(j * bend * p for j, bend, p in jumps)
    spread = sum(j * j * p for j, _, p in jumps)
    return 2 / 3 * sigma_w**2 * math.sqrt(q / math.pi) * spread, 0.5 * sigma_w**2 * q * curvature


def curvature_terms(act: Activation, q: Scalar, sigma_w: Scalar) -> tuple[float, float]:
    """(a, beta) of f'(1) - f'(1 - delta) = a delta - (2/3) beta delta^(3/2) + ... for a phi whose phi'' may jump.

    a = sigma_w^2 q E[phi''^2] = f''(1), beta = sigma_w^2 q^(3/2) sum_k J_k^2 p(k)/sqrt(pi), J_k the jump of phi''.

    >>> from ntk_eoc.activations import NAMED
    >>> curvature_terms(NAMED["tanh"], 0.5, 1.3)[1]
    0.0
    """
    q, sigma_w = check_positive("q", q), check_sigma("sigma_w", sigma_w)
    a = sigma_w**2 * q * float(second_moment(act, jnp.array(q), 2))
    spread = sum((jump(act, kink, 2) ** 2 * _density(kink, q) for kink in act.kinks), 0.0)
    return a, sigma_w**2 * q**1.5 * spread / math.sqrt(math.pi)


def _density(x: float, q: float) -> float:
    return math.exp(-x * x / (2 * q)) / math.sqrt(2 * math.pi * q)


def coefficient(act: Activation, q: Scalar, sigma_w: Scalar) -> tuple[float, str, float]:
    """(limit, rate, coefficient) of the law at an EOC point with variance q; any q > 0 for a ReLU-like phi.

    >>> from ntk_eoc.activations import NAMED
    >>> coefficient(NAMED["relu"], 1.0, 2**0.5)
    (0.25, 'log(L)/L', 0.375)
    """
    q, sigma_w, order = check_positive("q", q), check_sigma("sigma_w", sigma_w, positive=True), first_kink(act)
    elsewhere = ValueError(f"sigma_w: expected a point of the Edge of Chaos, got {sigma_w:g} at variance {q:g}")
    if order == 1:
        A, B = kink_terms(act, q, sigma_w)
        if A < 1e-100:
            raise elsewhere
        return 0.25, "log(L)/L", 3 / 8 + B / (2 * A * A)
    a, beta = curvature_terms(act, q, sigma_w)
    if a <= 1e-14 * float(chi(act, jnp.array(q), sigma_w=sigma_w)):
        still = "its correlations never move, and there is no common law"
        raise ValueError(f"activation: {act.name} is linear at variance {q:g}, {still}")
    if a < 1e-100:
        raise elsewhere
    if order == 2:
        return 1 / 3, "L^(-1/2)", -8 / 75 * (beta / a) * math.sqrt(2 / a)
    third = sigma_w**2 * q**2 * float(second_moment(act, jnp.array(q), 3))
    return 1 / 3, "log(L)/L", (1 - 2 * third / (3 * a * a)) / 3


def law(act: Activation, *, sigma_b: Scalar, sigma_w: Scalar | None = None, architecture: str = "ffnn") -> Law:
    """The law of the normalised NTK on the Edge of Chaos at ``sigma_b`` (Propositions 2 and 3), standard deviations.

    Where one sigma_b has several EOC points: the one at ``sigma_w`` if given, else the first whose variance fixed
    point attracts, else the first. ``architecture="residual"``: positively homogeneous phi with sigma_b = 0, any
    sigma_w. Warns of declared kinks that phi does not have. Raises ``ValueError`` where there is no EOC point with a
    positive variance, off the EOC, for a linear phi, and for residual networks without such a law.

    >>> from ntk_eoc.activations import NAMED
    >>> round(law(NAMED["tanh"], sigma_b=0.2).coefficient, 5)
    -1.33008
    """
    require_x64()
    sigma_b = check_sigma("sigma_b", sigma_b)
    check_choice("architecture", architecture, ARCHITECTURES)
    check_continuous(act)
    warn_of_missing_kinks(act)
    if architecture == "residual":
        point = _residual_point(act, sigma_b, sigma_w)
    else:
        point = _choose(act, eoc_points(act, sigma_b), sigma_b, sigma_w)
    limit, rate, value = coefficient(act, 1.0 if point.q is None else point.q, point.sigma_w)
    return Law(point, NAMES[first_kink(act)], limit, rate, value)


def _choose(act: Activation, points: list[EocPoint], sigma_b: Scalar, sigma_w: Scalar | None) -> EocPoint:
    usable = [point for point in points if point.q is None or point.q > 0]
    if not usable:
        why = "only the degenerate one with variance 0" if points else "there is none"
        raise ValueError(
            f"sigma_b: expected a value at which {act.name} has an Edge-of-Chaos point with positive variance, "
            f"got {sigma_b:g}, where {why}"
        )
    if sigma_w is None:
        return next((point for point in usable if point.stable), usable[0])
    sigma_w = check_sigma("sigma_w", sigma_w)
    for point in usable:
        if abs((sigma_w / point.sigma_w) ** 2 - 1.0) <= ON_THE_EDGE:
            return point
    places = ", ".join(f"{point.sigma_w:.12g}" for point in usable)
    raise ValueError(
        f"sigma_w: expected a point of the Edge of Chaos ({places} at sigma_b = {sigma_b:g}), got {sigma_w:.12g}"
    )


def _residual_point(act: Activation, sigma_b: Scalar, sigma_w: Scalar | None) -> EocPoint:
    if act.slopes is None or sigma_b > 0:
        raise ValueError(
            "architecture: residual networks have a law for positively homogeneous activations with sigma_b = 0 only; "
            f"got {act.name} with sigma_b = {sigma_b:g}"
        )
    sigma_w = math.sqrt(2.0) if sigma_w is None else check_sigma("sigma_w", sigma_w, positive=True)
    growth = 1.0 + float(chi(act, jnp.array(1.0), sigma_w=sigma_w))  # of the variance and of the gradient alike
    return EocPoint(sigma_w, None, growth, growth, False)
