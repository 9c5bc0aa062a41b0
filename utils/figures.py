"""The figures of the notebook, in one style: readable at its width, safe for colour blindness."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib_inline.backend_inline import set_matplotlib_formats
from torch import Tensor

from utils.data import STAND_IN
from utils.training import History

# Okabe and Ito's colours, which stay apart for all common kinds of colour blindness.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#595959"
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
    if get_ipython():
        set_matplotlib_formats("retina")  # two pixels a point: sharp on dense screens


def _new_figure(height: float) -> Figure:
    """A figure of the notebook's width that appears where it is returned, and only there."""
    figure = plt.figure(figsize=(WIDTH, height), layout="constrained")
    plt.close(figure)  # or the inline backend would show it a second time
    return figure


def _titled(figure: Figure, title: str, source: str) -> None:
    """Set the title; where the images are drawn ones, say so in every figure."""
    note = "  (STAND-IN, not Fashion-MNIST)" if source == STAND_IN else ""
    figure.suptitle(title + note, fontsize=12)


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
    _titled(figure, title, source)
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
    _titled(figure, "An image, its patches, and the image again", source)
    return figure


def plot_history(history: History) -> Figure:
    """Draw the loss and both accuracies over the epochs that are complete."""
    figure = _new_figure(3.4)
    loss, accuracy = figure.subplots(1, 2)
    done = len(history)
    steps_per_epoch = len(history.step_loss) / max(done, 1)
    steps = [(step + 0.5) / max(steps_per_epoch, 1) for step in range(len(history.step_loss))]
    loss.plot(steps, history.step_loss, color=GREY, linewidth=0.7, alpha=0.6, label="each batch")
    middles = [epoch + 0.5 for epoch in range(done)]
    loss.plot(middles, history.train_loss, "o-", color=BLUE, label="mean of each epoch")
    # The first steps fall from ln 10; what matters happens well below it.
    loss.set_ylim(0, 1.2)
    loss.set(title="Training loss", xlabel="epochs", ylabel="cross entropy (nats per image)")
    loss.legend(frameon=False)

    epochs = range(1, done + 1)
    lines = (
        ("training (running)", history.train_accuracy, "s--", ORANGE),
        ("test (after the epoch)", history.test_accuracy, "o-", BLUE),
    )
    for name, values, style, color in lines:
        accuracy.plot(epochs, values, style, color=color, label=name)
    accuracy.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=1))
    accuracy.set(title="Accuracy", xlabel="epochs", ylabel="images right")
    accuracy.legend(frameon=False, loc="lower right")
    for axes in (loss, accuracy):
        axes.set_xlim(0, history.num_epochs + 0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _titled(figure, f"After {done} of {history.num_epochs} epochs", history.source)
    return figure


class LiveHistory:
    """Show the history while a model trains: one figure, redrawn in place after every epoch.

    Pass an instance as `on_epoch` of `utils.training.train`. Make a new one for every run.
    """

    def __init__(self) -> None:
        self._handle = None

    def __call__(self, history: History) -> None:
        """Redraw the figure and print the epoch's line."""
        figure = plot_history(history)
        if self._handle is None:
            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)
        print(
            f"epoch {len(history)}: loss {history.train_loss[-1]:.3f}, "
            f"accuracy {history.train_accuracy[-1]:.2%} training, "
            f"{history.test_accuracy[-1]:.2%} test, {history.seconds[-1]:.1f} s"
        )


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
    _titled(figure, "Accuracy per class", source)
    return figure


def plot_confusion(confusion: Tensor, names: Sequence[str], source: str) -> Figure:
    """Draw the counts (num_classes, num_classes): rows are the labels, columns the answers."""
    share = (confusion / confusion.sum(dim=1, keepdim=True)).cpu().numpy()
    figure = _new_figure(6.6)
    axes = figure.subplots()
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion.cpu().numpy()):
        ink = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, count, ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    axes.set(xlabel="the network's answer", ylabel="label")
    figure.colorbar(picture, format=PercentFormatter(xmax=1), label="share of the label")
    _titled(figure, "Confusion matrix: number of test images", source)
    return figure
