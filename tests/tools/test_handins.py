"""Which rows a class has, whatever the platform's folder or zip holds."""

import io
import os
import stat
import unicodedata
import zipfile
from datetime import datetime

from tools.grading.handins import MAX_MEMBERS, MAX_NOTEBOOK, collect

import pytest

BEFORE, AFTER = (2026, 11, 30, 12, 0, 0), (2026, 12, 2, 12, 0, 0)
DUE = datetime(2026, 12, 1, 23, 59)


def pack(members):
    """The bytes of a zip; a member is a name, or its ZipInfo, and a text or bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in members:
            opened.writestr(name, text)
    return content.getvalue()


def at(name, time):
    return zipfile.ZipInfo(name, time)


class Class:
    """Makes a class as a zip or a folder, and collects it; everything else must stay as it was."""

    def __init__(self, folder):
        self.source, self.into = folder / "a" / "class.zip", folder / "b"
        self.source.parent.mkdir()
        self.into.mkdir()
        self.outside = folder

    def zip(self, *members):
        self.source.write_bytes(pack(members))
        return self.rows()

    def folder(self, **files):
        self.source.mkdir()
        for name, text in files.items():
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_text(text)
        return self.source

    def rows(self):
        before = self.listed()
        self.hand_ins, self.notes = collect(self.source, self.into)
        assert self.listed() == before
        return {row.name: row for row in self.hand_ins}

    def listed(self):
        files = self.outside.rglob("*")
        return {file for file in files if not file.is_relative_to(self.into)}


@pytest.fixture
def made(tmp_path):
    return Class(tmp_path)


def text(row):
    return row.file.read_text(encoding="utf-8")


# What platforms give


def test_canvas_names_tell_the_student_and_who_was_late(made):
    rows = made.zip(
        ("müllerjürgen_1001_50001_fashion_mnist.ipynb", "1"),
        ("öz_LATE_1002_50002_my_work_v2.ipynb", "2"),
        ("liwei_1003_50003_all.zip", pack([("work/fashion_mnist.ipynb", "3")])),
        ("anon_Xy12_50004_fashion_mnist.ipynb", "4"),
    )
    assert {name: (row.student, row.late, text(row)) for name, row in rows.items()} == {
        "anon_Xy12": ("anon_Xy12", False, "4"),
        "liwei 1003": ("1003", False, "3"),
        "müllerjürgen 1001": ("1001", False, "1"),
        "öz 1002": ("1002", True, "2"),
    }
    assert {row.platform for row in rows.values()} == {"Canvas"}


def test_canvas_text_box_is_a_row_without_a_notebook(made):
    rows = made.zip(("li_1_text.html", "hello"), ("öz_LATE_2_link.html", ""))
    assert not any(row.file for row in rows.values())
    assert [row.student for row in rows.values()] == ["1", "2"]
    assert "li 1: it is no notebook: ask for the .ipynb file itself" in made.notes


def test_names_that_only_look_like_canvas_stay_rows_of_their_own(made):
    rows = made.zip(("homework_1_2_anna.ipynb", ""), ("homework_1_2_bert.ipynb", ""))
    assert list(rows) == ["homework_1_2_anna.ipynb", "homework_1_2_bert.ipynb"]
    assert {row.platform for row in rows.values()} == {""}


def test_a_group_in_canvas_hands_in_one_file_for_each_of_its_members(made):
    rows = made.zip(("anna_1_50_x.ipynb", ""), ("bert_2_50_x.ipynb", ""))
    assert [row.student for row in rows.values()] == ["1", "2"]


@pytest.mark.parametrize("end", ["", "_"], ids=["since 4.1", "before 4.1"])
def test_moodle_folders_tell_the_participant(made, end):
    rows = made.zip(
        (f"Jürgen Müller_12_assignsubmission_file{end}/fashion_mnist.ipynb", "1"),
        (f'O\'Neil, "Jo"_13_assignsubmission_file{end}/deep/er/x.ipynb', "2"),
        ("Li Wei_14_assignsubmission_onlinetext/onlinetext.html", "hello"),
        (f"Li Wei_15_assignsubmission_file{end}/x.ipynb", "3"),
        ("Participant_16_assignsubmission_file_x.ipynb", "4"),  # not in folders: an option
    )
    assert [(row.student, bool(row.file)) for row in rows.values()] == [
        ("12", True), ("14", False), ("15", True), ("13", True), ("16", True)
    ]  # fmt: skip
    assert "Li Wei 14" in rows
    assert "Li Wei 15" in rows


def test_twins_in_nfc_and_nfd_are_two_rows(made):
    names = [unicodedata.normalize(form, "Jürgen Müller") for form in ("NFC", "NFD")]
    rows = made.zip(*[(f"{n}_{i}_assignsubmission_file/x.ipynb", "") for i, n in enumerate(names)])
    assert [row.student for row in rows.values()] == ["1", "0"]


def test_gradescope_metadata_tell_who_and_when(made):
    metadata = """submission_71:
  :submitters:
  - :name: Jane O'Neil
    :sid: '100'
    :email: jane@example.org
  :created_at: 2026-12-01 22:00:00.000000000 Z
  :score: 0.0
  :history:
  - :created_at: 2026-10-01 10:00:00.000000000 Z
