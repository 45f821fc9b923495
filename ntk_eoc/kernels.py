"""The recursions over layers: NNGP and NTK of dense and residual networks (Sec. 3.1 and Sec. 5.1 of the paper).

A state holds two variances, delta = 1 - correlation and the NTK. One formula mixes the parts that a layer adds up
(bias, branch, skip connection) into the next delta without cancellation, for inputs of any norms.
"""

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ntk_eoc.activations import Activation
from ntk_eoc.closed_forms import closed_form
from ntk_eoc.errors import LARGEST, Scalar, check_choice, check_depth, check_sigma, plain, require_x64
from ntk_eoc.gaussian import pair, second_moment
from ntk_eoc.panels import Rule, choose_rule

ARCHITECTURES = ("ffnn", "residual")


class State(NamedTuple):
    """Pre-activations of one layer: variances ``q1`` and ``q2`` that broadcast against ``delta`` and ``ntk``: (N, 1)
    and (1, M) of a matrix of pairs, (P,) all of them of a list."""

    q1: Array
    q2: Array
    delta: Array
    ntk: Array


class Kernels(NamedTuple):
    """Kernels at one depth (N, M), or with a leading axis of depths; ``delta`` = 1 - correlation of the outputs."""

    nngp: Array
    ntk: Array
    delta: Array


Part = tuple[Array, Array, Array]  # variance at the first input, at the second, and 1 - cosine of the two


def mix(parts: list[Part]) -> tuple[Array, Array, Array]:
    """(q1, q2, delta) of a sum of independent parts, each (a, b, gap) with covariance sqrt(a b)(1 - gap).

    By Lagrange's identity 1 - c is a sum of positive terms: nothing cancels.

    >>> one = jnp.array(1.0)
    >>> q1, q2, delta = mix([(one, one, jnp.array(0.0)), (one, one, jnp.array(1e-20))])
    >>> float(delta)
    5e-21
    """
    a, b = sum((p[0] for p in parts), jnp.zeros(())), sum((p[1] for p in parts), jnp.zeros(()))
    some = (a > 0) & (b > 0)
    # shares of the two variances: squares of what grows with depth would leave float64 first
    shares = [(p[0] / jnp.where(some, a, 1.0), p[1] / jnp.where(some, b, 1.0), p[2]) for p in parts]
    aligned = sum(jnp.sqrt(f * g) for f, g, _ in shares)
    turned = sum(
        (jnp.sqrt(f * h[1]) - jnp.sqrt(h[0] * g)) ** 2 for i, (f, g, _) in enumerate(shares) for h in shares[i + 1 :]
    )
    delta = turned / (1.0 + aligned) + sum(jnp.sqrt(f * g) * gap for f, g, gap in shares)
    return a, b, jnp.where(some, jnp.clip(delta, 0.0, 2.0), 1.0)


@jax.jit
def first_layer(x1: Array, x2: Array, *, sigma_b: Scalar, sigma_w: Scalar) -> State:
    """q^1(x, x') = sigma_b^2 + sigma_w^2 <x, x'>/d = K^1(x, x'), with delta from the norm of x/|x| -+ x'/|x'|."""
    squares = [jnp.sum(x * x, axis=-1) / x.shape[-1] for x in (x1, x2)]
    units = [
        x / jnp.where(v > 0, jnp.sqrt(v * x.shape[-1]), 1.0)[:, None] for x, v in zip((x1, x2), squares, strict=True)
    ]

    def one_row(row: Array) -> Array:  # equal directions give 0 and opposite ones give 2, exactly
        near, far = (0.5 * jnp.sum((row + sign * units[1]) ** 2, axis=-1) for sign in (-1.0, 1.0))
        return jnp.where(near <= far, near, 2.0 - far)

    gap = jax.lax.map(one_row, units[0])
    return first_state(squares[0][:, None], squares[1][None, :], gap, sigma_b=sigma_b, sigma_w=sigma_w)


@jax.jit
def first_state(v1: Array, v2: Array, gap: Array, *, sigma_b: Scalar, sigma_w: Scalar) -> State:
    """The first layer from squared norms per dimension and 1 - cosine of the inputs, in the layout of a ``State``."""
    bias = jnp.full((1,) * gap.ndim, sigma_b**2)
    a, b, delta = mix([(bias, bias, 0.0 * bias), (sigma_w**2 * v1, sigma_w**2 * v2, gap)])
    return State(a, b, delta, jnp.sqrt(a) * jnp.sqrt(b) * (1.0 - delta))


def next_state(
    act: Activation,
    state: State,
    *,
    sigma_b: Scalar,
    sigma_w: Scalar,
    architecture: str = "ffnn",
    rule: Rule | None = None,
) -> State:
    """One more layer: K^l = q^l + qdot^l K^{l-1}, and K^l = K^{l-1} + q^l - q^{l-1} + qdot^l K^{l-1} with a skip.

    q^l is sigma_b^2 + sigma_w^2 E[phi(u) phi(v)] (plus q^{l-1} with a residual connection), and
    qdot^l = sigma_w^2 E[phi'(u) phi'(v)].
    """
    q1, q2, delta, ntk = state
    v1, v2 = second_moment(act, q1), second_moment(act, q2)
    layer = pair(act, q1, q2, delta, rule)
    bias = jnp.full((1,) * delta.ndim, sigma_b**2)
    parts = [(bias, bias, 0.0 * bias), (sigma_w**2 * v1, sigma_w**2 * v2, layer.gap)]
    added = sigma_b**2 + sigma_w**2 * jnp.sqrt(v1) * jnp.sqrt(v2) * (1.0 - layer.gap)
    if architecture == "residual":
        parts.append((q1, q2, delta))
        added = added + ntk
    a, b, turned = mix(parts)
    # equal inputs stay equal: rounding must not part them, because chaotic layers would drive them further
    same = (delta == 0.0) & (jnp.abs(q1 - q2) <= 1e-14 * q2) & (turned < 1.0)
    return State(a, b, jnp.where(same, 0.0, turned), added + sigma_w**2 * layer.slope_product * ntk)


