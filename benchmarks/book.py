"""The book's way: Fashion-MNIST and training as *Dive into Deep Learning* does them, with `d2l`.

The peer that others are measured against. `d2l` insists on files in `../data`, so the images that a
benchmark uses are written there, in a temporary folder, whatever their number.
"""

import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.variants import ASSIGNMENT
from utils.data import BatchLoader

import torch
from d2l import torch as d2l
from torch import Tensor, nn
from torch.utils.data import DataLoader


def _write_set(folder: Path, prefix: str, data: BatchLoader) -> None:
    """Write the images and labels of a loader as the two files that torchvision reads."""
    images, labels = data.images.cpu(), data.labels.cpu().to(torch.uint8)
    header = struct.pack(">4i", 0x803, *images.shape)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.numpy().tobytes())
    header = struct.pack(">2i", 0x801, len(labels))
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.numpy().tobytes())


@contextmanager
def book_folder(train_data: BatchLoader, test_data: BatchLoader) -> Iterator[Path]:
    """A temporary folder whose `data` holds the images of both loaders as torchvision wants them.

    Inside the context the current folder is beside it, where `../data` leads to it.
    """
    before = Path.cwd()
    with TemporaryDirectory() as name:
        raw = Path(name) / "data" / "FashionMNIST" / "raw"
        beside = Path(name) / "run"
        for folder in (raw, beside):
            folder.mkdir(parents=True)
        _write_set(raw, "train", train_data)
        _write_set(raw, "t10k", test_data)
        os.chdir(beside)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of four workers on two cores, in every epoch
                yield Path(name) / "data"
        finally:
            os.chdir(before)


class BookNet(nn.Module):
    """The same network, fed with what the book's loaders serve: pixels (b, 1, 28, 28) in 0 to 1.

    The normalisation that our loader does happens here, so that both ways train the same function.
    """

    def __init__(self, model: nn.Module, data: BatchLoader) -> None:
        super().__init__()
        self.model, self.mean, self.std = model, data.mean, data.std

    def forward(self, images: Tensor) -> Tensor:
        """Map images (b, 1, 28, 28) to logits (b, num_classes)."""
        return self.model((images.squeeze(1) - self.mean) / self.std)


def train_by_the_book(
    data: BatchLoader, iterators: tuple[DataLoader, DataLoader], seed: int
) -> Iterator[float]:
    """Train the assignment's network, an epoch for every test accuracy that is asked for.

    The loop is that of `d2l.train_ch3` without its animation, which fails on current IPython and
    would only cost time.
    """
    torch.manual_seed(seed)
    net = BookNet(ASSIGNMENT.make_model(), data).to(data.images.device)
    optimizer, loss_function = ASSIGNMENT.make_optimizer(net), ASSIGNMENT.loss_function
    train_iter, test_iter = iterators
    while True:
        d2l.train_epoch_ch3(net, train_iter, loss_function, optimizer)
        yield d2l.evaluate_accuracy(net, test_iter)
