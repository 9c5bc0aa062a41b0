"""Pytest plugin: a class as a test suite. Every submission is a file, every step of it a test.

pytest-xdist spreads the submissions over workers, pytest's JUnit XML holds the outcome of every
step. What one submission earned is kept in a file, so no run grades it again.
"""

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tools.grading.one import Settings, grade_submission
from tools.grading.results import (
    grade_file,
    read_grade,
    save_report,
    write_feedback,
    write_grade,
)
from tools.grading.rubric import Step

import pytest

PLAN = ".class.json"


class StepLostError(Exception):
    """A step that earned nothing; the message says why."""


class _Class(pytest.File):
    """The file with the settings and the names of all submissions."""

    def collect(self) -> Iterable[pytest.Collector]:
        plan = json.loads(self.path.read_text(encoding="utf-8"))
        steps = [Step(**step) for step in plan["settings"].pop("steps")]
        settings = Settings(steps=steps, **plan["settings"])
        for name, digest in plan["submissions"]:
            # Its path makes the names of its tests, which have to be UTF-8.
            shown = Path(plan["folder"]) / printable(name)
            submission = _Submission.from_parent(self, path=shown)
            submission.file, submission.title = Path(plan["folder"]) / name, printable(name)
            submission.digest, submission.settings = digest, settings
            submission.out = Path(plan["out"])
            yield submission


def printable(name: str) -> str:
    """A file's name with what is not UTF-8 in it written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


class _Submission(pytest.File):
    """One submission; it is graded when its first step is asked for."""

    file: Path
    title: str
    digest: str
    settings: Settings
    out: Path

    def collect(self) -> Iterable[pytest.Item]:
        for step in self.settings.steps:
            yield _StepTest.from_parent(self, name=step.name)

    def setup(self) -> None:
        kept = grade_file(self.out, self.title)
        self.grade, self.graded_now = read_grade(kept, self.digest), False
        if self.grade is None:
            self.grade, notebook = grade_submission(self.file, self.title, self.settings)
            self.graded_now = True
            name = Path(self.title)
            feedback = (self.out / "feedback" / name).with_suffix(".txt")
            write_feedback(feedback, self.grade, self.settings.steps)
            if notebook is not None:
                try:
                    report = (self.out / "reports" / name).with_suffix(".html")
                    save_report(report, notebook, self.grade)
                except (
                    Exception
                ) as error:  # whatever a submission shows: its grade must not be lost
                    self.grade.reason += f"; no report: {type(error).__name__}: {error}"[:200]
            write_grade(kept, self.grade, self.digest)  # last: what has a grade is complete


class _StepTest(pytest.Item):
    """Passes if the submission earned the points of this step."""

    def runtest(self) -> None:
        grade = self.parent.grade
        self.user_properties.append(("points", grade.points[self.name]))
        if self.name == list(grade.points)[-1]:
            facts = {"total": grade.total, "out_of": grade.out_of, "seconds": grade.seconds}
            facts |= {"submission": grade.submission, "graded_now": self.parent.graded_now}
            self.user_properties.append(("graded", json.dumps(facts)))
        if self.name in grade.problems:
            raise StepLostError(grade.problems[self.name])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        """The problem alone, where the step was lost; all of it, if the grader itself failed."""
        if excinfo.errisinstance(StepLostError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name


class Progress:
    """Prints a line for every submission: how many are done, and the time that is left."""

    def __init__(self, num_submissions: int) -> None:
        self.num_submissions, self.done, self.graded_now = num_submissions, 0, 0
        self.start = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for every test; the last one of a submission carries what it earned."""
        if report.failed and report.when != "call":
            print(
                f"The grader itself failed on {report.nodeid}:\n{report.longrepr}", file=sys.stderr
            )
        if report.when != "call" or "graded" not in dict(report.user_properties):
            return
        facts = json.loads(dict(report.user_properties)["graded"])
        self.done += 1
        self.graded_now += facts["graded_now"]
        left = self.num_submissions - self.done
        took = f"{facts['seconds']:.0f} s" if facts["graded_now"] else "graded before"
        line = f"{self.done:>4} of {self.num_submissions}  {facts['total']:>3} of {facts['out_of']}"
        line += f"  {took:<13}  {facts['submission']}"
        if left and self.graded_now:
            seconds = (time.monotonic() - self.start) / self.graded_now * left
            line += f"  (about {_duration(seconds)} left)"
        print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name == PLAN:
        return _Class.from_parent(parent, path=file_path)
    return None
