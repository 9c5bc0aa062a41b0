"""Fashion-MNIST in memory: found, verified, and served as shuffled, normalised batches."""

import errno
import hashlib
import operator
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file

from utils.standin import draw_standin

DATA_FOLDER = Path(__file__).resolve().parents[1] / "data"
RAW = Path("FashionMNIST") / "raw"  # torchvision's layout below a data folder
REAL, STAND_IN = "Fashion-MNIST", "stand-in"
NUM_TRAIN, NUM_TEST = 60_000, 10_000


class FileFacts(NamedTuple):
    """What one of the four files must be: IDX magic number, size in bytes, SHA-256."""

    magic: int
    size: int
    sha256: str


# Of the files that Zalando Research publishes, decompressed.
FILES = {
    "train-images-idx3-ubyte": FileFacts(
        0x803, 47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte": FileFacts(
        0x801, 60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte": FileFacts(
        0x803, 7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte": FileFacts(
        0x801, 10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}
_REMEDY = (
    "Delete the FashionMNIST folder there to have it downloaded again, "
    "or copy the four official files into it."
)


class DataError(Exception):
    """The data cannot be used; the message names the file, what is wrong and the remedy."""


class BatchLoader:
    """Serve batches of normalised images from tensors that stay in memory, on one device.

    Iterating yields `images` (b, 28, 28) float32 and `labels` (b,) int64, where b is
    `batch_size`, less in the last batch. Shuffling draws one permutation an epoch from
    torch's global generator, so `torch.manual_seed` fixes the order.

    Args:
        images: (n, 28, 28) uint8.
        labels: (n,) int64.
        batch_size: images per batch, at least 1.
        mean: of the training pixels, as a fraction of white; subtracted.
        std: of the training pixels, as a fraction of white; divided by.
        shuffle: a new order in every epoch.
        source: where the images come from, "Fashion-MNIST" or "stand-in".

    Raises:
        ValueError: if `batch_size` is not a positive integer.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        *,
        mean: float,
        std: float,
        shuffle: bool = False,
        source: str = REAL,
    ) -> None:
        batch_size = _as_integer(batch_size, "batch_size must be a positive integer")
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.mean, self.std, self.shuffle, self.source = mean, std, shuffle, source

    @property
    def num_images(self) -> int:
        """How many images one epoch holds."""
        return len(self.labels)

    def __len__(self) -> int:
        """How many batches one epoch holds."""
        return -(-self.num_images // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.shuffle:
            order = torch.randperm(self.num_images, device=self.images.device)
            for index in order.split(self.batch_size):
                yield self.normalise(self.images[index]), self.labels[index]
        else:
            batches = self.images.split(self.batch_size), self.labels.split(self.batch_size)
            for images, labels in zip(*batches, strict=True):
                yield self.normalise(images), labels

    def normalise(self, images: Tensor) -> Tensor:
        """Map uint8 grey levels (b, 28, 28) to float32 of mean 0 and deviation 1 over the set."""
        return images.float().sub_(255 * self.mean).div_(255 * self.std)

    def __repr__(self) -> str:
        return (
            f"BatchLoader({self.num_images:,} images of {self.source}, {len(self)} batches of "
            f"{self.batch_size}, shuffle={self.shuffle}, on {self.images.device})"
        )


def load_fashion_mnist(
    batch_size: int = 512,
    device: str | torch.device = "cpu",
    validation: int = 0,
) -> tuple[BatchLoader, BatchLoader]:
    """Load Fashion-MNIST onto a device and return its two loaders.

    The data is looked for in the folder that the environment variable
    `FASHION_MNIST_ROOT` names, then in `data/` of the repository; failing both,
    torchvision downloads it into `data/`. Without data and without network, garments
    are drawn instead, with a warning; `FASHION_MNIST_REQUIRED=1` makes that an error.

    Args:
        batch_size: images per batch.
        device: where the images live and the batches are made.
        validation: 0 for the 60,000 training and the 10,000 test images. Otherwise that
            many training images, the same in every call, are held out and served in
            place of the test images, whose files are then never opened.

    Returns:
        The shuffled training loader, and the test (or validation) loader in fixed order.
        Both normalise with the mean and deviation of the training images served.

    Raises:
        ValueError: for an argument or a FASHION_MNIST_REQUIRED that cannot be used.
        DataError: for data that is incomplete, unreadable or not the official files, a
            full disk, or no data although it is required.
    """
    batch_size = _as_integer(batch_size, "batch_size must be a positive integer")
    possible = f"validation must be 0 to {NUM_TRAIN - 1:,} images"
    validation = _as_integer(validation, possible, range(NUM_TRAIN))
    device, required = _as_device(device), _is_required()

    root = _find_data(required)
    source = REAL if root else STAND_IN
    images, labels = _read(root, "train") if root else draw_standin(NUM_TRAIN, seed=0)
    if validation:
        order = torch.randperm(NUM_TRAIN, generator=torch.Generator().manual_seed(0))
        kept, held_out = order[validation:], order[:validation]
        other_images, other_labels = images[held_out], labels[held_out]
        images, labels = images[kept], labels[kept]
    elif root:
        other_images, other_labels = _read(root, "t10k")
    else:
        other_images, other_labels = draw_standin(NUM_TEST, seed=1)

    mean, std = _pixel_statistics(images)
    shared = {"batch_size": batch_size, "mean": mean, "std": std, "source": source}
    return (
        BatchLoader(images.to(device), labels.to(device), shuffle=True, **shared),
        BatchLoader(other_images.to(device), other_labels.to(device), **shared),
    )


def _as_integer(value: int, rule: str, allowed: range = range(1, 2**63)) -> int:
    """Make an int of any integer, numpy's too; a bool counts as none."""
    with suppress(TypeError):
        if not isinstance(value, bool) and operator.index(value) in allowed:
            return operator.index(value)
    raise ValueError(f"{rule}, not {value!r}.")


def _as_device(device: str | torch.device) -> torch.device:
    try:
        torch.zeros(1, device=device).item()  # "meta" has tensors, but nothing in them
        return torch.device(device)
    except Exception as error:  # each kind of device raises an error of another type
        raise ValueError(
            f'device {device!r} cannot be used here ({_reason(error)}); "cpu" always can.'
        ) from error


def _is_required() -> bool:
    value = os.environ.get("FASHION_MNIST_REQUIRED", "")
    if value.strip().lower() in ("", "0", "false", "no", "off"):
        return False
    if value.strip().lower() in ("1", "true", "yes", "on"):
        return True
    raise ValueError(f"FASHION_MNIST_REQUIRED must be 1 or 0, yes or no, not {value!r}.")


def _find_data(required: bool) -> Path | None:
    """The folder that holds the data, downloaded if need be; None for the stand-in."""
    tried = []
    named = os.environ.get("FASHION_MNIST_ROOT")
    # os.path's leaves the name of an unknown user as it is, where Path's raises.
    folders = [Path(os.path.expanduser(named)), DATA_FOLDER] if named else [DATA_FOLDER]
    for folder in folders:
        if _holds_data(folder):
            return folder
        tried.append(f"no data in {folder}")
    try:
        _download(DATA_FOLDER)
        return DATA_FOLDER
    # torchvision raises RuntimeError once its mirrors have failed; the others cut in earlier.
    except (RuntimeError, OSError, HTTPException) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"The disk is full: Fashion-MNIST needs 90 MB free in {DATA_FOLDER}. Free some, "
                "or set FASHION_MNIST_ROOT to a folder that holds the data."
            ) from error
        tried.append(f"the download failed ({_reason(error)})")
    summary = "; ".join(tried)
    if required:
        raise DataError(
            f"Fashion-MNIST is required (FASHION_MNIST_REQUIRED) but missing: {summary}. "
            f"Copy the four official files into {DATA_FOLDER / RAW}, or set "
            "FASHION_MNIST_ROOT to the folder that holds FashionMNIST/raw."
        )
    warnings.warn(
        "Using the drawn STAND-IN, not Fashion-MNIST: accuracies say nothing about "
        f"Fashion-MNIST. Reason: {summary}.",
        stacklevel=3,
    )
    return None


