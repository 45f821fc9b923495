"""The three panels of the paper's Figure 1: how far K^L is from its limiting behaviour, against the depth L.

Inputs are images of digits scaled to one norm, the one whose first-layer variance is the variance fixed point, so
that q^l = q from the first layer on. Everything is in units of q. A panel takes the supremum over pairs of inputs:
K^L grows with the cosine (all terms of the correlation map's power series are positive, and digits have positive
cosines), so it is attained by the most or by the least similar pair, and only those two are iterated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int
from numpy import ndarray

from ntk_eoc import asymptotics, data, zonal
from ntk_eoc.activations import Activation, get
from ntk_eoc.meanfield import eoc_points, phase
from ntk_eoc.networks import Network, apply, init

PER_DECADE = 20  # depths drawn per factor of ten


@dataclass(frozen=True)
class Edge:
    """Panel (a): activations with their sigma_b (a standard deviation); sigma_w is the Edge of Chaos there."""

    curves: tuple[tuple[str, float], ...] = (("relu", 0.0), ("elu", 0.2))
    deepest: int = 100
    images: int = 10


@dataclass(frozen=True)
class Ordered:
    """Panel (b): activations at one point (sigma_b, sigma_w) of the ordered phase, both standard deviations."""

    curves: tuple[str, ...] = ("relu", "elu")
    sigma_b: float = 1.0
    sigma_w: float = 1.0
    deepest: int = 100
    images: int = 10


@dataclass(frozen=True)
class Residual:
    """Panel (c): ReLU with residual connections and no bias, at several sigma_w (standard deviations)."""

    sigma_w: tuple[float, ...] = (0.5, 1.0, 2**0.5, 2.0)
    deepest: int = 100
    images: int = 10


@dataclass(frozen=True)
class Witness:
    """Finite networks for panel (a): ``seeds`` random ones of each depth, on the most similar pair of images."""

    depths: tuple[int, ...] = (4, 16)
    width: int = 256
    seeds: int = 64
    seed: int = 0
    edge: Edge = Edge()


class Panel(NamedTuple):
    """Curves s over pairs of inputs p (by increasing cosine) and depths L.

    ``deviation`` = K^L/(q L) - limit on the Edge of Chaos and with residual connections (where q L stands for the
    growth of the diagonal), K^L/q - limit in the ordered phase; ``chi`` is that of a layer in these units.
    """

    depth: Int[ndarray, " L"]
    cosine: Float[ndarray, " p"]
    deviation: Float[ndarray, "s p L"]
    limit: Float[ndarray, " s"]
    chi: Float[ndarray, " s"]


class Measured(NamedTuple):
    """Mean over random networks of K^L/(q L) - limit, and the standard error of that mean."""

    depth: Int[ndarray, " L"]
    deviation: Float[ndarray, "s L"]
    standard_error: Float[ndarray, "s L"]


def supremum(panel: Panel) -> Float[ndarray, "s L"]:
    """The largest abs(deviation) over the pairs of inputs.

    >>> supremum(Panel(np.array([1]), np.zeros(2), np.array([[[-3.0], [2.0]]]), np.zeros(1), np.ones(1)))
    array([[3.]])
    """
    return np.abs(panel.deviation).max(axis=1)


def fitted_slope(
    x: Float[ndarray, " L"] | Int[ndarray, " L"], y: Float[ndarray, " L"], low: float | int, high: float | int
) -> float:
    """The least-squares slope of y against x over low <= x <= high.

    >>> round(fitted_slope(np.arange(5), 2.0 * np.arange(5), 1, 3), 12)
    2.0
    """
    inside = (x >= low) & (x <= high)
    if inside.sum() < 2:
        raise ValueError(f"low, high: expected two or more of the x between them, got {low:g} and {high:g}")
    return float(np.polyfit(x[inside], y[inside], 1)[0])


def decay_exponent(depth: Int[ndarray, " L"], size: Float[ndarray, " L"], low: float | int, high: float | int) -> float:
    """The slope of log(size) against log(L) for low <= L <= high: -1 for a decay like 1/L.

    >>> round(decay_exponent(np.arange(1, 9), 1 / np.arange(1, 9), 2, 8), 12)
    -1.0
    """
    return fitted_slope(np.log(depth), np.log(size), np.log(low) - 1e-9, np.log(high) + 1e-9)


def cosines(images: int) -> Float[ndarray, " pairs"]:
    """Cosines of all pairs of ``images`` different digits, sorted.

    >>> cosines(4).shape
    (6,)
    """
    x = data.unit_norm(data.digits(n=images).x)
    return np.sort((x @ x.T / x.shape[1])[np.triu_indices(images, 1)])


def depths(deepest: int) -> Int[ndarray, " L"]:
    """Depths from 1 to ``deepest``, evenly spaced in the logarithm; the powers of ten are among them.

    >>> depths(10)[[0, -1]].tolist()
    [1, 10]
    """
    count = round(PER_DECADE * np.log10(deepest)) + 1
    return np.unique(np.rint(np.geomspace(1, deepest, count)).astype(np.int64))


def edge(config: Edge = Edge()) -> Panel:  # noqa: B008 (frozen)
    """Panel (a), Proposition 2: K^L/(q L) less its limit, 1/4 for ReLU and 1/3 for ELU."""
    at, pair = depths(config.deepest), cosines(config.images)[[0, -1]]
    found, limits = [], []
    for name, sigma_b in config.curves:
        act, sigma_w, q = _on_the_edge(name, sigma_b)
        gaps = (1.0 - sigma_b**2 / q) * (1.0 - pair)
        found.append(_scan(act, q, zonal.Layer(1.0, sigma_w**2, 1.0, 0.0), gaps, at) / at)
        limits.append(asymptotics.coefficient(act, q, sigma_w)[0])
    return Panel(at, pair, np.array(found), np.array(limits), np.ones(len(found)))


def ordered(config: Ordered = Ordered()) -> Panel:  # noqa: B008
    """Panel (b), Proposition 1: K^L/q less 1/(1 - chi). A third pair is an input with itself (cosine 1)."""
    at = np.arange(1, config.deepest + 1)
    pair = np.append(cosines(config.images)[[0, -1]], 1.0)
    found, slopes = [], []
    for name in config.curves:
        act = get(name)
        here = phase(act, sigma_b=config.sigma_b, sigma_w=config.sigma_w)
        if here.phase != "ordered" or here.q is None:
            raise ValueError(f"sigma_w: expected a point of the ordered phase for {name}, got {here.phase}")
        gaps = (1.0 - config.sigma_b**2 / here.q) * (1.0 - pair)
        found.append(_scan(act, here.q, zonal.Layer(here.chi, config.sigma_w**2, 1.0, 0.0), gaps, at))
        slopes.append(here.chi)
    chi = np.array(slopes)
    return Panel(at, pair, np.array(found), 1.0 / (1.0 - chi), chi)


def residual(config: Residual = Residual()) -> Panel:  # noqa: B008
    """Panel (c), Proposition 3: K^L divided by the growth of its diagonal, less 1/4."""
    at, pair = depths(config.deepest), cosines(config.images)[[0, -1]]
    act = get("relu")
    layers = [_residual_layer(sigma_w) for sigma_w in config.sigma_w]
    found = [_scan(act, 1.0, layer, 1.0 - pair, at) / (layer.share * at) for layer in layers]
    return Panel(at, pair, np.array(found), np.full(len(found), 0.25), np.ones(len(found)))


def printed_normaliser(config: Residual = Residual()) -> Float[ndarray, "s L"]:  # noqa: B008
    """log of K^L(x, x') d/(alpha_L 2^L norm(x) norm(x')) for the most similar pair: Proposition 3 as printed, which
    says that this tends to a constant. alpha_L = 1, L or ((1 + sigma_w^2/2)/2)^L as sigma_w <, = or > sqrt(2)."""
    panel = residual(config)
    rows = []
    for sigma_w, deviation, limit in zip(config.sigma_w, panel.deviation[:, -1], panel.limit, strict=True):
        layer, s = _residual_layer(sigma_w), sigma_w**2 / 2
        log_kernel = np.log((limit + deviation) * layer.share * panel.depth * sigma_w**2)
        log_kernel += layer.log_growth * (panel.depth - 1)
        critical = abs(s - 1.0) < 1e-12
        log_alpha = np.log(panel.depth) if critical else panel.depth * np.log(max(1.0, (1 + s) / 2))
        rows.append(log_kernel - log_alpha - panel.depth * np.log(2.0))
    return np.array(rows)


def witness(config: Witness = Witness()) -> Measured:  # noqa: B008
    """Monte Carlo of panel (a): the NTK of finite random networks, from the gradients of their output (Eq. 4)."""
    x = data.unit_norm(data.digits(n=config.edge.images).x)
    first, second = divmod(int(np.argmax(x @ x.T - 1e9 * np.eye(len(x)))), len(x))
    mean, error = [], []
    for name, sigma_b in config.edge.curves:
        act, sigma_w, q = _on_the_edge(name, sigma_b)
        limit = asymptotics.coefficient(act, q, sigma_w)[0]
        # float32 is plenty beside the scatter between networks
        rows = jnp.asarray(x[[first, second]] * np.sqrt((q - sigma_b**2) / sigma_w**2), dtype=jnp.float32)
        for depth in config.depths:
            net = Network(config.width, depth, sigma_b, sigma_w)
            keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), depth), config.seeds)
            draws = np.asarray(_finite(keys, act, net, rows), dtype=float) / (q * depth) - limit
            mean.append(draws.mean())
            error.append(draws.std(ddof=1) / np.sqrt(config.seeds))
    shape = (len(config.edge.curves), len(config.depths))
    return Measured(np.array(config.depths), np.reshape(mean, shape), np.reshape(error, shape))


@partial(jax.jit, static_argnums=(1, 2))
def _finite(keys: Array, act: Activation, net: Network, x: Array) -> Array:
    """The NTK between the two rows of x of one network per key."""

    def one(key: Array) -> Array:
        params = init(key, net, x.shape[1], dtype=x.dtype)
        slopes = jax.jacrev(lambda p: apply(p, act, net, x)[:, 0])(params)
        return jnp.stack([jnp.vdot(leaf[0], leaf[1]) for leaf in jax.tree.leaves(slopes)]).sum()

    return jax.lax.map(one, keys)


def _on_the_edge(name: str, sigma_b: float) -> tuple[Activation, float, float]:
    """(activation, sigma_w, q) of the Edge-of-Chaos point that attracts; q = sigma_w^2 where any q is fixed."""
    act = get(name)
    points = eoc_points(act, sigma_b)
    if not points:
        raise ValueError(f"curves: {name} has no Edge of Chaos at sigma_b = {sigma_b:g}")
    point = next((p for p in points if p.stable), points[0])
    return act, point.sigma_w, point.sigma_w**2 if point.q is None else point.q


def _residual_layer(sigma_w: float) -> zonal.Layer:
    """A residual ReLU layer in units of q^l, which grows by 1 + s a layer, s = sigma_w^2/2."""
    s = sigma_w**2 / 2
    return zonal.Layer(1.0, sigma_w**2 / (1 + s), s / (1 + s), float(np.log1p(s)))


def _scan(
    act: Activation, q: float, layer: zonal.Layer, gaps: Sequence[float] | ndarray, at: ndarray
) -> Float[ndarray, "p L"]:
    """What K^L/q leaves over after its limiting behaviour, for pairs with 1 - correlation = gaps in layer 1."""
    table = zonal.table(act, q)
    return np.array([zonal.depth_scan(table, layer, float(gap), at).deviation for gap in gaps])
