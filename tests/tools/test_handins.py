"""Which rows a class has, whatever the platform's folder or zip holds."""

import io
import os
import stat
import unicodedata
import zipfile
from datetime import datetime
from pathlib import Path

from tools.grading.handins import collect

import pytest

BEFORE, AFTER = (2026, 11, 30, 12, 0, 0), (2026, 12, 2, 12, 0, 0)
DUE = datetime(2026, 12, 1, 23, 59)


def pack(*members):
    """The bytes of a zip; a member is a name, a text or bytes, and perhaps a time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text, *time in members:
            opened.writestr(zipfile.ZipInfo(name, *time) if time else name, text)
    return content.getvalue()


def patched(content, place, change):
    """A zip in which the flags of all members are changed, as `place` says for either header."""
    content = bytearray(content)
    for signature, more in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.index(signature) + more + place
        content[at] = change(content[at])
    return bytes(content)


def shown(rows):
    """What a class is compared by: for every name the student, and what would be graded."""
    return {name: (row.student, row.file and row.file.read_text()) for name, row in rows.items()}


class Class:
    """Makes a class as a zip or a folder, and collects it; everything else must stay as it was."""

    def __init__(self, folder):
        self.source, self.into, self.outside = folder / "a" / "class.zip", folder / "b", folder
        self.source.parent.mkdir()
        self.into.mkdir()

    def zip(self, *members):
        self.source.write_bytes(pack(*members))
        return self.rows()

    def folder(self, **files):
        self.source.mkdir()
        for name, text in files.items():
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_text(text)
        return self.source

    def rows(self):
        before = self.listed()
        rows, notes = collect(self.source, self.into)
        assert self.listed() == before
        self.notes = "\n".join(notes)
        return {row.name: row for row in rows}

    def listed(self):
        files = self.outside.rglob("*")
        return {file for file in files if not file.is_relative_to(self.into)}


@pytest.fixture
def made(tmp_path):
    return Class(tmp_path)


# What platforms give


def test_canvas_names_tell_the_student_and_who_was_late(made):
    rows = made.zip(
        ("müllerjürgen_1001_50001_fashion_mnist.ipynb", "1"),
        ("öz_LATE_1002_50002_my_work_v2.ipynb", "2"),
        ("liwei_1003_50003_all.zip", pack(("work/fashion_mnist.ipynb", "3"))),
        ("anon_Xy12_50004_fashion_mnist.ipynb", "4"),
        ("LATE_anon_Zz9_50005_x.ipynb", "5"),
        ("group1_1006_50006_x.ipynb", "6"),  # of a group: its name, one member's number
        ("eda_1007_text.html", "hello"),
        ("bo_LATE_1008_link.html", ""),
    )
    assert shown(rows) == {
        "anon_Xy12": ("anon_Xy12", "4"),
        "anon_Zz9": ("anon_Zz9", "5"),
        "bo 1008": ("1008", None),
        "eda 1007": ("1007", None),
        "group1 1006": ("1006", "6"),
        "liwei 1003": ("1003", "3"),
        "müllerjürgen 1001": ("1001", "1"),
        "öz 1002": ("1002", "2"),
    }
    assert {row.platform for row in rows.values()} == {"Canvas"}
    assert [name for name, row in rows.items() if row.late] == ["anon_Zz9", "bo 1008", "öz 1002"]
    assert "eda 1007: its name does not end in .ipynb (if it is a notebook" in made.notes


@pytest.mark.parametrize(
    ("names", "students"),
    [
        (["anna_1_50_x.ipynb", "bert_2_50_x.ipynb"], ["1", "2"]),  # a file for all of a group
        (["homework_1_2_anna.ipynb", "homework_1_2_bert.ipynb"], ["", ""]),  # it only looks like it
    ],
)
def test_a_number_in_canvas_stands_for_a_file(made, names, students):
    rows = made.zip(*[(name, "") for name in names])
    assert [row.student for row in rows.values()] == students


@pytest.mark.parametrize("end", ["", "_"], ids=["since 4.1", "before 4.1"])
def test_moodle_folders_tell_the_participant(made, end):
    rows = made.zip(
        (f"Jürgen Müller_12_assignsubmission_file{end}/fashion_mnist.ipynb", "1"),
        (f'O\'Neil, "Jo"_13_assignsubmission_file{end}/deep/er/x.ipynb', "2"),
        ("Li Wei_14_assignsubmission_onlinetext/onlinetext.html", "hello"),
        (f"Li Wei_15_assignsubmission_file{end}/x.ipynb", "3"),
        ("Participant_16_assignsubmission_file_x.ipynb", "4"),  # not in folders: an option
        (f"Ünal_17_assignsubmission_file{end}/x.ipynb", "5"),
        ("Ünal_17_assignsubmission_onlinetext/onlinetext.html", "see the file"),
    )
    assert shown(rows) == {
        "Jürgen Müller 12": ("12", "1"),
        "Li Wei 14": ("14", None),
        "Li Wei 15": ("15", "3"),
        'O\'Neil, "Jo" 13': ("13", "2"),
        "Participant 16": ("16", "4"),
        "Ünal 17": ("17", "5"),
    }


@pytest.mark.parametrize(("numbers", "texts"), [("12", ["1", "2"]), ("11", ["2"])])
def test_a_student_is_a_number_however_the_name_is_written(made, numbers, texts):
    names = [unicodedata.normalize(form, "Jürgen Müller") for form in ("NFC", "NFD")]
    folders = [f"{n}_{i}_assignsubmission_file" for n, i in zip(names, numbers, strict=True)]
    rows = made.zip((f"{folders[0]}/x.ipynb", "1", BEFORE), (f"{folders[1]}/x.ipynb", "2", AFTER))
    assert [row.file.read_text() for row in rows.values()] == texts[::-1]


METADATA = """submission_71:
  :submitters:
  - :name: Jane O'Neil
    :sid: '100'
    :email: jane@example.org
  :created_at: 2026-12-01 22:00:00.000000000 Z
  :score: !ruby/object:BigDecimal 18:0.1e1
  :history:
  - :created_at: 2026-10-01 10:00:00.000000000 Z
