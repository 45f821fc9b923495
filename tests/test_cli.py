"""The command line: JSON keys, tables, and one sentence with exit code 2 for bad input."""

import json
import re
import subprocess
import sys
from decimal import Decimal

import jax.numpy as jnp
import pytest

from ntk_eoc.activations import NAMED
from ntk_eoc.cli import main
from ntk_eoc.depth import depth_kernels
from ntk_eoc.meanfield import eoc_points, phase

ROOT_TWO = "1.4142135623730951"


def ask(capsys, *line):
    code = main([*line, "--json"])
    out = capsys.readouterr()
    assert code == 0, out.err
    return json.loads(out.out)


def test_eoc_keys_and_numbers(capsys):
    found = ask(capsys, "eoc", "tanh", "--sigma-b", "0.2")
    assert set(found) == {"activation", "sigma_b", "points"}
    assert [set(point) for point in found["points"]] == [{"sigma_w", "q", "chi", "variance_slope", "stable"}]
    assert found["points"][0]["sigma_w"] == eoc_points(NAMED["tanh"], 0.2)[0].sigma_w


def test_eoc_of_relu_like_has_no_single_variance_and_softplus_has_none(capsys):
    assert ask(capsys, "eoc", "leaky_relu:0.01", "--sigma-b", "0")["points"][0]["q"] is None
    assert ask(capsys, "eoc", "softplus", "--sigma-b", "0.2")["points"] == []


def test_phase_keys_and_numbers(capsys):
    found = ask(capsys, "phase", "tanh", "--sigma-b", "0.3", "--sigma-w", "2")
    assert set(found) == {"activation", "sigma_b", "sigma_w", "phase", "q", "chi", "c_star", "xi"}
    assert {key: found[key] for key in phase(NAMED["tanh"], sigma_b=0.3, sigma_w=2.0)._fields} == phase(
        NAMED["tanh"], sigma_b=0.3, sigma_w=2.0
    )._asdict()


def test_kernel_keys_and_numbers(capsys):
    line = [
        "kernel",
        "relu",
        "--sigma-b",
        "0",
        "--sigma-w",
        ROOT_TWO,
        "--depth",
        "100",
        "--cosine",
        "-0.5",
        "--q0",
        "2",
    ]
    found = ask(capsys, *line)
    assert set(found) == {"nngp", "ntk", "nngp_diagonal", "ntk_diagonal", "delta", "depth"}
    python = depth_kernels(NAMED["relu"], -0.5, [100], sigma_b=0.0, sigma_w=float(ROOT_TWO), q0=2.0)
    assert found["ntk"] == python.ntk[0] and found["delta"] == python.delta[0] and found["depth"] == 100
    assert found["nngp"] == pytest.approx(found["nngp_diagonal"] * (1 - found["delta"]), rel=1e-15)


def test_kernel_reads_the_cosine_as_a_decimal(capsys):
    line = ["kernel", "identity", "--sigma-b", "0", "--sigma-w", "1", "--depth", "1", "--cosine", "0.9999999999999"]
    exact = float(1 - Decimal("0.9999999999999"))
    assert ask(capsys, *line)["delta"] == pytest.approx(exact, rel=1e-14, abs=0)
    assert float(jnp.array(1.0) - 0.9999999999999) != pytest.approx(exact, rel=1e-5, abs=0)


def test_law_keys(capsys):
    found = ask(capsys, "law", "silu", "--sigma-b", "0.2")
    keys = {"activation", "sigma_b", "sigma_w", "q", "stable", "regularity", "limit", "rate", "coefficient"}
    assert keys <= set(found) and found["rate"] == "log(L)/L"
    assert not found["stable"] and any("unstable" in note for note in found["notes"])


def test_law_warns_of_a_kink_that_is_not_there(capsys, tmp_path):
    (tmp_path / "mine.py").write_text("import jax.numpy as jnp\n\n\ndef f(x):\n    return jnp.tanh(x)\n")
    found = ask(capsys, "law", f"{tmp_path}/mine.py:f", "--sigma-b", "0.2", "--kinks", "0.5")
    assert any("0.5" in note for note in found["notes"])


def test_activations_are_all_listed(capsys):
    rows = ask(capsys, "activations")["activations"]
    assert [row["activation"] for row in rows] == list(NAMED)
    assert all(row["source"] for row in rows)


def test_verify_exits_1_when_evidence_fails(capsys, monkeypatch):
    from ntk_eoc.claims import ledger
    from ntk_eoc.claims.rows import Row

    monkeypatch.setitem(ledger.EVIDENCE, "prop2a", lambda: [Row("slope", 1.0, 2.0, 0.1)])
    assert main(["verify", "--only", "prop2a"]) == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        ["eoc", "tanh", "--sigma-b", "0.2"],
        ["eoc", "softplus", "--sigma-b", "0.2"],
        ["phase", "relu", "--sigma-b", "0", "--sigma-w", ROOT_TWO],
        ["law", "elu", "--sigma-b", "0.2"],
        ["verify", "--only", "fig1a", "tab1"],
    ],
)
def test_tables_are_readable(capsys, line):
    assert main(line) == 0
    out = capsys.readouterr().out
    assert out.strip() and "{" not in out and "array(" not in out and "None" not in out


USER = """
import jax.numpy as jnp
import numpy as np
def good(x): return jnp.where(x > 1, x, jnp.tanh(x))
def not_jax(x): return float(x) ** 2
def vector(x): return jnp.stack([x, x])
def batch(x): return x / jnp.max(jnp.abs(x))
"""


