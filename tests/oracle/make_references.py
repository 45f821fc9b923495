"""Write gaussian_moments.json: E[phi^(k)(sqrt(q) Z)^2] and pair expectations in 40-digit arithmetic (mpmath).

    python tests/oracle/make_references.py

Shared with nothing in the package: the derivatives are written out by hand, and the panels are other ones (width
at most 2 both in the activation's argument and in standard deviations, split at the kinks, 44 Gauss nodes each; 26
nodes for the two-dimensional ones, which makes them good to 20 digits and more).
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import mpmath
from mpmath import mp, mpf

mp.dps = 40
VARIANCES = ("1e-4", "1e-2", "1", "30", "1e3")
# (q1, q2, delta): unequal and equal variances, correlated, nearly opposite and close
PAIRS = (("0.7", "2.5", "0.3"), ("1.5", "1.5", "1.9"), ("0.2", "0.2001", "1e-3"), ("4", "0.5", "1"), ("1", "1", "1e-6"))
REACH, NEAR = 15, 11  # standard deviations, in one and two dimensions: cut off are exp(-112) and exp(-60)
KINKS = {"tanh": (), "elu": (0,), "hard_tanh": (-1, 1)}
Function = Callable[[mpf], mpf]


def sigmoid(x: mpf) -> mpf:
    return 1 / (1 + mp.exp(-x)) if x > -300 else mp.exp(x)


def sigmoid1(x: mpf) -> mpf:
    return sigmoid(x) * sigmoid(-x)


def sigmoid2(x: mpf) -> mpf:
    return sigmoid1(x) * (sigmoid(-x) - sigmoid(x))


def relu_like(slope: mpf) -> tuple[Function, Function, Function]:
    return lambda x: x if x > 0 else slope * x, lambda x: mpf(1) if x > 0 else slope, lambda x: mpf(0)


def elu_like(scale: mpf, alpha: mpf) -> tuple[Function, Function, Function]:
    return (
        lambda x: scale * (x if x > 0 else alpha * mp.expm1(x)),
        lambda x: scale * (mpf(1) if x > 0 else alpha * mp.exp(x)),
        lambda x: mpf(0) if x > 0 else scale * alpha * mp.exp(x),
    )


SECH2 = lambda x: mp.sech(x) ** 2  # noqa: E731
BELL = lambda x: 2 * mp.exp(-x * x) / mp.sqrt(mp.pi)  # noqa: E731

# phi, phi' and phi'' by hand; SELU's constants from the paper that introduced it, its Eq. 14, to 31 digits
ACTIVATIONS: dict[str, tuple[Function, Function, Function]] = {
    "relu": relu_like(mpf(0)),
    "leaky_relu": relu_like(mpf(0.01)),
    "prelu": relu_like(mpf(0.25)),
    "identity": relu_like(mpf(1)),
    "elu": elu_like(mpf(1), mpf(1)),
    "selu": elu_like(mpf("1.050700987355480493419334985294"), mpf("1.673263242354377284817042991671")),
    "tanh": (mp.tanh, SECH2, lambda x: -2 * mp.tanh(x) * SECH2(x)),
    "erf": (mp.erf, BELL, lambda x: -2 * x * BELL(x)),
    "sigmoid": (sigmoid, sigmoid1, sigmoid2),
    "softplus": (lambda x: max(x, mpf(0)) + mp.log1p(mp.exp(-abs(x))), sigmoid, sigmoid1),
    "silu": (
        lambda x: x * sigmoid(x),
        lambda x: sigmoid(x) + x * sigmoid1(x),
        lambda x: 2 * sigmoid1(x) + x * sigmoid2(x),
    ),
    "gelu": (
        lambda x: x * mp.ncdf(x),
        lambda x: mp.ncdf(x) + x * mp.npdf(x),
        lambda x: (2 - x * x) * mp.npdf(x),
    ),
    "sin": (mp.sin, mp.cos, lambda x: -mp.sin(x)),
    "hard_tanh": (
        lambda x: min(max(x, mpf(-1)), mpf(1)),
        lambda x: mpf(1) if abs(x) < 1 else mpf(0),
        lambda x: mpf(0),
    ),
}


def legendre(n: int) -> list[tuple[mpf, mpf]]:
    """Gauss-Legendre nodes and weights on [-1, 1] by Newton's method."""
    rule = []
    for i in range(n):
        x = mp.cos(mp.pi * (i + mpf(3) / 4) / (n + mpf(1) / 2))
        for _ in range(7):
            before, value = mpf(1), x
            for k in range(2, n + 1):
                before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
            slope = n * (x * value - before) / (x * x - 1)
            x -= value / slope
        rule.append((x, 2 / ((1 - x * x) * slope**2)))
    return rule


