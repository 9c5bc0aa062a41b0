"""Grade one submission: prepare it, have a session run it, judge what the session says."""

import hashlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.grading.rubric import Step, SubmissionError, put_checks, read_submission
from tools.grading.sandbox import REPOSITORY, data_variable, kill_tree, limits, new_folder

import nbformat
from nbformat import NotebookNode

STAND_IN = "stand-in"  # as in utils.data, which would import torch here
GRACE = 60  # seconds beyond its time after which a session that does not stop by itself is killed


class GraderError(Exception):
    """A submission could not be graded, through no fault of its own."""


@dataclass
class Settings:
    """What is the same for all submissions of a class.

    Attributes:
        steps: of the repository's notebook.
        imports: its import statements.
        names: what its checks read.
        seconds: that one submission may take in all.
        cell_seconds: that one cell may take.
        memory: bytes that one submission may hold.
        network: whether it may reach the network.
        level: of the walls around it, one of `sandbox.LEVELS`.
        hidden: folders that it must not see.
        threads: that its numerical libraries may use.
    """

    steps: list[Step]
    imports: str
    names: list[str]
    seconds: float
    cell_seconds: float
    memory: int
    network: bool
    level: str
    hidden: list[str]
    threads: int

    def digest(self, submission: Path) -> str:
        """Changes with whatever could change the grade of the file `submission`."""
        settings = asdict(self)
        for indifferent in ("level", "threads", "hidden"):
            del settings[indifferent]
        content = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        sources = [*REPOSITORY.glob("utils/*.py"), *REPOSITORY.glob("tools/**/*.py")]
        for file in [*sorted(sources), submission]:
            with suppress(PermissionError), file.open("rb") as opened:
                content.update(hashlib.file_digest(opened, "sha256").digest())
        return content.hexdigest()


@dataclass
class Grade:
    """What one submission earned.

    Attributes:
        submission: its path below the class's folder.
        points: earned, a number for each step's name.
        problems: what went wrong in a step that earned nothing, for each step's name.
        out_of: points that could be earned.
        accuracy: fraction of the test images right, counted by the grader; None without a model.
        seconds: that grading took.
        reason: what went wrong, in one line; empty if nothing did.
    """

    submission: str
    points: dict[str, int]
    problems: dict[str, str]
    out_of: int
    accuracy: float | None = None
    seconds: float = 0.0
    reason: str = ""

    @property
    def total(self) -> int:
        return sum(self.points.values())


@dataclass
class _Run:
    """What a session has said about a notebook: its cells by number, and more."""

    cells: dict[int, dict[str, Any]] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)  # what it had put in place of checks' tools
    accuracy: float | None = None
    source: str = ""  # of the images that it was counted on
    end: str = ""  # why the session ended before the notebook did


def grade_submission(
    path: Path, name: str, settings: Settings
) -> tuple[Grade, NotebookNode | None]:
    """Grade the file at `path`; return the grade and the executed notebook, if it is one.

    Raises:
        GraderError: if it could not be run, through no fault of its own.
    """
    start = time.monotonic()
    try:
        notebook, remarks = read_submission(path)
    except SubmissionError as error:
        points = {step.name: 0 for step in settings.steps}
        problems = {step.name: str(error) for step in settings.steps}
        out_of = sum(step.points for step in settings.steps)
        return Grade(name, points, problems, out_of, reason=str(error)), None
    remarks += put_checks(notebook, settings.steps)
    run = _run(notebook, settings)
    if run.replaced:
        remarks.append(f"set aside for the checks: {', '.join(sorted(run.replaced))}")
    if run.source == STAND_IN:
        remarks.append("the data is the drawn stand-in: the accuracy means nothing")
    grade = _judge(name, notebook, run, remarks, settings.steps)
    grade.seconds = round(time.monotonic() - start, 1)
    return grade, notebook


