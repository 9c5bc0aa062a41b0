"""What runs in the box: nbval runs a notebook's cells, then its kernel is asked the questions.

`python inside.py FOLDER` reads FOLDER/task.json and leaves two files in FOLDER/result: the executed
notebook and the answers. It imports nothing of this repository and uses nothing that only one
system has: a student's check runs it, too. A submission that spoils it has spoilt its own answers.
"""

import base64
import ctypes
import inspect
import io
import json
import linecache
import os
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
import nbval.kernel
import numpy as np
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile, coalesce_streams

try:
    import psutil
except ImportError:  # a check does without
    psutil = None

TASK, WORK, RESULT = "task.json", "work", "result"  # in the box's folder
EXECUTED, ANSWERS = "executed.ipynb", "answers.npz"  # in RESULT
LIMITS = {"seconds": 600.0, "cell_seconds": 240.0}  # for all cells, for one; wall time
MAX_OUTPUT = 10 * 2**20  # characters that one cell may leave to be seen
MAX_SHOWN = 20_000  # characters of one text that are kept, and a hundred times that of a picture
MAX_REPORT = 20 * 2**20  # characters that are kept of all outputs
MAX_ANSWERS = 60 * 2**20  # bytes of all of them
MAX_PROCESSES = 200
MAX_FILES = 2**30  # bytes that a submission may leave on disk
MAX_REVIVALS = 4  # new kernels in place of dead ones
PATIENCE = 5  # seconds for a cell to obey an interrupt
ASKING = 120  # seconds for all the questions, beyond the time for the cells
PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>
OUTPUTS = "stream", "display_data", "execute_result", "error", "clear_output", "update_display_data"


class StoppedError(Exception):
    """A cell or question was stopped; the message says why."""


class DiedError(StoppedError):
    """The kernel is gone."""


def excess(pid: int, folder: str, memory: int, times: float = 1) -> str:
    """What a process, its descendants and a folder have too much of, or nothing.

    They may use `memory` bytes together, of all limits as many `times`. Pages that forked processes
    share are counted once, files without a name as files, where Linux tells of them.
    """
    used, disk, unnamed, processes = 0, 0, {}, []
    with suppress(psutil.NoSuchProcess):
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in processes:
        with suppress(psutil.Error, OSError):
            used += process.memory_info().rss
            for file in os.scandir(f"/proc/{process.pid}/fd"):
                with suppress(OSError):
                    found = os.stat(file.path)
                    if found.st_nlink == 0:
                        unnamed[found.st_dev, found.st_ino] = found.st_blocks * 512
    if used > times * memory:  # only then: it takes long, and holds up what is looked at
        used = sum(map(_own_memory, processes))
    with suppress(OSError, subprocess.TimeoutExpired):  # du reads what is too deep for a path
        du = subprocess.run(["du", "-sk", folder], capture_output=True, text=True, timeout=5)
        disk = 1024 * int(du.stdout.split()[0]) if du.stdout.split() else 0
    if used > times * memory:
        return f"used more than {memory / 2**30:g} GiB of memory"
    if len(processes) > times * MAX_PROCESSES:
        return f"started more than {MAX_PROCESSES} processes"
    if disk + sum(unnamed.values()) > times * MAX_FILES:
        return f"wrote more than {MAX_FILES / 2**30:g} GiB"
    return ""


def _own_memory(process: "psutil.Process") -> int:
    """Bytes of a process; of pages that it shares with others its share, where Linux tells."""
    with suppress(psutil.NoSuchProcess):
        try:
            facts = process.memory_full_info()
        except psutil.AccessDenied:  # it hides, but not how much is resident
            facts = process.memory_info()
        return getattr(facts, "pss", 0) or facts.rss
    return 0


