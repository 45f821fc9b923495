"""Hostile input at random: every public function of the mathematics, and the command line.

    python tests/fuzz.py --calls 10000 --lines 10000 --seconds 3600 --seed 0 --record book/results/faults.json

A call may answer, without NaN, or refuse: with a ValueError, TypeError or RuntimeError of one sentence that this
package raised itself. A command line may end with 0, 1 or 2, without a traceback, in time, and with --json without NaN.
Everything else is a fault; each is printed with what repeats it, and the exit code is 1.

The record is written as the run goes; a run of the same commit and seed goes on from it.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

from ntk_eoc import (  # noqa: E402
    activations,
    angles,
    asymptotics,
    cli,
    conditioning,
    convolution,
    depth,
    dynamics,
    empirical,
    gaussian,
    gram,
    kernels,
    layerwise,
    meanfield,
    networks,
    profile,
    rays,
    recipes,
    recommend,
    records,
    scaled,
    spectrum,
)

ALARM = 300  # seconds that one call may take
LINES = "command lines"  # the job that is no function
SLICE = 10.0  # seconds of one function at least, before another has its turn
SHOWN = 10  # faults printed in full of one function
PACKAGE = str(Path(activations.__file__).parent)
SENTENCE = (
    r": .*expected |: no convergence|: no file|is not resolved|: made for|leaves the range|have a law|is linear at"
)
VERDICTS = ("answered", "refused", "fault")
Counts = Counter[str]  # of verdicts
Draw = Callable[[random.Random], Any]

NUMBERS = [0.0, -0.0, 1.0, 2**0.5, 0.2, 1.5, 3.0, 1e-150, 1e150, 5e-324, 1e-310, 1e-20, 1e20, -1.0, 1e50, 1e308]
STRANGE = [float("nan"), float("inf"), -float("inf"), "2", "x", None, 1j, [1.0], True, 10**400, object(), b"1", {}]
NAMES = [*activations.NAMED, "leaky_relu:0.3", "prelu:-1", "leaky_relu:0", "leaky_relu:1"]


class Frame:
    """An array of another library: all that is known of it is ``__array__``."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.values, dtype=dtype)


def number(strange: float = 0.05, low: float = 1e-3, high: float = 1e2) -> Draw:
    """A number between ``low`` and ``high`` on a logarithmic scale, or a special one, or none at all."""

    def draw(r: random.Random) -> Any:
        kind = r.random()
        if kind < strange:
            return r.choice(STRANGE)
        if kind < 0.4:
            return r.choice(NUMBERS)
        return float(np.exp(r.uniform(np.log(low), np.log(high))))

    return draw


def one_of(*values: Any) -> Draw:
    return lambda r: r.choice(values)


def mostly(usual: Draw, odd: Draw) -> Draw:
    """Nine draws of ten ``usual``; the others ``odd``, or no number at all."""
    return lambda r: usual(r) if r.random() < 0.9 else odd(r) if r.random() < 0.7 else r.choice(STRANGE)


def act(r: random.Random) -> Any:
    return activations.get(r.choice(NAMES))


def few(*names: str) -> Draw:
    """Activations of every kind, where each one is compiled at several shapes."""
    return lambda r: activations.get(r.choice(names))


def array(*shapes: tuple[int, ...], low: float = 1e-3, high: float = 1e2, signed: bool = False) -> Draw:
    """An array of one of few ``shapes``, so that little is compiled: random, special, of other types and layouts."""

    def draw(r: random.Random) -> Any:
        shape, rng = r.choice(shapes), np.random.default_rng(r.getrandbits(32))
        values = np.exp(rng.uniform(np.log(low), np.log(high), shape))
        values = values * rng.choice([-1.0, 1.0], shape) if signed else values
        kind = r.random()
        if kind < 0.25:
            values = values * 0 + r.choice(NUMBERS)
        elif kind < 0.35 and values.size:
            values.ravel()[r.randrange(values.size)] = r.choice(NUMBERS + [float("nan"), float("inf")])
        kind = r.random()
        if kind < 0.04:
            return r.choice(STRANGE)
        if kind < 0.5:
            return jax.numpy.asarray(values)
        casts: list[Callable[[np.ndarray], Any]] = [
            lambda v: v,
            lambda v: np.clip(np.nan_to_num(v), -9, 9).astype(int),
            lambda v: v.astype(np.float32) if np.abs(np.nan_to_num(v, posinf=0)).max(initial=0) < 1e30 else v,
            lambda v: np.repeat(v[..., None], 2, axis=-1)[..., 0],
            Frame,
            lambda v: v.tolist(),
        ]
        return r.choice(casts)(values)

    return draw


