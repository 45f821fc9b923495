"""Evidence for what later versions of the paper state, and for one statement of this companion's own."""

import numpy as np

from ntk_eoc import conditioning
from ntk_eoc.activations import get
from ntk_eoc.claims.rows import Row
from ntk_eoc.data import digits
from ntk_eoc.experiments import beyond, images
from ntk_eoc.meanfield import phase
from ntk_eoc.scaled import continued, scaled_depths, tau
from ntk_eoc.spectrum import effective_rank, spectrum

CONSTANT = 1.504  # of the flow in the angle after a time of 10^6, by another solver: see tests/test_scaled.py
LIMITS = {"relu": 1 / 4, "tanh": 1 / 3}


def layers() -> list[Row]:
    """The terms of the layers between the middle and the last, and their mean."""
    config, rows = beyond.TermsConfig(), []
    for name, parts in beyond.terms(config).items():
        power = np.log2(parts[-1] / parts[config.depth // 2 - 1])
        rows.append(Row(f"{name}: power of l/L in the term of layer l", float(power), beyond.POWERS[name], 0.05))
        rows.append(Row(f"{name}: mean of the terms over the last", float(parts.mean()), LIMITS[name], 0.01))
    return rows


def scaled() -> list[Row]:
    """Growth, the flow against the layers, and the constant at the end of the flow, of ReLU."""
    act, s, rows = get("relu"), 0.5, []
    found = scaled_depths(act, 0.3, [1_000, 100_000], sigma_w=(2 * s) ** 0.5)
    for name, values in (("log q^L", found.log_growth), ("K^L(x, x)/q^L", found.kappa_diagonal)):
        rows.append(Row(f"growth of {name} by log L, s = {s}", float(np.diff(values)[0] / np.log(100)), s, 1e-3))
    _, kappa = continued(act, s, (found.delta[0], found.kappa[0]), (1_000, 100_000))
    rows.append(Row("K/q at depth 1e5, flow over layers", kappa / float(found.kappa[1]), 1.0, 1e-3))
    fast, end = 1e3, 10**4  # a strong branch brings the clock to 2,400 within that many layers
    clock = 1.0 + float(tau(fast, 1, end))
    _, kappa = continued(act, fast, (1.0, 0.0), (1, end))
    return [*rows, Row("(K/K(x, x) - 1/4) times the clock, at its end", (kappa / clock - 0.25) * clock, CONSTANT, 0.02)]


def conv() -> list[Row]:
    """Two digits, 3 x 3 filters, ReLU on the Edge of Chaos."""
    ratios = images.pair_over_depth("digits", digits().x[:2], [400])[:, 0]
    found = dict(zip(images.KINDS, ratios.tolist(), strict=True))
    limit = images.pooled_limit(0.25, images.positions("digits"))
    return [
        Row("flattened, 400 layers, over a dense network", found["flatten"] / found["dense"], 1.0, 0.01),
        Row("flattened, 400 layers", found["flatten"], 0.25, 0.012),
        Row("pooled over 64 positions, 400 layers", found["pooling"], limit, 2e-3),
        Row("pooled over 64 positions, 400 layers, as dense", found["pooling"], 0.25, 0.012, "printed"),
    ]


def sphere() -> list[Row]:
    """Shares of the degrees in the three phases, on a sphere in ten dimensions."""
    rows = []
    for name, limit in LIMITS.items():
        found = spectrum(get(name), [2_000, 4_000], **beyond.edge(name), dimension=10, highest=5)
        rate = float(np.log2(found.shares[1, 1] / found.shares[0, 1]))
        rows.append(Row(f"{name}, edge, depth 4000: share of the constants", float(found.shares[1, 0]), limit, 0.01))
        rows.append(Row(f"{name}, edge: power of L in the share of degree 1", rate, -1.0, 0.03))
        rows.append(Row(f"{name}, edge: trace outside the constants", float(found.lost[1]), 0.0, 0.1, "printed"))
        rows.append(Row(f"{name}, edge: effective rank", float(effective_rank(found)[1]), limit**-2, 0.05 / limit**2))
    tanh = get("tanh")
    ordered = spectrum(tanh, [100, 200], sigma_b=0.2, sigma_w=1.0, dimension=10, highest=5)
    chi = phase(tanh, sigma_b=0.2, sigma_w=1.0).chi
    lost = float(ordered.lost[1] / ordered.lost[0] / (2 * chi**100))
    # not deeper: a share of 1e-11 differs from one machine to the next in its fifth digit
    chaotic = spectrum(tanh, [40, 60], sigma_b=0.2, sigma_w=2.0, dimension=10, highest=5)
    chi = phase(tanh, sigma_b=0.2, sigma_w=2.0).chi
    kept = float(chaotic.shares[1, 0] / chaotic.shares[0, 0] * chi**20)
    return [
        *rows,
        Row("tanh, ordered: what is not constant, over L chi^L", lost, 1.0, 0.05),
        Row("tanh, chaotic: share of the constants, over chi^-L", kept, 1.0, 0.05),
    ]


def recommend() -> list[Row]:
    """Eight inputs at equal angles, in deep networks on and off the edge."""
    n, rows = conditioning.POINTS, []
    for name, limit in LIMITS.items():
        deep = conditioning.by_table(get(name), 4_000, **beyond.edge(name), q0=None, skip=False)
        expected = (1 + (n - 1) * limit) / (1 - limit)
        rows.append(Row(f"{name}, edge, depth 4000: condition", conditioning.condition(deep.gap), expected, 0.03))
    for phase_of, sigma_w, expected in (("ordered", 1.0, 0.0), ("chaotic", 2.0, 1.0)):
        deep = conditioning.by_table(get("tanh"), 100, sigma_b=0.2, sigma_w=sigma_w, q0=None, skip=False)
        rows.append(
            Row(
                f"tanh, {phase_of}, depth 100: one over the condition",
                1 / conditioning.condition(deep.gap),
                expected,
                1e-6,
            )
        )
    steps = conditioning.by_table(get("relu"), 300, sigma_b=0.0, sigma_w=2**0.5, q0=None, skip=False)
    return [*rows, Row("relu, depth 300: steps to a millionth, over predicted", _steps(steps.gap), 1.0, 0.05)]


def _steps(gap: np.ndarray) -> float:
    """Steps of gradient descent at the largest stable rate until the slowest direction is down to a millionth, over
    what the condition number says of them."""
    circle = np.arange(len(gap))
    gram = 1.0 - gap[(circle[:, None] - circle) % len(gap)]
    values, vectors = np.linalg.eigh(gram)
    error, count = vectors[:, 0].copy(), 0
    while np.linalg.norm(error) > 1e-6:
        error, count = error - gram @ error / values[-1], count + 1
    return float(-count * np.log1p(-1 / conditioning.condition(gap)) / np.log(1e6))
