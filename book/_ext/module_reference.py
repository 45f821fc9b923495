"""The reference: every public module of the package, from its docstrings.

``{modules} kernels depth`` sets the modules of these layers, each under a heading of its own.
"""

import inspect
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import ntk_eoc

ROOT = Path(ntk_eoc.__file__).parent
# Docstrings are plain text with ``code`` and examples; reStructuredText must see no other mark-up in them.
LITERAL = re.compile(r"(``.+?``)", re.DOTALL)
SINGLE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def modules(layer: str) -> list[str]:
    """Dotted names of a layer's modules: a file's, or a folder's with all its files.

    >>> modules("kernels"), modules("networks")[:2]
    (['ntk_eoc.kernels'], ['ntk_eoc.networks', 'ntk_eoc.networks.layers'])
    """
    if (ROOT / f"{layer}.py").is_file():
        return [f"ntk_eoc.{layer}"]
    files = sorted(path.stem for path in (ROOT / layer).glob("*.py") if not path.stem.startswith("_"))
    return [f"ntk_eoc.{layer}", *(f"ntk_eoc.{layer}.{name}" for name in files)]


def as_plain(lines: list[str]) -> list[str]:
    r"""A docstring's lines with everything escaped that reStructuredText would interpret.

    >>> as_plain(["K*, |x| and `q`, not ``a*b``"])
    ['K\\*, \\|x\\| and ``q``, not ``a*b``']
    """
    found, example = [], False
    for line in lines:
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        found.append(line if example else _escaped(line))
    return found


def _escaped(line: str) -> str:
    parts = LITERAL.split(SINGLE.sub(r"``\1``", line))
    return "".join(part if part.startswith("``") else re.sub(r"([*|\\]|_\b)", r"\\\1", part) for part in parts)


class Modules(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        lines = []
        for layer in self.arguments[0].split():
            for name in modules(layer):
                lines += [
                    f"## {name.removeprefix('ntk_eoc.')}",
                    "",
                    "```{eval-rst}",
                    f".. automodule:: {name}",
                    "```",
                    "",
                ]
        place = nodes.section()
        place.document = self.state.document
        self.state.nested_parse(StringList(lines, source=self.env.doc2path(self.env.docname)), 0, place, True)
        return place.children


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = as_plain(lines)


def is_bare_field(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """The fields of a NamedTuple stand in its signature; their own entries would say nothing more."""
    return True if (inspect.getdoc(obj) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("modules", Modules)
    app.connect("autodoc-skip-member", is_bare_field)
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
