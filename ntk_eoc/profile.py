"""Kernels of inputs of one norm as functions of their angle: any depth for the price of one table and one pass.

Layers see two inputs of equal variance through delta = 1 - correlation alone, so K^L(x, x') is a function of the
angle between x and x'. ``profile`` carries a grid of angles through the layers and keeps, for every depth asked for,
piecewise polynomials in the angle; a Gram matrix then costs one evaluation per pair, whatever the depth and the
activation are. Everything is carried divided by the diagonal K^L(x, x), so that nothing grows with depth:

    ratio = K^L(x, x')/K^L(x, x),    gap = 1 - ratio,    delta = 1 - q^L(x, x')/q^L(x, x).

Each of the three comes from a recursion of its own without cancellation: in a flat kernel (ordered phase) ``gap`` has
its digits however small it is, and in a chaotic one ``ratio`` has.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float64
from numpy import ndarray

from ntk_eoc.activations import Activation
from ntk_eoc.errors import Scalar, check_choice, check_depths, check_positive, check_sigma, deltas, require_x64
from ntk_eoc.kernels import ARCHITECTURES
from ntk_eoc.stretches import TINY, first_variance, stretches
from ntk_eoc.tables import arrays_of, evaluate

DEGREE = 24  # of the polynomial on one panel of angles, plus one
CLOSEST, FARTHEST = 64, 8  # panels of angles halve so often towards 0 and pi
SHARED = 32  # panels of tables are padded to a multiple of it
RESOLVED = 1e-9  # relative error of a polynomial above which a profile is refused

EDGES = np.pi * np.concatenate(
    [[0.0], 0.5 ** np.arange(CLOSEST, 0, -1), 1.0 - 0.5 ** np.arange(2, FARTHEST + 1), [1.0]]
)
Gaps = Float64[ndarray, "*shape"]
Values = Float64[ndarray, "D *shape"]


class Profile(NamedTuple):
    """Kernels over the angle at D ``depths``: logarithms of q^L and of K^L(x, x), (D,), and ``coefficients``
    (3, panels, DEGREE, D) of log(gap/g), log(delta/g) and ratio, with g = 1 - cosine of the inputs; ``odd`` if
    K(x, -x') = -K(x, x')."""

    depths: Float64[ndarray, " D"]
    log_q: Float64[ndarray, " D"]
    log_diagonal: Float64[ndarray, " D"]
    coefficients: Float64[ndarray, "3 P K D"]
    odd: bool


def profile(
    act: Activation,
    depths: Sequence[int] | ndarray,
    *,
    sigma_b: Scalar,
    sigma_w: Scalar,
    q0: Scalar | None = None,
    architecture: str = "ffnn",
) -> Profile:
    """The kernels at increasing ``depths`` for inputs with |x|^2/d = q0; sigmas are standard deviations.

    Without ``q0`` it is the one that puts the first layer at the variance fixed point (1 where every variance is
    one), and one table serves all layers; with another, each layer has its own until the variance has settled.
    ``architecture`` is "ffnn" or "residual", whose variance settles only without bias and with a homogeneous phi.
    Raises ``ValueError`` where there is no such fixed point, ``RuntimeError`` if the angles are not resolved.

    >>> from ntk_eoc.activations import NAMED
    >>> found = profile(NAMED["relu"], [1, 100], sigma_b=0.0, sigma_w=2**0.5)
    >>> (1.0 - ntk_gap(found, np.array([1.0]))).round(4).tolist()
    [[0.0], [0.2727]]
    """
    require_x64()
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w, positive=True)
    check_choice("architecture", architecture, ARCHITECTURES)
    wanted = check_depths(depths)
    q = first_variance(act, sigma_b, sigma_w, None if q0 is None else check_positive("q0", q0))
    theta = 0.5 * (EDGES[1:] + EDGES[:-1])[:, None] + 0.5 * np.diff(EDGES)[:, None] * chebyshev_points()
    odd = sigma_b == 0 and is_odd(act)
    g, first = 2 * np.sin((np.minimum(theta, np.pi / 2) if odd else theta) / 2) ** 2, 1.0 - sigma_b**2 / q
    state = tuple(jnp.asarray(part) for part in (np.sqrt(first * g / 2), first * g, 1 - first * g, 1.0, 0.0))
    # without bias the first layer sees the angle itself, which s = sin(theta/2) does not resolve towards pi
    angle = jnp.asarray(theta if first == 1.0 and not odd else 2 * np.arcsin(np.sqrt(first * g / 2)))
    level, log_q, rows = 1, np.log(q), []
    options = {"sigma_b": sigma_b, "sigma_w": sigma_w, "skip": architecture == "residual"}
    ahead, count = stretches(act, q, int(wanted[-1]) - 1, **options), 0.0
    for depth in wanted:
        while level < depth:
            if not count:
                count, tab, layer, growth = next(ahead)
            steps = int(min(count, depth - level))
            state = _iterate(tab.power, arrays_of(tab, SHARED), layer, state, angle, level == 1, steps)
            level, count, log_q = level + steps, count - steps, log_q + steps * growth
        rows.append((log_q, log_q + float(state[4]), *(np.asarray(part) for part in state[:3])))
    logs_q, logs_k, s, gap, ratio = (np.array(part) for part in zip(*rows, strict=True))
    values = [np.log(np.maximum(gap, TINY) / g), np.log(np.maximum(2 * s * s, TINY) / g), ratio]
    return Profile(wanted.astype(float), logs_q, logs_k, _fit(np.moveaxis(np.array(values), 1, -1)), odd)


def ntk_gap(found: Profile, gaps: Gaps) -> Values:
    """1 - K^L(x, x')/K^L(x, x) at each depth of a profile, for inputs with 1 - cosine ``gaps``; relative accuracy.

    >>> from ntk_eoc.activations import NAMED
    >>> flat = profile(NAMED["tanh"], [200], sigma_b=0.3, sigma_w=1.0)
    >>> np.log10(ntk_gap(flat, np.array([1e-6, 1.0]))[0]).round(2).tolist()
    [-35.04, -29.09]
    """
    return _folded(found, 0, gaps)


def nngp_delta(found: Profile, gaps: Gaps) -> Values:
    """1 - q^L(x, x')/q^L(x, x) at each depth of a profile, for inputs with 1 - cosine ``gaps``; relative accuracy."""
    return _folded(found, 1, gaps)


def ntk_ratio(found: Profile, gaps: Gaps) -> Values:
    """K^L(x, x')/K^L(x, x), accurate relative to the largest ratio at neighbouring angles; exactly 1 at gap 0."""
    return _folded(found, 2, gaps)


def is_odd(act: Activation) -> bool:
    """Whether phi(-x) = -phi(x)."""
    at = jnp.array([0.1, 0.7, 2.3])
    return bool(jnp.all(act.phi(-at) == -act.phi(at)))


@partial(jax.jit, static_argnums=0)
def _iterate(
    power: int, arrays: tuple, layer: tuple, state: tuple, angle: Array, first: bool | Array, count: Scalar
) -> tuple[Array, ...]:
    """``count`` layers on (s, gap, ratio, w, log K/q on the diagonal), with s = sqrt(delta/2), w = q/K(x, x); the
    ``first`` one sees ``angle`` instead of s."""
    chi, scale, share = layer

    def one(level: Array, state: tuple) -> tuple:
        s, gap, ratio, w, log_diagonal = state
        theta = jnp.where(first & (level == 0), angle, 2.0 * jnp.arcsin(jnp.minimum(s, 1.0)))
        r, g = evaluate(power, arrays, s, theta)
        branch = 2 * s * s * (chi - 1.0 + share - scale * r)  # what it adds to delta
        s = s * jnp.sqrt(chi - scale * r)
        growth = chi + share * w  # of K(x, x)/q
        w = w / growth
        gap = (chi * gap + scale * g * (1.0 - gap)) / growth + w * branch
        ratio = (chi - scale * g) * ratio / growth + w * (share - branch)
        return s, gap, ratio, w, log_diagonal + jnp.log(growth)

    return jax.lax.fori_loop(0, count, one, state)


def chebyshev_points() -> ndarray:
    """Where on a panel, as [-1, 1], a profile is computed."""
    return np.asarray(np.polynomial.chebyshev.chebpts1(DEGREE), dtype=float)


def chebyshev_series(values: ndarray, axis: int) -> ndarray:
    """Coefficients in place of values at ``chebyshev_points``."""
    weights = np.polynomial.chebyshev.chebvander(chebyshev_points(), DEGREE - 1).T * (2.0 / DEGREE)
    weights[0] *= 0.5
    return np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis)


def _fit(values: Float64[ndarray, "3 P K D"]) -> Float64[ndarray, "3 P K D"]:
    """Series panel by panel; what their last terms still hold is the error of leaving out the next."""
    coefficients = chebyshev_series(values, axis=2)
    tail = np.abs(coefficients[:, 1:, -2:]).max(axis=2)  # the innermost panel tells no two inputs apart
    size = np.abs(values[2, 1:]).max(axis=1)  # of ratios; the others are logarithms, whose errors are relative
    size[CLOSEST:] = size[CLOSEST - 2 :].max(axis=0)  # obtuse angles, where the ratio may vanish
    worst = float(np.max(tail / np.stack([np.ones_like(size)] * 2 + [np.maximum(size, TINY)])))
    if not worst < RESOLVED:
        raise RuntimeError(f"profile: the kernel is not resolved in the angle, relative error {worst:.1e}")
    return coefficients


def _folded(found: Profile, which: int, gaps: Gaps) -> Values:
    gaps = np.asarray(deltas("gaps", gaps))
    if not found.odd:
        return at_angles(found, which, gaps, _angles(gaps))
    near = np.asarray(np.minimum(gaps, 2.0 - gaps))
    values = at_angles(found, which, near, _angles(near))
    return np.where(gaps > 1.0, (2.0, 2.0, 0.0)[which] - values, values)


def _angles(gaps: Gaps) -> Gaps:
    return np.asarray(2 * np.arcsin(np.sqrt(0.5 * gaps)))


def at_angles(found: Profile, which: int, gaps: Gaps, angles: Gaps) -> Values:
    """``ntk_gap``, ``nngp_delta`` or ``ntk_ratio`` (0, 1, 2) where both 1 - cosine and the angle are known, each with
    its digits: near pi the first has none of the second's."""
    theta = angles.ravel()
    panel = np.searchsorted(EDGES[1:-1], theta)
    values = np.empty((len(found.depths), theta.size))
    for p in np.unique(panel):
        rows = np.flatnonzero(panel == p)
        place = (2 * theta[rows] - EDGES[p] - EDGES[p + 1]) / (EDGES[p + 1] - EDGES[p])
        basis = np.polynomial.chebyshev.chebvander(place, DEGREE - 1)
        values[:, rows] = (basis @ found.coefficients[which, p]).T
    values = values.reshape(len(found.depths), *gaps.shape)
    return np.where(gaps == 0, 1.0, values) if which == 2 else np.exp(values) * gaps