def test_a_readers_own_function(capsys, tmp_path):
    (tmp_path / "mine.py").write_text(USER)
    found = ask(capsys, "eoc", f"{tmp_path}/mine.py:good", "--sigma-b", "0.2", "--kinks", "1")
    assert found["activation"] == "mine.py:good" and found["points"]


BAD = [
    (["eoc", "tahn", "--sigma-b", "0.2"], "did you mean 'tanh'"),
    (["eoc", "tanh", "--sigma-b", "-0.2"], "sigma_b"),
    (["eoc", "tanh", "--sigma-b", "nan"], "finite"),
    (["eoc", "tanh", "--sigma-b", "1e60"], "at most"),
    (["eoc", "tanh", "--sigma-b", "x"], "--sigma-b"),
    (["eoc", "tanh"], "--sigma-b"),
    (["eoc", "nowhere.py:f", "--sigma-b", "0.2"], "no file"),
    (["eoc", "{mine}:missing", "--sigma-b", "0.2"], "missing"),
    (["eoc", "{mine}:not_jax", "--sigma-b", "0.2"], "JAX-traceable"),
    (["eoc", "{mine}:vector", "--sigma-b", "0.2"], "one number"),
    (["eoc", "{mine}:batch", "--sigma-b", "0.2"], "elementwise"),
    (["eoc", "{mine}:good", "--sigma-b", "0.2", "--kinks", "a"], "kinks"),
    (["eoc", "tanh", "--sigma-b", "0.2", "--kinks", "1"], "kinks"),
    (["phase", "tanh", "--sigma-b", "0.2", "--sigma-w", "inf"], "sigma_w"),
    (["kernel", "relu", "--sigma-b", "0", "--sigma-w", "1", "--depth", "0", "--cosine", "0"], "depth"),
    (["kernel", "relu", "--sigma-b", "0", "--sigma-w", "1", "--depth", "1.5", "--cosine", "0"], "depth"),
    (["kernel", "relu", "--sigma-b", "0", "--sigma-w", "1", "--depth", "3", "--cosine", "-1.5"], "cosine"),
    (["kernel", "relu", "--sigma-b", "0", "--sigma-w", "1", "--depth", "3", "--cosine", "0", "--q0", "0"], "q0"),
    (["kernel", "relu", "--sigma-b", "0", "--sigma-w", "2", "--depth", "9999", "--cosine", "0"], "float64"),
    (
        [
            "kernel",
            "relu",
            "--sigma-b",
            "0",
            "--sigma-w",
            "1",
            "--depth",
            "3",
            "--cosine",
            "0",
            "--architecture",
            "resnet",
        ],
        "architecture",
    ),
    (["law", "softplus", "--sigma-b", "0.2"], "sigma_b"),
    (["law", "tanh", "--sigma-b", "0.2", "--sigma-w", "1.302"], "1.30414584006"),
    (["law", "identity", "--sigma-b", "0"], "linear"),
    (["law", "tanh", "--sigma-b", "0.2", "--architecture", "residual"], "homogeneous"),
    (["verify", "--only", "lemma"], "did you mean 'lemma1'"),
    (["verify", "--only", "tab1", "--seed", "-1"], "seed: expected a whole number from 0 to 1000000, got -1"),
    (["fly"], "invalid choice"),
]


@pytest.mark.parametrize(("line", "hint"), BAD, ids=[" ".join(line) for line, _ in BAD])
def test_bad_input_is_one_sentence_and_exit_2(capsys, tmp_path, line, hint):
    (tmp_path / "mine.py").write_text(USER)
    line = [part.replace("{mine}", str(tmp_path / "mine.py")) for part in line]
    try:
        code = main(line)
    except SystemExit as stop:  # argparse's own way out
        code = stop.code
    out = capsys.readouterr()
    assert code == 2 and not out.out
    assert hint in out.err and out.err.count("\n") == 1 and "Traceback" not in out.err


def test_console_script_runs_in_a_fresh_process():
    done = subprocess.run(
        [sys.executable, "-m", "ntk_eoc.cli", "eoc", "relu", "--sigma-b", "0", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0 and json.loads(done.stdout)["points"][0]["chi"] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("where", "name"), [("build_parser", "ntk-eoc"), ("commands.run_eoc", "ntk-eoc eoc")])
def test_ctrl_c_is_answered_from_the_first_line_on(capsys, monkeypatch: pytest.MonkeyPatch, where: str, name: str):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"ntk_eoc.cli.{where}", pressed)
    assert main(["eoc", "relu", "--sigma-b", "0"]) == 130
    said = capsys.readouterr()
    assert said.err == f"{name}: stopped; go on with the same line, and with --resume where it has that option\n"
    assert said.out == ""


def test_nothing_heavy_is_imported_before_ctrl_c_is_answered():
    words = "import sys, ntk_eoc.cli; sys.exit(bool({'jax', 'numpy', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", words]).returncode == 0


FORGETFUL = """
import gc, os, signal, sys
from ntk_eoc import cli, commands
def press(*_):
    os.kill(os.getpid(), signal.SIGINT)
def forgetful(args):
    gc.callbacks.append(press)
    gc.collect()
    return {}
commands.run_activations = forgetful
sys.argv = ["ntk-eoc", "activations"]
sys.exit(cli.main())
"""


def test_ctrl_c_ends_a_process_even_where_an_exception_would_be_forgotten(ctrl_c: None):
    done = subprocess.run([sys.executable, "-c", FORGETFUL], capture_output=True, text=True)
    assert done.returncode == 130 and not done.stdout
    assert re.fullmatch("ntk-eoc activations: stopped; go on with the same line.*\n", done.stderr)
