"""The second term of K^L/(L q): ten million layers per activation, recorded once and repeated at a small size.

Off the diagonal, at the Edge of Chaos and from the variance fixed point on,

    K^L/q = limit L + root sqrt(L) + slope log(L) + constant + o(1),

with root = 0 unless phi' has a kink. ``terms`` holds the three numbers that theory knows; the constant remembers the
two inputs. ``python -m ntk_eoc.experiments.logarithm --out book/results`` records the whole run.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_eoc import records, zonal
from ntk_eoc.activations import Activation, derivative, get
from ntk_eoc.asymptotics import curvature_terms, kink_terms, law

# x/(1 + |x|) (Bergstra et al. 2009) has, like ELU, a phi'' that jumps at the origin
SOFTSIGN = Activation("softsign", lambda x: x / (1.0 + jnp.abs(x)), (0.0,), source="x/(1 + |x|)")
KINKED = ("relu", "leaky_relu", "selu", "hard_tanh")
CURVED = ("elu", "softsign")
SMOOTH = ("tanh", "erf", "sigmoid", "sin", "gelu", "silu")


class Config(NamedTuple):
    """A pair of inputs whose first layer has correlation ``cosine``; ``sigma_b`` for all but ReLU-like activations,
    whose Edge of Chaos has 0."""

    activations: tuple[str | Activation, ...] = KINKED + CURVED + SMOOTH
    sigma_b: float = 0.2
    cosine: float = 0.3
    deepest: int = 10_000_000
    per_decade: int = 8


class Terms(NamedTuple):
    """K^L/q = limit L + root sqrt(L) + slope log(L) + constant + o(1) at the Edge-of-Chaos point (sigma_w, q)."""

    sigma_w: float
    q: float
    limit: float
    root: float
    slope: float


class Run(NamedTuple):
    """``depths`` (D,); ``terms`` (A, 5) in the order of ``Terms``; ``deviation`` = K^L/q - limit L and ``delta``,
    each (A, D)."""

    activations: tuple[str, ...]
    depths: np.ndarray
    terms: np.ndarray
    deviation: np.ndarray
    delta: np.ndarray


def activation(spec: str | Activation) -> Activation:
    """A named activation, softsign, or the reader's own.

    >>> activation("softsign").kinks
    (0.0,)
    """
    return SOFTSIGN if spec == SOFTSIGN.name else get(spec)


def terms(act: Activation, sigma_b: float) -> Terms:
    """What theory says of K^L/q, down to the logarithm, for every class of activations.

    Where phi' has a kink the law of ``asymptotics`` is the square root, and the logarithm comes after it:
    1 - f'(1 - delta) = a delta - (2/3) beta delta^(3/2) - gamma delta^2 + ... and h = (beta/a) sqrt(2/a) give the slope
    1/3 - 4 gamma/(9 a^2) - (64/675) h^2. The kink terms of phi', in place of phi, are ((2/3) beta, gamma)/q.

    >>> terms(activation("relu"), 0.0)[2:]
    (0.25, 0.0, 0.375)
    """
    found = law(act, sigma_b=0.0 if act.slopes else sigma_b)
    sigma_w, q = found.point.sigma_w, 1.0 if found.point.q is None else found.point.q
    if found.rate == "log(L)/L":
        return Terms(sigma_w, q, found.limit, 0.0, found.coefficient)
    a, beta = curvature_terms(act, q, sigma_w)
    _, over_q = kink_terms(Activation(f"{act.name}'", derivative(act), act.kinks), q, sigma_w)
    h_squared = 2 * beta**2 / a**3
    slope = 1 / 3 - 4 * q * over_q / (9 * a * a) - 64 / 675 * h_squared
    return Terms(sigma_w, q, found.limit, found.coefficient, slope)


def depths_of(config: Config) -> np.ndarray:
    """``per_decade`` depths a decade from 1 to ``deepest``; a shallower run's depths are among a deeper one's."""
    decades = np.log10(config.deepest)
    exponents = np.arange(int(round(decades * config.per_decade)) + 1) / config.per_decade
    return np.unique(np.rint(10.0**exponents).astype(np.int64))


def run(config: Config) -> Run:
    """Every activation of ``config`` at its Edge of Chaos, one pair of inputs from the variance fixed point on.

    >>> run(Config(("relu",), deepest=1000)).deviation.shape
    (1, 23)
    """
    depths = depths_of(config)
    rows = [_one(activation(spec), depths, config) for spec in config.activations]
    known, deviation, delta = (np.array(column) for column in zip(*rows, strict=True))
    names = tuple(spec if isinstance(spec, str) else spec.name for spec in config.activations)
    return Run(names, depths, known, deviation, delta)


def _one(act: Activation, depths: np.ndarray, config: Config) -> tuple[Terms, np.ndarray, np.ndarray]:
    known = terms(act, 0.0 if act.slopes else config.sigma_b)
    layer = zonal.Layer(1.0, known.sigma_w**2, 1.0, 0.0)
    found = zonal.depth_scan(zonal.table(act, known.q), layer, 1.0 - config.cosine, depths)
    return known, found.deviation, found.delta


class Lines(NamedTuple):
    """``measured`` and ``theory``, each (A, D), over ``x`` (D,)."""

    x: np.ndarray
    measured: np.ndarray
    theory: np.ndarray


def lines(found: Run) -> Lines:
    """K^L/q - limit L - root sqrt(L) over log(L): straight lines, theory's fixed at the deepest depth."""
    x, (root, slope) = np.log(found.depths), found.terms.T[3:, :, None]
    rest = found.deviation - root * np.sqrt(found.depths)
    return Lines(x, rest, rest[:, -1:] + slope * (x - x[-1]))


