"""What grading leaves behind: grades, their table and JUnit XML, reports, and feedback."""

import csv
import hashlib
import io
import json
import re
import shutil
import tempfile
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from tools.files import write_whole
from tools.grading.grade import Grade
from tools.grading.rubric import Rubric
from tools.report.write import write_report

import nbformat
from nbformat import NotebookNode


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
    figures = sorted({name for grade in grades for name in grade.figures})
    writer.writerow(
        ["submission", *steps, "total", "out_of", *figures, "seconds", "look", "reason"]
    )
    for grade in grades:
        points = [grade.points[step] for step in steps]
        numbers = [
            f"{grade.figures[name]:.4f}" if name in grade.figures else "" for name in figures
        ]
        texts = [_inert(grade.look), _inert(grade.reason)]
        facts = [grade.total, grade.out_of, *numbers, grade.seconds, *texts]
        writer.writerow([_inert(grade.submission), *points, *facts])
    write_whole(file, table.getvalue())


def _inert(text: str) -> str:
    """Keep a spreadsheet from taking a submission's text for a formula."""
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def write_junit(file: Path, grades: Iterable[Grade]) -> None:
    """Write JUnit XML: a test for every step of every submission."""
    suite = ET.Element("testsuite", name="grades")
    for grade in sorted(grades, key=lambda grade: grade.submission):
        for step, points in grade.points.items():
            names = {"classname": grade.submission, "name": step}
            case = ET.SubElement(suite, "testcase", names)
            values = ET.SubElement(case, "properties")
            ET.SubElement(values, "property", name="points", value=str(points))
            if step in grade.problems:
                ET.SubElement(case, "failure", message=grade.problems[step])
    cases = [len(suite), len(suite.findall("*/failure"))]
    suite.set("tests", str(cases[0]))
    suite.set("failures", str(cases[1]))
    root = ET.Element("testsuites")
    root.append(suite)
    write_whole(file, ET.tostring(root, encoding="unicode"))


def save_report(file: Path, notebook: NotebookNode, grade: Grade) -> None:
    """Write the notebook as it ran, with what its steps earned at the head.

    Raises:
        ReportError: if it cannot become a report.
    """
    rows = [f"| {step} | {points} |" for step, points in grade.points.items()]
    table = ["| step | points |", "|:--|--:|", *rows, f"| **together** | **{grade.total}** |"]
    text = [
        f"{_verbatim(grade.submission)}: {grade.total} of {grade.out_of} points",
        _verbatim(grade.reason),
        "\n".join(table),
        *(f"Counted by the grader, {name}: {value:.2%}." for name, value in grade.figures.items()),
    ]
    report = nbformat.from_dict(notebook)
    report.metadata["title"] = grade.submission
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder) / "submission.ipynb"
        nbformat.write(report, executed)
        write_report(executed, file, allow_errors=True, head="\n\n".join(filter(None, text)))


def _verbatim(text: str) -> str:
    """The text in Markdown that shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+!|$~^=-])", r"\\\1", escape(text))


# The first words of a problem, and what to do about it.
ADVICE = {
    "AssertionError": "This cell found something wrong. Compare what it checks with the text above "
    "it, and run it until it passes.",
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


def write_feedback(file: Path, grade: Grade, rubric: Rubric) -> None:
    """Write, for the student, what each step earned, why, and what to do."""
    lines = [f"Feedback on {grade.submission}", ""]
    lines.append(f"{grade.total} of {grade.out_of} points.")
    for name, value in grade.figures.items():
        lines.append(f"Counted by the grader, {name}: {value:.2%}.")
    if grade.reason:
        lines += ["", *_paragraph("What happened first: " if grade.problems else "", grade.reason)]
        lines += _paragraph("What to do: ", _advice(grade.reason))
    for name, step in zip(rubric.names, rubric.steps, strict=True):
        lines += ["", f"Step {name}: {grade.points[name]} of {step.points} points."]
        if name in grade.problems:
            lines += _paragraph("What was found: ", grade.problems[name])
            lines += _paragraph("What is looked at: ", step.contract.replace("`", ""))
    write_whole(file, "\n".join(lines) + "\n")


def _paragraph(head: str, text: str) -> list[str]:
    return textwrap.wrap(head + text, width=90, subsequent_indent="  ") if text else []


def _advice(reason: str) -> str:
    problem = reason.partition(": ")[2] if reason.startswith(("code cell", "step")) else reason
    return next((advice for start, advice in ADVICE.items() if problem.startswith(start)), "")


def merge(parts: Sequence[Path], out: Path) -> list[Grade]:
    """Join the results of several runs, each of a part of the class, in `out`.

    Raises:
        ValueError: if a part holds no grades, or two hold the same submission.
    """
    grades: dict[str, Grade] = {}
    for part in parts:
        if not (part / "grades.csv").is_file():
            raise ValueError(f"{part} holds no grades: it must be the --out of a run.")
        for file in sorted((part / "results").glob("*.json")):
            grade = read_grade(file)
            if grade.submission in grades:
                raise ValueError(f"{grade.submission} is in {part} and in another part as well.")
            grades[grade.submission] = grade
        for kind in ("results", "reports", "feedback"):
            if (part / kind).is_dir():
                shutil.copytree(part / kind, out / kind, dirs_exist_ok=True)
    write_tables(out, grades.values())
    return list(grades.values())


def write_tables(out: Path, grades: Collection[Grade]) -> None:
    """Write `grades.csv` and `grades.xml`."""
    write_table(out / "grades.csv", grades)
    write_junit(out / "grades.xml", grades)
