"""What goes back to the platform, and the teacher's word: gradebook, feedback, overrides."""

import csv
import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from tools.files import write_whole
from tools.grading.handins import HandIn, shown
from tools.grading.results import feedback, file_for, inert, write_tables
from tools.grading.rubric import Grade
from tools.reader import ReadError, read_notebook

from nbformat import NotebookNode

Graded = Sequence[tuple[HandIn, Grade]]
Overrides = Mapping[tuple[str, str], tuple[float, str]]  # submission, question: points, comment


@dataclass
class Cell:
    """A cell of a table."""

    value: str
    raw: str  # as it is written, quotes included
    after: str  # the delimiter, or the end of the line


Row = list[Cell]
# Which column takes grades, its maximum as written, the rows by platform, number and person.
Sheet = tuple[int, str, dict[tuple[str, str, str], Row]]


def hand_back(out: Path, graded: Graded, overrides: Overrides, due: datetime | None) -> Graded:
    """Write all that a class gets into `out`; return the grades with the teacher's word in them."""
    graded = [(one, override(grade, overrides, one, due)) for one, grade in graded]
    moodle = io.BytesIO()  # which takes feedback back in folders named as those it gave out
    with zipfile.ZipFile(moodle, "w", zipfile.ZIP_DEFLATED) as opened:
        for one, grade in graded:
            if one.platform == "Moodle":
                folder = f"{one.name.removesuffix(one.student)[:-1]}_{one.student}"
                opened.writestr(f"{folder}_assignsubmission_file/feedback.txt", feedback(grade))
            with suppress(OSError):  # the name of a folder; the table says so, or will
                write_whole(file_for(out / "feedback", grade.submission, ".txt"), feedback(grade))
                file = file_for(out / "gradescope", grade.submission, "/results.json")
                write_whole(file, gradescope_results(grade))
    if opened.namelist():
        write_whole(out / "feedback.zip", moodle.getvalue())
    write_tables(out, [grade for _, grade in graded])
    write_changes(out, graded)
    return graded


def fill_gradebook(content: bytes, graded: Graded, assignment: str) -> tuple[bytes, list[str]]:
    """Fill grades into Canvas' export or Moodle's worksheet, in its scale; no other byte changes.

    In Canvas' the column is the one with `assignment` in its title, or the only one. Returns also
    what a teacher should know: the column, and whose grade is not in it.

    Raises:
        ValueError: if it is neither of the two tables, or the column is not clear.
    """
    text, encoding = _decode(content)
    cells = _cells(text)
    column, maximum, rows = _canvas(cells, assignment) or _moodle(cells)
    left_out, replaced = [], []
    for hand_in, grade in graded:
        person = _plain(hand_in.name.removesuffix(hand_in.student)) or "?"  # nobody's
        key = hand_in.platform, hand_in.student, person * (hand_in.platform == "Moodle")
        row = rows.get(key)
        if not row or row[column].value in ("EX", "N/A"):  # excused, not assigned
            left_out.append(f"{hand_in.name} ({row[column].value if row else 'has no row'})")
            continue
        scaled = round(grade.total * (_number(maximum) or grade.out_of) / grade.out_of, 2)
        value = f"{scaled:g}".replace(".", "," if "," in maximum else ".")
        if _number(before := row[column].value) not in (None, _number(value)):
            replaced.append(f"{hand_in.name} ({before})")
        is_quoted = row[column].raw.startswith('"') or cells[0][0].after in value
        row[column].raw = f'"{value}"' if is_quoted else value
    title = f"{shown(cells[0][column].value)}, of {maximum or 'no known maximum'}"
    notes = [f"gradebook, {title}: {len(graded) - len(left_out)} filled in"]
    notes += [f"not filled in: {', '.join(left_out)}"] if left_out else []
    notes += [f"another grade stood there: {', '.join(replaced)}"] if replaced else []
    return "".join(cell.raw + cell.after for row in cells for cell in row).encode(encoding), notes


def _decode(content: bytes) -> tuple[str, str]:
    """The text of a table, and the encoding that gives just these bytes back."""
    for encoding in ("utf-16", "utf-8-sig", "utf-8", "cp1252", "latin-1"):
        with suppress(UnicodeError):
            if (text := content.decode(encoding)).encode(encoding) == content:
                return text, encoding


def _cells(text: str) -> list[Row]:
    """The rows of a table, as the module `csv` reads them; its first heading is one word."""
    delimiter = (re.search(r"[,;\t]", text) or ",")[0]
    quoted, rest = r'("([^"]*(?:""[^"]*)*)")?', rf"([^{delimiter}\r\n]*)"
    rows = [[]]
    for raw, inner, more, after in re.findall(rf"{quoted}{rest}({delimiter}|\r\n|\r|\n|\Z)", text):
        rows[-1].append(Cell(inner.replace('""', '"') + more, raw + more, after))
        if after != delimiter:
            rows.append([])
    return rows


