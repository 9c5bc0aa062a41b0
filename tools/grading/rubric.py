"""What an assignment is graded by: its steps, their points, and the questions that earn them."""

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
ASSIGNMENT = Path(__file__).with_name("fashion_mnist.py")
COLUMNS = 6  # numbers that a sentence shows at the most


@dataclass(frozen=True)
class Verdict:
    """What a step's answer is worth.

    Attributes:
        problem: why the step earns nothing, in a sentence for the student; empty if it earns all.
        look: what a human should look at; costs nothing by itself.
        figures: numbers for the table of grades.
    """

    problem: str = ""
    look: str = ""
    figures: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Reply:
    """What came back for a step's question.

    Attributes:
        inputs: that were sent.
        answer: that came back.
        expected: gives the answer of the model answer to the same question.
    """

    inputs: Arrays
    answer: Arrays
    expected: Callable[[], Arrays]


def same_as_model(reply: Reply, replies: dict[str, Reply]) -> Verdict:
    """Whether the answer is what the model answer gives for the same inputs."""
    answer, own = reply.answer, reply.expected()
    if answer.keys() != own.keys():
        return Verdict(f"came back: {', '.join(answer)}; expected: {', '.join(own)}")
    sent = ", ".join(f"{name} {array.shape}" for name, array in reply.inputs.items() if array.ndim)
    for name, array in own.items():
        if difference := difference_between(answer[name], array):
            return Verdict(f"{name}{f' with {sent}' if sent else ''}: {difference}")
    return Verdict()


def difference_between(given: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> str:
    """In words, how two arrays differ by more than `tolerance` of the largest number expected."""
    if given.shape != expected.shape:
        return f"came back with shape {given.shape}, expected {expected.shape}"
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    wrong = ~(np.abs(given - expected) <= tolerance * scale)  # NaN is wrong, too
    if not wrong.any():
        return ""
    place = tuple(int(index) for index in np.argwhere(wrong)[0])
    where = f" at {list(place)}" if place else ""
    return (
        f"came back {given[place]:.6g}{where}, expected {expected[place]:.6g} "
        f"({wrong.sum():,} of {wrong.size:,} numbers differ)"
    )


@dataclass(frozen=True)
class Step:
    """One step of an assignment, and what earns its points.

    After a submission's last cell its kernel is asked a question, and what comes back is compared
    in the grader's own process, when the kernel is dead.

    Attributes:
        title: of the step, as in its heading "## 2. Title".
        points: that it is worth.
        contract: what is looked at, as the student is told.
        ask: the question: `ask(names, **inputs)` reads what the notebook has defined and returns
            numbers, tensors or lists by name. The kernel gets its source: it imports what it needs.
        draw: makes the inputs, arrays by name, from a generator with a seed of the submission.
        helpers: functions that `ask` calls.
        judge: `judge(reply, replies)` judges what came back; `replies` has that of all steps, by
            title, to tell one step's mistakes from another's.
    """

    title: str
    points: int
    contract: str
    ask: Callable[..., dict[str, Any]]
    draw: Callable[[np.random.Generator], Arrays] = lambda random: {}
    helpers: tuple[Callable, ...] = ()
    judge: Callable[[Reply, dict[str, Reply]], Verdict] = same_as_model


@dataclass(frozen=True)
class Rubric:
    """The steps of an assignment, and the notebook that answers them all."""

    notebook: Path
    steps: Sequence[Step]

    @property
    def names(self) -> list[str]:
        """Of the steps: `2 Patchify` and so on, columns of the grades."""
        return [f"{number} {step.title}" for number, step in enumerate(self.steps, start=1)]

    @property
    def out_of(self) -> int:
        """The points that can be earned."""
        return sum(step.points for step in self.steps)


def load_module(assignment: Path) -> ModuleType:
    """The module in the file `assignment`, with its folder on `sys.path`, once a process."""
    folder = str(assignment.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(assignment.stem)


def load_rubric(assignment: Path = ASSIGNMENT) -> Rubric:
    """The rubric in a Python file that defines `NOTEBOOK`, a path, and `STEPS`.

    Raises:
        ValueError: if the file is missing or defines neither.
    """
    if not assignment.is_file():
        raise ValueError(f"{assignment} is not a file: it should define NOTEBOOK and STEPS.")
    module = load_module(assignment)
    try:
        return Rubric(Path(module.NOTEBOOK), module.STEPS)
    except AttributeError as error:
        raise ValueError(f"{assignment} must define NOTEBOOK and STEPS ({error}).") from None