SIGMAS: dict[str, Draw] = {"sigma_b": number(), "sigma_w": number()}
VARIANCES = array((), (3,))
DELTAS = array((3,), low=1e-12, high=2.0)
INPUTS = array((1, 2), (3, 2), (0, 2), (3, 0), (3,), signed=True)
ARCHITECTURE = one_of("ffnn", "ffnn", "residual", "residual", "resnet", None)
DEPTHS: Draw = lambda r: r.choice([1, 2, 3, 7, 2.0, 0, -1, 1.5, "3", None, float("nan")])  # noqa: E731
POINT = array((), low=1e-2, high=1e2)


def reals_of_eight(r: random.Random) -> Any:
    row = np.exp(np.random.default_rng(r.getrandbits(32)).uniform(-60.0, 0.7, 5))
    return np.concatenate([[0.0], row[1:], row[3:0:-1]])


def decomposed(r: random.Random) -> Any:
    rows = np.random.default_rng(r.getrandbits(32)).normal(size=(3, r.choice([1, 3])))
    return dynamics.decompose(rows @ rows.T * r.choice([0.0, 1e-150, 1.0, 1e100]))


def training(r: random.Random) -> Any:
    if r.random() < 0.5:
        return dynamics.flow(decomposed(r), [0.0, 1.0, np.inf])
    found = decomposed(r)
    return dynamics.descent(found, [0, 1, 10], rate=min(0.5 * dynamics.stability_bound(found), 1.0))


def kernel_matrix(r: random.Random) -> Any:
    if r.random() < 0.5:
        return array((3, 3), (1, 1), (0, 0), (2, 3), signed=True)(r)
    rows = np.random.default_rng(r.getrandbits(32)).normal(size=(3, 3)) * r.choice([1.0, 1e-150, 1e140])
    return rows @ rows.T


def network(r: random.Random) -> Any:
    return networks.Network(r.choice([1, 4]), r.choice([1, 2, 3]), 0.1, 1.5, r.choice(["ffnn", "residual"]))


def made(r: random.Random) -> dict[str, Any]:
    net = network(r)
    return {"net": net, "params": networks.init(jax.random.key(0), net, 2)}


def named(**draws: Draw) -> Callable[[random.Random], dict[str, Any]]:
    return lambda r: {key: draw(r) for key, draw in draws.items()}


def profiles() -> Draw:
    found = [
        profile.profile(activations.NAMED[name], [1, 5, 50], sigma_b=b, sigma_w=1.2)
        for name, b in (("relu", 0.0), ("erf", 0.3))
    ]
    return lambda r: r.choice(found)


def on_the_sphere(r: random.Random) -> dict[str, Any]:
    """Gaps at the nodes of a sphere, nearly always as many."""
    dimension, highest = r.choice([2, 3, 10]), r.choice([0, 1, 5])
    theta, weights = spectrum.nodes(dimension, highest)
    gaps = array((1, theta.size), (2, theta.size), (theta.size,), (1, 3))(r) if r.random() < 0.5 else [np.sin(theta)]
    return {
        "gaps": gaps,
        "theta": r.choice([theta, theta, theta, theta[1:], array(theta.shape)(r)]),
        "weights": r.choice([weights, weights, weights, weights[:2], array(weights.shape)(r)]),
        "dimension": r.choice([dimension] * 5 + [DIMENSION(r)]),
        "highest": r.choice([highest] * 5 + [DEGREE(r)]),
    }


def spectra() -> Draw:
    """Of the ordered phase, the Edge of Chaos and the chaotic one: shallow, deep, and where nothing is left."""
    found = [
        spectrum.spectrum(activations.NAMED[name], [1, 5, 100], sigma_b=b, sigma_w=w, dimension=3, highest=h)
        for name, b, w, h in (
            ("relu", 0.0, 2**0.5, 3),
            ("relu", 0.0, 1.0, 0),
            ("erf", 0.3, 1.0, 3),
            ("erf", 0.3, 3.0, 3),
        )
    ]
    return lambda r: r.choice(found)


def start(r: random.Random) -> Any:
    sigma_b, sigma_w, q0 = (number(0.02, 1e-2, 1e1)(r) for _ in range(3))
    return recommend.Start(sigma_b, sigma_w, r.choice([None, 1.0]), r.choice([False, True]), q0)


def applied(function: Callable[..., Any]) -> Callable[..., Any]:
    """Of a function of params, activation, net and x."""
    return lambda net, params, act, x: function(params, act, net, x)