submission_72:
  :submitters:
  - :name: 'Li ''Lee'' Wei'
    :sid: ''
    :email: li@example.org
  - :name: Eda
    :sid: '102'
  :created_at: 2026-12-03 22:00:00.000000000 Z
"""


def test_gradescope_metadata_tell_who_and_when(made):
    rows = made.zip(
        ("assignment_9_export/submission_metadata.yml", METADATA),
        ("assignment_9_export/submission_71/x.ipynb", "1"),
        ("assignment_9_export/submission_72/sub/x.ipynb", "2"),
        ("assignment_9_export/submission_73/x.ipynb", "3"),
    )
    assert shown(rows) == {
        "Jane O'Neil 100": ("100", "1"),
        "Li 'Lee' Wei and Eda 102": ("102", "2"),
        "assignment_9_export/submission_73/x.ipynb": ("", "3"),
    }
    assert [row.is_late(DUE) for row in rows.values()][:2] == [False, True]


@pytest.mark.parametrize("metadata", ["a: " + "[" * 100_000, "a: &a [*a]", "just text", "a: {b"])
def test_metadata_that_tell_nothing_cost_nothing(made, metadata):
    rows = made.zip(("submission_metadata.yml", metadata), ("submission_71/x.ipynb", "1"))
    assert shown(rows) == {"submission_71/x.ipynb": ("", "1")}
    assert made.notes == "other files (1): submission_metadata.yml"


def test_a_zip_that_lies_in_a_folder_and_a_folder_in_a_folder(made):
    folder = made.folder(**{"group a/x.ipynb": "1", "b.IPYNB": "2"})
    (folder / "all.zip").write_bytes(pack(("C_5_assignsubmission_file/x.ipynb", "3")))
    assert shown(made.rows()) == {
        "C 5": ("5", "3"), "b.IPYNB": ("", "2"), "group a/x.ipynb": ("", "1")
    }  # fmt: skip


# Several hand-ins, and times


def test_the_newest_of_a_students_hand_ins_counts_and_the_others_are_named(made):
    rows = made.zip(
        ("li_1_51_new.ipynb", "new", BEFORE),
        ("li_1_50_old.ipynb", "old", AFTER),
        ("li_1_52_readme.ipynb.txt", "newest, but nothing to grade"),
        ("li_1_54_my_submission_metadata.yml", "nothing to grade, either"),
        ("eda_2_53_x.ipynb", ""),
    )
    assert shown(rows)["li 1"] == ("1", "new")
    assert made.notes == "li 1: a newer one counts, not li_1_52_readme.ipynb.txt, li_1_50_old.ipynb"


LAST, NEXT, ZERO = (2026, 12, 1, 23, 59, 58), (2026, 12, 2, 0, 0, 0), (1980, 1, 1, 0, 0, 0)
ODD, LI, EDA = (2026, 0, 0, 31, 63, 62), *(f"{n}_assignsubmission_file" for n in ("Li_1", "Eda_2"))


@pytest.mark.parametrize(
    ("times", "late"),
    [
        ({"in time": LAST, "late": NEXT, "old": BEFORE}, [False, True, False]),
        ({"a": AFTER, "b": (*AFTER[:4], 3, 0)}, [None, None]),  # those of the download
        ({"a": AFTER}, [True]),
        ({"no time": ZERO, "nonsense": ODD, "late": AFTER}, [True, None, False]),
        ({f"{LI}/a": AFTER, f"{LI}/b": BEFORE, f"{EDA}/a": BEFORE}, [False, True]),
        # Canvas' word stands: its files have the time of the download.
        ({"li_LATE_1_50_x": BEFORE, "öz_2_51_x": AFTER}, [True, False]),
    ],
)
def test_who_is_late(made, times, late):
    rows = made.zip(*[(f"{name}.ipynb", "", time) for name, time in times.items()])
    assert [row.is_late(DUE) for row in rows.values()] == late
    assert [row.is_late(None) for row in rows.values()] == [row.late for row in rows.values()]


# What is no hand-in, or looks like one


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX/._a.ipynb",
        "._a.ipynb",
        ".ipynb_checkpoints/a-checkpoint.ipynb",
        ".virtual_documents/a.ipynb",
        "x/.DS_Store",
        "a.html",
        "../a.ipynb",
        "b/../../c.ipynb",
        "..\\c.zip",
    ],
)
def test_what_nobody_hands_in_is_told_and_not_even_unpacked(made, name):
    assert shown(made.zip((name, "x"))) == {}
    assert made.notes == f"other files (1): {name}".replace("\\", "/")
    assert list(made.into.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("x.ipynb.txt", "rename it"),
        ("x.ipynb.json", "rename it"),
        ("x.rar", "its name does not end in .ipynb"),
        ("x.zip", "File is not a zip file"),
    ],
)
def test_what_looks_like_a_hand_in_is_a_row_and_says_what_to_do(made, name, problem):
    [row] = made.zip((name, "some text")).values()
    assert not row.file
    assert problem in row.problem
    assert made.notes == f"{name}: {row.problem}"
    assert row.problem.endswith("the .ipynb file itself is needed")


# Hostile files


@pytest.mark.parametrize(
    "name", ["/tmp/x.ipynb", "C:\\x.ipynb", "a/./b//x.ipynb", "/", "d/" * 2000]
)
def test_a_name_is_never_used_as_a_path(made, name):
    rows = made.zip((name + "x.ipynb", "fine"))
    assert [text for _, text in shown(rows).values()] == ["fine"]


@pytest.mark.parametrize("name", ["x.ipynb", "x.zip"])
def test_a_link_in_a_zip_is_not_followed(made, name):
    link = zipfile.ZipInfo(name)
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    rows = made.zip((link, "/etc/passwd"))
    assert shown(rows) == {name: ("", "/etc/passwd" if name == "x.ipynb" else None)}


def test_of_two_members_of_one_name_the_last_counts_and_the_other_is_told(made):
    with pytest.warns(UserWarning, match="Duplicate"):
        rows = made.zip(("x.ipynb", "1"), ("x.ipynb", "2"), ("y.ipynb", "3"))
    assert shown(rows) == {"x.ipynb": ("", "2"), "y.ipynb": ("", "3")}
    assert made.notes == "x.ipynb: a newer one counts, not x.ipynb"


def test_a_bomb_costs_its_student_alone(made, monkeypatch):
    for limit, most in (("NOTEBOOK", 1000), ("ZIP", 2000), ("MEMBERS", 9)):
        monkeypatch.setattr(f"tools.grading.handins.MAX_{limit}", most)
    large, nested = "0" * 1001, pack(("x.ipynb", ""))
    for _ in range(4):
        nested = pack(("x.zip", nested))
    rows = made.zip(
        ("a_1_50_x.ipynb", large),
        ("b_2_51_x.zip", pack(*[(f"{n}", "") for n in range(10)])),
        ("c_3_52_x.zip", pack(("x.ipynb", large))),
        ("d_4_53_x.zip", pack(("x.ipynb", large), ("y.ipynb", large))),
        ("e_5_54_x.zip", nested),
        ("f_6_55_x.ipynb", "honest"),
    )
    reasons = [row.problem.partition(":")[0] for row in rows.values()]
    large, much = "it is too large", "it holds too much"
    assert reasons == [large, much, large, much, much, ""]
    assert sum(file.stat().st_size for file in made.into.iterdir()) < 10_000


def test_an_encrypted_and_a_damaged_member(made):
    locked = patched(pack(("locked.ipynb", "secret")), 0, lambda flags: flags | 1)
    damaged = bytearray(pack(("damaged.ipynb", "some text")))
    damaged[40:45] = b"12345"
    rows = made.zip(("a.zip", locked), ("b.zip", bytes(damaged)), ("c.ipynb", "fine"))
    assert [text for _, text in shown(rows).values()] == [None, None, "fine"]
    assert "encrypted" in rows["a.zip/locked.ipynb"].problem


@pytest.mark.parametrize("content", [pack(("x.ipynb", ""))[:-10], b"", None])
def test_a_broken_zip_is_one_sentence(made, content):
    if content is not None:
        made.source.write_bytes(content)
    with pytest.raises(ValueError, match=r"class\.zip is neither a folder nor a whole zip: .*\.$"):
        made.rows()


def test_links_devices_and_endless_files_are_rows_and_never_opened(made):
    folder = made.folder(**{"honest.ipynb": "{}"})
    os.mkfifo(folder / "fifo.ipynb")
    (folder / "link.ipynb").symlink_to("/etc/passwd")
    (folder / "self.ipynb").symlink_to("self.ipynb")
    (folder / "endless.ipynb").symlink_to("/dev/zero")
    (folder / "others").symlink_to("/etc")
    with (folder / "sparse.ipynb").open("wb") as file:
        file.truncate(10**12)
    rows = made.rows()
    assert len(rows) == 6
    assert [name for name, row in rows.items() if row.file] == ["honest.ipynb"]
    assert "other files (1): others" in made.notes


def test_names_that_cannot_be_files_are_rows_all_the_same(made):
    long = "N" * 60_000
    names = ["a\x1b[31m\n", "\u202egnp", "=1+1", f"{long}1", f"{long}2", "d/" * 2000 + "x"]
    rows = made.zip(*[(f"{name}.ipynb", "") for name in names])
    assert all(row.file for row in rows.values())
    assert all(name.isprintable() and len(name) <= 500 for name in rows)
    assert {"a\\x1b[31m\\n.ipynb", "\\u202egnp.ipynb", "=1+1.ipynb"} < rows.keys()
    assert len(rows) == len(names)


def test_names_in_no_encoding_are_escaped(made):
    folder = os.fsencode(made.folder())
    with open(os.path.join(folder, b"bad\xff.ipynb"), "w"):
        pass
    assert list(made.rows()) == ["bad\\udcff.ipynb"]


def test_utf_8_without_its_mark_is_recognised(made):
    content = pack(("jürgen_1_50_x.ipynb", ""))
    made.source.write_bytes(patched(content, 1, lambda flags: flags & ~0x08))
    assert list(made.rows()) == ["jürgen 1"]


def test_a_folder_that_cannot_be_read_is_named_and_the_others_count(tmp_path, monkeypatch):
    (tmp_path / "class" / "shut").mkdir(parents=True)
    (tmp_path / "class" / "a.ipynb").write_text("a")
    true = Path.iterdir

    def iterdir(folder):
        if folder.name == "shut":
            raise PermissionError(13, "Permission denied")
        return true(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    (tmp_path / "into").mkdir()
    rows, notes = collect(tmp_path / "class", tmp_path / "into")
    assert [row.name for row in rows] == ["a.ipynb"]
    [note] = notes
    assert note.endswith("shut cannot be read: Permission denied")


def test_names_that_look_alike_when_escaped_stay_two(tmp_path):
    for folder in ("class", "into"):
        (tmp_path / folder).mkdir()
    for name in ("b\x01.ipynb", "b\\x01.ipynb"):
        (tmp_path / "class" / name).write_text("a")
    rows, notes = collect(tmp_path / "class", tmp_path / "into")
    assert (len({row.name for row in rows}), notes) == (2, [])
