"""One submission in one process: nbval runs its cells, its kernel is asked, the answers judged.

The kernel runs behind walls in processes of its own. When it has given its answers it is killed;
only then is anything judged, here, and nothing that it sent is more than numbers and text.
"""

import json
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty
from typing import Any

from tools.grading.grade import Grade, Settings
from tools.grading.kernel import MAX_OUTPUT, OutOfTimeError, StoppedError, WatchedKernel
from tools.grading.probes import (
    AnswerError,
    draw_inputs,
    expected_answer,
    question,
    read_answer,
)
from tools.grading.results import save_report
from tools.grading.rubric import Arrays, Reply, Rubric, Step, Verdict, load_rubric
from tools.grading.sandbox import kill_tree, new_folder
from tools.grading.submission import SubmissionError, read_submission
from tools.grading.text import one_line
from utils.definitions import load_definitions

import nbformat
import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError

MEMORY = 4 * 2**30  # bytes of this process
MAX_SHOWN = 20_000  # characters of one output that the report keeps, if it is no picture
MAX_REPORT = 20 * 2**20  # characters that it keeps of all outputs
MAX_REVIVALS = 2  # new kernels after one died
JUDGE = 20  # seconds that judging one step may take
FULL = re.compile("MemoryError|allocate memory|^showed more")


@dataclass
class Run:
    """What became of a notebook's cells, and what its kernel answered.

    Attributes:
        problems: of each cell that failed, by number.
        outputs: of each cell that ran, by number.
        inputs: of each step's question, by the step's title.
        answers: to it, or why there is none.
        end: why the session ended before the notebook did.
        broken: why no kernel could be started, which is not the submission's fault.
    """

    problems: dict[int, str] = field(default_factory=dict)
    outputs: dict[int, list[NotebookNode]] = field(default_factory=dict)
    inputs: dict[str, Arrays] = field(default_factory=dict)
    answers: dict[str, Arrays | AnswerError] = field(default_factory=dict)
    end: str = ""
    broken: str = ""


def main(
    path: Path, name: str, settings: Settings, folder: Path, report: Path, sender: Connection
) -> None:
    """Grade one submission; send its grade, then write its report and send what hindered that.

    Args:
        path: of the file.
        name: that stands for it in the results.
        settings: the limits.
        folder: an empty one, the only one that it may write.
        report: where its report goes.
        sender: to the process that started this one.
    """

    def tell(*messages: object) -> None:
        for message in messages:
            sender.send_bytes(json.dumps(message).encode())

    _isolate()
    start = time.monotonic()
    rubric = load_rubric(settings.assignment)
    seed = int(settings.digest(path)[:12], 16)
    try:
        notebook, remark = read_submission(path)
    except SubmissionError as error:
        tell(asdict(Grade.nothing(name, rubric.names, rubric.out_of, str(error))), "")
        return
    run = run_notebook(notebook, rubric, settings, folder, seed)
    if run.broken:
        tell({"broken": run.broken})
        return
    grade = judge_run(name, notebook, run, rubric)
    grade.reason = "; ".join(part for part in (grade.reason, remark) if part)
    grade.seconds = round(time.monotonic() - start, 1)
    tell(asdict(grade))
    try:
        save_report(report, notebook, grade)
        tell("")
    except Exception as error:  # whatever a submission shows: its grade must not be lost
        problem = str(error).replace(str(report), report.name)  # no path of the grader's
        tell(f"no report: {type(error).__name__}: {one_line(problem, 150)}")


def _isolate() -> None:
    """A group of its own, limits, no terminal, and pytest without anybody's plugins."""
    os.setsid()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for limit, most in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, most))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"


def _end_with(parent: int) -> None:
    """Leave nothing running when the process is gone that started this one."""
    while os.getppid() == parent:
        time.sleep(1)
    kill_tree(os.getpid())


def run_notebook(
    notebook: NotebookNode, rubric: Rubric, settings: Settings, folder: Path, seed: int
) -> Run:
    """Run a notebook by nbval in `folder`, fill in its outputs, ask its kernel, and kill that."""
    file = new_folder(folder) / "submission.ipynb"
    nbformat.write(notebook, file)
    plugin = _Grader(rubric, settings, folder, seed)
    options = ["--nbval-lax", f"--nbval-cell-timeout={settings.cell_seconds}"]
    options += ["-p", "no:cacheprovider", "-p", "nbval.plugin", "--noconftest"]
    options += ["-c", os.devnull, "--rootdir", str(folder)]
    pytest.main([*options, str(file)], plugins=[plugin])
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, outputs in plugin.run.outputs.items():
        code[number].outputs = outputs
        code[number].execution_count = number + 1
    return plugin.run


class _GradedNotebook(IPyNbFile):
    """A notebook that runs in a watched kernel, and in a new one if that died."""

    grader: "_Grader"

    def setup(self) -> None:
        self.kernel = self.grader.new_kernel()

    def teardown(self) -> None:
        try:
            if self.kernel:
                self.grader.ask(self)
        finally:
            super().teardown()


