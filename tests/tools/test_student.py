"""What students get: one small zip that works where it is unpacked, and no answer in it."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile

from tools import student
from tools.files import write_whole
from tools.notebook import NOTEBOOK
from tools.starter import make_starter
from utils.data import FILES

import nbformat
import numpy as np
import pytest


@pytest.fixture(scope="module")
def content():
    return student.zipped(student.student_files(), "fashion-mnist")


@pytest.fixture(scope="module")
def files(content):
    """The content of every file by its place; arrays of the `.npz` as files of their own."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            found[name.removeprefix("fashion-mnist/")] = archive.read(name)
    with zipfile.ZipFile(io.BytesIO(found["tools/expected.npz"])) as arrays:
        return found | {f"expected.npz/{name}": arrays.read(name) for name in arrays.namelist()}


def answer_lines():
    """The lines that the starter leaves to the student, but for what its own text says."""
    answer = nbformat.read(NOTEBOOK, as_version=4)
    told = "\n".join(cell.source for cell in make_starter(answer).cells)
    cells = [cell for cell in answer.cells if "answer" in cell.metadata.get("tags", [])]
    lines = [line.partition("  #")[0].strip() for cell in cells for line in cell.source.split("\n")]
    return [line for line in dict.fromkeys(lines) if line not in told]


def squeezed(text):
    return re.sub(r"\s", "", text)


def lines_in(content):
    """The lines of answers in a file, as they are or as JSON has them, whatever its spaces."""
    text = squeezed(content.decode(errors="replace"))
    forms = {line: {squeezed(line), squeezed(json.dumps(line)[1:-1])} for line in answer_lines()}
    return [line for line, own in forms.items() if any(form in text for form in own)]


def test_no_line_of_an_answer_is_in_any_of_its_files(files):
    assert {name: lines_in(content) for name, content in files.items() if lines_in(content)} == {}


def test_that_test_would_find_every_one_of_them():
    assert len(answer_lines()) > 20
    assert lines_in(NOTEBOOK.read_bytes()) == answer_lines()


def test_the_starter_is_the_only_notebook_and_shows_nothing(files):
    assert [name for name in files if name.endswith(".ipynb")] == ["fashion_mnist.ipynb"]
    starter = nbformat.reads(files["fashion_mnist.ipynb"].decode(), as_version=4)
    assert not any(cell.get("outputs") for cell in starter.cells)
    assert sum("> **Graded, " in cell.source for cell in starter.cells) == 6


def test_it_is_small_and_of_the_same_bytes_each_time(content):
    assert len(content) <= 500_000
    assert content == student.zipped(student.student_files(), "fashion-mnist")


def test_everything_lies_in_one_folder_and_can_be_unpacked_on_every_system(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {"fashion-mnist"}
    assert all(re.fullmatch(r"[\w./-]+", name) for name in names)
    assert len({name.lower() for name in names}) == len(names)


def test_it_has_what_a_student_needs_and_nothing_of_the_graders(files):
    wanted = {"README.md", "LICENSE", "pyproject.toml", "constraints.txt", "utils/data.py"}
    assert wanted | {"tools/check.py", "tools/report/font/stix-two-math.woff"} <= files.keys()
    for name in ("starter", "student", "grading/box", "grading/classroom", "grading/gradebook"):
        assert f"tools/{name}.py" not in files


@pytest.mark.slow
def test_what_lies_beside_each_other_needs_nothing_else(content, tmp_path):
    zipfile.ZipFile(io.BytesIO(content)).extractall(tmp_path)
    program = """
import sys, tools.check, tools.naming, tools.report.__main__, tools.report.write
from utils import data, definitions, plotting, training
own = [m for n, m in sys.modules.items() if n.partition('.')[0] in ('tools', 'utils')]
print(*(m.__file__ for m in own), data.DATA_FOLDER, definitions.NOTEBOOKS / 'x', sep='\\n')
assert len(tools.check.kept_arrays()) == 10"""
    environment = {**os.environ, "PYTHONPATH": ""}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "fashion-mnist", env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    folder = str((tmp_path / "fashion-mnist").resolve())
    assert [path for path in ran.stdout.splitlines() if not path.startswith(folder)] == []
    assert ran.stdout.splitlines()[-1] == os.path.join(folder, "x")


def test_packages_and_files_named_in_its_project_are_there(files):
    project = files["pyproject.toml"].decode()
    assert "packages = [" not in project  # a list would name packages that students do not get
    assert {f"{name}/__init__.py" for name in ("utils", "tools", "tools/grading")} <= files.keys()
    for module in re.findall(r'= "(tools[.\w]*)[:"]', project):
        assert f"{module.replace('.', '/')}.py" in files


def test_its_readme_is_for_students_on_every_system_and_has_plain_commands(files):
    readme = files["README.md"].decode()
    for system in ("Windows", "macOS", "Linux", "Colab", "JupyterHub", "VS Code"):
        assert system in readme
    for heading in ("Start", "Check", "Hand in", "When something fails"):
        assert f"\n## {heading}\n" in readme
    blocks = re.findall(r"```\n(.*?)```", readme, re.DOTALL)
    assert all(len(block.splitlines()) == 3 for block in blocks), blocks
    assert not re.search(r"^make|\bmake \w+$", "\n".join(blocks), re.MULTILINE)
    assert "python -m tools.check fashion_mnist.ipynb" in readme


def test_the_kept_numbers_are_few_and_of_every_question(files):
    members = [name.split("/")[1:] for name in files if name.startswith("expected.npz/")]
    assert {number for number, kind, *_ in members if kind == "answer"} == set("1234567")
    with np.load(io.BytesIO(files["tools/expected.npz"]), allow_pickle=False) as arrays:
        assert all(np.isfinite(arrays[name]).all() for name in arrays if "parameters" not in name)


def test_the_images_come_on_request_as_they_lie_here(monkeypatch, tmp_path):
    places = {
        name: tmp_path / f"{name}{end}" for name, end in zip(FILES, [".gz", ""] * 2, strict=True)
    }
    for name, file in places.items():
        file.write_text(name)
    monkeypatch.setattr(student, "find_files", lambda: places)
    raw = "data/FashionMNIST/raw"
    assert student.data_files() == {
        f"{raw}/{file.name}": name.encode() for name, file in places.items()
    }


@pytest.mark.parametrize("arguments", [[], ["--data"]])
def test_the_command_writes_the_zip_or_says_why_not(monkeypatch, tmp_path, capsys, arguments):
    monkeypatch.setattr(student, "student_files", lambda: {"README.md": b"Start here."})
    monkeypatch.setattr(student, "find_files", lambda: None)
    file = tmp_path / "new" / "fashion-mnist.zip"
    monkeypatch.setattr(sys, "argv", ["student", str(file), *arguments])
    if arguments:
        with pytest.raises(SystemExit, match="error: Fashion-MNIST is not here: "):
            student.main()
        assert not file.exists()
    else:
        student.main()
        assert zipfile.ZipFile(file).read("fashion-mnist/README.md") == b"Start here."
        assert capsys.readouterr().out == f"wrote {file}\n"


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left_beside_it(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match=r"taken") as raised:
        write_whole(tmp_path / "taken", "x")
    assert raised.value.filename == str(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
