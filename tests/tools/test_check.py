"""The check that students run: the grader's questions and verdicts, on any system."""

import copy
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tools import check, student
from tools.grading import questions
from tools.grading.questions import QUESTIONS
from tools.grading.rubric import Grade, Reply, Wrong

import nbformat
import no_kernel
import numpy as np
import pytest
from honest import HONEST
from made_up import changed, real_answer
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from parts import FULL

# What only POSIX has is not there, neither for the check nor for whatever it starts.
ELSEWHERE = """
import os, signal, sys
import psutil  # which uses other modules there
for name in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules[name] = None
del os.setsid, os.fork, signal.SIGALRM
"""


@pytest.fixture
def written(tmp_path):
    """Writes a notebook into a file; returns that."""

    def write(notebook, name="fashion_mnist.ipynb"):
        nbformat.write(notebook, tmp_path / name)
        return tmp_path / name

    return write


def run(monkeypatch, capsys, *arguments):
    """What the command prints, or the sentence that it ends with."""
    monkeypatch.setattr(sys, "argv", ["check", *map(str, arguments)])
    try:
        check.main()
    except SystemExit as end:
        return str(end)
    return capsys.readouterr().out


# What it says at once


def test_a_file_that_is_not_there_is_named_with_those_that_are(monkeypatch, capsys, written):
    file = written(new_notebook())
    said = run(monkeypatch, capsys, file.with_name("fashion_mist.ipynb"))
    assert said.startswith("error: there is no file ")
    assert said.endswith("fashion_mist.ipynb. Notebooks there: fashion_mnist.ipynb.")


def test_a_file_that_is_no_notebook_is_refused_in_a_sentence(monkeypatch, capsys, tmp_path):
    (tmp_path / "page.ipynb").write_text("<html>")
    said = run(monkeypatch, capsys, tmp_path / "page.ipynb")
    assert said.startswith("error: The file is a web page")


def test_imports_that_will_not_be_there_are_named_and_nothing_runs(monkeypatch, capsys, written):
    sources = [
        "import math, os\nimport numpy as np\nfrom utils.data import load_fashion_mnist",
        "try:\n    import cupy\nexcept ImportError:\n    pass",
        "import touch\n%matplotlib inline",
        "from helpers import patchify",
        "%%writefile layers.py\nx = 1",
        "from layers import x",
    ]
    file = written(new_notebook(cells=[new_code_cell(source) for source in sources]))
    (file.parent / "helpers.py").write_text("def patchify(): pass")
    said = run(monkeypatch, capsys, file)
    assert re.findall(r"code cell (\d) imports (\w+), which is not installed here", said) == [
        ("3", "touch"), ("4", "helpers"),
    ]  # fmt: skip


def test_a_package_of_ones_own_is_not_there_when_it_is_graded(monkeypatch):
    monkeypatch.setattr(check, "packages_distributions", lambda: {"seaborn": ["seaborn"]})
    notebook = new_notebook(cells=[new_code_cell("import seaborn")])
    assert list(check.foreign_imports(notebook)) == [
        "code cell 1 imports seaborn, which is none of the assignment's packages."
    ]


def test_nothing_of_the_assignment_itself_is_foreign():
    assert list(check.foreign_imports(real_answer())) == []
    for name, case in HONEST.items():
        assert list(check.foreign_imports(case.notebook)) == [], name


@pytest.mark.parametrize("step", [1, 5, 6])
def test_a_step_that_needs_a_run_says_so(monkeypatch, capsys, written, step):
    said = run(monkeypatch, capsys, written(real_answer()), "--no-run", "--step", step)
    assert said.startswith(f"error: step {step} can only be asked when all cells run")


