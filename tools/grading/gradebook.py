"""What goes back to the platform, and the teacher's word: gradebook, feedback, overrides."""

import codecs
import csv
import hashlib
import io
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tools.files import write_whole
from tools.grading.handins import HandIn, shown
from tools.grading.results import feedback, file_for, inert, write_feedback, write_tables
from tools.grading.rubric import Grade
from tools.reader import ReadError, read_notebook

from nbformat import NotebookNode

Graded = Sequence[tuple[HandIn, Grade]]
NOT_TOUCHED = ("EX", "N/A")  # in Canvas: excused, not assigned to this student
Overrides = Mapping[tuple[str, str], tuple[float, str]]  # submission, question: points, comment


class Cell(NamedTuple):
    """A cell of a table, and where it stands in the text."""

    value: str
    start: int
    end: int


class Sheet(NamedTuple):
    """A platform's table: the column for the grades, the maximum as written, whose row is whose."""

    column: int
    maximum: str
    rows: dict[tuple[str, str], list[list[Cell]]]  # by platform and student


def hand_back(out: Path, graded: Graded, overrides: Overrides, due: datetime | None) -> Graded:
    """Write all that a class gets into `out`; return the grades with the teacher's word in them."""
    graded = [
        (one, replace(override(grade, overrides), student=one.student, late=one.is_late(due)))
        for one, grade in graded
    ]
    for _, grade in graded:
        with suppress(OSError):  # the name of a folder; the table says so, or will
            write_feedback(file_for(out / "feedback", grade.submission, ".txt"), grade)
            file = file_for(out / "gradescope", grade.submission, "/results.json")
            write_whole(file, gradescope_results(grade))
    if moodle := [(one, feedback(grade)) for one, grade in graded if one.platform == "Moodle"]:
        write_whole(out / "feedback.zip", feedback_zip(moodle))
    write_tables(out, [grade for _, grade in graded])
    write_changes(out, graded)
    return graded


def fill_gradebook(content: bytes, graded: Graded, assignment: str) -> tuple[bytes, list[str]]:
    """Fill in the grades, in the platform's scale; no other byte changes.

    Args:
        content: Canvas' export, or Moodle's worksheet in any language.
        graded: every row of the class.
        assignment: its title in Canvas, or a part of it.

    Returns:
        The filled table; what a teacher should know: the column, and who has no row in it.

    Raises:
        ValueError: if it is neither of the two tables, or the column is not clear.
    """
    text, encoding = _decode(content)
    delimiter = max(",;\t", key=lambda delimiter: len(_cells(text, delimiter)[0]))
    cells = _cells(text, delimiter)
    sheet = _canvas(cells, assignment) or _moodle(cells)
    edits, unmatched, kept = [], [], []
    for hand_in, grade in graded:
        rows = sheet.rows.get((hand_in.platform, hand_in.student), [])
        if len(rows) != 1:
            unmatched.append(hand_in.name)
        elif (cell := rows[0][sheet.column]).value in NOT_TOUCHED:
            kept.append(f"{hand_in.name} ({cell.value})")
        else:
            value, is_quoted = _scaled(grade, sheet.maximum), text[cell.start : cell.end][:1] == '"'
            edits.append((cell, f'"{value}"' if is_quoted or delimiter in value else value))
    for cell, value in sorted(edits, reverse=True, key=lambda edit: edit[0].start):
        text = text[: cell.start] + value + text[cell.end :]
    title = f"{shown(cells[0][sheet.column].value)}, of {sheet.maximum or 'no known maximum'}"
    notes = [f"gradebook, {title}: {len(edits)} filled in"]
    notes += [f"not in the gradebook: {', '.join(unmatched)}"] if unmatched else []
    notes += [f"left in the gradebook as it was: {', '.join(kept)}"] if kept else []
    return text.encode(encoding), notes


