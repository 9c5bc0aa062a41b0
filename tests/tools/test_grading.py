"""Grading: what a submission earns, whatever it does, and whatever happens to the run."""

import csv
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

from tools.grading import classroom
from tools.grading.box import REPOSITORY, find_level, walls
from tools.grading.classroom import available_cores
from tools.grading.command import main
from tools.grading.results import ADVICE, file_for
from tools.grading.rubric import load_rubric
from tools.notebook import NOTEBOOK

import nbformat
import psutil
import pytest
from classes import DOUBLE, FULL, LEVEL, PIXEL, SMALL, WRONG_2, instead_of_double
from made_up import HOSTILE, SMALL_ASSIGNMENT, changed, small_notebook

OPTIONS = ["--assignment", str(SMALL_ASSIGNMENT), "--no-network"]


def grade(folder, out, *options, check=True, **variables):
    """Run the command, with these environment variables; return its result."""
    command = [sys.executable, "-m", "tools.grading", str(folder), "--out", str(out), *options]
    environment = {**os.environ, **variables}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert not check or result.returncode == 0, result.stderr
    return result


def call(monkeypatch, *arguments):
    """Run the command in this process, for what needs no other."""
    monkeypatch.setattr(sys, "argv", ["grading", *map(str, arguments)])
    main()


def rows(out):
    """The table of grades: for each submission its row."""
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["submission"].removesuffix(".ipynb"): row for row in csv.DictReader(file)}