def with_net(**draws: Draw) -> Callable[[random.Random], dict[str, Any]]:
    return lambda r: {**made(r), **named(**draws)(r)}


def linear(params: Any, x: Any) -> Any:
    return x @ params


KEY = one_of(jax.random.key(0))
WHOLE = one_of(1, 2, 4, 0, -1, 1.5, "2", None, 3.0)
Q = one_of(1.0, 0.3, 5.0)  # each variance has a table of its own, so there are few
THREE = array((3, 1), (3, 2), (2, 1), (3,), signed=True)
FEW = few("relu", "erf", "sin", "tanh", "elu", "hard_tanh", "gelu", "identity", "prelu:-1")  # one of each kind
FEWER = few("relu", "erf", "tanh", "prelu:-1")  # where one by quadrature is compiled for dozens of layouts
LEFT = with_net(act=FEW, x=INPUTS)
HOMOGENEOUS = few("relu", "relu", "leaky_relu:0.3", "prelu:-1", "leaky_relu:0", "identity", "tanh")
INCREASING = mostly(
    one_of([1, 2, 3], [1, 10, 1000], [1], [10**6, 10**8, 10**12]),
    one_of([], [2, 1], [0], 5, ["a"], "12", [1.5], [1, [2]], [10**20]),
)
DIMENSION = mostly(one_of(2, 3, 10, 3.0), one_of(784, 10**5, 1, 0, -3, 2.5, 10**9, 1e308, [3]))
DEGREE = mostly(one_of(0, 1, 3, 3.0), one_of(50, -1, 1.5, 10**6, 1e308, [1]))
IMAGES = mostly(
    array((2, 1, 4), (1, 1, 3, 3), signed=True),  # pooling takes the square of the positions
    array((0, 1, 4), (2, 0, 4), (2, 4), (1, 1, 1, 1, 1), (2, 2, 4), (2, 1, 2), signed=True),
)
TAPS = mostly(one_of(3, 3, 1, 3.0), one_of(2, 5, 0, -1, 1.5, [3], 10**20 + 1))
SHARE = number(low=1e-6, high=1e6)
LAYERS = mostly(one_of(1, 2, 10, 10**6, 10**12), one_of(0, -1, 1.5, *NUMBERS))
COSINE = mostly(lambda r: r.uniform(-1, 1), one_of(0.0, 1.0, -1.0, 1.1))
SMALL = mostly(one_of(1, 2, 3, 2.0), DEPTHS)

