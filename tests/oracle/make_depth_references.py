"""Write depth_references.json: kernels of deep networks on the Edge of Chaos in 60-digit arithmetic (mpmath).

    python tests/oracle/make_depth_references.py          (gmpy2, where installed, makes mpmath three times faster)

Nothing here is shared with the package. The correlation maps come from other formulas than the package's:

* ReLU: the arc-cosine map in the cosine itself, c' = (sqrt(1 - c^2) + c (pi - arccos c))/pi. It cancels near c = 1,
  which 60 digits can afford.
* tanh: Mehler's formula, E[phi(u) phi(v)] = sum_k a_k^2 c^k, with the Hermite coefficients a_k of tanh(sqrt(q) z)
  from the trapezoidal rule, which converges exponentially for functions analytic in a strip.
* ELU: E[phi''(u) phi''(v)] = exp(q (1 + c)) P(both below zero after an exponential tilt) with Owen's T function,
  integrated twice in c as a Chebyshev series in theta = arccos c.

Each map is checked against one-dimensional integrals at c = 0 and c = -1 before it is iterated.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mpmath
from mpmath import mp, mpf

mp.dps = 60
SIGMA_B = mpf(0.2)  # the double nearest to 0.2, exactly: what the package is given
COSINES = (-0.9, 0.0, 0.5, 0.99, 0.999999)
DEPTHS = (1, 2, 10, 100, 1000, 10000)
LONG = (1_000, 100_000, 1_000_000)
Map = Callable[[mpf], tuple[mpf, mpf]]  # delta -> (1 - f(1 - delta), f'(1 - delta))


def normal_mean(fn: Callable) -> mpf:
    """E[fn(Z)] by Gauss-Legendre on panels of width 1, split at 0."""
    return mp.quad(lambda z: fn(z) * mp.npdf(z), [mpf(k) for k in range(-18, 19)], method="gauss-legendre")


def relu() -> tuple[mpf, mpf, mpf, Map]:
    def layer(delta: mpf) -> tuple[mpf, mpf]:
        c = 1 - delta
        theta = mp.acos(c)
        return 1 - (mp.sqrt(1 - c * c) + c * (mp.pi - theta)) / mp.pi, 1 - theta / mp.pi

    return mpf(0), mp.sqrt(2), mpf(1), layer


def edge(square: Callable, slope_square: Callable, near: float) -> tuple[mpf, mpf]:
    """(sigma_w, q) on the Edge of Chaos at SIGMA_B from E[phi^2] and E[phi'^2] as functions of q."""
    q = mp.findroot(lambda q: SIGMA_B**2 + square(q) / slope_square(q) - q, (near, near * 1.01))
    return 1 / mp.sqrt(slope_square(q)), q


def tanh() -> tuple[mpf, mpf, mpf, Map]:
    step, count, terms = mpf(1) / 32, 26 * 32, 900
    nodes = [step * i for i in range(-count, count + 1)]
    density = [step * mp.npdf(z) for z in nodes]

    def square(q: mpf) -> mpf:
        return mp.fdot(density, [mp.tanh(mp.sqrt(q) * z) ** 2 for z in nodes])

    def slope_square(q: mpf) -> mpf:
        return mp.fdot(density, [mp.sech(mp.sqrt(q) * z) ** 4 for z in nodes])

    sigma_w, q = edge(square, slope_square, 0.512)
    weighted = [w * mp.tanh(mp.sqrt(q) * z) for w, z in zip(density, nodes, strict=True)]
    before, now = [mpf(0)] * len(nodes), [mpf(1)] * len(nodes)
    powers = [SIGMA_B**2 / q]
    for k in range(1, terms):  # orthonormal Hermite polynomials: sqrt(k) h_k = z h_{k-1} - sqrt(k-1) h_{k-2}
        up, down = 1 / mp.sqrt(k), mp.sqrt(k - 1) / mp.sqrt(k)
        before, now = now, [up * z * b - down * a for z, a, b in zip(nodes, before, now, strict=True)]
        powers.append(sigma_w**2 * mp.fdot(weighted, now) ** 2 / q if k % 2 else mpf(0))
    report("tanh: f(1) - 1 and f'(1) - 1", mp.fsum(powers) - 1, mp.fsum(k * p for k, p in enumerate(powers)) - 1)
    odd = powers[1::2]

    def layer(delta: mpf) -> tuple[mpf, mpf]:
        c = 1 - delta
        square = c * c
        value = slope = mpf(0)
        for power in reversed(odd):  # Horner's rule in c^2, for the sum and its derivative
            slope = slope * square + value
            value = value * square + power
        return 1 - powers[0] - c * value, value + 2 * square * slope

    return SIGMA_B, sigma_w, q, layer


def elu() -> tuple[mpf, mpf, mpf, Map]:
    def slope_square(q: mpf) -> mpf:
        return mpf(1) / 2 + mp.exp(2 * q) * mp.ncdf(-2 * mp.sqrt(q))

    def square(q: mpf) -> mpf:
        return q / 2 + slope_square(q) - 2 * mp.exp(q / 2) * mp.ncdf(-mp.sqrt(q))

    sigma_w, q = edge(square, slope_square, 1.1)
    legendre = gauss_legendre(70)

    def owen(h: mpf, angle: mpf) -> mpf:
        """Owen's T(h, tan(angle)), an integral over angles up to the given one; by its symmetry above pi/4."""
        if angle > mp.pi / 4:
            k = h * mp.tan(angle)
            return (mp.ncdf(h) + mp.ncdf(k)) / 2 - mp.ncdf(h) * mp.ncdf(k) - owen(k, mp.pi / 2 - angle)
        values = [w * mp.exp(-((h / mp.cos(angle * (1 + x) / 2)) ** 2) / 2) for x, w in legendre]
        return angle / 2 * mp.fsum(values) / (2 * mp.pi)

    def bend(theta: mpf) -> mpf:
        """f''(c) = sigma_w^2 q E[exp(u + v); u < 0, v < 0], with the orthant through Owen's T."""
        cosine = mp.cos(theta / 2)
        h = 2 * mp.sqrt(q) * cosine**2  # sqrt(q) (1 + c)
        return sigma_w**2 * q * mp.exp(2 * q * cosine**2) * (mp.ncdf(-h) - 2 * owen(h, theta / 2))

    size = 110
    angles = [mp.pi * (1 + mp.cos(mp.pi * (2 * j + 1) / (2 * size))) / 2 for j in range(size)]
    slope = integrate([bend(t) * mp.sin(t) for t in angles])  # 1 - f'(c)
    gap = integrate([(1 - clenshaw(slope, t)) * mp.sin(t) for t in angles])  # 1 - f(c)
    report("elu: last coefficients", *slope[-2:], *gap[-2:])

    def layer(delta: mpf) -> tuple[mpf, mpf]:
        theta = 2 * mp.asin(mp.sqrt(delta / 2))
        return clenshaw(gap, theta), 1 - clenshaw(slope, theta)

    return SIGMA_B, sigma_w, q, layer


def gauss_legendre(n: int) -> list[tuple[mpf, mpf]]:
    """Nodes and weights on [-1, 1]: Newton's method from the Chebyshev guesses."""
    rule = []
    for i in range(n):
        x = mp.cos(mp.pi * (i + mpf(3) / 4) / (n + mpf(1) / 2))
        for _ in range(8):
            before, value = mpf(1), x
            for k in range(2, n + 1):
                before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
            slope = n * (x * value - before) / (x * x - 1)
            x -= value / slope
        rule.append((x, 2 / ((1 - x * x) * slope**2)))
    return rule


def integrate(values: list[mpf]) -> list[mpf]:
    """Chebyshev series on [0, pi] of the integral from 0 of the function with ``values`` at the Chebyshev points."""
    n = len(values)
    turn = [mp.cos(mp.pi * i / (2 * n)) for i in range(4 * n)]
    series = [2 * mp.fsum(v * turn[k * (2 * j + 1) % (4 * n)] for j, v in enumerate(values)) / n for k in range(n)]
    series += [mpf(0), mpf(0)]
    result = [mpf(0)] + [mp.pi / 4 * (series[k - 1] - series[k + 1]) / k for k in range(1, n + 1)]
    result[0] = -mp.fsum((-1) ** k * r for k, r in enumerate(result))  # zero at theta = 0
    return result


def clenshaw(series: list[mpf], theta: mpf) -> mpf:
    x = 2 * theta / mp.pi - 1
    last = before = mpf(0)
    for coefficient in reversed(series[1:]):
        last, before = coefficient + 2 * x * last - before, last
    return series[0] + x * last - before


def run(layer: Map, start: mpf, depths: tuple, limit: mpf, branch: mpf | None = None) -> dict:
    """delta and K/q at ``depths``; with ``branch`` = sigma_w^2/2, of the residual ReLU network, where
    q^l = (1 + branch) q^{l-1} and K^l = K^{l-1} (1 + branch f'(c)) + branch q^{l-1} f(c)."""
    delta, ntk, found = start, 1 - start, {}
    share = branch / (1 + branch) if branch is not None else mpf(1)
    for depth in range(1, depths[-1] + 1):
        if depth > 1:
            gap, slope = layer(delta)
            ntk = ntk * (1 - share + share * slope) + share * (1 - gap)
            delta = (1 - share) * delta + share * gap
        if depth in depths:
            left = ntk / depth - limit * share
            found[depth] = {"delta": text(delta), "ntk_over_q": text(ntk), "over_depth_less_limit": text(left)}
    return found


def text(value: mpf) -> str:
    return mpmath.nstr(value, 30)


def report(label: str, *values: mpf) -> None:
    print(f"{time.process_time():7.1f} s  {label}: {', '.join(mpmath.nstr(v, 5) for v in values)}", file=sys.stderr)
    assert all(abs(v) < mpf(10) ** -45 for v in values), label


def check(name: str, phi: Callable, sigma_b: mpf, sigma_w: mpf, q: mpf, layer: Map) -> None:
    """The map at c = 0 and c = -1, where the two pre-activations are independent and opposite."""
    root = mp.sqrt(q)
    zero = 1 - (sigma_b**2 + sigma_w**2 * normal_mean(lambda z: phi(root * z)) ** 2) / q
    minus = 1 - (sigma_b**2 + sigma_w**2 * normal_mean(lambda z: phi(root * z) * phi(-root * z))) / q
    report(f"{name}: map at c = 0 and c = -1 less integrals", layer(mpf(1))[0] - zero, layer(mpf(2))[0] - minus)


FUNCTIONS = {
    "relu": lambda x: max(x, mpf(0)),
    "tanh": mp.tanh,
    "elu": lambda x: x if x > 0 else mp.expm1(x),
}


def main() -> None:
    cases = []
    for name, make in (("relu", relu), ("tanh", tanh), ("elu", elu)):
        sigma_b, sigma_w, q, layer = make()
        check(name, FUNCTIONS[name], sigma_b, sigma_w, q, layer)
        limit = mpf(1) / 4 if name == "relu" else mpf(1) / 3
        common = {"architecture": "ffnn", "activation": name}
        common |= {"sigma_b": float(sigma_b), "sigma_w": text(sigma_w), "q": text(q)}
        for cosine in COSINES:
            start = (q - sigma_b**2) * (1 - mpf(cosine)) / q
            cases.append({**common, "cosine": cosine, "depths": run(layer, start, DEPTHS, limit)})
            print(f"{time.process_time():7.1f} s  {name} {cosine}", file=sys.stderr)
        if name == "relu":
            far = run(layer, mpf(1) / 2, LONG, limit)
            cases.append({**common, "cosine": 0.5, "depths": far})
            for width in (mpf(1) / 2, mpf(2)):
                skip = run(layer, mpf(1), DEPTHS, limit, width**2 / 2)
                change = {"architecture": "residual", "sigma_w": text(width)}
                cases.append({**common, **change, "cosine": 0.0, "depths": skip})
    origin = (
        f"tests/oracle/make_depth_references.py, mpmath {mpmath.__version__} at {mp.dps} digits; both inputs start at "
        "the variance fixed point q; sigma_b and cosine are the doubles nearest to the decimals shown; "
        "ntk_over_q = K^L/q^L; over_depth_less_limit = K^L/(L q^L) - limit"
    )
    target = Path(__file__).with_name("depth_references.json")
    target.write_text(json.dumps({"origin": origin, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