def kernels(
    act: Activation,
    x1: Float[Array, "N d"],
    x2: Float[Array, "M d"] | None = None,
    *,
    sigma_b: Scalar,
    sigma_w: Scalar,
    depth: int | Array,
    architecture: str = "ffnn",
    every_depth: bool = False,
) -> Kernels:
    """NNGP and NTK Gram matrices of a network of ``depth`` layers between the rows of x1 and x2 (x1 if None).

    Inputs of any norms, any activation, ``architecture`` "ffnn" or "residual"; sigmas are standard deviations, NTK
    parameterisation. With ``every_depth`` each field has a leading axis of the depths 1..depth. A zero row is
    allowed: with sigma_b = 0 its correlation is not defined, and delta is given as 1.

    >>> from ntk_eoc.activations import NAMED
    >>> x = jnp.eye(2) * jnp.sqrt(2.0)
    >>> kernels(NAMED["relu"], x, sigma_b=0.0, sigma_w=2**0.5, depth=2).ntk.round(6).tolist()
    [[4.0, 0.63662], [0.63662, 4.0]]
    """
    require_x64()
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w)
    depth, _ = check_depth(depth), check_choice("architecture", architecture, ARCHITECTURES)
    x1 = check_inputs("x1", x1)
    x2 = x1 if x2 is None else check_inputs("x2", x2)
    if x1.shape[1] != x2.shape[1]:
        raise ValueError(f"x2: expected {x1.shape[1]} columns as in x1, got {x2.shape[1]}")
    state = first_layer(x1, x2, sigma_b=sigma_b, sigma_w=sigma_w)
    if every_depth and closed_form(act) is not None:
        states = _all_layers(act, state, sigma_b, sigma_w, depth, architecture)
    else:
        wanted = range(1, depth + 1) if every_depth else [depth]
        found = layer_by_layer(act, state, wanted, sigma_b=sigma_b, sigma_w=sigma_w, architecture=architecture)
        states = jax.tree.map(lambda *s: jnp.stack(s), *found) if every_depth else found[0]
    found = _kernels_of(states)
    if not all(np.isfinite(part).all() for part in found):
        raise ValueError(f"depth: the kernels leave the range of float64; expected fewer layers here, got {depth}")
    return found


@jax.jit
def _kernels_of(states: State) -> Kernels:
    nngp = jnp.sqrt(states.q1) * jnp.sqrt(states.q2) * (1.0 - states.delta)
    return Kernels(nngp, states.ntk, states.delta)


def layer_by_layer(
    act: Activation, state: State, depths: Iterable[int], *, sigma_b: Scalar, sigma_w: Scalar, architecture: str
) -> list[State]:
    """The states at the increasing ``depths``, from the one at depth 1, by one application of the layer after another.

    >>> from ntk_eoc.activations import NAMED
    >>> one = jnp.ones(1)
    >>> states = layer_by_layer(NAMED["relu"], State(one, one, one, 0 * one), [1, 2], sigma_b=0.0,
    ...     sigma_w=2**0.5, architecture="ffnn")
    >>> float(states[1].q1[0].round(12))
    1.0
    """
    found, level = [], 1
    for depth in depths:
        if closed_form(act) is not None:
            state = _more_layers(act, state, sigma_b, sigma_w, depth - level, architecture, None)
        else:  # each layer takes the cheapest panels that its variances allow
            for _ in range(depth - level):
                rule = choose_rule((state.q1, state.q2), state.delta)
                state = _more_layers(act, state, sigma_b, sigma_w, 1, architecture, rule)
        level = depth
        found.append(state)
    return found


@partial(jax.jit, static_argnums=(0, 5, 6))
def _more_layers(
    act: Activation,
    state: State,
    sigma_b: Scalar,
    sigma_w: Scalar,
    count: int | Array,
    architecture: str,
    rule: Rule | None,
) -> State:
    step = partial(next_state, act, sigma_b=sigma_b, sigma_w=sigma_w, architecture=architecture, rule=rule)
    return jax.lax.fori_loop(0, count, lambda _, state: step(state), state)


@partial(jax.jit, static_argnums=(0, 4, 5))
def _all_layers(
    act: Activation, state: State, sigma_b: Scalar, sigma_w: Scalar, depth: int, architecture: str
) -> State:
    def step(state: State, _: None) -> tuple[State, State]:
        new = next_state(act, state, sigma_b=sigma_b, sigma_w=sigma_w, architecture=architecture)
        return new, new

    _, rest = jax.lax.scan(step, state, None, length=depth - 1)
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), state, rest)


def check_inputs(name: str, x: object) -> Array:
    """Inputs as a float64 array (N, d); ``ValueError`` for another shape or NaN, ``TypeError`` for no numbers."""
    array = plain(name, x).astype(np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name}: expected a matrix with one input a row, got shape {array.shape}")
    if np.abs(array).max(initial=0.0) > LARGEST and np.isfinite(array).all():
        raise ValueError(f"{name}: expected numbers up to {LARGEST:g}, whose powers float64 can carry")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name}: expected finite numbers, got NaN or infinity in row {np.argwhere(~np.isfinite(array))[0][0]}"
        )
    return jnp.asarray(array)
