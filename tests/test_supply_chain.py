"""What is installed, what the workflows run, and what code the package loads: nothing that was not meant."""

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# eval and exec run text, pickle and marshal run what data say.
FORBIDDEN = {"eval", "exec", "compile", "pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
ONE_LOADER = "activations.py"  # file.py:function of the user's own


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", ROOT / "tools/licences.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(tree: ast.AST) -> set[str]:
    """Bare names that are called, and modules that are imported."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(node.func.id)
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_every_installed_distribution_is_permissive() -> None:
    assert load_tool().main() == 0


@pytest.mark.parametrize(
    "licences, said",
    [
        (["GPL-3.0-or-later"], "got GPL-3.0-or-later"),
        (["MIT AND AGPL-3.0-only"], "got MIT AND AGPL"),
        (["BSD License", "Other/Proprietary License"], "Proprietary"),
        ([""], "got none"),
    ],
)
def test_a_licence_that_is_not_is_named(licences: list[str], said: str) -> None:
    (sentence,) = load_tool().refused([("some", licences)])
    assert sentence.startswith("some: expected a permissive licence") and said in sentence


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_read_only_and_run_pinned_actions(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE)
    assert text.count("permissions:") == 1 and "secrets." not in text
    used = re.findall(r"uses: (.*)", text)
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", one) for one in used)
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


def test_names_sees_what_is_forbidden() -> None:
    assert names(ast.parse("import pickle\nfrom joblib import load\neval('1')\nx.compile()")) == {
        *("pickle", "joblib", "eval")
    }


def test_the_package_evaluates_no_text_and_unpickles_nothing() -> None:
    for path in [*(ROOT / "ntk_eoc").rglob("*.py"), *(ROOT / "book/_ext").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        assert not names(tree) & FORBIDDEN, path
        assert "allow_pickle=True" not in path.read_text(), path
        loads = "exec_module" in path.read_text()
        assert loads == (path.name == ONE_LOADER), f"{path} loads code by path"