def points(row):
    """The points of a row, step by step."""
    return [int(row[name]) for name in row if re.match(r"\d ", name)]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The made-up class after grading: where it is, where the results are, what was printed."""
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out")
    for name, (content, *_) in SMALL.items():
        file = folder / f"{name}.ipynb"
        file.parent.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else nbformat.writes(content)
        text = text.replace("@FOLDER@", str(folder)).replace("@OUT@", str(out))
        file.write_text(text, encoding="utf-8")
    (folder / "other.IPYNB").write_text(nbformat.writes(small_notebook()), encoding="utf-8")
    limits = ["--cell-seconds", "3", "--seconds", "60", "--memory", "1"]
    return folder, out, grade(folder, out, "-n", "2", *OPTIONS, *limits)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_submission_has_its_row(graded, name):
    _, expected, reason = SMALL[name]
    row = rows(graded[1])["'" + name if name.startswith("=") else name]
    assert points(row) == expected, row
    assert re.search(reason, row["reason"]), row
    assert row["reason"] or expected == FULL
    assert (int(row["total"]), int(row["out_of"])) == (sum(expected), 3)
    assert 0 <= float(row["seconds"]) < 90


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("endless loop", "ran longer than 3 s"),
        ("endless loop that ignores interrupts 🎉", "ran longer than 3 s"),
        # Whichever limit it hits first; a flood of messages also fills the memory.
        ("endless output", "showed more than 10 MiB|MemoryError|used more than 1 GiB"),
        ("memory hunger", "MemoryError|used more than 1 GiB|ran longer than 3 s"),
        ("memory hunger in many processes", "used more than 1 GiB|ran longer than 3 s"),
        (
            "memory in a file without a name",
            r"(used|wrote) more than 1 GiB|OSError: .*File too large",
        ),
        ("disk in a deleted file", "wrote more than 1 GiB|ran longer than 3 s|No space"),
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
    assert kept == {f"{name}.ipynb" for name in SMALL} | {"other.IPYNB"}
    assert rows(out)["other.IPYNB"]["total"] == "3"
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        *("changes.csv", "feedback", "grades.csv", "grades.xml", "gradescope"),
        *("reports", "results"),
    ]
    if LEVEL != "none":
        commands = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
        assert ["sleep", "98765"] not in commands


@pytest.mark.slow
def test_junit_has_a_test_for_every_step_of_every_submission(graded):
    cases = ET.parse(graded[1] / "grades.xml").getroot().iter("testcase")
    failed = {(case.get("classname"), case.get("name")): case.find("failure") for case in cases}
    assert len(failed) == 3 * (len(SMALL) + 1)
    assert failed["model answer.ipynb", "2 Double"] is None
    assert failed["unfinished.ipynb", "1 Add"] is None
    assert "came back" in failed["wrong in step 2.ipynb", "2 Double"].get("message")


@pytest.mark.slow
def test_every_notebook_has_a_report_and_feedback(graded):
    _, out, _ = graded
    table = rows(out)
    for name, (content, expected, _) in SMALL.items():
        reason = table["'" + name if name.startswith("=") else name]["reason"]
        feedback = file_for(out / "feedback", f"{name}.ipynb", ".txt")
        assert f"{sum(expected)} of 3 points" in feedback.read_text(encoding="utf-8")
        report = file_for(out / "reports", f"{name}.ipynb", ".html")
        is_notebook = not isinstance(content, str) or "nbformat_minor" in content
        assert report.is_file() == (is_notebook and "no report" not in reason), (name, reason)
    page = (out / "reports" / "unfinished.html").read_text(encoding="utf-8")
    assert "write double" in page
    assert "unfinished.ipynb: 2 of 3 points" in page
    page = (out / "reports" / "three errors.html").read_text(encoding="utf-8")
    for error in ("SyntaxError", "ModuleNotFoundError", "StdinNotImplementedError"):
        assert error in page
    assert PIXEL in (out / "reports" / "a pasted picture.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_feedback_says_what_was_sent_what_came_back_what_was_expected_and_what_to_do(graded):
    feedback = (graded[1] / "feedback" / "wrong in step 2.txt").read_text(encoding="utf-8")
    line = " ".join(feedback.split())
    number = r"-?\d[\d.e-]*"
    sent = r"double of numbers with numbers \(5,\): "
    assert re.search(rf"{sent}came back {number} at \[0\], expected {number} ", line), line
    assert "double(x) is a number twice." in line
    feedback = (graded[1] / "feedback" / "unfinished.txt").read_text(encoding="utf-8")
    assert ADVICE["NotImplementedError"] in " ".join(feedback.split())


@pytest.mark.slow
def test_progress_counts_up_to_the_class_and_the_end_sums_up(graded):
    printed, number = graded[2].stderr, len(SMALL) + 1
    lines = re.findall(r"^ *(\d+) of (\d+) .*$", printed, flags=re.MULTILINE)
    counts = [(int(done), int(all_)) for done, all_ in lines]
    assert counts == [(n, number) for n in range(1, number + 1)]
    assert "left)" in printed
    summary = graded[2].stdout
    assert summary.startswith(f"{number} submissions, ")
    assert re.search(r"[\d.]+  2 Double", summary)


@pytest.fixture
def three(tmp_path):
    """A folder with three submissions, the options to grade them, and where results go."""
    folder = tmp_path / "three"
    folder.mkdir()
    for name in "abc":
        nbformat.write(small_notebook(), folder / f"{name}.ipynb")
    return folder, tmp_path / "out", OPTIONS


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_grades_nothing_twice(three, monkeypatch, capsys):
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
    call(monkeypatch, folder, "--out", out, "-n", 2, *options)
    assert f"{len(first)} of 4 graded before" in capsys.readouterr().err
    second = {file.name: file.stat().st_mtime_ns for file in (out / "results").iterdir()}
    assert first.items() <= second.items()
    assert len(rows(out)) == 4

    nbformat.write(changed(small_notebook(), "a + b", "a * b"), folder / "d.ipynb")
    call(monkeypatch, folder, "--out", out, "-n", 1, *options)
    assert "3 of 4 graded before" in capsys.readouterr().err


@pytest.mark.slow
def test_nothing_runs_on_when_the_grader_is_killed(tmp_path):
    nbformat.write(instead_of_double(HOSTILE["endless loop"]), tmp_path / "a.ipynb")
    command = [sys.executable, "-m", "tools.grading", str(tmp_path), *OPTIONS]
    with tempfile.TemporaryDirectory() as folder:  # short: names of sockets lie in it
        process = subprocess.Popen(
            [*command, "--out", f"{folder}/out"],
            env=os.environ | {"TMPDIR": folder},
            stderr=subprocess.DEVNULL,
        )

        def running():
            commands = [str(one.info["cmdline"]) for one in psutil.process_iter(["cmdline"])]
            return [command for command in commands if folder in command]

        wait_until(lambda: any("ipykernel" in command for command in running()))
        process.kill()
        process.wait()
        wait_until(lambda: not running())


def wait_until(holds):
    """Wait for a minute at most."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.slow
