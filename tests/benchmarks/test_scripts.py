"""The benchmarks: what a run's key holds, what is refused and written, and that each script runs.

They run in this process, where torch is loaded already; what they start themselves does not.
"""

import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

from benchmarks import accuracy, book, epoch, measure, runs, search
from benchmarks.variants import LADDER

import psutil
import pytest
import torch

SCRIPTS = ["accuracy", "book", "epoch", "grading", "search"]
REFUSED = {
    "book --share 0.02 --write": "--write needs the whole data set",
    "grading --small --write": "--write needs the whole data set and the real assignment",
    "accuracy --model shift --write": "--write reports the assignment or --ingredients",
    'search --set {"width":3}': "width=3 is not a setting; there are patch_size, dim",
    'search --set {"dim":1.5}': "dim=1.5 should be like 128",
    "search --set dim": "invalid settings value: 'dim'",
}
FACTS = {"date": "2026-11-29", "commit": "abc1234", "processor": "P, 2 cores", "device": "cpu"}
FACTS |= {"threads": 2, "versions": "torch 1"}


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command, the script's name first: its exit status and what it printed."""

    def command(line):
        name, *arguments = line.split()
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        monkeypatch.setenv("FASHION_MNIST_REQUIRED", "0")  # put back, for --write sets it
        status = 0
        try:
            import_module(f"benchmarks.{name}").main()
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=" ".join(err.split()))

    return command


@pytest.fixture
def result(run):
    """Runs a command that succeeds; returns the JSON object in its last line."""
    return lambda line: json.loads(run(line).out.splitlines()[-1])


