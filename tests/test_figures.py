"""The figures can be drawn from what the notebook hands them, partial runs included."""

import io

import matplotlib as mpl
import pytest
import torch

mpl.use("Agg")

from utils import figures
from utils.training import History

NAMES = [f"class {number}" for number in range(10)]


def history(epochs, source="Fashion-MNIST"):
    values = [0.7 + 0.01 * epoch for epoch in range(epochs)]
    return History(5, source, [0.5] * 4 * epochs, values, values, values, values)


def texts(figure):
    """All words that a figure shows."""
    figure.savefig(io.BytesIO(), format="png")
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return " ".join(artist.get_text() for artist in found)


@pytest.mark.parametrize("epochs", [0, 1, 5])
def test_a_history_can_be_drawn_after_any_number_of_epochs(epochs):
    words = texts(figures.plot_history(history(epochs)))
    assert f"After {epochs} of 5 epochs" in words
    assert "nats per image" in words


def test_every_figure_says_when_it_shows_the_stand_in():
    images = torch.zeros(4, 28, 28, dtype=torch.uint8)
    drawn = [
        figures.plot_images(images, ["a", "b", "c", "d"], 2, "title", "stand-in"),
        figures.plot_patches(images[0], torch.zeros(4, 196), images[0], "stand-in"),
        figures.plot_history(history(2, "stand-in")),
        figures.plot_class_accuracy(torch.rand(10), NAMES, "stand-in"),
        figures.plot_confusion(torch.eye(10).long(), NAMES, "stand-in"),
    ]
    for figure in drawn:
        assert "STAND-IN" in texts(figure)
    assert "STAND-IN" not in texts(figures.plot_history(history(2)))


def test_the_live_figure_prints_one_line_an_epoch(capsys):
    live = figures.LiveHistory()
    for epochs in (1, 2):
        live(history(epochs))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    assert lines[1].startswith("epoch 2: loss 0.710")


def test_confusion_rows_are_shares_of_the_label():
    confusion = torch.zeros(10, 10, dtype=torch.long)
    confusion[0, 3], confusion[0, 0] = 30, 10
    axes = figures.plot_confusion(confusion + torch.eye(10).long(), NAMES, "Fashion-MNIST").axes[0]
    assert axes.images[0].get_array()[0, 3] == pytest.approx(30 / 41)
    assert axes.get_ylabel() == "label"
