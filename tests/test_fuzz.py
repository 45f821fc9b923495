"""A sample of the fuzzer for every run, and that it turns red where it should. The long run is `make fuzz`."""

import inspect
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import fuzz
import numpy as np
import pytest

from ntk_eoc import (
    angles,
    asymptotics,
    conditioning,
    convolution,
    depth,
    dynamics,
    empirical,
    gaussian,
    gram,
    kernels,
    layerwise,
    maps,
    meanfield,
    networks,
    profile,
    rays,
    recipes,
    recommend,
    scaled,
    spectrum,
)
from ntk_eoc.errors import number

# Quick ones: where panels are compiled for each activation, a sample takes minutes and belongs to the long run.
SAMPLED = (
    "activations",
    "expectation",
    "chi",
    "near",
    "input_gaps",
    "multiplicity",
    "tau",
    "check_images",
    "ntk_gap",
    "decompose",
    "dynamics.flow",
    "Network",
)
ELSEWHERE = {"second_moment_by_panels", "pair_by_panels", "slope_gap_by_panels", "resolved", "correlation_limit"}
ELSEWHERE |= {
    "rows",
    "folds",
    "gaps_of",
    "is_odd",
    "chebyshev_points",
    "chebyshev_series",
    "at_angles",
}  # of checked arrays
ELSEWHERE |= {"first_variance"}  # of checked numbers
ELSEWHERE |= {"mix", "first_layer", "first_state", "next_state", "layer_by_layer"}  # of the states of checked inputs


def test_a_sample_finds_no_fault(tmp_path: Path) -> None:
    """In a process of its own, without the run-time checks of shapes that only tests have."""
    record, environment = tmp_path / "faults.json", {**os.environ, "JAXTYPING_DISABLE": "1"}
    command = [
        sys.executable,
        fuzz.__file__,
        "--calls",
        "15",
        "--lines",
        "25",
        "--seconds",
        "60",
        "--record",
        str(record),
    ]

    def run(*only: str) -> str:
        done = subprocess.run([*command, "--only", *only], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(*SAMPLED, "command lines")
    found = json.loads(record.read_text())
    assert {"command", "commit", "seed", "seconds", "versions"} <= set(found)
    assert all(counts["tried"] > 0 == counts["fault"] for counts in found["inputs"].values())
    assert sum(counts["refused"] for counts in found["inputs"].values()) > 10
    found["inputs"]["scaled.tau"] |= {"tried": 10, "answered": 10, "refused": 0}
    record.write_text(json.dumps(found))
    command[command.index("--calls") + 1] = "16"
    assert run("scaled.tau").splitlines()[0].startswith("scaled.tau: {'tried': 16, 'answered': 1")  # six more


def test_every_public_function_is_in_the_table() -> None:
    """Whoever adds one gives it its arguments in the fuzzer's table."""
    for module in (
        gaussian,
        maps,
        meanfield,
        rays,
        angles,
        profile,
        gram,
        depth,
        asymptotics,
        kernels,
        layerwise,
        spectrum,
        scaled,
        convolution,
        conditioning,
        recommend,
        recipes,
        dynamics,
        networks,
        empirical,
    ):
        for name, value in vars(module).items():
            own = inspect.isfunction(value) and value.__module__.startswith(module.__name__)
            if own and not name.startswith("_") and name not in ELSEWHERE:
                assert any(key.endswith(f".{name}") for key in fuzz.TABLE), f"{module.__name__}.{name}"


@pytest.mark.parametrize(
    "call, verdict",
    [
        (lambda: 1.0, "answered"),
        (lambda: np.array([1.0, np.nan]), "fault"),
        (lambda: number("x", "y"), "refused"),
        (lambda: int("y"), "fault"),  # a sentence, but not ours
        (lambda: {}["y"], "fault"),
        (lambda: 1 / 0, "fault"),
    ],
)
def test_verdicts(call: types.FunctionType, verdict: str) -> None:
    assert fuzz.judge(call)[0] == verdict


def test_a_traceback_a_nan_and_a_strange_exit_code_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fuzz.run_line(["eoc", "relu", "--sigma-b", "0", "--json"]) == ("answered", "")
    assert fuzz.run_line(["eoc", "relu"])[0] == "refused"
    for answer in (lambda _: print("NaN") or 0, lambda _: 3, lambda _: 1 / 0, lambda _: print("x") or 2):
        monkeypatch.setattr(fuzz.cli, "main", answer)
        assert fuzz.run_line(["eoc", "--json"])[0] == "fault"
