"""The benchmark scripts: each runs at a tiny size, chooses without test images, and resumes.

They run in this process, where torch is loaded already; what they start themselves does not.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

from tools.notebook import NOTEBOOK

import psutil
import pytest

sys.path.append(str(NOTEBOOK.parents[1] / "benchmarks"))

import accuracy
import busy
import search
import training
from measure import run_alone
from recipes import RECIPES

SCRIPTS = [
    path.stem
    for path in sorted((NOTEBOOK.parents[1] / "benchmarks").glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]
REFUSED = {
    "loader --share 0.02 --write": "error: --write",
    "grading --small --write": "error: --write",
    "accuracy --model further --write": "error: --write",
    "accuracy --set width=3": "'width' is not in a recipe",
    "accuracy --ladder --ablation": "not allowed with argument",
    "time_to_accuracy --goal 0.5 --write": "error: --write",
    "search --validation 0": "the test set is not searched",
}


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command, the script's name first; returns its exit status and what it printed."""

    def command(line, *more):
        name, *arguments = line.split()
        # --write sets it for the whole process; so it is put back
        monkeypatch.setenv("FASHION_MNIST_REQUIRED", os.environ.get("FASHION_MNIST_REQUIRED", "0"))
        monkeypatch.setattr(sys, "argv", [f"benchmarks/{name}.py", *arguments, *map(str, more)])
        status = 0
        try:
            import_module(name).main()
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return command


@pytest.fixture
def result(run):
    """Runs a command that succeeds; returns the JSON object in its last line."""

    def command(line, *more):
        ended = run(line, *more)
        assert ended.status == 0, ended.err
        return json.loads(ended.out.splitlines()[-1])

    return command


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_itself(run, script):
    shown = run(f"{script} --help")
    assert shown.status == 0
    assert "one JSON object" in shown.out
    assert f"python benchmarks/{script}.py" in shown.out


@pytest.mark.parametrize("command", REFUSED)
def test_what_cannot_be_measured_or_written_down_ends_with_one_sentence(run, command):
    refusal = run(command)
    assert refusal.status == 2
    assert REFUSED[command] in refusal.err


@pytest.mark.slow
def test_the_loader_is_compared_with_two_others(result):
    measured = result("loader --share 0.02 --repeats 2")
    assert len(measured["seconds"]) == 3
    assert measured["ratio"] > 1


@pytest.mark.slow
def test_training_is_compared_with_the_books_way(result, monkeypatch):
    assignment = training.load_definitions()
    assignment.num_epochs = 1
    monkeypatch.setattr(training, "load_definitions", lambda: assignment)
    monkeypatch.setattr(training, "PEAK_SIZE", 256)
    measured = result("training --share 0.02 --repeats 1")
    assert measured["ratio"] > 1
    assert 0 < measured["share_of_peak"] < 1
    assert all(len(values) == 1 for values in measured["accuracies"].values())


@pytest.mark.slow
def test_the_time_to_an_accuracy_is_compared_with_the_books_way(result):
    command = "time_to_accuracy --share 0.05 --repeats 1 --goal 0.3 --most-epochs 3"
    assert result(command)["0.3"]["ratio"] > 1


@pytest.mark.slow
def test_a_goal_that_the_books_way_does_not_reach_is_told_with_what_it_reaches(run):
    ended = run("time_to_accuracy --share 0.01 --repeats 1 --goal 0.99 --most-epochs 1")
    assert ended.status == 0
    assert "the book's way, seed 0: only" in ended.out
    ((goal, found),) = json.loads(ended.out.splitlines()[-1]).items()
    assert (goal, list(found["seconds"])) == ("0.99", ["ours"])
    assert "ratio" not in found


@pytest.mark.slow
def test_an_epoch_is_timed_alone_and_beside_a_busy_loop(result, monkeypatch):
    """The first epoch is timed; the others are told how long they took, and how they were run."""
    runs, run_alone, before = [], busy.run_alone, len(psutil.Process().children())

    def told(*command, environment):
        waiting = {name: environment.get(name) for name in busy.WAITING}
        company = len(psutil.Process().children()) - before
        first = run_alone(*command, environment=environment) if not runs else runs[0][2]
        runs.append((waiting, company, first))
        return {"seconds": first["seconds"] * len(runs)}

    monkeypatch.setattr(busy, "run_alone", told)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")  # nobody's settings are ours
    measured = result("busy --share 0.02 --repeats 1")
    names = ["ours", "as torch comes", "asleep at once"]
    assert list(measured["seconds"]) == names
    assert [company for _, company, _ in runs] == [0, 1] * 3
    spin, policy = (
        [waiting[name] for waiting, _, _ in runs[::2]]
        for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    )
    assert spin == [None, "300000", None]
    assert policy == [None, None, "passive"]
    assert measured["slowdown"] == pytest.approx(2)
    assert measured["cost"] == pytest.approx(1 / 3)


