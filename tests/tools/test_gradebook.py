"""What goes back: every point in its cell and no other byte changed; the teacher's word stands."""

import csv
import io
import json
import re
import unicodedata
import zipfile

from tools.grading.command import main
from tools.grading.gradebook import (
    fill_gradebook,
    hand_back,
    read_overrides,
    write_sources,
)
from tools.grading.handins import HandIn, collect
from tools.grading.rubric import Grade

import nbformat
import pytest
from made_up import SMALL_ASSIGNMENT, changed, small_notebook

TITLES = [f"{number} Question" for number in range(10)]
NAMES = [
    ("Müller", "Jürgen"),
    ("Şahin", "İpek Öğüt"),
    ("王", "小明"),
    ("O'Neil, Jr.", 'Jo "JJ"'),
    ("d'Arc", "Zoë"),
    (unicodedata.normalize("NFD", "Müller"), unicodedata.normalize("NFD", "Jürgen")),
]
# 120 students; of each name there are 20. Every tenth hands in nothing.
STUDENTS = [(1000 + number, *NAMES[number % len(NAMES)]) for number in range(120)]
ACTIVE = [student for student in STUDENTS if student[0] % 10]


def grade(name, points=7, **more):
    """A made-up grade of so many points out of ten."""
    earned = {title: int(number < points) for number, title in enumerate(TITLES)}
    problems = {title: ["found", "hint", "looked at"] for title in TITLES if not earned[title]}
    return Grade(name, earned, problems, **more)


def points_of(student):
    return int(student) % 11


def graded(source, into):
    """Collect a class, and give each its points."""
    into.mkdir()
    hand_ins, _ = collect(source, into)
    return [(one, grade(one.name, points_of(one.student or 0))) for one in hand_ins]


def table(rows, delimiter=",", end="\r\n", quoting=csv.QUOTE_MINIMAL):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    return text.getvalue()


def class_zip(file, name):
    """A platform's zip, `name` being what it calls a student's folder or files; and the class."""
    with zipfile.ZipFile(file, "w") as opened:
        for student in ACTIVE:
            opened.writestr(f"{name(*student)}x.ipynb", "{}")
    return graded(file, file.with_suffix(""))


def in_canvas(number, last, first):
    name = "".join(c for c in f"{last}{first}".lower() if c.isalnum())
    return f"{name}{'_LATE' * (number % 7 == 0)}_{number}_{9000 + number}_"


def in_moodle(number, last, first):
    name = re.sub(r"[&<>\"`|':\\/]", "", f"{first} {last}")  # which it leaves out
    return f"{name}_{number}_assignsubmission_file/"


def canvas_rows(maximum="20", scaled=lambda number: ""):
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    yield [*head, "Notes", "Essay (17)", "Fashion-MNIST, part 1 (18)", "Current Score (Fall)"]
    yield [""] * 5 + ["", "", "Manual Posting", ""]
    yield ["    Points Possible", "", "", "", "", "(read only)", "5", maximum, "(read only)"]
    for number, last, first in STUDENTS:
        who = [f"{last}, {first}", number, f"S{number}", f"u{number}@x", "A and B"]
        yield [*who, "line\nbreak", 4.5, scaled(number), "90"]
    yield ["Student, Test", 7, "", "abc123", "A", "", "", "", ""]


MOODLE = {
    "English": (
        "Identifier,Full name,Status,Group,Grade,Maximum Grade,Changes,Last",
        "Participant ",
    ),
    "German": ("ID,Vollständiger Name,Status,Gruppe,Bewertung,Bestwertung,Änderbar,Am", "Person"),
    "Chinese": ("标识号,全名,状态,小组,成绩,最高分,成绩可更改,最后修改(成绩)", "参与者"),
}


def moodle_rows(language="English", maximum="20.00", scaled=lambda number: "", is_blind=False):
    heading, word = MOODLE[language]
    keep = [0, *range(2 if is_blind else 1, 8)]
    yield [heading.split(",")[n] for n in keep]
    for number, last, first in STUDENTS:
        name, group = f"{first} {last}", f"Group {number % 3}"
        row = [f"{word}{number}", name, "Submitted", group, scaled(number), maximum, "Yes", "-"]
        yield [row[n] for n in keep]


def expected(scaled):
    """What stands in a student's cell: nothing for who handed in nothing."""
    return lambda number: scaled(points_of(number)) if number % 10 else ""


def filled(content):
    """The rows of a filled gradebook, as `csv` reads them."""
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


# The round trip


