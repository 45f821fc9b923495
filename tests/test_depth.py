"""Deep kernels against 60-digit iterations of other formulas, against the recursion, and at their limits."""

import inspect
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf

from ntk_eoc import zonal
from ntk_eoc.activations import NAMED, Activation, get
from ntk_eoc.depth import DepthKernels, depth_kernels
from ntk_eoc.kernels import kernels
from ntk_eoc.meanfield import eoc_points, phase

ORACLE = json.loads((Path(__file__).parent / "oracle" / "depth_references.json").read_text())
CASES = {
    f"{c['architecture']}-{c['activation']}-{c['cosine']}-{list(c['depths'])[-1]}-{c['sigma_w'][:4]}": c
    for c in ORACLE["cases"]
}


def test_the_reference_file_holds_what_was_asked() -> None:
    assert len(CASES) == len(ORACLE["cases"]) and "mpmath" in ORACLE["origin"]
    for name in ("relu", "tanh", "elu"):
        cosines = [c["cosine"] for c in CASES.values() if c["activation"] == name and "10000" in c["depths"]]
        assert {-0.9, 0.0, 0.5, 0.99, 0.999999} <= set(cosines)


def run(case: dict) -> DepthKernels:
    """The package's answer; both inputs start at the variance fixed point, as in the reference."""
    q, sigma_w = float(case["q"]), float(case["sigma_w"])
    act, sigma_b = NAMED[case["activation"]], case["sigma_b"]
    if case["activation"] != "relu":  # the package's own point, which must be the reference's
        point = eoc_points(act, sigma_b)[0]
        assert abs(point.sigma_w / sigma_w - 1) < 1e-14 and abs(point.q / q - 1) < 4e-14
        q, sigma_w = point.q, point.sigma_w
    q0 = (q - sigma_b**2) / sigma_w**2
    levels = [int(level) for level in case["depths"]]
    return depth_kernels(act, case["cosine"], levels, sigma_b=sigma_b, sigma_w=sigma_w, q0=q0)


FFNN = {name: case for name, case in CASES.items() if case["architecture"] == "ffnn"}
RESIDUAL = {name: case for name, case in CASES.items() if case["architecture"] == "residual"}


@pytest.mark.parametrize("case", FFNN.values(), ids=FFNN)
@pytest.mark.thorough(first=6)
def test_ten_digits_at_every_depth(case: dict) -> None:
    found = run(case)
    for i, (level, exact) in enumerate(case["depths"].items()):
        assert abs(mpf(found.delta[i]) / mpf(exact["delta"]) - 1) < 1e-10, level
        assert abs(found.ntk[i] / found.q[i] - float(exact["ntk_over_q"])) < 1e-10 * int(level), level
        # what is left of K/L after its limit: relative to itself, which K/L - limit could not give
        left = found.deviation[i] / int(level)
        assert abs(left - float(exact["over_depth_less_limit"])) < 1e-10 * abs(left), level
        assert abs(found.ntk_diagonal[i] / found.q[i] / int(level) - 1) < 1e-12


@pytest.mark.parametrize("case", RESIDUAL.values(), ids=RESIDUAL)
def test_ten_digits_of_residual_networks(case: dict) -> None:
    """In units of the variance, which outgrows float64 long before 10,000 layers."""
    tab, levels = zonal.table(NAMED["relu"], 1.0), [int(level) for level in case["depths"]]
    layer = zonal.homogeneous_layer(tab, float(case["sigma_w"]), "residual")
    found = zonal.depth_scan(tab, layer, 1.0 - case["cosine"], np.array(levels))
    for i, exact in enumerate(case["depths"].values()):
        assert abs(found.delta[i] / float(exact["delta"]) - 1) < 1e-10
        assert abs(found.kappa[i] - float(exact["ntk_over_q"])) < 1e-10 * levels[i]
        left = found.deviation[i] / levels[i]
        assert abs(left - float(exact["over_depth_less_limit"])) < 1e-10 * abs(left)
    few = depth_kernels(
        NAMED["relu"], 0.0, [1, 2, 100], sigma_b=0.0, sigma_w=float(case["sigma_w"]), architecture="residual"
    )
    np.testing.assert_allclose(few.ntk / few.q, found.kappa[[0, 1, 3]], rtol=1e-13, atol=1e-13)


