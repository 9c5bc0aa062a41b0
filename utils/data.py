"""Fashion-MNIST in memory: found, verified, and served as shuffled, normalised batches."""

import errno
import hashlib
import operator
import os
import shutil
import tempfile
import time
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from utils.standin import draw_standin

import torch
from filelock import FileLock
from torch import Tensor
from torch.hub import tqdm  # without tqdm installed, a counter
from torchvision import datasets

DATA_FOLDER = Path(__file__).resolve().parents[1] / "data"
RAW = Path("FashionMNIST") / "raw"  # torchvision's layout below a data folder
REAL, STAND_IN = "Fashion-MNIST", "stand-in"
NUM_TRAIN, NUM_TEST = 60_000, 10_000
DOWNLOAD_SECONDS = 600  # for all four files; at 1 Mbit/s they take four minutes
# The four files, with the SHA-256 of what Zalando Research publishes, decompressed.
FILES = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_REMEDY = "Put the four official files there, readable, or delete them to have them downloaded."


class DataError(Exception):
    """The data cannot be used; the message names the file, what is wrong and the remedy."""


class BatchLoader:
    """Serve batches of normalised images from tensors that stay in memory, on one device.

    Iterating yields `images` (b, 28, 28) float32 and `labels` (b,) int64. The images are
    shared out evenly over as few batches as `batch_size` allows, so b is at most that, and
    no batch differs from another by more than one image: a last batch of leftovers would
    give the step before every measurement a far noisier gradient. Shuffling draws one
    permutation an epoch from torch's global generator, so `torch.manual_seed` fixes the order.

    Args:
        images: (n, 28, 28) uint8.
        labels: (n,) int64.
        batch_size: images per batch at the most, at least 1.
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
            for index in order.tensor_split(len(self)):
                yield self.normalise(self.images[index]), self.labels[index]
        else:
            batches = self.images.tensor_split(len(self)), self.labels.tensor_split(len(self))
            for images, labels in zip(*batches, strict=True):
                yield self.normalise(images), labels

    def normalise(self, images: Tensor) -> Tensor:
        """Map uint8 grey levels (b, 28, 28) to float32 of mean 0 and deviation 1 over the set."""
        return images.float().sub_(255 * self.mean).div_(255 * self.std)

    def __repr__(self) -> str:
        return (
            f"BatchLoader({self.num_images:,} images of {self.source}, {len(self)} batches of at "
            f"most {self.batch_size}, shuffle={self.shuffle}, on {self.images.device})"
        )


def load_fashion_mnist(
    batch_size: int = 512,
    device: str | torch.device = "cpu",
    validation: int = 0,
) -> tuple[BatchLoader, BatchLoader]:
    """Load Fashion-MNIST onto a device and return its two loaders.

    The data is looked for in the folder that the environment variable
    `FASHION_MNIST_ROOT` names, then in `data/` of the repository; failing both, it is
    downloaded into `data/`. Without data and without network, garments are drawn instead,
    with a warning; `FASHION_MNIST_REQUIRED=1` makes that an error.

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

    raw = None
    try:
        raw = _search() or _download(DATA_FOLDER)
    except OSError as error:
        _accept_standin(error, required)
    source = REAL if raw else STAND_IN
    images, labels = _read(raw, "train") if raw else draw_standin(NUM_TRAIN, seed=0)
    if validation:
        order = torch.randperm(NUM_TRAIN, generator=torch.Generator().manual_seed(0))
        kept, held_out = order[validation:], order[:validation]
        other_images, other_labels = images[held_out], labels[held_out]
        images, labels = images[kept], labels[kept]
    elif raw:
        other_images, other_labels = _read(raw, "t10k")
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


def _search() -> Path | None:
    """The folder with the four files: where FASHION_MNIST_ROOT says, else in `data/`."""
    if named := os.environ.get("FASHION_MNIST_ROOT"):
        # os.path's leaves the name of an unknown user as it is, where Path's raises.
        folder = Path(os.path.expanduser(named)).absolute()
        if raw := _locate(folder):
            return raw
        warnings.warn(
            f"FASHION_MNIST_ROOT names {folder}, but no Fashion-MNIST is there; it should name "
            f"the folder that holds {RAW}. Trying {DATA_FOLDER}, then a download into it.",
            stacklevel=3,
        )
    return _locate(DATA_FOLDER)


def _locate(folder: Path) -> Path | None:
    """Where in `folder` the four files or their archives are; only some of them is an error."""
    for raw in (folder / RAW, folder / RAW.name, folder):
        try:
            listed = {name.removesuffix(".gz") for name in os.listdir(raw)}
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise DataError(f"Cannot read {raw}: {error.strerror}. {_REMEDY}") from error
        missing = sorted(FILES.keys() - listed)
        if not missing:
            return raw
        if len(missing) < len(FILES):
            raise DataError(f"{raw} lacks {', '.join(missing)}. {_REMEDY}")
    return None