@pytest.mark.slow
def test_time_and_memory_are_drawn_over_the_number_of_images(result, tmp_path):
    picture = tmp_path / "scaling.png"
    command = "scaling --shares 0.01 0.05 --threads 1 --repeats 1 --picture"
    measured = result(command, picture)
    assert measured["exponents"].keys() == {"1"}
    assert [point["images"] for point in measured["curves"]["1"]] == [600, 3000]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def few_images(monkeypatch):
    """Lets the scripts that choose train on 2,000 images, and measure on 500."""
    load = accuracy.load_fashion_mnist

    def load_few(*arguments):
        loaders = load(*arguments)
        for loader, count in zip(loaders, (2000, 500), strict=True):
            loader.images, loader.labels = loader.images[:count], loader.labels[:count]
        return loaders

    for script in (accuracy, search):
        monkeypatch.setattr(script, "load_fashion_mnist", load_few)


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
def test_accuracies_are_kept_so_that_a_command_goes_on_where_it_was(result, tmp_path):
    command = "accuracy --model further --validation 10000 --set dims=4,6,8 hidden=8,8,8 --results"
    first = result(command, tmp_path / "runs.jsonl", "--seeds", "0")
    both = result(command, tmp_path / "runs.jsonl", "--seeds", "0", "1")
    assert both["accuracies"][0] == first["accuracies"][0]
    assert len(both["accuracies"]) == len((tmp_path / "runs.jsonl").read_text().splitlines()) == 2
    assert both["std"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize("model", ["assignment", "further"])
def test_an_interrupted_run_goes_on_after_its_last_epoch(run, result, monkeypatch, model, tmp_path):
    """As if nothing had happened: weights, averages, optimisers and random numbers are kept."""
    sizes = "dims=4,6,8 hidden=8,8,8" if model == "further" else "dim=16"
    command = f"accuracy --model {model} --validation 10000 --seeds 5 --set {sizes} --results"
    add_step, losses = accuracy.WatchedHistory.add_step, []

    def noted(history, loss, *more):
        losses.append(loss.item())
        add_step(history, loss, *more)

    monkeypatch.setattr(accuracy.WatchedHistory, "add_step", noted)
    whole = result(command, tmp_path / "whole" / "runs.jsonl")
    expected = losses.copy()

    def interrupted(history, *step):
        if len(history) == 1:  # one epoch further than it was
            raise KeyboardInterrupt
        add_step(history, *step)

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(accuracy.WatchedHistory, "add_step", interrupted)
            assert run(command, tmp_path / "parts" / "runs.jsonl").status == 130
    losses.clear()
    parts = result(command, tmp_path / "parts" / "runs.jsonl")
    steps = 3 * -(-2000 // RECIPES[model].batch_size)  # three of five epochs
    assert losses == expected[-steps:]
    assert (parts["last"], parts["epochs"]) == (whole["last"], whole["epochs"])
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["runs.jsonl"]


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize(
    ("model", "times"),
    [("further", 1), ("assignment", 6)],  # the last weights, and five averages
)
def test_the_test_images_are_read_only_when_the_training_is_done(
    result, monkeypatch, model, times, tmp_path
):
    events, evaluate, train = [], accuracy.evaluate, accuracy.ASSIGNMENT.train

    def noted(model, data):
        events.append(data.num_images)
        return evaluate(model, data)

    def trained(model, average, train_data, test_data, *more):
        assert test_data is None
        train(model, average, train_data, test_data, *more)
        events.append("trained")

    monkeypatch.setattr(accuracy, "evaluate", noted)
    monkeypatch.setattr(accuracy.ASSIGNMENT, "train", trained)
    sizes = "dims=4,6,8 hidden=8,8,8" if model == "further" else "dim=16"
    result(f"accuracy --model {model} --seeds 0 1 --set {sizes} --results", tmp_path / "runs")
    assert events == ["trained", *[500] * times] * 2


@pytest.fixture
def summaries():
    """What the models of a short ladder cost and reach; the second is beaten by the first."""
    rungs = {"assignment": (8, 0.88), "schedule": (9, 0.87), "further": (90, 0.92)}
    return [
        {"model": name, "training": seconds, "mean": mean, "parameters": 1234, "multiply_adds": 5e6}
        | {"accuracies": [mean - 0.002, mean + 0.002]}
        for name, (seconds, mean) in rungs.items()
    ]


def test_the_ladder_is_drawn_and_tabled_with_its_pareto_front(summaries, monkeypatch, tmp_path):
    monkeypatch.setattr(accuracy, "PICTURE", tmp_path / "ladder.png")
    front = accuracy.pareto_front(summaries[::-1])
    assert [summary["model"] for summary in front] == ["assignment", "further"]
    accuracy.draw_ladder(summaries)
    assert (tmp_path / "ladder.png").read_bytes().startswith(b"\x89PNG")
    row = accuracy.ladder_table(summaries).splitlines()[4]
    assert row.startswith("| 3 | `further` | every second MLP on shifted windows")
    assert row.endswith("| 1,234 | 5.00 M | 90 | 92.00 ± 0.28 % |")


def test_the_ablation_tells_what_each_ingredient_is_worth(summaries):
    lines = accuracy.ablation_table([summaries[2], summaries[0] | {"model": "no-flip"}])
    assert lines.splitlines()[2:4] == [
        "| whole | 92.00 ± 0.28 % | |",
        "| no image mirrored | 88.00 ± 0.28 % | -4.00 |",
    ]


def test_the_time_of_a_training_is_told_from_its_median_epoch_of_a_few_steps(monkeypatch):
    def train(model, average, data, test_data, loss_function, optimizer, history):
        history.seconds = [9, 2, 4, 3]  # the first warms up
        assert (len(data), data.num_images) == (20, 20 * recipe.batch_size)
        assert accuracy.torch.get_num_threads() == accuracy.os.cpu_count()

    monkeypatch.setattr(accuracy.ASSIGNMENT, "train", train)
    data, _ = accuracy.load_fashion_mnist(512)
    recipe, before = RECIPES["further"], accuracy.torch.get_num_threads()
    steps = recipe.num_epochs * -(-data.num_images // recipe.batch_size)
    assert accuracy.training_seconds(recipe, data) == pytest.approx(steps * 3 / 20)
    assert accuracy.torch.get_num_threads() == before


@pytest.mark.slow
def test_the_same_seed_gives_the_same_accuracies_in_another_process(result, tmp_path):
    """Each with results of its own to keep, so that the second has to train as well."""
    command = "accuracy --validation 50000 --seeds 3 --set num_epochs=1 --results"
    here = result(command, tmp_path / "here")
    script, *options = command.split()
    file = str(Path(accuracy.__file__).with_name(f"{script}.py"))
    there = run_alone(file, *options, str(tmp_path / "there"))
    assert here["epochs"] == there["epochs"]
    assert here["last"] == there["last"]


@pytest.fixture(scope="module")
def watched():
    """The names of all files opened from now on; a hook of Python's that notes them stays."""
    names = set()
    sys.addaudithook(lambda event, args: event == "open" and names.add(str(args[0])))
    return names


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("mean", "accuracy --validation 10000 --seeds 0 --results"),
        ("accuracy", "search --validation 10000 --epochs 1 --trials 2 --storage"),
    ],
    ids=["accuracy", "search"],
)
def test_choosing_never_opens_the_test_files(result, watched, key, command, tmp_path):
    watched.clear()
    chosen = result(command, tmp_path / "kept")
    assert chosen[key] > 0.1
    assert str(tmp_path / "kept") in watched
    assert [name for name in watched if "t10k" in name] == []


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
def test_a_look_at_the_test_files_would_be_noticed(run, watched, tmp_path):
    """Or the test above could not fail. The stand-in has no files to open."""
    watched.clear()
    measured = run("accuracy --seeds 0 --set num_epochs=1 --results", tmp_path / "kept")
    assert measured.status == 0
    if "stand-in" in measured.out:
        pytest.skip("needs the real data")
    assert [name for name in watched if "t10k" in name]
