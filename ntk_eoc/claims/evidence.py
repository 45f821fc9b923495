"""Evidence for the paper's theory: each function computes numbers and sets them beside what they should be.

A row on the side "ours" tests our statement and must agree. A row on the side "printed" tests the paper's statement
as printed; whether it agrees decides between "holds" and the verdict for a statement that needs care.
"""

import math

import jax.numpy as jnp
import numpy as np

from ntk_eoc.activations import NAMED, get
from ntk_eoc.asymptotics import kink_terms, law
from ntk_eoc.claims.evidence_finite import grad_layers
from ntk_eoc.claims.rows import Row, on_the_edge, settled, slope
from ntk_eoc.data import digits, unit_norm
from ntk_eoc.depth import depth_kernels
from ntk_eoc.gaussian import pair
from ntk_eoc.meanfield import chaotic_delta, chi, correlation_map, eoc_points, limit_variance
from ntk_eoc.regularity import first_kink
from ntk_eoc.zonal import DepthScan, Layer, depth_scan, homogeneous_layer, table

DEPTHS = [100_000, 1_000_000]


def eoc() -> list[Row]:
    """The paper's three points, Softplus and Sigmoid; chi as the slope of the correlation map, not by its formula."""
    rows = []
    for name, sigma_b, printed in (("relu", 0.0, math.sqrt(2.0)), ("elu", 0.2, 1.227), ("tanh", 0.2, 1.302)):
        exact = eoc_points(NAMED[name], sigma_b)[0].sigma_w
        rows.append(Row(f"sigma_w of {name} on the EOC at sigma_b = {sigma_b:g}", exact, printed, 5e-4, "printed"))
    for name, sigma_b in (("elu", 0.2), ("tanh", 0.2), ("sigmoid", 0.0)):
        point = eoc_points(NAMED[name], sigma_b)[0]
        gap = jnp.array(1e-9)
        mapped = correlation_map(NAMED[name], jnp.array(point.q), gap, sigma_b=sigma_b, sigma_w=point.sigma_w)
        rows.append(Row(f"slope of the correlation map of {name} at c = 1", float(mapped / gap), 1.0, 1e-6))
    for name, expected in (("softplus", 0.0), ("sigmoid", 0.0)):
        count = float(len(eoc_points(NAMED[name], 0.0)))
        rows.append(Row(f"EOC points of {name} at sigma_b = 0", count, expected, 0.0, "printed"))
    return rows


def prop1() -> list[Row]:
    """Ordered: the rate. Chaotic: the limits on and off the diagonal."""
    rows = [ordered_rate(name, sigma_b, sigma_w) for name, sigma_b, sigma_w in ORDERED]
    act, sigma_b, sigma_w = NAMED["tanh"], 0.3, 2.0
    q = limit_variance(act, sigma_b=sigma_b, sigma_w=sigma_w)
    delta = chaotic_delta(act, q, sigma_b=sigma_b, sigma_w=sigma_w)
    star = sigma_w**2 * float(pair(act, jnp.array(q), jnp.array(q), jnp.array(delta)).slope_product)
    deep = settled("tanh", sigma_b, sigma_w, [299, 300])
    rows.append(
        Row(
            "chaotic: K off the diagonal / (q_off/(1 - chi_c*))",
            deep.ntk[-1] * (1 - star) / (q * (1 - delta)),
            1.0,
            1e-9,
        )
    )
    growth = float(
        np.log(deep.ntk_diagonal[-1] / deep.ntk_diagonal[-2]) / np.log(chi(act, jnp.array(q), sigma_w=sigma_w))
    )
    rows.append(Row("chaotic: growth of log K(x, x) per layer / log chi", growth, 1.0, 1e-6))
    rows.append(
        Row(
            "chaotic: K off / on the diagonal at depth 300",
            float(deep.ntk[-1] / deep.ntk_diagonal[-1]),
            1.0,
            0.1,
            "printed",
        )
    )
    return rows


ORDERED = (("tanh", 0.2, 1.0), ("elu", 0.2, 1.0), ("relu", 0.2, 1.2))