def _holds_data(folder: Path) -> bool:
    """Whether the four files are there; a folder that holds something else is an error."""
    try:
        listed = set(os.listdir(folder / RAW))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DataError(_unreadable(folder / RAW, error)) from error
    missing = sorted(FILES.keys() - listed)
    if listed and missing:
        raise DataError(f"{folder / RAW} lacks {', '.join(missing)}. {_REMEDY}")
    return not missing


def _download(folder: Path) -> None:
    """Have torchvision download the four files, so that they appear in `folder` all at once.

    Whatever stops it leaves at most a hidden folder that the next download removes. A
    second process waits for the first and then finds the data there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".download.lock"):
        if _holds_data(folder):
            return
        for leftover in folder.glob(".download-*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as unfinished:
            with _socket_timeout(seconds=30):
                datasets.FashionMNIST(unfinished, download=True)
            for archive in (Path(unfinished) / RAW).glob("*.gz"):
                archive.unlink()
            (folder / RAW).parent.mkdir(exist_ok=True)
            os.rename(Path(unfinished) / RAW, folder / RAW)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Give up on a silent server: torchvision itself would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read(root: Path, prefix: str) -> tuple[Tensor, Tensor]:
    """Verify and read the images (n, 28, 28) uint8 and labels (n,) int64 of one set."""
    images, labels = (
        root / RAW / f"{prefix}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")
    )
    try:
        _verify(images)
        _verify(labels)
        return read_image_file(str(images)), read_label_file(str(labels))
    except OSError as error:
        raise DataError(_unreadable(root / RAW, error)) from error


def _verify(file: Path) -> None:
    """Raise `DataError` unless `file` is, byte for byte, the official one of its name."""
    facts, content = FILES[file.name], file.read_bytes()
    magic = int.from_bytes(content[:4], "big")
    if content[:2] == b"\x1f\x8b":
        problem = "is still compressed with gzip"
    elif len(content) >= 4 and magic != facts.magic:
        problem = f"has the magic number {magic:#010x} instead of {facts.magic:#010x}"
    elif len(content) < facts.size:
        problem = f"is truncated: {len(content):,} of {facts.size:,} bytes"
    elif hashlib.sha256(content).hexdigest() != facts.sha256:
        problem = "is corrupted: its SHA-256 is not that of the official file"
    else:
        return
    raise DataError(f"{file} {problem}. {_REMEDY}")


def _unreadable(folder: Path, error: OSError) -> str:
    return (
        f"Cannot read {error.filename or folder}: {error.strerror}. "
        "Make it readable, or set FASHION_MNIST_ROOT to a folder that holds the data."
    )


def _reason(error: Exception) -> str:
    """The first sentence of an error, or its type if it says nothing."""
    sentence = str(error).partition("\n")[0].partition(". ")[0].rstrip(".:")
    return sentence[:200] or type(error).__name__


def _pixel_statistics(images: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of uint8 pixels, as fractions of white."""
    # In slices: bincount would turn all 47 million grey levels into int64 at once.
    counts = sum(part.flatten().bincount(minlength=256) for part in images.split(1000)).double()
    share, level = counts / counts.sum(), torch.arange(256) / 255
    mean = (share * level).sum()
    return mean.item(), (share * (level - mean) ** 2).sum().sqrt().item()
