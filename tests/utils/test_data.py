"""Finding, verifying, downloading and serving the data. No test touches the network."""

import contextlib
import errno
import gzip
import hashlib
import io
import multiprocessing
import os
import re
import signal
import socket
import tarfile
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

from utils import data
from utils.data import REAL, STAND_IN, BatchLoader, DataError, load_fashion_mnist
from utils.standin import draw_standin

import numpy as np
import pytest
import torch
from torchvision import datasets

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


def write_archives(root: str | Path) -> Path:
    raw = write_files(root)
    for file in raw.iterdir():
        pack(file)
    return raw


def pack(file: Path) -> Path:
    """Put the archive in the place of the file."""
    archive = file.with_name(f"{file.name}.gz")
    archive.write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    return archive


class Answer(io.BytesIO):
    length = None  # of the answer, unknown


class Mirror:
    """Stands for urlopen: serves the archives, but for the last an error if it is given one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error, self.served = error, []

    def __call__(self, url: str, timeout: float) -> Answer:
        name = url.rpartition("/")[2]
        if self.error and name == "t10k-labels-idx1-ubyte.gz":
            raise self.error
        self.served.append(name)
        return Answer(gzip.compress(official_files()[name.removesuffix(".gz")]))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, programs: Path) -> None:
    """A tiny official data set, no environment, no network, no package, and an empty data/."""
    hashes = {name: hashlib.sha256(c).hexdigest() for name, c in official_files().items()}
    monkeypatch.setattr(data, "FILES", hashes)
    monkeypatch.setattr(data, "NUM_TRAIN", NUM_TRAIN)
    monkeypatch.setattr(data, "NUM_TEST", NUM_TEST)
    monkeypatch.setattr(data, "REPOSITORY", tmp_path)
    monkeypatch.setattr(data, "DATA_FOLDER", tmp_path / "data")
    monkeypatch.setattr(data, "PACKAGE_FOLDER", Path("/usr/share/datasets") / tmp_path.name)
    monkeypatch.delenv("FASHION_MNIST_ROOT", raising=False)
    monkeypatch.delenv("FASHION_MNIST_REQUIRED", raising=False)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    write_program(programs / "apt-get", "echo 'E: no package either'; exit 100")
    set_mirror(monkeypatch, URLError("no network"))


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of programs that are found before the machine's own."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def write_program(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def set_mirror(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> Mirror:
    mirror = Mirror(error)
    monkeypatch.setattr(data, "urlopen", mirror)
    return mirror


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch):
    """Makes a function the only mirror: it gets the handler of each request to a real server."""
    servers = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        methods = {"do_GET": answer, "log_message": lambda *_: None}
        handler = type("Handler", (BaseHTTPRequestHandler,), methods)
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{servers[-1].server_port}/"
        monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [url])
        monkeypatch.setattr(data, "urlopen", urllib.request.urlopen)
        monkeypatch.setenv("no_proxy", "127.0.0.1")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, content: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(content)


def archive_of(handler: BaseHTTPRequestHandler) -> bytes:
    return gzip.compress(official_files()[handler.path.strip("/").removesuffix(".gz")])


def send_archive(handler: BaseHTTPRequestHandler) -> None:
    send(handler, archive_of(handler))


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte every twentieth of a second, for as long as anybody listens."""
    send(handler, b"")
    try:
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:
        handler.close_connection = True


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that FASHION_MNIST_ROOT named when the tests started, in use again."""
    monkeypatch.undo()
    root = os.environ.get("FASHION_MNIST_ROOT")
    if not root:
        pytest.skip("FASHION_MNIST_ROOT is not set")
    folder = data.REPOSITORY / root
    missing = [name for name in data.FILES if not (folder / data.RAW / name).is_file()]
    if missing:
        pytest.skip(f"FASHION_MNIST_ROOT lacks {', '.join(missing)}")
    monkeypatch.setattr(data, "DATA_FOLDER", tmp_path / "data")
    set_mirror(monkeypatch, URLError("the real data is there, yet it was downloaded"))
    return folder


class TestWhereTheDataComesFrom:
    def test_the_named_folder_comes_first(self, monkeypatch, tmp_path):
        write_files(tmp_path / "named")
        monkeypatch.setenv("FASHION_MNIST_ROOT", str(tmp_path / "named"))
        write_files(data.DATA_FOLDER)
        (data.DATA_FOLDER / data.RAW / "t10k-labels-idx1-ubyte").write_bytes(b"never read")
        assert load_fashion_mnist(8)[0].source == REAL

    @pytest.mark.parametrize(
        "named",
        ["{0}", "{0}/", "{0}/FashionMNIST", "{0}/FashionMNIST/raw", "{0}/FashionMNIST/raw/",
         "named", "./named/FashionMNIST", "data/../named/FashionMNIST/raw", "~",
         "~/FashionMNIST/raw"],
    )  # fmt: skip
    @pytest.mark.parametrize("write", [write_files, write_archives])
    def test_any_of_the_three_folders_can_be_named_in_any_way(
        self, monkeypatch, tmp_path, named, write
    ):
        root = tmp_path / "named"
        write(root)
        data.DATA_FOLDER.mkdir()
        monkeypatch.setenv("HOME", str(root))
        monkeypatch.setenv("FASHION_MNIST_ROOT", named.format(root))
        assert load_fashion_mnist(8)[0].source == REAL

    @pytest.mark.parametrize("started_in", [".", "notebooks", "/"])
    def test_a_relative_name_counts_from_the_repository_wherever_a_program_is_started(
        self, monkeypatch, tmp_path, started_in
    ):
        (tmp_path / "clone" / "notebooks").mkdir(parents=True)
        write_files(tmp_path / "shared")
        monkeypatch.setattr(data, "REPOSITORY", tmp_path / "clone")
        monkeypatch.chdir(tmp_path / "clone" / started_in)
        monkeypatch.setenv("FASHION_MNIST_ROOT", "../shared")
        assert load_fashion_mnist(8)[0].source == REAL

    def test_the_folder_can_have_another_name_and_be_a_link(self, monkeypatch, tmp_path):
        raw = write_files(tmp_path / "named").rename(tmp_path / "garments")
        (tmp_path / "link").symlink_to(raw)
        monkeypatch.setenv("FASHION_MNIST_ROOT", str(tmp_path / "link"))
        assert load_fashion_mnist(8)[0].source == REAL

    def test_a_named_folder_without_data_is_said_with_what_is_used_in_its_place(
        self, monkeypatch, tmp_path
    ):
        mirror = set_mirror(monkeypatch)
        monkeypatch.setenv("FASHION_MNIST_ROOT", str(tmp_path))
        message = f"names {tmp_path}, but no Fashion-MNIST is there. Using {data.DATA_FOLDER}"
        with pytest.warns(UserWarning, match=message) as warned:
            assert load_fashion_mnist(8)[0].source == REAL
        assert [warning.filename for warning in warned] == [__file__]
        assert len(mirror.served) == 4

    def test_one_warning_names_all_that_was_tried(self, monkeypatch, tmp_path):
        monkeypatch.setenv("FASHION_MNIST_ROOT", str(tmp_path / "no such folder"))
        with pytest.warns(UserWarning, match="^Using the drawn STAND-IN") as warned:
            assert load_fashion_mnist(8)[0].source == STAND_IN
        (message,) = (str(warning.message) for warning in warned)
        places = [tmp_path / "no such folder", data.DATA_FOLDER, data.PACKAGE_FOLDER]
        sources = [f"{url}: <urlopen error no" for url in datasets.FashionMNIST.mirrors]
        tried = [*map(str, places), *sources, f"{data.PACKAGE}: E: no package either"]
        assert [text for text in tried if text not in message] == []

    @pytest.mark.parametrize(
        "named", ["file", "photographs", "~nobody-of-this-name/data", "no such folder"]
    )
    def test_what_holds_no_data_is_named_where_another_folder_is_used(
        self, monkeypatch, tmp_path, named
    ):
        (tmp_path / "file").touch()
        (tmp_path / "photographs" / "raw").mkdir(parents=True)
        (tmp_path / "photographs" / "raw" / "photographs.zip").touch()
        write_files(data.DATA_FOLDER)
        monkeypatch.setenv("FASHION_MNIST_ROOT", named)
        message = f"{named}, but no Fashion-MNIST is there. Using .*data"
        with pytest.warns(UserWarning, match=message) as warned:
            assert load_fashion_mnist(8)[0].source == REAL
        assert len(warned) == 1

    def test_an_empty_name_is_none(self, monkeypatch):
        monkeypatch.setenv("FASHION_MNIST_ROOT", "")
        with pytest.warns(UserWarning, match="STAND-IN") as warned:
            load_fashion_mnist(8)
        assert len(warned) == 1

    def test_then_the_data_folder_of_the_repository(self, monkeypatch):
        write_files(data.DATA_FOLDER)
        mirror = set_mirror(monkeypatch)
        training, test = load_fashion_mnist(8)
        assert (training.num_images, test.num_images) == (NUM_TRAIN, NUM_TEST)
        assert mirror.served == []

    def test_then_the_folder_of_debians_package(self, monkeypatch, tmp_path):
        raw = write_archives(tmp_path / "unpacked")
        monkeypatch.setattr(data, "PACKAGE_FOLDER", raw)
        mirror = set_mirror(monkeypatch)
        assert load_fashion_mnist(8)[0].source == REAL
        assert mirror.served == []
        assert not data.DATA_FOLDER.exists()

    def test_then_a_download_which_is_done_once(self, monkeypatch):
        mirror = set_mirror(monkeypatch)
        assert load_fashion_mnist(8)[0].source == load_fashion_mnist(8)[1].source == REAL
        assert mirror.served == [f"{name}.gz" for name in data.FILES]
        assert sorted(os.listdir(data.DATA_FOLDER / data.RAW)) == sorted(data.FILES)

    def test_and_last_the_stand_in_with_a_warning_that_says_why(self):
        with pytest.warns(
            UserWarning, match="STAND-IN.*There is none in .*data.*no network"
        ) as warned:
            training, test = load_fashion_mnist(8)
        assert warned[0].filename == __file__  # the line that loads
        assert training.source == test.source == STAND_IN
        assert (training.num_images, test.num_images) == (NUM_TRAIN, NUM_TEST)

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


class TestArchives:
    def test_archives_serve_where_the_files_are_not_and_nothing_is_written(self):
        raw = write_archives(data.DATA_FOLDER)
        before = {file: file.read_bytes() for file in data.DATA_FOLDER.rglob("*.*")}
        training, test = load_fashion_mnist(8)
        assert training.source == test.source == REAL
        assert {file: file.read_bytes() for file in data.DATA_FOLDER.rglob("*.*")} == before
        assert sorted(os.listdir(raw)) == sorted(f"{name}.gz" for name in data.FILES)

    def test_their_images_are_those_of_the_files(self):
        raw = write_files(data.DATA_FOLDER)
        expected, _ = load_fashion_mnist(8)
        for file in raw.iterdir():
            pack(file)
        unpacked, _ = load_fashion_mnist(8)
        assert torch.equal(unpacked.images, expected.images)
        assert torch.equal(unpacked.labels, expected.labels)

    def test_some_files_may_be_packed_and_others_not(self):
        pack(write_files(data.DATA_FOLDER) / "train-images-idx3-ubyte")
        assert load_fashion_mnist(8)[0].source == REAL

    def test_a_file_goes_before_its_archive(self):
        raw = write_files(data.DATA_FOLDER)
        (raw / "train-images-idx3-ubyte.gz").write_bytes(b"never read")
        assert load_fashion_mnist(8)[0].source == REAL

    def test_an_archive_under_the_name_of_the_file_is_unpacked_too(self):
        raw = write_archives(data.DATA_FOLDER)
        (raw / "t10k-labels-idx1-ubyte.gz").rename(raw / "t10k-labels-idx1-ubyte")
        assert load_fashion_mnist(8)[0].source == REAL

    def test_an_archive_that_unpacks_without_end_does_not_fill_the_memory(self, monkeypatch):
        unpacked, sha256 = [], hashlib.sha256
        monkeypatch.setattr(data.hashlib, "sha256", lambda c: unpacked.append(len(c)) or sha256(c))
        monkeypatch.setattr(data, "MAX_BYTES", 10**5)
        archive = write_archives(data.DATA_FOLDER) / "train-images-idx3-ubyte.gz"
        archive.write_bytes(gzip.compress(gzip.decompress(archive.read_bytes()) + bytes(10**6)))
        with pytest.raises(DataError, match="100,000 bytes"):
            load_fashion_mnist(8)
        assert unpacked == [10**5]


DAMAGES = {
    "cut short": lambda content: content[:-5],
    "empty": lambda content: b"",
    "one bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "one byte more": lambda content: content + b"x",
    "another kind of file": lambda content: b"<!DOCTYPE html>",
    "no archive after all": lambda content: b"\x1f\x8b" + content,
    "another archive": lambda content: gzip.compress(b"something else"),
    "archive cut short": lambda content: gzip.compress(content)[:-99],
    "archive overwritten": lambda content: gzip.compress(content)[:12] + b"\xff" * 99,
    "archive of one byte more": lambda content: gzip.compress(content + b"x"),
}


class TestBadData:
    @pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    @pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
    def test_a_bad_file_is_named_with_its_problem_and_the_remedy(self, name, suffix, damage):
        file = write_files(data.DATA_FOLDER) / name
        bad = file.rename(file.with_name(name + suffix))
        bad.write_bytes(damage(bad.read_bytes()))
        message = (
            rf"{bad} \([0-9,]+ bytes\) is truncated, damaged or another .*Put the four official"
        )
        with pytest.raises(DataError, match=message):
            load_fashion_mnist(8)

    @pytest.mark.parametrize("suffix", ["", ".gz"])
    @pytest.mark.parametrize(
        "put",
        [
            os.mkfifo,
            lambda path: path.symlink_to(os.devnull),
            os.mkdir,
            lambda path: path.symlink_to("nowhere"),
            lambda path: path.symlink_to(path.name),
        ],
        ids=["FIFO", "device", "folder", "dangling link", "link to itself"],
    )
    def test_what_is_no_file_is_not_read(self, put, suffix):
        file = write_files(data.DATA_FOLDER) / "train-labels-idx1-ubyte"
        file.unlink()
        put(file.with_name(file.name + suffix))
        message = f"{file}{suffix} is a folder, a broken link or a device. Put the four"
        with pytest.raises(DataError, match=message):
            load_fashion_mnist(8)

    @pytest.mark.parametrize("name", official_files())
    def test_a_missing_one_of_the_four_is_named(self, name):
        (write_files(data.DATA_FOLDER) / name).unlink()
        with pytest.raises(DataError, match=f"raw lacks {name}. Put the four official files"):
            load_fashion_mnist(8)

    @pytest.mark.parametrize("below", [".", "FashionMNIST", data.RAW])
    def test_whichever_folder_is_named(self, monkeypatch, tmp_path, below):
        (write_files(tmp_path) / "t10k-images-idx3-ubyte").unlink()
        monkeypatch.setenv("FASHION_MNIST_ROOT", str(tmp_path / below))
        with pytest.raises(DataError, match="raw lacks t10k-images-idx3-ubyte"):
            load_fashion_mnist(8)

    def test_an_unreadable_folder_is_named(self, monkeypatch):
        def refuse(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(data.os, "listdir", refuse)
        with pytest.raises(
            DataError, match=r"Cannot read .*raw: Permission denied. Put .*readable"
        ):
            load_fashion_mnist(8)

    @pytest.mark.parametrize("method", ["read_bytes", "is_file"])
    def test_an_unreadable_file_is_named(self, monkeypatch, method):
        def refuse(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        write_files(data.DATA_FOLDER)
        monkeypatch.setattr(Path, method, refuse)
        with pytest.raises(DataError, match=r"Cannot read .*train-images-idx3-ubyte: Permission"):
            load_fashion_mnist(8)


class TestDownload:
    def nothing_is_left(self):
        left = {path.name for path in data.DATA_FOLDER.rglob("*")}
        return left <= {".download.lock"}

    def test_it_asks_for_the_files_that_torchvision_knows(self):
        known = [name for name, _ in datasets.FashionMNIST.resources]
        assert known == [f"{name}.gz" for name in data.FILES]

    def test_everybody_may_read_what_it_leaves(self, monkeypatch):
        set_mirror(monkeypatch)
        mask = os.umask(0o022)
        try:
            load_fashion_mnist(8)
        finally:
            os.umask(mask)
        raw = data.DATA_FOLDER / data.RAW
        assert raw.stat().st_mode & 0o777 == 0o755
        assert {file.stat().st_mode & 0o777 for file in raw.iterdir()} == {0o644}

    @pytest.mark.parametrize("method", ["write_bytes", "mkdir"])
    def test_a_full_disk_is_an_error_and_leaves_nothing(self, monkeypatch, method):
        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        set_mirror(monkeypatch)
        monkeypatch.setattr(Path, method, full)
        with pytest.raises(DataError, match=r"No space left on device.*FASHION_MNIST_ROOT"):
            load_fashion_mnist(8)
        assert self.nothing_is_left()

    @pytest.mark.parametrize("error", [URLError("no mirror"), TimeoutError("timed out")])
    def test_a_failure_half_way_leads_to_the_stand_in_and_leaves_nothing(self, monkeypatch, error):
        set_mirror(monkeypatch, error)
        with pytest.warns(UserWarning, match=f"STAND-IN.*download failed .*{error}"):
            assert load_fashion_mnist(8)[0].source == STAND_IN
        assert self.nothing_is_left()

    def test_an_interrupt_goes_through_and_leaves_nothing(self, monkeypatch):
        set_mirror(monkeypatch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            load_fashion_mnist(8)
        assert self.nothing_is_left()

    def test_what_a_killed_process_left_is_never_used_and_is_removed(self, monkeypatch):
        write_files(data.DATA_FOLDER / ".download")
        with pytest.warns(UserWarning, match="STAND-IN"):
            assert load_fashion_mnist(8)[0].source == STAND_IN
        write_files(data.DATA_FOLDER / ".download")
        mirror = set_mirror(monkeypatch)
        assert load_fashion_mnist(8)[0].source == REAL
        assert len(mirror.served) == 4
        assert not (data.DATA_FOLDER / ".download").exists()

    def test_a_folder_with_something_else_in_it_stays_and_nothing_is_downloaded(self, monkeypatch):
        mirror = set_mirror(monkeypatch)
        (data.DATA_FOLDER / data.RAW / "diary").mkdir(parents=True)
        with pytest.warns(UserWarning, match="STAND-IN.*Directory not empty"):
            load_fashion_mnist(8)
        assert mirror.served == []
        assert (data.DATA_FOLDER / data.RAW / "diary").is_dir()

    def test_an_empty_folder_is_filled(self, monkeypatch):
        set_mirror(monkeypatch)
        (data.DATA_FOLDER / data.RAW).mkdir(parents=True)
        assert load_fashion_mnist(8)[0].source == REAL

    def test_two_processes_share_one_download(self, monkeypatch, tmp_path):
        mirror = Mirror()

        def slow_mirror(url, timeout):
            with open(tmp_path / "downloads", "a") as log:
                log.write("x")
            time.sleep(0.1)
            return mirror(url, timeout)

        def load(results):
            start.wait(timeout=30)
            training, test = load_fashion_mnist(8)
            results.put((training.source, training.num_images, test.num_images))

        monkeypatch.setattr(data, "urlopen", slow_mirror)
        context = multiprocessing.get_context("fork")
        results, start = context.SimpleQueue(), context.Barrier(2)
        processes = [context.Process(target=load, args=(results,)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=30)
        assert [process.exitcode for process in processes] == [0, 0]
        assert [results.get(), results.get()] == [(REAL, NUM_TRAIN, NUM_TEST)] * 2
        assert (tmp_path / "downloads").read_text() == "xxxx"

    def test_a_process_that_never_finishes_is_not_waited_for_without_end(self, monkeypatch):
        monkeypatch.setattr(data, "DOWNLOAD_SECONDS", 0.1)
        data.DATA_FOLDER.mkdir()
        held = data.FileLock(data.DATA_FOLDER / ".download.lock", is_singleton=False)
        with held, pytest.warns(UserWarning, match=r"STAND-IN.*lock .* could not be acquired"):
            load_fashion_mnist(8)


class TestDownloadFromAServer:
    @pytest.mark.parametrize("says_its_length", [True, False])
    def test_it_shows_its_progress(self, serve, capsys, says_its_length):
        def answer(handler):
            archive = archive_of(handler)
            send(handler, archive, len(archive) if says_its_length else None)

        serve(answer)
        training, test = load_fashion_mnist(8)
        assert training.source == test.source == REAL
        shown = capsys.readouterr().err
        assert all(f"\r{name}: " in shown for name in data.FILES)
        assert ("100%" in shown) == says_its_length

    def test_a_server_that_drips_is_given_up_in_time(self, serve, monkeypatch):
        monkeypatch.setattr(data, "DOWNLOAD_SECONDS", 0.4)
        serve(drip)
        start = time.monotonic()
        with pytest.warns(UserWarning, match=r"STAND-IN.*not done after 0.4 seconds"):
            load_fashion_mnist(8)
        assert time.monotonic() - start < 10
        assert not (data.DATA_FOLDER / ".download").exists()

    def test_the_time_counts_over_all_files(self, serve, monkeypatch):
        def send_slowly(handler):
            time.sleep(0.2)
            send_archive(handler)

        monkeypatch.setattr(data, "DOWNLOAD_SECONDS", 0.5)
        serve(send_slowly)
        with pytest.warns(UserWarning, match=r"STAND-IN.*not done after 0.5 seconds"):
            load_fashion_mnist(8)

    def test_an_interrupt_stops_the_wait_for_a_slow_server(self, serve):
        serve(drip)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        main = threading.get_ident()
        timer = threading.Timer(0.3, signal.pthread_kill, [main, signal.SIGINT])
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                load_fashion_mnist(8)
        finally:
            timer.cancel()
            signal.signal(signal.SIGINT, before)
        assert not (data.DATA_FOLDER / ".download").exists()

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (lambda handler: handler.send_error(404), "HTTP Error 404: Not Found"),
            (lambda handler: handler.wfile.write(b"hello\r\n\r\n"), "hello"),
            (lambda handler: None, "closed connection without response"),
            (lambda handler: send(handler, archive_of(handler)[:-99], 10**6), "is truncated"),
            (lambda handler: send(handler, b"<!DOCTYPE html>"), r"ubyte.gz \(15 bytes\) is trunc"),
        ],
    )
    def test_a_bad_answer_leads_to_the_stand_in_with_the_reason(self, serve, answer, reason):
        serve(answer)
        with pytest.warns(UserWarning, match=f"STAND-IN.*127.0.0.1:[0-9]+/: .*{reason}"):
            assert load_fashion_mnist(8)[0].source == STAND_IN

    def test_so_does_a_server_that_is_not_there(self, serve, monkeypatch):
        serve(send_archive)
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
            monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [url])
            with pytest.warns(UserWarning, match=f"STAND-IN.*{url}: .*Connection refused"):
                load_fashion_mnist(8)

    def test_an_answer_without_end_is_not_read_to_the_end(self, serve):
        sent = []

        def flood(handler):
            send(handler, b"")
            try:
                while True:
                    sent.append(handler.wfile.write(b"x" * 2**20))
            except OSError:
                handler.close_connection = True

        serve(flood)
        with pytest.warns(UserWarning, match="STAND-IN.*another file"):
            load_fashion_mnist(8)
        assert len(sent) < 100

    def test_where_one_mirror_fails_the_next_is_asked(self, serve, monkeypatch):
        mirrors = []
        for answer in (lambda handler: handler.send_error(500), send_archive):
            serve(answer)
            mirrors += datasets.FashionMNIST.mirrors
        monkeypatch.setattr(datasets.FashionMNIST, "mirrors", mirrors)
        assert load_fashion_mnist(8)[0].source == REAL


class TestDebiansPackage:
    """No mirror answers; `apt-get` and `dpkg-deb` are made up."""

    @pytest.fixture
    def archive(self, tmp_path, programs):
        """What stands for the package: a tar file of the tree that it holds."""
        raw = write_archives(tmp_path / "packed")
        archive, inside = tmp_path / "package.tar", data.PACKAGE_FOLDER.relative_to("/")
        with tarfile.open(archive, "w") as tar:
            for file in raw.iterdir():
                tar.add(file, inside / file.name)
        write_program(programs / "dpkg-deb", 'tar -x -f "$2" -C "$3"')
        self.write_apt(programs, archive)
        return archive

    def write_apt(self, programs, archive, update="", download=""):
        script = f"""
            echo "$PWD" >> {programs}/where; cp apt.conf {programs}
            [ -d lists/partial ] && [ -d cache/archives/partial ] || exit 1
            case "$3" in
                update) echo "dlstatus:3:40.5:Retrieving"; {update} ;;
                download) {download} cp {archive} "$4"_0.0-1_all.deb ;;
            esac"""
        write_program(programs / "apt-get", script)

    def test_it_comes_last_with_progress_and_is_unpacked_into_data(self, archive, capsys):
        assert load_fashion_mnist(8)[0].source == REAL
        assert sorted(os.listdir(data.DATA_FOLDER / data.RAW)) == sorted(data.FILES)
        assert " 40%" in capsys.readouterr().err

    def test_where_a_mirror_answers_it_is_not_asked_for(self, archive, programs, monkeypatch):
        set_mirror(monkeypatch)
        assert load_fashion_mnist(8)[0].source == REAL
        assert not (programs / "where").exists()

    def test_apt_writes_into_a_temporary_folder_that_is_gone_afterwards(self, archive, programs):
        load_fashion_mnist(8)
        (folder,) = set((programs / "where").read_text().splitlines())
        settings = (programs / "apt.conf").read_text()
        assert f'Dir::Cache "{folder}/cache";' in settings
        assert f'Dir::State::Lists "{folder}/lists";' in settings
        assert "#clear APT::Update;" in settings  # or root's update runs others' programs
        assert not Path(folder).exists()

    def test_a_source_of_packages_that_is_broken_does_no_harm(self, archive, programs):
        self.write_apt(programs, archive, update="echo 'E: not signed'; exit 100")
        assert load_fashion_mnist(8)[0].source == REAL

    def test_without_the_package_the_first_and_the_last_complaint_are_told(self, archive, programs):
        update, download = "echo 'W: cannot resolve'; echo 'W: another'", "echo 'E: none'; exit 100"
        self.write_apt(programs, archive, update, f"{download};")
        with pytest.warns(UserWarning, match=f"STAND-IN.*{data.PACKAGE}: W: cannot re.*; E: none"):
            load_fashion_mnist(8)

    @pytest.mark.parametrize("hanging", ["update", "download"])
    def test_programs_that_hang_are_ended_with_all_that_they_started(
        self, archive, programs, monkeypatch, hanging
    ):
        monkeypatch.setattr(data, "DOWNLOAD_SECONDS", 0.3)
        wait = f"sleep 600 & echo $! > {programs}/pid; wait;"
        self.write_apt(programs, archive, **{hanging: wait})
        with pytest.warns(UserWarning, match=r"STAND-IN.*: not done after 0.3 seconds"):
            load_fashion_mnist(8)
        assert not is_running((programs / "pid").read_text().strip())

    def test_an_interrupt_ends_them_too_and_leaves_nothing(self, archive, programs):
        wait = f"sleep 600 & echo $! > {programs}/pid; kill -INT {os.getpid()}; wait"
        self.write_apt(programs, archive, update=wait)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                load_fashion_mnist(8)
        finally:
            signal.signal(signal.SIGINT, before)
        assert not is_running((programs / "pid").read_text().strip())
        assert os.listdir(data.DATA_FOLDER) == [".download.lock"]
        assert not Path((programs / "where").read_text().strip()).exists()

    def test_its_files_are_verified_like_every_other(self, archive, programs):
        with tarfile.open(archive, "w") as tar:
            for name in data.FILES:
                tar.addfile(tarfile.TarInfo(f"{data.PACKAGE_FOLDER}/{name}.gz".strip("/")))
        with pytest.warns(UserWarning, match=f"STAND-IN.*{data.PACKAGE}: .*its SHA-256 differs"):
            load_fashion_mnist(8)

    def test_a_package_of_other_files_is_none(self, archive, programs):
        with tarfile.open(archive, "w") as tar:
            tar.addfile(tarfile.TarInfo("usr/share/doc/copyright"))
        with pytest.warns(UserWarning, match=f"STAND-IN.*{data.PACKAGE}: .*No such file"):
            load_fashion_mnist(8)

    def test_a_full_temporary_folder_is_told(self, archive, programs):
        full = "echo 'E: Write error - write (28: No space left on device)'; exit 100;"
        self.write_apt(programs, archive, download=full)
        with pytest.warns(UserWarning, match="STAND-IN.*No space left on device"):
            load_fashion_mnist(8)

    def test_where_there_is_no_apt_the_warning_says_so(self, programs, monkeypatch):
        (programs / "apt-get").unlink()
        monkeypatch.setenv("PATH", str(programs))
        with pytest.warns(UserWarning, match=f"STAND-IN.*{data.PACKAGE}: there is no apt-get here"):
            load_fashion_mnist(8)

    def test_a_mirror_that_drips_leaves_it_its_own_time(self, archive, serve, monkeypatch):
        monkeypatch.setattr(data, "DOWNLOAD_SECONDS", 1)
        serve(drip)
        assert load_fashion_mnist(8)[0].source == REAL


def is_running(pid: str) -> bool:
    """Whether a process lives, a moment after it may have been killed."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        time.sleep(0.02)
    return True


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
        assert [len(labels) for _, labels in training] == [8, 8, 7, 7]
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

    def test_the_images_are_shared_out_evenly_over_the_batches(self, shuffled):
        assert [tuple(images.shape) for images, _ in shuffled] == [
            (4, 28, 28), (3, 28, 28), (3, 28, 28),
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

    def test_torchs_default_type_changes_nothing(self, drawn):
        torch.set_default_dtype(torch.double)
        try:
            assert torch.equal(draw_standin(3000, seed=0)[0], drawn[0])
        finally:
            torch.set_default_dtype(torch.float)

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