FINE, PLAIN = legendre(44), legendre(26)


def integral(fn: Function, marks: list[mpf], rule: list[tuple[mpf, mpf]]) -> mpf:
    edges = sorted(set(marks))
    return mp.fsum(
        (high - low) / 2 * mp.fsum(w * fn((low + high) / 2 + (high - low) / 2 * x) for x, w in rule)
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    )


def marks(root: mpf, kinks: tuple, reach: int = REACH) -> list[mpf]:
    """Panel ends in z for functions of root * z with kinks: no panel wider than 2 in z or in root * z."""
    panels = int(mp.ceil(reach * max(root, 1) / 2))
    inside = [mpf(k) / root for k in kinks if abs(k) < reach * root]
    return [mpf(reach) * i / panels for i in range(-panels, panels + 1)] + inside


def moment(name: str, order: int, q: mpf) -> mpf:
    """E[phi^(order)(sqrt(q) Z)^2]."""
    fn, root = ACTIVATIONS[name][order], mp.sqrt(q)
    return integral(lambda z: fn(root * z) ** 2 * mp.npdf(z), marks(root, (-1, 0, 1)), FINE)


def pair(name: str, q1: mpf, q2: mpf, delta: mpf) -> tuple[mpf, mpf]:
    """(1 - E[phi(u) phi(v)]/sqrt(E[phi(u)^2] E[phi(v)^2]), E[phi'(u) phi'(v)]): the inner integral is conditional on u.

    u = sqrt(q1) z, v = sqrt(q2) (c z + sqrt(1 - c^2) w). The difference from 1 is formed in 40 digits.
    """
    (phi, slope, _), kinks = ACTIVATIONS[name], KINKS[name]
    c = 1 - delta
    side, root1, root2 = mp.sqrt(delta * (2 - delta)), mp.sqrt(q1), mp.sqrt(q2)

    def conditional(fn: Function, z: mpf) -> mpf:
        """E[fn(v) | z]"""
        ends = grid + [w for k in kinks if abs(w := (mpf(k) / root2 - c * z) / side) < NEAR]
        return integral(lambda w: fn(root2 * (c * z + side * w)) * mp.npdf(w), ends, PLAIN)

    panels = int(mp.ceil(NEAR * max(root2 * side, 1) / 2))
    grid = [mpf(NEAR) * i / panels for i in range(-panels, panels + 1)]
    outer = marks(root1, kinks, NEAR)
    if side < abs(c):  # where the mean of v passes a kink, the conditional mean turns within a few times side/c
        crossings = [mpf(k) / root2 / c for k in kinks]
        turns = [m + side / c * step for m in crossings for step in range(-12, 13, 2)]
        outer = [z for z in outer + turns if abs(z) <= NEAR]
    values = [
        integral(lambda z, fn=fn: fn(root1 * z) * conditional(fn, z) * mp.npdf(z), outer, PLAIN) for fn in (phi, slope)
    ]
    return 1 - values[0] / mp.sqrt(moment(name, 0, q1) * moment(name, 0, q2)), values[1]


def moment_rows() -> Iterator[dict]:
    for name in ACTIVATIONS:
        for order in range(3):
            values = {q: mpmath.nstr(moment(name, order, mpf(float(q))), 28) for q in VARIANCES}
            yield {"activation": name, "order": order, "moments": values}


def pair_rows() -> Iterator[dict]:
    for name in KINKS:
        for point in PAIRS:
            gap, product = pair(name, *(mpf(float(x)) for x in point))
            row = {"gap": mpmath.nstr(gap, 24), "slope_product": mpmath.nstr(product, 24)}
            yield {"activation": name, **dict(zip(("q1", "q2", "delta"), point, strict=True)), **row}


def main() -> None:
    origin = (
        f"tests/oracle/make_references.py, mpmath {mpmath.__version__} at {mp.dps} digits; variances and delta are the "
        "doubles nearest to the decimals shown; moments: E[phi^(order)(sqrt(q) Z)^2] by q, jumps carry no mass"
    )
    found = {"origin": origin, "moments": list(moment_rows()), "pairs": list(pair_rows())}
    Path(__file__).with_name("gaussian_moments.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
