"""NNGP and NTK of convolutional networks with infinitely many channels (supplement and later versions of the paper).

Circular padding, stride 1, odd filters of F taps, 1-D or 2-D, images (channels, *space):

    y^l_p = b + sum_beta W_beta phi(y^{l-1}_{p + beta}),    W ~ N(0, sigma_w^2/(F fan_in)),

so that covariances between positions p of one image and p' of the other follow the scalar maps of a dense layer, then
are averaged over the taps, (p + beta, p' + beta). The last layer is dense: over all channels and positions
(``flatten``), for which only p = p' matters, or over the positions' mean (``pooling``), which needs all pairs.
Averaging goes through ``kernels.mix``, so 1 - correlation keeps its digits.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntk_eoc.activations import Activation
from ntk_eoc.closed_forms import closed_form
from ntk_eoc.errors import LARGEST, Scalar, check_choice, check_depth, check_sigma, number, plain, require_x64
from ntk_eoc.gaussian import pair, second_moment
from ntk_eoc.kernels import mix
from ntk_eoc.panels import Rule, choose_rule

READOUTS = ("flatten", "pooling")


class ConvKernels(NamedTuple):
    """Kernels of the outputs, (N, M)."""

    nngp: Array
    ntk: Array


class Layout(NamedTuple):
    """How pairs of positions are stored: the axes of space of the first and of the second image, which coincide with
    ``flatten``, and the ``taps`` of the filter as shifts along each of them."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    taps: range


class Pixels(NamedTuple):
    """Pre-activations of one layer at pairs of positions: variances of both images, broadcast against ``delta``, and
    the tangent kernel; (N, M, *space) with ``flatten``, (N, *space, M, *space) with ``pooling``."""

    q1: Array
    q2: Array
    delta: Array
    ntk: Array


def conv_kernels(
    act: Activation,
    x1: Array | np.ndarray,
    x2: Array | np.ndarray | None = None,
    *,
    sigma_b: Scalar,
    sigma_w: Scalar,
    depth: int,
    filter_size: int = 3,
    readout: str = "flatten",
) -> ConvKernels:
    """Gram matrices (N, M) of a network of depth - 1 convolutions and a dense layer, between images (N, C, *space).

    ``filter_size`` is odd and the same along every axis of space; sigmas are standard deviations. ``pooling`` needs
    N M P^2 numbers for images of P positions. Raises ``ValueError`` for other shapes, an even filter, images smaller
    than the filter, other channels in x2, or a depth below 2.

    >>> from ntk_eoc.activations import NAMED
    >>> x = jnp.ones((1, 1, 4))
    >>> conv_kernels(NAMED["relu"], x, sigma_b=0.0, sigma_w=2**0.5, depth=3).ntk.round(12).tolist()
    [[6.0]]
    """
    require_x64()
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w)
    check_choice("readout", readout, READOUTS)
    if (depth := check_depth(depth)) < 2:
        raise ValueError(f"depth: expected at least 2 layers, a convolution and a dense one, got {depth}")
    x1 = check_images("x1", x1, filter_size)
    x2 = x1 if x2 is None else check_images("x2", x2, filter_size)
    if x1.shape[1:] != x2.shape[1:]:
        raise ValueError(f"x2: expected images of shape {x1.shape[1:]} as in x1, got {x2.shape[1:]}")
    layout = _layout(x1.ndim - 2, int(filter_size), readout)
    state = _first(layout, x1, x2, sigma_b, sigma_w)
    if closed_form(act) is not None:
        state = _layers(act, layout, state, (sigma_b, sigma_w), depth - 2, None)
    else:
        for _ in range(depth - 2):
            state = _layers(act, layout, state, (sigma_b, sigma_w), 1, choose_rule((state.q1, state.q2), state.delta))
    found = _read(act, layout, state, sigma_b, sigma_w)
    if not all(np.isfinite(part).all() for part in found):
        raise ValueError(f"depth: the kernels leave the range of float64; expected fewer layers here, got {depth}")
    return found


def check_images(name: str, x: object, filter_size: int) -> Array:
    """Images (N, C, *space) in float64; ``ValueError`` for another shape, NaN, or a filter that does not fit."""
    taps = number("filter_size", filter_size)
    if taps < 1 or taps % 2 != 1:
        raise ValueError(f"filter_size: expected an odd number of taps, got {taps:g}")
    images = plain(name, x).astype(np.float64)
    if images.ndim not in (3, 4) or 0 in images.shape[1:]:
        raise ValueError(
            f"{name}: expected images (N, channels, width) or (N, channels, height, width), got shape {images.shape}"
        )
    if min(images.shape[2:]) < taps:
        raise ValueError(
            f"{name}: expected images of at least the {taps:g} taps of the filter along every axis, "
            f"got {images.shape[2:]}"
        )
    if not np.isfinite(images).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    if np.abs(images).max(initial=0.0) > LARGEST:
        raise ValueError(f"{name}: expected numbers up to {LARGEST:g}, whose powers float64 can carry")
    return jnp.asarray(images)


