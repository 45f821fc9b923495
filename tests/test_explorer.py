"""The explorer's tables against the package, and the page's scripts, run by Node, against both."""

import base64
import hashlib
import json
import math
import re
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import chebyshev
from scipy.integrate import quad

from ntk_eoc.activations import NAMED, Activation
from ntk_eoc.asymptotics import coefficient
from ntk_eoc.depth import depth_kernels
from ntk_eoc.explorer import CATALOGUE, SIGMA_B_MAX, Entry, build, files, picture, series
from ntk_eoc.explorer.__main__ import main
from ntk_eoc.gaussian import second_moment, slope_gap
from ntk_eoc.meanfield import eoc_points, phase, variance_slope

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "book" / "_static" / "explorer"
TABLES = FOLDER / "tables"
PAGE = ROOT / "book" / "explorer.md"
SCRIPTS = ("text", "series", "meanfield", "state", "verdict")  # those that need no page

# One network per activation whose numbers are compared layer by layer: (sigma_b, sigma_w, cosine).
NETWORKS = {
    "relu": (0.3, 1.5, -0.4),
    "leaky_relu": (0.0, 1.3, 0.2),
    "elu": (0.2, 1.2, 0.5),
    "selu": (0.5, 0.7, 0.9),
    "gelu": (0.3, 1.9, 0.1),
    "silu": (0.1, 1.6, -0.7),
    "softplus": (0.4, 0.9, 0.3),
    "tanh": (0.2, 1.2, 0.5),
    "erf": (0.05, 2.3, 0.8),
    "hard_tanh": (0.3, 1.4, 0.6),
    "sigmoid": (1.0, 9.0, -0.2),
    "sin": (0.6, 1.3, 0.99),
}
DEPTHS = (1, 2, 7)


def read(name: str) -> dict[str, Any]:
    """A committed table as JSON."""
    found = re.fullmatch(r"ntkEoc\.tables\.add\((.*)\);\n", (TABLES / f"{name}.js").read_text())
    assert found
    return json.loads(found.group(1))


def unpacked(packed: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["float64"]), dtype="<f8").reshape(packed["shape"])


