"""Residual networks whose branches are scaled: layer l is divided by sqrt(l) (later versions of the paper).

    y^l = y^{l-1} + (1/sqrt l) (W^l phi(y^{l-1}) + b^l),  l = 2, ..., L,

so that q^l = q^{l-1} + (1/l)(sigma_b^2 + sigma_w^2 E[phi phi]) and the variance grows like a power of L instead of
exponentially. For a positively homogeneous phi without bias, with s = sigma_w^2 E[phi'^2]: q^L = q^1 prod(1 + s/l), of
order L^s, K^L(x, x)/q^L = 1 + sum s/(l + s), of order s log L, and K^L(x, x')/K^L(x, x) tends to 1/4 as slowly as
1/(s log L), with no logarithm
beside it: the steps s/l are square-summable, so depth acts as a continuous time tau = s log L.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float64
from numpy import ndarray
from scipy.integrate import solve_ivp
from scipy.special import digamma, gammaln

from ntk_eoc.activations import Activation
from ntk_eoc.errors import (
    DEEPEST,
    LARGEST,
    Scalar,
    check_cosine,
    check_depth,
    check_depths,
    check_nonnegative,
    check_sigma,
    check_size,
    check_whole,
    known,
    listed,
    require_x64,
)
from ntk_eoc.kernels import Kernels, check_inputs, first_layer, next_state
from ntk_eoc.panels import choose_rule
from ntk_eoc.tables import arrays_of, evaluate, table
from ntk_eoc.zonal import compensated

STIRLING = 100.0  # above it Stirling's series is good to all digits
ENGINE = 10_000_000  # layers that are computed one by one; the law goes on from there


class ScaledKernels(NamedTuple):
    """Kernels of one pair of inputs of equal norms at the depths asked for, in units that stay finite.

    ``log_growth`` = log(q^L/q^1); ``delta`` = 1 - correlation of the outputs; ``kappa`` = K^L(x, x')/q^L and
    ``kappa_diagonal`` = K^L(x, x)/q^L.
    """

    depth: Float64[ndarray, " D"]
    log_growth: Float64[ndarray, " D"]
    delta: Float64[ndarray, " D"]
    kappa: Float64[ndarray, " D"]
    kappa_diagonal: Float64[ndarray, " D"]


def scaled_kernels(
    act: Activation,
    x1: Float[Array, "N d"],
    x2: Float[Array, "M d"] | None = None,
    *,
    sigma_b: Scalar,
    sigma_w: Scalar,
    depth: int,
) -> Kernels:
    """NNGP and NTK Gram matrices of a scaled residual network, for inputs of any norms and any activation.

    Raises ``ValueError`` where the kernels leave the range of float64.

    >>> from ntk_eoc.activations import NAMED
    >>> one = jnp.ones((1, 1))
    >>> scaled_kernels(NAMED["relu"], one, sigma_b=0.0, sigma_w=2**0.5, depth=2).ntk.tolist()  # 2 (1 + 1/2 + 1/2)
    [[4.0]]
    """
    require_x64()
    sigma_b, sigma_w = check_sigma("sigma_b", sigma_b), check_sigma("sigma_w", sigma_w)
    x1 = check_inputs("x1", x1)
    x2 = x1 if x2 is None else check_inputs("x2", x2)
    if x1.shape[1] != x2.shape[1]:
        raise ValueError(f"x2: expected {x1.shape[1]} columns as in x1, got {x2.shape[1]}")
    state = first_layer(x1, x2, sigma_b=sigma_b, sigma_w=sigma_w)
    for level in range(2, check_depth(depth) + 1):
        rule = choose_rule((state.q1, state.q2), state.delta)
        state = _layer(act, state, sigma_b / level**0.5, sigma_w / level**0.5, rule)
    nngp = jnp.sqrt(state.q1) * jnp.sqrt(state.q2) * (1.0 - state.delta)
    if not (jnp.isfinite(nngp).all() and jnp.isfinite(state.ntk).all()):
        raise ValueError(f"depth: the kernels leave the range of float64; expected fewer layers here, got {depth}")
    return Kernels(nngp, state.ntk, state.delta)


_layer = jax.jit(
    lambda act, state, sigma_b, sigma_w, rule: next_state(
        act, state, sigma_b=sigma_b, sigma_w=sigma_w, architecture="residual", rule=rule
    ),
    static_argnums=(0, 4),
)


def scaled_depths(
    act: Activation, cosine: Scalar, depths: Sequence[int] | ndarray, *, sigma_w: Scalar, engine: int = ENGINE
) -> ScaledKernels:
    """Kernels of one pair at increasing ``depths``, for a positively homogeneous phi without bias.

    Layer by layer up to ``engine`` (ten million), beyond by the law of ``continued``, which leaves out s^2/engine.
    Raises ``ValueError`` for another activation.

    >>> from ntk_eoc.activations import NAMED
    >>> found = scaled_depths(NAMED["relu"], 0.0, [1, 10, 1000], sigma_w=2**0.5)
    >>> (found.kappa / found.kappa_diagonal).round(3).tolist()
    [0.0, 0.196, 0.278]
    """
    require_x64()
    cosine, sigma_w = check_cosine(cosine), check_sigma("sigma_w", sigma_w, positive=True)
    wanted, engine = check_depths(depths), check_whole("engine", engine, 1, DEEPEST)
    s = branch_share(act, sigma_w)
    tab = table(act, 1.0)
    near = np.minimum(wanted, engine)
    steps = np.diff(np.concatenate([[1], near]))
    start = (np.sqrt(0.5 * (1.0 - cosine)), 0.0, cosine, 0.0)
    root, kappa = (np.asarray(part) for part in _scan(tab.power, arrays_of(tab), (s, 1.0 / tab.slopes), start, steps))
    delta, kappa = 2 * root * root, kappa.copy()
    for i in np.flatnonzero(wanted > engine):
        delta[i], kappa[i] = continued(act, s, (delta[i], kappa[i]), (engine, int(wanted[i])))
    growth = _log_growth(s, wanted)
    return ScaledKernels(wanted.astype(float), growth, delta, kappa, 1.0 + tau(s, 1, wanted))


def branch_share(act: Activation, sigma_w: Scalar) -> float:
    """s = sigma_w^2 E[phi'^2]; ``ValueError`` unless the activation is positively homogeneous.

    >>> from ntk_eoc.activations import NAMED
    >>> branch_share(NAMED["relu"], 2.0)
    2.0
    """
    right, left = _slopes(act)
    s = check_sigma("sigma_w", sigma_w) ** 2 * 0.5 * (right**2 + left**2)
    if s > LARGEST:
        raise ValueError(f"sigma_w: expected sigma_w^2 E[phi'^2] of at most {LARGEST:g}, got {s:g}")
    return s


def _slopes(act: Activation) -> tuple[float, float]:
    if act.slopes is None or not any(act.slopes):
        raise ValueError(f"act: expected a positively homogeneous activation, such as relu, got {act.name}")
    return act.slopes


def tau(s: float, begin: Scalar | ndarray, end: Scalar | ndarray) -> Float64[ndarray, "..."]:
    """The time between two depths: the sum of s/(l + s) over the layers begin < l <= end, about s log(end/begin).

    >>> float(tau(1.0, 1, 3).round(9)) == round(1 / 3 + 1 / 4, 9)
    True
    """
    s = check_nonnegative("s", s)
    low, high = known("begin", begin, 0.0, LARGEST), known("end", end, 0.0, LARGEST)
    if low.ndim and high.ndim and low.shape != high.shape:
        raise ValueError(f"end: expected as many depths as begin has, got shapes {high.shape} and {low.shape}")
    if (high < low).any():
        raise ValueError("end: expected a depth no less than the one to begin at")
    x, y = low + 1.0 + s, high + 1.0 + s
    steep = np.log1p((high - low) / x) + _beside_log(y) - _beside_log(x)
    return np.asarray(s * np.where(np.minimum(x, y) > STIRLING, steep, digamma(y) - digamma(x)))


def _beside_log(x: ndarray | float) -> ndarray | float:
    """digamma(x) - log(x) for large x: of two large x the digammas are too like each other to be subtracted."""
    return -1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6)


def _log_growth(s: float, depth: ndarray) -> ndarray:
    """log(q^L/q^1), the sum of log(1 + s/l) over 1 < l <= L."""
    less, more = np.minimum(s, depth - 1.0), np.maximum(s, depth - 1.0)  # the sum is symmetric in s and L - 1
    x, y = more + 2.0, more + 2.0 + less
    steep = (x - 0.5) * np.log1p(less / x) + less * (np.log(y) - 1.0) + _beside_stirling(y) - _beside_stirling(x)
    return np.asarray(np.where(x > STIRLING, steep, gammaln(y) - gammaln(x)) - gammaln(less + 2.0))


def _beside_stirling(x: ndarray | float) -> ndarray | float:
    """log Gamma(x) without (x - 1/2) log(x) - x + log(2 pi)/2, for large x."""
    return 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5)


def continued(act: Activation, s: float, state: tuple[Scalar, Scalar], between: tuple[int, int]) -> tuple[float, float]:
    """(delta, kappa) at the second depth of ``between``, from those at the first, by the limit of small steps:

        d delta/d tau = -delta r(delta),    d kappa/d tau = 1 - delta (1 - r(delta)) - g(delta) kappa,

    with r, g of one layer. Left out are the squares of the steps, sum (s/l)^2 < s^2/begin.

    >>> from ntk_eoc.activations import NAMED
    >>> [round(part, 4) for part in continued(NAMED["relu"], 1.0, (1.0, 0.0), (1, 2))]
    [0.9021, 0.1062]
    """
    _slopes(act)
    begin, end = (check_depth(depth) for depth in _two("between", between))
    if end < begin:
        raise ValueError(f"between: expected a depth and a deeper one, got {begin} and {end}")
    delta, kappa = (check_size("state", part) for part in _two("state", state))
    first, span = np.array([np.sqrt(0.5 * known("state", delta, 0.0, 2.0)), kappa]), float(tau(s, begin, end))
    tab = table(act, 1.0)
    given = tab.power, arrays_of(tab), 1.0 / tab.slopes
    found = solve_ivp(lambda _, at: _flow(*given, at), (0.0, span), first, rtol=1e-12, atol=1e-14, method="DOP853")
    if not found.success:
        raise RuntimeError(f"between: no convergence over a time of {span:g}, {found.message}")
    return float(2 * found.y[0, -1] ** 2), float(found.y[1, -1])


@partial(jax.jit, static_argnums=0)
def _flow(power: int, arrays: tuple, scale: Scalar, at: Array) -> Array:
    """d/d tau of (sqrt(delta/2), kappa)."""
    root, kappa = at
    r, g = (scale * part for part in evaluate(power, arrays, root))
    return jnp.array([-0.5 * root * r, 1.0 - 2 * root * root * (1.0 - r) - g * kappa])


def _two(name: str, value: object) -> Sequence[Any]:
    if len(two := listed(name, value)) != 2:
        raise ValueError(f"{name}: expected two numbers, got {len(two)}")
    return two


@partial(jax.jit, static_argnums=0)
def _scan(power: int, arrays: tuple, branch: tuple, start: tuple, steps: Array) -> tuple[Array, Array]:
    s, scale = branch

    def one(level: Array, state: tuple) -> tuple:
        root, root_low, kappa, kappa_low = state
        share = s / (level + s)
        r, g = evaluate(power, arrays, root)
        turn = share * scale * r  # delta' = delta (1 - turn)
        new, root_low = compensated(root, root_low, -root * turn / (1.0 + jnp.sqrt(1.0 - turn)))
        # the branch holds 1 - delta (1 - scale r) of its variance in common
        kept = 1.0 - 2 * root * root * (1.0 - scale * r)
        kappa, kappa_low = compensated(kappa, kappa_low, share * (kept - scale * g * kappa))
        return new, root_low, kappa, kappa_low

    def segment(at: tuple[Array, tuple], count: Array) -> tuple[tuple[Array, tuple], tuple[Array, Array]]:
        level, state = at
        state = jax.lax.fori_loop(level, level + count, lambda at, state: one(at + 1.0, state), state)
        return (level + count, state), (state[0], state[2])

    state = tuple(jnp.asarray(part, dtype=float) for part in start)
    return jax.lax.scan(segment, (jnp.asarray(1), state), jnp.asarray(steps))[1]
