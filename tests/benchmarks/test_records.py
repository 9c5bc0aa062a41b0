"""The records: each script learns, judges last, and says what it reached; the table shows it."""

import json
import sys
from importlib import import_module
from pathlib import Path

from utils.data import BatchLoader

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "records"))

import record
import table

NAMES = sorted(table.GOALS)


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
    monkeypatch.setattr(record, "RUNS", tmp_path / "runs.jsonl")
    monkeypatch.setattr(record, "TRIED", tmp_path / "tried.jsonl")
    monkeypatch.setattr(record, "changes", lambda: "")
    monkeypatch.setenv("FASHION_MNIST_REQUIRED", "0")

    def command(*arguments, train=lambda images, labels: None):
        monkeypatch.setattr(sys, "argv", ["benchmarks/records/ninety.py", *arguments])
        record.measure(0.9, train, lambda network, images: torch.eye(10)[[0] * len(images)])
        return json.loads(capsys.readouterr().out.splitlines()[-1]), calls

    return command


@pytest.mark.parametrize("name", NAMES)
def test_a_record_learns_what_is_easy(name, data, monkeypatch):
    script = import_module(name)
    monkeypatch.setattr(script, "num_epochs", 4)
    monkeypatch.setattr(script, "batch_size", 100)
    torch.manual_seed(0)
    network = script.train(data[0].images, data[0].labels)
    logits = script.answer(network, data[0].images)
    assert logits.shape == (600, 10)
    assert (logits.argmax(dim=1) == data[0].labels).float().mean() > 0.9


def test_a_record_does_without_bfloat16(data, monkeypatch):
    script = import_module("ninety")
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
    _, calls = run("--validation", "10000", "--keep")
    assert calls == [{"validation": 10000}]
    assert not record.RUNS.exists()
    kept = json.loads(record.TRIED.read_text(encoding="utf-8"))
    assert kept["seed"] == 9001


def test_kept_runs_say_what_decides_them(run):
    run("--keep")
    kept = json.loads(record.RUNS.read_text(encoding="utf-8"))
    assert kept.keys() >= {"record", "seed", "accuracy", "seconds", "units", "cores", *table.SAME}


def test_runs_of_changed_code_are_not_kept(run, monkeypatch, capsys):
    monkeypatch.setattr(record, "changes", lambda: "M utils/data.py")
    with pytest.raises(SystemExit):
        run("--keep")
    assert "the code differs from it: M utils/data.py" in capsys.readouterr().err


def test_the_table_shows_the_newest_runs_between_its_marks(monkeypatch, tmp_path):
    run = dict.fromkeys(table.SAME, 1) | {"record": "ninety", "seconds": 9.0, "units": 0.9}
    older = run | {"commit": "old", "seed": 1, "accuracy": 0.5}
    newer = [run | {"commit": "new", "seed": seed, "accuracy": 0.9} for seed in (2, 3)]
    for name in ("runs.jsonl", "README.md"):
        monkeypatch.setattr(table, name.split(".")[0].upper(), tmp_path / name)
    monkeypatch.setattr(table, "PICTURE", tmp_path / "records.png")
    table.RUNS.write_text("\n".join(map(json.dumps, [older, *newer])), encoding="utf-8")
    table.README.write_text(f"before\n{table.START}\nold\n{table.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["table.py", "--write"])
    table.main()
    page = table.README.read_text(encoding="utf-8")
    assert "2 to 3 (2) | new" in page
    assert "old" not in page
    assert page.startswith("before")
    assert page.endswith("after\n")
    assert table.PICTURE.stat().st_size > 0
