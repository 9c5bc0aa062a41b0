"""Check a notebook before handing it in: `python -m tools.check fashion_mnist.ipynb`.

Its cells run, and it is asked what the grader asks, with other inputs; a report lies beside it.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path

try:
    from tools.grading import inside
    from tools.grading.questions import QUESTIONS
    from tools.grading.results import advice_on, first_problem, save_report
    from tools.grading.rubric import Arrays, Grade, judge, load_rubric, replies_of, write_task
    from tools.reader import read_notebook
    from tools.report.exporter import ReportError
    from utils.data import named_folder
    from utils.plotting import percent

    import numpy as np
    from nbformat import NotebookNode
except ModuleNotFoundError as missing:
    sys.exit(f"error: {missing.name} is not installed here; the README says how to start.")

ROOT = Path(__file__).resolve().parents[1]
KEPT = Path(__file__).with_name("expected.npz")  # in what students get
STEPS = sorted({question.step for question in QUESTIONS})
DEFINED = (2, 3, 4)  # steps that can be asked when only the cells tagged `definition` have run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.check", description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--step", type=int, choices=STEPS, help="without the cells behind it")
    no_run = "as saved, in seconds: steps 2 to 4, by the cells tagged `definition` alone"
    parser.add_argument("--no-run", action="store_true", help=no_run)
    arguments = parser.parse_args()
    try:
        check(arguments.notebook, arguments.step, arguments.no_run)
    except (ValueError, OSError, ReportError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped.")


def check(file: Path, step: int | None = None, no_run: bool = False) -> None:
    """Print what a notebook earns; write the report beside it, if all of its cells have run.

    Raises:
        ValueError, ReportError: if it cannot be checked, or become a report; says why.
    """
    if not file.is_file():
        there = ", ".join(sorted(one.name for one in file.parent.glob("*.ipynb"))) or "none"
        raise ValueError(f"there is no file {file}. Notebooks there: {there}.")
    notebook, steps = read_notebook(file), DEFINED if no_run else STEPS
    if step and step not in steps:
        raise ValueError(f"step {step} can only be asked when all cells run: leave --no-run out.")
    if problems := "\n".join(foreign_imports(notebook)):
        raise ValueError(f"{problems}\nDo without: it is not there when the notebook is graded.")
    notebook.cells = [*_cells_for(notebook, step, no_run)]
    which = "that define something run" if no_run else "run; that takes as long as in Jupyter"
    print(f"The cells {which} ...", file=sys.stderr, flush=True)
    # What comes before a step is asked, too: what builds on it is judged by its parts.
    last = step or STEPS[-1]
    asked = [n for n, q in enumerate(QUESTIONS) if q.step in steps and q.step <= last]
    grade, executed = grade_notebook(file.name, notebook, asked)
    shown = [q.name for q in QUESTIONS if q.step in ([step] if step else steps)]
    print_table(grade, shown)
    if no_run:
        print("Only what the cells tagged `definition` say: the other steps need all cells to run.")
    elif not step:
        save_report(file.with_suffix(".html"), executed, grade)
        print(f"Report: {file.with_suffix('.html')}")
    print(f"{sum(grade.points[name] for name in shown)} of {len(shown)}")


def foreign_imports(notebook: NotebookNode) -> Iterator[str]:
    """What a notebook imports, at a line's beginning, that it would not find at the grader's."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned, packages = set(re.findall(r"^[\w-]+", pins, re.MULTILINE)), packages_distributions()
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code" and cell.source]
    for number, source in enumerate(code, start=1):
        for name in re.findall(r"^(?:import|from) +(\w+)", source, re.MULTILINE):
            own = {re.sub(r"[-_.]+", "-", one).lower() for one in packages.get(name, [])}
            is_given = name == "utils" or name in sys.stdlib_module_names or own & pinned
            if not is_given and f"{name}.py" not in "".join(code):  # which it might write
                where = "none of the assignment's packages" if own else "not installed here"
                yield f"code cell {number} imports {name}, which is {where}."


def _cells_for(notebook: NotebookNode, step: int | None, no_run: bool) -> Iterator[NotebookNode]:
    """All cells, or those up to the end of a step; code that shall not run leaves its number."""
    for cell in notebook.cells:
        if step and cell.cell_type != "code" and cell.source.startswith(f"## {step + 1}."):
            return
        is_left_out = no_run and "definition" not in cell.metadata.get("tags", [])
        if is_left_out and cell.cell_type == "code" and cell.source.strip():
            cell.source = "# not run"
        yield cell


def grade_notebook(
    name: str, notebook: NotebookNode, asked: Sequence[int]
) -> tuple[Grade, NotebookNode]:
    """Run a notebook, ask the questions of these numbers, and compare with the kept answers."""
    kept = kept_arrays()
    inputs, expected = ([kept[n][kind] for n in asked] for kind in ("input", "answer"))
    rubric = replace(load_rubric(), questions=[QUESTIONS[n] for n in asked])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary).resolve()
        result = folder / inside.RESULT
        write_task(folder, notebook, rubric, inputs, sockets={}, memory=0, **inside.LIMITS)
        command = [sys.executable, "-P", inside.__file__, str(folder)]
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        own = {"PYTHONPATH": paths}
        if data := named_folder():  # the notebook runs in another folder
            own["FASHION_MNIST_ROOT"] = str(data)
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        ran = subprocess.Popen(command, env=os.environ | own, **pipes)
        try:
            said = ran.communicate()[1].strip().rpartition("\n")[2]
        finally:  # stopped by the keyboard, too
            inside.kill_tree(ran.pid)
        if not (result / inside.ANSWERS).is_file():
            raise ValueError(f"no notebook can run here: {said}")
        executed = read_notebook(result / inside.EXECUTED)
        replies = replies_of(rubric, inputs, (result / inside.ANSWERS).read_bytes(), None, expected)
    grade = judge(name, rubric, replies, "")
    grade.explain(first_problem(executed))
    return grade, executed


def kept_arrays() -> list[dict[str, Arrays]]:
    """For every question its `input`, and the model answer's `answer`, empty where none is kept."""
    if not KEPT.is_file():  # in the repository, where the model answer is
        from tools.student import expected_arrays

        return expected_arrays()
    kept = [{"input": {}, "answer": {}} for _ in QUESTIONS]
    with np.load(KEPT, allow_pickle=False) as arrays:
        for key in arrays:
            number, kind, name = key.split("/", maxsplit=2)
            kept[int(number)][kind][name] = arrays[key]
    return kept


def print_table(grade: Grade, names: Sequence[str]) -> None:
    """Print a row for each question, and below it what was found and what to do."""
    print("points  question")
    for name in names:
        print(f"{grade.points[name]:>6}  {name}")
        found, hint, _ = grade.problems.get(name, ["", "", ""])
        for line in [*textwrap.wrap(found, 90), *textwrap.wrap(advice_on(found, hint), 90)]:
            print(f"{'':8}{line}")
    for name, value in grade.figures.items():
        print(f"{percent(value)}  {name}")
    if grade.reason:
        print(f"What happened first: {grade.reason}")


if __name__ == "__main__":
    main()
