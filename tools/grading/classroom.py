"""Grade a class: every hand-in in a process of its own, several at a time, and none twice.

A hand-in's way: its bytes are read once and digested; `grade_bytes`, in the process of its own,
runs it in a box, judges what came back, and keeps its grade and its report in the results.
"""

import hashlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from importlib.metadata import version
from multiprocessing import forkserver
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
    load_rubric,
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
VARIABLE = "GRADED_ASSIGNMENT"  # names the file with the questions for what is preloaded


def available_cores() -> int:
    """Processors that this process may use: its affinity, and its share in a control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups, or no quota
        return cores


def start_to_load(assignment: Path) -> multiprocessing.context.BaseContext:
    """Where judging processes are forked from: one that has loaded their libraries, once."""
    context = multiprocessing.get_context("forkserver")
    os.environ[VARIABLE] = str(assignment)
    context.set_forkserver_preload(["tools.grading.classroom"])
    forkserver.ensure_running()
    del os.environ[VARIABLE]  # it is meant for that process alone
    return context


@dataclass(frozen=True)
class Job:
    """What is the same for all submissions of a class."""

    assignment: Path
    limits: Limits
    hidden: tuple[Path, ...]
    out: Path


class Class:
    """Grades hand-ins, keeps what each has earned, and grades none twice."""

    def __init__(self, rubric: Rubric, job: Job) -> None:
        self.rubric, self.job = rubric, job
        self._stopped = threading.Event()
        self._fork = start_to_load(job.assignment)

    @cached_property
    def _decisive(self) -> bytes:
        """A digest of all that decides about a grade but the submission itself."""
        job, digest = self.job, hashlib.sha256()
        versions = [sys.version, *map(version, ("torch", "numpy", "nbval", "ipykernel"))]
        facts = [asdict(job.limits) | {"threads": 0}, versions, self.rubric.decisive()]
        digest.update(json.dumps(facts).encode())
        files = [*REPOSITORY.glob("utils/*.py"), *REPOSITORY.glob("tools/**/*.py")]
        for file in [*sorted(files), job.assignment, self.rubric.notebook]:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.digest()

    def grade_all(
        self, hand_ins: Sequence[HandIn], workers: int
    ) -> Iterator[tuple[HandIn, Grade | Exception, bool]]:
        """Grade hand-ins; yield each when it is done, with its grade, and whether it was kept."""
        pool = ThreadPoolExecutor(workers)
        jobs: dict[Future, HandIn] = {pool.submit(self.grade, one): one for one in hand_ins}
        try:
            for job in as_completed(jobs):
                grade, is_kept = (job.exception(), False) if job.exception() else job.result()
                yield jobs[job], grade, is_kept
        finally:  # an interrupt, above all
            self._stopped.set()
            pool.shutdown(cancel_futures=True)

    def grade(self, hand_in: HandIn) -> tuple[Grade, bool]:
        """The grade of one hand-in, from an earlier run if nothing that decides has changed."""
        content, problem, file = b"", hand_in.problem, grade_file(self.job.out, hand_in.name)
        if hand_in.file:
            with hand_in.file.open("rb") as opened:
                content = opened.read(MAX_BYTES + 1)
        digest = hashlib.sha256(self._decisive + problem.encode() + b"\0" + content).hexdigest()
        if file.is_file() and (grade := read_grade(file)).digest == digest:
            return grade, True
        file.unlink(missing_ok=True)
        if not problem:
            self._grade_in_a_process(hand_in.name, content, digest)
        if not file.is_file():
            problem = problem or "judging it took too long, needed too much memory, or crashed"
            grade = Grade.nothing(hand_in.name, self.rubric.names, problem, digest)
            grade.look = "" if hand_in.problem else problem
            keep_grade(self.job.out, grade)
        return read_grade(file), False

    def _grade_in_a_process(self, name: str, content: bytes, digest: str) -> None:
        # Not a deeper folder: the names of sockets must be short.
        folder = Path(tempfile.mkdtemp(prefix="grading-")).resolve()
        arguments = self.job, name, content, digest, folder
        task = self._fork.Process(target=grade_bytes, args=arguments)
        task.start()
        try:
            while task.is_alive() and not self._stopped.is_set():
                task.join(0.2)
        finally:
            box.kill_tree(task.pid)
            task.join()
            box.remove(folder)
        if self._stopped.is_set():
            raise InterruptedError("the grader was stopped")


def grade_bytes(job: Job, name: str, content: bytes, digest: str, folder: Path) -> None:
    """Grade one submission and keep its grade; then write its report, and keep what hindered it."""
    _isolate()
    start, rubric = time.monotonic(), load_rubric(job.assignment)
    executed = None
    try:
        executed = read_notebook(content)
        if not any(cell.cell_type == "code" for cell in executed.cells):
            raise ReadError("The notebook has no code cell.")
        grade, executed = grade_notebook(job, name, executed, digest, folder, rubric)
    except ReadError as error:
        grade = Grade.nothing(name, rubric.names, str(error), digest)
    grade.seconds, reason = round(time.monotonic() - start, 1), grade.reason
    if executed:
        grade.add_reason("no report: writing it took too long, needed too much memory, or crashed")
        keep_grade(job.out, grade)
        grade.reason = reason
        file = file_for(job.out / "reports", name, ".html")
        _limit_cpu(REPORT)
        try:
            save_report(file, executed, grade)
        except Exception as error:  # whatever a submission shows: its grade must not be lost
            problem = str(error).replace(str(file), file.name)  # no path of the grader's
            grade.add_reason(f"no report: {type(error).__name__}: {one_line(problem, 150)}")
    keep_grade(job.out, grade)


def grade_notebook(
    job: Job, name: str, notebook: NotebookNode, digest: str, folder: Path, rubric: Rubric
) -> tuple[Grade, NotebookNode]:
    """Run a notebook in the box and judge it; return its grade and the notebook as it ran."""
    inputs = draw_all(rubric.questions, int(digest[:12], 16))
    how = {"seconds": job.limits.seconds, "cell_seconds": job.limits.cell_seconds}
    # Sockets that are files pass a wall around the network.
    how |= {"sockets": {"transport": "ipc", "ip": str(folder / "kernel")}}
    write_task(folder, notebook, rubric, inputs, memory=job.limits.memory, **how)
    end = box.run(folder, job.limits, job.hidden)
    _limit_cpu(MAX_CPU)  # not before: the box would inherit it
    replies, model = {}, vars(load_definitions(rubric.notebook))
    results = [box.read_result(folder, name) for name in (inside.EXECUTED, inside.ANSWERS)]
    try:
        executed = read_notebook(results[0]) if results[0] else notebook
        replies = replies_of(rubric, inputs, results[1], model) if results[1] else {}
    except ReadError:
        executed = notebook
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
    box.kill_tree(os.getpid())


if VARIABLE in os.environ:  # this is the process that judging processes are forked from
    torch.set_num_threads(1)  # a fork has lost the others, and would wait for them
    with redirect_stdout(None):
        _rubric = load_rubric(Path(os.environ[VARIABLE]))
        load_definitions(_rubric.notebook)
        _rubric.decisive()