def ordered_rate(name: str, sigma_b: float, sigma_w: float, side: str = "ours") -> Row:
    """The measured exponential rate of K^L - q/(1 - chi) over log chi: 1 with a prefactor L, but 1/2 with a kink.

    delta falls like chi^L. Without a kink chi - qdot falls in step with it and the deviation is of order L chi^L; with
    one it falls like sqrt(delta), and the deviation like chi^(L/2).
    """
    depths = [400, 800]
    found = settled(name, sigma_b, sigma_w, depths)
    kinked = first_kink(get(name)) == 1
    logs = np.log(np.abs(found.deviation)) - (0.0 if kinked else np.log(depths))
    log_chi = float(np.log(chi(get(name), jnp.array(found.q[-1]), sigma_w=sigma_w)))
    rate = slope(logs, np.array(depths)) / log_chi
    expected = 0.5 if kinked and side == "ours" else 1.0
    return Row(f"ordered {name}: rate of K^L - q/(1 - chi) over log chi", rate, expected, 0.01, side)


def prop2a() -> list[Row]:
    """ReLU-like: the limit 1/4, the diagonal, and the logarithm in the next term."""
    found = on_the_edge("relu", DEPTHS)
    per_log = slope(found.deviation, np.log(DEPTHS))
    q = found.q[-1]
    return [
        Row("relu: d[L (K/(L q) - 1/4)]/d log L", per_log, law(NAMED["relu"], sigma_b=0.0).coefficient, 1e-3),
        Row("relu: d[L (K/(L q) - 1/4)]/d log L, bounded by A as printed", per_log, 0.0, 0.01, "printed"),
        Row("relu: K^L/(L q) off the diagonal at L = 10^6", found.ntk[-1] / (1e6 * q), 0.25, 1e-4),
        Row("relu: K^L(x, x)/L over sigma_w^2 |x|^2/d", found.ntk_diagonal[-1] / 1e6 / 2.0, 1.0, 1e-4, "printed"),
    ]


def prop2b() -> list[Row]:
    """Smooth activations have the logarithm; ELU, of the same class in the paper, goes like L^(-1/2)."""
    rows = []
    for name in ("tanh", "silu"):
        per_log = slope(on_the_edge(name, DEPTHS).deviation, np.log(DEPTHS))
        rows.append(
            Row(f"{name}: d[L (K/(L q) - 1/3)]/d log L", per_log, law(NAMED[name], sigma_b=0.2).coefficient, 1e-3)
        )
    deep = on_the_edge("elu", DEPTHS)
    value = slope(deep.deviation, np.sqrt(DEPTHS))
    rows.append(Row("elu: d[L (K/(L q) - 1/3)]/d sqrt L", value, law(NAMED["elu"], sigma_b=0.2).coefficient, 1e-3))
    local = slope(np.log(np.abs(deep.deviation)), np.log(DEPTHS)) - 1.0
    rows.append(
        Row("elu: log-log slope of K/(L q) - 1/3 at L = 10^6, -1 up to a logarithm", local, -1.0, 0.15, "printed")
    )
    return rows


def prop2c() -> list[Row]:
    """K^L/(L q) of real inputs tends to an invertible matrix: its smallest eigenvalue tends to 1 - limit."""
    x = unit_norm(digits(8).x)
    rows = []
    for name, sigma_b in (("relu", 0.0), ("tanh", 0.2)):
        found = law(NAMED[name], sigma_b=sigma_b)
        tab = table(NAMED[name], found.point.q or 1.0)
        layer = Layer(1.0, found.point.sigma_w**2, 1.0, 0.0)
        gaps = 0.5 * np.sum((x[:, None] - x[None]) ** 2, -1) / x.shape[1]
        scaled = np.eye(8)
        for i, j in zip(*np.triu_indices(8, 1), strict=True):
            scaled[i, j] = scaled[j, i] = depth_scan(tab, layer, float(gaps[i, j]), np.array([100_000])).kappa[0] / 1e5
        least = float(np.linalg.eigvalsh(scaled)[0])
        rows.append(
            Row(
                f"{name}: least eigenvalue of K^L(X, X)/(L q), 8 digits, L = 10^5",
                least,
                1 - found.limit,
                0.01,
                "printed",
            )
        )
    return rows