def _decode(content: bytes) -> tuple[str, str]:
    """The text, byte order mark included, and an encoding that gives the same bytes back."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if content.startswith(mark):
            return content.decode(encoding), encoding
    with suppress(UnicodeDecodeError):
        return content.decode(), "utf-8"
    return content.decode("latin-1"), "latin-1"


def _cells(text: str, delimiter: str) -> list[list[Cell]]:
    """The rows of a CSV, as the module `csv` reads them, and where each cell stands."""
    quoted, rest = r'"([^"]*(?:""[^"]*)*)"', rf"([^{delimiter}\r\n]*)({delimiter}|\r\n|\r|\n|\Z)"
    rows = [[]]
    for match in re.compile(f"(?:{quoted})?{rest}").finditer(text, text.startswith("\ufeff")):
        value = (match[1] or "").replace('""', '"') + match[2]
        rows[-1].append(Cell(value, match.start(), match.start(3)))
        if match[3] != delimiter:
            if match.end() == len(text):
                break
            rows.append([])
    return rows


def _canvas(cells: list[list[Cell]], assignment: str) -> Sheet | None:
    heading = [cell.value for cell in cells[0]]
    if not {"ID", "Section"} <= {*heading}:
        return None
    rows = [row for row in cells[1:] if len(row) == len(heading)]
    possible = next((row for row in rows if row[0].value.strip() == "Points Possible"), None)
    rows = [row for row in rows if row is not possible and row[heading.index("ID")].value]
    columns = [
        n
        for n in range(heading.index("Section") + 1, len(heading))
        if re.fullmatch(r".*\(\d+\)", heading[n], re.S)
        and not (possible and "(" in possible[n].value)  # "(read only)", in any language
    ]
    choices = (
        [n for n in columns if _plain(assignment) in _plain(heading[n])],
        columns,
        [n for n in columns if not any(row[n].value for row in rows)],
    )
    column = next((found[0] for found in choices if len(found) == 1), None)
    if column is None:
        titles = "; ".join(shown(heading[n]) for n in columns)
        raise ValueError(f"which column of the gradebook? Name one with --column: {titles}")
    maximum = possible[column].value if possible else ""
    return Sheet(column, maximum, _by_student("Canvas", rows, heading.index("ID"), column))


def _moodle(cells: list[list[Cell]]) -> Sheet:
    """Headings are in any language: the grade stands left of its maximum, the same in each row."""
    width = len(cells[0])
    rows = [row for row in cells[1:] if len(row) == width and re.search(r"\d$", row[0].value)]
    for column in range(width - 2, 1, -1):
        maximum = {row[column + 1].value for row in rows}
        grades = {row[column].value for row in rows} - {"", "-"}
        if len(maximum) == 1 and all(map(_number, maximum)) and None not in map(_number, grades):
            return Sheet(column, *maximum, _by_student("Moodle", rows, 0, column))
    raise ValueError(
        "the gradebook is neither Canvas' export nor Moodle's worksheet of an assignment that is "
        "graded in points."
    )


def _by_student(
    platform: str, rows: list[list[Cell]], place: int, column: int
) -> dict[tuple[str, str], list[list[Cell]]]:
    """Rows by the platform's number; for hand-ins from Gradescope, by all that names somebody."""
    found = defaultdict(list)
    for row in rows:
        found[platform, re.sub(r"^.*\D(?=\d+$)", "", row[place].value)].append(row)
        for value in {cell.value for cell in row[:column] if cell.value}:
            found["Gradescope", value].append(row)
    return found


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()


def _number(text: str) -> float | None:
    with suppress(ValueError):
        return float(text.replace(",", "."))
    return None


def _scaled(grade: Grade, maximum: str) -> str:
    """The total as the platform writes numbers; as it is where no maximum is known."""
    value = f"{grade.total * (_number(maximum) or grade.out_of) / grade.out_of:.2f}"
    if not re.search(r"[.,]\d", maximum):
        value = value.rstrip("0").rstrip(".")
    return value.replace(".", ",") if "," in maximum else value


