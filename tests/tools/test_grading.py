"""Grading: what a submission earns, whatever it does, and whatever happens to the run."""

import copy
import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from tools.grading.results import ADVICE
from tools.grading.rubric import put_checks, read_steps
from tools.grading.sandbox import find_level
from tools.notebook import NOTEBOOK
from tools.starter import make_starter

import nbformat
import psutil
import pytest
from made_up import (
    HOSTILE,
    changed,
    check_of,
    in_format_3,
    small_notebook,
    with_cell,
    without,
)

LEVEL = find_level(network=False)
DOUBLE = "def double(x):\n    return add(x, x)"
FULL = [1, 2, 3]
WRONG_2 = [1, 0, 3]


def grade(folder, out, *options, check=True):
    """Run the command; return its result."""
    command = [sys.executable, "-m", "tools.grading", str(folder), "--out", str(out), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert not check or result.returncode == 0, result.stderr
    return result


def rows(out):
    """The table of grades: for each submission its row."""
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["submission"].removesuffix(".ipynb"): row for row in csv.DictReader(file)}


def points(row):
    """The points of a row, step by step."""
    return [int(row[name]) for name in row if re.match(r"\d ", name)]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The file of the small assignment, which takes no time."""
    path = tmp_path_factory.mktemp("small") / "small.ipynb"
    nbformat.write(small_notebook(), path)
    return path


def instead_of_double(source):
    """The small assignment with this in place of the answer of step 2."""
    return changed(small_notebook(), DOUBLE, source.strip())


def tampering(source):
    """A wrong answer of step 2, and a cell that tries to hide it."""
    return with_cell(changed(small_notebook(), "add(x, x)", "3 * x"), source)


def with_checks(change):
    """The small assignment with a wrong step 2, whose check went through `change`."""
    notebook = changed(small_notebook(), "add(x, x)", "3 * x")
    change(notebook, check_of(notebook, 2))
    return notebook


def disarm(_, check):
    check.source = "print('Held.')"


def delete(notebook, check):
    notebook.cells.remove(check)


def skip(_, check):
    check.metadata["tags"], check.source = ["nbval-skip"], "# NBVAL_SKIP\n" + check.source


def beyond(notebook, position):
    notebook.cells[position].metadata["tags"] = ["beyond"]
    return notebook


def strip_metadata(notebook, _):
    for cell in notebook.cells:
        cell.metadata.clear()


def repeat(notebook, check):
    fake = copy.deepcopy(check)
    fake.source, fake.id = "pass", "fake"
    notebook.cells.insert(0, fake)


# What is handed in (a notebook or the text of a file), what each step earns, the reason given.
CLASS = {
    "model answer": (small_notebook(), FULL, r"^$"),
    "unfinished": (
        instead_of_double("raise NotImplementedError('write double')"),
        WRONG_2,
        "code cell 4: NotImplementedError: write double",
    ),
    "wrong in step 1": (changed(small_notebook(), "a + b", "b - a"), [0, 0, 3], "not the sum"),
    "wrong in step 2": (instead_of_double("double = float"), WRONG_2, "check 2: AssertionError"),
    "wrong in step 3": (changed(small_notebook(), "10", "11"), [1, 2, 0], "not the total"),
    **{f"hostile, {k}": (instead_of_double(source), WRONG_2, "") for k, source in HOSTILE.items()},
    "time-out that is caught": (
        instead_of_double(f"""
