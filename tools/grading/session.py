"""One submission in one process: pytest and nbval run its prepared notebook, within limits.

    python -m tools.grading.session < settings.json

The settings come on standard input, the results go, one JSON object a line, to the file
descriptor that they name. The kernel runs behind walls in other processes, which have neither.
"""

import ast
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from tools.grading.naming import StepNotebook
from tools.grading.sandbox import kill_tree, size_of_tree, walls

import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell, NbCellError

MAX_OUTPUT = 10 * 2**20  # bytes that one cell may print or show
MAX_SHOWN = 20_000  # characters of one output that the report keeps, if it is no picture
MAX_REPORT = 20 * 2**20  # characters that it keeps of all outputs
MAX_FILES = 2**30  # bytes that a submission may leave on disk
MAX_PROCESSES = 200
MAX_REVIVALS = 2  # new kernels after one died
START = 120  # seconds for a kernel to start, and for its guard
PATIENCE = 5  # seconds for a cell to obey an interrupt
FULL = re.compile("MemoryError|allocate memory|^showed more")
GUARD = "__import__('tools.grading.guard', fromlist=['guard'])"


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


def _kernel_behind_walls(settings: dict[str, Any], folder: Path) -> KernelSpec:
    hidden = [Path(path) for path in settings["hidden"]]
    command = [
        # A kernel that knows its parent stops when it cannot see it, as behind walls.
        *("env", "-u", "JPY_PARENT_PID"),
        *walls(settings["level"], folder, hidden, settings["network"]),
        *(sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"),
        "--HistoryManager.enabled=False",
    ]
    # By message: a signal would reach the walls, not the kernel behind them.
    return KernelSpec(argv=command, display_name="graded", interrupt_mode="message")


class WatchedKernel(RunningKernel):
    """nbval's kernel, behind walls, and stopped when it exceeds a limit."""

    def __init__(self, settings: dict[str, Any], folder: Path, end: float) -> None:
        self.settings, self.folder, self.end = settings, folder, end
        self._waiting, self._printed, self._patience = [], 0, float("inf")
        self._next_look = 0.0
        self.km = KernelManager(
            kernel_spec_manager=_OneKernel(_kernel_behind_walls(settings, folder)),
            # Sockets are files: they pass a wall around the network, and never collide.
            transport="ipc",
            connection_file=str(folder / f".{secrets.token_hex(4)}"),
        )
        self.km.start_kernel(cwd=str(folder), stderr=subprocess.DEVNULL)
        self.kc = self.km.client()
        self.kc.start_channels()
        try:
            self.kc.wait_for_ready(timeout=START)
            self._ensure_iopub_up()
        except RuntimeError as error:
            raise StoppedError(f"the kernel did not start ({error})") from error
        tools = f"{settings['imports']!r}, {settings['names']!r}"
        self.ask(f"{GUARD}.install({tools})", timeout=START)

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        self._waiting, self._printed, self._patience = [], 0, float("inf")
        return super().execute_cell_input(cell_input, allow_stdin)

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
                try:
                    return self.kc.get_shell_msg(timeout=0.05)
                except Empty:
                    pass
            if time.monotonic() > until:
                raise Empty
            if not self.is_alive():
                raise StoppedError("the kernel ended in this cell (os._exit, a crash, or killed)")

    def _read_output(self, timeout: float) -> None:
        """Take in what the kernel shows, so that nothing piles up; forget what is too much."""
        while True:
            try:
                message = self.kc.get_iopub_msg(timeout=timeout)
            except Empty:
                return
            timeout = 0
            self._printed += len(str(message["content"]))
            if not self.flooded or message["msg_type"] in ("status", "error"):
                self._waiting.append(message)
            elif self._patience == float("inf"):
                self.interrupt()
            if self.flooded:
                return

    @property
    def flooded(self) -> bool:
        """Whether the running cell has shown more than it may."""
        return self._printed > MAX_OUTPUT

    def interrupt(self) -> None:
        self._patience = time.monotonic() + PATIENCE
        super().interrupt()

    def _look_at_limits(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        if now > self.end:
            self._stop(OutOfTimeError(f"ran longer than {self.settings['seconds']:g} s in all"))
        if now > self._patience:
            why = "showed too much" if self.flooded else "ran too long"
            self._stop(StoppedError(f"{why} and did not obey the interrupt"))
        memory, processes = size_of_tree(self.km.provisioner.pid, self.settings["memory"])
        if memory > self.settings["memory"]:
            self._stop(
                StoppedError(f"used more than {self.settings['memory'] / 2**30:g} GiB of memory")
            )
        if processes > MAX_PROCESSES:
            self._stop(StoppedError(f"started more than {MAX_PROCESSES} processes"))
        if _bytes_below(self.folder) > MAX_FILES:
            self._stop(StoppedError(f"wrote more than {MAX_FILES / 2**30:g} GiB"))
        if os.getppid() != self.settings["parent"]:  # the grader is gone
            self._stop(OutOfTimeError("the grader was stopped"))
        # Looking at very many files or processes takes time: keep that to a tenth.
        self._next_look = now + max(0.25, 10 * (time.monotonic() - now))

    def _stop(self, reason: StoppedError) -> None:
        kill_tree(self.km.provisioner.pid)
        raise reason

    def stop(self) -> None:
        if hasattr(self, "km"):
            kill_tree(self.km.provisioner.pid)
            super().stop()

    def ask(self, expression: str, timeout: float = 60) -> str | None:
        """The value of an expression in the kernel, outside the submission's cells.

        Raises:
            StoppedError: if the kernel gives none.
        """
        self._patience = float("inf")
        request = self.kc.execute("", silent=True, user_expressions={"answer": expression})
        try:
            answer = self.await_reply(request, timeout)["user_expressions"]["answer"]
            return ast.literal_eval(answer["data"]["text/plain"])
        except (KeyError, ValueError, SyntaxError, Empty) as error:
            raise StoppedError("the kernel no longer answers the grader") from error


def _bytes_below(folder: Path) -> int:
    """What the files below a folder take on disk; they may come and go meanwhile."""
    total = 0
    for parent, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, file)).st_blocks * 512
    return total