@pytest.fixture
def page(monkeypatch, tmp_path):
    """The benchmarks' page, in a copy of the pages that are written."""
    for name in ("README.md", "benchmarks/README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((measure.ROOT / name).read_text(encoding="utf-8"))
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    monkeypatch.setattr(measure, "README", tmp_path / "benchmarks" / "README.md")
    return tmp_path / "benchmarks" / "README.md"


def between(page, name):
    """The lines that a page shows between the markers of a table."""
    text = page.read_text(encoding="utf-8")
    return text.partition(f"<!-- {name} -->\n")[2].partition("<!-- end")[0].splitlines()


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_itself(run, script):
    shown = run(f"{script} --help")
    assert shown.status == 0
    assert "one JSON object" in shown.out
    assert f"python -m benchmarks.{script}" in shown.out


@pytest.mark.parametrize("command", REFUSED)
def test_what_cannot_be_measured_or_written_down_ends_with_one_sentence(run, monkeypatch, command):
    monkeypatch.setattr(measure, "commit", lambda: "abc1234")
    refusal = run(command)
    assert refusal.status == 2
    assert REFUSED[command] in refusal.err


@pytest.mark.parametrize("script", SCRIPTS)
def test_nothing_is_written_of_code_that_no_commit_has(run, monkeypatch, script):
    for state in ("abc1234+", "unknown"):
        monkeypatch.setattr(measure, "commit", lambda state=state: state)
        refusal = run(f"{script} --write")
        assert refusal.status == 2
        assert "--write names a commit: commit or stash what `git status` shows" in refusal.err


def test_a_tree_has_changes_if_code_differs_but_not_pages_pictures_and_runs(monkeypatch, tmp_path):
    def git(*command):
        options = ["-c", "user.name=T", "-c", "user.email=t@localhost"]
        subprocess.run(["git", *options, *command], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(measure, "ROOT", tmp_path)
    commit = measure.commit.__wrapped__  # without its memory
    git("init")
    for name in ("model.py", "README.md", "runs.jsonl", "picture.png"):
        (tmp_path / name).write_text("old")
    git("add", ".")
    git("commit", "--message", "all")
    for name in ("README.md", "runs.jsonl", "picture.png"):
        (tmp_path / name).write_text("new")
    clean = commit()
    assert not clean.endswith("+")
    (tmp_path / "model.py").write_text("new")
    assert commit() == f"{clean}+"


def test_a_caption_is_what_the_runs_say_not_what_this_machine_is():
    assert measure.caption([FACTS | {"seed": seed} for seed in (2, 0, 1)]) == (
        "Measured: seeds 0 to 2; 2026-11-29; commit abc1234; P, 2 cores; cpu; threads: 2; torch 1."
    )
    other = FACTS | {"processor": "Q, 4 cores", "threads": 4}
    two = measure.caption([FACTS, other])
    assert "P, 2 cores and Q, 4 cores" in two
    assert "threads: 2 and 4" in two


def test_comments_docstrings_and_layout_are_no_part_of_a_key():
    plain = "def f(x):\n    return x + 1\n"
    told = '"""Module."""\ndef f(x):  # why\n    """What."""\n\n    return (x +\n            1)\n'
    assert runs.normalised(told) == runs.normalised(plain)
    assert runs.normalised(plain.replace("1", "2")) != runs.normalised(plain)


@pytest.fixture
def key(monkeypatch, loaders, tmp_path):
    """The key of a run that is not trained."""
    monkeypatch.setattr(runs, "train", lambda *_: {"accuracy": 0.5})

    def key(variant=LADDER["assignment"], seed=0):
        return runs.kept_run("any", variant, seed, loaders, tmp_path / "runs.jsonl")["key"]

    return key


def test_all_that_decides_a_run_is_in_its_key(key, monkeypatch):
    variant, facts = LADDER["assignment"], measure.facts()
    keys = [key(), key(seed=1), key(replace(variant, batch_size=8)), key(LADDER["shift"])]
    keys += [key(replace(variant, num_epochs=1)), key(variant.changed({"dim": 8}))]
    for changed in ({"processor": "other"}, {"threads": 99}, {"device": "other"}):
        monkeypatch.setattr(runs, "facts", lambda _, changed=changed: facts | changed)
        keys.append(key())
    monkeypatch.setattr(runs, "facts", lambda _: facts)
    assert key() == keys[0]
    monkeypatch.setattr(runs.torch, "__version__", "other")
    keys.append(key())
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("addition", "is_same"), [("\n# why\n", True), ("\nmore = 1\n", False)])
def test_changed_code_changes_the_key_and_a_comment_does_not(key, monkeypatch, addition, is_same):
    before, variant = key(), LADDER["assignment"]
    for part in ("class PatchMLP", "def make_assignment", "class BatchLoader", "class History"):
        sources = [*variant.sources(), *runs.SOURCES]
        changed = [source + addition * (part in source) for source in sources]
        assert changed != sources
        with monkeypatch.context() as patch:
            patch.setattr(runs, "SOURCES", changed[len(variant.sources()) :])
            patch.setattr(type(variant), "sources", lambda _, own=changed[:2]: own)
            assert (key() == before) == is_same


@pytest.fixture
def few_images(monkeypatch, tmp_path):
    """Lets scripts train on 2,000 images and measure 500, and keep their runs in a new folder."""
    load = accuracy.load_fashion_mnist

    def load_few(*arguments):
        loaders = load(*arguments)
        for loader, count in zip(loaders, (2000, 500), strict=True):
            loader.images, loader.labels = loader.images[:count], loader.labels[:count]
        return loaders

    for script in (accuracy, search):
        monkeypatch.setattr(script, "load_fashion_mnist", load_few)
        monkeypatch.setattr(script, "ROOT", tmp_path)
    return tmp_path / "build"


@pytest.mark.slow
def test_runs_are_kept_with_their_facts_so_that_a_command_goes_on_where_it_was(result, few_images):
    first = result("accuracy --seeds 0")
    both = result("accuracy --seeds 0 1")
    lines = (few_images / "accuracy.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert both["assignment"][0] == first["assignment"][0]
    kept = json.loads(lines[0])
    assert FACTS.keys() | {"key", "seed", "settings", "last", "epochs", "losses"} <= kept.keys()
    assert len(kept["epochs"]) == len(kept["losses"]) == 5


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize(("model", "times"), [("shift", 1), ("assignment", 6)])
def test_the_test_images_are_read_only_when_the_training_is_done(result, monkeypatch, model, times):
    """Then once for the last weights, and once for each of five averages."""
    events, evaluate, train = [], runs.evaluate, runs.ASSIGNMENT.train

    def noted(model, data):
        events.append(data.num_images)
        return evaluate(model, data)

    def trained(model, average, train_data, test_data, *more):
        assert test_data is None
        train(model, average, train_data, test_data, *more)
        events.append("trained")

    monkeypatch.setattr(runs, "evaluate", noted)
    monkeypatch.setattr(runs.ASSIGNMENT, "train", trained)
    result(f"accuracy --model {model} --seeds 0")
    assert events == ["trained", *[500] * times]


@pytest.fixture(scope="module")
def watched():
    """The names of all files opened from now on; a hook of Python's that notes them stays."""
    names = set()
    sys.addaudithook(lambda event, args: event == "open" and names.add(str(args[0])))
    return names


@pytest.mark.slow
def test_choosing_never_opens_the_test_files(run, watched, few_images):
    watched.clear()
    ended = run('search --seeds 1 --set {"dim":8}')
    assert list(json.loads(ended.out.splitlines()[-1])) == ["assignment", 'assignment {"dim": 8}']
    assert str(few_images / "tried.jsonl") in watched
    assert [name for name in watched if "t10k" in name] == []
    watched.clear()  # a look at them would be noticed; the stand-in has no files to open
    run("accuracy --seeds 0")
    opened = [name for name in watched if "train-images" in name]
    assert bool(opened) == any("t10k" in name for name in watched)


def test_the_assignments_table_is_made_from_the_runs(page):
    made = [
        FACTS | {"seed": 0, "accuracy": 0.88, "last": 0.86, "epochs": [0.8, 0.88]},
        FACTS | {"seed": 1, "accuracy": 0.89, "last": 0.87, "epochs": [0.9, 0.89]},
    ]
    accuracy.write_accuracy(made)
    _, _, averaged, last, _, rises, caption = between(page.parents[1] / "README.md", "accuracy")
    assert averaged.endswith("| 88.50 ± 0.71 % | 88.00 to 89.00 % |")
    assert last.endswith("| 86.50 ± 0.71 % | 86.00 to 87.00 % |")
    assert rises.endswith("rose at every epoch in 1 of 2 runs.")
    assert caption == measure.caption(made)


def test_an_ingredients_worth_is_told_added_and_taken_away(page, loaders):
    names = [*LADDER, "without mirror"]
    made = {name: [FACTS | {"accuracy": 0.9 + 0.01 * n}] for n, name in enumerate(names)}
    accuracy.write_ingredients(made, loaders[0])
    lines = between(page, "ingredients")
    assert len(lines) == 2 + len(LADDER) + 2
    assert lines[5].startswith("| `mirror`: half of the images mirrored")
    assert lines[5].endswith("| 93.00 % | +2.00 |")  # 99 % without, 97 % with
    assert lines[10].startswith("| `largest`: wider, two blocks a stage")
    assert "| 2,480,794 | 24.83 M |" in lines[10]


def test_what_was_tried_is_a_line_for_every_choice(page):
    settings = LADDER["assignment"].settings
    tried = [
        FACTS | {"model": "assignment", "settings": settings | changed, "accuracy": reached}
        for changed, reached in [({}, 0.88), ({"patch_size": 7}, 0.86), ({"patch_size": 28}, 0.87)]
    ]
    search.write_tried([*tried, {"model": "assignment", "accuracy": 0.1}])
    assert between(page, "tried")[2:3] == [
        "| `patch_size` | **14**: 88.00 %; 7: 86.00 %; 28: 87.00 % |"
    ]


def test_a_run_that_never_gets_there_counts_with_its_whole_time(page):
    missed, reached = [(2.0, 0.8)] * 6, [(1.0, 0.8), (1.0, 0.9), (1.0, 0.9)]
    assert book.way_to_goal(reached) == (2.0, True)
    assert book.way_to_goal(missed) == (12.0, False)
    made = {book.OURS: [reached], book.BOOK: [missed], book.MUON: [reached[1:]]}
    whole = {name: [sum(s for s, _ in run[:5]) for run in each] for name, each in made.items()}
    book.write_training(made, whole, 3.3, "Measured.")
    lines = between(page, "training")
    assert lines[3] == "| the book's way | 10 (10 to 10) | 80.00 % | 12 (12 to 12) | 1 |"
    assert "takes 3.30 times as long" in lines[6]
    assert "to 86.31 % 6.0 times in the mean, and 12.0 times as long as" in lines[6]


def test_the_books_way_multiplies_as_torch_comes_and_ours_does_not(monkeypatch):
    seen, choice = [], torch.get_float32_matmul_precision()
    noted = lambda *_: seen.append(torch.get_float32_matmul_precision())  # noqa: E731
    monkeypatch.setattr(book, "BookNet", noted)
    with pytest.raises(AttributeError):  # of a network that is none
        book.by_the_book(None, None, None, 0, 5)
    with measure.as_torch_comes():
        noted()
    noted()
    assert seen == ["highest", "highest", choice]


@pytest.mark.slow
def test_loading_and_training_are_compared_with_the_books_way(result, page):
    measured = result("book --share 0.01 --rounds 1 --most-epochs 6")
    assert len(measured["loading"]) == 3
    assert [len(run[0]) for run in measured["training"].values()] == [5, 5, 6, 1]
    book.write_loading(measured["loading"], "Measured.")
    assert between(page, "loading")[2].startswith("| ours |")


def test_an_epoch_is_timed_alone_and_beside_a_busy_loop_however_threads_wait(result, monkeypatch):
    point, before, ways = epoch.point(0.01), len(psutil.Process().children()), set()

    def noted(*command, environment=None):
        if environment is None:
            return 0  # the idle interpreter
        waiting = [environment.get(name) for name in (*epoch.WAITING, "OMP_NUM_THREADS")]
        ways.add((*waiting, len(psutil.Process().children()) - before))
        return point

    monkeypatch.setattr(measure, "run_alone", noted)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")  # nobody's settings are ours
    assert result("epoch --share 0.04 --rounds 1")["slowdown"] == 1
    cores = str(epoch.CORES)
    assert {(None, None, "1", 0), (None, None, cores, 0), (None, None, cores, 1)} <= ways
    assert {("300000", None, cores, 1), (None, "passive", cores, 1)} <= ways
    assert (point["images"], point["commit"]) == (600, measure.commit())


def test_an_epochs_time_and_memory_are_a_row_for_every_point(page):
    point = FACTS | {"images": 15000, "peak": 300 * epoch.MIB}
    points = {
        ("ours", 1, 0.25, False): [point | {"seconds": 1.0}, point | {"seconds": 2.0}],
        ("asleep at once", 2, 1.0, True): [point | {"seconds": 4.0}],
    }
    epoch.write_epoch(points, 100 * epoch.MIB, 1.0, 2.0)
    assert between(page, "epoch")[2:4] == [
        "| ours | 1 | 15,000 |  | 1.5 (1 to 2) | 200 |",
        "| asleep at once | 2 | 15,000 | yes | 4 (4 to 4) | 200 |",
    ]


@pytest.mark.slow
def test_a_class_is_graded_at_a_tiny_size(result):
    measured = result("grading --small --honest 1 --hostile 1 --cell-seconds 2")
    assert measured["wrong"] == 0
    assert [run[:3] for run in measured["runs"]] == [[1, 0, 1], [1, 0, 2], [1, 1, 2]]
