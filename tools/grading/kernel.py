"""A submission's kernel: behind walls, watched, and stopped when it exceeds a limit."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from tools.grading.grade import Settings
from tools.grading.sandbox import (
    bytes_below,
    data_variable,
    hidden_bytes,
    kill_tree,
    limits,
    size_of_tree,
    walls,
)
from tools.grading.text import whole_json

import zmq
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager
from nbformat import NotebookNode, from_dict
from nbval.kernel import RunningKernel

MAX_OUTPUT = 10 * 2**20  # bytes that one cell may print or show
MAX_FILES = 2**30  # bytes that a submission may leave on disk
MAX_PROCESSES = 200
START = 120  # seconds for a kernel to start
PATIENCE = 5  # seconds for a cell to obey an interrupt


class StoppedError(Exception):
    """The kernel was stopped or is gone; the message says why."""


class OutOfTimeError(StoppedError):
    """The time for the whole submission is over."""


class _OneKernel(KernelSpecManager):
    """Knows one kernel, whatever name a notebook asks for."""

    def __init__(self, spec: KernelSpec) -> None:
        super().__init__()
        self._spec = spec

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return self._spec


def _kernel_behind_walls(settings: Settings, folder: Path) -> KernelSpec:
    command = [
        # A kernel that knows its parent stops when it cannot see it, as behind walls.
        *("env", "-u", "JPY_PARENT_PID"),
        *limits(settings.memory),
        *walls(settings.level, folder, settings.hidden, settings.network),
        *(sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"),
        "--HistoryManager.enabled=False",
    ]
    # By message: a signal would reach the walls, not the kernel behind them.
    return KernelSpec(argv=command, display_name="graded", interrupt_mode="message")


def _environment(folder: Path, threads: int) -> dict[str, str]:
    """The grader's environment, with a home of the submission's own."""
    return {
        **os.environ,
        **data_variable(),
        "HOME": str(folder),
        "TMPDIR": str(folder / ".tmp"),
        "IPYTHONDIR": str(folder / ".ipython"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "OMP_NUM_THREADS": str(threads),
    }


class WatchedKernel(RunningKernel):
    """nbval's kernel, behind walls, and stopped when it exceeds a limit.

    Args:
        settings: the limits.
        folder: the only one that it may write.
        end: when its time is over, in seconds of `time.monotonic`.
    """

    def __init__(self, settings: Settings, folder: Path, end: float) -> None:
        self.settings, self.folder, self.end = settings, folder, end
        self._next_look, self._shown = 0.0, {}
        self._begin()
        self.km = KernelManager(
            kernel_spec_manager=_OneKernel(_kernel_behind_walls(settings, folder)),
            # Sockets are files: they pass a wall around the network, and never collide.
            transport="ipc",
            connection_file=str(folder / f".{secrets.token_hex(4)}"),
        )
        environment = _environment(folder, settings.threads)
        self.km.start_kernel(cwd=str(folder), env=environment, stderr=subprocess.DEVNULL)
        self.kc = self.km.client()
        for context in (self.kc.context, self.km.context):
            context.setsockopt(zmq.SNDTIMEO, 1000)  # a kernel can stop taking messages
        self.kc.start_channels(hb=False)  # a heart that never answers would never let go
        try:
            self.kc.wait_for_ready(timeout=START)
            self._ensure_iopub_up()
        except RuntimeError as error:
            raise StoppedError(f"the kernel did not start ({error})") from error

    def _begin(self) -> None:
        self._waiting, self._printed, self._patience = [], 0, float("inf")

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        self._begin()
        return super().execute_cell_input(cell_input, allow_stdin)

    def ask(self, expression: str, timeout: float) -> object:
        """What an expression shows as JSON; None if it shows none.

        Raises:
            StoppedError: if the kernel does not answer.
        """
        self._begin()
        try:
            request = self.kc.execute("", silent=True, user_expressions={"answer": expression})
            content = self.await_reply(request, timeout)
            return content["user_expressions"]["answer"]["data"]["application/json"]
        except (Empty, zmq.Again):
            self._stop(StoppedError("the answer took too long"))
        except (KeyError, TypeError):
            return None

    def await_reply(self, msg_id: str, timeout: float | None = None) -> dict[str, Any]:
        while True:
            message = self.get_message("shell", timeout)
            if message["parent_header"].get("msg_id") == msg_id:
                self.reply = message["content"]
                return self.reply

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        """nbval's, in short slices, between which the limits are looked at."""
        until = time.monotonic() + (timeout or 0)
        while True:
            self._read_output(0.05 if stream == "iopub" and not self._waiting else 0)
            self._look_at_limits()
            if stream == "iopub" and self._waiting:
                return self._waiting.pop(0)
            if stream == "shell":
                with suppress(Empty):
                    return self._receive(self.kc.get_shell_msg, 0.05)
            if time.monotonic() > until:
                raise Empty
            if not self.is_alive():
                raise StoppedError("the kernel ended in this cell (os._exit, a crash, or killed)")

    def _receive(self, get: Callable[..., dict], timeout: float) -> dict[str, Any]:
        """A message whose parts are what nbval takes for granted."""
        try:
            message = get(timeout=timeout)
            parent, kind = message["parent_header"], message["msg_type"]
            if not (isinstance(parent, dict) and isinstance(kind, str)):
                raise TypeError
            return message | {"content": from_dict(whole_json(message["content"]))}
        except Empty:
            raise
        except Exception:  # a submission can send anything in the kernel's name
            self._stop(StoppedError("the kernel sent what is no message of a kernel"))

    def _read_output(self, timeout: float) -> None:
        """Take in what the kernel shows, so that nothing piles up; forget what is too much."""
        while True:
            try:
                message = self._receive(self.kc.get_iopub_msg, timeout)
            except Empty:
                return
            timeout = 0
            self._printed += len(str(message["content"]))
            if not self.flooded or message["msg_type"] in ("status", "error"):
                self._update(message)
                self._waiting.append(message)
            elif self._patience == float("inf"):
                self.interrupt()
            if self.flooded:
                return

    def _update(self, message: dict[str, Any]) -> None:
        """Let an output that is updated later, as a live figure is, show what it showed last."""
        content = message["content"]
        key = str(content.get("transient", {}).get("display_id"))
        if message["msg_type"] == "display_data":
            self._shown[key] = content.get("data", NotebookNode())
        elif message["msg_type"] == "update_display_data" and key in self._shown:
            self._shown[key].clear()
            self._shown[key].update(content.get("data", {}))

    @property
    def flooded(self) -> bool:
        """Whether the running cell has shown more than it may."""
        return self._printed > MAX_OUTPUT

    def interrupt(self) -> None:
        self._patience = time.monotonic() + PATIENCE
        with suppress(zmq.Again):  # then it does not obey
            super().interrupt()

    def _look_at_limits(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        if now > self.end:
            self._stop(OutOfTimeError(f"ran longer than {self.settings.seconds:g} s in all"))
        if now > self._patience:
            why = "showed too much" if self.flooded else "ran too long"
            self._stop(StoppedError(f"{why} and did not obey the interrupt"))
        self._look_at_sizes()
        # Looking at very many files or processes takes time: keep that to a tenth.
        self._next_look = now + max(0.25, 10 * (time.monotonic() - now))

    def _look_at_sizes(self) -> None:
        pid, most = self.km.provisioner.pid, self.settings.memory
        memory, processes = size_of_tree(pid, most)
        in_memory, on_disk = hidden_bytes(pid)
        if memory + in_memory > most:
            self._stop(StoppedError(f"used more than {most / 2**30:g} GiB of memory"))
        if processes > MAX_PROCESSES:
            self._stop(StoppedError(f"started more than {MAX_PROCESSES} processes"))
        if bytes_below(self.folder) + on_disk > MAX_FILES:
            self._stop(StoppedError(f"wrote more than {MAX_FILES / 2**30:g} GiB"))

    def _stop(self, reason: StoppedError) -> None:
        kill_tree(self.km.provisioner.pid)
        raise reason

    def stop(self) -> None:
        """Kill the kernel, without waiting for messages that it has not taken."""
        if hasattr(self, "km"):
            kill_tree(self.km.provisioner.pid)
            for context in (self.kc.context, self.km.context):
                context.destroy(linger=0)
            del self.km