def _download(folder: Path) -> Path:
    """Download the four files, so that they appear in `folder` all at once.

    Whatever stops it leaves at most a hidden folder that the next download removes. A
    second process waits for the first and then finds the data there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".download.lock", timeout=DOWNLOAD_SECONDS):
        if raw := _locate(folder):
            return raw
        for leftover in folder.glob(".download-*"):
            shutil.rmtree(leftover)
        with suppress(FileNotFoundError):
            (folder / RAW).rmdir()  # now, lest anything in it should stop the rename below
        deadline = time.monotonic() + DOWNLOAD_SECONDS
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as unfinished:
            raw = Path(unfinished) / RAW.name
            raw.mkdir()
            for name in FILES:
                (raw / name).write_bytes(_fetch(name, deadline))
            (folder / RAW).parent.mkdir(exist_ok=True)
            return raw.rename(folder / RAW)


def _fetch(name: str, deadline: float) -> bytes:
    """One file, verified, from the first of torchvision's mirrors that has it."""
    failures = []
    for mirror in datasets.FashionMNIST.mirrors:
        content = bytearray()
        try:
            with (
                urlopen(f"{mirror}{name}.gz", timeout=30) as answer,
                tqdm(desc=name, total=answer.length, unit="B", unit_scale=True) as bar,
            ):
                # read1 returns what has come, where read would wait for the whole block;
                # no file has 64 MiB.
                while len(content) < 2**26 and (block := answer.read1(2**16)):
                    content += block
                    bar.update(len(block))
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"not done after {DOWNLOAD_SECONDS} seconds")
            return _verified(bytes(content), Path(f"{name}.gz"))
        except (OSError, HTTPException, ValueError, DataError) as error:
            failures.append(f"{mirror}: {_reason(error)}")
    raise OSError("; ".join(failures))


def _accept_standin(error: OSError, required: bool) -> None:
    """Warn that the stand-in takes the place of the data, unless that must not be."""
    reason = f"no data in {DATA_FOLDER}; the download failed ({_reason(error)})"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or required:
        raise DataError(
            f"{'The disk is full' if full else 'FASHION_MNIST_REQUIRED is set'}, but {reason}. "
            f"Copy the four official files (55 MB) into {DATA_FOLDER / RAW}, or set "
            "FASHION_MNIST_ROOT to the folder that holds them."
        ) from error
    warnings.warn(
        "Using the drawn STAND-IN, not Fashion-MNIST: accuracies say nothing about "
        f"Fashion-MNIST. Reason: {reason}.",
        stacklevel=3,
    )


def _read(raw: Path, prefix: str) -> tuple[Tensor, Tensor]:
    """The verified images (n, 28, 28) uint8 and labels (n,) int64 of one set."""
    images = _read_file(raw / f"{prefix}-images-idx3-ubyte")
    labels = _read_file(raw / f"{prefix}-labels-idx1-ubyte")
    # First come the magic number and, in four bytes each, the sizes.
    return images[16:].view(-1, 28, 28), labels[8:].long()


def _read_file(file: Path) -> Tensor:
    """The verified bytes of a file, or of its archive where the file itself is not."""
    try:
        if file.name not in os.listdir(file.parent):
            file = file.with_name(f"{file.name}.gz")
        if not file.exists():
            raise DataError(f"{file} is a dangling symbolic link. {_REMEDY}")
        if not file.is_file():  # reading a FIFO would wait for ever
            kind = "folder" if file.is_dir() else "FIFO, socket or device"
            raise DataError(f"{file} is a {kind}, not a file. {_REMEDY}")
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}. {_REMEDY}") from error
    return torch.frombuffer(bytearray(_verified(content, file)), dtype=torch.uint8)


def _verified(content: bytes, file: Path) -> bytes:
    """`content`, unpacked; `DataError` unless it is, byte for byte, the official file's."""
    name, problem = file.name.removesuffix(".gz"), None
    count = NUM_TRAIN if name.startswith("train") else NUM_TEST
    magic, size = (0x803, 16 + count * 28 * 28) if "images" in name else (0x801, 8 + count)
    if content[:2] == b"\x1f\x8b":
        try:  # One byte too many is enough to see that it is not the official file.
            content = zlib.decompressobj(wbits=31).decompress(content, size + 1)
        except zlib.error as error:
            raise DataError(f"{file} is a corrupted archive ({error}). {_REMEDY}") from error
    if len(content) >= 4 and int.from_bytes(content[:4], "big") != magic:
        problem = f"has the magic number 0x{content[:4].hex()} instead of {magic:#010x}"
    elif len(content) < size:
        problem = f"is truncated: {len(content):,} of the {size:,} bytes of {name}"
    elif hashlib.sha256(content).hexdigest() != FILES[name]:
        problem = "is corrupted: its SHA-256 is not that of the official file"
    if problem:
        raise DataError(f"{file} {problem}. {_REMEDY}")
    return content


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
