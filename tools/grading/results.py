"""What grading leaves behind: grades, a table of them, reports, and feedback."""

import csv
import hashlib
import io
import json
import re
import shutil
import tempfile
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from tools.files import write_whole
from tools.grading.one import Grade
from tools.grading.rubric import Step
from tools.report.write import write_report

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell


def grade_file(out: Path, submission: str) -> Path:
    """Where the grade of a submission is kept (its own name could be too long)."""
    return out / "results" / f"{hashlib.sha256(submission.encode()).hexdigest()[:20]}.json"


def write_grade(file: Path, grade: Grade, digest: str) -> None:
    """Keep a grade. `digest` stands for everything that it depends on."""
    write_whole(file, json.dumps({"digest": digest, "grade": asdict(grade)}, indent=1))


def read_grade(file: Path, digest: str | None = None) -> Grade | None:
    """The grade that is kept in `file`, unless it depends on something that has changed."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Grade(**kept["grade"]) if digest in (None, kept["digest"]) else None


def write_table(file: Path, grades: Iterable[Grade]) -> None:
    """Write the table of grades as CSV, a row for each submission."""
    grades = sorted(grades, key=lambda grade: grade.submission)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    steps = list(grades[0].points) if grades else []
    writer.writerow(["submission", *steps, *["total", "out_of", "accuracy", "seconds", "reason"]])
    for grade in grades:
        points = [grade.points[step] for step in steps]
        accuracy = "" if grade.accuracy is None else f"{grade.accuracy:.4f}"
        facts = [grade.total, grade.out_of, accuracy, grade.seconds]
        writer.writerow([_inert(grade.submission), *points, *facts, _inert(grade.reason)])
    write_whole(file, table.getvalue())


def _inert(text: str) -> str:
    """Keep a spreadsheet from taking a submission's text for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def save_report(file: Path, notebook: NotebookNode, grade: Grade) -> None:
    """Write the notebook as it ran, with what its steps earned at the head.

    Raises:
        ReportError: if it cannot become a report.
    """
    rows = [f"| {step} | {points} |" for step, points in grade.points.items()]
    table = ["| step | points |", "|:--|--:|", *rows, f"| **together** | **{grade.total}** |"]
    text = [
        f"## {escape(grade.submission)}: {grade.total} of {grade.out_of} points",
        escape(grade.reason),
        "\n".join(table),
    ]
    if grade.accuracy is not None:
        text.append(f"Accuracy on the test images, counted by the grader: {grade.accuracy:.2%}.")
    report = nbformat.from_dict(notebook)
    report.cells.insert(0, new_markdown_cell("\n\n".join(text)))
    report.metadata["title"] = grade.submission
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder) / "submission.ipynb"
        nbformat.write(report, executed)
        write_report(executed, file, allow_errors=True)


# The first words of a problem, and what to do about it.
ADVICE = {
    "AssertionError": "This step computes something else. Compare it with the text above the check "
    "and run the check in the notebook until it says that it held.",
    "NotImplementedError": "This step is still open: write the cell that raises it.",
    "NameError": "The name is defined nowhere above. Restart the kernel and run all cells.",
    "ModuleNotFoundError": "Only the packages of the assignment are installed. Remove that import.",
    "SyntaxError": "Python cannot read this cell. Run it and look at the line that it marks.",
    "IndentationError": "Python cannot read this cell. Look at the indentation of the line named.",
    "StdinNotImplementedError": "Nobody answers input() while grading. Assign the value instead.",
    "MemoryError": "Memory is limited. Work in batches, and keep no copies of the data set.",
    "RuntimeError: [enforce fail at alloc": "Memory is limited. Work in batches, keep no copies.",
    "used more than": "Memory is limited. Work in batches, and keep no copies of the data set.",
    "ran longer than": "Look for a loop that does not end, or do less work in this cell.",
    "showed": "Print less: a summary instead of every step.",
    "the kernel ended": "Remove calls that end Python, such as os._exit.",
    "SystemExit": "Remove the call of sys.exit or exit.",
    "the file": "Save the notebook in JupyterLab, open it once more, and hand in that file.",
    "notebook format": "Save the notebook in a current JupyterLab and hand it in again.",
}


def write_feedback(file: Path, grade: Grade, steps: Sequence[Step]) -> None:
    """Write, for the student, what each step earned, why, and what to do."""
    lines = [f"Feedback on {grade.submission}", ""]
    lines.append(f"{grade.total} of {grade.out_of} points.")
    if grade.accuracy is not None:
        lines.append(f"Accuracy on the test images, counted by the grader: {grade.accuracy:.2%}.")
    if grade.reason:
        lines += ["", *_paragraph("What happened first: " if grade.problems else "", grade.reason)]
        lines += _paragraph("What to do: ", _advice(grade.reason))
    for step in steps:
        lines += ["", f"Step {step.name}: {grade.points[step.name]} of {step.points} points."]
        if step.name in grade.problems:
            lines += _paragraph("The check found: ", grade.problems[step.name])
            lines += _paragraph("What it does: ", re.sub(r"[*`$]", "", step.purpose))
    write_whole(file, "\n".join(lines) + "\n")


def _paragraph(head: str, text: str) -> list[str]:
    return textwrap.wrap(head + text, width=90, subsequent_indent="  ") if text else []


def _advice(reason: str) -> str:
    problem = reason.partition(": ")[2] if reason.startswith(("code cell", "check")) else reason
    return next((advice for start, advice in ADVICE.items() if problem.startswith(start)), "")


def merge(parts: Sequence[Path], out: Path) -> list[Grade]:
    """Join the results of several runs, each of a part of the class, in `out`.

    Raises:
        ValueError: if a part holds no grades, or two hold the same submission.
    """
    grades: dict[str, Grade] = {}
    suites = ET.Element("testsuites")
    for part in parts:
        if not (part / "grades.xml").is_file():
            raise ValueError(f"{part} holds no grades: it must be the --out of a run.")
        for file in sorted((part / "results").glob("*.json")):
            grade = read_grade(file)
            if grade.submission in grades:
                raise ValueError(f"{grade.submission} is in {part} and in another part as well.")
            grades[grade.submission] = grade
        for kind in ("results", "reports", "feedback"):
            if (part / kind).is_dir():
                shutil.copytree(part / kind, out / kind, dirs_exist_ok=True)
        suites.extend(ET.parse(part / "grades.xml").getroot())
    write_whole(out / "grades.xml", ET.tostring(suites, encoding="unicode"))
    write_table(out / "grades.csv", grades.values())
    return list(grades.values())
