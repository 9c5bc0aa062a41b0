"""One submission behind walls: started, watched, killed, and two files of it read.

bubblewrap gives the most: a disk of which only what Python needs is there, to be read; a folder, a
/tmp and a /dev/shm of its own; no sight of other processes, nothing left running. Without it,
util-linux's `unshare` still gives processes and network of their own.
"""

import os
import shutil
import site
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tools.grading import inside
from utils.data import named_folder

REPOSITORY = Path(__file__).resolve().parents[2]
LEVELS = {
    "bubblewrap": "private disk, own processes",
    "unshare": "own processes, but the disk can be read and written (install bubblewrap)",
    "none": "no walls (install bubblewrap, on Linux)",
}
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix", "/sys")
PRIVATE = 2**28  # bytes of each private memory file system
MAX_RESULT = {inside.EXECUTED: 2**26, inside.ANSWERS: 2**26}  # bytes
START = 60  # seconds more, for kernels to start
SLACK = 1.5  # times the limits that the box looks after by itself
RELIEF = 10  # seconds that it has to do so


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        seconds: for all its cells, of wall time.
        cell_seconds: for one cell, or one question.
        memory: bytes; the watch from outside, which ends all, allows half as much more.
        network: whether it may reach the network.
        level: of the walls, one of `LEVELS`.
        threads: that its numerical libraries may use.
    """

    seconds: float
    cell_seconds: float
    memory: int
    network: bool
    level: str
    threads: int


@cache
def find_level(network: bool) -> str:
    """The strongest of `LEVELS` in which nbclient and a kernel's libraries load here.

    Raises:
        RuntimeError: if they do not load at all.
    """
    load = [sys.executable, "-P", "-c", "import nbclient, ipykernel.kernelapp, utils"]
    problem = ""
    with tempfile.TemporaryDirectory() as name:
        for level in LEVELS:
            command = [*walls(level, Path(name).resolve(), [REPOSITORY], network), *load]
            if shutil.which(command[0]):
                tried = subprocess.run(command, capture_output=True, text=True)
                if tried.returncode == 0:
                    return level
                problem = tried.stderr.strip().rpartition("\n")[2]
    raise RuntimeError(f"no notebook can run here: {problem}")


@cache
def control_group(memory: int) -> list[str]:
    """The command that runs another in a control group of its own, where systemd can make one.

    The group counts what watching does not see: memory shared or on its way between processes.
    """
    most = [f"MemoryMax={2 * memory}", "MemorySwapMax=0", f"TasksMax={4 * inside.MAX_PROCESSES}"]
    options = [word for limit in most for word in ("-p", limit)]
    for user in ([], ["--user"]):
        command = ["systemd-run", *user, "--scope", "--quiet", "--collect", *options]
        if shutil.which(command[0]):
            with suppress(subprocess.TimeoutExpired):
                works = subprocess.run([*command, "true"], capture_output=True, timeout=10)
                if works.returncode == 0:
                    return command
    return []


def walls(level: str, folder: Path, hidden: Collection[Path], network: bool) -> list[str]:
    """The command to put before a command so that it runs behind the walls.

    Whatever is bound has been resolved, and lies where no submission can rename anything.

    Args:
        level: one of `LEVELS`.
        folder: the only folder that the command may write.
        hidden: folders that the command shall not see; nor does it see others.
        network: whether the network stays reachable.
    """
    if level == "bubblewrap":
        needed = [str(path) for path in needed_folders()]
        command = ["bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"]
        command += ["--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev"]
        for path in SYSTEM:
            command += ["--ro-bind-try", path, path]
        for path in ("/tmp", "/dev/shm"):
            command += ["--perms", "1777", "--size", str(PRIVATE), "--tmpfs", path]
        shown = [Path(path) for path in (*SYSTEM, *needed)]
        covered = [str(path) for path in hidden if any(map(path.is_relative_to, shown))]
        for path in sorted({*needed, *covered}):  # a folder before what lies in it
            command += ["--tmpfs", path] if path in covered else ["--ro-bind", path, path]
        resolver = "/run/systemd/resolve"
        command += ["--ro-bind-try", resolver, resolver] if network else []
        command += ["--bind", str(folder), str(folder)]
        # What is written there would be memory of nobody's; and root may write to the last three.
        for path in ("/", "/dev", *covered):
            command += ["--remount-ro", path]
        for path in filter(os.path.exists, ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq")):
            command += ["--ro-bind", path, path]
        return command if network else [*command, "--unshare-net"]
    if level == "unshare":
        command = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return command if network else [*command, "--net"]
    return []


def needed_folders() -> list[Path]:
    """What a kernel must see: Python, its packages and libraries, `utils`, the data."""
    paths = [Path(sys.prefix), Path(sys.base_prefix), *map(Path, site.getsitepackages())]
    paths += [Path(site.getusersitepackages())] if site.ENABLE_USER_SITE else []
    paths += [Path(p) for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p]
    paths += [REPOSITORY / name for name in ("utils", "data")]
    if folder := _data_folder():
        paths.append(folder)
    return [path for path in dict.fromkeys([*paths, *map(Path.resolve, paths)]) if path.exists()]


def _data_folder() -> Path | None:
    """What FASHION_MNIST_ROOT names, without links: behind the walls they may lead nowhere."""
    folder = named_folder()
    return Path(os.path.realpath(folder)) if folder else None


def run(folder: Path, limits: Limits, hidden: Collection[Path]) -> str:
    """Run `inside.py` in `folder`, which holds its task; return why it ended early, or nothing."""
    shutil.copyfile(inside.__file__, folder / "inside.py")
    # Files of at most 1 GiB; no core dumps; asking for too much memory is a MemoryError.
    ulimits = f'ulimit -d {limits.memory >> 10}; ulimit -f {2**20}; ulimit -c 0; exec "$@"'
    command = [*control_group(limits.memory), "bash", "-c", ulimits, "limits"]
    command += walls(limits.level, folder, hidden, limits.network)
    command += [sys.executable, "-P", str(folder / "inside.py"), str(folder)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=_environment(folder, limits.threads),
        start_new_session=True,
    )
    try:
        why = _watch(process, folder, limits)
    finally:
        inside.kill_tree(process.pid)
        process.wait()
    return why or ("" if process.returncode in (0, 1) else f"ended with {process.returncode}")


def _environment(folder: Path, threads: int) -> dict[str, str]:
    """The grader's environment, with a home of the submission's own."""
    data = _data_folder()
    return {
        **os.environ,
        **({"FASHION_MNIST_ROOT": str(data)} if data else {}),
        "HOME": str(folder / inside.WORK),
        "TMPDIR": str(folder / inside.WORK),
        "JUPYTER_RUNTIME_DIR": str(folder),  # the names of sockets must be short
        "JUPYTER_PLATFORM_DIRS": "1",
        "OMP_NUM_THREADS": str(threads),
    }


def _watch(process: subprocess.Popen, folder: Path, limits: Limits) -> str:
    """Wait for the end; return why it has to be ended before, or nothing."""
    end = time.monotonic() + 2 * limits.seconds + inside.ASKING + START  # cells may run again
    pause, fine = 0.25, time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(pause)
            return ""
        start = time.monotonic()
        if start > end:
            return f"ran longer than {limits.seconds:g} s in all, and could not be ended"
        if not (why := inside.excess(process.pid, str(folder), limits.memory, SLACK)):
            fine = start
        elif start > fine + RELIEF:
            return why
        pause = inside.pause_after(start)


def read_result(folder: Path, name: str) -> bytes:
    """A file that a box has left in its result, or nothing if it is none, or too large.

    No link is followed, not even a hard one, and nothing but a regular file is opened for reading.
    """
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        result = os.open(folder / inside.RESULT, flags | os.O_DIRECTORY)
        try:
            with os.fdopen(os.open(name, flags, dir_fd=result), "rb") as file:
                facts, most = os.fstat(file.fileno()), MAX_RESULT[name]
                if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_size > most:
                    return b""
                content = file.read(most + 1)
                return content if len(content) <= most else b""
        finally:
            os.close(result)
    except OSError:
        return b""


def remove(folder: Path) -> None:
    """Remove a folder with all that a submission may have put into it."""
    subprocess.run(["chmod", "-R", "u+rwx", str(folder)], capture_output=True)
    subprocess.run(["rm", "-rf", str(folder)], capture_output=True)
