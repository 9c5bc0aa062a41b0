"""The figures can be drawn from what the notebook hands them, partial runs included."""

import base64
import io
from itertools import combinations
from types import SimpleNamespace

import matplotlib as mpl
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image
from torch import nn

mpl.use("Agg")

from utils import plotting
from utils.training import History

NAMES = [f"class {number}" for number in range(10)]


class Network(nn.Module):
    """Two linear layers, between which the axes change places, and one after a mean."""

    def __init__(self, names=("stem", "mix"), width=64):
        super().__init__()
        self.names = names
        self.add_module(names[0], nn.Linear(784 // 16, width))
        self.add_module(names[1], nn.Linear(16, 16))
        self.classifier = nn.Linear(width, 10)

    def forward(self, images):
        first, second = (getattr(self, name) for name in self.names)
        X = first(images.view(-1, 16, 49))
        return self.classifier(second(X.transpose(1, 2)).mean(dim=2))


def network(*options):
    return plotting.plot_network(Network(*options), torch.zeros(5, 28, 28))


DATA = SimpleNamespace(source="Fashion-MNIST", num_images=60_000)


def history(epochs, source="Fashion-MNIST"):
    values = [0.7 + 0.01 * epoch for epoch in range(epochs)]
    run = History(5, SimpleNamespace(source=source))
    run.step_loss = [0.5] * 4 * epochs
    run.train_loss, run.train_accuracy, run.seconds = list(values), list(values), list(values)
    run.test_accuracy, run.average_accuracy = list(values), list(values)
    return run


def texts(figure):
    """All words that a figure shows."""
    figure.draw_without_rendering()
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return " ".join(artist.get_text() for artist in found)


@pytest.mark.parametrize("epochs", [0, 1, 5])
def test_a_history_can_be_drawn_after_any_number_of_epochs(epochs):
    words = texts(plotting.plot_history(history(epochs)))
    assert f"After {epochs} of 5 epochs" in words
    assert "nats per image" in words


@pytest.fixture(scope="module")
def every_figure():
    images = torch.zeros(20, 28, 28, dtype=torch.uint8)
    confusion = 50 * torch.eye(10, dtype=torch.long) + 1
    confusion[6, 0] = 40
    return [
        plotting.plot_images(images, NAMES + NAMES, 5, "twenty images", "stand-in"),
        plotting.plot_images(images[:1], ["bag?\nlabel: shirt"], 5, "mistakes", "stand-in"),
        plotting.plot_patches(images[0], torch.zeros(4, 196), images[0], "stand-in"),
        plotting.plot_history(history(0, "stand-in")),
        plotting.plot_history(history(3, "stand-in")),
        plotting.plot_confusion(confusion, NAMES, "stand-in"),
        network(),
    ]


def test_every_figure_says_in_words_what_it_shows_and_found(every_figure):
    found = [
        "Pictures in rows of 5, 20 in all: class 0; class 1;",
        "Pictures in rows of 5, 1 in all: bag?, label: shirt.",
        "cut into 4 patches of 14 x 14 pixels, 2 in a row; put back together, the image equals",
        "empty line charts",
        "test from 70.0 % to 72.0 %; training from 70.0 % to 72.0 %; test, EMA from 70.0 % to "
        "72.0 % (EMA, the moving average of the weights); on the test images highest after epoch "
        "3, 72.0 %",
        "right, are 79.8 % of the images. The most frequent mistake takes class 6 for class 0: 40",
        "images, then (b, 28, 28) \N{RIGHTWARDS ARROW} (b, 16, 49); stem: 3,200, then (b, 16, 64)",
    ]
    for figure, finding in zip(every_figure, found, strict=True):
        assert finding in figure.alt
        shows_images = not figure.alt.startswith("The network")
        assert ("STAND-IN" in figure.alt) == ("STAND-IN" in texts(figure)) == shows_images
    assert "STAND-IN" not in texts(plotting.plot_history(history(2)))


def test_no_text_is_smaller_than_9_points_and_all_of_it_is_inside(every_figure):
    for figure in every_figure:
        figure.draw_without_rendering()
        for text in figure.findobj(mpl.text.Text):
            if text.get_text() and text.get_visible():
                assert text.get_fontsize() >= 9, text.get_text()
        box = figure.get_tightbbox()
        assert box.width <= plotting.WIDTH + 0.25


def test_lines_differ_in_more_than_color():
    accuracy = plotting.plot_history(history(3)).axes[1]
    looks = [(line.get_linestyle(), line.get_marker()) for line in accuracy.lines]
    assert len(set(looks)) == len(looks) == 3


def test_the_legends_stand_beside_the_charts_and_give_the_last_values():
    figure = plotting.plot_history(history(5))
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_legend().get_window_extent()
        assert not axes.get_window_extent().overlaps(box)
        assert all(figure.bbox.contains(*corner) for corner in box.corners())
    words = [text.get_text() for text in figure.axes[1].get_legend().texts]
    assert words == ["test 74.0 %", "training 74.0 %", "test, EMA 74.0 %"]


def boxes_of(figure):
    """Where each text of the drawn figure stands; ticks out of sight have none."""
    figure.draw_without_rendering()
    shown = list(figure.texts)
    for axes in figure.axes:
        shown += axes.texts
        if legend := axes.get_legend():
            shown += legend.texts
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            ticks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
            shown += [axis.label, *(label for place, label in ticks if low <= place <= high)]
        shown.append(axes.title)
    return [text.get_window_extent() for text in shown if text.get_text().strip()]


def touching(boxes):
    return [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


LONG = [f"ankle boot {number}" for number in range(10)]


@pytest.fixture
def hard_figures():
    """Every figure with long names and values that need the most room."""
    images = torch.zeros(20, 28, 28, dtype=torch.uint8)
    mistakes = ["ankle boot? 100.0%\nlabel: ankle boot"] * 10
    full = history(5, "stand-in")
    full.train_accuracy[:] = full.test_accuracy[:] = full.average_accuracy[:] = [0.1, 1, 1, 1, 1]
    return [
        plotting.plot_images(images, LONG + LONG, 10, "The first images", "stand-in"),
        plotting.plot_images(images[:10], mistakes, 5, "The most confident mistakes", "stand-in"),
        plotting.plot_patches(images[0], torch.zeros(16, 49), images[0], "stand-in"),
        plotting.plot_history(full),
        plotting.plot_confusion(torch.full((10, 10), 999).fill_diagonal_(1000), LONG, "stand-in"),
        network(("blocks_19_mlp1_0", "blocks_19_mlp2_2"), 1024),
    ]


def test_whatever_the_values_no_text_touches_another_or_leaves_the_figure(hard_figures):
    for figure in hard_figures:
        boxes = boxes_of(figure)
        assert not touching(boxes), figure.alt
        edge = figure.bbox.padded(3)  # the picture is cut with a margin wider than that
        assert all(edge.contains(*corner) for box in boxes for corner in box.corners()), figure.alt


def test_on_a_phone_every_text_of_a_figure_is_at_least_7_points_high(every_figure):
    for figure in every_figure:
        _, about = figure.for_notebook()
        scale = min(1, 360 / about["width"])  # CSS pixels; a point is 4/3 of one
        for text in figure.findobj(mpl.text.Text):
            if text.get_text() and text.get_visible():
                points = text.get_fontsize() * figure.dpi / 72 * scale * 3 / 4
                assert points >= 7, text.get_text()


def arrows_of(figure):
    """Where each arrow of the network stands."""
    notes = figure.findobj(mpl.text.Annotation)
    return [note.arrow_patch.get_window_extent() for note in notes]


def test_the_network_is_a_box_for_every_linear_layer_and_the_shapes_seen_at_every_arrow():
    figure = network()
    written = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    arrow = " \N{RIGHTWARDS ARROW} "
    assert written[::2] == ["images", "stem: 3,200", "mix: 272", "classifier: 650"]
    assert written[1::2] == [
        f"(b, 28, 28){arrow}(b, 16, 49)",  # what the first layer takes is not what came in
        f"(b, 16, 64){arrow}(b, 64, 16)",  # a transpose
        f"(b, 64, 16){arrow}(b, 64)",  # a mean
        "(b, 10)",
    ]
    assert len(figure.axes[0].patches) == 3
    assert len(arrows_of(figure)) == 4


def test_a_network_that_fails_is_left_without_hooks():
    broken = Network()
    broken.classifier = nn.Linear(3, 10)
    with pytest.raises(RuntimeError):
        plotting.plot_network(broken, torch.zeros(5, 28, 28))
    assert not any(part._forward_hooks for part in broken.modules())


def test_nothing_in_the_network_overlaps():
    figure = network()
    assert figure.get_size_inches()[0] == plotting.WIDTH
    assert not touching(boxes_of(figure))
    steps = [patch.get_window_extent() for patch in figure.axes[0].patches]
    assert not touching(steps + arrows_of(figure))
    for text in boxes_of(figure):
        around = [step for step in steps if step.overlaps(text)]
        assert all(step.contains(*corner) for step in around for corner in text.corners())
        assert not any(arrow.overlaps(text) for arrow in arrows_of(figure))


def test_a_table_aligns_numbers_and_escapes_bars():
    rows = [["a|b", 60_000, "\N{MINUS SIGN}1.5 %", True], ["c", -7, "", None], ["", "", "+3", ""]]
    assert plotting.table(["name", "images", "change", "x"], rows).data.splitlines() == [
        "| name | images | change | x |",
        "| :-- | --: | --: | :-- |",
        "| a\\|b | 60,000 | \N{MINUS SIGN}1.5 % | True |",
        "| c | -7 |  | None |",
        "|  |  | +3 |  |",
    ]
    assert plotting.table(["a", "b"], []).data == "| a | b |\n| :-- | :-- |"


def test_a_matplotlibrc_of_the_user_changes_nothing():
    with mpl.rc_context({"font.size": 30, "savefig.dpi": 7, "lines.marker": "x"}):
        plotting.use_style()
        assert mpl.rcParams["font.size"] == 10.5
        assert mpl.rcParams["savefig.dpi"] == "figure"
        assert mpl.rcParams["lines.marker"] == "None"


def test_figures_reach_the_notebook_sharp_and_with_their_words(monkeypatch):
    shell = InteractiveShell.instance()
    monkeypatch.setattr(plotting, "get_ipython", lambda: shell)
    plotting.use_style()
    figure = plotting.plot_history(history(2))
    data, metadata = shell.display_formatter.format(figure)
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert metadata["image/png"]["alt"] == figure.alt
    assert picture.width == pytest.approx(2 * metadata["image/png"]["width"], abs=1)


def steps(live, sizes):
    """Note steps of that many images, all taken for class 0, and of class 1 in truth."""
    for size in sizes:
        live.add_step(torch.tensor(0.5), torch.eye(10)[:1].expand(size, 10), torch.ones(size))


def test_without_a_notebook_the_live_history_prints_one_line_an_epoch(capsys):
    with plotting.LiveHistory(5, DATA) as live:
        for _ in range(2):
            steps(live, [30_000, 30_000])
            live.add_epoch(0.7, 0.71)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    line = "epoch 2: loss 0.500, right 0.00 % training, 70.00 % test, 71.00 % EMA, "
    assert lines[1].startswith(line)
    assert len(lines[1]) < 80  # what a report shows in one line


@pytest.fixture
def live(monkeypatch):
    """A live history that believes to be in a notebook, its clock, and what it displays."""
    clock, shown = [100.0], []

    class Handle:
        def __init__(self, content):
            self.contents = [content]
            shown.append(self.contents)

        def update(self, content, raw=False):
            self.contents.append(content)

    monkeypatch.setattr(plotting, "get_ipython", lambda: SimpleNamespace(kernel=None))
    monkeypatch.setattr(plotting, "display", lambda content, **options: Handle(content))
    monkeypatch.setattr(plotting.time, "perf_counter", lambda: clock[0])
    with plotting.LiveHistory(5, DATA) as history:
        yield history, clock, shown


def test_in_a_notebook_one_figure_and_one_text_are_updated_in_place(live):
    live, clock, shown = live
    for _ in range(3):
        clock[0] += 1.0
        steps(live, [60_000])
        live.add_epoch(0.7, 0.71)
    pictures, texts = shown
    titles = [picture.alt.split(".")[0] for picture in pictures]
    assert titles == [f"After {done} of 5 epochs" for done in range(4)]
    lines = texts[-1]["text/plain"].splitlines()
    assert [line[:8] for line in lines] == ["epoch 1:", "epoch 2:", "epoch 3:"]


def test_the_time_of_an_epoch_leaves_out_the_drawing(live, monkeypatch):
    live, clock, _ = live

    def draw_slowly(history):
        clock[0] += 10.0

    monkeypatch.setattr(plotting, "plot_history", draw_slowly)
    for _ in range(2):
        clock[0] += 1.0
        steps(live, [60_000])
        live.add_epoch(0.7, 0.71)
    assert live.seconds == [1.0, 1.0]


def test_the_progress_gives_speed_and_time_left(live):
    live, clock, shown = live
    clock[0] += 2.0  # half of the first of five epochs
    steps(live, [30_000])
    progress = shown[1][-1]["text/plain"]
    assert progress.startswith("epoch 1:  10%|█")
    assert progress.endswith("| 30.0k/300k [00:02<00:18, 15.0k images/s]")
    assert len(progress) == 79


def test_the_progress_counts_the_images_of_all_epochs(live):
    live, clock, shown = live
    steps(live, [30_000, 30_000])
    live.add_epoch(0.7, 0.71)
    clock[0] += 1.0
    steps(live, [15_000])
    assert shown[1][-1]["text/plain"].splitlines()[-1].startswith("epoch 2:  25%|")
    assert "75.0k/300k" in shown[1][-1]["text/plain"]


def test_the_progress_is_updated_at_most_every_fifth_of_a_second(live):
    live, clock, shown = live
    for _ in range(1000):
        clock[0] += 0.01
        steps(live, [1])
    assert 40 <= len(shown[1]) <= 52  # 10 s


def test_confusion_rows_are_shares_of_the_label():
    confusion = torch.zeros(10, 10, dtype=torch.long)
    confusion[0, 3], confusion[0, 0] = 30, 10
    axes = plotting.plot_confusion(confusion + torch.eye(10).long(), NAMES, "Fashion-MNIST").axes[0]
    assert axes.images[0].get_array()[0, 3] == pytest.approx(30 / 41)
    assert axes.get_ylabel() == "label"
