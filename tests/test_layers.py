"""No import runs upwards, and the finite path never meets the infinite one below `experiments`."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ntk_eoc"

# From bottom to top, modules and folders of modules. Each may import what stands before it; a new one
# gets its place here.
ORDER = [
    "errors",
    "interrupts",
    "records",
    "activations",
    "regularity",
    "rays",
    "closed_forms",
    "panels",
    "gaussian",
    "maps",
    "meanfield",
    "bends",
    "exponential",
    "lines",
    "tables",
    "octaves",
    "stretches",
    "zonal",
    "kernels",
    "depth",
    "layerwise",
    "angles",
    "profile",
    "lookup",
    "settled",
    "stack",
    "hermite",
    "pairs",
    "close",
    "gram",
    "spectrum",
    "scaled",
    "convolution",
    "asymptotics",
    "conditioning",
    "recommend",
    "recipes",
    "networks",
    "data",
    "given",
    "dynamics",
    "empirical",
    "optimise",
    "training",
    "folders",
    "cluster",
    "blocks",
    "experiments",
    "claims",
    "plotting",
    "explorer",
    "commands",
    "arguments",
    "cli",
]

# Narrower than the order. Comparing finite networks with kernels is evidence only while neither knows
# the other; `dynamics` and `empirical` take arrays and callables; `plotting` computes nothing.
ONLY = {
    "networks": {"errors", "activations"},
    "data": {"errors"},
    "given": {"errors"},
    "dynamics": {"errors", "given"},
    "empirical": {"errors"},
    "optimise": {"errors"},
    "cluster": set(),
    "plotting": {"errors"},
}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def layer(path: Path) -> str:
    """The layer that a file belongs to: its own name, or that of its folder in the package."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_layers(source: str) -> set[str]:
    """Layers that `source` imports, wherever in the file the import stands.

    Whatever is no layer is reported by its name, a relative import as ".".
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            dotted = ["ntk_eoc.."]
        else:
            continue
        parts = [(name + ".").split(".", 2) for name in dotted]
        found |= {rest[0] or "." for package, *rest in parts if package == "ntk_eoc"}
    return found - {"__version__"}


def allowed(name: str) -> set[str]:
    """Layers that a file of layer `name` may import; the files of one folder may import each other."""
    return ONLY.get(name, set(ORDER[: ORDER.index(name)])) | {name}


def test_the_package_has_modules() -> None:
    assert MODULES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_downwards_only(path: Path) -> None:
    assert layer(path) in ORDER, f"give {layer(path)} its place in ORDER"
    upward = imported_layers(path.read_text()) - allowed(layer(path))
    assert not upward, f"{path.relative_to(PACKAGE)} may not import {sorted(upward)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 250


@pytest.mark.parametrize(
    ("name", "source", "upward"),
    [
        ("gaussian", "from ntk_eoc.kernels import gram", {"kernels"}),
        ("gaussian", "import ntk_eoc.cli as c", {"cli"}),
        ("gaussian", "from ntk_eoc import activations, kernels", {"kernels"}),
        ("gaussian", "def f():\n    from ntk_eoc import zonal", {"zonal"}),
        ("gaussian", "import ntk_eoc", {"."}),
        ("gaussian", "from .errors import check", {"."}),
        ("gaussian", "from . import errors", {"."}),
        ("gaussian", "from ntk_eoc.nowhere import f", {"nowhere"}),
        ("networks", "from ntk_eoc.gaussian import expectation", {"gaussian"}),
        ("dynamics", "from ntk_eoc.activations import get", {"activations"}),
        ("experiments", "from ntk_eoc.plotting.style import color", {"plotting"}),
        ("plotting", "from ntk_eoc.meanfield import chi", {"meanfield"}),
        ("plotting", "from ntk_eoc.plotting.style import color", set()),
        ("cli", "from ntk_eoc import __version__", set()),
        ("kernels", "import jax\nfrom ntk_eoc.zonal import table\nfrom ntk_eoc.errors import check", set()),
    ],
)
def test_upward_imports_are_seen(name: str, source: str, upward: set[str]) -> None:
    assert imported_layers(source) - allowed(name) == upward