class _Grader:
    """The pytest plugin that runs the cells, notes what became of each, and then asks."""

    def __init__(self, rubric: Rubric, settings: Settings, folder: Path, seed: int) -> None:
        self.rubric, self.settings, self.folder, self.seed = rubric, settings, folder, seed
        self.run = Run()
        self.end = time.monotonic() + settings.seconds
        self.revivals, self.shown = 0, 0
        self.passed: list[str] = []  # sources of the cells that a new kernel has to run again

    def new_kernel(self) -> WatchedKernel:
        return WatchedKernel(self.settings, self.folder, self.end)

    def ask(self, notebook: _GradedNotebook) -> None:
        """Ask the question of every step."""
        for number, step in enumerate(self.rubric.steps):
            inputs = self.run.inputs[step.title] = draw_inputs(step, self.seed + number)
            try:
                self._revive(notebook)
                if not notebook.kernel.is_alive():
                    raise StoppedError("not asked: the kernel had died")
                content = notebook.kernel.ask(question(step, inputs), self.settings.cell_seconds)
                self.run.answers[step.title] = read_answer(content)
            except AnswerError as error:
                self.run.answers[step.title] = error
            except StoppedError as error:
                self.run.answers[step.title] = AnswerError(str(error))

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
        if not item.parent.kernel.is_alive():
            raise StoppedError("not run: the kernel had died")
        yield
        # nbval looks only at what the kernel shows, and a cell can catch an interrupt.
        reply = item.parent.kernel.reply
        if reply.get("status") != "ok":
            raise StoppedError(str(reply.get("ename", "the cell failed without a message")))
        if item.parent.timed_out:
            raise StoppedError("ran too long")

    def _revive(self, notebook: _GradedNotebook) -> None:
        """Start a new kernel in place of a dead one and run again what had passed."""
        if notebook.kernel.is_alive() or self.revivals == MAX_REVIVALS:
            return
        self.revivals += 1
        notebook.kernel.stop()
        notebook.kernel = self.new_kernel()
        for source in self.passed:
            try:
                request = notebook.kernel.execute_cell_input(source, allow_stdin=False)
                notebook.kernel.await_reply(request, self.settings.cell_seconds)
            except Empty as error:
                raise StoppedError("running the earlier cells again took too long") from error

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: IPyNbCell, call: pytest.CallInfo
    ) -> Iterator[pytest.TestReport]:
        report = yield
        if call.when == "teardown" or (call.when == "setup" and not call.excinfo):
            return report
        error = call.excinfo.value if call.excinfo else None
        outputs = [_shorten(output) for output in item.test_outputs or []]
        self.shown += len(str(outputs))
        self.run.outputs[item.cell_num] = outputs if self.shown <= MAX_REPORT else []
        if report.passed:
            self.passed.append(item.cell.source)
            return report
        problem = self.run.problems[item.cell_num] = self._explain(error, item)
        if call.when == "setup":
            item.session.shouldstop = self.run.broken = problem
        elif isinstance(error, OutOfTimeError):
            item.session.shouldstop = self.run.end = problem
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
            return f"ran longer than {self.settings.cell_seconds:g} s"
        if isinstance(error, NbCellError):
            raised = [o for o in item.test_outputs if o["output_type"] == "error"]
            if raised:
                return one_line(f"{raised[-1]['ename']}: {raised[-1]['evalue']}").rstrip(": ")
        return one_line(str(error)) or type(error).__name__


def _shorten(output: dict[str, Any]) -> NotebookNode:
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
    return nbformat.from_dict(output)


def judge_run(name: str, notebook: NotebookNode, run: Run, rubric: Rubric) -> Grade:
    """Compare the answers with those of the model answer; say what became of every step."""
    grade = Grade(name, {}, {}, rubric.out_of)
    model = vars(load_definitions(rubric.notebook))
    replies = {
        step.title: Reply(inputs, answer, partial(expected_answer, step, model, inputs))
        for step, inputs in ((step, run.inputs.get(step.title)) for step in rubric.steps)
        if isinstance(answer := run.answers.get(step.title), dict)
    }
    looks = []
    for title, step in zip(rubric.names, rubric.steps, strict=True):
        verdict = _judge(step, run, replies)
        grade.points[title] = 0 if verdict.problem else step.points
        if verdict.problem:
            grade.problems[title] = one_line(verdict.problem, 500)
        if verdict.look:
            looks.append(f"{title}: {one_line(verdict.look)}")
        grade.figures |= dict(verdict.figures)
    grade.look = "; ".join(looks)
    grade.reason = _first_problem(notebook, run)
    if grade.problems and not grade.reason:
        title, problem = next(iter(grade.problems.items()))
        grade.reason = f"step {title}: {problem}"
    elif grade.reason and not grade.problems:
        grade.reason += " (no points lost)"
    return grade


def _judge(step: Step, run: Run, replies: dict[str, Reply]) -> Verdict:
    if step.title not in replies:
        why = run.end or "the notebook has no code cell"
        return Verdict(str(run.answers.get(step.title, f"not asked: {why}")))
    try:
        with _time_limit(JUDGE):
            return step.judge(replies[step.title], replies)
    except Exception as error:  # a submission must not end the grading of its other steps
        problem = f"the answer could not be judged ({type(error).__name__}: {error})"
        return Verdict(problem, look=problem)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"longer than {seconds:g} s")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _first_problem(notebook: NotebookNode, run: Run) -> str:
    """Which cell failed first, and how; why the session ended, if none did."""
    if not run.problems:
        return run.end
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    number, problem = min(run.problems.items())
    # Numbered as in the report, which leaves out empty cells.
    written = sum(1 for cell in code[: number + 1] if cell.source.strip())
    return f"code cell {written}: {problem}"