def test_the_reference_file_is_what_mpmath_says() -> None:
    """Two of its cases again: ReLU at 1,000 layers and, through the angle, a residual one."""
    with mp.workdps(40):
        c, ntk = mpf(1) / 2, mpf(1) / 2
        for _ in range(999):
            theta = mp.acos(c)
            c = (mp.sin(theta) + (mp.pi - theta) * c) / mp.pi
            ntk = c + (1 - theta / mp.pi) * ntk
        row = CASES["ffnn-relu-0.5-10000-1.41"]["depths"]["1000"]
        assert abs((1 - c) / mpf(row["delta"]) - 1) < mpf(10) ** -25
        assert abs(ntk / mpf(row["ntk_over_q"]) - 1) < mpf(10) ** -25
        q, r, k = mpf(1), mpf(0), mpf(0)  # sigma_w = 2: unscaled recursions of q^l(x, x), q^l(x, x'), K^l
        for _ in range(99):
            theta = mp.acos(r / q)
            k += 2 * q * (mp.sin(theta) + (mp.pi - theta) * r / q) / mp.pi + 2 * (1 - theta / mp.pi) * k
            r += 2 * q * (mp.sin(theta) + (mp.pi - theta) * r / q) / mp.pi
            q *= 3
        row = CASES["residual-relu-0.0-10000-2.0"]["depths"]["100"]
        assert abs((1 - r / q) / mpf(row["delta"]) - 1) < mpf(10) ** -25
        assert abs(k / q / mpf(row["ntk_over_q"]) - 1) < mpf(10) ** -25


SHALLOW = [
    ("relu", 0.0, 2**0.5, "ffnn"),
    ("relu", 0.3, 1.1, "ffnn"),
    ("leaky_relu:0.2", 0.0, 0.7, "residual"),
    ("relu", 0.4, 0.9, "residual"),
    ("erf", 0.2, 1.9, "ffnn"),
    ("identity", 0.0, 1.0, "ffnn"),
]


@pytest.mark.parametrize("spec, sigma_b, sigma_w, architecture", SHALLOW)
@pytest.mark.parametrize("cosine", [-1.0, -0.3])
@pytest.mark.thorough(first=4)
def test_agrees_with_the_recursion_on_inputs(
    spec: str, sigma_b: float, sigma_w: float, architecture: str, cosine: float
) -> None:
    """The engine knows a cosine and a norm, ``kernels`` the inputs: the same numbers at the first 60 depths."""
    act, norm, wanted = get(spec), 1.7, [1, 2, 3, 10, 59, 60]
    options = {"sigma_b": sigma_b, "sigma_w": sigma_w, "architecture": architecture}
    found = depth_kernels(act, cosine, wanted, q0=norm, **options)
    x = jnp.array([[1.0, 0.0], [cosine, (1 - cosine**2) ** 0.5]]) * (2 * norm) ** 0.5
    every = kernels(act, x, depth=60, every_depth=True, **options)
    index = np.array(wanted) - 1
    error = np.abs(found.ntk - every.ntk[index, 0, 1])
    assert (error < 1e-11 * np.abs(found.ntk) + 1e-12 * found.ntk_diagonal).all()
    np.testing.assert_allclose(found.ntk_diagonal, every.ntk[index, 0, 0], rtol=1e-11)
    np.testing.assert_allclose(found.q, every.nngp[index, 0, 0], rtol=1e-11)
    np.testing.assert_allclose(found.delta, every.delta[index, 0, 1], rtol=1e-10, atol=1e-300)


def test_before_and_after_the_variance_settles() -> None:
    """From a variance far from its fixed point: layer by layer first, then the table; no seam between the two."""
    act, sigmas = NAMED["erf"], {"sigma_b": 0.3, "sigma_w": 1.0}
    levels = list(range(1, 121))
    found = depth_kernels(act, 0.2, levels, q0=5.0, **sigmas)
    settled = np.isfinite(found.deviation)
    assert not settled[0] and settled[-1] and (np.diff(settled.astype(int)) >= 0).all()
    x = jnp.array([[1.0, 0.0], [0.2, 0.96**0.5]]) * 10**0.5
    every = kernels(act, x, depth=120, every_depth=True, **sigmas)
    np.testing.assert_allclose(found.ntk, every.ntk[:, 0, 1], rtol=1e-11)
    np.testing.assert_allclose(found.delta, every.delta[:, 0, 1], rtol=1e-10)


def test_ordered_kernels_tend_to_q_over_one_minus_chi() -> None:
    at = phase(NAMED["erf"], sigma_b=0.3, sigma_w=1.0)
    found = depth_kernels(NAMED["erf"], -0.5, [400, 800], sigma_b=0.3, sigma_w=1.0)
    assert at.phase == "ordered" and at.q is not None
    np.testing.assert_allclose(found.ntk, at.q / (1 - at.chi), rtol=1e-12)
    np.testing.assert_allclose(found.ntk_diagonal, at.q / (1 - at.chi), rtol=1e-12)
    levels = [200, 230]
    near = depth_kernels(NAMED["erf"], -0.5, levels, sigma_b=0.3, sigma_w=1.0)
    assert at.xi is not None
    rate = np.log(near.delta[1] / near.delta[0]) / 30
    np.testing.assert_allclose(rate, -1 / at.xi, rtol=1e-9)
    assert 0 < abs(near.deviation[1]) < abs(near.deviation[0]) < 1e-3