@pytest.mark.slow
def test_a_package_that_is_missing_is_named(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['nbclient'] = None")
    command = [sys.executable, "-m", "tools.check", "fashion_mnist.ipynb"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.stderr.startswith("error: nbclient")
    assert ran.stderr.endswith(" is not installed here; the README says how to start.\n")


# What it prints


def test_a_lost_point_has_what_was_found_and_a_hint_below_it(capsys):
    names = [question.name for question in QUESTIONS[:3]]
    grade = Grade("a", dict(zip(names, [1, 0, 0], strict=True)), reason="code cell 3: no")
    grade.problems = {
        names[1]: ["came back 3, expected 4", "Go row by row.", "a sentence"],
        names[2]: ["NotImplementedError: write patchify", "Go row by row.", "a sentence"],
    }
    check.print_table(grade, names)
    assert capsys.readouterr().out.splitlines() == [
        "points  question",
        "     1  1 Loaders and counts",
        "     0  2 Patches of 14 pixels",
        "        came back 3, expected 4",
        "        Go row by row.",
        "     0  2 Patches of every size",
        "        NotImplementedError: write patchify",
        "        This step is still open: write the cell that raises it.",
        "What happened first: code cell 3: no",
    ]


def test_a_step_needs_no_cells_behind_it_and_definitions_no_others():
    tagged = new_code_cell("c", metadata={"tags": ["definition"]})
    cells = [new_markdown_cell("## 1. A"), new_code_cell("b"), tagged, new_markdown_cell("## 2. D")]
    notebook = new_notebook(cells=[*cells, new_code_cell("e")])
    kept = {
        arguments: "".join(cell.source for cell in check._cells_for(notebook, *arguments))
        for arguments in [(None, False), (1, False), (6, False), (None, True)]
    }
    assert [len(sources) for sources in kept.values()][:3] == [17, 9, 17]
    assert kept[None, True] == "## 1. A# not runc## 2. D# not run"


# What it decides


def test_the_kept_answers_are_the_model_answers_wherever_they_come_from(monkeypatch, tmp_path):
    computed = check.kept_arrays()
    content = student.student_files()["tools/expected.npz"]
    (tmp_path / "expected.npz").write_bytes(content)
    monkeypatch.setattr(check, "KEPT", tmp_path / "expected.npz")
    for one, other in zip(computed, check.kept_arrays(), strict=True):
        for kind in ("input", "answer"):
            assert one[kind].keys() == other[kind].keys()
            assert all((one[kind][name] == other[kind][name]).all() for name in one[kind])
    assert [bool(kept["answer"]) for kept in computed] == [q.step in (2, 3, 4) for q in QUESTIONS]
    assert computed[5]["input"]["images"].dtype == np.float32


def test_without_the_model_answer_a_network_still_has_to_have_the_given_names():
    def shares(names):
        answer = {"average: share": np.array(0.9)}
        answer |= {f"average: {name}": np.zeros(1) for name in names}
        return questions.shares_of(Reply({}, answer, {}))

    names = questions.layers_of(2).tolist()
    assert shares(names) == {"average": 0.9}
    assert shares([name for name in names if "bias" not in name]) == {"average": 0.9}
    with pytest.raises(Wrong, match=r"no parameter `stem\.weight`"):
        shares(["start.weight", *names[1:]])


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_variant_gets_from_the_check_what_the_grader_gives(name, monkeypatch):
    """The grader's half is test_corpora.py, with a kernel, which checks start in other tests."""
    answer = lambda command, **_: no_kernel.run(Path(command[-1]))  # noqa: E731
    monkeypatch.setattr(check.subprocess, "run", answer)
    notebook, points, *_ = HONEST[name]
    grade, _ = check.grade_notebook(name, copy.deepcopy(notebook), range(len(QUESTIONS)))
    assert list(grade.points.values()) == points == FULL, grade.problems


@pytest.mark.slow
def test_one_step_is_asked_without_training_and_a_slip_costs_its_own_point(
    monkeypatch, capsys, written
):
    slip = changed(real_answer(), "(h w) (p1 p2)", "(w h) (p1 p2)")
    file = written(changed(slip, "num_epochs = 5", "num_epochs = 'none'"))
    lines = run(monkeypatch, capsys, file, "--step", "2").splitlines()
    assert lines[:2] == ["points  question", "     0  2 Patches of 14 pixels"]
    assert "        The patches go down the columns: number them row by row." in lines
    assert lines[-1] == "1 of 2"
    assert not file.with_suffix(".html").exists()


@pytest.mark.slow
def test_what_students_get_works_on_a_system_that_is_not_posix(tmp_path):
    """The zip, unpacked and not installed; its starter solved."""
    with zipfile.ZipFile(io.BytesIO(student.zipped(student.student_files(), "given"))) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "sitecustomize.py").write_text(ELSEWHERE)
    folder, file = tmp_path / "given", tmp_path / "given" / "fashion_mnist.ipynb"

    def run_check(*options):
        command = [sys.executable, "-m", "tools.check", file.name, *options]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "elsewhere")}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    ran = run_check("--no-run")
    assert "This step is still open" in ran.stdout, ran.stderr
    assert ran.stdout.splitlines()[-1] == "0 of 7"
    starter = nbformat.read(file, as_version=4)
    number = int(re.search(r"first: code cell (\d+): NotImplementedError", ran.stdout)[1])
    code = [cell.source for cell in starter.cells if cell.cell_type == "code"]
    assert 'NotImplementedError("write this cell")' in code[number - 1]
    for cell, solved in zip(starter.cells, real_answer(1).cells, strict=True):
        cell.source = solved.source
    nbformat.write(starter, file)
    ran = run_check()
    assert ran.stdout.splitlines()[-1] == "10 of 10", ran.stdout + ran.stderr
    assert "10 of 10 points" in file.with_suffix(".html").read_text(encoding="utf-8")
