"""Evidence on finite networks: Eq. 4 as an identity, Eq. 6 as a limit with its orders, gradients through the layers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy import ndarray

from ntk_eoc.activations import get
from ntk_eoc.claims.rows import Row
from ntk_eoc.empirical import dense_ntk
from ntk_eoc.experiments.ensembles import draw, edge, ensemble, gradient_norms, images, settled, standard
from ntk_eoc.experiments.finite_ntk import RatioConfig, WidthConfig, order, ratio, relu_spread, width_errors
from ntk_eoc.experiments.ntk_drift import DriftConfig, drift
from ntk_eoc.experiments.ntk_parts import learned_slopes
from ntk_eoc.meanfield import chi, limit_variance
from ntk_eoc.networks import Network, apply
from ntk_eoc.optimise import gradient_descent


def eq4(seed: int = 0) -> list[Row]:
    """The sum over layers against all derivatives at once, and what it is for: the change of f in one small step."""
    rows = []
    for name, architecture, kind in (("tanh", "ffnn", "ntk"), ("relu", "residual", "standard"), ("elu", "ffnn", "ntk")):
        act, net, x = get(name), edge(name, width=24, depth=5, architecture=architecture), images(4)
        params = jax.tree.map(lambda leaf: leaf[0], next(draw(net, x.shape[1], seeds=1, seed=seed)))
        params = standard(params, net) if kind == "standard" else params
        jacobian = jax.jit(jax.jacrev(lambda p, act=act, net=net, x=x: apply(p, act, net, x)[:, 0]))(params)
        whole = np.concatenate([np.asarray(leaf).reshape(len(x), -1) for leaf in jax.tree.leaves(jacobian)], axis=1)
        parts = np.asarray(dense_ntk(params, act, net, x, by_layer=True))[..., 0, 0]
        label = f"{name}, {architecture}, {kind}"
        rows.append(
            Row(f"{label}: sum over layers over J J^T", _worst(parts.sum(0), whole @ whole.T), 1.0, 1e-9, "printed")
        )
        alone = np.array([layer @ layer.T for layer in _by_layer(jacobian)])
        rows.append(Row(f"{label}: each layer over J_l J_l^T", _worst(parts, alone), 1.0, 1e-9, "printed"))
        rows.append(Row(f"{label}: change of f in a small step over that by K", _step(params, act, net, x), 1.0, 1e-4))
    return rows


def _worst(found: ndarray, right: ndarray) -> float:
    """The quotient that is furthest from 1."""
    quotient = (found / right).ravel()
    return float(quotient[np.argmax(np.abs(quotient - 1.0))])


def _by_layer(jacobian: Any) -> list[ndarray]:
    """Jacobians (N, P_l) of the layers, weights and biases side by side."""
    hidden = [jax.tree.map(lambda a, i=i: a[:, i], jacobian.hidden) for i in range(jacobian.hidden.bias.shape[1])]
    layers = [jacobian.first, *hidden, jacobian.last]
    return [np.concatenate([np.asarray(a).reshape(len(a), -1) for a in layer], axis=1) for layer in layers]


def _step(params: Any, act: Any, net: Network, x: Array) -> float:
    """The change of f in one step of gradient descent over -(eta/N) K (f - Y), as a regression coefficient."""
    y = jnp.where(jnp.arange(len(x)) % 2, 1.0, -1.0)[:, None]
    kernel = np.asarray(dense_ntk(params, act, net, x))[..., 0, 0]
    rate = 1e-6 * len(x) / float(np.trace(kernel))
    run = gradient_descent(lambda p, x: apply(p, act, net, x), params, x, y, rate=rate, steps=[0, 1])
    expected = -rate / len(x) * kernel @ (run.train[0] - np.asarray(y))
    return float(np.vdot(run.train[1] - run.train[0], expected) / np.vdot(expected, expected))


def eq6(seed: int = 0) -> list[Row]:
    """The limit of large width: its orders at a fixed depth; and that it is one at a fixed depth and fixed slopes."""
    grid = WidthConfig(depths=(3,), widths=(32, 256), seeds=384, images=4)  # standard errors: a fifth of the tolerance
    errors, rows = width_errors(grid, seed), []
    for kind, part in zip(("dense", "residual"), errors, strict=True):
        for name, found in zip(grid.activations, part[:, 0], strict=True):
            value = order(grid.widths, found).exponent
            rows.append(Row(f"{kind} {name}, depth 3: order of |K_n - K| in the width", value, -0.5, 0.1))
    moved = drift(DriftConfig(sizes=((2, 64), (2, 256), (2, 1024)), steps=(64,), seeds=24), seed).moved[:, :, 0]
    for name, found in zip(("relu", "elu", "tanh"), moved, strict=True):
        # the proved rate is n^(-1/2); steeper is better, and what is measured at three widths lies between it and -1
        short = max(0.0, order((64, 256, 1024), found).exponent + 0.5)
        rows.append(Row(f"{name}, depth 2: what the order of |K_t - K_0| in the width lacks of -1/2", short, 0.0, 0.05))
    cells = ratio(RatioConfig(("relu",), (4, 16), (16, 64), largest=0.25, numbers=2**25), seed=seed)
    spread = cells.spread[0, :, 0]
    rows.append(
        Row("relu, depth 4, width 64: spread of K_n(x, x) over its law", spread[1] / relu_spread(4, 64), 1.0, 0.1)
    )
    rows.append(Row("relu, depth 4: spread at width 64 over width 16", spread[1] / spread[0], 0.5, 0.1, "printed"))
    rows.append(Row("relu, depth = width/4: the same", spread[2] / spread[0], 0.5, 0.1, "printed"))
    slopes = learned_slopes((16, 256), seeds=512, seed=seed).slopes.std(axis=1)
    rows.append(
        Row(
            "prelu: spread of the learned slopes' part, width 256 over width 16",
            slopes[1] / slopes[0],
            0.25,
            0.1,
            "printed",
        )
    )
    return rows


def grad_layers(seed: int = 0) -> list[Row]:
    """Finite networks of depth 16: parts of Eq. 4 and norms of gradients, in the first layer over the last."""
    rows, width, depth = [], 128, 16
    for name in ("tanh", "elu", "relu"):
        net = edge(name, width=width, depth=depth)
        parts, norms = _first_over_last(name, net, seed, 256)  # standard errors: a quarter of the tolerance
        rows.append(
            Row(
                f"{name} on the EOC, width 128: part of layer 1 of K(x, x) over that of layer 16",
                parts,
                1.0,
                0.25,
                "printed",
            )
        )
        rows.append(Row(f"{name} on the EOC, width 128: |df/dy^1|^2 over |df/dy^16|^2", norms, 1.0, 0.25, "printed"))
    for sigma_w, label in ((0.9, "ordered"), (1.8, "chaotic")):
        net = Network(width, depth, 0.2, sigma_w)
        q = limit_variance(get("tanh"), sigma_b=0.2, sigma_w=sigma_w)
        rate = 15 * float(np.log(chi(get("tanh"), jnp.array(q), sigma_w=sigma_w)))
        parts, norms = _first_over_last("tanh", net, seed, 64)
        rows.append(
            Row(f"tanh, {label}: log of the same parts' quotient over 15 log chi", np.log(parts) / rate, 1.0, 0.1)
        )
        rows.append(
            Row(f"tanh, {label}: log of the same norms' quotient over 15 log chi", np.log(norms) / rate, 1.0, 0.1)
        )
    return rows


def _first_over_last(name: str, net: Network, seed: int, networks: int) -> tuple[float, float]:
    act = get(name)
    x = settled(act, net, images(2))
    parts = np.einsum("slii->l", ensemble(act, net, x, seeds=networks, seed=seed, by_layer=True))
    norms = gradient_norms(act, net, x, seeds=networks, seed=seed).sum(axis=0)
    return float(parts[0] / parts[-1]), float(norms[0] / norms[-1])
