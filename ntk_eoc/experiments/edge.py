"""Proposition 2 in numbers: limits at the Edge of Chaos, nearly equal inputs, the layers' shares, the limit matrix."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from ntk_eoc import zonal
from ntk_eoc.activations import Activation, get
from ntk_eoc.asymptotics import Law, curvature_terms, kink_terms, law
from ntk_eoc.data import digits, unit_norm
from ntk_eoc.kernels import first_layer, layer_by_layer
from ntk_eoc.networks import Network, apply, init


class Config(NamedTuple):
    """``sigma_b`` for all but ReLU-like activations, whose Edge of Chaos has 0; ``seed``: of networks and data."""

    activations: tuple[str, ...] = ("relu", "selu", "elu", "tanh", "erf")
    sigma_b: float = 0.2
    deepest: int = 100_000
    cosine: float = 0.3
    seed: int = 0


class Edge(NamedTuple):
    """An activation at its Edge of Chaos, and the norm |x|^2/d = ``q0`` that has the variance q from layer 1 on."""

    act: Activation
    sigma_b: float
    law: Law
    q: float
    q0: float


def edge(name: str, sigma_b: float) -> Edge:
    """The point of the Edge of Chaos of a named activation; q = 1 where every variance is fixed.

    >>> edge("relu", 0.2).sigma_b
    0.0
    """
    act = get(name)
    sigma_b = 0.0 if act.slopes else sigma_b
    found = law(act, sigma_b=sigma_b)
    q = 1.0 if found.point.q is None else found.point.q
    return Edge(act, sigma_b, found, q, (q - sigma_b**2) / found.point.sigma_w**2)


def pair_at(at: Edge, gap: float, depths: np.ndarray) -> zonal.DepthScan:
    """Kernels of two inputs whose *first layer* has 1 - correlation = ``gap``, from the fixed variance on.

    >>> pair_at(edge("relu", 0.0), 1.0, np.array([1, 2])).kappa.round(5).tolist()
    [0.0, 0.31831]
    """
    layer = zonal.Layer(1.0, at.law.point.sigma_w**2, 1.0, 0.0)
    return zonal.depth_scan(zonal.table(at.act, at.q), layer, gap, depths)


def log_depths(deepest: int, per_decade: int = 8) -> np.ndarray:
    """Whole depths from 1 to ``deepest``, evenly spaced in the logarithm.

    >>> log_depths(10, per_decade=2).tolist()
    [1, 3, 10]
    """
    return np.unique(np.rint(np.geomspace(1, deepest, int(round(np.log10(deepest) * per_decade)) + 1)).astype(int))


class Ratios(NamedTuple):
    """``ratio`` (A, D) = K^L(x, x')/(L q) at ``depths`` (D,); ``limits`` (A,)."""

    depths: np.ndarray
    ratio: np.ndarray
    limits: np.ndarray


def limits(config: Config) -> Ratios:
    """The two limits: one pair of inputs, several activations.

    >>> limits(Config(("relu",), deepest=100)).ratio[0, -1].round(3)
    np.float64(0.275)
    """
    depths, points = log_depths(config.deepest), [edge(name, config.sigma_b) for name in config.activations]
    ratio = np.array([pair_at(at, 1.0 - config.cosine, depths).kappa / depths for at in points])
    return Ratios(depths, ratio, np.array([at.law.limit for at in points]))


class Crossover(NamedTuple):
    """Pairs of nearly equal inputs: ``ratio`` (G, D) for ``gaps`` (G,) and ``stretch`` (G, D), the number x of
    ``crossover_curve``; ``half`` (G,), the depth at which the ratio is half-way to its limit (NaN: later)."""

    gaps: np.ndarray
    depths: np.ndarray
    ratio: np.ndarray
    stretch: np.ndarray
    half: np.ndarray


def crossover_curve(stretch: np.ndarray, limit: float) -> np.ndarray:
    """K^L/(L q) = limit (1 + 1/x + 1/x^2 [+ 1/x^3]): the passage from 1 to the limit as a function of x >= 1.

    >>> crossover_curve(np.array([1.0, 1e9]), 0.25).round(6).tolist()
    [1.0, 0.25]
    """
    return np.asarray(limit * sum(stretch**-k for k in range(round(1 / limit))))


def half_way(limit: float) -> float:
    """The x at which ``crossover_curve`` is half-way between 1 and its limit.

    >>> round(half_way(1 / 3), 3)
    1.618
    """
    return brentq(lambda x: float(crossover_curve(np.array(x), limit)) - 0.5 * (1 + limit), 1.0, 10.0)


def crossover(name: str, config: Config, gaps: tuple[float, ...] = (1e-2, 1e-4, 1e-6, 1e-8)) -> Crossover:
    """Where two nearly equal inputs part: x = 1 + A sqrt(gap) L/2 with a kink in phi, x = 1 + a gap L/2 without.

    >>> crossover("relu", Config(deepest=1000), gaps=(1e-4,)).half.shape
    (1,)
    """
    at, depths = edge(name, config.sigma_b), log_depths(config.deepest)
    ratio = np.array([pair_at(at, gap, depths).kappa / depths for gap in gaps])
    speed = np.array([_speed(at, gap) for gap in gaps])
    middle = 0.5 * (1 + at.law.limit)
    half = [np.exp(np.interp(-middle, -r, np.log(depths))) if r[-1] < middle else np.nan for r in ratio]
    return Crossover(np.array(gaps), depths, ratio, 1 + speed[:, None] * depths, np.array(half))


def _speed(at: Edge, gap: float) -> float:
    if at.law.limit == 0.25:
        return 0.5 * kink_terms(at.act, at.q, at.law.point.sigma_w)[0] * gap**0.5
    return 0.5 * curvature_terms(at.act, at.q, at.law.point.sigma_w)[0] * gap


class Shares(NamedTuple):
    """What layer l adds to K^L/q, l = 1..L: ``share`` (A, L) off the diagonal (on it, each adds 1);
    ``total`` (A,) = K^L/q from the depth engine."""

    place: np.ndarray
    share: np.ndarray
    total: np.ndarray


def layer_shares(config: Config, depth: int = 1000) -> Shares:
    """c^l times the product of qdot over the layers above l, as a function of l/L.

    >>> shares = layer_shares(Config(("relu",)), depth=50)
    >>> bool(np.allclose(shares.share.sum(axis=1), shares.total, rtol=1e-12))
    True
    """
    levels, rows, totals = np.arange(1, depth + 1), [], []
    for name in config.activations:
        at = edge(name, config.sigma_b)
        found = pair_at(at, 1.0 - config.cosine, levels)
        _, gap = zonal.look_up(zonal.table(at.act, at.q), jnp.sqrt(0.5 * found.delta))
        slopes = 1.0 - at.law.point.sigma_w**2 * np.asarray(gap)
        above = np.append(np.cumprod(slopes[-2::-1])[::-1], 1.0)
        rows.append((1.0 - found.delta) * above)
        totals.append(found.kappa[-1])
    return Shares(levels / depth, np.array(rows), np.array(totals))


class Witness(NamedTuple):
    """Inner products of two inputs' gradients, layer by layer, over random networks: ``mean`` and its standard
    ``error``, (2, L), in the order (same input, two inputs), in units of q."""

    mean: np.ndarray
    error: np.ndarray


def gradient_shares(
    config: Config, name: str = "relu", depth: int = 20, width: int = 256, networks: int = 48
) -> Witness:
    """Layer-wise gradient products of finite networks at the Edge of Chaos, in the NTK parameterisation.

    >>> gradient_shares(Config(), depth=3, width=16, networks=4).mean.shape
    (2, 3)
    """
    at = edge(name, config.sigma_b)
    net = Network(width, depth, at.sigma_b, at.law.point.sigma_w)
    x = jnp.array([[1.0, 0.0], [config.cosine, (1 - config.cosine**2) ** 0.5]]) * (2 * at.q0) ** 0.5
    keys = jax.random.split(jax.random.key(config.seed), networks)
    found = np.asarray(_gradient_products(at.act, net, keys, x)) / at.q
    return Witness(found.mean(axis=0), found.std(axis=0, ddof=1) / networks**0.5)


@partial(jax.jit, static_argnums=(0, 1))
def _gradient_products(act: Activation, net: Network, keys: jax.Array, x: jax.Array) -> jax.Array:
    def product(g: jax.Array, h: jax.Array) -> jax.Array:
        return jnp.sum(g * h, axis=(-2, -1)) if g.ndim > 1 else jnp.sum(g * h)

    def one(key: jax.Array) -> jax.Array:
        params = init(key, net, x.shape[1])
        g, h = (jax.grad(lambda p, row=row: apply(p, act, net, row[None])[0, 0])(params) for row in x)
        rows = []
        for other in (g, h):
            parts = [
                [product(g.first.weight, other.first.weight) + product(g.first.bias, other.first.bias)],
                product(g.hidden.weight, other.hidden.weight) + jnp.sum(g.hidden.bias * other.hidden.bias, axis=-1),
                [product(g.last.weight, other.last.weight) + product(g.last.bias, other.last.bias)],
            ]
            rows.append(jnp.concatenate([jnp.asarray(part) for part in parts]))
        return jnp.stack(rows)

    return jax.lax.map(one, keys)


class Spectrum(NamedTuple):
    """Extreme eigenvalues of K^L(X, X)/(L q): ``smallest``, ``largest`` (A, D), and those of J/q, ``limit`` (A, 2)."""

    depths: np.ndarray
    smallest: np.ndarray
    largest: np.ndarray
    limit: np.ndarray
    closest: float


def spectrum(config: Config, count: int = 40) -> Spectrum:
    """The Gram matrix of ``count`` digits of one norm on its way to J = q (lambda 11^T + (1 - lambda) I).

    ``closest`` = the smallest 1 - cosine between two of the digits.

    >>> found = spectrum(Config(("relu",), deepest=100), count=4)
    >>> bool(found.smallest[0, -1] < found.limit[0, 0])
    True
    """
    x, depths = jnp.asarray(unit_norm(digits(count, config.seed).x)), log_depths(config.deepest, 4)
    values = []
    for name in config.activations:
        at = edge(name, config.sigma_b)
        sigmas = {"sigma_b": at.sigma_b, "sigma_w": at.law.point.sigma_w}
        start = first_layer(x * at.q0**0.5, x * at.q0**0.5, **sigmas)
        states = layer_by_layer(at.act, start, depths.tolist(), **sigmas, architecture="ffnn")
        eigen = [
            np.linalg.eigvalsh(np.asarray(s.ntk) / (at.q * depth)) for s, depth in zip(states, depths, strict=True)
        ]
        lam = at.law.limit
        values.append((np.array(eigen)[:, 0], np.array(eigen)[:, -1], (1 - lam, 1 + (count - 1) * lam)))
    smallest, largest, limit = (np.array(part) for part in zip(*values, strict=True))
    cosines = np.asarray(x @ x.T) / x.shape[1]
    return Spectrum(depths, smallest, largest, limit, 1.0 - float(cosines[~np.eye(count, dtype=bool)].max()))