def roots(found: Run) -> Lines:
    """(K^L/(L q) - limit) sqrt(L) over log(L)/sqrt(L): tends to ``root`` at x = 0."""
    scale, root = np.sqrt(found.depths), found.terms[:, 3, None]
    return Lines(np.log(found.depths) / scale, found.deviation / scale, root + lines(found).theory / scale)


class Slopes(NamedTuple):
    """``value`` (A, M) between neighbouring depths, at their geometric means ``depth`` (M,)."""

    depth: np.ndarray
    value: np.ndarray


def slopes_in_log(found: Run) -> Slopes:
    """The slopes of ``lines``, which tend to theory's ``slope``."""
    return _slopes(found, lines(found).measured)


def local_exponents(found: Run) -> Slopes:
    """Slopes of log|K^L/(L q) - limit| against log(L); NaN where the deviation changes its sign."""
    found_slopes = _slopes(found, np.log(np.abs(found.deviation) / found.depths))
    crossed = found.deviation[:, 1:] * found.deviation[:, :-1] <= 0
    return found_slopes._replace(value=np.where(crossed, np.nan, found_slopes.value))


def _slopes(found: Run, values: np.ndarray) -> Slopes:
    x = np.log(found.depths)
    return Slopes(np.exp(0.5 * (x[1:] + x[:-1])), np.diff(values, axis=1) / np.diff(x))


def select(found: Run, names: Sequence[str], deepest: float = np.inf) -> Run:
    """Some activations of a run, down to ``deepest``."""
    rows, depths = [found.activations.index(name) for name in names], found.depths[found.depths <= deepest]
    parts = (part[rows, : depths.size] for part in (found.deviation, found.delta))
    return Run(tuple(names), depths, found.terms[rows], *parts)


def load(path: str | Path) -> Run:
    """A recorded run; ``ValueError`` if the file is not what was recorded."""
    file, _ = records.load(path)
    return Run(tuple(str(name) for name in file["activations"]), *(file[field] for field in Run._fields[1:]))


def record(out: str | Path, config: Config) -> Path:
    """Run ``config``; write ``logarithm.npz`` and, beside it, where it came from."""
    start = time.perf_counter()
    found = run(config)
    about = records.about(
        command="python -m ntk_eoc.experiments.logarithm",
        config=config._asdict(),
        seed=None,
        seconds=time.perf_counter() - start,
    )
    return records.save(Path(out) / "logarithm", found._asdict(), about)


def main(arguments: Sequence[str] | None = None) -> None:
    """Record the run of the chapter on the logarithm; takes minutes at ten million layers."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", required=True, help="folder for logarithm.npz and logarithm.json")
    parser.add_argument("--deepest", type=int, default=Config().deepest, help="number of layers")
    parser.add_argument("--activations", nargs="+", default=Config().activations, help="names")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    config = Config(tuple(options.activations), deepest=options.deepest)
    print(record(options.out, config))


if __name__ == "__main__":
    main()