def pair_of(name: str, q: float, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(r, g) from the committed table, by NumPy."""
    table, s = read(name), math.sqrt(q)
    beyond = table["homogeneous"] or (table["far"]["shape"][1] > 0 and math.log1p(s) > table["logSMax"])
    kappa, power = (table["farKappa"], 1) if beyond else (1 + s, table["kinkPower"])
    place = 2 * math.log1p(s) / table["logSMax"] - 1
    pair = unpacked(table["pair"])
    row = unpacked(table["far"]) if beyond else chebyshev.chebval(place, pair.transpose(1, 0, 2))
    tangent = np.sqrt(delta / np.maximum(2 - delta, 1e-300))
    w = np.log((1 + kappa * tangent) / (1 + tangent / kappa)) / (2 * math.log(kappa))
    return tuple(chebyshev.chebval(2 * w - 1, row.T) * series.norm(power, s, np.sqrt(delta / 2)))


def angles(n: int, kappa: float) -> np.ndarray:
    """delta at the nodes of the angle coordinate."""
    return 2 * np.sin(0.5 * series.angle(series.nodes(n, 1.0), kappa)[0]) ** 2


# --- the tables ------------------------------------------------------------------------------------------------------


def test_tables_are_those_that_were_written() -> None:
    sums = json.loads((TABLES / files.PROVENANCE).read_text())["sha256"]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in TABLES.glob("*.js")}
    assert found == sums
    assert set(found) == {f"{name}.js" for name in CATALOGUE}
    assert sum(path.stat().st_size for path in TABLES.iterdir()) < 1.5e6


def test_page_offers_the_catalogue() -> None:
    assert re.findall(r'<option value="(\w+)"', PAGE.read_text()) == list(CATALOGUE)
    assert all(f"_static/explorer/{path.name}" in PAGE.read_text() for path in FOLDER.glob("*.js"))


@pytest.mark.parametrize("name", CATALOGUE)
def test_moments_agree_with_the_package(name: str) -> None:
    entry, table = CATALOGUE[name], read(name)
    q = np.geomspace(1e-4, 0.9 * min(entry.s_max**2, 1e4), 9)
    share = np.sqrt(q) / (1 + np.sqrt(q))
    power, slopes, map_slope = chebyshev.chebval(2 * share / table["tMax"] - 1, unpacked(table["moments"]).T)
    assert np.allclose(power * (table["phi0"] ** 2 + q), second_moment(entry.act, jnp.asarray(q)), rtol=1e-8)
    assert np.allclose(slopes, second_moment(entry.act, jnp.asarray(q), 1), rtol=1e-8)
    assert np.allclose(map_slope, variance_slope(entry.act, jnp.asarray(q), sigma_w=1.0), rtol=1e-7)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if NAMED[name].slopes is None])
@pytest.mark.thorough(first=4)
def test_pairs_agree_with_the_package_at_nodes_and_between(name: str) -> None:
    entry = CATALOGUE[name]
    ends = series.nodes(series.DEGREE_S, math.log1p(entry.s_max))
    for log_s in (ends[8], 0.5 * (ends[18] + ends[19])):
        s = math.expm1(log_s)
        nodes = angles(series.DEGREE_W, 1 + s)[[2, 20, 45]]
        delta = np.array([*nodes, 0.013, 1.1])
        expected = np.asarray(slope_gap(entry.act, jnp.array(s * s), jnp.asarray(delta)))
        found = pair_of(name, s * s, delta)[1]
        assert np.abs(found - expected).max() < 1e-6 * float(second_moment(entry.act, jnp.array(s * s), 1))


@pytest.mark.parametrize("name", ["leaky_relu", "tanh", "selu"])
def test_mean_is_the_mean_of_the_gap(name: str) -> None:
    integral = quad(lambda d: pair_of(name, 2.0, np.array([d]))[1][0], 0.0, 0.7, epsabs=1e-12)[0]
    assert np.isclose(pair_of(name, 2.0, np.array([0.7]))[0][0], integral / 0.7, rtol=1e-9)


def test_angle_is_graded_and_comes_with_its_slope() -> None:
    w, step = np.linspace(0.05, 0.95, 7), 1e-6
    for kappa in (1.001, 3.0, 100.0):
        theta, slope = series.angle(w, kappa)
        ahead, behind = series.angle(w + step, kappa)[0], series.angle(w - step, kappa)[0]
        assert np.allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6)
        assert np.allclose(theta + theta[::-1], np.pi)
        assert np.isclose(series.angle(np.array([1e-9]), kappa)[0][0], 0.0, atol=1e-7)


def test_trimmed_keeps_what_counts() -> None:
    values = np.zeros((2, 3, 4))
    values[1, 1, 2] = 1.0
    values[0, 2, 3] = 1e-13
    assert series.trimmed(values).shape == (2, 2, 3)
    assert series.trimmed(np.zeros((2, 0, 4))).shape == (2, 0, 4)


def test_a_table_is_made_again_as_it_was_committed() -> None:
    made = files.table(CATALOGUE["erf"], build(CATALOGUE["erf"]))
    for kept, again in zip(*(unpack_all(table) for table in (read("erf"), made)), strict=True):
        assert np.allclose(kept, again, rtol=0, atol=1e-9)


def unpack_all(table: dict[str, Any]) -> list[np.ndarray]:
    return [unpacked(part) for part in (table["moments"], table["pair"], table["law"]["series"])]


def test_only_increasing_variance_maps_are_tabulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NAMED, "bump", Activation("bump", lambda x: jnp.exp(-x * x)))
    with pytest.raises(ValueError, match="variance map increases, got bump"):
        build(Entry("bump", "exp(-x^2)"))


def test_command_line_explains_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--only", "tang"]) == 2
    message = capsys.readouterr().err
    assert "did you mean 'tanh'?" in message and message.count("\n") == 1
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file"), "--only", "relu"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.thorough
def test_picture_shows_the_first_state() -> None:
    defaults = re.search(r"DEFAULTS = \{(.*)\}", (FOLDER / "state.js").read_text())
    assert defaults
    shown = {"activation": f'"{picture.ACTIVATION}"', "sigma_w": picture.SIGMA_W, "sigma_b": picture.SIGMA_B}
    shown |= {"depth": picture.DEPTH, "cosine": picture.COSINE, "edge": "false"}
    assert defaults.group(1).strip() == ", ".join(f"{key}: {value}" for key, value in shown.items())
    panels = picture.panels()
    act = NAMED[picture.ACTIVATION]
    assert np.isclose(panels.edge[-1, 1], eoc_points(act, SIGMA_B_MAX)[0].sigma_w)
    assert np.isclose(panels.kernel[-1, 1] * 10**4, panels.limit, rtol=1e-6)
    assert np.isclose(panels.variance[0, 1], picture.SIGMA_B**2)
    assert np.allclose(panels.orbit[0], [picture.SIGMA_B**2 + picture.SIGMA_W**2, panels.kernel[0, 1]])


# --- the scripts -----------------------------------------------------------------------------------------------------


def node(body: str, given: Any = None, names: tuple[str, ...] = ()) -> Any:
    """What the JavaScript function body ``body`` returns, given ``given`` and the activations ``names`` as ``acts``."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node.js is not installed")
    sources = ["globalThis.opened = {}; globalThis.ntkEoc = { tables: { add: (t) => (opened[t.name] = t) } };"]
    sources += [(FOLDER / f"{script}.js").read_text() for script in SCRIPTS]
    sources += [(TABLES / f"{name}.js").read_text() for name in names]
    sources.append(
        "const acts = Object.fromEntries(Object.entries(opened).map(([k, t]) => [k, ntkEoc.series.open(t)]));"
        "const finite = (key, x) => (typeof x === 'number' && !Number.isFinite(x) ? String(x) : x);"
        f"console.log(JSON.stringify(((given) => {{{body}}})({json.dumps(given)}), finite));"
    )
    done = subprocess.run([program, "-"], input="\n".join(sources), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def reference(name: str) -> np.ndarray:
    """(q, delta, K, K on the diagonal) of a network of ``NETWORKS`` at ``DEPTHS``, by the package."""
    sigma_b, sigma_w, cosine = NETWORKS[name]
    return np.array(depth_kernels(NAMED[name], cosine, DEPTHS, sigma_b=sigma_b, sigma_w=sigma_w)[:4])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.thorough(first=4)
def test_layers_agree_with_the_package(name: str) -> None:
    sigma_b, sigma_w, cosine = NETWORKS[name]
    found = node(
        """const { logQ, delta, kappa, apart } = ntkEoc.meanfield.layers(acts[given.name], { ...given, depth: 7 });
        return given.depths.map((d) => d - 1).map((l) => [logQ[l], delta[l], kappa[l], apart[l]]);""",
        {"name": name, "sigmaB": sigma_b, "sigmaW": sigma_w, "cosine": cosine, "depths": DEPTHS},
        (name,),
    )
    log_q, delta, kappa, apart = np.array(found).T
    q = np.exp(log_q)
    assert np.allclose([q, delta, q * kappa, q * (kappa + apart)], reference(name), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "sigma_b", "sigma_w", "cosine"),
    [("relu", 0.0, 2**0.5, 0.5), ("leaky_relu", 0.2, 1.2, -1.0), ("erf", 0.1, 1.5, 0.0), ("sin", 0.3, 1.0, 1.0)],
)
def test_deep_networks_agree_with_the_package(name: str, sigma_b: float, sigma_w: float, cosine: float) -> None:
    depths = [10, 300, 3000]
    found = node(
        """const { logQ, delta, kappa } = ntkEoc.meanfield.layers(acts[given.name], { ...given, depth: 3000 });
        return given.depths.map((d) => d - 1).map((l) => [logQ[l], delta[l], kappa[l]]);""",
        {"name": name, "sigmaB": sigma_b, "sigmaW": sigma_w, "cosine": cosine, "depths": depths},
        (name,),
    )
    log_q, delta, kappa = np.array(found).T
    expected = depth_kernels(NAMED[name], cosine, depths, sigma_b=sigma_b, sigma_w=sigma_w)
    assert np.allclose(np.exp(log_q), expected.q, rtol=1e-9)
    assert np.allclose(delta, expected.delta, rtol=1e-6, atol=1e-300)
    assert np.allclose(np.exp(log_q) * kappa, expected.ntk, rtol=1e-6)