class Kernel(RunningKernel):
    """nbval's kernel, which is looked at while it works, and killed when it exceeds a limit.

    What a cell shows goes into the notebook as nbclient puts it there: clearing and updating
    replace what was shown.
    """

    def __init__(self, task: dict[str, Any], client: NotebookClient) -> None:
        self.task, self.client, self.reply, self.next_look = task, client, {}, 0.0
        self.waiting: deque[dict[str, Any]] = deque()
        self.begin(None)
        nbval.kernel.KernelManager = partial(KernelManager, **task["sockets"])
        super().__init__(CURRENT_ENV_KERNEL_NAME, cwd=task["cwd"], startup_timeout=120)
        # exit() would only stop the kernel's loop a moment later: it means nothing here.
        self.run("get_ipython().unobserve_all('exit_now')", 30)

    def begin(self, cell: int | None) -> None:
        """Whatever is shown from now on is shown by this cell of the notebook; None: by none."""
        self.cell, self.size, self.shows_too_much = cell, 0, False
        self.client.clear_before_next_output = False
        self.patience = float("inf")

    def run(self, source: str, seconds: float) -> None:
        """Run code silently, and wait until it has ended.

        Raises:
            DiedError: if the kernel dies.
            Empty: if it takes longer.
        """
        self.begin(None)
        self.await_reply(self.kc.execute(source, silent=True, store_history=False), seconds)

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        """nbval's, in short slices; it gets of what is shown only when a cell is done."""
        until = time.monotonic() + (timeout or 0)
        while True:
            self._read_output(0.0 if stream == "shell" or self.waiting else 0.05)
            if stream == "iopub" and self.waiting:
                return self.waiting.popleft()
            if stream == "shell":
                with suppress(Empty):
                    message = self.kc.get_shell_msg(timeout=0.05)
                    self.reply = message["content"]
                    if self.cell is not None:  # what it leaves behind is not the next one's fault
                        self.next_look = 0.0
                        self._look()
                    return message
            self._look()
            if time.monotonic() > until:
                raise Empty
            if not self.is_alive():
                raise DiedError("the kernel ended in this cell (os._exit, a crash, or killed)")

    def _read_output(self, timeout: float) -> None:
        until = time.monotonic() + 0.5  # a flood must not keep it from looking
        with suppress(Empty):
            while time.monotonic() < until:
                message = self.kc.get_iopub_msg(timeout=timeout)
                timeout = 0.0
                if message["msg_type"] == "status":
                    self.waiting.append(message)
                elif self.shows_too_much and self.patience == float("inf"):
                    self.interrupt()
                elif self.cell is not None and not self.shows_too_much:
                    self._show(message)

    def _show(self, message: dict[str, Any]) -> None:
        """Add to what the cell shows; what is left of it, in the end, must not be too much."""
        cell = self.client.nb.cells[self.cell]
        if message["msg_type"] in OUTPUTS:
            self.client.process_message(message, cell, self.cell)
            self.size += len(str(message["content"]))
        if self.size > MAX_OUTPUT:  # backspaces and returns applied?
            cell.outputs[:] = coalesce_streams(cell.outputs)
            self.size = len(str(cell.outputs))
        self.shows_too_much = self.size > MAX_OUTPUT

    def interrupt(self) -> None:
        self.patience = time.monotonic() + PATIENCE
        super().interrupt()

    def _look(self) -> None:
        """Kill the kernel if it exceeds a limit; look less often where looking takes long."""
        start, why = time.monotonic(), ""
        if start > self.patience:
            why = "showed too much" if self.shows_too_much else "ran too long"
            why += " and did not obey the interrupt"
        elif self.task["memory"] and start > self.next_look and self.is_alive():
            why = excess(os.getpid(), self.task["cwd"], self.task["memory"])
            pause = min(5, max(0.25, 10 * (time.monotonic() - start)))
            self.next_look = time.monotonic() + pause
        if why:
            self.stop()
            raise StoppedError(why)

    def stop(self) -> None:
        """End the kernel and whatever it has started."""
        if hasattr(self, "km"):
            for _ in range(5 if psutil else 0):  # some may start others meanwhile
                family = psutil.Process().children(recursive=True)
                for process in family:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                psutil.wait_procs(family, timeout=1)
            self.km.shutdown_kernel(now=True)
            del self.km  # its channels stay: closing them may wait for the kernel's answer
            self.kc.iopub_channel.socket.close(linger=0)  # but not what floods the memory