def prop3() -> list[Row]:
    """Residual ReLU: one limit and one coefficient for every sigma_w, in units of the diagonal's growth."""
    rows = []
    for sigma_w in (0.5, 1.0, 2.0):
        share, scan = residual_scan(sigma_w)
        rows.append(
            Row(f"residual relu, sigma_w = {sigma_w:.4g}: limit", scan.kappa[-1] / (share * scan.depth[-1]), 0.25, 1e-3)
        )
        expected = law(NAMED["relu"], sigma_b=0.0, sigma_w=sigma_w, architecture="residual").coefficient
        rows.append(
            Row(
                f"residual relu, sigma_w = {sigma_w:.4g}: coefficient",
                slope(scan.deviation / share, np.log(scan.depth)),
                expected,
                2e-3,
            )
        )
        # delta = (2/(A share L))^2 at leading order: the branch's share slows the correlations down
        A, _ = kink_terms(NAMED["relu"], 1.0, math.sqrt(2.0))
        arrived = share * scan.depth[-1] * math.sqrt(scan.delta[-1]) * A / 2
        rows.append(Row(f"residual relu, sigma_w = {sigma_w:.4g}: share L sqrt(delta) A/2", arrived, 1.0, 1e-3))
    found = depth_kernels(NAMED["relu"], 0.3, [50, 100], sigma_b=0.0, sigma_w=1.0, architecture="residual")
    ratio = float(found.ntk[1] / found.ntk[0] / 2.0**50)
    rows.append(Row("residual relu, sigma_w = 1: K/2^L at depth 100 over depth 50", ratio, 1.0, 0.1, "printed"))
    return rows


def residual_scan(sigma_w: float) -> tuple[float, DepthScan]:
    """(share, scan) of a residual ReLU network in units of its own variance, which float64 carries to any depth.

    To L = 4 10^6, where the smallest branch has converged to three digits.
    """
    tab = table(NAMED["relu"], 1.0)
    layer = homogeneous_layer(tab, sigma_w, "residual")
    return layer.share, depth_scan(tab, layer, 0.7, np.array([10**6, 4 * 10**6]))


def fig1a() -> list[Row]:
    """Figure 1a: the slopes that its depths show, and what they hide."""
    shallow = np.log(np.abs(on_the_edge("elu", [20, 30], cosine=0.0).deviation))
    deep = {name: on_the_edge(name, DEPTHS).deviation for name in ("relu", "elu")}
    log_log = slope(np.log(np.abs(deep["elu"])), np.log(DEPTHS)) - 1.0
    return [
        Row(
            "elu, orthogonal inputs: log-log slope from L = 20 to 30",
            slope(shallow, np.log([20, 30])) - 1.0,
            -1.0,
            0.15,
        ),
        Row("elu: log-log slope from L = 10^5 to 10^6", log_log, -0.5, 0.02),
        Row("elu: log-log slope from L = 10^5 to 10^6, as printed", log_log, -1.0, 0.1, "printed"),
        Row("relu: d[L deviation]/d log L, the logarithm seen", slope(deep["relu"], np.log(DEPTHS)), 3 / 8, 1e-3),
    ]


def fig1b() -> list[Row]:
    """Figure 1b: exponential decay in the ordered phase."""
    rows = []
    for name, sigma_b, sigma_w in ORDERED:
        if name != "tanh":
            depths = [400, 800, 1200]
            logs = np.log(np.abs(settled(name, sigma_b, sigma_w, depths).deviation))
            bend = slope(logs, np.array(depths)) / slope(logs[:2], np.array(depths[:2]))
            rows += [
                Row(f"{name}: slope of the semi-log plot from L = 800 over that from 400", bend, 1.0, 0.05, "printed")
            ]
            rows += [ordered_rate(name, sigma_b, sigma_w)]
    return rows


def fig1c() -> list[Row]:
    """Figure 1c: residual networks, L times the deviation: bounded as printed, or growing like log L."""
    rows = []
    for sigma_w in (0.5, 2.0):
        share, scan = residual_scan(sigma_w)
        per_log = slope(scan.deviation / share, np.log(scan.depth))
        rows.append(Row(f"residual relu, sigma_w = {sigma_w:g}: d[L deviation]/d log L", per_log, 3 / 8, 2e-3))
        rows.append(Row(f"residual relu, sigma_w = {sigma_w:g}: the same, bounded", per_log, 0.0, 0.01, "printed"))
    return rows


def grad(seed: int = 0) -> list[Row]:
    """Layer contributions of one order: K^L(x, x) grows by q per layer, from an input off the variance fixed point."""
    rows = []
    for name, sigma_b in (("tanh", 0.2), ("elu", 0.2), ("relu", 0.0)):
        act, sigma_w = NAMED[name], law(NAMED[name], sigma_b=sigma_b).point.sigma_w
        found = depth_kernels(act, 0.0, [2000, 4000], sigma_b=sigma_b, sigma_w=sigma_w, q0=0.8)
        per_layer = slope(found.ntk_diagonal, np.array([2000.0, 4000.0])) / float(found.q[-1])
        rows.append(Row(f"{name}: growth of K^L(x, x) per layer over q", per_layer, 1.0, 1e-6, "printed"))
    return rows + grad_layers(seed)