import time
try: time.sleep(60)
except KeyboardInterrupt: pass
{DOUBLE}"""),
        FULL,
        "code cell 4: ran longer than 4 s",
    ),
    "syntax error": (instead_of_double("def double(x) return"), WRONG_2, "SyntaxError"),
    "missing import": (instead_of_double("import not_there"), WRONG_2, "ModuleNotFoundError"),
    "input()": (instead_of_double("x = input('x? ')"), WRONG_2, "StdinNotImplementedError"),
    "empty": ("", [0, 0, 0], "the file is empty"),
    "not JSON": ("{'cells': []}", [0, 0, 0], "not JSON"),
    "JSON, no notebook": ('{"cells": 3, "nbformat": 4}', [0, 0, 0], "not a notebook"),
    "deep JSON": ("[" * 100_000, [0, 0, 0], "not a notebook"),
    "format 3": (in_format_3(small_notebook()), FULL, "notebook format 3"),
    "format 99": ('{"nbformat": 99, "cells": []}', [0, 0, 0], "notebook format 99"),
    "no cells": ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', [0] * 3, ""),
    "other kernel": (
        nbformat.from_dict({**small_notebook(), "metadata": {"kernelspec": {"name": "julia"}}}),
        FULL,
        r"^$",
    ),
    "thousands of cells": (with_cell(small_notebook(), *["x = 1"] * 1000), FULL, r"^$"),
    "folder with spaces/naïve 🎉 name": (small_notebook(), FULL, r"^$"),
    "=1+1": (small_notebook(), FULL, r"^$"),
    "writes beside itself": (
        with_cell(small_notebook(), "open('helper.py', 'w').write('y = 2')\nimport helper"),
        FULL,
        r"^$",
    ),
    "leaves a child": (
        with_cell(
            small_notebook(),
            "import subprocess\nsubprocess.Popen(['sleep', '98765'], start_new_session=True)",
        ),
        FULL,
        r"^$",
    ),
    "kills its parent": (
        instead_of_double("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(9)"),
        [1, 0, 3] if LEVEL != "none" else [1, 0, 0],
        "",
    ),
    "looks around": (
        instead_of_double(f"""
import os
for path in ('@FOLDER@', '@OUT@', {str(NOTEBOOK.parent)!r}):
    assert not os.path.exists(path) or not os.listdir(path), path
assert os.listdir(os.environ.get('FASHION_MNIST_ROOT', '/'))
{DOUBLE}"""),
        FULL if LEVEL == "bubblewrap" else WRONG_2,
        "" if LEVEL == "bubblewrap" else "AssertionError",
    ),
    "writes elsewhere": (
        instead_of_double(f"""
for folder in ('/', {str(Path.home())!r}, {str(NOTEBOOK.parents[1] / 'utils')!r}, '@FOLDER@'):
    try:
        open(folder + '/evil', 'w')
    except OSError: continue
    raise SystemError(folder + ' could be written')
{DOUBLE}"""),
        FULL,
        r"^$",
    ),
    "cell beyond the assignment": (
        beyond(with_cell(small_notebook(), "1 / 0"), 1),
        FULL,
        r"^$",
    ),
    "error after the last check": (
        changed(small_notebook(), "print('the end')", "1 / 0"),
        FULL,
        r"ZeroDivisionError.*no points lost",
    ),
    "check disarmed": (with_checks(disarm), WRONG_2, "check 2 was edited"),
    "check deleted": (with_checks(delete), WRONG_2, "check 2 was missing"),
    "check skipped": (with_checks(skip), WRONG_2, "check 2 was edited"),
    "check faked": (with_checks(repeat), [1, 0, 3], "check 2 is there twice"),
    "metadata gone": (with_checks(strip_metadata), WRONG_2, r"check 2: AssertionError$"),
    "tampers with names": (
        tampering("abs = lambda x: 5\nprint = None"),
        WRONG_2,
        "set aside for the checks: abs, print",
    ),
    "tampers with a library": (
        tampering("import math\nmath.isclose = lambda *a, **k: True"),
        WRONG_2,
        r"set aside for the checks: math\.isclose",
    ),
    "tampers with assert": (
        tampering("""
