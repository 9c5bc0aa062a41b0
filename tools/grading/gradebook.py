"""What goes back to the platform, and the teacher's word: gradebook, feedback, overrides."""

import codecs
import csv
import io
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tools.files import write_whole
from tools.grading.grade import Grade
from tools.grading.handins import HandIn, shown

NOT_TOUCHED = ("EX", "N/A")  # Canvas: excused; not assigned to this student
Overrides = Mapping[tuple[str, str], tuple[float, str]]  # submission, question: points, comment


class Cell(NamedTuple):
    """A cell of a table, and where it stands in the text."""

    value: str
    start: int
    end: int


class Sheet(NamedTuple):
    """Where the grades go in a platform's table: the column, its maximum as written, the rows."""

    column: int
    maximum: str
    rows: dict[tuple[str, str], list[list[Cell]]]  # by platform and student


def fill_gradebook(
    content: bytes, graded: Sequence[tuple[HandIn, Grade]], assignment: str
) -> tuple[bytes, list[str]]:
    """Fill in the grades, in the platform's scale; no other byte changes.

    Args:
        content: Canvas' export or Moodle's worksheet.
        graded: every row of the class.
        assignment: its title in Canvas, or a part of it.

    Returns:
        The filled table; what a teacher should know: the column, who has no row in it.

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
            value, quoted = _scaled(grade, sheet.maximum), text[cell.start : cell.start + 1] == '"'
            edits.append((cell, f'"{value}"' if quoted or delimiter in value else value))
    for cell, value in sorted(edits, reverse=True, key=lambda edit: edit[0].start):
        text = text[: cell.start] + value + text[cell.end :]
    title = f"{shown(cells[0][sheet.column].value)}, of {sheet.maximum or 'no known maximum'}"
    notes = [f"gradebook, {title}: {len(edits)} filled in"]
    notes += [f"not in the gradebook: {', '.join(unmatched)}"] if unmatched else []
    notes += [f"left in the gradebook as it was: {', '.join(kept)}"] if kept else []
    return text.encode(encoding), notes


def _decode(content: bytes) -> tuple[str, str]:
    """The text, byte order mark included, and an encoding that gives back the same bytes."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if content.startswith(mark):
            return content.decode(encoding), encoding
    with suppress(UnicodeDecodeError):
        return content.decode(), "utf-8"
    return content.decode("latin-1"), "latin-1"


def _cells(text: str, delimiter: str) -> list[list[Cell]]:
    """The rows of a CSV, as the module `csv` reads them, and where each cell stands."""
    quoted, end = r'"([^"]*(?:""[^"]*)*)"', rf"([^{delimiter}\r\n]*)({delimiter}|\r\n|\r|\n|\Z)"
    rows = [[]]
    for match in re.compile(f"(?:{quoted})?{end}").finditer(text, text.startswith("\ufeff")):
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
    people = [row for row in cells[1:] if len(row) == len(heading)]
    [possible] = [row for row in people if row[0].value.strip() == "Points Possible"][:1] or [None]
    students = [row for row in people if row is not possible and row[heading.index("ID")].value]
    columns = [
        n
        for n in range(heading.index("Section") + 1, len(heading))
        if re.fullmatch(r".*\(\d+\)", heading[n], re.S)
        and (not possible or possible[n].value != "(read only)")
    ]
    choices = (
        [n for n in columns if _plain(assignment) in _plain(heading[n])],
        columns,
        [n for n in columns if not any(row[n].value for row in students)],
    )
    column = next((found[0] for found in choices if len(found) == 1), None)
    if column is None:
        titles = ", ".join(shown(heading[n]) for n in columns)
        raise ValueError(f"which assignment of the gradebook? Name one with --column: {titles}.")
    maximum = possible[column].value if possible else ""
    return Sheet(column, maximum, _by_student("Canvas", students, heading.index("ID"), column))


