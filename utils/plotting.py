"""The figures and tables of the notebook, readable at its width, safe for colour blindness.

Every figure describes itself in words, its main finding included: the report reads them out.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Self

from utils.data import STAND_IN
from utils.training import History

import matplotlib as mpl
import numpy as np
import torch
from IPython import get_ipython
from IPython.core.pylabtools import retina_figure
from IPython.display import Markdown, display
from matplotlib.figure import Figure, FigureBase
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib_inline.backend_inline import set_matplotlib_formats
from torch import Tensor, nn
from tqdm import tqdm

# Okabe and Ito's colours, which stay apart for all common kinds of colour blindness; their
# vermilion and green darkened, so that each reaches a contrast of 5 on white and may colour text.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#B34F00", "#007A56", "#595959"
LOOKS = ((BLUE, "o-"), (ORANGE, "s--"), (GREEN, "D-."))  # of the curves that share a chart
WIDTH = 4.5  # inches: a phone still shows text of 8 points; panels stand one below the other


def use_style() -> None:
    """Set matplotlib's defaults for all figures, whatever a matplotlibrc says."""
    mpl.rcdefaults()
    mpl.rc("axes", titlesize=11, grid=True, axisbelow=True)
    mpl.rc("axes.spines", top=False, right=False)
    mpl.rcParams |= {"font.size": 10.5, "lines.linewidth": 2, "legend.frameon": False}
    mpl.rcParams |= {"grid.color": "#e4e4e4", "image.cmap": "gray"}
    if shell := get_ipython():
        set_matplotlib_formats("retina")  # two pixels a point: sharp on dense screens
        pictures = shell.display_formatter.formatters["image/png"]
        pictures.for_type(DescribedFigure, DescribedFigure.for_notebook)


class DescribedFigure(Figure):
    """A figure with an alternative text, `alt`: what it shows, and its main finding."""

    def __init__(self, height: float, title: str, source: str, finding: str) -> None:
        super().__init__(figsize=(WIDTH, height), layout="constrained")
        note = "\n(STAND-IN, not Fashion-MNIST)" if source == STAND_IN else ""
        self.suptitle(title + note, fontsize=12)
        self.alt = f"{title}{note}. {finding}".replace("\n", " ")

    def for_notebook(self) -> tuple[str, dict[str, int | str]]:
        """The picture as PNG, and its metadata, among them the alternative text."""
        png, metadata = retina_figure(self, base64=True, bbox_inches="tight")
        return png, metadata | {"alt": self.alt}


def percent(share: float, digits: int = 2) -> str:
    """A fraction as `88.02 %`, the one way in which notebooks and figures write it."""
    return f"{100 * float(share):.{digits}f} %"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Markdown:
    """Make a table with a heading for every value of a row; columns of numbers stand right."""
    texts = [
        [f"{value:,}" if type(value) is int else str(value).replace("|", r"\|") for value in row]
        for row in rows
    ]
    rule = []
    for _, *values in zip(columns, *texts, strict=True):
        signs = {text.lstrip("*")[:1] for text in values if text}
        numbers = signs and signs <= {*"+-\N{MINUS SIGN}0123456789"}
        rule.append("--:" if numbers else ":--")
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in [columns, rule, *texts]))


def plot_network(model: nn.Module, images: Tensor) -> DescribedFigure:
    """Draw the linear layers of a network, with the shapes that are seen while `images` pass.

    An arrow shows two shapes where what one layer gives is not what the next one takes.
    """
    names = {part: name for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    boxes, arrows = ["images"], [[tuple(images.shape[1:])]]

    def note(layer: nn.Linear, inputs: tuple[Tensor], output: Tensor) -> None:
        if (taken := tuple(inputs[0].shape[1:])) != arrows[-1][-1]:
            arrows[-1].append(taken)
        boxes.append(f"{names[layer]}: {sum(p.numel() for p in layer.parameters()):,}")
        arrows.append([tuple(output.shape[1:])])

    hooks = [layer.register_forward_hook(note) for layer in names]
    try:
        with torch.inference_mode():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    texts = [
        " \N{RIGHTWARDS ARROW} ".join(f"({', '.join(['b', *map(str, s)])})" for s in shapes)
        for shapes in arrows
    ]
    walk = "; ".join(f"{box}, then {text}" for box, text in zip(boxes, texts, strict=True))
    finding = f"A column of linear layers, their parameters, and the shapes between them: {walk}."
    title = "The network's linear layers and their parameters,\nfor a batch of b images"
    figure = DescribedFigure(0.6 + 0.5 * len(boxes), title, "", finding)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(len(boxes), -0.3))  # from box to box it is 1
    axes.set_axis_off()
    axes.barh(range(1, len(boxes)), 0.5, 0.5, left=0.25, color="#e3eff7", edgecolor=BLUE)
    for place, (box, text) in enumerate(zip(boxes, texts, strict=True)):
        axes.text(0.5, place, box, ha="center", va="center")
        axes.text(0.54, place + 0.5, text, color=ORANGE, va="center")
        arrow = {"arrowstyle": "-|>", "color": GREY}
        axes.annotate("", (0.5, place + 0.78), (0.5, place + 0.22), arrowprops=arrow)
    return figure