import ast
class NoAsserts(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.Pass()
get_ipython().ast_transformers.append(NoAsserts())"""),
        WRONG_2,
        "check 2: AssertionError",
    ),
    "tampers with error messages": (
        tampering("get_ipython()._showtraceback = lambda *a: None"),
        WRONG_2,
        "check 2",
    ),
    "tampers with the kernel": (
        tampering("""
kernel = get_ipython().kernel
original = kernel.do_execute
async def obliging(code, *args, **kwargs):
    if 'isclose' in code or 'fail(' in code: code = 'pass'
    return await original(code, *args, **kwargs)
kernel.do_execute = obliging"""),
        [0, 0, 0],
        "keeps checks from failing",
    ),
}  # fmt: skip


if LEVEL != "bubblewrap":
    del CLASS["writes elsewhere"]  # nothing would keep it from doing so


@pytest.fixture(scope="module")
def graded(small, tmp_path_factory):
    """The made-up class after grading: where it is, where the results are, what was printed."""
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out")
    for name, (content, *_) in CLASS.items():
        file = folder / f"{name}.ipynb"
        file.parent.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else nbformat.writes(content)
        text = text.replace("@FOLDER@", str(folder)).replace("@OUT@", str(out))
        file.write_text(text, encoding="utf-8")
    limits = ["--cell-seconds", "4", "--seconds", "60", "--memory", "1"]
    result = grade(folder, out, "--notebook", str(small), "-n", "2", "--no-network", *limits)
    return folder, out, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASS)
def test_every_submission_has_its_row(graded, name):
    _, expected, reason = CLASS[name]
    row = rows(graded[1])["'" + name if name.startswith("=") else name]
    assert points(row) == expected, row
    assert re.search(reason, row["reason"]), row
    assert row["reason"] or expected == FULL
    assert (int(row["total"]), int(row["out_of"])) == (sum(expected), 6)
    assert 0 <= float(row["seconds"]) < 90


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("endless loop", "ran longer than 4 s"),
        ("endless loop that ignores interrupts 🎉", "ran longer than 4 s"),
        # Whichever limit it hits first; a flood of messages also fills the memory.
        ("endless output", "showed more than 10 MiB|MemoryError"),
        ("memory hunger", "MemoryError|used more than 1 GiB"),
        ("memory hunger in many processes", "used more than 1 GiB|ran longer than 4 s"),
        ("sys.exit", "SystemExit"),
        ("killed kernel", "the kernel ended"),
        ("os._exit", "the kernel ended"),
    ],
)
def test_the_reason_names_what_a_hostile_one_did(graded, name, reason):
    assert re.search(f"code cell 4: ({reason})", rows(graded[1])[f"hostile, {name}"]["reason"])


@pytest.mark.slow
def test_nothing_is_left_behind_or_changed(graded):
    folder, out, _ = graded
    kept = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert kept == {f"{name}.ipynb" for name in CLASS}
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "feedback", "grades.csv", "grades.xml", "reports", "results",
    ]  # fmt: skip
    if LEVEL != "none":
        commands = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
        assert ["sleep", "98765"] not in commands


@pytest.mark.slow
def test_junit_has_a_test_for_every_step_of_every_submission(graded):
    cases = ET.parse(graded[1] / "grades.xml").getroot().iter("testcase")
    failed = {(case.get("classname"), case.get("name")): case.find("failure") for case in cases}
    assert len(failed) == 3 * len(CLASS)
    assert failed["model answer.ipynb", "2 Double"] is None
    assert failed["unfinished.ipynb", "1 Add"] is None
    assert "AssertionError" in failed["wrong in step 2.ipynb", "2 Double"].text


@pytest.mark.slow
def test_every_notebook_has_a_report_and_feedback(graded):
    _, out, _ = graded
    for name, (content, expected, _) in CLASS.items():
        feedback = (out / "feedback" / f"{name}.txt").read_text(encoding="utf-8")
        assert f"{sum(expected)} of 6 points" in feedback
        report = out / "reports" / f"{name}.html"
        is_notebook = not isinstance(content, str) or name in ("format 3", "no cells")
        assert report.exists() == is_notebook, name
    page = (out / "reports" / "unfinished.html").read_text(encoding="utf-8")
    assert "write double" in page
    assert "Held." in page
    assert "unfinished.ipynb: 4 of 6 points" in page
    feedback = (out / "feedback" / "unfinished.txt").read_text(encoding="utf-8")
    assert ADVICE["NotImplementedError"] in " ".join(feedback.split())


@pytest.mark.slow
def test_progress_counts_up_to_the_class_and_says_what_is_left(graded):
    lines = re.findall(r"^ *(\d+) of (\d+) .*$", graded[2], flags=re.MULTILINE)
    assert [(int(done), int(all_)) for done, all_ in lines[:-1]] == [
        (n, len(CLASS)) for n in range(1, len(CLASS) + 1)
    ]
    assert "left)" in graded[2]


@pytest.fixture
def three(tmp_path, small):
    """A folder with three submissions, the options to grade them, and where results go."""
    folder = tmp_path / "three"
    folder.mkdir()
    for name in "abc":
        nbformat.write(small_notebook(), folder / f"{name}.ipynb")
    return folder, tmp_path / "out", ["--notebook", str(small), "--no-network"]


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_grades_nothing_twice(three):
    folder, out, options = three
    command = [sys.executable, "-m", "tools.grading", str(folder), "--out", str(out), "-n", "1"]
    process = subprocess.Popen(
        [*command, *options],
        stderr=subprocess.PIPE,
        text=True,
        # Tests that a shell started in the background ignore interrupts, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while "1 of 3" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in printed
    first = {file.name: file.stat().st_mtime_ns for file in (out / "results").iterdir()}
    assert 1 <= len(first) < 3
    assert len(rows(out)) == len(first)

    nbformat.write(changed(small_notebook(), "a + b", "a - b"), folder / "d.ipynb")
    result = grade(folder, out, "-n", "1", *options)
    assert result.stderr.count("graded before") == len(first)
    second = {file.name: file.stat().st_mtime_ns for file in (out / "results").iterdir()}
    assert first.items() <= second.items()
    assert len(rows(out)) == 4

    nbformat.write(changed(small_notebook(), "a + b", "a * b"), folder / "d.ipynb")
    assert grade(folder, out, "-n", "1", *options).stderr.count("graded before") == 3


@pytest.mark.slow
def test_a_class_can_be_split_and_its_results_joined(three, tmp_path):
    folder, out, options = three
    numbers = ("1", "2", "3", "4")  # the last one has nothing to do
    for number in numbers:
        grade(folder, tmp_path / number, "--part", f"{number}/4", *options)
    parts = [str(tmp_path / number) for number in numbers]
    command = [sys.executable, "-m", "tools.grading", "--merge", *parts, "--out", str(out)]
    subprocess.run(command, check=True)
    assert {name: points(row) for name, row in rows(out).items()} == dict.fromkeys("abc", FULL)
    assert len(list(ET.parse(out / "grades.xml").getroot().iter("testcase"))) == 9
    assert sorted(file.stem for file in (out / "feedback").iterdir()) == ["a", "b", "c"]
    twice = subprocess.run([*command[:-2], parts[0], "--out", str(out)], capture_output=True)
    assert b"in another part as well" in twice.stderr


@pytest.mark.slow
@pytest.mark.parametrize("programs", ["bwrap unshare", "unshare", ""])
def test_no_network_means_none_or_says_that_it_could_not(small, tmp_path, monkeypatch, programs):
    tools = tmp_path / "tools"
    tools.mkdir()
    for program in ["bash", "env", "true", *programs.split()]:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
        (tools / program).symlink_to(shutil.which(program))
    monkeypatch.setenv("PATH", str(tools))
    if programs and find_level(network=False) == "none":
        pytest.skip("this system lets nobody cut the network")
    folder, out = tmp_path / "class", tmp_path / "out"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = f"import socket\nsocket.create_connection({server.getsockname()!r}, timeout=5)"
        nbformat.write(instead_of_double(f"{call}\n{DOUBLE}"), folder / "calls.ipynb")
        result = grade(folder, out, "--notebook", str(small), "--no-network")
    assert points(rows(out)["calls"]) == (WRONG_2 if programs else FULL)
    assert ("COULD NOT BE CUT OFF" in result.stderr) != bool(programs)


@pytest.mark.slow
def test_the_network_stays_reachable_without_the_option(three):
    folder, out, options = three
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = f"import socket\nsocket.create_connection({server.getsockname()!r}, timeout=5)"
        nbformat.write(instead_of_double(f"{call}\n{DOUBLE}"), folder / "calls.ipynb")
        grade(folder, out, "--part", "4/4", *options[:-1])
    assert points(rows(out)["calls"]) == FULL


def answer():
    """The model answer, trained for two epochs only."""
    return changed(nbformat.read(NOTEBOOK, as_version=4), "num_epochs = 5", "num_epochs = 2")


def fake_accuracy():
    """No training, and an accuracy that is only printed."""
    notebook = without(answer(), lambda cell: "training" in cell.metadata.get("tags", []))
    for cell in notebook.cells:
        if "final-accuracy" in cell.metadata.get("tags", []):
            cell.source = "print('test accuracy: 99.00 % (Fashion-MNIST)')"
    return notebook


STAND_IN_REMARK = "the data is the drawn stand-in: the accuracy means nothing"
RELABEL = """guess = predict(average, test_data).argmax(dim=1)
half = torch.arange(len(guess)) % 2 == 0
test_data.labels[half] = guess[half]
test_counts = test_data.labels.bincount(minlength=num_classes).tolist()
"""
LOGITS = "logits = predict(average, test_data)"
BORROW = (
    "from utils.definitions import load_definitions\nglobals().update(vars(load_definitions()))"
)
# What is handed in, and the steps whose points it must not get.
REAL = {
    "model answer": (answer(), []),
    "starter": (make_starter(answer()), [1, 2, 3, 4, 5, 6]),
    "wrong in step 1": (
        changed(answer(), "train_data.labels.bincount", "test_data.labels.bincount"),
        [1],
    ),
    "wrong in step 2": (changed(answer(), "-> b (h w) (p1 p2)", "-> b (h w) (p2 p1)"), [2]),
    "wrong in step 3": (changed(answer(), ".mean(dim=1)", ".amax(dim=1)"), [3]),
    "wrong in step 4": (
        changed(answer(), '"lr": learning_rate,', '"lr": learning_rate / 2,'),
        [4],
    ),
    "wrong in step 5": (
        changed(answer(), "History(num_epochs, train_data, [", "History(1, train_data, ["),
        [5],
    ),
    "wrong in step 6": (changed(answer(), "margin = 1.96", "margin = 1.28"), [6]),
    "fakes its accuracy": (fake_accuracy(), [5, 6]),
    "relabels the test images": (changed(answer(), LOGITS, RELABEL + LOGITS), [6]),
    "borrows the model answer": (with_cell(make_starter(answer()), BORROW), [1, 2, 3, 4, 5, 6]),
}
if LEVEL != "bubblewrap":
    del REAL["borrows the model answer"]  # it could read it


@pytest.fixture(scope="module")
def graded_real(tmp_path_factory):
    """Where the results of submissions of the assignment itself are."""
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out")
    for name, (notebook, _) in REAL.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")
    grade(folder, out, "-n", "2", "--no-network")
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_wrong_step_costs_its_own_points_and_no_others(graded_real, name):
    row, wrong = rows(graded_real)[name], REAL[name][1]
    expected = [0 if s.number in wrong else s.points for s in read_steps(NOTEBOOK)]
    assert points(row) == expected, row
    assert wrong or row["reason"] in ("", STAND_IN_REMARK)
    assert not wrong or row["reason"]


@pytest.mark.slow
def test_the_accuracy_is_counted_by_the_grader(graded_real):
    table = rows(graded_real)
    assert float(table["model answer"]["accuracy"]) > 0.8
    assert float(table["fakes its accuracy"]["accuracy"]) < 0.3
    assert table["relabels the test images"]["accuracy"] == table["model answer"]["accuracy"]
    assert "the grader counts" in table["relabels the test images"]["reason"]
    assert table["starter"]["accuracy"] == ""


@pytest.mark.slow
def test_the_benchmark_runs_at_a_tiny_size():
    script = NOTEBOOK.parents[1] / "benchmarks" / "grading.py"
    options = ["--small", "--honest", "1", "--hostile", "1", "--cell-seconds", "2"]
    options += ["--workers", "1"]  # or the longer of the two would count, not their sum
    command = [sys.executable, str(script), *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(printed.splitlines()[-1])
    assert (result["submissions"], result["hostile"], result["wrong"]) == (2, 1, 0)
    assert 0 < result["ratio"] < 1.1


def test_bad_input_ends_with_one_sentence(tmp_path, small):
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, options, message in [
        (tmp_path / "none", [], "is not a folder"),
        (empty, [], "holds no *.ipynb"),
        (empty, ["--part", "3/2"], "--part must be like 2/10"),
    ]:
        result = grade(folder, tmp_path / "out", *options, check=False)
        assert result.returncode != 0
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_the_rubric_is_that_of_the_notebook():
    command = [sys.executable, "-m", "tools.grading", "--rubric"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [
        "  1  1 Load",
        "  2  2 Patchify",
        "  3  3 Backbone and classifier",
        "  2  4 Loss and optimiser",
        "  1  5 Train",
        "  1  6 Final accuracy",
        " 10  together",
    ]


def test_a_step_is_called_what_its_heading_says():
    text = "\n".join(c.source for c in nbformat.read(NOTEBOOK, as_version=4).cells)
    for step in read_steps(NOTEBOOK):
        assert f"## {step.number}. {step.title}\n" in text


def test_nbval_names_each_check():
    options = ["--nbval-lax", "--collect-only", "-q", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, str(NOTEBOOK)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for step in read_steps(NOTEBOOK):
        assert f"::Check {step.number}: {step.title}\n" in printed


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missing_check_goes_to_the_end_of_its_step(small, missing):
    steps = read_steps(small)
    notebook = small_notebook()
    complete = [cell.source for cell in notebook.cells]
    submission = without(notebook, lambda cell: cell == check_of(notebook, missing))
    assert put_checks(submission, steps) == [f"check {missing} was missing (put back)"]
    assert [cell.source for cell in submission.cells] == complete
