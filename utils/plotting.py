"""The figures of the notebook, in one style: readable at its width, safe for colour blindness.

Every figure describes itself in words, its main finding included: the report reads them out.
"""

import sys
import time
from collections.abc import Sequence

from utils.data import STAND_IN
from utils.training import History

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython import get_ipython
from IPython.core.pylabtools import retina_figure
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter
from matplotlib_inline.backend_inline import set_matplotlib_formats
from torch import Tensor

# Okabe and Ito's colours, which stay apart for all common kinds of colour blindness; their
# vermilion and green darkened, so that each reaches a contrast of 5 on white and may colour text.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#B34F00", "#007A56", "#595959"
WIDTH = 8.0  # inches: a figure fills the notebook's column


def use_style() -> None:
    """Set matplotlib's defaults for all figures of the notebook."""
    plt.rcParams.update(
        {
            "figure.dpi": 100,
            "font.size": 10.5,
            "axes.titlesize": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e4e4e4",
            "image.cmap": "gray",
            "lines.linewidth": 2,
        }
    )
    shell = get_ipython()
    if shell:
        set_matplotlib_formats("retina")  # two pixels a point: sharp on dense screens
        shell.display_formatter.formatters["image/png"].for_type(DescribedFigure, _described_png)


class DescribedFigure(Figure):
    """A figure with an alternative text: what it shows, and its main finding."""

    alt = ""


def _described_png(figure: DescribedFigure) -> tuple[str, dict[str, int | str]]:
    """The picture for the notebook, and its metadata, among them the alternative text."""
    png, metadata = retina_figure(figure, base64=True, bbox_inches="tight")
    return png, metadata | {"alt": figure.alt}


def _new_figure(height: float) -> DescribedFigure:
    """A figure of the notebook's width that appears where it is returned, and only there."""
    figure = plt.figure(figsize=(WIDTH, height), layout="constrained", FigureClass=DescribedFigure)
    plt.close(figure)  # or the inline backend would show it a second time
    return figure


def _titled(figure: DescribedFigure, title: str, source: str, alt: str) -> None:
    """Set title and alternative text; where the images are drawn ones, both say so."""
    note = "  (STAND-IN, not Fashion-MNIST)" if source == STAND_IN else ""
    figure.suptitle(title + note, fontsize=12)
    figure.alt = " ".join(f"{title}{note}. {alt}".split())


def _show_image(axes: Axes, image: Tensor, title: str = "") -> None:
    axes.imshow(image.cpu().numpy(), vmin=0, vmax=255)
    axes.set_axis_off()
    axes.set_title(title, fontsize=9.5)