def test_a_fault_of_the_machine_costs_nothing_once_it_is_mended(three, monkeypatch, capsys):
    folder, out, options = three

    def no_room(*arguments, **named):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(classroom, "write_task", no_room)
        call(monkeypatch, folder, "--out", out, *options)
    assert "look at a.ipynb: judging it" in capsys.readouterr().out
    assert [row["total"] for row in rows(out).values()] == ["0"] * 3
    (folder / "c.ipynb").unlink()
    os.mkfifo(folder / "c.ipynb")
    call(monkeypatch, folder, "--out", out, *options)
    assert [row["total"] for row in rows(out).values()] == ["3", "3", "0"]


@pytest.mark.slow
@pytest.mark.skipif(find_level(False) != "bubblewrap", reason="needs bubblewrap")
def test_what_lies_in_a_folder_that_is_shown_is_hidden_all_the_same(tmp_path, monkeypatch):
    data, private, own = (tmp_path / "data", tmp_path / "data" / "class", tmp_path / "own")
    for folder in (private, own):
        folder.mkdir(parents=True)
        (folder / "a.ipynb").touch()
    monkeypatch.setenv("FASHION_MNIST_ROOT", str(data))
    command = walls("bubblewrap", own, [private, REPOSITORY], network=False)
    for folder, expected in ((data, ["class"]), (private, []), (own, ["a.ipynb"])):
        listed = subprocess.run([*command, "ls", str(folder)], capture_output=True, text=True)
        assert listed.stdout.split() == expected, listed.stderr


@pytest.mark.slow
def test_nobodys_settings_change_a_grade(three, tmp_path):
    folder, out, options = three
    settings = tmp_path / "settings"
    for path, text in {
        "nbformat.py": "raise ImportError",
        "startup.py": "raise SystemExit",
        "matplotlibrc": "font.size: 30",
        "profile_default/startup/abs.py": "abs = None",
        "profile_default/ipython_config.py": "get_config().InteractiveShell.xmode = 'Minimal'",
    }.items():
        (settings / path).parent.mkdir(parents=True, exist_ok=True)
        (settings / path).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --not-an-option")
    (folder / "conftest.py").write_text("raise SystemExit")
    variables = {
        **dict.fromkeys(["PYTHONPATH", "MPLCONFIGDIR", "IPYTHONDIR"], str(settings)),
        "PYTHONSTARTUP": str(settings / "startup.py"),
        "PYTHONHASHSEED": "1",
        "PYTHONOPTIMIZE": "1",
        "PYTHONWARNINGS": "error",
        "PYTEST_ADDOPTS": "--not-an-option",
        "PYTEST_PLUGINS": "not_a_module",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "MPLBACKEND": "not_a_backend",
        "OMP_NUM_THREADS": "none",
        "A_PASSWORD": "secret",
    }
    careless = f"""
import os, warnings, matplotlib
warnings.warn("old", DeprecationWarning)
assert matplotlib.rcParams["font.size"] == 10
assert os.environ["OMP_NUM_THREADS"].isdecimal()
assert "A_PASSWORD" not in os.environ
{DOUBLE}"""
    nbformat.write(instead_of_double(careless), folder / "b.ipynb")
    nbformat.write(changed(small_notebook(), "a + b", "b - a"), folder / "c.ipynb")
    grade(folder, out, "-n", "1", *options, **variables)
    table = rows(out)
    assert [points(table[name]) for name in "abc"] == [FULL, FULL, [0, 0, 1]]
    reasons = [table[name]["reason"] for name in "abc"]
    assert reasons == ["", "", "code cell 3: AssertionError: not the sum"]