def test_variances_beyond_the_tables() -> None:
    found = node(
        """const { logQ, delta, kappa } = ntkEoc.meanfield.layers(acts.elu, { ...given, depth: 8 });
        return [Math.exp(logQ[7]), delta[7], Math.exp(logQ[7]) * kappa[7]];""",
        {"sigmaB": 0.3, "sigmaW": 4.0, "cosine": 0.1},
        ("elu",),
    )
    expected = depth_kernels(NAMED["elu"], 0.1, [8], sigma_b=0.3, sigma_w=4.0)
    assert found[0] > 10 * CATALOGUE["elu"].s_max ** 2
    assert np.allclose(found, [expected.q[0], expected.delta[0], expected.ntk[0]], rtol=3e-4)


@pytest.mark.parametrize("name", ["elu", "softplus"])
def test_pairs_beyond_the_tables(name: str) -> None:
    s = 10.0 * CATALOGUE[name].s_max
    delta = 2 * np.sin(0.5 * np.array([0.3, 3.0, 30.0, 1500.0]) / s) ** 2  # closer than 1/s, and further apart
    found = node(
        "return given.deltas.map((delta) => acts[given.name].pair(given.logQ, delta).gap);",
        {"name": name, "logQ": 2 * math.log(s), "deltas": delta.tolist()},
        (name,),
    )
    expected = slope_gap(NAMED[name], jnp.array(s * s), jnp.asarray(delta))
    assert np.allclose(found, expected, rtol=5e-4, atol=0)


