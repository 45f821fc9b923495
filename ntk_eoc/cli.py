"""``ntk-eoc``: the theory from the command line, as a table or, with --json, for programs.

Exit codes: 0 done, 1 a check failed, 2 bad input (one sentence on standard error), 130 stopped by Ctrl-C.
"""

import argparse
import json
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ntk_eoc import __version__, commands
from ntk_eoc.arguments import decimal, real, size, whole
from ntk_eoc.commands import Answer
from ntk_eoc.interrupts import end_at_once

DASK_HELP = "let the workers of this Dask scheduler compute, or with `local` one process for each core here"
STOPPED = "stopped; go on with the same line, and with --resume where it has that option"
ACT_HELP = "a name (see `ntk-eoc activations`), leaky_relu:SLOPE, or path/to/file.py:function"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are one sentence, and to which -1e-3 is a number and no option."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = re.compile(r"^-(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|inf|nan)$")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(prog="ntk-eoc", description="Mean-field theory of the NTK (companion of arXiv 1905.13654).")
    parser.add_argument("--version", action="version", version=f"ntk-eoc {__version__}")
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    def command(name: str, run: Any, help: str, activation: bool = True) -> Parser:
        sub = subcommands.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="answer in JSON")
        if activation:
            sub.add_argument("activation", metavar="ACT", help=ACT_HELP)
            sub.add_argument("--kinks", default="", metavar="X,Y", help="where your own function is not smooth")
        return sub

    eoc = command("eoc", commands.run_eoc, "every point of the Edge of Chaos at one sigma_b")
    eoc.add_argument("--sigma-b", type=real, required=True, help="bias standard deviation")
    phase = command("phase", commands.run_phase, "the phase of (sigma_b, sigma_w), its fixed points and depth scale")
    kernel = command("kernel", commands.run_kernel, "NNGP and NTK of two inputs at one depth")
    for sub in (phase, kernel):
        sub.add_argument("--sigma-b", type=real, required=True, help="bias standard deviation")
        sub.add_argument("--sigma-w", type=real, required=True, help="weight standard deviation")
    kernel.add_argument("--depth", type=real, required=True, help="number of layers")
    kernel.add_argument("--cosine", type=decimal, required=True, help="cosine of the angle between the inputs")
    kernel.add_argument("--q0", type=real, default=1.0, help="|x|^2/d of both inputs (default 1)")
    kernel.add_argument("--architecture", default="ffnn", help="ffnn (default) or residual")
    law = command("law", commands.run_law, "limit, rate and coefficient of the NTK on the Edge of Chaos")
    law.add_argument("--sigma-b", type=real, required=True, help="bias standard deviation")
    law.add_argument("--sigma-w", type=real, help="which EOC point, or any sigma_w of a residual network")
    law.add_argument("--architecture", default="ffnn", help="ffnn (default) or residual")
    best = command("recommend", commands.run_recommend, "the initialisation for a depth, and recipes to paste")
    best.add_argument("--depth", type=real, required=True, help="number of layers")
    best.add_argument("--architecture", default="ffnn", help="ffnn (default) or residual")
    best.add_argument("--width", type=whole, metavar="N", help="units of a layer, for the recipe and its warnings")
    add_gram(command("gram", commands.run_gram, "the Gram matrix of a file of inputs, into a folder on disk"))
    verify = command("verify", commands.run_verify, "run the evidence for every claim of the paper", activation=False)
    verify.add_argument("--only", nargs="+", default=[], metavar="ID", help="only these claims")
    verify.add_argument("--seed", type=whole, default=0, metavar="N", help="of what some evidence draws (default 0)")
    verify.add_argument("--out", type=Path, metavar="DIR", help="folder that keeps every claim once it is finished")
    verify.add_argument("--resume", action="store_true", help="go on with the finished claims in that folder")
    reproduce = command("reproduce", commands.run_reproduce, "a figure or table into a folder", activation=False)
    add_reproduce(reproduce)
    command("activations", commands.run_activations, "the named activations", activation=False)
    return parser


def add_gram(sub: Parser) -> None:
    """The arguments of ``ntk-eoc gram``."""
    sub.add_argument("inputs", metavar="FILE", type=Path, help="inputs as .npy, one in each row")
    sub.add_argument("--sigma-b", type=real, required=True, help="bias standard deviation")
    sub.add_argument("--sigma-w", type=real, required=True, help="weight standard deviation")
    sub.add_argument("--depth", type=real, required=True, help="number of layers")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the matrix, gram.npy")
    sub.add_argument("--kernel", default="ntk", help="ntk (default) or nngp")
    sub.add_argument("--architecture", default="ffnn", help="ffnn (default) or residual")
    sub.add_argument("--dtype", default="float32", help="float32 (default) or float64")
    sub.add_argument("--memory", type=size, default="512M", help="for one block, in bytes or as 512M (default) or 2G")
    sub.add_argument("--resume", action="store_true", help="go on with an unfinished matrix in that folder")
    where = sub.add_mutually_exclusive_group()
    where.add_argument("--devices", type=whole, default=1, metavar="N", help="devices here that share each block")
    where.add_argument("--dask", metavar="ADDRESS", help=DASK_HELP)