# Every public function of the mathematics, with how its arguments are drawn.
TABLE: dict[str, tuple[Callable[..., Any], Callable[[random.Random], dict[str, Any]]]] = {
    "activations.get": (
        activations.get,
        named(spec=one_of(*NAMES, "tahn", "leaky_relu:", "prelu:nan", "", ":", *STRANGE)),
    ),
    "activations.leaky_relu": (activations.leaky_relu, named(slope=number())),
    "activations.prelu": (activations.prelu, named(slope=number())),
    "gaussian.expectation": (lambda q: gaussian.expectation(jax.numpy.cos, q), named(q=VARIANCES)),
    "gaussian.second_moment": (gaussian.second_moment, named(act=act, q=VARIANCES, order=one_of(0, 1, 2))),
    "gaussian.pair": (gaussian.pair, named(act=FEW, q1=array((3,)), q2=array((3,)), delta=DELTAS)),
    "gaussian.slope_gap": (gaussian.slope_gap, named(act=FEW, q=POINT, delta=DELTAS)),
    "meanfield.variance_map": (meanfield.variance_map, named(act=act, q=VARIANCES, **SIGMAS)),
    "meanfield.variance_slope": (meanfield.variance_slope, named(act=FEW, q=VARIANCES, sigma_w=number())),
    "meanfield.chi": (meanfield.chi, named(act=act, q=VARIANCES, sigma_w=number())),
    "meanfield.correlation_map": (meanfield.correlation_map, named(act=FEW, q=POINT, delta=DELTAS, **SIGMAS)),
    "meanfield.eoc_points": (meanfield.eoc_points, named(act=act, sigma_b=number())),
    "meanfield.limit_variance": (meanfield.limit_variance, named(act=act, q0=number(), **SIGMAS)),
    "meanfield.phase": (meanfield.phase, named(act=FEW, **SIGMAS)),
    "meanfield.chaotic_delta": (meanfield.chaotic_delta, named(act=FEW, q=number(), **SIGMAS)),
    "rays.near": (rays.near, named(act=act)),
    "rays.far": (rays.far, named(act=act)),
    "kernels.kernels": (
        kernels.kernels,
        named(
            act=FEW,
            x1=INPUTS,
            x2=lambda r: r.choice([None, INPUTS(r)]),
            depth=DEPTHS,
            architecture=ARCHITECTURE,
            every_depth=one_of(False, True),
            **SIGMAS,
        ),
    ),
    "kernels.check_inputs": (kernels.check_inputs, named(name=one_of("x"), x=INPUTS)),
    "angles.input_gaps": (angles.input_gaps, named(x1=INPUTS, x2=lambda r: r.choice([None, INPUTS(r)]))),
    "gram.gram": (
        lambda **given: gram.gram(**given)[:2],
        named(
            act=FEW,
            x1=mostly(array((3, 2), (1, 2), signed=True), INPUTS),
            x2=lambda r: r.choice([None, None, INPUTS(r)]),
            depth=mostly(one_of(1, 2, 3, 7, 30, [1, 3]), lambda r: r.choice([DEPTHS(r), [3, 1], []])),
            architecture=mostly(one_of("ffnn", "ffnn", "residual"), ARCHITECTURE),
            dtype=mostly(one_of("float64", "float64", "float32"), one_of("float16", "double")),
            **SIGMAS,
        ),
    ),
    "profile.profile": (
        profile.profile,
        named(
            act=FEW,
            depths=one_of([1, 2, 5], [1], [], [2, 1], 3, None, ["a"]),
            q0=lambda r: r.choice([None, number()(r)]),
            **SIGMAS,
        ),
    ),
    "profile.ntk_gap": (profile.ntk_gap, named(found=profiles(), gaps=array((3,), (2, 2), low=1e-15, high=2.0))),
    "profile.nngp_delta": (profile.nngp_delta, named(found=profiles(), gaps=array((3,), (2, 2), low=1e-15, high=2.0))),
    "profile.ntk_ratio": (profile.ntk_ratio, named(found=profiles(), gaps=array((3,), (2, 2), low=1e-15, high=2.0))),
    "depth.depth_kernels": (
        lambda **given: depth.depth_kernels(**given)[:4],
        named(
            act=FEW,
            cosine=lambda r: r.choice([r.uniform(-1, 1), r.choice([0.0, 1.0, -1.0, 1.1, *STRANGE])]),
            depths=one_of([1, 2, 3], [1, 10, 1000], [1], [], [2, 1], [0], 5, None, ["a"]),
            q0=number(),
            architecture=ARCHITECTURE,
            gap=one_of(None, None, None, 0.0, 2.0, 1e-300, -1.0, 3.0, float("nan"), "x"),
            **SIGMAS,
        ),
    ),
    "asymptotics.law": (
        asymptotics.law,
        named(
            act=FEW, sigma_b=number(), sigma_w=lambda r: r.choice([None, None, number()(r)]), architecture=ARCHITECTURE
        ),
    ),
    "asymptotics.coefficient": (asymptotics.coefficient, named(act=act, q=number(), sigma_w=number())),
    "asymptotics.kink_terms": (asymptotics.kink_terms, named(act=act, q=number(), sigma_w=number())),
    "asymptotics.curvature_terms": (asymptotics.curvature_terms, named(act=act, q=number(), sigma_w=number())),
    "layerwise.contributions": (
        layerwise.contributions,
        named(
            act=FEW,
            cosine=COSINE,
            depth=SMALL,
            q0=number(),
            architecture=ARCHITECTURE,
            **SIGMAS,
        ),
    ),
    "spectrum.multiplicity": (
        spectrum.multiplicity,
        named(dimension=DIMENSION, degrees=mostly(one_of(range(3), [0, 5], 3), array((3,), (0,)))),
    ),
    "spectrum.highest_degree": (spectrum.highest_degree, named(dimension=DIMENSION)),
    "spectrum.nodes": (spectrum.nodes, named(dimension=DIMENSION, highest=DEGREE)),
    "spectrum.funk_hecke": (spectrum.funk_hecke, on_the_sphere),
    "spectrum.spectrum": (
        spectrum.spectrum,
        named(
            act=FEW,
            depths=one_of([1, 2, 5], [1], [3, 300], [], [2, 1], 3, None, ["a"]),
            dimension=DIMENSION,
            highest=DEGREE,
            kernel=mostly(one_of("ntk", "nngp"), one_of("ntkk", "")),
            q0=lambda r: r.choice([None, number()(r)]),
            **SIGMAS,
        ),
    ),
    "spectrum.effective_rank": (spectrum.effective_rank, named(found=spectra())),
    "scaled.scaled_kernels": (
        scaled.scaled_kernels,
        named(act=FEWER, x1=INPUTS, x2=lambda r: r.choice([None, INPUTS(r)]), depth=SMALL, **SIGMAS),
    ),
    "scaled.scaled_depths": (
        scaled.scaled_depths,
        named(
            act=HOMOGENEOUS,
            cosine=COSINE,
            depths=INCREASING,
            sigma_w=number(),
            engine=mostly(one_of(10**4, 10, 1), one_of(0, -1, 1.5, 1e20)),
        ),
    ),
    "scaled.branch_share": (scaled.branch_share, named(act=act, sigma_w=number())),
    "scaled.tau": (scaled.tau, named(s=SHARE, begin=LAYERS, end=mostly(LAYERS, array((3,), (2,))))),
    "scaled.continued": (
        scaled.continued,
        named(
            act=HOMOGENEOUS,
            s=SHARE,
            state=mostly(lambda r: (r.uniform(0, 2), number(0.02)(r)), one_of((1,), (1, [2]), (3.0, 1.0))),
            between=mostly(one_of((1, 2), (10, 10**9), (2, 2), (1, 10**15), (3, 1)), lambda r: (LAYERS(r), LAYERS(r))),
        ),
    ),
    "convolution.check_images": (convolution.check_images, named(name=one_of("x"), x=IMAGES, filter_size=TAPS)),
    "convolution.conv_kernels": (
        convolution.conv_kernels,
        named(
            act=FEWER,
            x1=IMAGES,
            x2=lambda r: r.choice([None, None, IMAGES(r)]),
            depth=mostly(one_of(2, 3, 3.0), DEPTHS),
            filter_size=TAPS,
            readout=mostly(one_of("flatten", "pooling"), one_of("pool", "")),
            **SIGMAS,
        ),
    ),
    "conditioning.reference_gaps": (conditioning.reference_gaps, named()),
    "conditioning.by_table": (
        conditioning.by_table,
        named(act=FEW, depth=DEPTHS, q0=lambda r: r.choice([None, number()(r)]), skip=one_of(False, True), **SIGMAS),
    ),
    "conditioning.condition": (conditioning.condition, named(gap=reals_of_eight)),
    "conditioning.by_series": (
        conditioning.by_series,
        named(act=FEW, depth=DEPTHS, q0=number(), skip=one_of(False, True), held=one_of(False, True), **SIGMAS),
    ),
    "recommend.recommend": (
        recommend.recommend,
        named(act=FEW, depth=DEPTHS, architecture=ARCHITECTURE, width=one_of(None, 16, 256)),
    ),
    "recommend.along": (recommend.along, named(act=act, grid=one_of((0.0, 0.2), (), (1e50,), (-1.0,), (None,)))),
    "recommend.judge": (
        recommend.judge,
        named(act=FEW, start=start, depth=DEPTHS, skip=one_of(False, True)),
    ),
    "recipes.recipes": (
        recipes.recipes,
        named(activation=one_of(*NAMES), depth=DEPTHS, architecture=ARCHITECTURE, **SIGMAS),
    ),
    "dynamics.decompose": (
        dynamics.decompose,
        named(gram=kernel_matrix, rounding=lambda r: r.choice([None, number()(r)])),
    ),
    "dynamics.flow": (dynamics.flow, named(spectrum=decomposed, times=array((3,), ()))),
    "dynamics.descent": (dynamics.descent, named(spectrum=decomposed, steps=array((3,), ()), rate=number())),
    "dynamics.stability_bound": (dynamics.stability_bound, named(spectrum=decomposed)),
    "dynamics.residuals": (dynamics.residuals, named(training=training, y=THREE, f0=THREE)),
    "dynamics.fitted": (dynamics.fitted, named(training=training, y=THREE, f0=THREE)),
    "dynamics.predictions": (
        dynamics.predictions,
        named(training=training, y=THREE, f0=THREE, cross=array((2, 3), signed=True), f0_test=array((2, 1), (2, 2))),
    ),
    "dynamics.fitted_ensemble": (dynamics.fitted_ensemble, named(training=training, y=THREE, nngp=kernel_matrix)),
    "dynamics.predicted_ensemble": (
        dynamics.predicted_ensemble,
        named(
            training=training,
            y=THREE,
            cross=array((2, 3), signed=True),
            nngp=kernel_matrix,
            nngp_cross=array((2, 3), signed=True),
            nngp_test=array((2,)),
        ),
    ),
    "networks.Network": (
        networks.Network,
        named(width=WHOLE, depth=WHOLE, architecture=ARCHITECTURE, **SIGMAS),
    ),
    "networks.init": (
        networks.init,
        named(key=KEY, net=network, d_in=WHOLE, d_out=WHOLE, parameterisation=one_of("ntk", "standard", "mup", 3)),
    ),
    "networks.apply": (applied(networks.apply), LEFT),
    "networks.layer_moments": (networks.layer_moments, named(key=KEY, act=FEW, net=network, x=INPUTS)),
    "networks.moment_band": (
        networks.moment_band,
        named(key=KEY, act=FEW, net=network, x=INPUTS, seeds=one_of(2, 3, 1, 0, "x", 2.5)),
    ),
    "empirical.dense_ntk": (applied(empirical.dense_ntk), LEFT),
    "empirical.empirical_ntk": (
        lambda x, memory: empirical.empirical_ntk(linear, jax.numpy.ones((2, 1)), x, memory=memory),
        named(x=INPUTS, memory=one_of(2**29, 10**9, 1, 0, -1, float("nan"), "x", None)),
    ),
}


