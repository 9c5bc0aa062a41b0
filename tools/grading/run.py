"""Grade a class: each submission in a process of its own, several at a time."""

import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path

from tools.grading import preload
from tools.grading.grade import Grade, Settings
from tools.grading.results import grade_file, read_grade, write_feedback, write_grade
from tools.grading.rubric import Rubric
from tools.grading.sandbox import kill_tree, remove
from tools.grading.session import JUDGE, main
from tools.grading.text import whole

GRACE = 30  # seconds beyond its time for a kernel to start and to die
REPORT = 30  # seconds that writing its report may take
MAX_MESSAGE = 2**22  # bytes of a grade


class GraderError(Exception):
    """A submission could not be graded, through no fault of its own."""


def available_cores() -> int:
    """Processors that this process may use: its affinity, and its share in a control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups, or no quota
        return cores


def find_submissions(folder: Path) -> list[str]:
    """The paths of all notebooks below `folder`, those of JupyterLab's checkpoints left out."""
    found, folders = [], [folder]
    while folders:  # without recursion: a class can be nested deeper than Python's stack
        for entry in os.scandir(folders.pop()):
            if entry.is_dir(follow_symlinks=False):
                if entry.name != ".ipynb_checkpoints":
                    folders.append(Path(entry.path))
            elif entry.name.lower().endswith(".ipynb") and entry.is_file():
                found.append(Path(entry.path).relative_to(folder).as_posix())
    return sorted(found)


def start_to_load(assignment: Path) -> BaseContext:
    """Where submissions' processes are forked from: one that loads their libraries, once."""
    context = multiprocessing.get_context("forkserver")
    os.environ[preload.VARIABLE] = str(assignment)
    context.set_forkserver_preload(["tools.grading.preload"])
    forkserver.ensure_running()
    del os.environ[preload.VARIABLE]  # it is meant for that process alone
    return context


class ClassRun:
    """Grades submissions, keeps what each has earned, and grades none twice.

    Args:
        rubric: the steps.
        settings: the limits.
        folder: of the submissions.
        out: of the results.
    """

    def __init__(self, rubric: Rubric, settings: Settings, folder: Path, out: Path) -> None:
        self.rubric, self.settings, self.folder, self.out = rubric, settings, folder, out
        self._stopped = threading.Event()
        self._fork = start_to_load(settings.assignment)

    def grade_all(self, names: list[str], workers: int) -> Iterator[tuple[str, Grade | Exception]]:
        """Grade submissions; yield each, when it is done, with its grade or the grader's error."""
        pool = ThreadPoolExecutor(workers)
        jobs: dict[Future, str] = {pool.submit(self.grade, name): name for name in names}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.exception() or job.result()
        finally:  # an interrupt, above all
            self._stopped.set()
            pool.shutdown(cancel_futures=True)

    def kept_grade(self, name: str) -> Grade | None:
        """What a submission earned in an earlier run, unless something has changed since."""
        digest = self.settings.digest(self.folder / name)
        return read_grade(grade_file(self.out, whole(name)), digest)

    def grade(self, name: str) -> Grade:
        """Grade one submission, write its report and feedback, and keep its grade.

        Raises:
            GraderError: if it could not be run, through no fault of its own.
        """
        title, path = whole(name), self.folder / name
        suffix = Path(title).suffix.removesuffix(".ipynb")  # other spellings stay in the name
        report = (self.out / "reports" / title).with_suffix(f"{suffix}.html")
        feedback = (self.out / "feedback" / title).with_suffix(f"{suffix}.txt")
        grade, *remarks = self._in_a_process(path, title, report)
        try:
            write_feedback(feedback, grade, self.rubric)
        except OSError as error:
            remarks.append(f"no feedback: {error.strerror}")
        grade.reason = "; ".join(part for part in (grade.reason, *remarks) if part)
        # Last: what has a grade is complete.
        write_grade(grade_file(self.out, title), grade, self.settings.digest(path))
        return grade

    def _in_a_process(self, path: Path, title: str, report: Path) -> tuple[Grade, str]:
        """The grade of a submission, and a remark about its report."""
        # Not a deeper folder: the names of sockets must be short.
        folder = Path(tempfile.mkdtemp(prefix="grading-")).resolve()
        receiver, sender = self._fork.Pipe(duplex=False)
        arguments = path, title, self.settings, folder, report, sender
        task = self._fork.Process(target=main, args=arguments)
        start = time.monotonic()
        task.start()
        sender.close()
        messages = []
        try:
            end = start + self.settings.seconds + GRACE + JUDGE * len(self.rubric.steps)
            while len(messages) < 2 and time.monotonic() < end and not self._stopped.is_set():
                if receiver.poll(0.2):
                    messages.append(json.loads(receiver.recv_bytes(MAX_MESSAGE)))
                    end = time.monotonic() + REPORT
        except (EOFError, OSError):
            pass  # it ended
        finally:
            kill_tree(task.pid)
            task.join()
            remove(folder)
        if self._stopped.is_set():
            raise GraderError("the grader was stopped")
        late = time.monotonic() >= end
        how = "took too long" if late else "needed too much memory, or crashed"
        if not messages:
            facts = title, self.rubric.names, self.rubric.out_of
            grade = Grade.nothing(*facts, reason=f"judging it {how}")
            grade.look, grade.seconds = grade.reason, round(time.monotonic() - start, 1)
            return grade, ""
        if "broken" in messages[0]:
            raise GraderError(messages[0]["broken"])
        remark = messages[1] if len(messages) == 2 else f"no report: writing it {how}"
        return Grade(**messages[0]), remark