def _moodle(cells: list[list[Cell]]) -> Sheet:
    """Headings are in any language: the grade stands left of its maximum, the same in each row."""
    width = len(cells[0])
    students = [row for row in cells[1:] if len(row) == width and re.search(r"\d$", row[0].value)]
    for column in range(width - 2, 1, -1):
        maximum = {row[column + 1].value for row in students}
        grades = [row[column].value for row in students if row[column].value not in ("", "-")]
        if len(maximum) == 1 and all(map(_number, maximum)) and None not in map(_number, grades):
            return Sheet(column, *maximum, _by_student("Moodle", students, 0, column))
    raise ValueError(
        "the gradebook is neither Canvas' export nor Moodle's worksheet for an assignment "
        "with points."
    )


def _by_student(
    platform: str, rows: list[list[Cell]], place: int, column: int
) -> dict[tuple[str, str], list[list[Cell]]]:
    """Rows by the platform's number; by what else tells who it is, for hand-ins from Gradescope."""
    found = defaultdict(list)
    for row in rows:
        found[platform, re.sub(r".*\D(?=\d+$)", "", row[place].value)].append(row)
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
    """The total as the platform writes numbers; unscaled where no maximum is known."""
    share = (_number(maximum) or grade.out_of) / grade.out_of
    value = f"{grade.total * share:.2f}"
    if not re.search(r"[.,]\d", maximum):
        value = value.rstrip("0").rstrip(".")
    return value.replace(".", ",") if "," in maximum else value


def write_feedback_zip(file: Path, feedback: Iterable[tuple[HandIn, str]]) -> None:
    """Write the texts for students as Moodle takes feedback files: named as its hand-ins are."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
        for hand_in, text in feedback:
            person = re.sub(r"[_/\\]", " ", hand_in.person)  # "_" separates the fields
            folder = f"{person}_{hand_in.student}_assignsubmission_file"
            opened.writestr(f"{folder}/feedback.txt", text)
    write_whole(file, content.getvalue())


def gradescope_results(grade: Grade) -> str:
    """The `results.json` of a submission: a test for every question."""
    tests = [
        {
            "name": question,
            "score": points,
            "max_score": grade.out_of / len(grade.points),
            "status": "failed" if question in grade.problems else "passed",
            "output": grade.problems.get(question, ""),
            "visibility": "visible",
        }
        for question, points in grade.points.items()
    ]
    facts = {"score": grade.total, "execution_time": round(grade.seconds), "output": grade.reason}
    return json.dumps({**facts, "tests": tests}, ensure_ascii=False, indent=1)


def read_overrides(file: Path) -> Overrides:
    """The teacher's word, from a CSV with submission, question, points, comment; or nothing.

    Raises:
        ValueError: if a line of it cannot be understood.
    """
    if not file.exists():
        return {}
    text = _decode(file.read_bytes())[0].removeprefix("\ufeff")
    lines = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in text.split("\n")[0] else ",")
    found = {}
    for line in lines:
        points = _number(line.get("points") or "")
        if not (line.get("submission") and line.get("question")) or points is None or points < 0:
            raise ValueError(
                f"{file}, line {lines.line_num}: needs submission, question, points and comment."
            )
        # A spreadsheet's guard against formulas, as in the table of grades.
        name = re.sub(r"^'(?=\s*[=+@-])", "", line["submission"])
        found[name, line["question"]] = points, line.get("comment") or ""
    return found


def override(grade: Grade, overrides: Overrides) -> Grade:
    """The grade with the teacher's points and comments in it."""
    points, problems, said = {**grade.points}, {**grade.problems}, []
    for question, earned in grade.points.items():
        if (grade.submission, question) in overrides:
            number, comment = overrides[grade.submission, question]
            points[question] = int(number) if number == int(number) else number
            problems.pop(question, None)
            if number <= earned:
                problems[question] = comment
            said.append(f"{question}: {points[question]} by hand" + (comment and f" ({comment})"))
    reason = "; ".join([*said, *filter(None, [grade.reason])])
    return replace(grade, points=points, problems=problems, reason=reason)


def write_changes(out: Path, grades: Iterable[Grade], files: Mapping[str, str], words: Overrides) -> None:
    """Write `changes.csv`: whose points moved since the last run, and why."""
    kept, rows = out / ".last.json", []
    before = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    now = {
        grade.submission: {
            "points": grade.points,
            "file": files.get(grade.submission, ""),
            "words": {q: words[grade.submission, q] for q in grade.points if (grade.submission, q) in words},
        }
        for grade in grades
    }
    now = json.loads(json.dumps(now))