def _run(notebook: NotebookNode, settings: Settings) -> _Run:
    """Run a notebook in a session of its own and fill in its outputs."""
    # Not a deeper folder: the names of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True) as name:
        file = new_folder(Path(name)) / "submission.ipynb"
        nbformat.write(notebook, file)
        run = _follow(_start(file, settings), settings.seconds + GRACE)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, result in run.cells.items():
        code[number].outputs = [nbformat.from_dict(output) for output in result["outputs"]]
        code[number].execution_count = number + 1
    return run


def _start(file: Path, settings: Settings) -> tuple[subprocess.Popen, int]:
    """Start a session; return it, the descriptor to read its results from."""
    results, writable = os.pipe()
    session = {
        **asdict(settings),
        "notebook": str(file),
        "last_step": settings.steps[-1].number,
        "results": writable,
        "parent": os.getpid(),
    }
    process = subprocess.Popen(
        [*limits(settings.memory), sys.executable, "-m", "tools.grading.session"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[writable],
        cwd="/",
        env=_environment(file.parent, settings.threads),
        start_new_session=True,
    )
    os.close(writable)
    process.stdin.write(json.dumps(session).encode())
    process.stdin.close()
    return process, results


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
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


def _follow(started: tuple[subprocess.Popen, int], patience: float) -> _Run:
    """Read a session's results as they come, until it ends or `patience` seconds are over."""
    process, results = started
    end, text = time.monotonic() + patience, b""
    try:
        while (left := end - time.monotonic()) > 0:
            if select.select([results], [], [], left)[0]:
                part = os.read(results, 2**16)
                if not part:
                    break
                text += part
    finally:
        kill_tree(process.pid)
        process.wait()
        os.close(results)
    if not text:
        raise GraderError("its session did not start: is this repository installed in .venv?")
    run = _Run(end="the session ended unexpectedly")
    for line in text.decode().splitlines()[: text.count(b"\n")]:  # a cut last line says nothing
        _note(run, json.loads(line))
    if left <= 0:
        run.end = f"did not stop within {patience:g} s"
    return run


def _note(run: _Run, message: dict[str, Any]) -> None:
    if "cell" in message:
        run.cells[message["cell"]] = message
    elif "replaced" in message:
        run.replaced.update(message["replaced"])
    elif "accuracy" in message:
        run.accuracy, run.source = message["accuracy"], message["source"]
    elif "broken" in message:
        raise GraderError(message["broken"])
    elif "end" in message:
        run.end = message["end"]


def _judge(
    name: str, notebook: NotebookNode, run: _Run, remarks: list[str], steps: list[Step]
) -> Grade:
    """A step's points are earned by its check cell alone."""
    points, problems = {}, {}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    checks = {
        cell.metadata.grading.step: n for n, cell in enumerate(code) if "grading" in cell.metadata
    }
    for step in steps:
        result = run.cells.get(checks[step.number])
        passed = result is not None and result["outcome"] == "passed"
        points[step.name] = step.points if passed else 0
        if not passed:
            problems[step.name] = result["problem"] if result else f"not reached: {run.end}"
    first = _first_problem(code, run)
    if not first and problems:
        first = run.end
    if first and not problems:
        first += " (no points lost)"
    out_of = sum(step.points for step in steps)
    reason = "; ".join(part for part in (first, *remarks) if part)
    return Grade(name, points, problems, out_of, accuracy=run.accuracy, reason=reason)


def _first_problem(code: list[NotebookNode], run: _Run) -> str:
    """Which cell failed first, and how; empty if none did."""
    for number, result in sorted(run.cells.items()):
        if result["outcome"] == "failed":
            grading = code[number].metadata.get("grading")
            # Numbered as in the report, which leaves out empty cells.
            written = sum(1 for cell in code[: number + 1] if cell.source.strip())
            place = f"check {grading.step}" if grading else f"code cell {written}"
            return f"{place}: {result['problem']}"
    return ""
