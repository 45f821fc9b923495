"""Pairs of inputs of any norms by series, and those that are too close for series by the recursion over layers.

What a series leaves out weighs |c|^T: of close inputs too much, where phi has kinks or is steep, or where layers are
chaotic. There are few such pairs, as a rule: each is computed on its own, and all others need not suffer.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy import ndarray

from ntk_eoc.activations import Activation
from ntk_eoc.angles import gaps_of
from ntk_eoc.closed_forms import closed_form
from ntk_eoc.errors import Scalar
from ntk_eoc.kernels import first_state, layer_by_layer
from ntk_eoc.pairs import LIMITS, Inputs, Pairs, pairs
from ntk_eoc.profile import is_odd

RECURSION = 1e-12  # relative error of pairs by the recursion

Indices = tuple[ndarray, ndarray]


def by_series(
    act: Activation, inputs: Inputs, depths: Sequence[int], *, dtype: str, most: tuple[float, float], **options: Any
) -> tuple[list[Pairs], float] | None:
    """``pairs`` with the same arguments, and their error; None unless that, and what series cut short, are below
    ``most``. In float64 pairs too close for that are recomputed, if there is no closed form for all of them."""
    found = pairs(act, inputs, depths, dtype=dtype, odd=is_odd(act), **options)
    for k in range(len(LIMITS) if dtype == "float64" and closed_form(act) is None else 1):
        error, cut = (max(float(getattr(one, name)[k]) for one in found) for name in ("error", "cut"))
        if error < most[0] and cut <= most[1]:
            some = _close(found[0].far, k, inputs.same)
            if not some[0].size:
                return found, error
            return _recomputed(act, found, some, inputs, depths, **options), max(error, RECURSION)
    return None


def _close(far: Array, k: int, same: bool) -> Indices:
    """Which pairs, one of each two in symmetric matrices, do not keep the LIMITS up to the k-th."""
    close = (np.asarray(far) >= 0) & (np.asarray(far) <= k)
    rows, columns = np.nonzero(np.triu(close) if same else close)
    return rows, columns


def _recomputed(
    act: Activation,
    found: list[Pairs],
    some: Indices,
    inputs: Inputs,
    depths: Sequence[int],
    *,
    sigma_b: Scalar,
    sigma_w: Scalar,
    skip: bool,
) -> list[Pairs]:
    """The same with ``some`` pairs, given by their rows and columns, by recursion."""
    first = inputs.v1[some[0]], inputs.v2[some[1]], gaps_of(np.asarray(inputs.fold)[some])
    state = first_state(*map(jnp.asarray, first), sigma_b=sigma_b, sigma_w=sigma_w)
    architecture = "residual" if skip else "ffnn"
    states = layer_by_layer(act, state, depths, sigma_b=sigma_b, sigma_w=sigma_w, architecture=architecture)
    each = []
    for one, at in zip(found, states, strict=True):
        c, kappa = 1.0 - at.delta, at.ntk / (jnp.sqrt(at.q1) * jnp.sqrt(at.q2))
        put = partial(_put, some=some, same=inputs.same)
        each.append(one._replace(c=put(one.c, values=c), kappa=put(one.kappa, values=kappa)))
    return each


def _put(whole: Array, *, some: Indices, values: Array, same: bool) -> Array:
    mended = np.array(whole)
    mended[some] = values
    if same:
        mended[some[::-1]] = values
    return jnp.asarray(mended)
