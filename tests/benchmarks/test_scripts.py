"""The benchmark scripts: each runs at a tiny size, chooses without test images, and resumes."""

import json
import os
import subprocess
import sys

from tools.notebook import NOTEBOOK

import pytest

ROOT = NOTEBOOK.parents[1]
# Run a script with every opened file watched: those of the test set may not be among them.
GUARD = """
import runpy, sys
sys.addaudithook(lambda event, args: event == "open" and "t10k" in str(args[0])
                 and sys.exit(f"opened {args[0]}"))
sys.argv = sys.argv[1:]
sys.path.insert(0, "benchmarks")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*command, **options):
    """Run a command of this Python in the repository and return its process."""
    environment = os.environ | {"MPLBACKEND": "agg"}
    command = [sys.executable, *map(str, command)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, **options
    )


def result(*command):
    """The JSON object in the last line that a successful command prints."""
    process = run(*command)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


# Command lines that end before anything is measured, each in turn in one process: torch loads once.
ASK = """
import contextlib, io, json, runpy, sys
sys.path.insert(0, "benchmarks")
answers = {}
for command in json.loads(sys.argv[1]):
    sys.argv, status, out, err = command.split(), None, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            status = end.code
    answers[command] = status, out.getvalue(), err.getvalue()
print(json.dumps(answers))
"""
SCRIPTS = [
    f"benchmarks/{path.name}"
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]
REFUSED = {
    "benchmarks/loader.py --share 0.02 --write": "error: --write",
    "benchmarks/grading.py --small --write": "error: --write",
    "benchmarks/accuracy.py --model further --write": "error: --write",
    "benchmarks/accuracy.py --set width=3": "'width' is not in a recipe",
    "benchmarks/search.py --validation 0": "the test set is not searched",
}


@pytest.fixture(scope="module")
def answers():
    """Of each command line: its exit status, what it printed, and what it complained about."""
    commands = [f"{script} --help" for script in SCRIPTS] + list(REFUSED)
    return result("-c", ASK, json.dumps(commands))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_itself(answers, script):
    status, help_text, _ = answers[f"{script} --help"]
    assert status == 0
    assert "one JSON object" in help_text
    assert f"python {script}" in help_text


@pytest.mark.parametrize("command", REFUSED)
def test_what_cannot_be_measured_or_written_down_ends_with_one_sentence(answers, command):
    status, _, complaint = answers[command]
    assert status == 2
    assert REFUSED[command] in complaint


@pytest.mark.slow
def test_the_loader_is_compared_with_two_others():
    measured = result("benchmarks/loader.py", "--share", "0.02", "--repeats", "2")
    assert len(measured["seconds"]) == 3
    assert measured["ratio"] > 1


@pytest.mark.slow
def test_training_is_compared_with_the_books_way():
    measured = result("benchmarks/training.py", "--share", "0.02", "--repeats", "1")
    assert measured["ratio"] > 1
    assert 0 < measured["share_of_peak"] < 1
    assert all(len(values) == 1 for values in measured["accuracies"].values())


@pytest.mark.slow
def test_the_time_to_an_accuracy_is_compared_with_the_books_way():
    options = ("--share", "0.05", "--repeats", "1", "--goal", "0.3", "--most-epochs", "3")
    assert result("benchmarks/time_to_accuracy.py", *options)["ratio"] > 1


@pytest.mark.slow
def test_an_epoch_is_timed_alone_and_beside_a_busy_loop():
    measured = result("benchmarks/busy.py", "--share", "0.02", "--repeats", "1")
    assert list(measured["seconds"]) == ["ours", "as torch comes", "asleep at once"]
    assert all(len(both) == 2 for both in measured["seconds"].values())
    ours = measured["seconds"]["ours"]
    assert measured["slowdown"] == ours["beside a busy loop"][0] / ours["alone"][0]


@pytest.mark.slow
def test_time_and_memory_are_drawn_over_the_number_of_images(tmp_path):
    picture = tmp_path / "scaling.png"
    options = ("--shares", "0.01", "0.05", "--threads", "1", "--repeats", "1")
    measured = result("benchmarks/scaling.py", *options, "--picture", picture)
    assert measured["exponents"].keys() == {"1"}
    assert [point["images"] for point in measured["curves"]["1"]] == [600, 3000]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_accuracies_are_kept_so_that_a_command_goes_on_where_it_was(tmp_path):
    command = ["benchmarks/accuracy.py", "--model", "further", "--validation", "58000"]
    command += ["--set", "dim=24", "depth=1", "--results", tmp_path / "runs.jsonl"]
    first = result(*command, "--seeds", "0")
    both = result(*command, "--seeds", "0", "1")
    assert both["accuracies"][0] == first["accuracies"][0]
    assert len(both["accuracies"]) == len((tmp_path / "runs.jsonl").read_text().splitlines()) == 2
    assert both["std"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("mean", "benchmarks/accuracy.py --validation 59000 --seeds 0 --results"),
        ("accuracy", "benchmarks/search.py --validation 59000 --epochs 1 --trials 2 --storage"),
    ],
    ids=["accuracy", "search"],
)
def test_choosing_never_opens_the_test_files(key, command, tmp_path):
    chosen = result("-c", GUARD, *command.split(), tmp_path / "kept")
    assert chosen[key] > 0.1


@pytest.mark.slow
def test_the_guard_notices_test_files_that_are_opened(tmp_path):
    """Or the test above could not fail. The stand-in has no files to open."""
    command = ("benchmarks/accuracy.py", "--seeds", "0", "--set", "num_epochs=1", "--results")
    process = run("-c", GUARD, *command, tmp_path / "kept")
    if "stand-in" in process.stdout:
        pytest.skip("needs the real data")
    assert process.returncode != 0
    assert "t10k" in process.stderr