class _GradedNotebook(StepNotebook):
    """A notebook that runs in a watched kernel, and in a new one if that died."""

    grader: "Grader"

    def setup(self) -> None:
        try:
            self.kernel = self.grader.new_kernel()
        except StoppedError as error:  # no cell has run: this is not the submission's fault
            self.grader.tell(broken=str(error))
            raise


class Grader:
    """The pytest plugin that runs the cells and says what became of each."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.folder = Path(settings["notebook"]).parent
        self.end = time.monotonic() + settings["seconds"]
        self.results = os.fdopen(settings["results"], "w", encoding="utf-8")
        self.revivals, self.shown = 0, 0
        self.passed: list[str] = []  # sources of the cells that a new kernel has to run again
        self.tell(started=True)

    def new_kernel(self) -> WatchedKernel:
        return WatchedKernel(self.settings, self.folder, self.end)

    def tell(self, **result: object) -> None:
        """Send one result to the process that started this one."""
        print(json.dumps(result), file=self.results, flush=True)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.tell(end=session.shouldstop or "")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> Iterator[list[pytest.Collector]]:
        yield
        notebook = _GradedNotebook.from_parent(parent, path=file_path)
        notebook.grader = self
        return [notebook]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: IPyNbCell) -> None:
        item.parent.timed_out = False  # a cell that was interrupted says nothing about the next

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: IPyNbCell) -> Iterator[None]:
        self._revive(item.parent)
        kernel, grading = item.parent.kernel, item.cell.metadata.get("grading")
        if not kernel.is_alive():
            raise StoppedError("not run: the kernel had died")
        if grading:
            self._prepare_check(kernel)
        objection = ""
        try:
            yield
            self._expect_success(item)
        finally:
            if grading:
                objection = self._end_check(kernel, grading.step)
        if objection:
            raise StoppedError(objection)

    def _prepare_check(self, kernel: WatchedKernel) -> None:
        """Give the check its tools, and make sure that it can fail."""
        if replaced := json.loads(kernel.ask(f"{GUARD}.before_check()")):
            self.tell(replaced=replaced)
        self._expect_failure(kernel)

    def _end_check(self, kernel: WatchedKernel, step: int) -> str:
        """Count the accuracy after the last check; return what speaks against the notebook's."""
        objection = self._count_accuracy(kernel) if step == self.settings["last_step"] else ""
        with suppress(StoppedError):
            kernel.ask(f"{GUARD}.after_check()")
        return objection

    def _revive(self, notebook: _GradedNotebook) -> None:
        """Start a new kernel in place of a dead one and run again what had passed."""
        if notebook.kernel.is_alive() or self.revivals == MAX_REVIVALS:
            return
        self.revivals += 1
        notebook.kernel = self.new_kernel()
        for source in self.passed:
            try:
                request = notebook.kernel.execute_cell_input(source, allow_stdin=False)
                notebook.kernel.await_reply(request, self.settings["cell_seconds"])
            except Empty as error:
                raise StoppedError("running the earlier cells again took too long") from error

    def _expect_success(self, item: IPyNbCell) -> None:
        """Make sure that the cell did succeed: nbval looks only at what the kernel shows."""
        reply = item.parent.kernel.reply
        if reply["status"] != "ok":
            raise StoppedError(reply.get("ename", "the cell failed without a message"))
        if item.parent.timed_out:  # and the cell caught the interrupt, as `train` does
            raise StoppedError("ran too long")

    def _expect_failure(self, kernel: WatchedKernel) -> None:
        """Make sure that this kernel still reports a failed assertion as one."""
        token = secrets.token_hex(8)
        request = kernel.execute_cell_input(f"{GUARD}.fail({token!r})")
        try:
            reply = kernel.await_reply(request, timeout=60)
        except Empty as error:
            raise StoppedError("the kernel no longer answers the grader") from error
        if (reply.get("ename"), reply.get("evalue")) != ("AssertionError", token):
            raise StoppedError("this notebook keeps checks from failing")

    def _count_accuracy(self, kernel: WatchedKernel) -> str:
        """Count the model's accuracy; say so if the notebook's own figure is another one."""
        try:
            measured, claimed, source = json.loads(kernel.ask(f"{GUARD}.count_accuracy()"))
            if measured is None:
                return ""
            self.tell(accuracy=float(measured), source=source)
            if abs(measured - claimed) <= 1e-4:
                return ""
            claim = f"the notebook's `accuracy` is {claimed:.2%}"
        except StoppedError as error:
            return str(error)
        except (TypeError, ValueError):
            claim = "the notebook has no number `accuracy`"
        return f"{claim}, the grader counts {measured:.2%} on freshly loaded test images"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: IPyNbCell, call: pytest.CallInfo
    ) -> Iterator[pytest.TestReport]:
        report = yield
        if call.when == "teardown" or (call.when == "setup" and not call.excinfo):
            return report
        error = call.excinfo.value if call.excinfo else None
        problem = self._explain(error, item) if report.failed else ""
        outputs = [_shorten(output) for output in item.test_outputs or []]
        self.shown += len(str(outputs))
        if self.shown > MAX_REPORT:
            outputs = []
        self.tell(cell=item.cell_num, outcome=report.outcome, problem=problem, outputs=outputs)
        if report.passed:
            self.passed.append(item.cell.source)
        if isinstance(error, OutOfTimeError):
            item.session.shouldstop = str(error)
        elif FULL.search(problem) and self.revivals < MAX_REVIVALS:
            item.parent.kernel.stop()  # what filled it would make the later cells fail as well
        return report

    def _explain(self, error: BaseException, item: IPyNbCell) -> str:
        """What went wrong in a cell, in one line."""
        kernel = item.parent.kernel
        if isinstance(error, OutOfTimeError):
            return str(error)
        if kernel and kernel.flooded:
            return f"showed more than {MAX_OUTPUT >> 20} MiB"
        if item.parent.timed_out:
            return f"ran longer than {self.settings['cell_seconds']:g} s"
        if isinstance(error, NbCellError):
            raised = [o for o in item.test_outputs if o["output_type"] == "error"]
            if raised:
                text = " ".join(f"{raised[-1]['ename']}: {raised[-1]['evalue']}".split())
                text = text.removesuffix(":")
                return text if len(text) <= 300 else text[:299] + "…"
        return " ".join(str(error).split()) or type(error).__name__


def _shorten(output: dict[str, Any]) -> dict[str, Any]:
    """An output that a report can show: long text is cut, what else is oversized left out."""
    output = dict(output)
    if isinstance(output.get("text"), str) and len(output["text"]) > MAX_SHOWN:
        output["text"] = output["text"][:MAX_SHOWN] + "\n(cut here by the grader)\n"
    if "data" in output:
        output["data"] = {
            kind: value
            for kind, value in output["data"].items()
            if len(str(value)) <= (2**21 if kind.startswith("image/") else 10 * MAX_SHOWN)
        }
    return output


def main() -> None:
    settings = json.load(sys.stdin)
    arguments = ["--nbval-lax", f"--nbval-cell-timeout={settings['cell_seconds']}"]
    arguments += ["-p", "no:cacheprovider", "-p", "nbval.plugin", "--noconftest"]
    arguments += ["-c", os.devnull, "--rootdir", str(Path(settings["notebook"]).parent)]
    sys.exit(pytest.main([*arguments, settings["notebook"]], plugins=[Grader(settings)]))


if __name__ == "__main__":
    main()
