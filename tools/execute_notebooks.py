"""Execute notebooks in place and save them so that a second run gives the same file.

What depends on the moment or the machine is left out: execution times and the Python patch version.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path) -> None:
    """Run one notebook in its own folder with a fresh kernel; save it only if every cell ran."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)


def main(arguments: list[str]) -> None:
    """Execute every notebook named on the command line, in that order."""
    if not arguments:
        raise SystemExit("There is no notebook to execute.")
    for argument in arguments:
        print(f"executing {argument}", flush=True)
        execute(Path(argument))


if __name__ == "__main__":
    main(sys.argv[1:])