def _canvas(cells: list[Row], assignment: str) -> Sheet | None:
    heading = [cell.value for cell in cells[0]]
    if not {"ID", "Section"} <= {*heading}:
        return None
    titles = {n: title for n, title in enumerate(heading) if re.search(r"\(\d+\)$", title)}
    named = [n for n, title in titles.items() if _plain(assignment) in _plain(title)]
    if len(columns := named or [*titles]) != 1:
        choice = "; ".join(map(shown, titles.values()))
        raise ValueError(f"which column of the gradebook? Name one with --column: {choice}")
    [column], number = columns, heading.index("ID")
    rows = [row for row in cells[1:] if len(row) == len(heading)]
    # "Points Possible", in whatever language, is nobody's row.
    possible = [row[column].value for row in rows if not row[number].value]
    maximum = next(filter(_number, possible), "")
    return column, maximum, {("Canvas", r[number].value, ""): r for r in rows if r[number].value}


def _moodle(cells: list[Row]) -> Sheet:
    """Headings are in any language: the grade stands left of its maximum, the same in each row."""
    rows = {}
    for row in (row for row in cells[1:] if len(row) == len(cells[0])):
        if number := re.search(r"\d+$", row[0].value):
            # A group's folder has the group's number: who has that must have the name as well.
            names = [row[0].value.removesuffix(number[0]), *(cell.value for cell in row)]
            rows |= {("Moodle", number[0], _plain(name)): row for name in names}
    for column in range(len(cells[0]) - 2, 1, -1):
        maximum = {row[column + 1].value for row in rows.values()}
        grades = {row[column].value for row in rows.values()} - {"", "-"}
        if len(maximum) == 1 and all(map(_number, maximum)) and None not in map(_number, grades):
            return column, *maximum, rows
    raise ValueError("the gradebook is neither Canvas' export nor Moodle's worksheet in points.")


def _plain(text: str) -> str:
    """The letters and digits of a name, which platforms and systems write in several ways."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFC", text)).casefold()


def _number(text: str) -> float | None:
    with suppress(ValueError):
        return float(text.replace(",", "."))
    return None


def gradescope_results(grade: Grade) -> str:
    """The `results.json` of a submission: a test for every question."""
    tests = []
    for question, points in grade.points.items():
        test = {"name": question, "score": points, "max_score": 1, "visibility": "visible"}
        output = "\n".join(filter(None, grade.problems.get(question, [])[:2]))
        tests.append(test | {"status": "passed" if points == 1 else "failed", "output": output})
    facts = {"score": grade.total, "execution_time": round(grade.seconds), "output": grade.reason}
    return json.dumps({**facts, "tests": tests}, ensure_ascii=False, indent=1)


def read_overrides(file: Path) -> Overrides:
    """The teacher's word, a CSV with submission, question, points and comment; nothing if missing.

    Raises:
        ValueError: if a line of it cannot be understood.
    """
    table = _cells(_decode(file.read_bytes())[0]) if file.exists() else [[]]
    heading, *lines = [[cell.value for cell in row] for row in table]
    found = {}
    for number, values in enumerate(lines, start=2):
        line = dict(zip(heading, values, strict=False))
        name, question = line.get("submission"), line.get("question")
        points = _number(line.get("points", ""))
        if any(values):
            if not (name and question) or points is None or not 0 <= points <= 1:
                needed = "a submission, a question, and points from 0 to 1"
                raise ValueError(f"{file}, line {number}: it needs {needed}.")
            name = re.sub(r"^'(?=\s*[=+@-])", "", name)  # the guard against formulas in grades.csv
            found[name, question] = points, line.get("comment", "")
    return found


def override(grade: Grade, overrides: Overrides, one: HandIn, due: datetime | None) -> Grade:
    """The grade with the teacher's points, and comments, in place of those counted."""
    points, problems, by_hand = {**grade.points}, {**grade.problems}, {}
    for (submission, question), (earned, comment) in overrides.items():
        if submission == grade.submission and question in points:
            points[question] = int(earned) if earned in (0, 1) else earned
            by_hand[question] = ": ".join(filter(None, [f"{earned:g} by hand", comment]))
            problem = problems.pop(question, ["", "", ""])
            if earned < 1:
                problems[question] = [by_hand[question], *problem[1:]]
    facts = {"student": one.student, "late": one.is_late(due)}
    return replace(grade, points=points, problems=problems, by_hand=by_hand, **facts)


def write_changes(out: Path, graded: Graded) -> None:
    """Write `changes.csv`: whose points moved since the last run, and why."""
    kept, moved = out / ".last.json", [["submission", "question", "before", "now", "why"]]
    last = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for hand_in, grade in sorted(graded, key=lambda pair: pair[1].submission):
        now = [hand_in.digest or hand_in.problem, grade.points, grade.by_hand]
        file, points, by_hand = last.get(grade.submission, now)
        last[grade.submission] = now
        for question, before in points.items():
            if before != (after := grade.points.get(question)):
                why = "the file changed" if file != now[0] else "the grader changed"
                if by_hand.get(question) != (word := grade.by_hand.get(question)):
                    why = word or "no longer by hand"
                moved.append([inert(grade.submission), question, before, after, why])
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(moved)
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