class Cell(IPyNbCell):
    """A cell that notes what became of it, and never ends the run."""

    def runtest(self) -> None:
        runner = self.parent.runner
        if problem := runner.problem_of(self, super().runtest):
            runner.code[self.cell_num].metadata["problem"] = problem
        runner.code[self.cell_num].execution_count = self.cell_num + 1


class Notebook(IPyNbFile):
    """A notebook all of whose code cells run, whatever comments or tags for nbval they carry."""

    runner: "Runner"

    def setup(self) -> None:
        self.runner.revive(self)

    def collect(self) -> Iterator[Cell]:
        options = {"skip": False, "check": False, "check_exception": False}
        for cell in super().collect():
            more = {"cell_num": cell.cell_num, "cell": cell.cell, "options": options}
            yield Cell.from_parent(self, name=cell.name, **more)

    def teardown(self) -> None:
        self.runner.ask_all(self)
        self.kernel.stop()


class Runner:
    """The pytest plugin that runs the cells, notes what became of each, and asks the questions."""

    def __init__(self, task: dict[str, Any], folder: Path) -> None:
        self.task, self.result = task, folder / RESULT
        self.notebook = nbformat.read(task["notebook"], as_version=4)
        self.client = NotebookClient(self.notebook)
        self.client.reset_execution_trackers()
        cells = enumerate(self.notebook.cells)
        self.places = [place for place, cell in cells if cell.cell_type == "code"]
        self.code = [self.notebook.cells[place] for place in self.places]
        self.end = time.monotonic() + task["seconds"]
        self.ran: list[int] = []  # the cells that a new kernel has to run again
        self.again = task["seconds"]  # that this may take in all
        self.answers: dict[str, np.ndarray] = {}
        self.asked = "\n\n".join([KERNEL_IMPORTS, *map(inspect.getsource, IN_KERNEL)])
        self.revivals = 0

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> Iterator[list[pytest.Collector]]:
        yield
        notebook = Notebook.from_parent(parent, path=file_path)
        notebook.runner = self
        return [notebook]

    def problem_of(self, item: Cell, run: Callable[[], None]) -> str:
        """Run a cell; what went wrong, or nothing. Whatever happens stays with this cell."""
        seconds = min(self.end - time.monotonic(), self.task["cell_seconds"])
        item.config.option.nbval_cell_timeout, notebook = seconds, item.parent
        if seconds <= 0:
            return f"not run: {self.task['seconds']:g} s were over"
        try:
            self.revive(notebook)
            notebook.timed_out = False  # the cell before says nothing about this one
            kernel = notebook.kernel
            kernel.begin(self.places[item.cell_num])
            problem = ""
            try:
                run()
            except StoppedError:
                raise
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            reply, shows_too_much = kernel.reply, kernel.shows_too_much
            try:  # whether the kernel is still there is this cell's matter
                kernel.run("", 10)
            except Empty:
                kernel.stop()
        except StoppedError as error:
            return str(error)
        if shows_too_much:
            problem = f"showed more than {MAX_OUTPUT >> 20} MiB"
        elif notebook.timed_out:
            return f"ran longer than {seconds:g} s"
        elif not kernel.is_alive():
            return "the kernel hung after this cell"
        elif reply.get("ename"):
            problem = f"{reply['ename']}: {reply['evalue']}".rstrip(": ")
        if shows_too_much or "MemoryError" in problem or "allocate memory" in problem:
            kernel.stop()  # what filled it would make the later cells fail as well
        else:
            self.ran.append(item.cell_num)
        return problem

    def revive(self, notebook: Notebook) -> None:
        """If there is no kernel, start one, and run again what had run."""
        while not (notebook.kernel and notebook.kernel.is_alive()):
            if self.revivals > MAX_REVIVALS:
                raise StoppedError("not run: the kernel had died too often")
            self.revivals += 1
            if notebook.kernel:
                notebook.kernel.stop()
                self._clear()
            notebook.kernel = Kernel(self.task, self.client)
            for number in list(self.ran):
                start, seconds = time.monotonic(), min(self.again, self.task["cell_seconds"])
                try:
                    notebook.kernel.run(self.code[number].source, seconds)
                except (StoppedError, Empty) as error:
                    self.ran.remove(number)
                    self.code[number].metadata["problem"] = str(error) or "hung when run again"
                    notebook.kernel.stop()
                    break
                finally:
                    spent = time.monotonic() - start
                    self.again, self.end = self.again - spent, self.end + spent

    def _clear(self) -> None:
        """Remove what cells have written: those that run again write it again."""
        for path in Path(self.task["cwd"]).iterdir():
            with suppress(OSError, RecursionError):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def ask_all(self, notebook: Notebook) -> None:
        """Ask every question, and keep what is known after each of them."""
        self._write_notebook()
        end = time.monotonic() + ASKING
        for number, question in enumerate(self.task["questions"]):
            left = min(end - time.monotonic(), self.task["cell_seconds"], ASKING / 2)
            try:
                if left <= 0:
                    raise StoppedError("not asked: the time was over")
                self._ask(notebook, number, question, left)
            except Exception as error:  # whatever the kernel left: the other answers count
                why = "the answer took too long" if isinstance(error, Empty) else str(error)
                self.answers[f"{number}/error/"] = np.array(why or "no answer came back")
            packed = io.BytesIO()
            np.savez(packed, **self.answers)
            self._write(ANSWERS, packed.getvalue())

    def _ask(
        self, notebook: Notebook, number: int, question: dict[str, str], seconds: float
    ) -> None:
        self.revive(notebook)
        file = self.result / f"{number}.npz"
        # In names of its own: the notebook's may hide builtins, and must not change.
        builtins = "__import__('builtins')"
        arguments = f"{question['program']!r}, {question['inputs']!r}, "
        arguments += f"{builtins}.globals(), {str(file)!r}"
        scope = f"(lambda scope: [{builtins}.exec({self.asked!r}, scope), "
        scope += f"scope['respond']({arguments})])({{'__name__': 'asked'}})"
        try:
            notebook.kernel.run(f"{scope};", seconds)
        except Empty:
            notebook.kernel.interrupt()
            with suppress(Empty):
                notebook.kernel.run("", PATIENCE)
        if not file.is_file():
            reply = notebook.kernel.reply
            if "ename" not in reply:
                raise Empty
            raise StoppedError(f"{reply['ename']}: {reply['evalue']}")
        with np.load(file, allow_pickle=False) as arrays:
            answers = self.answers | {f"{number}/{name}": arrays[name] for name in arrays}
        file.unlink()
        if sum(array.nbytes for array in answers.values()) > MAX_ANSWERS:
            raise StoppedError(f"the answers have more than {MAX_ANSWERS >> 20} MiB")
        self.answers = answers

    def _write_notebook(self) -> None:
        """The notebook as it ran: long text is cut, other things that are too long go."""
        room = MAX_REPORT
        for cell in self.code:
            cell.outputs = coalesce_streams(cell.outputs)
            for output in cell.outputs:
                if len(output.get("text", "")) > MAX_SHOWN:
                    output.text = output.text[:MAX_SHOWN] + "\n(cut here by the grader)\n"
                for kind, value in list(output.get("data", {}).items()):
                    most = 100 * MAX_SHOWN if kind.startswith("image/") else 10 * MAX_SHOWN
                    if len(str(value)) > most:
                        del output.data[kind]
            room -= len(str(cell.outputs))
            cell.outputs = cell.outputs if room > 0 else []
        self._write(EXECUTED, nbformat.writes(self.notebook).encode("utf-8", "backslashreplace"))

    def _write(self, name: str, content: bytes) -> None:
        """Write a file of the result, whole."""
        (self.result / "unfinished").unlink(missing_ok=True)  # where a submission put a pipe
        (self.result / "unfinished").write_bytes(content)
        (self.result / "unfinished").replace(self.result / name)