def plot_images(
    images: Tensor, titles: Sequence[str], columns: int, title: str, source: str
) -> DescribedFigure:
    """Draw uint8 images (n, 28, 28) under their titles; fewer than `columns` if these are long."""
    lines = "\n".join(titles).split("\n")
    widest = max(TextPath((0, 0), line, 9.5).get_extents().width for line in lines)
    columns = max(1, min(columns, int(72 * WIDTH / (widest + 4))))
    height = WIDTH / columns + 0.18 * (1 + titles[0].count("\n"))
    shown = "; ".join(titles).replace("\n", ", ")
    finding = f"Pictures in rows of {columns}, {len(images)} in all: {shown}."
    figure = DescribedFigure(0.3 + -(-len(images) // columns) * height, title, source, finding)
    _draw_grid(figure, images, titles, columns)
    return figure


def _draw_grid(figure: FigureBase, images: Tensor, titles: Sequence[str], columns: int = 1) -> None:
    for number, (image, title) in enumerate(zip(images, titles, strict=True), start=1):
        axes = figure.add_subplot(-(-len(images) // columns), columns, number)
        axes.imshow(image.cpu().numpy(), vmin=0, vmax=255)
        axes.set_title(title, fontsize=9.5)
        axes.set_axis_off()


def plot_patches(image: Tensor, patches: Tensor, rebuilt: Tensor, source: str) -> DescribedFigure:
    """Draw an image (28, 28), its patches (num_patches, patch_size**2) and the image rebuilt."""
    per_side, size = round(len(patches) ** 0.5), round(patches.shape[1] ** 0.5)
    same = "equals" if torch.equal(image, rebuilt) else "differs from"
    finding = (
        f"{tuple(image.shape)} pixels, cut into {len(patches)} patches of {size} x {size} pixels, "
        f"{per_side} in a row; put back together, the image {same} the original."
    )
    figure = DescribedFigure(2.2, "An image, its patches, and the image again", source, finding)
    left, middle, right = figure.subfigures(1, 3)
    _draw_grid(left, image[None], [f"the image, {tuple(image.shape)}"])
    word = "patch " if per_side < 4 else ""  # as there is room
    names = [f"{word}{number}" for number in range(len(patches))]
    _draw_grid(middle, patches.view(-1, size, size), names, per_side)
    _draw_grid(right, rebuilt[None], ["put back together"])
    return figure


def plot_history(history: History) -> DescribedFigure:
    """Draw the loss and the accuracies over the epochs that are complete."""
    done, total, test = len(history), history.num_epochs, history.test_accuracy
    curves = {"test": test, "training": history.train_accuracy}
    curves["test, EMA"] = history.average_accuracy
    finding = "Two empty line charts, for the training loss and for the accuracies."
    if done:
        ends = [
            f"{name} from {percent(run[0], 1)} to {percent(run[-1], 1)}"
            for name, run in curves.items()
        ]
        losses = history.train_loss
        finding = (
            f"The mean training loss goes from {losses[0]:.3f} to {losses[-1]:.3f} nats per image, "
            f"the accuracy: {'; '.join(ends)} (EMA, the moving average of the weights); "
            f"on the test images highest after epoch {test.index(max(test)) + 1}, "
            f"{percent(max(test), 1)}."
        )
    title = f"After {done} of {total} epochs"
    figure = DescribedFigure(5.2, title, history.train_data.source, finding)
    loss, accuracy = figure.subplots(2)
    epochs = range(1, done + 1)
    places = np.linspace(0, done, len(history.step_loss) + 1)[1:]  # an epoch's last at its number
    loss.plot(places, history.step_loss, color=GREY, linewidth=0.7, alpha=0.6, label="each batch")
    loss.plot(epochs, history.train_loss, "o-", color=BLUE, label="epoch's mean")
    # The first steps fall from ln 10; what matters happens well below it.
    loss.set(title="Training loss", xlabel="epochs", ylabel="loss (nats per image)", ylim=(0, 1.2))
    for (name, values), (color, style) in zip(curves.items(), LOOKS, strict=True):
        label = f"{name} {percent(values[-1], 1)}" if done else name
        accuracy.plot(epochs, values, style, color=color, label=label)
    accuracy.set(title="Accuracy", xlabel="epochs", ylabel="images right", ylim=(0, 1))
    accuracy.autoscale(enable=done > 0, axis="y")
    accuracy.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=1, symbol=" %"))
    accuracy.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5], min_n_ticks=3))
    for axes in (loss, accuracy):
        axes.set(xlim=(0, 1.04 * total), xticks=range(0, total + 1, -(-total // 10)))
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


class LiveHistory(History):
    """A history that shows its figure, a line for each epoch and the progress while it grows.

    In a notebook all are updated in place; elsewhere the lines are printed.
    """

    def __enter__(self) -> Self:
        self._lines, self._in_notebook = [], hasattr(get_ipython(), "kernel")
        self._begin = self._shown = time.perf_counter()  # now, and when progress was shown last
        if self._in_notebook:
            self._figure = display(plot_history(self), display_id=True)
            self._text = display({"text/plain": ""}, raw=True, display_id=True)
        return super().__enter__()

    def add_step(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Note one step. A GPU runs a little behind the progress: steps sent off count."""
        super().add_step(loss, logits, labels)
        now, size = time.perf_counter(), self.train_data.num_images
        if self._in_notebook and now - self._shown >= 0.2:  # seconds: no flood of messages
            self._shown = now
            done, total = len(self) * size + self._seen, self.num_epochs * size
            look = {"prefix": f"epoch {len(self) + 1}", "unit": " images", "unit_scale": True}
            self._show(tqdm.format_meter(done, total, now - self._begin, ncols=79, **look))

    def add_epoch(self, test_accuracy: float, average_accuracy: float) -> None:
        """Complete an epoch, and show it."""
        super().add_epoch(test_accuracy, average_accuracy)
        self._lines.append(
            f"epoch {len(self)}: loss {self.train_loss[-1]:.3f}, right "
            f"{percent(self.train_accuracy[-1])} training, {percent(test_accuracy)} test, "
            f"{percent(average_accuracy)} EMA, {self.seconds[-1]:.1f} s"
        )
        if self._in_notebook:
            self._show()
            self._figure.update(plot_history(self))
        else:
            print(self._lines[-1])
        self._start_epoch()  # the time of the drawing is none of its own

    def _show(self, *progress: str) -> None:
        self._text.update({"text/plain": "\n".join([*self._lines, *progress])}, raw=True)


def plot_confusion(confusion: Tensor, names: Sequence[str], source: str) -> DescribedFigure:
    """Draw the counts (num_classes, num_classes): rows are the labels, columns the answers."""
    errors = confusion.clone().fill_diagonal_(0)
    label, answer = divmod(errors.argmax().item(), len(names))
    finding = (
        f"A table of {len(names)} labels and as many answers. On the diagonal, and so right, are "
        f"{percent(confusion.trace() / confusion.sum(), 1)} of the images. The most frequent "
        f"mistake takes {names[label]} for {names[answer]}: {errors[label, answer]} images."
    )
    figure = DescribedFigure(4.7, "Confusion matrix: number of test images", source, finding)
    axes = figure.subplots()
    share = (confusion / confusion.sum(dim=1, keepdim=True)).cpu().numpy()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion.cpu().numpy()):
        ink = "white" if share[row, column] > 0.72 else "black"
        axes.text(column, row, count, ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="the network's answer", ylabel="label")
    axes.grid(visible=False)
    return figure
