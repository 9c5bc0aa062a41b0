"""Walls around a submission's kernel: what the operating system offers, and what it costs to stop.

bubblewrap gives the most: a read-only disk, a private /tmp, no sight of other processes, nothing
left running. Without it, util-linux's `unshare` still gives processes and network of their own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
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
        for path in sorted({Path("/run"), *gone}):
            command += ["--tmpfs", str(path)]
        for path in _needed():
            if any(path.is_relative_to(parent) for parent in [Path("/tmp"), *gone]):
                command += ["--ro-bind", str(path), str(path)]
        command += ["--bind", str(folder), str(folder), "--chdir", str(folder)]
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
    # Of tools only what runs in the kernel.
    guard = [f"tools/{name}.py" for name in ("__init__", "grading/__init__", "grading/guard")]
    paths += [REPOSITORY / name for name in ("utils", "data", *guard)]
    paths += [Path(folder) for folder in data_variable().values()]
    return [path for path in paths if path.exists()]


def data_variable() -> dict[str, str]:
    """FASHION_MNIST_ROOT, if it is set, without links: behind the walls they may lead nowhere."""
    folder = os.environ.get("FASHION_MNIST_ROOT")
    return {"FASHION_MNIST_ROOT": os.path.realpath(os.path.expanduser(folder))} if folder else {}


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
    family = _family(pid)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=5)


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


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(process: psutil.Process, kind: str) -> int:
    try:
        facts = process.memory_info() if kind == "rss" else process.memory_full_info()
        return getattr(facts, kind)
    except psutil.Error:  # it has ended meanwhile, or belongs to someone else
        return 0