def _layout(dims: int, filter_size: int, readout: str) -> Layout:
    taps = range(-(filter_size // 2), filter_size // 2 + 1)
    if readout == "flatten":
        axes = tuple(range(2, 2 + dims))
        return Layout(axes, axes, taps)
    return Layout(tuple(range(1, 1 + dims)), tuple(range(2 + dims, 2 + 2 * dims)), taps)


def _shifts(layout: Layout, a: Array, axis: int) -> list[Array]:
    """``a`` at the positions that the taps reach along one axis of space, round the edges."""
    first, second = layout.first[axis], layout.second[axis]
    along = (first,) if first == second else (first, second)
    return [jnp.roll(a, (tap,) * len(along), along) for tap in layout.taps]


def _average(layout: Layout, a: Array) -> Array:
    """The mean over the taps, one axis of space after the other."""
    for axis in range(len(layout.first)):
        a = sum(_shifts(layout, a, axis)) / len(layout.taps)  # type: ignore[assignment]
    return a


def _filtered(layout: Layout, part: tuple[Array, Array, Array], sigma_b: Scalar) -> tuple[Array, Array, Array]:
    """(q1, q2, delta) after the filter, from (variance, variance, 1 - cosine) of what a tap adds, and a bias.

    A mean over a square is one over a row of means over columns; ``mix`` compares every two of its parts, so the work
    grows with the taps along an axis and not with those of the square.
    """
    share = 1.0 / len(layout.taps)
    for axis in range(len(layout.first)):
        parts = zip(*(_shifts(layout, p, axis) for p in part), strict=True)
        part = mix([(share * a, share * b, gap) for a, b, gap in parts])
    bias = jnp.full((1,) * part[2].ndim, sigma_b**2)
    return mix([(bias, bias, 0.0 * bias), part])


@partial(jax.jit, static_argnums=0)
def _first(layout: Layout, x1: Array, x2: Array, sigma_b: Scalar, sigma_w: Scalar) -> Pixels:
    """The first convolution: each tap adds sigma_w^2 <x_p, x'_p'>/(C F)."""
    squares = [jnp.mean(x * x, axis=1) for x in (x1, x2)]
    units = [
        x / jnp.where(v > 0, jnp.sqrt(v * x.shape[1]), 1.0)[:, None] for x, v in zip((x1, x2), squares, strict=True)
    ]
    dims = x1.ndim - 2
    lone = (None,) * (1 + dims)
    together = layout.first == layout.second
    spread: list[tuple[Any, ...]] = [(slice(None), None), (None,)] if together else [(..., *lone), (*lone, ...)]
    v1, v2 = (v[at] for v, at in zip(squares, spread, strict=True))
    near, far = jnp.zeros(()), jnp.zeros(())
    for one, other in zip(jnp.moveaxis(units[0], 1, 0), jnp.moveaxis(units[1], 1, 0), strict=True):
        near = near + 0.5 * (one[spread[0]] - other[spread[1]]) ** 2
        far = far + 0.5 * (one[spread[0]] + other[spread[1]]) ** 2
    gap = jnp.where(near <= far, near, 2.0 - far)
    q1, q2, delta = _filtered(layout, (sigma_w**2 * v1, sigma_w**2 * v2, gap), sigma_b)
    return Pixels(q1, q2, delta, jnp.sqrt(q1) * jnp.sqrt(q2) * (1.0 - delta))


def _through(
    act: Activation, state: Pixels, sigma_w: Scalar, rule: Rule | None
) -> tuple[tuple[Array, Array, Array], Array, Array]:
    """What phi and the weights make of each pair of positions: its part of the next layer, that part's covariance, and
    sigma_w^2 E[phi' phi'] K."""
    v1, v2 = (sigma_w**2 * second_moment(act, q) for q in (state.q1, state.q2))
    layer = pair(act, state.q1, state.q2, state.delta, rule)
    covariance = jnp.sqrt(v1) * jnp.sqrt(v2) * (1.0 - layer.gap)
    return (v1, v2, layer.gap), covariance, sigma_w**2 * layer.slope_product * state.ntk


@partial(jax.jit, static_argnums=(0, 1, 5))
def _layers(
    act: Activation, layout: Layout, state: Pixels, sigmas: tuple[Scalar, Scalar], count: Scalar, rule: Rule | None
) -> Pixels:
    sigma_b, sigma_w = sigmas

    def one(_: Array, state: Pixels) -> Pixels:
        part, covariance, carried = _through(act, state, sigma_w, rule)
        q1, q2, delta = _filtered(layout, part, sigma_b)
        return Pixels(q1, q2, delta, sigma_b**2 + _average(layout, covariance + carried))

    return jax.lax.fori_loop(0, count, one, state)


def _read(act: Activation, layout: Layout, state: Pixels, sigma_b: Scalar, sigma_w: Scalar) -> ConvKernels:
    """The dense layer: a mean over the stored pairs of positions."""
    rule = None if closed_form(act) is not None else choose_rule((state.q1, state.q2), state.delta)
    return _mean(act, layout, state, (sigma_b, sigma_w), rule)


@partial(jax.jit, static_argnums=(0, 1, 4))
def _mean(
    act: Activation, layout: Layout, state: Pixels, sigmas: tuple[Scalar, Scalar], rule: Rule | None
) -> ConvKernels:
    sigma_b, sigma_w = sigmas
    _, covariance, carried = _through(act, state, sigma_w, rule)
    axes = tuple(sorted({*layout.first, *layout.second}))
    nngp = sigma_b**2 + covariance.mean(axes)
    return ConvKernels(nngp, nngp + carried.mean(axes))
