"""The records: each script learns, judges last, and says what it reached; the table shows it."""

import json
import sys
from importlib import import_module

from benchmarks import measure
from benchmarks.records import record
from utils.data import BatchLoader

import pytest
import torch

NAMES = sorted(record.GOALS)


@pytest.fixture
def data():
    """Two loaders of images that are easy to tell apart: a white band, as high up as the class."""
    labels = torch.arange(10).repeat(60)
    images = torch.zeros(600, 28, 28, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[2 * label : 2 * label + 6] = 255
    loader = BatchLoader(images, labels, 512, mean=0.29, std=0.35)
    return loader, loader


@pytest.fixture
def run(monkeypatch, capsys, data, tmp_path):
    """Runs `measure` with a record's arguments on few images; its result and the loader's calls."""
    calls = []

    def load(*arguments, **named):
        calls.append(named)
        return data

    monkeypatch.setattr(record, "load_fashion_mnist", load)
    for name in ("RUNS", "TRIED", "PICTURE"):
        monkeypatch.setattr(record, name, tmp_path / f"{name}.png")
    monkeypatch.setattr(measure, "README", tmp_path / "README.md")
    measure.README.write_text("before\n<!-- records -->\nold\n<!-- end of records -->\nafter\n")
    monkeypatch.setattr(measure, "commit", lambda: "abc1234")
    monkeypatch.setenv("FASHION_MNIST_REQUIRED", "0")

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["benchmarks/records/ninety.py", *arguments])
        answer = torch.eye(10)[[0] * 500]
        record.measure(0.9, lambda *_: None, lambda _, images: answer[: len(images)])
        return json.loads(capsys.readouterr().out.splitlines()[-1]), calls

    return command


@pytest.mark.parametrize("name", NAMES)
def test_a_record_learns_what_is_easy(name, data, monkeypatch):
    script = import_module(f"benchmarks.records.{name}")
    monkeypatch.setattr(script, "num_epochs", 4)
    monkeypatch.setattr(script, "batch_size", 100)
    monkeypatch.setattr(script, "grids", [(0, 0), (3, 1)], raising=False)
    torch.manual_seed(0)
    network = script.train(data[0].images, data[0].labels)
    logits = script.answer(network, data[0].images)
    assert logits.shape == (600, 10)
    assert (logits.argmax(dim=1) == data[0].labels).float().mean() > 0.9


def test_a_record_does_without_bfloat16(data, monkeypatch):
    script = import_module("benchmarks.records.ninety")
    monkeypatch.setattr(script, "BFLOAT16", False)
    monkeypatch.setattr(script, "dtype", torch.float32)
    network = script.train(data[0].images, data[0].labels)
    assert script.answer(network, data[0].images[:2]).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_one_page(name):
    assert len(record.RUNS.with_name(f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_last_line_gives_means_and_all_accuracies(run):
    result, _ = run("--seeds", "1", "2", "3")
    assert set(result) == {"goal", "seconds", "units", "accuracies"}
    assert result["accuracies"] == [0.1, 0.1, 0.1]  # the answer is always the first class


def test_choosing_holds_images_out_and_keeps_apart(run):
    _, calls = run("--validation", "10000", "--write")
    assert calls == [{"validation": 10000}]
    assert not record.RUNS.exists()
    kept = json.loads(record.TRIED.read_text(encoding="utf-8"))
    assert kept["seed"] == 9001


def test_kept_runs_say_what_decides_them(run):
    run("--write")
    kept = json.loads(record.RUNS.read_text(encoding="utf-8"))
    told = {"record", "seed", "accuracy", "seconds", "units", "cpu_units", "bfloat16"}
    assert kept.keys() >= told | measure.facts().keys()


def test_runs_of_changed_code_are_not_kept(run, monkeypatch, capsys):
    monkeypatch.setattr(measure, "commit", lambda: "abc1234+")
    with pytest.raises(SystemExit):
        run("--write")
    assert "--write names a commit" in capsys.readouterr().err
    assert not record.RUNS.exists()


def test_the_table_shows_the_newest_runs_between_its_marks(run):
    older = {"record": "ninety", "commit": "old", "seed": 1}
    record.RUNS.write_text(f"{json.dumps(older)}\n")
    run("--write", "--seeds", "2", "3")
    page = measure.README.read_text(encoding="utf-8")
    assert "| 10.00 % (10.00 %) | 2 | abc1234 |" in page
    assert "Measured: seeds 2, 3;" in page
    assert "old" not in page
    assert page.startswith("before")
    assert page.endswith("after\n")
    assert record.PICTURE.stat().st_size > 0


@pytest.mark.parametrize(
    ("threads", "shown"), [(1, "| 7.00 |  |  |"), (2, "| 7.00 | **3.00** | 9.0 |")]
)
def test_wall_time_is_shown_of_runs_that_had_all_cores(threads, shown):
    run = {"cpu_units": 7, "units": 3, "seconds": 9, "accuracy": 0.9, "threads": threads}
    assert shown in f"| {' | '.join(record.row('ninety', [run | {'commit': 'abc'}]))} |"
