"""Fashion-MNIST in memory: found, verified, and served as shuffled, normalised batches."""

import errno
import hashlib
import os
import shutil
import time
import warnings
import zlib
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from utils.debian import unpack
from utils.standin import draw_standin

import torch
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

REPOSITORY = Path(__file__).resolve().parents[1]
DATA_FOLDER = REPOSITORY / "data"
PACKAGE = "dataset-fashion-mnist"  # Debian's, and where it puts the archives:
PACKAGE_FOLDER = Path("/usr/share/datasets/fashion-mnist")
RAW = Path("FashionMNIST") / "raw"  # torchvision's layout below a data folder
REAL, STAND_IN = "Fashion-MNIST", "stand-in"
NUM_TRAIN, NUM_TEST = 60_000, 10_000
DOWNLOAD_SECONDS = 300  # from one source; at 1 Mbit/s the four files take four minutes
MAX_BYTES = 2**26  # of a file, packed or not; the largest official one has 47 million
# The four files, with the SHA-256 of what Zalando Research publishes, decompressed.
FILES = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_POSITIVE = range(1, 2**63), "batch_size must be a positive integer"
_REMEDY = "Put the four official files there, readable, or delete them to have them downloaded."


class DataError(Exception):
    """The data cannot be used; says which file, what is wrong with it and the remedy."""


