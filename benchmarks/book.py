"""Time loading and training against the way of *Dive into Deep Learning*, its package `d2l`.

    python -m benchmarks.book

First an epoch of shuffled, normalised batches of 512: ours, the book's, torch's own. Then the
assignment: both ways train the same network with the same seeds and hyperparameters, and measure
the test images after every epoch; measuring counts. 86.31 % is the write-up's figure: ours gets
there by its averaged weights, the book's way by its only ones, for which it may go on to 15 epochs;
a run that never gets there counts with its whole time. The book's way multiplies matrices as torch
comes; ours does so once more, which shows what oneDNN brings. All candidates take turns. The last
line is one JSON object; `ratio` is the book's time over ours for the assignment's epochs.
"""

import json
import os
import statistics
import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks import measure
from benchmarks.runs import Run, by_the_notebook
from benchmarks.variants import ASSIGNMENT, FAST, LADDER
from utils.data import BatchLoader

import torch
from d2l import torch as d2l
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

EPOCHS, GOAL, DEVICE = ASSIGNMENT.num_epochs, ASSIGNMENT.write_up, ASSIGNMENT.device
OURS, BOOK, MUON = "ours", "the book's way", "one epoch with Muon"
MKL = "ours, multiplied as torch comes"


def main() -> None:
    parser = measure.make_parser(__doc__, rounds=3)
    parser.add_argument("--most-epochs", type=int, default=15, metavar="N", help="the book's way")
    arguments, begun = measure.parse(parser), measure.facts(DEVICE)
    data = measure.load_share(arguments.share, DEVICE)
    with book_folder(*data) as folder:
        loaders = {OURS: data[0], BOOK: d2l.load_data_fashion_mnist(512)[0]}
        pixels = datasets.FashionMNIST(folder, transform=transforms.ToTensor())
        loaders["`DataLoader`, `ToTensor`"] = DataLoader(pixels, batch_size=512, shuffle=True)
        serving = {name: lambda _, each=each: serve(each) for name, each in loaders.items()}
        loading = measure.take_turns(serving, arguments.rounds)
        iterators = d2l.load_data_fashion_mnist(ASSIGNMENT.batch_size)
        ours = partial(by_the_notebook, LADDER["assignment"], data=data[0], others=data[1])
        ways = {
            OURS: ours,
            MKL: measure.as_torch_comes()(ours),
            BOOK: lambda seed: by_the_book(data[0], *iterators, seed, arguments.most_epochs),
            MUON: lambda seed: by_the_notebook(FAST, seed, *data),
        }
        runs = measure.take_turns(ways, arguments.rounds)
    whole = {name: [sum(s for s, _ in run[:EPOCHS]) for run in each] for name, each in runs.items()}
    ratio = measure.times_as_long(whole[BOOK], whole[OURS])
    if arguments.write:
        write_loading(loading, measure.caption([begun]))
        write_training(runs, whole, ratio, measure.caption([begun]))
    print(json.dumps({"ratio": ratio, "loading": loading, "training": runs}))


@contextmanager
def book_folder(*data: BatchLoader) -> Iterator[Path]:
    """A temporary folder where torchvision finds the images of a training and a test loader.

    `d2l` insists on `../data`, which is this folder inside the context.
    """
    before = Path.cwd()
    with TemporaryDirectory() as name:
        raw = Path(name, "data", "FashionMNIST", "raw")
        raw.mkdir(parents=True)
        for prefix, each in zip(("train", "t10k"), data, strict=True):
            images, labels = each.images.cpu().numpy(), each.labels.cpu().byte().numpy()
            header = struct.pack(">4i", 0x803, *images.shape)
            (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
            header = struct.pack(">2i", 0x801, len(labels))
            (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
        os.chdir(raw.parents[1])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of four workers on two cores, in every epoch
                yield Path(name, "data")
        finally:
            os.chdir(before)


def serve(loader: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The seconds of one epoch of batches, brought to the device."""
    start = perf_counter()
    for images, labels in loader:
        images.to(DEVICE), labels.to(DEVICE)
    return perf_counter() - start


class BookNet(nn.Module):
    """The assignment's network, fed with what the book serves: pixels (b, 1, 28, 28) in 0 to 1.

    The normalisation that our loader does happens here: both ways train the same function.
    """

    def __init__(self, data: BatchLoader) -> None:
        super().__init__()
        self.model, self.mean, self.std = ASSIGNMENT.make_model(), data.mean, data.std

    def forward(self, images: Tensor) -> Tensor:
        return self.model((images.squeeze(1) - self.mean) / self.std)  # (b, num_classes)


@measure.as_torch_comes()
def by_the_book(
    data: BatchLoader, train_iter: DataLoader, test_iter: DataLoader, seed: int, most_epochs: int
) -> Run:
    """Train the assignment's network for its epochs, and then until the goal is reached.

    The loop is that of `d2l.train_ch3` without its animation, which fails on current IPython and
    would only cost time.
    """
    torch.manual_seed(seed)
    net, run = BookNet(data).to(DEVICE), []
    optimizer, loss_function = ASSIGNMENT.make_optimizer(net), ASSIGNMENT.loss_function
    while len(run) < EPOCHS or (len(run) < most_epochs and not way_to_goal(run)[1]):
        start = perf_counter()
        d2l.train_epoch_ch3(net, train_iter, loss_function, optimizer)
        accuracy = d2l.evaluate_accuracy(net, test_iter)
        run.append((perf_counter() - start, accuracy))
    return run


def way_to_goal(run: Run) -> tuple[float, bool]:
    """The seconds until a run reached the goal, all of them if it never did, and whether it did."""
    total = 0.0
    for seconds, accuracy in run:
        total += seconds
        if accuracy >= GOAL:
            return total, True
    return total, False


def write_loading(seconds: dict[str, list[float]], caption: str) -> None:
    """Write the seconds of an epoch of batches, and how many times as long the next takes."""
    ratios = [measure.times_as_long(each, seconds[OURS]) for each in seconds.values()]
    finding = f"The next fastest takes {sorted(ratios)[1]:.0f} times as long as ours."
    heads = f"{len(seconds[OURS])} rounds, median and range", "an epoch of batches, s"
    rows = [(name, measure.spread(each)) for name, each in seconds.items()]
    measure.write_table("loading", heads, rows, finding, caption)


def write_training(
    runs: dict[str, list[Run]], whole: dict[str, list[float]], ratio: float, caption: str
) -> None:
    """Write the seconds of every candidate's epochs, its accuracy then, and its way to the goal."""
    rows, means, goal = [], {}, f"{100 * GOAL:.2f} %"
    for name, each in runs.items():
        seconds, there = zip(*map(way_to_goal, each), strict=True)
        accuracy = 100 * statistics.mean(run[:EPOCHS][-1][1] for run in each)
        spreads = measure.spread(whole[name]), measure.spread(seconds)
        rows.append((name, spreads[0], f"{accuracy:.2f} %", spreads[1], there.count(False)))
        means[name] = statistics.mean(seconds)
    heads = f"{len(whole[OURS])} rounds, median and range", f"at most {EPOCHS} epochs, s"
    heads += "test accuracy then, mean", f"to {goal}, s", "runs never there"
    finding = (
        f"The book's way takes {ratio:.2f} times as long as ours for {EPOCHS} epochs; to {goal} "
    )
    finding += f"{means[BOOK] / means[OURS]:.1f} times in the mean, and "
    finding += f"{means[BOOK] / means[MUON]:.1f} times as long as {MUON}."
    measure.write_table("training", heads, rows, finding, caption)


if __name__ == "__main__":
    main()