@pytest.mark.parametrize(
    ("maximum", "scaled"),
    [
        ("20", lambda points: f"{2 * points}"),
        ("2.50", lambda points: f"{points / 4:g}"),
        ("15,00", lambda points: f"{1.5 * points:g}".replace(".", ",")),
        ("", lambda points: f"{points}"),
    ],
)
@pytest.mark.parametrize(
    ("encoding", "form"),
    [
        ("utf-8", {}),
        ("utf-8-sig", {"delimiter": ";", "quoting": csv.QUOTE_ALL}),
        ("utf-8-sig", {"delimiter": ";", "end": "\n"}),
        ("utf-16", {"delimiter": "\t"}),
    ],
    ids=["as exported", "with a mark, all quoted", "semicolons", "a spreadsheet's text"],
)
def test_canvas_round_trip(tmp_path, maximum, scaled, encoding, form):
    def written(**how):
        return table(canvas_rows(maximum, **how), **form).encode(encoding)

    class_ = class_zip(tmp_path / "class.zip", in_canvas)
    after, notes = fill_gradebook(written(), class_, "fashion_mnist")
    assert after == written(scaled=expected(scaled))
    title = "gradebook, Fashion-MNIST, part 1 (18)"
    assert notes == [f"{title}, of {maximum or 'no known maximum'}: 108 filled in"]
    assert [one.late for one, _ in class_] == [int(one.student) % 7 == 0 for one, _ in class_]


@pytest.mark.parametrize("language", MOODLE)
@pytest.mark.parametrize(
    "form",
    [{}, {"end": "\n"}, {"quoting": csv.QUOTE_ALL}],
    ids=["as exported", "\\n", "all quoted"],
)
def test_moodle_round_trip(tmp_path, language, form):
    def written(**how):
        return table(moodle_rows(language, maximum, **how), **form).encode("utf-8-sig")

    class_ = class_zip(tmp_path / "class.zip", in_moodle)
    maximum = "25,00" if language == "German" else "25.00"
    after, notes = fill_gradebook(written(), class_, "")
    assert after == written(
        scaled=expected(lambda points: f"{2.5 * points:g}".replace(".", maximum[2]))
    )
    assert len(notes) == 1
    assert notes[0].endswith("108 filled in")


def test_all_but_the_cells_is_the_same_to_the_byte():
    before = (
        b'\xef\xbb\xbfStudent,ID,Section,"X (1)"\n"a ""b"", c",1,S,  \r\n'
        b'd,"2", ,"9"\n\ne\xcc\x88,3,S,EX\nf,4,S,N/A\n"g\nh",5,"S",""'
    )
    graded = [(HandIn(str(n), "Canvas", str(n)), grade(str(n))) for n in range(1, 7)]
    after, notes = fill_gradebook(before, graded, "X")
    assert after == (
        b'\xef\xbb\xbfStudent,ID,Section,"X (1)"\n"a ""b"", c",1,S,7\r\n'
        b'd,"2", ,"7"\n\ne\xcc\x88,3,S,EX\nf,4,S,N/A\n"g\nh",5,"S","7"'
    )
    not_filled_in, replaced = notes[1:]
    assert not_filled_in == "not filled in: 3 (EX), 4 (N/A), 6 (has no row)"
    assert replaced == "another grade stood there: 2 (9)"


def test_a_grade_that_stays_the_same_is_no_news():
    before = b"Student,ID,Section,X (1)\na,1,S,7.00\nb,2,S,\nc,3,S,-"
    graded = [(HandIn(str(n), "Canvas", str(n)), grade(str(n))) for n in (1, 2, 3)]
    after, notes = fill_gradebook(before, graded, "X")
    assert after == b"Student,ID,Section,X (1)\na,1,S,7\nb,2,S,7\nc,3,S,7"
    assert len(notes) == 1


@pytest.mark.parametrize("byte", [b"\xfc", b"\x96", b"\x81"])  # of Latin-1, cp1252, neither
def test_a_table_in_an_old_encoding_keeps_it(byte):
    before = b"Student,ID,Section,X (1)\nM%b,1,S," % byte
    after, _ = fill_gradebook(before, [(HandIn("m", "Canvas", "1"), grade("m"))], "X")
    assert after == before + b"7"


# Who is who


@pytest.mark.parametrize(
    ("rows", "hand_in"),
    [
        (moodle_rows, HandIn("x 1001", "Canvas", "1001")),  # another platform's number
        (moodle_rows, HandIn("Group 1 1001", "Moodle", "1001")),  # the number of another group
        (moodle_rows, HandIn("🦊 1001", "Moodle", "1001")),
        (canvas_rows, HandIn("A and B", "Gradescope", "S1001")),
        (canvas_rows, HandIn("x.ipynb")),
    ],
)
def test_who_cannot_be_matched_is_listed_and_nobody_gets_the_points(rows, hand_in):
    before = table(rows()).encode()
    after, notes = fill_gradebook(before, [(hand_in, grade("x"))], "mnist")
    assert after == before
    assert notes[1] == f"not filled in: {hand_in.name} (has no row)"


