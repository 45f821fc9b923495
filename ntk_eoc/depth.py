"""The depth engine: kernels of one pair of inputs at any depths up to 10^7 and beyond.

Layer by layer until the variance has reached its fixed point, then one table and one scan (``zonal``); a positively
homogeneous activation without bias needs no first stretch, because its variance only sets the scale.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntk_eoc import zonal
from ntk_eoc.activations import Activation
from ntk_eoc.closed_forms import closed_form
from ntk_eoc.errors import (
    Scalar,
    check_choice,
    check_cosine,
    check_depths,
    check_gap,
    check_positive,
    check_sigma,
    require_x64,
)
from ntk_eoc.kernels import ARCHITECTURES, State, first_state, layer_by_layer
from ntk_eoc.meanfield import chi, limit_variance, variance_map
from ntk_eoc.stretches import is_homogeneous

SLOW = 20_000  # layers that are computed one by one where an activation has no closed form
LARGEST = 700.0  # of the logarithm of a kernel in float64


class DepthKernels(NamedTuple):
    """Kernels of one pair of inputs of equal norms, arrays over the depths asked for.

    ``q`` = q^L(x, x); ``delta`` = 1 - correlation, so q^L(x, x') = q (1 - delta); ``ntk`` = K^L(x, x');
    ``ntk_diagonal`` = K^L(x, x); ``deviation`` = what is left of K^L(x, x')/q^L without its limiting behaviour,
    see ``zonal.DepthScan``, NaN at depths before the variance has settled.
    """

    q: np.ndarray
    delta: np.ndarray
    ntk: np.ndarray
    ntk_diagonal: np.ndarray
    deviation: np.ndarray


def depth_kernels(
    act: Activation,
    cosine: Scalar,
    depths: Sequence[int] | np.ndarray,
    *,
    sigma_b: Scalar,
    sigma_w: Scalar,
    q0: Scalar = 1.0,
    architecture: str = "ffnn",
    gap: Scalar | None = None,
) -> DepthKernels:
    """K^L, q^L and delta^L at increasing ``depths`` L for two inputs with |x|^2/d = q0 and the given cosine.

    ``gap`` = 1 - cosine can be given in place of the cosine, for inputs closer than a cosine can tell. sigmas are
    standard deviations. Raises ``ValueError`` where float64 cannot carry the kernel, with the largest depth it can.

    >>> from ntk_eoc.activations import NAMED
    >>> found = depth_kernels(NAMED["relu"], 0.0, [1, 10, 100], sigma_b=0.0, sigma_w=2**0.5)
    >>> [round(float(k / d), 4) for k, d in zip(found.ntk, found.ntk_diagonal)]
    [0.0, 0.3156, 0.2727]
    """
    require_x64()
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w)
    q0, cosine = check_positive("q0", q0), check_cosine(cosine)
    check_choice("architecture", architecture, ARCHITECTURES)
    wanted = check_depths(depths)
    gap = 1.0 - cosine if gap is None else check_gap(gap)
    norm = jnp.array([q0])
    first = first_state(norm, norm, jnp.array([gap]), sigma_b=sigma_b, sigma_w=sigma_w)
    # a square of tiny inputs may be 0
    if is_homogeneous(act) and sigma_b == 0 and sigma_w > 0 and float(first.q1[0]) > 0:
        return _homogeneous(act, first, wanted, sigma_w, architecture)
    q = limit_variance(act, sigma_b=sigma_b, sigma_w=sigma_w, q0=q0) if architecture == "ffnn" else np.inf
    settled = _layers_to_settle(act, float(first.q1[0]), q, sigma_b, sigma_w)
    if settled is None or settled >= wanted[-1]:
        return _plain(act, first, wanted.tolist(), sigma_b, sigma_w, architecture)
    early = wanted[wanted < settled].tolist()
    head = _plain(act, first, [*early, settled], sigma_b, sigma_w, architecture)
    tab = zonal.table(act, q)
    slope = sigma_w**2 * tab.slopes
    layer = zonal.Layer(1.0 if abs(slope - 1.0) <= zonal.ON_THE_EDGE else slope, sigma_w**2, 1.0, 0.0)
    tail = _with_diagonal(tab, layer, head, q, settled, wanted[wanted >= settled])
    return DepthKernels(*(np.concatenate([a[: len(early)], b]) for a, b in zip(head, tail, strict=True)))


def _homogeneous(act: Activation, first: State, depths: np.ndarray, sigma_w: Scalar, architecture: str) -> DepthKernels:
    """q^l = q^1 growth^(l-1): scanned in units of q^l, where chi = 1 whatever sigma_w is."""
    tab = zonal.table(act, 1.0)
    layer = zonal.homogeneous_layer(tab, sigma_w, architecture)
    q1 = float(first.q1[0])
    _check_range(np.log(q1), layer.log_growth, int(depths[-1]))
    start = DepthKernels(*(np.array([a]) for a in (q1, first.delta[0], first.ntk[0], q1, np.nan)))
    return _with_diagonal(tab, layer, start, q1, 1, depths)


def _with_diagonal(
    tab: zonal.Table, layer: zonal.Layer, head: DepthKernels, q: float, start: int, depths: np.ndarray
) -> DepthKernels:
    """The scan from layer ``start``, whose kernels end ``head``; the diagonal (delta = 0) in closed form."""
    delta, kappa, first = float(head.delta[-1]), float(head.ntk[-1]) / q, float(head.ntk_diagonal[-1]) / q
    scan = zonal.depth_scan(tab, layer, delta, depths, start=start, kappa=kappa)
    more = depths - start
    if layer.chi == 1.0:
        diagonal = first + layer.share * more
    else:  # a geometric sum, without dividing a difference by chi - 1 where chi is close to 1
        log = np.log(max(layer.chi, 1e-300))  # no weights: chi = 0
        _check_range(np.log(q * max(first, 1.0)), max(log, 0.0), int(depths[-1]))
        diagonal = np.exp(more * log) * first + np.expm1(more * log) / np.expm1(log)
    scale = q * np.exp(layer.log_growth * more)
    return DepthKernels(scale, scan.delta, scale * scan.kappa, scale * diagonal, scan.deviation)


def _check_range(log_start: float, log_growth: float, depth: int) -> None:
    if abs(log_start + log_growth * depth) > LARGEST:
        bound = int((LARGEST - abs(log_start)) / abs(log_growth))
        raise ValueError(
            f"depth: the kernel leaves the range of float64; expected at most {bound} layers here, got {depth}"
        )


def _layers_to_settle(act: Activation, q: float, limit: float, sigma_b: Scalar, sigma_w: Scalar) -> int | None:
    """The first layer at which the variance equals its limit to rounding; None if it never does."""
    if not np.isfinite(limit) or limit == 0.0:
        return None
    for level in range(1, SLOW):
        if abs(q / limit - 1.0) < 4e-16 * (1 + level / 50):
            return level
        q = float(_next_variance(act, jnp.array(q), sigma_b, sigma_w))
    return None


@partial(jax.jit, static_argnums=0)
def _next_variance(act: Activation, q: Array, sigma_b: Scalar, sigma_w: Scalar) -> Array:
    return variance_map(act, q, sigma_b=sigma_b, sigma_w=sigma_w)


def _plain(
    act: Activation,
    first: State,
    depths: Sequence[int],
    sigma_b: Scalar,
    sigma_w: Scalar,
    architecture: str,
) -> DepthKernels:
    if closed_form(act) is None and depths[-1] > SLOW:
        raise ValueError(
            f"depth: {act.name} at these sigmas has no variance fixed point that the inputs reach, and layers are "
            f"computed one by one; expected at most {SLOW} layers, got {depths[-1]}"
        )
    diagonal = np.array(_diagonal(act, first.q1[0], depths, sigma_b, sigma_w, architecture))
    if not np.isfinite(diagonal).all():  # one-dimensional and quick: known before any pair is computed
        last = max((int(d) for d, k in zip(depths, diagonal, strict=True) if np.isfinite(k)), default=0)
        raise ValueError(f"depth: the kernel leaves the range of float64 between depth {last} and {depths[-1]}")
    states = layer_by_layer(act, first, depths, sigma_b=sigma_b, sigma_w=sigma_w, architecture=architecture)
    fields = [[s.q1[0] for s in states], [s.delta[0] for s in states], [s.ntk[0] for s in states]]
    return DepthKernels(*(np.array(f, dtype=float) for f in (*fields, diagonal, [np.nan] * len(states))))


def _diagonal(
    act: Activation, q: Array, depths: Sequence[int], sigma_b: Scalar, sigma_w: Scalar, architecture: str
) -> list[float]:
    """K^l(x, x) at increasing depths: K^l = q^l + chi(q^{l-1}) K^{l-1}; with a skip connection as in ``next_state``."""
    found, ntk = [], q
    for count in np.diff([1, *depths]):
        q, ntk = _more_diagonal(act, q, ntk, sigma_b, sigma_w, 1.0 if architecture == "residual" else 0.0, int(count))
        found.append(float(ntk))
    return found


@partial(jax.jit, static_argnums=0)
def _more_diagonal(
    act: Activation, q: Array, ntk: Array, sigma_b: Scalar, sigma_w: Scalar, keep: Scalar, count: Scalar
) -> tuple[Array, Array]:
    def step(_: Scalar, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        q, ntk = pair
        added = variance_map(act, q, sigma_b=sigma_b, sigma_w=sigma_w)
        return added + keep * q, added + (keep + chi(act, q, sigma_w=sigma_w)) * ntk

    return jax.lax.fori_loop(0, count, step, (q, ntk))
