"""The benchmarks' own machinery, without a time: what a worker answers, what the table says, and who meets the peer."""

import ast
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc.training import Config, Model, Network, Sgd, program, step

ROOT = Path(__file__).parents[1]
ROW = {"work": "a kernel", "ours_s": 0.002, "peer_s": 3.0, "ratio": 1500.0}
ABOUT = {"processor": "a processor", "device": "cpu", "versions": {"python": "3"}, "commit": None, "seconds": 2.0}


@pytest.fixture
def contest(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from common import contest

    return contest


def toy(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "toy.py"
    path.write_text(f"from common.serve import serve\nimport numpy as np\n\n\n{body}\n\n\nserve(CASES, ('numpy',))\n")
    return path


def test_only_the_benchmarks_know_the_peer() -> None:
    for path in [*(ROOT / "ntk_eoc").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        assert not [name for name in names if name.split(".")[0] == "neural_tangents"], path


def test_a_worker_prepares_runs_and_hands_over_its_result(contest: ModuleType, tmp_path: Path) -> None:
    """What the case prints does not get into the replies; the clock runs over the call, not over its preparation."""
    body = "def case():\n    print('hello')\n    return lambda: np.arange(3) / 2\n\n\nCASES = {'a': case}"
    worker = contest.Worker(sys.executable, toy(tmp_path, body))
    assert worker.ask("versions") == {"numpy": np.__version__}
    first, later = worker.prepare("a")
    assert 0 < later < 1 and 0 < first < 1
    assert len(worker.burst("a", contest.BURST / 7.5)) == 7 and len(worker.burst("a", 100.0)) == 3
    np.testing.assert_array_equal(worker.result("a"), [0, 0.5, 1])
    worker.close()
    assert worker.process.returncode == 0


def test_a_worker_that_fails_is_named(contest: ModuleType, tmp_path: Path) -> None:
    worker = contest.Worker(sys.executable, toy(tmp_path, "CASES = {'a': lambda: 1 / 0}"))
    with pytest.raises(RuntimeError, match="toy.py: ended while asked to prepare a"):
        worker.prepare("a")
    worker.close()


def test_the_table_is_what_was_measured(contest: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from common import report

    full = ROW | {"ratio_range": [1.0, 2.0], "share_of_limit": 0.5, "difference": 2e-7, "peer_method": "fast"}
    full |= {"fastest_s": {"ours": 1.0, "peer": 4.0}, "versions": {"ours": {"jax": "1"}}}
    found = {"title": "Some work", "rows": [full, ROW], "limits_flops_per_s": {"float32": 2e11}, "about": ABOUT}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "some.json").write_text(json.dumps(found))
    readme = tmp_path / "README.md"
    readme.write_text("Before\n<!-- results -->\nold\n<!-- end of results -->\nAfter\n")
    monkeypatch.setattr(report, "HERE", tmp_path)
    monkeypatch.setattr(report, "README", readme)
    report.main()
    once = readme.read_text()
    assert "| a kernel | 2 ms | 3 s (fast) | 1500.00 (1.00 to 2.00) | 4.00 | 50% | 2e-07 |" in once
    assert "| a kernel | 2 ms | 3 s | 1500.00 |  |  |  |" in once and "200 GFLOP/s in float32" in once
    assert once.startswith("Before\n") and once.endswith("\nAfter\n") and "old" not in once
    report.main()
    assert readme.read_text() == once


def test_what_has_no_peer_has_limits(contest: ModuleType) -> None:
    from common import report

    row = {"work": "a paint", "median_s": 0.25, "slowest_s": 1.2, "limit_s": 1.5}
    about = ABOUT | {"config": {"turns": 5, "load": 0.3}}
    found = report.section({"title": "A site", "rows": [row], "about": about})
    assert "| a paint | 250 ms | 1.2 s | 1.5 s |" in found and "load 0.3" in found


def test_the_work_of_the_empirical_kernel_is_counted(contest: ModuleType) -> None:
    """Multiplications and additions of the products, one after the other, at depth 3."""
    import empirical

    n, d, m = 128, 784, 512
    forwards, backwards = n * d * m + n * m * m + n * m, n * m + n * m * m
    overlaps = n * n * (d + m + m) + n * n * (m + m + 1)  # of the inputs h and of the gradients, layer by layer
    assert empirical.flops(3) == 2 * (forwards + backwards + overlaps)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_training_step_copies_no_stack_of_weights(momentum: float) -> None:
    """One copy of a stack of weights or velocities takes longer than many layers."""
    config = Config(Model("tanh", Network(32, 30, 0.2, 1.3)), Sgd(0.1, 1, momentum=momentum))
    weights = program.start(config, range(2), 16, 4)
    state = step.State(weights, jax.tree.map(jnp.zeros_like, weights) if momentum else None, program.blank(2))
    rows = program.Rows(jnp.zeros((64, 16), jnp.float32), jnp.zeros(64, jnp.int32))
    rates, order = program.rates(config, 16, 4), jnp.zeros((1, 2, 64), jnp.int32)
    text = program.advance(step.kind("tanh", False), state, rates, rows, order).run.as_text()
    assert len(re.findall(r"f32\[28,2,32,32\]\S* (dynamic-update-slice|fusion)\(", text)) >= (2 if momentum else 1)
    assert not re.findall(r"f32\[28,2,32,32\]\S* copy\(", text)