def add_reproduce(sub: Parser) -> None:
    """The arguments of ``ntk-eoc reproduce``."""
    sub.add_argument("item", metavar="ITEM", help="fig1a, fig1b, fig1c, fig2 or table1")
    scale = sub.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_true", help="a size for seconds, on the digits (default)")
    scale.add_argument("--full", action="store_true", help="the paper's size, on MNIST unless --dataset says otherwise")
    sub.add_argument("--dataset", help="digits, mnist or cifar10")
    sub.add_argument("--activations", nargs="+", default=[], metavar="ROW", help="rows by name, or paper, or ours")
    sub.add_argument("--seeds", type=whole, metavar="N", help="independent runs of each row")
    sub.add_argument("--epochs", type=whole, metavar="N", help="passes over the training set")
    sub.add_argument("--width", type=whole, metavar="W", help="units of a layer")
    sub.add_argument("--depth", type=whole, metavar="L", help="dense layers")
    sub.add_argument("--out", type=Path, metavar="DIR", help="folder of the results (default reproduced/ITEM-DATASET)")
    sub.add_argument("--resume", action="store_true", help="go on with unfinished rows in that folder")
    sub.add_argument("--memory", type=size, help="for one training, in bytes or as 2G (default all there is)")
    sub.add_argument("--dask", metavar="ADDRESS", help=DASK_HELP + "; the folder must be one that they see too")


def verify_table(answer: Answer) -> str:
    """The ledger as a table: claim, paper's item, what was measured against what, verdict."""
    rows = []
    for claim in answer["claims"]:
        measured = "-" if claim["measured"] is None else f"{claim['measured']:.6g} (expected {claim['expected']:.6g})"
        verdict = claim["verdict"] if claim["ok"] else f"FAILED: {claim['verdict']}"
        rows.append({"claim": claim["id"], "paper": claim["item"], "measured": measured, "verdict": verdict})
    return table(rows)


def recommend_table(answer: Answer) -> str:
    """The recommended initialisation above the usual ones, what to mind, and the recipes."""
    here = {"name": "recommended", "phase": None if answer["architecture"] == "residual" else "eoc", "singular": False}
    rows = []
    for row in ({**answer, **here}, *answer["usual"]):
        shown = {key: row[key] for key in ("name", "sigma_w", "sigma_b", "phase")}
        for title, key in (("correlation", "expected_correlation"), ("log10 K(x, x)", "ntk_log10")):
            shown[title] = None if row[key] is None else float(f"{row[key]:.4g}")
        condition = row["ntk_condition"]
        shown["condition"] = "singular" if row["singular"] else None if condition is None else f"{condition:.4g}"
        rows.append({key: float(f"{value:.7g}") if isinstance(value, float) else value for key, value in shown.items()})
    scalars = ("activation", "architecture", "depth", "sigma_w", "sigma_b", "q", "stable", "input_mean_square")
    parts = [render({key: answer[key] for key in scalars}), table(rows), answer["criterion"], *answer["warnings"]]
    return "\n\n".join([*parts, *(f"{name}:\n\n{text}" for name, text in answer["recipe"].items())]).rstrip()


def reproduce_table(answer: Answer) -> str:
    """What was reproduced, row by row, and the commands for what was not run."""
    rows = []
    for row in answer["rows"]:
        shown = {key: value for key, value in row.items() if key not in ("command", "expected_hours")}
        if "test_accuracy_mean" in shown:
            mean, std = shown.pop("test_accuracy_mean"), shown.pop("test_accuracy_std")
            spread = "" if std is None else f" +- {100 * std:.2f}"
            shown["test accuracy %"] = None if mean is None else f"{100 * mean:.2f}{spread}"
        rows.append({key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in shown.items()})
    missing = [row for row in answer["rows"] if row["status"] == "not run"]
    hints = [
        f"not run: {row['command']}"
        + ("" if row["expected_hours"] is None else f" (about {row['expected_hours']:.3g} hours on this machine)")
        for row in missing
    ]
    return "\n".join([f"{answer['item']} on {answer['dataset']}, in {answer['out']}", "", table(rows), *hints])


def cell(value: Any) -> str:
    """One value of a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list):
        if value and isinstance(value[0], dict):
            return "; ".join(f"sigma_w={point['sigma_w']:.7g}" for point in value)
        return ", ".join(cell(part) for part in value) or "-"
    return str(value)


def table(rows: list[Answer]) -> str:
    """Rows with the same keys as an aligned table."""
    lines = [list(rows[0])] + [[cell(value) for value in row.values()] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def render(answer: Answer) -> str:
    """An answer as a readable table: its scalars first, then its one list of rows."""
    scalars = {key: value for key, value in answer.items() if not isinstance(value, list)}
    width = max((len(key) for key in scalars), default=0)
    parts = ["\n".join(f"{key.ljust(width)}  {cell(value)}" for key, value in scalars.items())] if scalars else []
    for key, rows in answer.items():
        if isinstance(rows, list):
            plain = [str(row) for row in rows if not isinstance(row, dict)]
            parts.append("\n".join(plain) if plain else table(rows) if rows else f"{key}: none")
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, without ``argv`` that of this process, which Ctrl-C then ends; returns the exit code."""
    name = "ntk-eoc"
    try:
        args = build_parser().parse_args(argv)
        name = f"ntk-eoc {args.command}"
        if argv is None:
            end_at_once(f"{name}: {STOPPED}")
        import jax

        jax.config.update("jax_enable_x64", True)
        warnings.showwarning = lambda text, *_: print(f"{name}: {text}", file=sys.stderr)
        answer = args.run(args)
        tables = {"verify": verify_table, "reproduce": reproduce_table, "recommend": recommend_table}
        text = json.dumps(answer, indent=2, allow_nan=False) if args.json else tables.get(args.command, render)(answer)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"{name}: {str(stop) or STOPPED}", file=sys.stderr)
        return 130
    try:
        print(text)
    except BrokenPipeError:  # a reader such as `head` that has seen enough
        sys.stderr.close()
    return 0 if all(claim["ok"] for claim in answer.get("claims", [])) else 1


if __name__ == "__main__":
    sys.exit(main())
