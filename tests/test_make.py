"""The Makefile: which Python makes .venv, when it is made anew, and what the programs in it see.

The Pythons here are made up: scripts that know their version and note what they are asked to do.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = """#!/bin/sh
case "$*" in
    *version_info*) echo {version} ;;
    *"-m venv"*)
        [ ! -e no-venv ] || exit 1
        rm -rf .venv; mkdir -p .venv/bin; cp tool .venv/bin/python ;;
esac
echo "{version}: $*" >> log
"""
TOOL = """#!/bin/sh
echo "$*" >> log
env > environment
case "$*" in *pip*) [ ! -e no-pip ] ;; esac
"""
pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def folder(tmp_path):
    """A copy of what the set-up reads, with Pythons from 3.9 to 3.14."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for minor in range(9, 15):
        write_script(tmp_path / f"python3.{minor}", PYTHON.format(version=f"3.{minor}"))
    write_script(tmp_path / "tool", TOOL)
    return tmp_path


def write_script(path, text):
    path.write_text(text)
    path.chmod(0o755)


def make(folder, *arguments, **variables):
    """Run make in `folder` as if from a shell; return its result, and what was done since."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    inherited.pop("PYTHON", None)
    (folder / "log").write_text("")
    result = subprocess.run(
        ["make", *arguments], capture_output=True, text=True, cwd=folder, env=inherited | variables
    )
    return result, (folder / "log").read_text()


def made(log):
    """The versions of the Pythons that made a .venv."""
    return re.findall(r"^(3\.\d+): -m venv", log, flags=re.MULTILINE)


@pytest.mark.parametrize("minor", range(9, 15))
def test_only_a_promised_python_sets_up(folder, minor):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first, end = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"They need Python 3.{first} to 3.{int(end) - 1} " in readme

    result, log = make(folder, "starter", f"PYTHON=./python3.{minor}")
    if int(first) <= minor < int(end):
        assert result.returncode == 0, result.stderr
        assert made(log) == [f"3.{minor}"]
    else:
        assert result.returncode != 0
        assert f"./python3.{minor} is Python 3.{minor}; name one of 3.11 " in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (folder / ".venv").exists()


def test_a_python_that_is_not_there_is_named(folder):
    result, _ = make(folder, "starter", "PYTHON=./python4")
    assert "./python4 does not run here" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert make(folder, "help", "PYTHON=./python4")[0].returncode == 0


def test_another_python_makes_another_venv(folder):
    assert made(make(folder, "starter", "PYTHON=./python3.12")[1]) == ["3.12"]
    assert made(make(folder, "starter", "PYTHON=./python3.12")[1]) == []
    assert made(make(folder, "starter")[1]) == []
    assert made(make(folder, "starter", PYTHON="./python3.13")[1]) == ["3.13"]
    assert made(make(folder, "starter", "PYTHON=./python3.10")[1]) == []
    assert made(make(folder, "starter", "PYTHON=./python3.13")[1]) == []


def test_new_pins_are_installed_into_the_same_venv(folder):
    make(folder, "starter", "PYTHON=./python3.12")
    later = (folder / ".venv" / ".ready-3.12").stat().st_mtime + 1
    os.utime(folder / "constraints.txt", (later, later))
    _, log = make(folder, "starter")
    assert made(log) == []
    assert "-m pip install" in log


@pytest.mark.parametrize("failing", ["no-venv", "no-pip"])
def test_a_failed_set_up_is_made_anew(folder, failing):
    make(folder, "starter", "PYTHON=./python3.12")
    (folder / failing).touch()
    result, log = make(folder, "starter", "PYTHON=./python3.13")
    assert result.returncode != 0
    assert "tools.starter" not in log
    (folder / failing).unlink()
    _, log = make(folder, "starter", "PYTHON=./python3.12")
    assert made(log) == ["3.12"]
    assert "tools.starter" in log


PYTHONS_AND_PYTESTS = ["PYTHONPATH", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTEST_ADDOPTS"]
OTHERS = ["MPLBACKEND", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_PATH"]


@pytest.mark.parametrize("target", ["starter", "lab"])
def test_nobodys_settings_reach_the_programs(folder, target):
    variables = dict.fromkeys([*PYTHONS_AND_PYTESTS, *OTHERS], "mine")
    make(folder, "starter", "PYTHON=./python3.12")
    write_script(folder / ".venv" / "bin" / "jupyter", TOOL)
    result, _ = make(folder, target, **variables)
    assert result.returncode == 0, result.stderr
    lines = (folder / "environment").read_text().splitlines()
    mine = {line.removesuffix("=mine") for line in lines if line.endswith("=mine")}
    assert mine == (set(OTHERS) if target == "lab" else set())


def test_one_notebook_is_checked_and_none_is_asked_for(folder):
    make(folder, "starter", "PYTHON=./python3.12")
    result, log = make(folder, "check")
    assert result.returncode != 0
    assert "which file? make check NOTEBOOK=my.ipynb" in result.stderr
    assert "tools.check" not in log
    assert "-m tools.check my.ipynb" in make(folder, "check", "NOTEBOOK=my.ipynb")[1]


def test_the_zip_for_students_is_made_with_or_without_the_images(folder):
    _, log = make(folder, "student", "PYTHON=./python3.12")
    assert log.rstrip().endswith("-m tools.student student/fashion-mnist.zip")
    assert make(folder, "student", "DATA=1")[1].rstrip().endswith("fashion-mnist.zip --data")


def test_the_starter_is_opened_where_there_is_one_and_clean_leaves_it(folder):
    make(folder, "starter", "PYTHON=./python3.12")
    write_script(folder / ".venv" / "bin" / "jupyter", TOOL)
    assert make(folder, "lab")[1].rstrip().endswith(" notebooks/fashion_mnist.ipynb")
    starter = folder / "starter" / "fashion_mnist.ipynb"
    for name in ("starter", "report", "build", "student", "grades"):
        (folder / name).mkdir()
    starter.touch()
    assert make(folder, "lab")[1].rstrip().endswith(" starter/fashion_mnist.ipynb")
    make(folder, "clean")
    assert starter.exists()
    assert not any((folder / name).exists() for name in ("report", "build", "student"))
    assert (folder / "grades").exists()  # what a teacher has corrected by hand lies there


def test_a_changed_starter_is_replaced_by_force_alone(folder):
    _, log = make(folder, "starter", "PYTHON=./python3.12")
    assert log.rstrip().endswith("-m tools.starter starter/fashion_mnist.ipynb")
    assert make(folder, "starter", "FORCE=1")[1].rstrip().endswith(".ipynb --force")


def test_every_target_is_listed_by_make_alone(folder):
    targets = re.search(r"\.PHONY:((?:.*\\\n)*.*)", (folder / "Makefile").read_text())[1]
    listed = re.findall(r"^make ([\w-]+)", make(folder, "help")[0].stdout, flags=re.MULTILINE)
    assert set(listed) == set(targets.replace("\\", "").split()) - {"help", "lint"}


def test_renewing_keeps_what_is_held_back_and_ends_with_the_check(folder):
    make(folder, "starter", "PYTHON=./python3.12")
    write_script(folder / ".venv" / "bin" / "uv", TOOL)
    (compiled, checked) = make(folder, "renew")[1].splitlines()
    assert compiled.startswith("pip compile pyproject.toml --extra test --universal ")
    assert " --upgrade " in compiled
    assert checked == ".ci/pins.py"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"d2l==0.17.0", "torch!=2.13.0"} <= set(project["dependencies"])


@pytest.mark.slow
def test_a_first_run_prints_nothing_that_frightens(tmp_path):
    """The flags of `make report`, on a notebook of one cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
    nbformat.write(notebook, tmp_path / "small.ipynb")
    dry = subprocess.run(
        ["make", "--dry-run", "report", f"NOTEBOOK={tmp_path}/small.ipynb"],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    (command,) = re.findall(r"jupyter (nbconvert .*--execute(?:.*\\\n)*.*)", dry.stdout)
    arguments = command.replace("\\\n", " ").replace("build", str(tmp_path / "build")).split()
    result = subprocess.run(
        [sys.executable, "-m", "jupyter", *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert "2" in (tmp_path / "build" / "small.ipynb").read_text(encoding="utf-8")