def test_who_is_marked_without_names_is_known_by_the_number():
    before = table(moodle_rows(is_blind=True)).encode()
    after, _ = fill_gradebook(
        before, [(HandIn("Participant 1003", "Moodle", "1003"), grade("x"))], ""
    )
    assert [row for row in filled(after) if row[3] not in ("", "Grade")] == [
        ["Participant 1003", "Submitted", "Group 1", "14", "20.00", "Yes", "-"]
    ]


# Which column


def test_the_column_is_the_named_or_the_only_one():
    graded = [(HandIn("x", "Canvas", "1001"), grade("x"))]
    for title, column, points in (("Essay (17)", 6, "3.5"), ("fashion mnist", 7, "14")):
        rows = filled(fill_gradebook(table(canvas_rows()).encode(), graded, title)[0])
        assert rows[4][column] == points
    with pytest.raises(ValueError, match=r"Name one with --column: Essay \(17\); Fashion-MNIST"):
        fill_gradebook(table(canvas_rows()).encode(), graded, "no such")
    only = table([*row[:6], *row[7:]] for row in canvas_rows())
    assert filled(fill_gradebook(only.encode(), graded, "no such")[0])[4][6] == "14"


def test_other_tables_are_refused_in_a_sentence():
    scale = table(moodle_rows(maximum="Pass/Fail"))
    for content in ("name,grade\nx,\n", "", "a,b,c,d\nx,y,1,2\n", scale):
        with pytest.raises(ValueError, match="neither Canvas' export nor Moodle's worksheet in"):
            fill_gradebook(content.encode(), [], "")


# What else goes back


def test_moodles_feedback_lies_in_the_folders_that_it_gave_out(tmp_path):
    class_ = class_zip(tmp_path / "class.zip", in_moodle)
    hand_back(tmp_path, class_, {}, None)
    with zipfile.ZipFile(tmp_path / "feedback.zip") as opened:
        told = {name: opened.read(name).decode() for name in opened.namelist()}
    files = {f"{in_moodle(*student)}feedback.txt": points_of(student[0]) for student in ACTIVE}
    assert told.keys() == files.keys()
    assert all(f"{points} of 10 points" in told[file] for file, points in files.items())


def test_gradescope_gets_a_test_for_every_question(tmp_path):
    one = HandIn("Jane 100", "Gradescope", "100")
    hand_back(tmp_path, [(one, grade(one.name, 9, seconds=3.4))], {}, None)
    results = json.loads((tmp_path / "gradescope" / "Jane 100" / "results.json").read_text())
    assert (results["score"], results["execution_time"], len(results["tests"])) == (9, 3, 10)
    assert results["tests"][0] == {
        "name": "0 Question", "score": 1, "max_score": 1, "status": "passed", "output": "",
        "visibility": "visible",
    }  # fmt: skip
    assert results["tests"][9]["output"] == "found\nhint"
    assert results["tests"][9]["status"] == "failed"


# The teacher's word


@pytest.fixture
def words(tmp_path):
    """Writes an overrides.csv with these lines, and reads it."""

    def written(*lines, head="submission,question,points,comment", **how):
        file = tmp_path / "overrides.csv"
        file.write_text("\n".join([head, *lines]), **{"encoding": "utf-8-sig", **how})
        return read_overrides(file)

    return written


def test_a_changed_point_and_its_comment_stand_everywhere(tmp_path, words):
    one = HandIn("Li 12", "Moodle", "12")
    overrides = words('Li 12,8 Question,1,"right, see page 3"', "Li 12,0 Question,0.5,half")
    [(_, result)] = hand_back(tmp_path, [(one, grade(one.name))], overrides, None)
    assert result.total == 7.5
    assert set(result.problems) == {"0 Question", "7 Question", "9 Question"}
    [row] = csv.DictReader((tmp_path / "grades.csv").open(encoding="utf-8"))
    assert (row["0 Question"], row["8 Question"], row["total"]) == ("0.5", "1", "7.5")
    assert "8 Question: 1 by hand: right, see page 3" in row["reason"]
    feedback = (tmp_path / "feedback" / "Li 12.txt").read_text(encoding="utf-8")
    assert "Step 0 Question: 0.5 of 1 point.\n0.5 by hand: half\n" in feedback
    table = b"Identifier,Name,Status,Grade,Maximum\nParticipant 12,Li,,,20.00\n"
    assert b"12,Li,,15,20.00" in fill_gradebook(table, [(one, result)], "")[0]
    [(_, counted)] = hand_back(tmp_path, [(one, grade(one.name))], {}, None)
    assert counted.total == 7  # which is still there