@dataclass(repr=False, eq=False)
class BatchLoader:
    """Batches of normalised `images` (b, 28, 28) float32 and `labels` (b,) int64, from memory.

    All images are shared out evenly over as few batches as `batch_size` allows: a last batch of
    leftovers would give the step before every measurement a far noisier gradient.

    It holds `images` (n, 28, 28) uint8 and `labels` (n,) int64 of a `source`, "Fashion-MNIST" or
    "stand-in"; `mean` and `std` of the training pixels are fractions of white. `shuffle` gives each
    epoch a new order, fixed by `torch.manual_seed`; a `batch_size` below 1 is a `ValueError`.
    """

    images: Tensor
    labels: Tensor
    batch_size: int
    _: KW_ONLY
    mean: float
    std: float
    shuffle: bool = False
    source: str = REAL

    def __post_init__(self) -> None:
        self.batch_size = _as_integer(self.batch_size, *_POSITIVE)

    @property
    def num_images(self) -> int:
        """How many images one epoch holds."""
        return len(self.labels)

    def __len__(self) -> int:
        """How many batches one epoch holds."""
        return -(-self.num_images // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        make_order = torch.randperm if self.shuffle else torch.arange
        order = make_order(self.num_images, device=self.images.device)
        for index in order.tensor_split(len(self)):
            yield self.normalise(self.images[index]), self.labels[index]

    def normalise(self, images: Tensor) -> Tensor:
        """Map uint8 grey levels (b, 28, 28) to float32 of mean 0 and deviation 1 over the set."""
        return images.float().sub_(255 * self.mean).div_(255 * self.std)


def load_fashion_mnist(
    batch_size: int = 512, device: str | torch.device = "cpu", validation: int = 0
) -> tuple[BatchLoader, BatchLoader]:
    """Load Fashion-MNIST onto a device; docs/data.md says where it comes from.

    Returns the shuffled training loader and the test loader in fixed order; both normalise with the
    mean and deviation of the training images served. `validation` holds out that many training
    images, always the same, and serves them in place of the test images, whose files stay closed.

    `ValueError` for an argument or a FASHION_MNIST_REQUIRED that cannot be used; `DataError` for
    data incomplete, unreadable or not official, or missing but required.
    """
    batch_size, device = _as_integer(batch_size, *_POSITIVE), _as_device(device)
    held_out = f"validation must be 0 to {NUM_TRAIN - 1:,} images"
    validation = _as_integer(validation, range(NUM_TRAIN), held_out)
    files = find_files()
    images, labels = _read(files, "train") if files else draw_standin(NUM_TRAIN, seed=0)
    if validation:
        order = torch.randperm(NUM_TRAIN, generator=torch.Generator().manual_seed(0))
        out, kept = order[:validation], order[validation:]
        others, images, labels = (images[out], labels[out]), images[kept], labels[kept]
    else:
        others = _read(files, "t10k") if files else draw_standin(NUM_TEST, seed=1)

    std, mean = (x.item() for x in torch.std_mean(images.float().div_(255), correction=0))
    shared = {"mean": mean, "std": std, "source": REAL if files else STAND_IN}
    return (
        BatchLoader(images.to(device), labels.to(device), batch_size, shuffle=True, **shared),
        BatchLoader(*(part.to(device) for part in others), batch_size, **shared),
    )


def _as_integer(value: int, allowed: range, rule: str) -> int:
    """Make an int of any integer, numpy's too; a bool counts as none."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) not in allowed:
        raise ValueError(f"{rule}, not {value!r}.")
    return int(value)


def _as_device(device: str | torch.device) -> torch.device:
    try:
        torch.zeros(1, device=device).item()  # "meta" has tensors, but nothing in them
        return torch.device(device)
    except Exception as error:  # each kind of device raises an error of another type
        problem = f"cannot be used here ({_reason(error)})"
        raise ValueError(f'device {device!r} {problem}; "cpu" always can.') from error


def find_files() -> dict[str, Path] | None:
    """The four files; None, with a warning of all that was tried, if the stand-in takes over."""
    word = os.environ.get("FASHION_MNIST_REQUIRED", "").strip().lower() or "no"
    if word not in ConfigParser.BOOLEAN_STATES:  # 1 and 0, yes and no, ...
        raise ValueError(f"FASHION_MNIST_REQUIRED must be 1 or 0, yes or no, not {word!r}.")
    wrong = ""
    if folder := named_folder():
        if files := _locate(folder):
            return files
        wrong = f"FASHION_MNIST_ROOT names {folder}, but no Fashion-MNIST is there. "
    try:
        files = _locate(DATA_FOLDER) or _locate(PACKAGE_FOLDER) or _download()
    except OSError as error:
        places = f"There is none in {DATA_FOLDER} or {PACKAGE_FOLDER}"
        problem = f"{wrong}{places}, and the download failed ({error})."
        if ConfigParser.BOOLEAN_STATES[word] or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"{problem} Copy the four official files (55 MB) into {DATA_FOLDER / RAW}, or set "
                "FASHION_MNIST_ROOT to the folder that holds them."
            ) from error
        warning = "Using the drawn STAND-IN, not Fashion-MNIST: accuracies say nothing about it."
        warnings.warn(f"{warning} {problem}", stacklevel=3)
        return None
    if wrong:
        warnings.warn(f"{wrong}Using {next(iter(files.values())).parent}.", stacklevel=3)
    return files


def named_folder() -> Path | None:
    """The folder that FASHION_MNIST_ROOT names, if any; a relative one counts from here."""
    named = os.environ.get("FASHION_MNIST_ROOT")
    # os.path's leaves the name of an unknown user as it is, where Path's raises.
    return REPOSITORY / os.path.expanduser(named) if named else None


def _locate(folder: Path) -> dict[str, Path] | None:
    """The four files or their archives in `folder`, by name; only some of them is an error."""
    for raw in (folder / RAW, folder / RAW.name, folder):
        try:
            listed = sorted(os.listdir(raw), reverse=True)  # so a file replaces its archive below
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise DataError(f"Cannot read {raw}: {error.strerror}. {_REMEDY}") from error
        files = {name.removesuffix(".gz"): raw / name for name in listed}
        missing = sorted(FILES.keys() - files)
        if not missing:
            return files
        if len(missing) < len(FILES):
            raise DataError(f"{raw} lacks {', '.join(missing)}. {_REMEDY}")
    return None


def _download() -> dict[str, Path] | None:
    """Download the four files, so that they appear in `data/` all at once, or not at all.

    A second process waits for the first and then finds the data there.
    """
    DATA_FOLDER.mkdir(parents=True, exist_ok=True)
    unfinished, raw = DATA_FOLDER / ".download", DATA_FOLDER / RAW
    with FileLock(DATA_FOLDER / ".download.lock", timeout=2 * DOWNLOAD_SECONDS):
        if files := _locate(DATA_FOLDER):
            return files
        with suppress(FileNotFoundError):
            raw.rmdir()  # now, lest anything in it should stop the rename below
        shutil.rmtree(unfinished, ignore_errors=True)  # left by one that was killed
        try:
            unfinished.mkdir()
            for name, content in _fetch().items():
                (unfinished / name).write_bytes(content)
            raw.parent.mkdir(exist_ok=True)
            unfinished.rename(raw)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return _locate(DATA_FOLDER)


def _fetch() -> dict[str, bytes]:
    """The verified content of the four files, from the first source that has them all."""
    from torchvision import datasets  # only here: it takes two seconds to load

    failures = []
    for source in (*datasets.FashionMNIST.mirrors, PACKAGE):
        try:
            return _from_debian() if source == PACKAGE else _from_mirror(source)
        except Exception as error:  # whatever is wrong with one source, the next is asked
            failures.append(f"{source}: {_reason(error)}")
    raise OSError("; ".join(failures))


def _from_mirror(url: str) -> dict[str, bytes]:
    files, deadline = {}, time.monotonic() + DOWNLOAD_SECONDS
    for name in FILES:
        content = bytearray()
        with (
            urlopen(f"{url}{name}.gz", timeout=10) as answer,
            tqdm(desc=name, total=answer.length, unit="B", unit_scale=True) as bar,
        ):
            # read1 returns what has come, where read would wait for the whole block.
            while len(content) < MAX_BYTES and (block := answer.read1(2**16)):
                content += block
                bar.update(len(block))
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not done after {DOWNLOAD_SECONDS} seconds")
        files[name] = _verified(bytes(content), Path(f"{name}.gz"))
    return files


def _from_debian() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        unpack(PACKAGE, Path(folder), DOWNLOAD_SECONDS)
        raw = Path(folder, *PACKAGE_FOLDER.parts[1:])
        return {name: _verified((raw / f"{name}.gz").read_bytes(), raw / name) for name in FILES}


def _read(files: dict[str, Path], prefix: str) -> tuple[Tensor, Tensor]:
    """The verified images (n, 28, 28) uint8 and labels (n,) int64 of one set."""
    contents = []
    for name, header in (("images-idx3", 16), ("labels-idx1", 8)):  # bytes before the content
        file = files[f"{prefix}-{name}-ubyte"]
        try:
            if not file.is_file():  # reading a pipe would wait for ever
                raise DataError(f"{file} is a folder, a broken link or a device. {_REMEDY}")
            content = _verified(file.read_bytes(), file)
        except OSError as error:
            raise DataError(f"Cannot read {file}: {error.strerror}. {_REMEDY}") from error
        contents.append(torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header))
    return contents[0].view(-1, 28, 28), contents[1].long()


def _verified(content: bytes, file: Path) -> bytes:
    """`content`, unpacked; `DataError` unless it is, byte for byte, the official file's."""
    with suppress(zlib.error):  # not an archive; a damaged one is refused below
        content = zlib.decompressobj(wbits=31).decompress(content, MAX_BYTES)
    if hashlib.sha256(content).hexdigest() != FILES[file.name.removesuffix(".gz")]:
        problem = "truncated, damaged or another file, for its SHA-256 differs"
        raise DataError(f"{file} ({len(content):,} bytes) is {problem}. {_REMEDY}")
    return content


def _reason(error: Exception) -> str:
    """The first sentence of an error, or its type if it says nothing."""
    sentence = str(error).partition("\n")[0].partition(". ")[0].rstrip(".:")
    return sentence[:200] or type(error).__name__