def test_chaotic_kernels_tend_to_c_star_and_grow_on_the_diagonal() -> None:
    at = phase(NAMED["erf"], sigma_b=0.3, sigma_w=2.0)
    found = depth_kernels(NAMED["erf"], 0.999, [200, 201], sigma_b=0.3, sigma_w=2.0)
    assert at.phase == "chaotic"
    np.testing.assert_allclose(1 - found.delta, at.c_star, rtol=1e-12)
    np.testing.assert_allclose(found.ntk_diagonal[1] / found.ntk_diagonal[0], at.chi, rtol=1e-12)
    np.testing.assert_allclose(found.ntk[1], found.ntk[0], rtol=1e-10)


def test_a_gap_below_what_a_cosine_can_tell() -> None:
    tiny = depth_kernels(NAMED["relu"], 1.0, [1, 2, 50], sigma_b=0.0, sigma_w=2**0.5, gap=1e-25)
    same = depth_kernels(NAMED["relu"], 1.0, [1, 2, 50], sigma_b=0.0, sigma_w=2**0.5)
    np.testing.assert_allclose(tiny.delta, 1e-25, rtol=1e-9)
    assert (same.delta == 0).all() and (same.ntk == same.ntk_diagonal).all()


@pytest.mark.parametrize("architecture", ["ffnn", "residual"])
@pytest.mark.parametrize("spec", ["relu", "tanh", "identity"])
def test_edges_have_no_nan(spec: str, architecture: str) -> None:
    """One layer; no weights at all; opposite and equal inputs."""
    for cosine in (-1.0, 1.0):
        for sigma_b, sigma_w in ((0.0, 0.0), (0.5, 0.0), (0.0, 1.0)):
            found = depth_kernels(get(spec), cosine, [1], sigma_b=sigma_b, sigma_w=sigma_w, architecture=architecture)
            for field in ("q", "delta", "ntk", "ntk_diagonal"):
                assert np.isfinite(getattr(found, field)).all(), (cosine, sigma_b, sigma_w, field)
            np.testing.assert_allclose(found.q, sigma_b**2 + sigma_w**2, rtol=1e-15)
            np.testing.assert_allclose(found.ntk, sigma_b**2 + cosine * sigma_w**2, rtol=1e-15)


def test_no_weights_is_all_bias() -> None:
    found = depth_kernels(NAMED["tanh"], 0.3, [1, 2, 40], sigma_b=0.5, sigma_w=0.0)
    np.testing.assert_allclose([found.q, found.ntk, found.ntk_diagonal], 0.25, rtol=1e-14)
    assert (found.delta == 0).all()


@pytest.mark.parametrize(
    "change, kind, message",
    [
        ({"cosine": 1.5}, ValueError, r"cosine: expected a number in \[-1, 1\], got 1.5"),
        ({"cosine": float("nan")}, ValueError, "cosine: expected a finite number, got nan"),
        ({"depths": [0]}, ValueError, "depth: expected a whole number of layers, at least 1, got 0"),
        ({"depths": [3, 2]}, ValueError, "depths: expected increasing depths"),
        ({"sigma_w": -1.0}, ValueError, "sigma_w: expected a standard deviation at least 0, got -1"),
        ({"sigma_b": float("inf")}, ValueError, "sigma_b: expected a finite number, got inf"),
        ({"q0": 0.0}, ValueError, "q0: expected a number above 0"),
        ({"architecture": "resnet"}, ValueError, "architecture: expected one of ffnn, residual, got 'resnet'"),
        ({"cosine": "near"}, TypeError, "cosine: expected a real number, got 'near'"),
        ({"sigma_w": 2.0, "depths": [5000]}, ValueError, "leaves the range of float64; expected at most"),
        ({"sigma_w": 2.0, "sigma_b": 0.1, "depths": [5000]}, ValueError, "leaves the range of float64"),
    ],
)
def test_bad_input_gets_one_sentence(change: dict, kind: type, message: str) -> None:
    options = {"cosine": 0.5, "depths": [2], "sigma_b": 0.0, "sigma_w": 1.0} | change
    with pytest.raises(kind, match=message) as caught:
        inspect.unwrap(depth_kernels)(NAMED["relu"], **options)
    assert "\n" not in str(caught.value)


def test_the_largest_depth_it_names_is_one_that_works() -> None:
    act: Activation = NAMED["relu"]
    with pytest.raises(ValueError) as caught:
        depth_kernels(act, 0.5, [100_000], sigma_b=0.0, sigma_w=1.5)
    bound = int(str(caught.value).split("at most ")[1].split(" ")[0])
    found = depth_kernels(act, 0.5, [bound], sigma_b=0.0, sigma_w=1.5)
    assert np.isfinite(found.ntk).all() and bound > 1000
