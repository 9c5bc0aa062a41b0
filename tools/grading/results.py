"""What grading leaves behind: kept grades, their table and JUnit XML, reports, and feedback."""

import csv
import hashlib
import io
import json
import re
import shutil
import tempfile
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from tools.files import write_whole
from tools.grading.rubric import Grade, one_line
from tools.report.write import write_report
from utils.plotting import percent

import nbformat
from nbformat import NotebookNode


def file_for(folder: Path, name: str, suffix: str) -> Path:
    """Where something about a submission goes: below `folder`, whatever its name is."""
    parts = [re.sub(r'[:*?"<>|\\]', "_", one_line(part)) for part in name.split("/")]
    stem = "/".join(part.encode()[:240].decode(errors="ignore") for part in parts)
    stem = re.sub(r"\.ipynb$", "", stem)  # other spellings stay in the name
    if stem != name.removesuffix(".ipynb") or ".." in parts or "" in parts or len(name) > 1000:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        stem = f"{parts[-1].encode()[:100].decode(errors='ignore').strip('.')}-{digest}"
    return folder / f"{stem}{suffix}"


def grade_file(out: Path, name: str) -> Path:
    """Where the grade of a submission is kept."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return out / "results" / f"{digest[:20]}.json"


def keep_grade(out: Path, grade: Grade) -> None:
    write_whole(grade_file(out, grade.submission), json.dumps(asdict(grade), indent=1))


def read_grade(file: Path) -> Grade:
    return Grade(**json.loads(file.read_text(encoding="utf-8")))


def write_tables(out: Path, grades: Collection[Grade]) -> None:
    """Write `grades.csv` and `grades.xml`, a row or tests for each submission."""
    grades = sorted(grades, key=lambda grade: grade.submission)
    write_whole(out / "grades.csv", _table(grades))
    write_whole(out / "grades.xml", _junit(grades))


def _table(grades: Sequence[Grade]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    names = list(grades[0].points) if grades else []
    figures = sorted({name for grade in grades for name in grade.figures})
    more = ["total", "out_of", *figures, "student", "late", "seconds", "look", "reason"]
    writer.writerow(["submission", *names, *more])
    for grade in grades:
        points = [grade.points[name] for name in names]
        numbers = [f"{grade.figures[n]:.4f}" if n in grade.figures else "" for n in figures]
        late = {None: "", False: "no", True: "late"}[grade.late]
        facts = [grade.total, grade.out_of, *numbers, grade.student, late, grade.seconds]
        reason = "; ".join([*(f"{q}: {word}" for q, word in grade.by_hand.items()), grade.reason])
        texts = [inert(one_line(text, 1000)) for text in (grade.look, reason.removesuffix("; "))]
        writer.writerow([inert(one_line(grade.submission, 1000)), *points, *facts, *texts])
    return table.getvalue()


def inert(text: str) -> str:
    """Keep a spreadsheet from taking a submission's text for a formula."""
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def _junit(grades: Sequence[Grade]) -> str:
    """JUnit XML: a test for every question of every submission."""
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", name="grades")
    for grade in grades:
        for name, points in grade.points.items():
            titles = {"classname": one_line(grade.submission, 1000), "name": name}
            case = ET.SubElement(suite, "testcase", titles)
            values = ET.SubElement(case, "properties")
            ET.SubElement(values, "property", name="points", value=str(points))
            if name in grade.problems:
                ET.SubElement(case, "failure", message=one_line(grade.problems[name][0], 1000))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("*/failure"))))
    return ET.tostring(root, encoding="unicode")


def first_problem(executed: NotebookNode) -> str:
    """Which cell failed first, and how; numbered as in the report, which leaves out empty ones."""
    number = 0
    for cell in executed.cells:
        number += cell.cell_type == "code" and bool(cell.source.strip())
        problem = cell.metadata.get("problem")
        if isinstance(problem, str) and problem:
            return f"code cell {number}: {one_line(problem)}"
    return ""


def save_report(file: Path, executed: NotebookNode, grade: Grade) -> None:
    """Write the notebook as it ran, with what its answers earned at the head.

    Raises:
        ReportError: if it cannot become a report.
    """
    name = one_line(grade.submission)
    rows = [f"| {question} | {points} |" for question, points in grade.points.items()]
    table = ["| question | points |", "|:--|--:|", *rows, f"| **together** | **{grade.total}** |"]
    text = [
        f"{_verbatim(name)}: {grade.total} of {grade.out_of} points",
        _verbatim(grade.reason),
        "\n".join(table),
        *_counted(grade),
    ]
    executed.metadata["title"] = name
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "submission.ipynb"
        nbformat.write(executed, source)
        write_report(source, file, allow_errors=True, head="\n\n".join(filter(None, text)))


def _counted(grade: Grade) -> list[str]:
    return [f"Counted by the grader, {name}: {percent(x)}." for name, x in grade.figures.items()]


def _verbatim(text: str) -> str:
    """The text in Markdown that shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+!|$~^=-])", r"\\\1", escape(text, quote=False))


# What a problem holds, and what to do about it.
_MEMORY = "Memory is limited. Work in batches, and keep no copies of the data set."
ADVICE = {
    "NotImplementedError": "This step is still open: write the cell that raises it.",
    "AssertionError": "This cell found something wrong. Compare what it checks with the text above "
    "it, and run it until it passes.",
    "NameError": "No cell that ran defines this name: write the one that should.",
    "ModuleNotFoundError": "Only the packages of the assignment are installed. Remove that import.",
    "SyntaxError": "Python cannot read this cell. Run it and look at the line that it marks.",
    "IndentationError": "Python cannot read this cell. Look at the indentation of the line named.",
    "UsageError": "Jupyter does not know this magic command. Remove the line.",
    "StdinNotImplementedError": "Nobody answers input() while grading. Assign the value instead.",
    "MemoryError": _MEMORY,
    "allocate memory": _MEMORY,
    "of memory": _MEMORY,
    "ran longer than": "Look for a loop that does not end, or do less work in this cell.",
    "showed more": "Print less: a summary instead of every step.",
    "the kernel ended": "Remove calls that end Python, such as os._exit.",
    "SystemExit": "Remove the call of sys.exit.",
    "The file": "Save the notebook in JupyterLab, open it once more, and hand in that file.",
}


def advice_on(problem: str, otherwise: str = "") -> str:
    """What to do about a problem."""
    return next((advice for sign, advice in ADVICE.items() if sign in problem), otherwise)


def feedback(grade: Grade) -> str:
    """What the student reads: points, what was found where none was earned, and what to do."""
    lines = [f"Feedback on {one_line(grade.submission)}", ""]
    lines.append(f"{grade.total} of {grade.out_of} points.")
    lines += _counted(grade)
    if grade.reason:
        lines += ["", *_paragraph("What happened first: " * bool(grade.problems), grade.reason)]
        lines += _paragraph("What to do: ", advice_on(grade.reason))
    for name, points in grade.points.items():
        lines += ["", f"Step {name}: {points} of 1 point."]
        if name in grade.by_hand:
            lines += _paragraph("", grade.by_hand[name])
        elif name in grade.problems:
            found, hint, sentence = grade.problems[name]
            lines += _paragraph("What was found: ", found) if found != grade.reason else []
            lines += _paragraph("What it may be: ", hint)
            lines += _paragraph("What is looked at: ", sentence.replace("`", ""))
    return "\n".join(lines) + "\n"


def _paragraph(head: str, text: str) -> list[str]:
    return textwrap.wrap(head + text, width=90, subsequent_indent="  ") if text else []


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