def plot_images(
    images: Tensor, titles: Sequence[str], columns: int, title: str, source: str
) -> Figure:
    """Draw uint8 images (n, 28, 28) in rows of `columns`, each under its own title."""
    rows = -(-len(images) // columns)
    title_height = 0.18 * (1 + titles[0].count("\n"))
    figure = _new_figure(rows * (WIDTH / columns + title_height) + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, text in zip(grid.flat, images, titles, strict=False):
        _show_image(axes, image, text)
    shown = "; ".join(text.replace("\n", ", ") for text in titles)
    _titled(figure, title, source, f"Pictures in rows of {columns}, {len(images)} in all: {shown}.")
    return figure


def plot_patches(image: Tensor, patches: Tensor, rebuilt: Tensor, source: str) -> Figure:
    """Draw one garment, its patches in their places, and the patches put back together.

    Args:
        image: (28, 28) uint8.
        patches: (num_patches, patch_size**2), row by row from the top left.
        rebuilt: (28, 28).
        source: where the image comes from.
    """
    per_side, patch_size = round(len(patches) ** 0.5), round(patches.shape[1] ** 0.5)
    figure = _new_figure(3.1)
    left, middle, right = figure.subfigures(1, 3)
    _show_image(left.subplots(), image, f"the image, {tuple(image.shape)}")
    grid = middle.subplots(per_side, per_side, squeeze=False)
    for number, axes in enumerate(grid.flat):
        _show_image(axes, patches[number].reshape(patch_size, patch_size), f"patch {number}")
    _show_image(right.subplots(), rebuilt, "put back together")
    same = "equals" if torch.equal(image, rebuilt) else "differs from"
    _titled(
        figure,
        "An image, its patches, and the image again",
        source,
        f"The image, {tuple(image.shape)} pixels, is cut into {len(patches)} patches of "
        f"{patch_size} x {patch_size} pixels, {per_side} in a row; put back together, it {same} "
        "the original.",
    )
    return figure


def plot_history(history: History) -> Figure:
    """Draw the loss and the accuracies over the epochs that are complete."""
    figure = _new_figure(3.4)
    loss, accuracy = figure.subplots(1, 2)
    done = len(history)
    epochs = range(1, done + 1)
    steps = [(step + 1) * done / len(history.step_loss) for step in range(len(history.step_loss))]
    loss.plot(steps, history.step_loss, color=GREY, linewidth=0.7, alpha=0.6, label="each batch")
    loss.plot(epochs, history.train_loss, "o-", color=BLUE, label="mean of each epoch")
    loss.set(title="Training loss", xlabel="epochs", ylabel="cross entropy (nats per image)")
    # The first steps fall from ln 10; what matters happens well below it.
    loss.set_ylim(0, 1.2)
    loss.legend(frameon=False, loc="upper right")

    lines = {
        "training": (history.train_accuracy, "s--", ORANGE),
        "test": (history.test_accuracy, "o-", BLUE),
        "test, EMA": (history.average_accuracy, "D-.", GREEN),
    }
    for values, style, color in lines.values():
        accuracy.plot(epochs, values, style, color=color)
    accuracy.set(title="Accuracy", xlabel="epochs", ylabel="images right")
    if done:
        accuracy.margins(y=0.25)
        _label_ends(accuracy, {name: (line[0][-1], line[2]) for name, line in lines.items()})
    else:
        accuracy.set_ylim(0, 1)
    accuracy.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    accuracy.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5], min_n_ticks=3))
    for axes in (loss, accuracy):
        axes.set_xlim(0, history.num_epochs * 1.04)
        axes.set_xticks(range(0, history.num_epochs + 1, -(-history.num_epochs // 10)))
    _titled(figure, f"After {done} of {history.num_epochs} epochs", history.source, _story(history))
    return figure


def _label_ends(axes: Axes, ends: dict[str, tuple[float, str]]) -> None:
    """Write names and last values beside the axes, each at its height or just above the one below.

    Args:
        axes: with their final limits.
        ends: last value and colour of each line.
    """
    low, high = axes.get_ylim()
    place = 0.0
    for name, (value, color) in sorted(ends.items(), key=lambda end: end[1][0]):
        place = max(place, (value - low) / (high - low))
        axes.text(
            1.02, place, f"{name} {value:.1%}", color=color, transform=axes.transAxes, va="center"
        )
        place += 0.08  # of the height of the axes: a line of text


def _story(history: History) -> str:
    """The curves in words."""
    if not len(history):
        return "Two empty line charts, for the training loss and for the accuracies."
    best = max(range(len(history)), key=history.test_accuracy.__getitem__)
    return (
        "Two line charts. "
        f"Left, the mean training loss of each epoch: {_from_to(history.train_loss, '.3f')} nats "
        "per image, with the loss of each batch scattered around it. "
        f"Right, the accuracy: {_from_to(history.train_accuracy, '.1%')} on the training images; "
        f"{_from_to(history.test_accuracy, '.1%')} on the test images, where it was highest "
        f"after epoch {best + 1}, {history.test_accuracy[best]:.1%}; and "
        f"{_from_to(history.average_accuracy, '.1%')} on the test images with the moving average "
        "(EMA) of the weights."
    )


def _from_to(values: Sequence[float], spec: str) -> str:
    return f"from {values[0]:{spec}} to {values[-1]:{spec}}"


class LiveHistory:
    """Show a training run while it goes on: a figure redrawn in place after every epoch, and
    under it a line for each epoch and one for the progress within the epoch.

    In a notebook both are updated through display handles. Elsewhere only the lines are
    printed, and the progress only to a terminal. Make a new one right before every run.
    """

    INTERVAL = 0.2  # seconds between two updates of the progress

    def __init__(self) -> None:
        self._in_notebook = hasattr(get_ipython(), "kernel")
        self._figure = self._text = None  # display handles
        self._lines: list[str] = []
        self._epoch_start = self._shown = time.perf_counter()

    def on_step(self, history: History, seen: int, num_images: int) -> None:
        """Update the progress; `utils.training.History` calls it after every step.

        On a GPU, steps count when they are sent off, so the speed shown runs a little ahead.
        """
        now = time.perf_counter()
        if now - self._shown < self.INTERVAL:
            return
        self._shown = now
        elapsed = now - self._epoch_start
        # A complete epoch tells how long one takes, its test included; the first has to guess.
        seconds = history.seconds or [elapsed * num_images / seen]
        epochs_left = history.num_epochs - len(history)
        left = max(epochs_left * sum(seconds) / len(seconds) - elapsed, 0)
        bar = ("█" * (20 * seen // num_images)).ljust(20, "░")
        line = (
            f"epoch {len(history) + 1}: {bar} {seen / num_images:4.0%}, "
            f"{seen / elapsed:,.0f} images/s, {left:.0f} s left"
        )
        if self._in_notebook:
            self._show(history, line)
        elif sys.stdout.isatty():
            print(f"\r{line:<79}", end="", flush=True)

    def on_epoch(self, history: History) -> None:
        """Redraw the figure and add the epoch's line."""
        line = (
            f"epoch {len(history)}: loss {history.train_loss[-1]:.3f}, "
            f"accuracy {history.train_accuracy[-1]:.2%} training, "
            f"{history.test_accuracy[-1]:.2%} test, {history.average_accuracy[-1]:.2%} test with "
            f"EMA, {history.seconds[-1]:.1f} s"
        )
        self._lines.append(line)
        if self._in_notebook:
            self._show(history)
            self._figure.update(plot_history(history))
        else:
            print(f"\r{line:<79}".rstrip() if sys.stdout.isatty() else line)
        self._epoch_start = time.perf_counter()

    def _show(self, history: History, progress: str = "") -> None:
        """Show all lines in the notebook, the first time under a figure without curves."""
        lines = "\n".join([*self._lines, progress]).rstrip()
        if self._figure is None:
            self._figure = display(
                plot_history(History(history.num_epochs, history.train_data)), display_id=True
            )
            self._text = display({"text/plain": lines}, raw=True, display_id=True)
        self._text.update({"text/plain": lines}, raw=True)


def plot_class_accuracy(accuracies: Tensor, names: Sequence[str], source: str) -> Figure:
    """Draw the fraction right of each class, (num_classes,), the hardest class on top."""
    order = accuracies.argsort(descending=True).tolist()
    figure = _new_figure(3.6)
    axes = figure.subplots()
    bars = axes.barh([names[i] for i in order], accuracies[order].cpu().numpy(), color=BLUE)
    axes.bar_label(bars, fmt="{:.1%}", padding=3)
    axes.set_xlim(0, 1.1)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("test images of the class that are right")
    listed = ", ".join(f"{names[i]} {accuracies[i]:.1%}" for i in order)
    _titled(
        figure,
        "Accuracy per class",
        source,
        f"Bars, from {names[order[0]]}, the easiest, to {names[order[-1]]}, the hardest: {listed}.",
    )
    return figure


def plot_confusion(confusion: Tensor, names: Sequence[str], source: str) -> Figure:
    """Draw the counts (num_classes, num_classes): rows are the labels, columns the answers."""
    share = (confusion / confusion.sum(dim=1, keepdim=True)).cpu().numpy()
    figure = _new_figure(6.6)
    axes = figure.subplots()
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion.cpu().numpy()):
        ink = "white" if share[row, column] > 0.72 else "black"
        axes.text(column, row, count, ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    axes.set(xlabel="the network's answer", ylabel="label")
    figure.colorbar(picture, format=PercentFormatter(xmax=1), label="share of the label")
    errors = confusion.clone().fill_diagonal_(0)
    label, answer = divmod(errors.argmax().item(), len(names))
    _titled(
        figure,
        "Confusion matrix: number of test images",
        source,
        f"A table of {len(names)} labels and as many answers. On the diagonal, and so right, are "
        f"{confusion.trace() / confusion.sum():.1%} of the images. The most frequent mistake "
        f"takes {names[label]} for {names[answer]}: {errors[label, answer]} images.",
    )
    return figure


def plot_sweep(sweep: dict[str, dict[float, History]], source: str) -> DescribedFigure:
    """Draw optimisers' runs: the final accuracy at each rate, and the losses at the best.

    A run that diverged is drawn as a cross at the bottom, and named.

    Args:
        sweep: for each of up to three optimisers, the history at each of its learning rates.
        source: where the images come from.
    """
    figure = _new_figure(3.4)
    accuracy, loss = figure.subplots(1, 2)
    findings = []
    looks = zip(("o-", "s--", "D-."), (BLUE, ORANGE, GREEN), strict=True)
    for (name, runs), (style, color) in zip(sweep.items(), looks, strict=False):
        ends = {rate: run.test_accuracy[-1] for rate, run in runs.items() if not run.diverged_at}
        accuracy.plot(ends.keys(), ends.values(), style, color=color, label=name)
        failed = {rate: run.diverged_at for rate, run in runs.items() if run.diverged_at}
        bottom = {"color": color, "transform": accuracy.get_xaxis_transform(), "clip_on": False}
        accuracy.plot(list(failed), [0] * len(failed), "x", markersize=9, **bottom)
        said = [f"{value:.1%} at {rate}" for rate, value in ends.items()]
        said += [f"diverged at step {step} at {rate}" for rate, step in failed.items()]
        finding = f"{name}: {', '.join(said)}"
        if ends:
            best = max(ends, key=ends.__getitem__)
            losses = runs[best].step_loss
            steps = [(step + 1) * len(runs[best]) / len(losses) for step in range(len(losses))]
            line = {"color": color, "linewidth": 1, "label": f"{name}, rate {best}"}
            loss.plot(steps, losses, style[1:], **line)
            falls = _from_to(runs[best].train_loss, ".3f")
            finding += f"; its mean loss at {best} went {falls} nats"
        findings.append(f"{finding}.")
    note = "\ncross: diverged" if any("diverged" in finding for finding in findings) else ""
    accuracy.set(
        title="After the last epoch", xlabel=f"learning rate{note}", ylabel="held-out images right"
    )
    accuracy.set_xscale("log")
    accuracy.xaxis.set_major_formatter("{x:g}")
    accuracy.xaxis.set_minor_formatter(NullFormatter())
    accuracy.margins(y=0.15)
    accuracy.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    accuracy.legend(frameon=False)
    loss.set(
        title="Each at its best rate", xlabel="epochs", ylabel="cross entropy (nats per image)"
    )
    loss.set_ylim(0, 1.2)
    loss.legend(frameon=False, loc="upper right")
    title = "Learning rates of two optimisers"
    _titled(
        figure, title, source, f"Accuracy on held-out images for each rate. {' '.join(findings)}"
    )
    return figure