def test_a_spreadsheets_way_to_write_it(words):
    head = "submission;question;points;comment"
    assert words(";;;", "'=1+1;0 Question;0,5;", head=head) == {("=1+1", "0 Question"): (0.5, "")}


@pytest.mark.parametrize("line", ["a,b,two,", "a,b,,", "a,,1,", "a,b,1.5,", "a,b,-1,", "a,b,nan,"])
def test_a_line_that_cannot_be_understood_is_refused(words, line):
    with pytest.raises(ValueError, match=r"overrides\.csv, line 3: it needs a submission"):
        words("a,b,1,", line)


def test_changes_say_whose_points_moved_and_why(tmp_path):
    def run(content, points, **overrides):
        given = {("x", f"{q} Question"): word for q, word in overrides.items()}
        hand_back(tmp_path, [(HandIn("x", digest=content), grade("x", points))], given, None)
        return (tmp_path / "changes.csv").read_text().splitlines()[1:]

    assert run("1", 7) == []
    assert run("1", 7) == []
    assert run("2", 8) == ["x,7 Question,0,1,the file changed"]
    assert run("2", 7) == ["x,7 Question,1,0,the grader changed"]
    assert run("2", 7, **{"9": (1, "fine")}) == ["x,9 Question,0,1,1 by hand: fine"]
    assert run("2", 7, **{"9": (1, "fine")}) == []
    assert run("2", 7) == ["x,9 Question,1,0,no longer by hand"]


def test_sources_lie_as_compare50_takes_them(tmp_path):
    notebook, broken = tmp_path / "a", tmp_path / "b"
    nbformat.write(small_notebook(), notebook)
    broken.write_text("<html>")
    names = ("Li 12", notebook), ("../a b", notebook), ("../a-b", notebook), ("c", broken)
    hand_ins = [HandIn(name, file=file) for name, file in names]
    [note] = write_sources(tmp_path / "out", hand_ins, small_notebook())
    assert note.startswith("c: no source: The file is a web page")
    files = sorted((tmp_path / "out" / "submissions").iterdir())
    assert [file.name for file in files] == ["-a-b-2.py", "-a-b-3.py", "Li-12-1.py"]
    assert {file.read_text() for file in files} == {(tmp_path / "out" / "starter.py").read_text()}
    assert "def add(a, b):\n" in files[0].read_text()


# The command


@pytest.mark.slow
def test_a_class_from_its_zip_to_its_gradebook(tmp_path, monkeypatch, capsys):
    source, out, book = (tmp_path / name for name in ("class.zip", "out", "gradebook.csv"))
    right, wrong = small_notebook(), changed(small_notebook(), "a + b", "b - a")
    people = [[f"Participant {n}", "Jo", "", "", "20.00", "-"] for n in (1001, 1002, 1003)]
    book.write_text(table([["Identifier", "Name", "Status", "Grade", "Most", "Last"], *people]))

    def run(*options):
        common = ["--assignment", SMALL_ASSIGNMENT, "--no-network", "--gradebook", book]
        monkeypatch.setattr(
            "sys.argv", ["grading", *map(str, [source, "--out", out, *common, *options])]
        )
        main()
        rows = filled((out / "gradebook.csv").read_bytes())
        return {row[0]: row[3] for row in rows[1:] if row[3]}, capsys.readouterr()

    with zipfile.ZipFile(source, "w") as opened:
        for number, notebook in ((1001, right), (1002, wrong), (3, right)):
            name = f"Jo_{number}_assignsubmission_file/x.ipynb"
            opened.writestr(name, nbformat.writes(notebook))
    grades, printed = run("--due", "2026-12-01T23:59", "--sources", tmp_path / "sources")
    assert grades == {"Participant 1001": "20", "Participant 1002": "6.67"}
    assert "not filled in: Jo 3 (has no row)" in printed.out
    assert len(list((tmp_path / "sources").rglob("*.py"))) == 4

    words = "submission,question,points,comment\nJo 1002,1 Add,1,I see\nJo,1 Add,1,typo\n"
    (out / "overrides.csv").write_text(words)
    grades, printed = run("--regrade", "Jo 1001")
    assert grades == {"Participant 1001": "20", "Participant 1002": "13.33"}
    assert "overrides.csv: there is no Jo: 1 Add" in printed.out
    assert "2 of 3 graded before" in printed.err
    [change] = (out / "changes.csv").read_text().splitlines()[1:]
    assert change == "Jo 1002,1 Add,0,1,1 by hand: I see"
    assert (out / "overrides.csv").read_text() == words
    with pytest.raises(SystemExit, match=r"^error: there is no submission 'nobody'"):
        run("--regrade", "nobody")
