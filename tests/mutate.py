"""Do the tests notice a wrong formula? Small changes to the mathematical modules, one at a time, each to be caught.

    python tests/mutate.py --sample 20 --seed 0

draws that many mutants of each module and runs the module's tests on each, in a process of its own, until one fails;
``--record`` keeps the counts and the survivors in a JSON file, after each mutant, a row for each module; a run of the
same commit and seed goes on from it.
A mutant swaps an operator, shifts a comparison, moves a number, drops a minus, or exchanges two branches. The survivors
are printed with their line; tests/MUTATION.md says of each why. What only shapes a message, an annotation or a
docstring is not mutated.
"""

import argparse
import ast
import contextlib
import io
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import hypothesis  # imported once, before the processes part
import jax  # noqa: F401
import mpmath  # noqa: F401
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats  # noqa: F401

ROOT = Path(__file__).parents[1]
# The tests that a module answers to, the quickest first.
TESTS = {
    "closed_forms": ["closed_forms"],
    "rays": ["rays"],
    "maps": ["maps", "meanfield"],
    "meanfield": ["rays", "meanfield"],
    "panels": ["panels", "gaussian"],
    "gaussian": ["gaussian", "closed_forms"],
    "bends": ["bends"],
    "exponential": ["exponential"],
    "lines": ["lines"],
    "octaves": ["octaves"],
    "stretches": ["octaves"],
    "tables": ["tables", "zonal"],
    "zonal": ["zonal"],
    "asymptotics": ["asymptotics"],
    "regularity": ["regularity", "asymptotics"],
    "kernels": ["kernels"],
    "depth": ["depth"],
    "layerwise": ["layerwise"],
    "profile": ["profile"],
    "spectrum": ["spectrum"],
    "scaled": ["scaled"],
    "convolution": ["convolution"],
    "dynamics": ["dynamics"],
    "angles": ["angles", "gram"],
    "hermite": ["hermite", "gram"],
    "lookup": ["gram"],
    "settled": ["settled", "gram"],
    "stack": ["gram"],
    "pairs": ["pairs", "gram"],
    "close": ["close", "gram"],
    "gram": ["gram"],
    "conditioning": ["recommend"],
    "recommend": ["recommend"],
}
BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
COMPARE = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
LIMIT = 900  # seconds for one mutant: longer, and it counts as killed
MEMORY = 8 * 2**30  # bytes for one mutant, which might want all there are
BROKEN = 77  # exit code where not the tests but this script fails
EXAMPLES = 3  # of each property: fewer than the tests take, so what is killed here is killed there


