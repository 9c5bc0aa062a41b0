"""Walls around a submission's kernel: what the operating system offers, and what it costs to stop.

bubblewrap gives the most: a read-only disk, a private /tmp, no sight of other processes, nothing
left running. Without it, util-linux's `unshare` still gives processes and network of their own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
LEVELS = {
    "bubblewrap": "read-only disk, own processes",
    "unshare": "own processes, but the disk can be written (install bubblewrap)",
    "none": "no walls (install bubblewrap, on Linux)",
}


def find_level(network: bool) -> str:
    """The strongest of `LEVELS` that works here, tried by running nothing behind it."""
    with tempfile.TemporaryDirectory() as name:
        folder = new_folder(Path(name))
        for level in ("bubblewrap", "unshare"):
            command = [*walls(level, folder, [], network), "true"]
            works = shutil.which(command[0]) and subprocess.run(command, capture_output=True)
            if works and works.returncode == 0:
                return level
    return "none"


def new_folder(folder: Path) -> Path:
    """Make `folder` one that a submission can live in: with its own /tmp and shared memory."""
    for private in (".tmp", ".shm"):
        (folder / private).mkdir()
    return folder.resolve()


def walls(level: str, folder: Path, hidden: Sequence[Path], network: bool) -> list[str]:
    """The command to put before a command so that it runs behind the walls.

    Args:
        level: one of `LEVELS`.
        folder: the only folder that the command may write.
        hidden: folders that the command shall not see; it finds them empty.
        network: whether the network stays reachable.
    """
    if level == "bubblewrap":
        command = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
        # On disk below `folder`, where what is written is counted.
        for private, place in ((".tmp", "/tmp"), (".shm", "/dev/shm")):
            command += ["--bind", str(folder / private), place]
        gone = [path for path in hidden if not path.is_relative_to("/tmp")]
        # Parents first, so that what is shown again inside a hidden folder stays visible.
        empty = sorted({Path("/run"), *gone})
        for path in empty:
            command += ["--tmpfs", str(path)]
        for path in _needed():
            if any(path.is_relative_to(parent) for parent in [Path("/tmp"), *gone]):
                command += ["--ro-bind", str(path), str(path)]
        command += ["--bind", str(folder), str(folder), "--chdir", str(folder)]
        # What is written there would be memory of nobody's; and root may write to the last three.
        for path in (*empty, "/dev"):
            command += ["--remount-ro", str(path)]
        for path in filter(os.path.exists, ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq")):
            command += ["--ro-bind", path, path]
        command += ["--unshare-pid", "--unshare-ipc", "--cap-drop", "ALL"]
        command += ["--die-with-parent", "--new-session"]
        return command if network else [*command, "--unshare-net"]
    if level == "unshare":
        command = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return command if network else [*command, "--net"]
    return []


def _needed() -> list[Path]:
    """What a kernel must see even if it lies inside a hidden folder."""
    paths = [Path(sys.prefix), Path(sys.base_prefix)]
    paths += [REPOSITORY / name for name in ("utils", "data")]
    paths += [Path(folder) for folder in data_variable().values()]
    return [path for path in paths if path.exists()]


def data_variable() -> dict[str, str]:
    """FASHION_MNIST_ROOT, if it is set, without links: behind the walls they may lead nowhere."""
    folder = os.environ.get("FASHION_MNIST_ROOT")
    if not folder:
        return {}
    # A relative one counts from the repository, as for `utils`.
    return {"FASHION_MNIST_ROOT": os.path.realpath(REPOSITORY / os.path.expanduser(folder))}


def limits(memory: int) -> list[str]:
    """The command to put before a command so that each of its processes is limited.

    Args:
        memory: bytes of data a process; asking for more is a `MemoryError` in Python.
    """
    # Files of at most 1 GiB; no core dumps.
    script = f'ulimit -d {memory >> 10}; ulimit -f {2**20}; ulimit -c 0; exec "$@"'
    return ["bash", "-c", script, "limits"]


def kill_tree(pid: int) -> None:
    """Kill a process and all its descendants."""
    family, end = _family(pid), time.monotonic() + 5
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    while any(_lives(process) for process in family) and time.monotonic() < end:
        time.sleep(0.01)


def size_of_tree(pid: int, enough: int) -> tuple[int, int]:
    """Bytes of memory that a process and its descendants hold, and how many they are.

    Pages that forked processes share are counted once, but only if the quick sum, which
    counts them every time, exceeds `enough`.
    """
    family = _family(pid)
    total = sum(_memory(process, "rss") for process in family)
    if total > enough and psutil.LINUX:
        total = sum(_memory(process, "pss") for process in family)
    return total, len(family)


def hidden_bytes(pid: int) -> tuple[int, int]:
    """Bytes that a process and its descendants keep in files without a name: in memory, on disk."""
    sizes = {}
    for process in _family(pid):
        with suppress(OSError):
            for file in os.scandir(f"/proc/{process.pid}/fd"):
                with suppress(OSError):
                    target = os.readlink(file.path)
                    if target.endswith(" (deleted)"):
                        found = os.stat(file.path)
                        in_memory = target.startswith("/memfd:")
                        sizes[found.st_dev, found.st_ino] = in_memory, found.st_blocks * 512
    in_memory = sum(size for is_memory, size in sizes.values() if is_memory)
    return in_memory, sum(size for _, size in sizes.values()) - in_memory


def bytes_below(folder: Path) -> int:
    """What the files below a folder take on disk, however deep they lie."""
    result = subprocess.run(["du", "-sk", str(folder)], capture_output=True, text=True)
    size = result.stdout.partition("\t")[0]  # files may come and go meanwhile: complaints are none
    return int(size) * 1024 if size.isdecimal() else 0


def remove(folder: Path) -> None:
    """Remove a folder with all that a submission may have put into it."""
    subprocess.run(["chmod", "-R", "u+rwx", str(folder)], capture_output=True)
    subprocess.run(["rm", "-rf", str(folder)], capture_output=True)


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    return False


def _memory(process: psutil.Process, kind: str) -> int:
    try:
        facts = process.memory_info() if kind == "rss" else process.memory_full_info()
        return getattr(facts, kind)
    except psutil.Error:  # it has ended meanwhile, or belongs to someone else
        return 0