def feedback_zip(feedback: Iterable[tuple[HandIn, str]]) -> bytes:
    """Texts for students as Moodle takes them back: in folders named as those it gave out."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
        for hand_in, text in feedback:
            person = hand_in.name.removesuffix(f" {hand_in.student}")
            person = re.sub(r"[_/\\]", " ", person)  # Moodle splits at "_"
            folder = f"{person}_{hand_in.student}_assignsubmission_file"
            opened.writestr(f"{folder}/feedback.txt", text)
    return content.getvalue()


def gradescope_results(grade: Grade) -> str:
    """The `results.json` of a submission: a test for every question."""
    tests = [
        {
            "name": question,
            "score": points,
            "max_score": 1,
            "status": "passed" if points == 1 else "failed",
            "output": "\n".join(filter(None, grade.problems.get(question, [])[:2])),
            "visibility": "visible",
        }
        for question, points in grade.points.items()
    ]
    facts = {"score": grade.total, "execution_time": round(grade.seconds), "output": grade.reason}
    return json.dumps({**facts, "tests": tests}, ensure_ascii=False, indent=1)


def read_overrides(file: Path) -> Overrides:
    """The teacher's word, a CSV with submission, question, points and comment; nothing if missing.

    Raises:
        ValueError: if a line of it cannot be understood.
    """
    text = _decode(file.read_bytes())[0].removeprefix("\ufeff") if file.exists() else ""
    delimiter = ";" if ";" in text.partition("\n")[0] else ","  # as spreadsheets write it
    found, lines = {}, csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    for line in filter(lambda line: any(line.values()), lines):
        name, question = line.get("submission"), line.get("question")
        points = _number(line.get("points") or "")
        if not (name and question) or points is None or not 0 <= points <= 1:
            raise ValueError(
                f"{file}, line {lines.line_num}: it needs a submission, a question, and points "
                "from 0 to 1."
            )
        name = re.sub(r"^'(?=\s*[=+@-])", "", name)  # the guard against formulas in grades.csv
        found[name, question] = points, line.get("comment") or ""
    return found


def override(grade: Grade, overrides: Overrides) -> Grade:
    """The grade with the teacher's points, and comments, in place of those counted."""
    points, problems, by_hand = {**grade.points}, {**grade.problems}, {}
    for question in points:
        if (grade.submission, question) in overrides:
            earned, comment = overrides[grade.submission, question]
            points[question] = int(earned) if earned in (0, 1) else earned
            by_hand[question] = ": ".join(filter(None, [f"{earned:g} by hand", comment]))
            problem = problems.pop(question, ["", "", ""])
            if earned < 1:
                problems[question] = [by_hand[question], *problem[1:]]
    return replace(grade, points=points, problems=problems, by_hand=by_hand)


def write_changes(out: Path, graded: Graded) -> None:
    """Write `changes.csv`: whose points moved since the last run, and why."""
    kept, table = out / ".last.json", io.StringIO()
    last = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["submission", "question", "before", "now", "why"])
    for hand_in, grade in sorted(graded, key=lambda pair: pair[1].submission):
        digest = hashlib.sha256(hand_in.file.read_bytes()).hexdigest() if hand_in.file else ""
        now = [digest or hand_in.problem, grade.points, grade.by_hand]
        file, points, by_hand = last.get(grade.submission, now)
        last[grade.submission] = now
        for question, before in points.items():
            if before != (after := grade.points.get(question)):
                why = "the file changed" if file != now[0] else "the grader changed"
                if by_hand.get(question) != (word := grade.by_hand.get(question)):
                    why = word or "no longer by hand"
                writer.writerow([inert(grade.submission), question, before, after, why])
    write_whole(out / "changes.csv", table.getvalue())
    write_whole(kept, json.dumps(last))


def write_sources(folder: Path, hand_ins: Iterable[HandIn], starter: NotebookNode) -> list[str]:
    """Write all code, as `submissions/NAME.py` and `starter.py`; return what hindered it."""
    notes = []
    write_whole(folder / "starter.py", _code(starter))
    for number, hand_in in enumerate((one for one in hand_ins if one.file), start=1):
        stem = re.sub(r"\W+", "-", hand_in.name.removesuffix(".ipynb"))[:60]
        try:
            code = _code(read_notebook(hand_in.file))
            write_whole(folder / "submissions" / f"{stem}-{number}.py", code)
        except ReadError as error:
            notes.append(f"{hand_in.name}: no source: {error}")
    return notes


def _code(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code") + "\n"
