"""Make the notebook that a student begins with: `python -m tools.starter FILE`.

In cells tagged `answer` the bodies of functions are taken out; an answer that defines none is
taken out whole. Text, signatures, docstrings, settings and checks stay, and so does `__init__`,
since the layers' names are part of what is asked; outputs go. The heading of every step then says
what is looked at when it is graded, and how many points that is worth.
"""

import argparse
import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.files import write_whole
from tools.grading.rubric import ASSIGNMENT, Step, load_rubric

import nbformat
from nbformat import NotebookNode


def make_starter(notebook: NotebookNode, steps: Sequence[Step] = ()) -> NotebookNode:
    """Return the notebook with its answers taken out, its outputs cleared, and the steps' terms."""
    starter = nbformat.from_dict(notebook)
    code = [cell for cell in starter.cells if cell.cell_type == "code"]
    sources = [cell.source for cell in code]
    for number, cell in enumerate(code):
        cell.outputs, cell.execution_count = [], None
        tags = cell.metadata.get("tags", [])
        if "answer" in tags:
            cell.source = _without_bodies(cell.source)
            if cell.source == sources[number]:
                cell.source = _without_all(cell.source, sources[number + 1 :])
            cell.metadata.tags = [tag for tag in tags if tag != "answer"]
    for number, step in enumerate(steps, start=1):
        heading = f"## {number}. {step.title}"
        [cell] = [cell for cell in starter.cells if cell.source.startswith(heading)]
        points = f"{step.points} point{'s' * (step.points != 1)}"
        cell.source += f"\n\n> **Graded, {points}.** {step.contract} All else is free."
    starter.metadata.pop("language_info", None)  # names the Python that ran the answer
    return starter


def _without_bodies(source: str) -> str:
    """A cell whose functions and methods are still to be written."""
    lines, module = source.splitlines(), ast.parse(source)
    functions = [("", node) for node in module.body if isinstance(node, ast.FunctionDef)]
    for parent in module.body:
        if isinstance(parent, ast.ClassDef):
            methods = [node for node in parent.body if isinstance(node, ast.FunctionDef)]
            functions += [(f"{parent.name}.", node) for node in methods if node.name != "__init__"]
    for prefix, function in sorted(functions, key=lambda pair: -pair[1].lineno):
        first = function.body[0]
        start = first.end_lineno if ast.get_docstring(function) else first.lineno - 1
        indent = " " * (function.col_offset + 4)
        stub = f'{indent}raise NotImplementedError("write {prefix}{function.name}")'
        lines[start : function.end_lineno] = [stub]
    return "\n".join(lines)


def _without_all(source: str, later: list[str]) -> str:
    """A cell that is still to be written, and says what the later ones need of it."""
    names = ", ".join(_names_for(ast.parse(source), later))
    return f'# Your code. Later cells use {names}.\nraise NotImplementedError("write this cell")'


def _names_for(module: ast.Module, later: list[str]) -> list[str]:
    """The names that a cell defines and a later one reads before any defines them again."""
    needed, open_names = [], dict.fromkeys(_names(module, ast.Store))
    for source in later:
        cell = ast.parse(source)
        redefined = _names(cell, ast.Store)
        read = set(_names(cell, ast.Load)) - set(redefined)
        needed += [name for name in open_names if name in read]
        for name in [*redefined, *read]:
            open_names.pop(name, None)
    return needed


def _names(module: ast.Module, context: type) -> list[str]:
    nodes = [node for node in ast.walk(module) if isinstance(node, ast.Name)]
    return [node.id for node in nodes if isinstance(node.ctx, context)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.starter", description=__doc__)
    parser.add_argument("file", type=Path, help="where the starter goes")
    parser.add_argument(
        "--assignment", type=Path, default=ASSIGNMENT, help="the steps (Fashion-MNIST's)"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that was changed")
    arguments = parser.parse_args()
    rubric, file = load_rubric(arguments.assignment), arguments.file
    if file.resolve() == rubric.notebook.resolve():
        sys.exit("error: the starter would overwrite the model answer.")
    notebook = make_starter(nbformat.read(rubric.notebook, as_version=4), rubric.steps)
    starter = (nbformat.writes(notebook) + "\n").encode()
    try:
        if not arguments.force and file.exists() and file.read_bytes() != starter:
            sys.exit(
                f"error: {file} is not a fresh starter, so it may hold somebody's work, and stays. "
                "Name another file, or say --force (make starter FORCE=1) to replace it."
            )
        write_whole(file, starter)
    except OSError as error:
        sys.exit(f"error: cannot write {file}: {error.strerror}.")
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
