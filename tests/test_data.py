"""Finding, verifying, downloading and serving the data. No test touches the network."""

import contextlib
import errno
import hashlib
import multiprocessing
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from utils import data
from utils.data import REAL, STAND_IN, BatchLoader, DataError, FileFacts, load_fashion_mnist
from utils.standin import draw_standin

NUM_TRAIN, NUM_TEST = 40, 20


def idx(array: np.ndarray) -> bytes:
    """An array of uint8 in the IDX format: magic number, sizes, content."""
    header = [0x800 + array.ndim, *array.shape]
    return b"".join(number.to_bytes(4, "big") for number in header) + array.tobytes()


def official_files() -> dict[str, bytes]:
    """A tiny data set under the names of the real one: {file name: content}."""
    random = np.random.default_rng(0)
    files = {}
    for prefix, count in (("train", NUM_TRAIN), ("t10k", NUM_TEST)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = idx(images)
        files[f"{prefix}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8) % 10)
    return files


def write_files(root: str | Path) -> Path:
    raw = Path(root) / data.RAW
    raw.mkdir(parents=True)
    for name, content in official_files().items():
        (raw / name).write_bytes(content)
    return raw


class Download:
    """Stands for torchvision's class: writes the files, or fails as it is told to."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error, self.calls = error, 0

    def __call__(self, root: str, download: bool) -> None:
        assert download
        self.calls += 1
        raw = write_files(root)
        (raw / "train-images-idx3-ubyte.gz").write_bytes(b"archive")
        if self.error:
            (raw / "t10k-images-idx3-ubyte").write_bytes(b"half")
            raise self.error


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tiny official data set, no environment, no network, and an empty data/ folder."""
    facts = {
        name: FileFacts(int.from_bytes(c[:4], "big"), len(c), hashlib.sha256(c).hexdigest())
        for name, c in official_files().items()
    }
    monkeypatch.setattr(data, "FILES", facts)
    monkeypatch.setattr(data, "NUM_TRAIN", NUM_TRAIN)
    monkeypatch.setattr(data, "NUM_TEST", NUM_TEST)
    monkeypatch.setattr(data, "DATA_FOLDER", tmp_path / "data")
    monkeypatch.delenv("FASHION_MNIST_ROOT", raising=False)
    monkeypatch.delenv("FASHION_MNIST_REQUIRED", raising=False)
    set_download(monkeypatch, RuntimeError("Error downloading: no network"))


def set_download(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> Download:
    download = Download(error)
    monkeypatch.setattr(data.datasets, "FashionMNIST", download)
    return download


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that FASHION_MNIST_ROOT named when the tests started, in use again."""
    monkeypatch.undo()
    root = os.environ.get("FASHION_MNIST_ROOT")
    if not root:
        pytest.skip("FASHION_MNIST_ROOT is not set")
    missing = [name for name in data.FILES if not (Path(root) / data.RAW / name).is_file()]
    if missing:
        pytest.skip(f"FASHION_MNIST_ROOT lacks {', '.join(missing)}")
    monkeypatch.setattr(data, "DATA_FOLDER", tmp_path / "data")
    set_download(monkeypatch, RuntimeError("the real data is there, yet it was downloaded"))
    return Path(root)


class TestWhereTheDataComesFrom:
    def test_the_named_folder_comes_first(self, monkeypatch, tmp_path):
        write_files(tmp_path / "named")
        monkeypatch.setenv("FASHION_MNIST_ROOT", str(tmp_path / "named"))
        write_files(data.DATA_FOLDER)
        (data.DATA_FOLDER / data.RAW / "t10k-labels-idx1-ubyte").write_bytes(b"never read")
        assert load_fashion_mnist(8)[0].source == REAL

    def test_the_home_of_nobody_is_a_folder_without_data(self, monkeypatch):
        monkeypatch.setenv("FASHION_MNIST_ROOT", "~nobody-of-this-name/data")
        with pytest.warns(UserWarning, match="no data in ~nobody-of-this-name"):
            assert load_fashion_mnist(8)[0].source == STAND_IN

    def test_then_the_data_folder_of_the_repository(self, monkeypatch, tmp_path):
        monkeypatch.setenv("FASHION_MNIST_ROOT", str(tmp_path / "no such folder"))
        write_files(data.DATA_FOLDER)
        download = set_download(monkeypatch)
        training, test = load_fashion_mnist(8)
        assert (training.num_images, test.num_images) == (NUM_TRAIN, NUM_TEST)
        assert download.calls == 0

    def test_then_a_download_which_is_done_once(self, monkeypatch):
        download = set_download(monkeypatch)
        assert load_fashion_mnist(8)[0].source == load_fashion_mnist(8)[1].source == REAL
        assert download.calls == 1
        assert sorted(os.listdir(data.DATA_FOLDER / data.RAW)) == sorted(data.FILES)

    def test_and_last_the_stand_in_with_a_warning_that_says_why(self):
        with pytest.warns(UserWarning, match="STAND-IN.*no data in .*data.*no network"):
            training, test = load_fashion_mnist(8)
        assert training.source == test.source == STAND_IN
        assert (training.num_images, test.num_images) == (NUM_TRAIN, NUM_TEST)

    def test_the_warning_points_at_the_line_that_loads(self):
        with pytest.warns(UserWarning, match="STAND-IN") as warned:
            load_fashion_mnist(8)
        assert warned[0].filename == __file__

    def test_a_data_folder_that_cannot_be_written_leads_to_the_stand_in(self, monkeypatch):
        def read_only(*_, **__):
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(Path, "mkdir", read_only)
        with pytest.warns(UserWarning, match="Read-only file system"):
            assert load_fashion_mnist(8)[0].source == STAND_IN

    @pytest.mark.parametrize("word", ["1", "true", "yes", "on", " True ", "YES\n"])
    def test_required_data_is_an_error_that_tells_what_to_do(self, monkeypatch, word):
        monkeypatch.setenv("FASHION_MNIST_REQUIRED", word)
        with pytest.raises(DataError, match=r"Copy the four official files .*or set FASHION"):
            load_fashion_mnist(8)

    @pytest.mark.parametrize("word", ["", "  ", "0", "false", "no", "off", " False ", "NO"])
    def test_required_no_asks_for_nothing(self, monkeypatch, word):
        monkeypatch.setenv("FASHION_MNIST_REQUIRED", word)
        with pytest.warns(UserWarning, match="STAND-IN"):
            load_fashion_mnist(8)

    def test_any_other_word_is_an_error_at_once(self, monkeypatch):
        write_files(data.DATA_FOLDER)
        monkeypatch.setenv("FASHION_MNIST_REQUIRED", "maybe")
        with pytest.raises(ValueError, match=r"REQUIRED must be 1 or 0, .*, not 'maybe'"):
            load_fashion_mnist(8)


class TestBadData:
    @pytest.mark.parametrize(
        ("spoil", "problem"),
        [
            (lambda content: content[:-5], "is truncated"),
            (lambda content: b"", "is truncated: 0 of"),
            (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "is corrupted"),
            (lambda content: content + b"x", "is corrupted"),
            (lambda content: b"\0\0\x08\x02" + content[4:], "magic number 0x00000802"),
            (lambda content: b"\x1f\x8b" + content, "is still compressed with gzip"),
        ],
    )
    @pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
    def test_a_bad_file_is_named_with_its_problem_and_the_remedy(self, name, spoil, problem):
        file = write_files(data.DATA_FOLDER) / name
        file.write_bytes(spoil(file.read_bytes()))
        with pytest.raises(DataError, match=f"{name} .*{problem}.*Delete the FashionMNIST folder"):
            load_fashion_mnist(8)

    @pytest.mark.parametrize("name", official_files())
    def test_a_missing_one_of_the_four_is_named(self, name):
        (write_files(data.DATA_FOLDER) / name).unlink()
        with pytest.raises(DataError, match=f"lacks {name}"):
            load_fashion_mnist(8)

    def test_archives_that_were_never_unpacked_are_no_data(self):
        raw = write_files(data.DATA_FOLDER)
        for file in raw.iterdir():
            file.rename(file.with_name(file.name + ".gz"))
        with pytest.raises(DataError, match="lacks t10k-images-idx3-ubyte, "):
            load_fashion_mnist(8)

    def test_an_unreadable_folder_is_named(self, monkeypatch):
        def refuse(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(data.os, "listdir", refuse)
        with pytest.raises(DataError, match=r"Cannot read .*raw: Permission denied. Make it"):
            load_fashion_mnist(8)

    def test_an_unreadable_file_is_named(self, monkeypatch):
        def refuse(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        write_files(data.DATA_FOLDER)
        monkeypatch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(DataError, match=r"Cannot read .*train-images.*Permission denied"):
            load_fashion_mnist(8)


class TestDownload:
    def nothing_is_left(self):
        left = {path.name for path in data.DATA_FOLDER.rglob("*")}
        return left <= {".download.lock"}

    def test_a_full_disk_is_an_error_and_leaves_nothing(self, monkeypatch):
        set_download(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(DataError, match=r"The disk is full.*90 MB"):
            load_fashion_mnist(8)
        assert self.nothing_is_left()

    def test_a_disk_that_is_full_before_the_download_starts_is_an_error(self, monkeypatch):
        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(data.tempfile, "TemporaryDirectory", full)
        with pytest.raises(DataError, match="The disk is full"):
            load_fashion_mnist(8)

    @pytest.mark.parametrize("error", [RuntimeError("no mirror"), TimeoutError("timed out")])
    def test_a_failure_half_way_leads_to_the_stand_in_and_leaves_nothing(self, monkeypatch, error):
        set_download(monkeypatch, error)
        with pytest.warns(UserWarning, match=f"STAND-IN.*download failed .{error}"):
            assert load_fashion_mnist(8)[0].source == STAND_IN
        assert self.nothing_is_left()

    def test_an_interrupt_goes_through_and_leaves_nothing(self, monkeypatch):
        set_download(monkeypatch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            load_fashion_mnist(8)
        assert self.nothing_is_left()

    def test_what_a_killed_process_left_is_never_used_and_is_removed(self, monkeypatch):
        write_files(data.DATA_FOLDER / ".download-killed")
        with pytest.warns(UserWarning, match="STAND-IN"):
            assert load_fashion_mnist(8)[0].source == STAND_IN
        write_files(data.DATA_FOLDER / ".download-killed")
        download = set_download(monkeypatch)
        assert load_fashion_mnist(8)[0].source == REAL
        assert download.calls == 1
        assert not (data.DATA_FOLDER / ".download-killed").exists()

    def test_two_processes_share_one_download(self, monkeypatch, tmp_path):
        def slow_download(root, download):
            with open(tmp_path / "downloads", "a") as log:
                log.write("x")
            time.sleep(0.5)
            write_files(root)

        def load(results):
            start.wait(timeout=30)
            training, test = load_fashion_mnist(8)
            results.put((training.source, training.num_images, test.num_images))

        monkeypatch.setattr(data.datasets, "FashionMNIST", slow_download)
        context = multiprocessing.get_context("fork")
        results, start = context.SimpleQueue(), context.Barrier(2)
        processes = [context.Process(target=load, args=(results,)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=30)
        assert [process.exitcode for process in processes] == [0, 0]
        assert [results.get(), results.get()] == [(REAL, NUM_TRAIN, NUM_TEST)] * 2
        assert (tmp_path / "downloads").read_text() == "x"


class TestArguments:
    @pytest.mark.parametrize("batch_size", [0, -1, 1.5, "512", True, np.True_, None, np.int64(0)])
    def test_a_batch_size_that_is_no_positive_integer(self, batch_size):
        with pytest.raises(ValueError, match="batch_size must be a positive integer, not"):
            load_fashion_mnist(batch_size)
        images, labels = torch.zeros(2, 28, 28, dtype=torch.uint8), torch.zeros(2).long()
        with pytest.raises(ValueError, match="batch_size must be a positive integer, not"):
            BatchLoader(images, labels, batch_size, mean=0.0, std=1.0)

    @pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
    def test_integers_of_numpy_are_integers(self, kind):
        write_files(data.DATA_FOLDER)
        training, held_out = load_fashion_mnist(kind(8), validation=kind(10))
        assert (len(training), held_out.num_images) == (4, 10)
        assert [len(labels) for _, labels in training] == [8, 8, 8, 6]
        assert type(training.batch_size) is int

    @pytest.mark.parametrize(
        "device",
        [
            "abacus", "cuda:99", "meta", "", torch.device("meta"), 1.5, None, True, object(),
            "cuda", "mps", "xla", "xpu", "hpu",
        ],
    )  # fmt: skip
    def test_a_device_that_cannot_be_used_is_an_error_in_one_sentence(self, device):
        if device in ("cuda", "mps", "xla", "xpu", "hpu"):
            with contextlib.suppress(Exception):
                torch.ones(1, device=device)
                pytest.skip(f"{device} is here")
        with pytest.raises(ValueError, match=r"cannot be used here .*always can\.$") as error:
            load_fashion_mnist(8, device)
        message = str(error.value)
        assert message.startswith(f"device {device!r} cannot")
        assert message.count(". ") == message.count("\n") == 0

    @pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu")])
    def test_a_device_by_name_or_as_such(self, device):
        write_files(data.DATA_FOLDER)
        assert next(iter(load_fashion_mnist(8, device)[0]))[0].device.type == "cpu"

    @pytest.mark.parametrize("validation", [-1, 60_000, 0.1, True, False, None, np.int64(-1)])
    def test_a_validation_set_that_cannot_be_cut(self, monkeypatch, validation):
        monkeypatch.setattr(data, "NUM_TRAIN", 60_000)
        message = f"must be 0 to 59,999 images, not {re.escape(repr(validation))}"
        with pytest.raises(ValueError, match=message):
            load_fashion_mnist(8, validation=validation)


class TestValidation:
    def test_the_test_files_are_never_opened(self, monkeypatch):
        opened, read_bytes = [], Path.read_bytes
        monkeypatch.setattr(
            Path, "read_bytes", lambda path: opened.append(path.name) or read_bytes(path)
        )
        raw = write_files(data.DATA_FOLDER)
        for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
            (raw / name).write_bytes(b"reading this would be an error")
        training, held_out = load_fashion_mnist(8, validation=10)
        assert (training.num_images, held_out.num_images) == (NUM_TRAIN - 10, 10)
        assert sorted(opened) == ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]

    def test_the_same_images_are_held_out_each_time_and_none_is_in_both(self):
        write_files(data.DATA_FOLDER)
        training, held_out = load_fashion_mnist(8, validation=10)
        torch.manual_seed(123)
        torch.testing.assert_close(load_fashion_mnist(8, validation=10)[1].images, held_out.images)
        together = torch.cat([training.images, held_out.images]).flatten(1)
        assert len(together.unique(dim=0)) == NUM_TRAIN


class TestBatchLoader:
    @pytest.fixture
    def images(self):
        """Images that carry their own label in every pixel."""
        return torch.arange(10, dtype=torch.uint8)[:, None, None].expand(10, 28, 28)

    @pytest.fixture
    def shuffled(self, images):
        return BatchLoader(images, torch.arange(10), 4, mean=0.0, std=1 / 255, shuffle=True)

    def test_the_last_batch_is_what_is_left(self, shuffled):
        assert [tuple(images.shape) for images, _ in shuffled] == [
            (4, 28, 28), (4, 28, 28), (2, 28, 28),
        ]  # fmt: skip
        assert len(shuffled) == 3
        assert shuffled.num_images == 10

    def test_types_are_float_images_and_integer_labels(self, shuffled):
        images, labels = next(iter(shuffled))
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)

    def test_an_epoch_shows_each_image_once_with_its_own_label(self, shuffled):
        seen = []
        for images, labels in shuffled:
            torch.testing.assert_close(images[:, 13, 13], labels.float())
            seen += labels.tolist()
        assert sorted(seen) == list(range(10))

    def test_the_seed_fixes_the_order_and_epochs_differ(self, shuffled):
        def epoch():
            return torch.cat([labels for _, labels in shuffled]).tolist()

        torch.manual_seed(5)
        first, second = epoch(), epoch()
        torch.manual_seed(5)
        assert epoch() == first
        assert second != first

    def test_without_shuffling_the_order_stays(self, images):
        loader = BatchLoader(images, torch.arange(10), 4, mean=0.0, std=1.0)
        assert torch.cat([labels for _, labels in loader]).tolist() == list(range(10))

    def test_pixels_are_normalised_over_the_training_images(self):
        write_files(data.DATA_FOLDER)
        training, _ = load_fashion_mnist(8)
        pixels = np.concatenate([images.numpy() for images, _ in training]).astype(np.float64)
        assert pixels.mean() == pytest.approx(0, abs=1e-5)
        assert pixels.std() == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize("validation", [0, 10])
    def test_the_other_images_are_normalised_with_the_training_pixels_too(self, validation):
        write_files(data.DATA_FOLDER)
        training, other = load_fashion_mnist(NUM_TRAIN, validation=validation)
        training_pixels, other_pixels = training.images.numpy() / 255, other.images.numpy() / 255
        expected = (other_pixels - training_pixels.mean()) / training_pixels.std()
        np.testing.assert_allclose(next(iter(other))[0].numpy(), expected, atol=1e-5)


class TestStandIn:
    def test_the_seed_fixes_the_images(self, drawn):
        again, labels = draw_standin(3000, seed=0)
        assert torch.equal(again, drawn[0])
        assert torch.equal(labels, drawn[1])
        assert not torch.equal(draw_standin(3000, seed=1)[0], drawn[0])

    def test_it_has_the_types_and_the_class_shares_of_the_real_one(self, drawn):
        images, labels = drawn
        assert (images.dtype, tuple(images.shape)) == (torch.uint8, (3000, 28, 28))
        assert labels.bincount().tolist() == [300] * 10

    def test_each_class_has_a_shape_of_its_own(self, drawn):
        images, labels = drawn
        shapes = torch.stack(
            [images[labels == k].double().mean(dim=0).flatten() for k in range(10)]
        )
        gaps = torch.cdist(shapes, shapes) / 28 + torch.eye(10) * 255
        assert gaps.min() > 8  # grey levels a pixel; new draws of one class lie 4 to 6 apart

    def test_the_garments_can_be_told_apart(self, drawn):
        images, labels = drawn
        shapes = torch.stack([images[labels == k].float().mean(dim=0).flatten() for k in range(10)])
        unseen, answers = draw_standin(1000, seed=1)
        nearest = torch.cdist(unseen.flatten(1).float(), shapes).argmin(dim=1)
        assert (nearest == answers).float().mean() > 0.3  # guessing would reach 0.1


def test_the_real_data_is_what_its_authors_describe(real_data):
    training, test = load_fashion_mnist()
    assert training.source == test.source == REAL
    assert training.labels.bincount().tolist() == [6000] * 10
    assert test.labels.bincount().tolist() == [1000] * 10
    assert (training.mean, training.std) == pytest.approx((0.2860, 0.3530), abs=5e-5)
    pixels = training.images.numpy() / np.float32(255)
    assert training.mean == pytest.approx(pixels.mean(dtype=np.float64), rel=1e-5)
    assert training.std == pytest.approx(pixels.std(dtype=np.float64), rel=1e-5)