submission_72:
  :submitters:
  - :name: Li Wei
    :sid: ''
    :email: li@example.org
  - :name: Eda
    :sid: '102'
  :created_at: 2026-12-03 22:00:00.000000000 Z
"""
    rows = made.zip(
        ("assignment_9_export/submission_metadata.yml", metadata),
        ("assignment_9_export/submission_71/x.ipynb", "1"),
        ("assignment_9_export/submission_72/sub/x.ipynb", "2"),
        ("assignment_9_export/submission_73/x.ipynb", "3"),
    )
    assert {name: (row.student, text(row)) for name, row in rows.items()} == {
        "Jane O'Neil 100": ("100", "1"),
        "Li Wei and Eda 102": ("102", "2"),
        "assignment_9_export/submission_73/x.ipynb": ("", "3"),
    }
    assert rows["Jane O'Neil 100"].submitted.date().day in (1, 2)  # wherever this runs
    assert rows["Li Wei and Eda 102"].is_late(DUE)


def test_a_zip_that_lies_in_a_folder_and_a_folder_in_a_folder(made):
    folder = made.folder(**{"group a/x.ipynb": "1", "b.IPYNB": "2"})
    (folder / "all.zip").write_bytes(pack([("C_5_assignsubmission_file/x.ipynb", "3")]))
    rows = made.rows()
    assert {name: text(row) for name, row in rows.items()} == {
        "C 5": "3", "b.IPYNB": "2", "group a/x.ipynb": "1"
    }  # fmt: skip


# Several hand-ins, and times


def test_the_newest_of_a_students_hand_ins_counts_and_the_others_are_named(made):
    rows = made.zip(
        (at("li_1_51_new.ipynb", BEFORE), "new"),
        (at("li_1_50_old.ipynb", AFTER), "old"),
        ("li_1_52_readme.ipynb.txt", "newest, but nothing to grade"),
        ("eda_2_53_x.ipynb", ""),
    )
    assert text(rows["li 1"]) == "new"
    assert rows["li 1"].others == ("li_1_50_old.ipynb", "li_1_52_readme.ipynb.txt")
    assert "does not count: li_1_50_old.ipynb" in "\n".join(made.notes)


def test_in_moodle_the_files_own_times_decide(made):
    folder = "Li_1_assignsubmission_file"
    rows = made.zip(
        (at(f"{folder}/a.ipynb", AFTER), "new"),
        (at(f"{folder}/b.ipynb", BEFORE), "old"),
        (at("Eda_2_assignsubmission_file/a.ipynb", BEFORE), ""),
    )
    assert text(rows["Li 1"]) == "new"
    assert [row.is_late(DUE) for row in rows.values()] == [False, True]
    assert [row.is_late(None) for row in rows.values()] == [None, None]


def test_times_of_the_download_say_nothing(made):
    second = (*AFTER[:4], 3, 0)
    rows = made.zip((at("a.ipynb", AFTER), ""), (at("b.ipynb", second), ""))
    assert [row.is_late(DUE) for row in rows.values()] == [None, None]


def test_the_minute_of_the_deadline_is_in_time(made):
    times = {"in time": (2026, 12, 1, 23, 59, 58), "late": (2026, 12, 2, 0, 0, 0), "old": BEFORE}
    rows = made.zip(*[(at(f"{name}.ipynb", time), "") for name, time in times.items()])
    assert [row.is_late(DUE) for row in rows.values()] == [False, True, False]


def test_canvas_word_on_lateness_stands(made):
    rows = made.zip((at("li_LATE_1_50_x.ipynb", BEFORE), ""), (at("öz_2_51_x.ipynb", AFTER), ""))
    assert [row.is_late(DUE) for row in rows.values()] == [True, True]


# What is no hand-in, or looks like one


def test_what_is_nobodys_is_skipped_and_counted(made):
    rows = made.zip(
        ("a.ipynb", ""),
        ("__MACOSX/._a.ipynb", ""),
        ("._a.ipynb", ""),
        (".ipynb_checkpoints/a-checkpoint.ipynb", ""),
        (".virtual_documents/a.ipynb", ""),
        ("x/.DS_Store", ""),
    )
    assert list(rows) == ["a.ipynb"]
    assert made.notes == ["skipped: 5 hidden files or folders, checkpoints and the like"]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("x.ipynb.txt", "rename it"),
        ("x.ipynb.json", "rename it"),
        ("x.rar", "is no notebook"),
        ("x.zip", "File is not a zip file"),
        ("x.html", "is no notebook"),
        ("x.json", "is no notebook"),
    ],
)
def test_what_looks_like_a_hand_in_is_named_with_what_to_do(made, name, advice):
    made.zip((name, "some text"))
    [note] = made.notes
    assert note.startswith(f"{name}: it")
    assert advice in note
    assert note.endswith("ask for the .ipynb file itself")


def test_a_report_beside_its_notebook_is_not_told(made):
    rows = made.zip(("a.ipynb", ""), ("a.html", ""), ("readme.md", ""))
    assert (list(rows), made.notes) == (["a.ipynb"], [])


def test_a_student_whose_zip_holds_no_notebook_has_a_row(made):
    rows = made.zip(("Li_1_assignsubmission_file/a.pdf", ""), ("Eda_2_assignsubmission_file/b", ""))
    assert [row.problem.partition(":")[0] for row in rows.values()] == ["it is no notebook"] * 2


# Hostile files


@pytest.mark.parametrize(
    "name", ["../../x.ipynb", "/tmp/x.ipynb", "a/../../x.ipynb", "C:\\x.ipynb", "..\\x.ipynb"]
)
def test_a_name_that_leads_out_is_a_row_and_nothing_is_unpacked(made, name):
    [row] = made.zip((name, "evil")).values()
    assert row.problem.startswith("its name leads out of the zip")
    assert ".." not in row.name.split("/")
    assert list(made.into.iterdir()) == []


@pytest.mark.parametrize("name", ["x.ipynb", "x.zip"])
def test_a_link_in_a_zip_is_not_followed(made, name):
    link = zipfile.ZipInfo(name)
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    [row] = made.zip((link, "/etc/passwd")).values()
    assert row.problem.startswith("it is a link")


def test_two_members_of_one_name_are_two_rows(made):
    with pytest.warns(UserWarning, match="Duplicate"):
        rows = made.zip(("x.ipynb", "1"), ("x.ipynb", "2"), ("y.ipynb", "3"))
    assert list(rows) == ["x.ipynb", "x.ipynb (2)", "y.ipynb"]
    assert [bool(row.file) for row in rows.values()] == [False, False, True]


def test_a_bomb_costs_its_student_alone(made):
    large = b"0" * (MAX_NOTEBOOK + 1)
    many = pack([(f"{n}.ipynb", "") for n in range(MAX_MEMBERS + 1)])
    rows = made.zip(
        ("a_1_50_x.ipynb", large),
        ("b_2_51_x.zip", many),
        ("c_3_52_x.zip", pack([("x.ipynb", large)])),
        ("d_4_53_x.ipynb", "honest"),
    )
    reasons = [row.problem.partition(":")[0] for row in rows.values()]
    large = "it is too large"
    assert reasons == [large, "it cannot be unpacked (it holds too much)", large, ""]
    assert sum(file.stat().st_size for file in made.into.iterdir()) < 10 * 2**20


def test_all_that_comes_out_of_one_zip_is_limited(made, monkeypatch):
    monkeypatch.setattr("tools.grading.handins.MAX_ZIP", 10_000)
    inner = pack([(f"{n}.ipynb", "0" * 4000) for n in range(5)])
    rows = made.zip(("a.zip", inner), ("b.zip", inner))
    assert [bool(row.file) for row in rows.values()] == [True, True, False, False, False] * 2


def test_zips_in_zips_without_end(made):
    content = pack([("x.ipynb", "")])
    for _ in range(9):
        content = pack([("x.zip", content)])
    [row] = made.zip(("x.zip", content)).values()
    assert "it holds too much" in row.problem


def test_an_encrypted_and_a_damaged_member(made):
    locked = bytearray(pack([("locked.ipynb", "secret")]))
    for place, signature in ((6, b"PK\3\4"), (8, b"PK\1\2")):
        locked[locked.index(signature) + place] |= 1
    damaged = bytearray(pack([("damaged.ipynb", "some text")]))
    damaged[40:45] = b"12345"
    rows = made.zip(("a.zip", bytes(locked)), ("b.zip", bytes(damaged)), ("c.ipynb", ""))
    assert not rows["a.zip/locked.ipynb"].file
    assert "encrypted" in rows["a.zip/locked.ipynb"].problem
    assert not rows["b.zip/damaged.ipynb"].file
    assert rows["c.ipynb"].file


def test_a_broken_zip_is_one_sentence(made):
    made.source.write_bytes(pack([("x.ipynb", "")])[:-10])
    with pytest.raises(ValueError, match=r"class\.zip is neither a folder nor a whole zip"):
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
    assert "others: it is a link" in "\n".join(made.notes)


def test_names_that_cannot_be_files_are_rows_all_the_same(made):
    rows = made.zip(
        ("a\x1b[31m\n.ipynb", ""),
        ("\u202egnp.ipynb", ""),
        ("N" * 300 + ".ipynb", ""),
        ("=1+1.ipynb", ""),
        ("d/" * 2000 + "x.ipynb", ""),
    )
    assert all(row.file for row in rows.values())
    assert all(name.isprintable() and len(name.encode()) <= 1000 for name in rows)
    assert "a\\x1b[31m\\n.ipynb" in rows
    assert "\\u202egnp.ipynb" in rows


def test_names_in_no_encoding_are_escaped(made):
    folder = os.fsencode(made.folder())
    with open(os.path.join(folder, b"bad\xff.ipynb"), "w"):
        pass
    assert list(made.rows()) == ["bad\\udcff.ipynb"]


def test_utf_8_without_its_mark_is_recognised(made):
    content = bytearray(pack([("jürgen_1_50_x.ipynb", "")]))
    for place, signature in ((7, b"PK\3\4"), (9, b"PK\1\2")):
        content[content.index(signature) + place] &= ~0x08
    made.source.write_bytes(content)
    assert list(made.rows()) == ["jürgen 1"]
