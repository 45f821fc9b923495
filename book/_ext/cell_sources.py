"""Which functions of the package, which seeds and which records stand behind a notebook cell, read off its code.

Names are followed from the cell back to the cells that assigned them: ``draw.universal(axes, runs)`` depends on
whatever ``runs`` was made of.
"""

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

PACKAGE = "ntk_eoc"
RECORD = re.compile(r"[\w/.-]+\.(?:npz|json|csv)")
SEEDS = ("seed", "seeds")
HELPERS = (f"{PACKAGE}.records.", f"{PACKAGE}.plotting.style.", f"{PACKAGE}.activations.get")


class Sources(NamedTuple):
    """What a value was made of: dotted names of the package, seeds as written, recorded files."""

    names: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    records: tuple[str, ...] = ()

    def __or__(self, other: "Sources") -> "Sources":
        return Sources(*(tuple(dict.fromkeys(mine + new)) for mine, new in zip(self, other, strict=True)))


def behind(cells: Sequence[str]) -> Sources:
    """The sources of what the last cell shows, given the cells before it.

    >>> behind(["from ntk_eoc.depth import depth_kernels", "k = depth_kernels(seed=3)", "print(k)"])
    Sources(names=('ntk_eoc.depth.depth_kernels',), seeds=('seed = 3',), records=())
    """
    reader = _Reader()
    return [reader.read(cell) for cell in cells][-1]


def functions(sources: Sources) -> list[str]:
    """Those of the names that are functions, where they are defined, without helpers of style and storage."""
    found = [_resolve(name) for name in sources.names if not name.startswith(HELPERS)]
    used = [each for each in found if inspect.isroutine(each) or hasattr(each, "__wrapped__")]
    return list(dict.fromkeys(f"{each.__module__}.{each.__qualname__}" for each in used))


def seeds(sources: Sources) -> list[str]:
    """Seeds that the code states, else the defaults of what it calls."""
    return list(sources.seeds) or list(dict.fromkeys(seed for name in sources.names for seed in _defaults(name)))


def _defaults(name: str) -> Iterator[str]:
    found = _resolve(name)
    parameters = inspect.signature(found).parameters if callable(found) else {}
    for seed in SEEDS:
        if seed in parameters and parameters[seed].default is not inspect.Parameter.empty:
            yield f"{seed} = {parameters[seed].default}"


def _resolve(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute, None)
    except ImportError:
        return None


def _imports(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(statement, ast.ImportFrom) and (statement.module or "").split(".")[0] == PACKAGE:
        for alias in statement.names:
            yield alias.asname or alias.name, f"{statement.module}.{alias.name}"


class _Reader:
    """What is known of every name while cells are read in order."""

    def __init__(self) -> None:
        self.imported: dict[str, str] = {}
        self.made: dict[str, Sources] = {}
        self.constants: dict[str, object] = {}

    def read(self, cell: str) -> Sources:
        """Take in a cell; the sources of what it does, up to its figure, besides giving names to values."""
        shown, done = Sources(), False
        for statement in ast.parse(cell).body:
            self.imported |= dict(_imports(statement))
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    self._assign(target, statement.value)
                continue
            found = self._of(statement)
            for name in _stored(statement):
                self.made[name] = found
            shown, done = (shown if done else shown | found), done or ast.unparse(statement) == "plt.show()"
        return shown

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            pairs = list(zip(target.elts, value.elts, strict=True))
        known = [(part, self._of(given), given) for part, given in pairs]
        for part, found, given in known:
            for name in _stored(part):
                self.made[name] = found
                self.constants.pop(name, None)
                if isinstance(given, ast.Constant):
                    self.constants[name] = given.value

    def _of(self, tree: ast.AST) -> Sources:
        found, own = Sources(), _bound_inside(tree, ast.comprehension, ast.For)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute | ast.Name):
                if (dotted := _dotted(node, self.imported)) is not None:
                    found |= Sources(names=(dotted,))
                elif isinstance(node, ast.Name) and node.id not in own:
                    found |= self.made.get(node.id, Sources())
            elif isinstance(node, ast.keyword) and node.arg in SEEDS:
                value = self.constants.get(ast.unparse(node.value), ast.unparse(node.value))
                found |= Sources(seeds=(f"{node.arg} = {value}",))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and RECORD.fullmatch(node.value):
                found |= Sources(records=(node.value,))
        return found


def _dotted(node: ast.expr, imported: dict[str, str]) -> str | None:
    """``residual.universal`` in full, if its first part was imported from the package."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id in imported:
        return ".".join([imported[node.id], *reversed(parts)])
    return None


def _bound_inside(tree: ast.AST, *kinds: type[ast.For] | type[ast.comprehension]) -> set[str]:
    """Names that belong to lambdas and to loops of these kinds, whatever they were before."""
    loops = [node.target for node in ast.walk(tree) if isinstance(node, kinds)]
    lambdas = [node.args for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    names = {node.id for loop in loops for node in ast.walk(loop) if isinstance(node, ast.Name)}
    return names | {node.arg for each in lambdas for node in ast.walk(each) if isinstance(node, ast.arg)}


def _stored(tree: ast.AST) -> set[str]:
    """Names that a statement or target gives a value; what is put into a container belongs to no name."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return (names - _bound_inside(tree, ast.comprehension)) | defined