class Late(BaseException):
    """A call took longer than ALARM."""


def _ring(*_: object) -> None:
    raise Late


def judge(call: Callable[[], Any]) -> tuple[str, str]:
    """("answered" or "refused" or "fault", what went wrong) of one call."""
    signal.alarm(ALARM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message=".*(varies too fast for the quadrature|no kink found at)")
            answer = call()
            bad = any(np.isnan(leaf).any() for leaf in jax.tree.leaves(answer) if _numeric(leaf))
    except (ValueError, TypeError, RuntimeError) as error:
        signal.alarm(0)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        plain = type(error) in (ValueError, TypeError, RuntimeError) and "\n" not in str(error)
        if plain and re.search(SENTENCE, str(error)) and frame.filename.startswith(PACKAGE):
            return "refused", str(error)
        return "fault", f"{type(error).__name__} from {frame.filename}:{frame.lineno}: {str(error)[:200]}"
    except Late:
        return "fault", f"no answer after {ALARM} seconds"
    except Exception as error:
        signal.alarm(0)
        return "fault", f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
    return ("fault", f"NaN in {answer}") if bad else ("answered", "")


def _numeric(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and np.issubdtype(leaf.dtype, np.floating) or isinstance(leaf, float)


def inputs_of(folder: Path) -> None:
    """Files for the command line: an activation's, and inputs that are good, odd and none."""
    (folder / "mine.py").write_text(
        "import jax.numpy as jnp\ndef good(x): return jnp.tanh(x)\ndef bad(x): return float(x)\n"
    )
    rows = np.random.default_rng(0).normal(size=(3, 2))
    for name, values in {
        "x": rows,
        "sphere": rows / np.linalg.norm(rows, axis=1, keepdims=True),
        "small": rows.astype(np.float32),
        "whole": np.arange(6).reshape(3, 2),
        "zeros": np.zeros((2, 2)),
        "huge": 1e200 * rows,
        "nan": np.full((2, 2), np.nan),
        "none": np.zeros((0, 2)),
        "flat": rows[0],
        "complex": rows + 1j,
        "words": np.array([["a", "b"]]),
    }.items():
        np.save(folder / f"{name}.npy", values)
    np.savez(folder / "archive.npz", x=rows)
    (folder / "broken.npy").write_bytes((folder / "x.npy").read_bytes()[:90])
    (folder / "empty.npy").write_bytes(b"")


def gram_words(r: random.Random) -> list[str]:
    """What ``gram`` takes beside its activation and sigmas; each into a folder of its own."""
    files = ["x", "sphere", "small", "whole"] * 3 + ["zeros", "huge", "nan", "none", "flat", "complex", "words"]
    inputs = r.choice([f"{r.choice(files)}.npy"] * 30 + ["broken.npy", "empty.npy", "archive.npz", "mine.py", ".", ""])
    words = [inputs, "--out", r.choice([f"out/{r.getrandbits(64):x}"] * 30 + ["mine.py", "x.npy/out", ""])]
    for option, usual, odd in (
        ("--kernel", ["ntk", "nngp"], ["ntkk", ""]),
        ("--architecture", ["ffnn", "residual"], ["resnet", ""]),
        ("--dtype", ["float32", "float64"], ["float16", ""]),
        ("--memory", ["64M", "1G", "2000000"], ["1", "0", "-1", "1e9", "9999999G", "x", ""]),
        ("--devices", ["1"], ["2", "0", "-1", "x"]),
        ("--dask", [], ["", "nowhere:1"]),
    ):
        if r.random() < 0.25:
            words += [option, r.choice(usual * 9 + odd)] if usual or r.random() < 0.1 else []
    return [*words, "--resume"] if r.random() < 0.1 else words


def line(r: random.Random, folder: Path) -> list[str]:
    """A command line: mostly well formed, with one or two hostile words."""
    odd = [*NUMBERS, 0.2, 1.3, 2**0.5, "nan", "inf", "-inf", "", "x", "1e999", "-1e-3", "0x1", "1_0", "\u0661"]

    def usual() -> str:
        return f"{np.exp(r.uniform(-3, 2)):.6g}" if r.random() < 0.7 else str(r.choice(odd))

    mine = folder / "mine.py"
    acts = [
        *NAMES,
        "tahn",
        "",
        "leaky_relu:",
        "leaky_relu:1e400",
        f"{mine}:good",
        f"{mine}:bad",
        f"{mine}:",
        "nowhere.py:f",
        "-",
        "é",
    ]
    name = r.choice(acts)
    options = {
        "eoc": ["--sigma-b"],
        "phase": ["--sigma-b", "--sigma-w"],
        "kernel": ["--sigma-b", "--sigma-w", "--depth", "--cosine", "--q0"],
        "law": ["--sigma-b", "--sigma-w"],
        "recommend": ["--depth", "--width"],
        "gram": ["--sigma-b", "--sigma-w", "--depth"],
    }
    command = r.choice([*options] * 6 + ["verify", "activations", "reproduce", "fly", "", "--version", "--help"])
    words = [command]
    tame = command == "gram" and r.random() < 0.8  # few activations and sigmas are compiled, and files are odd enough
    if command in options:
        words.append(r.choice(["relu", "erf", "tanh"]) if tame else name)
        for option in options[command]:
            if (
                r.random() < 0.04
                or (option in ("--q0",) and r.random() < 0.7)
                or (command == "law" and option == "--sigma-w" and r.random() < 0.7)
            ):
                continue
            given = r.choice(["0.3", "1.4"]) if tame else usual()
            if option == "--depth" and r.random() < 0.9:
                deep = [2, 3, 5] if command == "gram" else [10, 30, 10**6]  # each of its layers may be a program
                given = str(r.choice([1, 2, 3, *deep] if tame else [1, 2, 3, *deep, 0, -1, 1.5]))
            if option == "--cosine" and r.random() < 0.9:
                given = f"{r.uniform(-1, 1):.6g}"
            words += [option, given]
        if command in ("kernel", "law", "recommend") and r.random() < 0.3:
            words += ["--architecture", r.choice(["ffnn", "residual", "residual", "resnet", "scaled", ""])]
        if command == "gram":
            words += gram_words(r)
        if r.random() < 0.1:
            words += ["--kinks", r.choice(["", "0", "1,2", "a", "nan", ",", "1e999"])]
    elif command == "verify":
        words += ["--only", r.choice(["tab1", "lemma", "", "lemma1", "é"])]
        words += r.choice([[], [], ["--seed", "-1"], ["--seed", usual()], ["--seed", "9" * 30], ["--resume"]])
    elif command == "reproduce":
        words += [
            r.choice(["fig9", "", "table", "fig1a"]),
            *r.choice([[], ["--seeds", "x"], ["--quick", "--full"], ["--epochs", "2"]]),
        ]
        words += ["--dataset", "nothing"]
    if r.random() < 0.05:
        words.insert(r.randrange(len(words) + 1), r.choice(["--json", "--fly", "-h", "--", "\x00", "-x", "1"]))
    return [*words, "--json"] if r.random() < 0.6 else words


def run_line(words: list[str]) -> tuple[str, str]:
    """As ``judge``, of ``ntk-eoc`` with these words."""
    out, err = io.StringIO(), io.StringIO()
    signal.alarm(ALARM)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            code = cli.main(words)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 2
    except Late:
        return "fault", f"no answer after {ALARM} seconds"
    except BaseException as error:
        return "fault", f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
    if code not in (0, 1, 2) or "Traceback" in err.getvalue():
        return "fault", f"exit code {code}: {err.getvalue()[-200:]}"
    if code == 2:
        said = [text for text in err.getvalue().splitlines() if text.strip()]
        return ("refused", said[-1]) if said and not out.getvalue() else ("fault", f"exit code 2 with {said}")
    if "--json" in words and not {"-h", "--help", "--version"} & set(words):
        try:
            json.loads(out.getvalue(), parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
        except ValueError as error:
            return "fault", f"{error} in JSON {out.getvalue()[:200]!r}"
    elif re.search(r"\bnan\b", out.getvalue()):
        return "fault", f"nan in {out.getvalue()[:200]!r}"
    return "answered", ""


def tried(name: str, span: range, seed: int, until: float) -> Counts:
    """Verdicts on the runs ``span`` of one function, as many as there are until that time. Prints faults."""
    counts: Counts = Counter()
    for what, run in _runs(name, span, seed):
        verdict, why = run()
        counts[verdict] += 1
        if verdict == "fault" and counts["fault"] <= SHOWN:
            print(f"FAULT {name} {what}\n      {why}", flush=True)
        if sum(counts.values()) % 500 == 0 and _mappings() > 30_000:
            jax.clear_caches()
        if time.monotonic() > until:
            break
    return counts


def _words(given: dict[str, Any]) -> str:
    named = {key: value.name if isinstance(value, activations.Activation) else value for key, value in given.items()}
    return f"{named!r:.400}"


def _mappings() -> int:
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.is_file() else 0


def fuzz(args: argparse.Namespace, counts: dict[str, Counts]) -> Iterator[str]:
    """The name of each job in ``counts`` as often as they have grown, ``args.workers`` jobs at a time.

    Jobs take turns, each time for half an equal share of the time that is left: what the quick ones do not use goes to
    the slow ones.
    """
    until = time.monotonic() + args.seconds
    goals = {name: args.lines if name == LINES else args.calls for name in counts}
    waiting, running = [name for name in counts if sum(counts[name].values()) < goals[name]], {}
    spawned = multiprocessing.get_context("spawn")  # what has computed with JAX must not fork
    with tempfile.TemporaryDirectory() as folder:
        inputs_of(Path(folder))
        with ProcessPoolExecutor(args.workers, spawned, initializer=_prepare, initargs=(folder,)) as pool:
            while running or (waiting and time.monotonic() < until):
                while waiting and len(running) < args.workers and (left := until - time.monotonic()) > 0:
                    share = max(0.5 * left * args.workers / (len(waiting) + len(running)), SLICE)
                    name = waiting.pop(0)
                    span = range(sum(counts[name].values()), goals[name])
                    running[pool.submit(tried, name, span, args.seed, time.monotonic() + min(share, left))] = name
                for job in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(job)
                    counts[name] += job.result()
                    if sum(counts[name].values()) < goals[name]:
                        waiting.append(name)
                    yield name


def _prepare(folder: str) -> None:
    os.chdir(folder)
    signal.signal(signal.SIGALRM, _ring)


def _runs(name: str, span: range, seed: int) -> Iterator[tuple[str, Callable[[], tuple[str, str]]]]:
    for i in span:
        r = random.Random(f"{seed} {name} {i}")
        if name == LINES:
            words = line(r, Path())
            yield f"{i} {words}", partial(run_line, words)
        else:
            given = TABLE[name][1](r)
            yield f"{i} {_words(given)}", partial(judge, partial(TABLE[name][0], **given))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000, help="calls of each function")
    parser.add_argument("--lines", type=int, default=10_000, help="command lines")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop then, with what was done")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that share the functions")
    parser.add_argument("--only", nargs="+", default=[""], help="functions whose names hold one of these")
    parser.add_argument("--record", type=Path, help="JSON file with a row for each function")
    args = parser.parse_args()
    began, commit = time.monotonic(), records.commit()
    rows = json.loads(args.record.read_text())["inputs"] if args.record and args.record.is_file() else {}
    same = [name for name, row in rows.items() if (row["commit"], row["seed"]) == (commit, args.seed)]
    names = [name for name in (LINES, *TABLE) if any(part in name for part in args.only)]
    counts = {name: Counter({key: rows[name][key] if name in same else 0 for key in VERDICTS}) for name in names}
    config = {"calls": args.calls, "lines": args.lines, "seconds": args.seconds}
    for name in fuzz(args, counts):
        row = {"tried": sum(counts[name].values()), **{key: counts[name][key] for key in VERDICTS}}
        print(f"{name}: {row}", flush=True)
        if args.record:
            rows[name] = {**row, "commit": commit, "seed": args.seed}
            about = records.about(command="make fuzz", config=config, seed=args.seed, seconds=time.monotonic() - began)
            records.write_json(args.record, {**about, "inputs": dict(sorted(rows.items()))})
    faults = sum(found["fault"] for found in counts.values())
    print(f"{sum(sum(found.values()) for found in counts.values())} inputs, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