def test_the_logarithm_is_there_on_the_edge() -> None:
    point = eoc_points(NAMED["tanh"], 0.2)[0]
    found = node(
        """const point = ntkEoc.meanfield.edgePoint(acts.tanh, 0.2);
        const { kappa } = ntkEoc.meanfield.layers(acts.tanh, { sigmaB: 0.2, ...point, cosine: 0.5, depth: 10000 });
        return [point.sigmaW, kappa[9999]];""",
        names=("tanh",),
    )
    expected = depth_kernels(NAMED["tanh"], 0.5, [10000], sigma_b=0.2, sigma_w=point.sigma_w)
    assert np.allclose(found, [point.sigma_w, float(expected.ntk[0] / expected.q[0])], rtol=1e-6)


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.thorough(first=4)
def test_phases_agree_with_the_package(name: str) -> None:
    stretch = CATALOGUE[name].sigma_w_max / 4
    places = [(0.2, 1.2 * stretch), (0.3, 2.0 * stretch), (1.0, 1.4 * stretch), (2.0, 0.5 * stretch)]
    found = node(
        "return given.places.map(([b, w]) => ntkEoc.meanfield.phase(acts[given.name], b, w));",
        {"name": name, "places": places},
        (name,),
    )
    for (sigma_b, sigma_w), place in zip(places, found, strict=True):
        expected = phase(NAMED[name], sigma_b=sigma_b, sigma_w=sigma_w)
        assert place["phase"] == expected.phase
        assert np.isclose(place["chi"], expected.chi, rtol=1e-5)
        assert np.isclose(1 - place["deltaStar"], expected.c_star, atol=1e-6)
        assert np.isclose(math.exp(float(place["logQ"])), expected.q or math.inf, rtol=1e-6)
        assert np.isclose(float(place["xi"]), expected.xi or math.inf, rtol=1e-5)


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.thorough(first=4)
def test_edges_and_laws_agree_with_the_package(name: str) -> None:
    biases = [0.0, 0.1, 0.7, 2.0]
    found = node(
        """const act = acts[given.name];
        return given.biases.map((b) => ntkEoc.meanfield.edgePoints(act, b).map((point) =>
          ({ ...point, ...act.law(point.logQ ?? 0) })));""",
        {"name": name, "biases": biases},
        (name,),
    )
    for sigma_b, points in zip(biases, found, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of variances at which the sine varies too fast for quadrature
            expected = eoc_points(NAMED[name], sigma_b)
        assert len(points) == len(expected)
        for point, other in zip(points, expected, strict=True):
            assert np.isclose(point["sigmaW"], other.sigma_w, rtol=1e-9)
            if other.q is None or other.q > 0:
                assert point["stable"] == (other.stable or other.q is None and point["stable"])
                limit, rate, value = coefficient(NAMED[name], other.q or 1.0, other.sigma_w)
                assert np.isclose(point["limit"], limit)
                assert ("log" in point["rate"]) == ("log" in rate)
                assert np.isclose(point["coefficient"], value, rtol=1e-4) or abs(value) > 50


# --- states and sentences --------------------------------------------------------------------------------------------


def settled(address: str) -> tuple[dict[str, Any], str]:
    """State and notes of an address, on the page whose sliders reach sigma_w = 4."""
    state, notes = node(
        """const read = ntkEoc.state.parse(given[0], given[1]);
        const inside = ntkEoc.state.settle(read.state, 4);
        return [inside.state, [...read.notes, ...inside.notes].join(" ")];""",
        [address, list(CATALOGUE)],
    )
    return state, notes


def test_a_state_survives_its_address() -> None:
    state = {"activation": "elu", "sigma_w": 1.2345678901, "sigma_b": 0.05, "depth": 17, "cosine": -0.25, "edge": False}
    address = node("return ntkEoc.state.format(given);", state)
    assert settled(address) == (state, "")
    assert settled("")[1] == ""


@pytest.mark.parametrize(
    ("address", "key", "value", "note"),
    [
        ("#sigma_w=9", "sigma_w", 4, "goes from 0.1 to 4: 9 became 4"),
        ("#sigma_b=-1", "sigma_b", 0, "goes from 0 to 2: -1 became 0"),
        ("#depth=1e9", "depth", 10000, "goes from 1 to 10000: 1000000000 became 10000"),
        ("#depth=2.6", "depth", 3, "is a whole number: 2.6 became 3"),
        ("#cosine=1.5", "cosine", 1, "goes from -1 to 1"),
        ("#sigma_w=wide", "sigma_w", 1.2, "“wide”, so 1.2 is used"),
        ("#sigma_w=Infinity", "sigma_w", 1.2, "“Infinity”"),
        ("#sigma_b=", "sigma_b", 0.2, "“”, so 0.2 is used"),
        ("#activation=tang", "activation", "tanh", "“tang”, so tanh is used"),
        ("#edge=yes", "edge", False, "“yes”"),
        ("#%E0%A4%A", "depth", 200, "nothing here is called"),
        ("#constructor=1", "depth", 200, "nothing here is called “constructor”"),
    ],
)
def test_what_is_out_of_range_or_broken_is_put_right_and_said(address: str, key: str, value: Any, note: str) -> None:
    state, notes = settled(address)
    assert state[key] == value
    assert note in notes


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("tanh", {}, "Ordered: after 106 layers the network cannot tell your inputs apart."),
        ("tanh", {"depth": 50}, "Ordered: 50 layers still tell your inputs apart; 106 layers no longer do."),
        ("tanh", {"cosine": 1}, "The two inputs are the same: no network can tell them apart."),
        ("tanh", {"sigma_w": 2}, "Chaotic: after 14 layers the network sees no likeness between your inputs."),
        ("tanh", {"sigma_b": 0, "sigma_w": 0.8}, "Ordered: the signal dies out, but not its shape, the network still"),
        ("relu", {"sigma_w": 2}, "Chaotic: variance and gradient grow from layer to layer without end."),
        ("relu", {"sigma_b": 0, "sigma_w": 2**0.5}, "On the Edge of Chaos: after 200 layers the network still tells"),
    ],
)
def test_verdicts(name: str, change: dict[str, Any], sentence: str) -> None:
    found = node(
        """const state = { ...ntkEoc.state.DEFAULTS, ...given.change };
        return ntkEoc.verdict.verdict(ntkEoc.verdict.explore(acts[given.name], state))[0];""",
        {"name": name, "change": change},
        (name,),
    )
    assert found.startswith(sentence)


def test_layers_in_the_verdicts_are_the_package_s() -> None:
    share = {}
    for sigma_w, depths in ((1.2, [105, 106]), (2.0, [13, 14])):
        found = depth_kernels(NAMED["tanh"], 0.5, depths, sigma_b=0.2, sigma_w=sigma_w)
        share |= dict(zip(depths, found.ntk / found.ntk_diagonal, strict=True))
    assert share[105] <= 0.99 < share[106]
    assert share[14] < 0.01 <= share[13]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("number(0.00012345)", "1.23 × 10⁻⁴"),
        ("number(-2.5)", "−2.5"),
        ("number(1 / 0)", "∞"),
        ("exponential(-1000)", "5.08 × 10⁻⁴³⁵"),
        ("exponential(0)", "1"),
        ("correlation(1e-9)", "1 − 1.00 × 10⁻⁹"),
        ("correlation(0.25)", "0.75"),
        ("percent(0.5)", "50 %"),
        ("layers(1)", "1 layer"),
        ("signed(-0.4)", "− 0.4"),
    ],
)
def test_numbers_are_written_for_reading(call: str, text: str) -> None:
    assert node(f"return ntkEoc.text.{call};") == text
