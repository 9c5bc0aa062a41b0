"""What is the same for all submissions of a class, and what one submission has earned."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tools.grading.sandbox import REPOSITORY


@dataclass
class Settings:
    """What is the same for all submissions of a class.

    Attributes:
        assignment: the Python file with the steps.
        notebook: the model answer.
        seconds: that one submission may take in all.
        cell_seconds: that one cell may take.
        memory: bytes that one submission may hold.
        network: whether it may reach the network.
        level: of the walls around it, one of `sandbox.LEVELS`.
        hidden: folders that it must not see.
        threads: that its numerical libraries may use.
    """

    assignment: Path
    notebook: Path
    seconds: float
    cell_seconds: float
    memory: int
    network: bool
    level: str
    hidden: list[Path]
    threads: int

    def digest(self, submission: Path) -> str:
        """Changes with whatever could change the grade of the file `submission`."""
        content = hashlib.sha256(
            json.dumps([self.seconds, self.cell_seconds, self.memory, self.network]).encode()
        )
        sources = [*REPOSITORY.glob("utils/*.py"), *REPOSITORY.glob("tools/**/*.py")]
        for file in [*sorted(sources), self.assignment, self.notebook, submission]:
            with suppress(OSError), file.open("rb") as opened:
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
        figures: numbers that the steps' verdicts name, for example an accuracy.
        seconds: that grading took.
        reason: what went wrong, in one line; empty if nothing did.
        look: what a human should look at, in one line; empty if nothing.
    """

    submission: str
    points: dict[str, int]
    problems: dict[str, str]
    out_of: int
    figures: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""
    look: str = ""

    @classmethod
    def nothing(cls, submission: str, steps: Iterable[str], out_of: int, reason: str) -> Self:
        """The grade of a submission that lost every step for the same reason."""
        problems = dict.fromkeys(steps, reason)
        return cls(submission, dict.fromkeys(problems, 0), problems, out_of, reason=reason)

    @property
    def total(self) -> int:
        return sum(self.points.values())
