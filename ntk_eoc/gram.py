"""Gram matrices of NNGP and NTK: one call that finds the cheapest exact way for the inputs it is given.

Where the kernel is a function of the angle (inputs of one norm; or any norms, a homogeneous phi and no bias) depth and
activation cost one table, and each pair is then looked up in it. Elsewhere pairs go through the layers as polynomials
(``pairs``), and close ones, of which series may leave out too much, by the recursion of ``kernels`` (``close``).
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from numpy import ndarray

from ntk_eoc.activations import Activation
from ntk_eoc.angles import Rows, folds, rows
from ntk_eoc.close import by_series
from ntk_eoc.closed_forms import closed_form
from ntk_eoc.errors import Scalar, check_choice, check_depth, check_sigma, require_x64
from ntk_eoc.kernels import ARCHITECTURES, kernels
from ntk_eoc.lookup import Lookup, look_up, lookup
from ntk_eoc.pairs import Inputs
from ntk_eoc.profile import profile
from ntk_eoc.stack import Stack, at_folds, combine, stack
from ntk_eoc.stretches import is_homogeneous

DTYPES = ("float32", "float64")
ONE_NORM = {"float32": 1e-7, "float64": 2e-14}  # relative spread of |x|^2 up to which inputs are of one norm
DIGITS = {"float32": 8, "float64": 14}  # to which their norm is rounded, so that blocks of inputs share a table
ERROR = {"float32": 3e-7, "float64": 1e-12}
LOOSE = 1e-3  # error from which on, as chaos magnifies rounding, the recursion over pairs is better, however slow
ROUGH = 1e-6  # error up to which a table deep in the chaotic phase is better than what else there is
HOLDS = {"float32": 60.0, "float64": 400.0}  # logarithm of the scale of a kernel that is given as it is


class Gram(NamedTuple):
    """Gram matrices (N, M), or (D, N, M) for a sequence of depths: q^L = exp(log_nngp) nngp, K^L = exp(log_ntk) ntk.

    The logarithms, one for each depth, are 0 where the dtype holds the kernel. ``error`` bounds what K is off,
    relative to the entry, or to K(x, x) where inputs have different norms (in chaos, where that grows without bounds,
    to what it would be with chi = 1).
    """

    nngp: Array
    ntk: Array
    log_nngp: Array
    log_ntk: Array
    error: float


def gram(
    act: Activation,
    x1: Float[Array | ndarray, "N d"],
    x2: Float[Array | ndarray, "M d"] | None = None,
    *,
    depth: int | Sequence[int] | ndarray,
    sigma_b: Scalar,
    sigma_w: Scalar,
    architecture: str = "ffnn",
    dtype: str = "float64",
) -> Gram:
    """NNGP and NTK between the rows of x1 and x2 (x1 if None) at one ``depth`` or at several, in increasing order.

    Any activation and any norms, ``architecture`` "ffnn" or "residual"; sigmas are standard deviations, NTK
    parameterisation. As a function of the angle an entry is good to 1e-12 of itself in float64 and 3e-7 in float32
    (of the kernel at right angles, where it is smaller at obtuse ones), however close or opposite two inputs are; deep
    in the chaotic phase, where it falls steeply, to ``error``.
    A zero row has kernels of its own with a bias, and zeros without.

    >>> from ntk_eoc.activations import NAMED
    >>> x = np.array([[1.0, 1.0], [1.0, -1.0]])
    >>> found = gram(NAMED["relu"], x, depth=100, sigma_b=0.0, sigma_w=2**0.5)
    >>> found.ntk.round(2).tolist(), float(found.log_ntk)
    ([[200.0, 54.54], [54.54, 200.0]], 0.0)
    """
    require_x64()
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w)
    check_choice("architecture", architecture, ARCHITECTURES)
    check_choice("dtype", dtype, DTYPES)
    depths = tuple(check_depth(one) for one in np.atleast_1d(np.asarray(depth)).tolist())
    if not depths or list(depths) != sorted(set(depths)):
        raise ValueError("depth: expected a depth, or increasing depths, at least one")
    left = rows("x1", x1)
    right = left if x2 is None else rows("x2", x2)
    for name, (_, norms) in (("x1", left), ("x2", right)):
        if not norms.size:
            raise ValueError(f"{name}: expected at least one input, got none")
    if left[0].shape[1] != right[0].shape[1]:
        raise ValueError(f"x2: expected {left[0].shape[1]} columns as in x1, got {right[0].shape[1]}")
    options = {"sigma_b": sigma_b, "sigma_w": sigma_w, "architecture": architecture}
    found = _by_angle(act, left, right, depths, dtype, options)
    exact = closed_form(act) is not None
    if not (exact and act.kinks) and sigma_w > 0:
        for width in ("float64",) if exact or dtype == "float64" else DTYPES:  # float32 rounds in each layer
            found = found or _expanded(act, left, right, depths, dtype, width, options)
    if found is None:
        found = _pair_by_pair(act, left, right, depths, dtype, options)
    if np.ndim(depth) and len(depths) == 1:
        return Gram(found.nngp[None], found.ntk[None], found.log_nngp[None], found.log_ntk[None], found.error)
    return found


def _by_angle(
    act: Activation, left: Rows, right: Rows, depths: tuple[int, ...], dtype: str, options: dict
) -> Gram | None:
    """A function of the angle: one table or, for several depths, one stack. None where there is no such function, or
    one too steep for a table (odd networks without a bias, deep in the chaotic phase)."""
    start = _one_angle(act, left, right, options["sigma_b"], options["sigma_w"], dtype)
    if start is None:
        return None
    q0, scales = start
    try:
        stacked = _tables(act, depths, q0, **options) if len(depths) > 1 else None
        tables = [] if stacked else [_table(act, depth, q0, dtype, **options) for depth in depths]
    except RuntimeError:
        return None
    fold = folds(left, right)
    if stacked is not None:
        return _stacked(stacked, np.asarray(fold), left is right, scales, dtype)
    error = max(ERROR[dtype], *(tab.error for tab in tables))
    return _together([_looked_up(tab, fold, scales, dtype) for tab in tables], error)


def _one_angle(
    act: Activation, left: Rows, right: Rows, sigma_b: float, sigma_w: float, dtype: str
) -> tuple[float | None, tuple[ndarray, ndarray]] | None:
    """(q0, scales of the rows) where the kernel is a function of the angle, None elsewhere."""
    if sigma_w == 0:
        return None
    d = left[0].shape[1]
    if sigma_b == 0 and is_homogeneous(act):
        return None, (left[1] / d**0.5, right[1] / d**0.5)
    norms = np.concatenate([left[1], right[1]])
    low, high = norms.min(), norms.max()
    if not 0 < high * (1 - 0.5 * ONE_NORM[dtype]) <= low:
        return None
    q0 = 0.25 * (low + high) ** 2 / d
    return float(f"{q0:.{DIGITS[dtype]}e}"), (np.ones(len(left[1])), np.ones(len(right[1])))


@lru_cache(maxsize=512)
def _table(act: Activation, depth: int, q0: float | None, dtype: str, **options: Any) -> Lookup:
    return lookup(profile(act, [depth], q0=q0, **options), dtype, ROUGH)


@lru_cache(maxsize=8)
def _tables(act: Activation, depths: tuple[int, ...], q0: float | None, **options: Any) -> Stack | None:
    return stack(profile(act, depths, q0=q0, **options))


def _split(logs: ndarray, dtype: str) -> tuple[ndarray, Array]:
    """(factors, logarithms) of scales given by their logarithms: whatever the dtype holds is a factor."""
    holds = np.abs(logs) <= HOLDS[dtype]
    return np.asarray(np.exp(np.where(holds, logs, 0.0))), jnp.asarray(np.where(holds, 0.0, logs))


def _looked_up(tab: Lookup, fold: Array, scales: tuple[ndarray, ndarray], dtype: str) -> tuple[Array, ...]:
    factors, logs = _split(np.array([tab.log_q, tab.log_diagonal]), dtype)
    # one program each: a program of two results walks through them entry by entry, without the vector unit
    nngp, ntk = (_scaled(tab.polynomials, fold, factors[which], *scales, which=which) for which in (0, 1))
    return nngp, ntk, *logs


@partial(jax.jit, static_argnames="which")
def _scaled(polynomials: Array, fold: Array, factor: Array, left: Array, right: Array, *, which: int) -> Array:
    value = look_up(polynomials, fold)[which]
    return (value * (factor * (left[:, None] * right))).astype(value.dtype)


def _stacked(found: Stack, fold: ndarray, same: bool, scales: tuple[ndarray, ndarray], dtype: str) -> Gram:
    n, m = fold.shape
    if same:  # one half of the pairs
        upper = np.triu_indices(n)
        place = np.empty((n, n), dtype=int)
        place[upper] = place.T[upper] = np.arange(upper[0].size)
        values = at_folds(found, fold[upper])[:, place.ravel()]
    else:
        values = at_folds(found, fold.ravel())
    values *= np.outer(*scales).ravel()
    factors, logs = zip(*(_split(part, dtype) for part in found.logs), strict=True)
    nngp, ntk = (
        combine(weights, factor, values, (n, m), dtype)
        for weights, factor in zip(np.split(found.weights, 2), factors, strict=True)
    )
    return Gram(nngp, ntk, logs[0], logs[1], ERROR[dtype])


def _expanded(
    act: Activation, left: Rows, right: Rows, depths: tuple[int, ...], dtype: str, width: str, options: dict
) -> Gram | None:
    """Any norms, by series in the dtype ``width``; carried with its scale, as a function of the angle is. None if the
    error is not below LOOSE, or series leave out more than the dtype holds where a closed form does not: those of a
    steep phi, as erf of large inputs, are long."""
    v1 = left[1] ** 2 / left[0].shape[1]
    v2 = v1 if left is right else right[1] ** 2 / right[0].shape[1]
    rest = {name: options[name] for name in ("sigma_b", "sigma_w")}
    rest["skip"] = options["architecture"] == "residual"
    most = LOOSE, np.inf if closed_form(act) is None else ERROR[dtype]
    expanded = by_series(act, Inputs(folds(left, right), v1, v2), depths, dtype=width, most=most, **rest)
    if expanded is None:
        return None
    each, error = [], expanded[1] if width == dtype else max(expanded[1], ERROR[dtype])
    for depth, found in zip(depths, expanded[0], strict=True):
        largest = np.array([1.0, max(float(found.kappa.max()), 1.0)]) * max(found.q1.max(), found.q2.max(), 1e-300)
        if not np.isfinite(largest).all():
            if width == "float32":
                return None
            raise ValueError(f"depth: the kernels leave the range of float64; expected fewer layers here, got {depth}")
        _, logs = _split(np.log(largest), dtype)
        roots = np.sqrt(found.q1), np.sqrt(found.q2)
        parts = (_rescaled(part, by, *roots, dtype) for part, by in zip((found.c, found.kappa), logs, strict=True))
        each.append((*parts, *logs))
    return _together(each, error)


def _together(each: list[tuple[Array, ...]], error: float) -> Gram:
    """(q, K and their logarithms) depth by depth; of one depth without an axis for it, which would copy them."""
    join = jnp.stack if len(each) > 1 else lambda parts: parts[0]
    nngp, ntk, log_nngp, log_ntk = (join(parts) for parts in zip(*each, strict=True))
    return Gram(nngp, ntk, log_nngp, log_ntk, error)


@partial(jax.jit, static_argnames="dtype")
def _rescaled(part: Array, log: Array, left: Array, right: Array, dtype: str) -> Array:
    half = jnp.exp(-0.5 * log)
    return (part * ((half * left)[:, None] * (half * right))).astype(dtype)


def _pair_by_pair(act: Activation, left: Rows, right: Rows, depths: tuple[int, ...], dtype: str, options: dict) -> Gram:
    """The recursion over pairs, in closed form or by quadrature."""
    x2 = None if left is right else jnp.asarray(right[0])
    several = len(depths) > 1
    found = kernels(act, jnp.asarray(left[0]), x2, depth=depths[-1], every_depth=several, **options)
    nngp, ntk = (part[np.array(depths) - 1] if several else part for part in (found.nngp, found.ntk))
    (nngp, log_nngp), (ntk, log_ntk) = (_held(part, dtype) for part in (nngp, ntk))
    return Gram(nngp, ntk, log_nngp, log_ntk, ERROR[dtype])


def _held(kernel: Array, dtype: str) -> tuple[Array, Array]:
    """Kernels (N, M) or (D, N, M) in ``dtype``, and the logarithms of what they are divided by."""
    largest = np.asarray(jnp.abs(kernel).max(axis=(-2, -1)))
    _, log = _split(np.asarray(np.log(np.maximum(largest, 1.0))), dtype)
    return (kernel * jnp.exp(-log)[..., None, None]).astype(dtype), log