@pytest.mark.slow
def test_a_class_can_be_split_and_its_results_joined(three, tmp_path, monkeypatch):
    folder, out, options = three
    (folder / "c.ipynb").unlink()
    parts = [tmp_path / number for number in "123"]  # the last one has nothing to do
    for part in parts:
        call(monkeypatch, folder, "--out", part, "--part", f"{part.name}/3", "-n", 1, *options)
    call(monkeypatch, "--merge", *parts, "--out", out)
    assert {name: points(row) for name, row in rows(out).items()} == dict.fromkeys("ab", FULL)
    assert len(list(ET.parse(out / "grades.xml").getroot().iter("testcase"))) == 6
    assert sorted(file.stem for file in (out / "feedback").iterdir()) == ["a", "b"]
    with pytest.raises(SystemExit, match="in another part as well"):
        call(monkeypatch, "--merge", parts[0], parts[0], "--out", out)


@pytest.mark.slow
@pytest.mark.parametrize("programs", ["bwrap unshare", "unshare", ""])
def test_no_network_means_none_or_says_that_it_could_not(tmp_path, monkeypatch, programs):
    tools = tmp_path / "tools"
    tools.mkdir()
    for program in ["bash", "chmod", "du", "env", "rm", "true", *programs.split()]:
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
        result = grade(folder, out, *OPTIONS, "-n", "1")
    assert points(rows(out)["calls"]) == (WRONG_2 if programs else FULL)
    assert ("COULD NOT BE CUT OFF" in result.stderr) != bool(programs)


@pytest.mark.slow
def test_the_network_stays_reachable_without_the_option(three):
    folder, out, options = three
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = f"import socket\nsocket.create_connection({server.getsockname()!r}, timeout=5)"
        nbformat.write(instead_of_double(f"{call}\n{DOUBLE}"), folder / "calls.ipynb")
        grade(folder, out, "--part", "4/4", "-n", "1", *options[:-1])
    assert points(rows(out)["calls"]) == FULL


def test_bad_input_ends_with_one_sentence(tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, options, message in [
        (tmp_path / "none", [], "is neither a folder nor a whole zip: No such file"),
        (empty, [], "holds no"),
        (empty, ["--part", "3/2"], "--part must be like 2/10"),
        (empty, ["--assignment", "none.py"], "none.py is not a file"),
        (SMALL_ASSIGNMENT.parent, ["--gradebook", "no.csv"], r"no\.csv: No such file or directory"),
        (empty, ["--assignment", __file__], "must define NOTEBOOK and QUESTIONS"),
    ]:
        with pytest.raises(SystemExit, match=f"^error: .*{message}"):
            call(monkeypatch, folder, "--out", tmp_path / "out", *options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the arguments submissions --merge --rubric is required"),
        (["folder"], "--out is missing"),
        (["folder", "--out", "out", "--rubric"], "not allowed with argument submissions"),
        (["folder", "--out", "out", "-n", "0"], "-n must be at least 1, not 0"),
        (["folder", "--out", "out", "--due", "1.12."], "'1.12.' is not like 2026-12-01T23:59"),
    ],
)
def test_the_command_line_says_what_is_missing(arguments, message, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        call(monkeypatch, *arguments)
    assert message in capsys.readouterr().err


def test_cores_are_those_that_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, sorted(allowed)[:1])
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= available_cores() <= os.cpu_count()


def test_the_questions_are_printed_with_their_points(monkeypatch, capsys):
    call(monkeypatch, "--rubric")
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 12
    assert printed[:2] == ["points  step and question", "     1  1 Loaders and counts"]
    assert printed[-1] == "    10  together"


def test_every_step_of_the_notebook_has_its_terms():
    text = "\n".join(c.source for c in nbformat.read(NOTEBOOK, as_version=4).cells)
    steps = load_rubric().steps
    assert [step.points for step in steps] == [1, 2, 3, 2, 1, 1]
    assert all(f"## {step.number}. " in text for step in steps)


@pytest.mark.slow
def test_nbval_names_each_check():
    options = ["--nbval-lax", "--collect-only", "-q", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, str(NOTEBOOK)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text = "\n".join(c.source for c in nbformat.read(NOTEBOOK, as_version=4).cells)
    titles = re.findall(r"^## (\d)\. (.+)$", text, flags=re.MULTILINE)
    assert len(titles) == 6
    for number, title in titles:
        assert f"::Check {number}: {title}\n" in printed