def main(folder: Path) -> None:
    if sys.platform == "linux":  # what a kernel's descendants leave behind stays a descendant
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    task = json.loads((folder / TASK).read_text(encoding="utf-8"))
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\n")
    options = ["--nbval-lax", "-p", "no:cacheprovider", "-p", "nbval.plugin", "--noconftest"]
    options += ["-c", str(settings), "--rootdir", str(folder), "-q"]
    status = pytest.main([*options, task["notebook"]], plugins=[Runner(task, folder)])
    os._exit(status)  # without waiting for the channels of kernels that are gone


# What follows runs in the kernel, too, which gets the text of these five. Nothing that it returns
# is believed.


class Names(dict):
    """What a notebook has defined; a missing name is an error that says so."""

    def __init__(self, user: dict[str, Any]) -> None:
        super().__init__(user)
        self.user = user

    def __missing__(self, name: str) -> None:
        raise NameError(f"the notebook defines no `{name}`")


def answer_of(
    ask: Callable[..., dict[str, Any]], names: dict[str, Any], inputs: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Ask about what a notebook has defined: the numbers by name, and errors in their place.

    `ask` returns numbers, tensors, lists, or functions without arguments that give such.
    """
    answer, errors = {}, {}

    def keep(name: str, give: Callable[[], object]) -> object:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return give()
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            errors[name] = describe(error)

    for name, value in (keep("", lambda: ask(Names(names), **inputs)) or {}).items():
        array = keep(name, lambda value=value: as_array(value() if callable(value) else value))
        if array is not None:
            answer[name] = array
    return answer, errors


def as_array(value: object) -> np.ndarray:
    """Numbers as an array, without torch's bookkeeping, which NumPy would refuse."""

    def plain(value: object) -> object:
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        if not hasattr(value, "detach"):
            return value
        tensor = value.detach().cpu()
        return (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()

    array = np.asarray(plain(value))
    return array if array.dtype.kind in "biuf" else array.astype(float)


def describe(error: BaseException) -> str:
    """An error in one line, with the line of the notebook that raised it."""
    if isinstance(error, KeyboardInterrupt):
        return "the answer took too long"
    text = f"{type(error).__name__}: {error}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "ipykernel" in Path(frame.filename).parent.name:  # the files that stand for cells
            line = frame.line or linecache.getline(frame.filename, frame.lineno).strip()
            is_news = line and not (str(error) and str(error) in line)  # a raise says it itself
            return f"{text} (in the line `{line}`)" if is_news else text
    return text


def respond(program: str, inputs: str, names: dict[str, Any], file: str) -> None:
    """Answer a question into an `.npz` file: arrays `answer/NAME`, texts `error/NAME`."""
    given = dict(np.load(io.BytesIO(base64.b64decode(inputs))))
    scope = {"__name__": "question"}
    exec(program, scope)
    answer, errors = answer_of(scope["ask"], names, given)
    arrays = {f"answer/{name}": array for name, array in answer.items()}
    arrays |= {f"error/{name}": np.array(text[:1000]) for name, text in errors.items()}
    with open(file + ".part", "wb") as opened:
        np.savez(opened, **arrays)
    os.replace(file + ".part", file)


KERNEL_IMPORTS = """
import base64, io, linecache, os, traceback, warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
import numpy as np
"""
IN_KERNEL = [Names, answer_of, as_array, describe, respond]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
