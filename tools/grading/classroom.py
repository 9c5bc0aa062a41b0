"""Grade a class: every hand-in in a process of its own, several at a time, and none twice.

A hand-in's way: its bytes are read once and digested; `Class.grade`, in a fork of this
process, runs it in a box, judges what came back, and keeps its grade and its report in the results.
"""

import errno
import gc
import hashlib
import json
import multiprocessing
import os
import resource
import signal
import stat
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tools.grading import box, inside
from tools.grading.box import REPOSITORY, Limits
from tools.grading.handins import HandIn
from tools.grading.results import (
    file_for,
    first_problem,
    grade_file,
    keep_grade,
    read_grade,
    save_report,
)
from tools.grading.rubric import (
    AnswerError,
    Grade,
    Rubric,
    draw_all,
    judge,
    one_line,
    replies_of,
    write_task,
)
from tools.reader import MAX_BYTES, ReadError, read_notebook
from utils.definitions import load_definitions

import torch
from nbformat import NotebookNode

MEMORY = 4 * 2**30  # bytes of a judging process
JUDGE = 90  # seconds of CPU time to judge one answer
MAX_CPU = 300  # seconds of CPU time to judge all of them
REPORT = 30  # seconds of CPU time to write a report


def available_cores() -> int:
    """Processors that this process may use: its affinity, and its share in a control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups, or no quota
        return cores


@dataclass(eq=False)
class Judging:
    """A hand-in that is being graded, by a process of its own and in a folder of its own."""

    hand_in: HandIn
    process: BaseProcess
    folder: Path

    def end(self) -> None:
        inside.kill_tree(self.process.pid)
        self.process.join()
        box.remove(self.folder)


class Class:
    """Grades hand-ins, keeps what each has earned, and grades none twice.

    Args:
        rubric: of the assignment.
        limits: of every submission.
        hidden: folders that no submission shall see.
        out: where the results go.
    """

    def __init__(self, rubric: Rubric, limits: Limits, hidden: Collection[Path], out: Path) -> None:
        self.rubric, self.limits, self.hidden, self.out = rubric, limits, hidden, out
        torch.set_num_threads(1)  # a fork has lost the others, and would wait for them
        with redirect_stdout(None):
            self.model = vars(load_definitions(rubric.notebook))
        self.decisive = self._digest()

    def _digest(self) -> bytes:
        """A digest of all that decides about a grade but the submission itself."""
        limits = asdict(self.limits) | {"threads": 0}
        versions = [sys.version, *map(version, ("torch", "numpy", "nbclient", "ipykernel"))]
        digest = hashlib.sha256(json.dumps([limits, versions, self.rubric.decisive()]).encode())
        files = [*REPOSITORY.glob("utils/*.py"), *REPOSITORY.glob("tools/**/*.py")]
        for file in [*sorted(files), self.rubric.file, self.rubric.notebook]:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.digest()

    def grade_all(
        self, hand_ins: Sequence[HandIn], workers: int
    ) -> Iterator[tuple[HandIn, Grade, bool]]:
        """Grade hand-ins; yield each when it is done, with its grade, and whether it was kept."""
        waiting, running = deque(hand_ins), {}
        try:
            while waiting or running:
                if waiting and len(running) < workers:
                    hand_in, content, digest = self._read(waiting.popleft())
                    if grade := self._kept(hand_in.name, digest):
                        yield hand_in, grade, True
                    else:
                        with uninterrupted():
                            judging = self._begin(hand_in, content, digest)
                            running[judging.process.sentinel] = judging
                    continue
                for sentinel in wait(running):
                    running[sentinel].end()
                    judging = running.pop(sentinel)
                    yield judging.hand_in, self._grade_of(judging), False
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would leave folders behind
            raise
        finally:
            for judging in running.values():
                judging.end()

    def _read(self, hand_in: HandIn) -> tuple[HandIn, bytes, str]:
        """A hand-in, its bytes, and the digest that stands for all that its grade depends on."""
        content = b""
        try:
            if hand_in.file:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                with os.fdopen(os.open(hand_in.file, flags), "rb") as opened:
                    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                        raise OSError(errno.EINVAL, "it is no regular file any more")
                    content = opened.read(MAX_BYTES + 1)
                hand_in = replace(hand_in, digest=hashlib.sha256(content).hexdigest())
        except OSError as error:
            hand_in = replace(hand_in, problem=f"The file cannot be read ({error.strerror}).")
        parts = self.decisive, hand_in.problem.encode(), b"\0", content
        return hand_in, content, hashlib.sha256(b"".join(parts)).hexdigest()

    def _kept(self, name: str, digest: str) -> Grade | None:
        """The grade from an earlier run, if nothing that decides has changed since."""
        file = grade_file(self.out, name)
        grade = read_grade(file) if file.is_file() else None
        return grade if grade and grade.digest == digest else None

    def _begin(self, hand_in: HandIn, content: bytes, digest: str) -> Judging:
        grade_file(self.out, hand_in.name).unlink(missing_ok=True)
        # Not a deeper folder: the names of sockets must be short.
        folder = Path(tempfile.mkdtemp(prefix="grading-")).resolve()
        arguments = hand_in, content, digest, folder
        process = multiprocessing.get_context("fork").Process(target=self.grade, args=arguments)
        process.start()
        return Judging(hand_in, process, folder)

    def _grade_of(self, judging: Judging) -> Grade:
        """What an ended judging has kept; if nothing, whoever's fault it was, it is tried again."""
        name, file = judging.hand_in.name, grade_file(self.out, judging.hand_in.name)
        if not file.is_file():
            problem = "judging it took too long, needed too much memory, or crashed"
            grade = Grade.nothing(name, self.rubric.names, problem, digest="")
            grade.look = problem
            keep_grade(self.out, grade)
        return read_grade(file)

    def grade(self, hand_in: HandIn, content: bytes, digest: str, folder: Path) -> None:
        """Grade one hand-in and keep its grade; then write its report, and keep what hindered it.

        In a process of its own, which is limited from here on.
        """
        _isolate()
        start, executed = time.monotonic(), None
        try:
            if hand_in.problem:
                raise ReadError(hand_in.problem)
            executed = read_notebook(content)
            if not any(cell.cell_type == "code" for cell in executed.cells):
                raise ReadError("The notebook has no code cell.")
            grade, executed = self.run_and_judge(hand_in.name, executed, digest, folder)
        except ReadError as error:
            grade = Grade.nothing(hand_in.name, self.rubric.names, str(error), digest)
        grade.seconds = round(time.monotonic() - start, 1)
        if executed:
            early = replace(grade, digest="")  # if this is all, it is graded again next time
            early.add_reason("no report: it took too long, needed too much memory, or crashed")
            keep_grade(self.out, early)
            file = file_for(self.out / "reports", hand_in.name, ".html")
            _limit_cpu(REPORT)
            try:
                save_report(file, executed, grade)
            except Exception as error:  # whatever a submission shows: its grade must not be lost
                problem = str(error).replace(str(file), file.name)  # no path of the grader's
                grade.add_reason(f"no report: {type(error).__name__}: {one_line(problem, 150)}")
        keep_grade(self.out, grade)

    def run_and_judge(
        self, name: str, notebook: NotebookNode, digest: str, folder: Path
    ) -> tuple[Grade, NotebookNode]:
        """Run a notebook in the box and judge it; return its grade and the notebook as it ran."""
        rubric, limits = self.rubric, self.limits
        inputs = draw_all(rubric.questions, int(digest[:12], 16))
        how = {"seconds": limits.seconds, "cell_seconds": limits.cell_seconds}
        # Sockets that are files pass a wall around the network.
        how |= {"sockets": {"transport": "ipc", "ip": str(folder / "kernel")}}
        write_task(folder, notebook, rubric, inputs, memory=limits.memory, **how)
        end = box.run(folder, limits, self.hidden)
        _limit_cpu(MAX_CPU)  # not before: the box would inherit it
        results = [box.read_result(folder, name) for name in (inside.EXECUTED, inside.ANSWERS)]
        executed, replies = notebook, {}
        with suppress(ReadError):
            executed = read_notebook(results[0]) if results[0] else notebook
        try:
            replies = replies_of(rubric, inputs, results[1], self.model) if results[1] else {}
        except AnswerError as error:
            end = end or str(error)
        end = end or "no answer came back" * (not replies)
        grade = judge(name, rubric, replies, end, partial(cpu_limit, JUDGE))
        grade.explain(first_problem(executed) or end)
        if any(results):
            grade.digest = digest
        else:  # a fault of the grader's, perhaps: it is graded again next time
            grade.look = f"nothing came back from its box ({end})"
        if notebook.metadata.get("orig_nbformat") == 3:
            grade.add_reason("was in notebook format 3 (converted)")
        return grade, executed


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off an interrupt: in a fork it would be lost, and soon after leave a folder behind."""
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if seen:
        raise KeyboardInterrupt


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise a TimeoutError in this thread after some seconds of its process's CPU time."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"longer than {seconds:g} s")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit(limit: int, most: int) -> None:
    hard = resource.getrlimit(limit)[1]  # stays: the box, a child of this process, has its own
    resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _limit_cpu(seconds: float) -> None:
    """End this process when it has used so much more CPU time."""
    _limit(resource.RLIMIT_CPU, int(time.process_time() + seconds) + 1)


def _isolate() -> None:
    """A group of its own, limits, no terminal; nothing left when the grader is gone."""
    os.setsid()
    gc.freeze()  # looking through what the fork has inherited would copy it
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit(resource.RLIMIT_DATA, MEMORY)
    _limit(resource.RLIMIT_CORE, 0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    inside.kill_descendants(os.getpid())
    os._exit(1)