class Mutate(ast.NodeTransformer):
    """Changes the place number ``at``, counting in the order of the walk; with None it only counts."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.count, self.line = at, 0, 0

    def here(self, node: ast.AST) -> bool:
        self.count += 1
        if self.count - 1 == self.at:
            self.line = getattr(node, "lineno", 0)
            return True
        return False

    def skip(self, node: ast.AST) -> ast.AST:
        return node

    visit_Raise = visit_JoinedStr = visit_Import = visit_ImportFrom = visit_AnnAssign = visit_Subscript = skip

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(child) for child in node.body]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if type(node.op) in BINARY and self.here(node):
            node.op = BINARY[type(node.op)]()
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if type(node.ops[0]) in COMPARE and self.here(node):
            node.ops[0] = COMPARE[type(node.ops[0])]()
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, float | int) and not isinstance(node.value, bool) and self.here(node):
            return ast.copy_location(
                ast.Constant(node.value * 1.01 if isinstance(node.value, float) else node.value + 1), node
            )
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return node.operand if isinstance(node.op, ast.USub | ast.Not) and self.here(node) else node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self.here(node):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if self.here(node):
            node.body, node.orelse = node.orelse, node.body
        return node


def mutant(source: str, at: int | None) -> tuple[str, int, int]:
    """(changed source, line, number of places)."""
    change = Mutate(at)
    tree = change.visit(ast.parse(source))
    return ast.unparse(ast.fix_missing_locations(tree)), change.line, change.count


def killed(module: str, source: str) -> bool:
    """Whether a test fails with ``source`` in the place of the module. 0.0 times 1.01 is no change, and counts so."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "ntk_eoc"
        package.mkdir()
        for file in (ROOT / "ntk_eoc").iterdir():
            if file.name not in (f"{module}.py", "__pycache__"):
                (package / file.name).symlink_to(file)
        (package / f"{module}.py").write_text(source)
        child = os.fork()
        if not child:
            sys.path.insert(0, folder)
            os.chdir(ROOT)
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            sys.dont_write_bytecode = True
            files = [f"tests/test_{name}.py" for name in TESTS[module]]
            options = ["-x", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain"]
            code = BROKEN
            try:
                resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
                type.__setattr__(hypothesis.settings, "max_examples", property(lambda _: EXAMPLES))
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    code = int(pytest.main([*options, *files]))
            finally:
                os._exit(code)
        until = time.monotonic() + LIMIT
        while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return True
            time.sleep(0.1)
        if (code := os.waitstatus_to_exitcode(done[1])) not in (0, 1, 2, -signal.SIGSEGV, -signal.SIGABRT):
            raise RuntimeError(
                f"{module}: expected tests that pass, fail or cannot import the mutant, got exit code {code}"
            )
        return code != 0


def sampled(module: str, first: int, sample: int, seed: int) -> Iterator[tuple[int, int, str]]:
    """(place, line, changed source) of ``sample`` mutants of a module from the ``first`` on, no two the same, none the
    same as the module."""
    source = (ROOT / "ntk_eoc" / f"{module}.py").read_text()
    same, _, places = mutant(source, None)
    order = random.Random(f"{seed} {module}").sample(range(places), places)
    different = ((place, *mutant(source, place)) for place in order)
    chosen = ((place, line, text) for place, text, line, _ in different if text != same)
    yield from itertools.islice(chosen, first, sample)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=20, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop then, with what was done")
    parser.add_argument("--record", type=Path, help="JSON file for the counts and the survivors")
    parser.add_argument("--check", action="store_true", help="first see that the tests pass without any change")
    parser.add_argument("modules", nargs="*", default=[*TESTS])
    args = parser.parse_args()
    began, now = time.monotonic(), commit()
    kept = json.loads(args.record.read_text()) if args.record and args.record.is_file() else {}
    rows, survivors = kept.get("modules", {}), kept.get("survivors", [])
    for module in args.modules:
        if module not in rows or (rows[module]["commit"], kept["seed"]) != (now, args.seed):
            rows[module] = {"killed": 0, "tried": 0, "commit": now}
            survivors = [survivor for survivor in survivors if survivor["module"] != module]
    rounds = {module: sampled(module, rows[module]["tried"], args.sample, args.seed) for module in args.modules}
    about = {"command": "make mutate", "commit": now, "seed": args.seed}
    for module in args.modules if args.check else []:
        start = time.monotonic()
        if killed(module, mutant((ROOT / "ntk_eoc" / f"{module}.py").read_text(), None)[0]):
            print(f"{module}: its tests fail, or take more than {LIMIT} seconds, without any change", file=sys.stderr)
            return 1
        if not killed(module, "raise RuntimeError"):
            print(f"{module}: its tests pass without it: they do not see what is changed here", file=sys.stderr)
            return 1
        print(f"{module}: {time.monotonic() - start:.0f} seconds without any change", flush=True)
    for _ in range(args.sample):  # one mutant of each module after the other, so that a short run is spread evenly
        for module, mutants in rounds.items():
            if time.monotonic() - began > args.seconds or (found := next(mutants, None)) is None:
                continue
            place, line, text = found
            dead = killed(module, text)
            rows[module]["killed"] += dead
            rows[module]["tried"] += 1
            print("killed  " if dead else "SURVIVED", f"{module}.py:{line} (place {place})", flush=True)
            if not dead:
                survivors.append({"module": module, "line": line, "change": change(module, text)})
                print(f"    {survivors[-1]['change']}", flush=True)
            if args.record:
                content = json.dumps({**about, "modules": rows, "survivors": survivors}, indent=2)
                args.record.with_suffix(".part").write_text(content + "\n")
                args.record.with_suffix(".part").replace(args.record)
    for module in args.modules:
        print(f"{module}: {rows[module]['killed']} of {rows[module]['tried']} killed")
    dead, tried = (sum(rows[module][key] for module in args.modules) for key in ("killed", "tried"))
    print(f"{dead} of {tried} killed ({dead / max(tried, 1):.1%}), seed {args.seed}")
    return 0


def commit() -> str:
    """As ``records.commit`` says it; but a package that is imported here would be imported in no child, mutated."""
    git = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, check=True)
    dirty = git(["git", "status", "--porcelain", "--", "ntk_eoc"]).stdout
    return git(["git", "rev-parse", "HEAD"]).stdout.strip() + ("-dirty" if dirty else "")


def change(module: str, text: str) -> list[str]:
    """The lines that a mutant changes, before and after in turn."""
    before = ast.unparse(ast.parse((ROOT / "ntk_eoc" / f"{module}.py").read_text())).splitlines()
    pairs = zip(before, text.splitlines(), strict=False)
    return [line.strip() for pair in pairs if pair[0] != pair[1] for line in pair]


if __name__ == "__main__":
    sys.exit(main())
