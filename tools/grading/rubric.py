"""What an assignment asks: questions, how their answers come back, and what they are compared with.

A question is asked in a submission's kernel, behind walls; what comes back are arrays, and they are
judged elsewhere, by comparison with a model answer or with answers of it that were kept.
"""

import base64
import importlib
import inspect
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from tools.grading import inside

import nbformat
import numpy as np
from nbformat import NotebookNode

Arrays = dict[str, np.ndarray]
ASSIGNMENT = Path(__file__).with_name("questions.py")
MAX_ARRAYS = 2000  # of a submission's answers
MAX_BYTES = 2**26  # of all of them together
# Characters that end lines, move cursors, turn the direction of writing, or are no characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]+")


def one_line(text: str, most: int = 300) -> str:
    """Text of a submission in one line of at most `most` characters, harmless wherever it shows."""
    text = text[: 10 * most].encode("utf-8", "backslashreplace").decode()
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


class Wrong(Exception):  # noqa: N818 (a verdict, not an accident)
    """A question is not answered: what was found, in a sentence, and a hint at the slip."""

    def __init__(self, found: str, hint: str = "") -> None:
        super().__init__(found)
        self.found, self.hint = found, hint


class AnswerError(ValueError):
    """The file with a submission's answers cannot be read; the message says why."""


@dataclass(frozen=True, eq=False)
class Question:
    """One question, worth one point.

    Attributes:
        step: of the assignment, from 1.
        title: in the tables.
        sentence: what the student is told.
        ask: reads what the notebook has defined, `ask(names, **inputs)`, and returns numbers,
            tensors, lists, or functions that give such, by name. The kernel gets its source. Where
            an answer is wrong, the shapes of the inputs that its name contains are told.
        draw: makes the inputs, arrays by name, from a generator of the submission's own.
        judge: raises `Wrong`, or returns figures for the table, if any.
        helpers: functions and classes that `ask` uses.
    """

    step: int
    title: str
    sentence: str
    ask: Callable[..., dict[str, Any]]
    draw: Callable[[np.random.Generator], Arrays] = lambda random: {}
    judge: Callable[["Reply"], dict[str, float] | None] = lambda reply: reply.expect_the_model()
    helpers: tuple[Callable, ...] = ()

    @property
    def name(self) -> str:
        """The column of the tables: `2 Patches of every size`."""
        return f"{self.step} {self.title}"


@dataclass(eq=False)
class Reply:
    """What came back for a question: `reply[name]` is an array of its answer.

    Attributes:
        inputs: that were sent.
        answer: arrays by name.
        errors: what hindered an array, by its name; under "" what hindered the whole answer.
        expected: gives the model answer's answer to the same question.
        model: what the model answer defines; None where only kept answers are at hand.
        others: the submission's replies to all questions.
        wrong: the questions found wrong so far.
        look: what the judging tells a human to look at.
    """

    inputs: Arrays
    answer: Arrays
    errors: dict[str, str]
    expected: Callable[[], Arrays] = dict
    model: dict[str, Any] | None = None
    others: dict[Question, "Reply"] = field(default_factory=dict)
    wrong: set[Question] = field(default_factory=set)
    look: str = ""

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.answer:
            raise Wrong(self.errors.get(name) or self.errors.get("") or "no answer came back")
        return self.answer[name]

    def differences(self, *names: str, tolerance: float = 1e-4) -> list[str]:
        """In words, what differs from the model answer's arrays of these names (default: all)."""
        expected, found = self.expected(), []
        for name in names or expected:
            words = re.findall(r"\w+", name)
            arrays = ", ".join(
                f"{n} {array.shape}" for n, array in self.inputs.items() if n in words
            )
            sent = f" with {arrays}" if arrays else ""
            try:
                difference = difference_between(self[name], expected[name], tolerance)
            except Wrong as error:
                difference = error.found
            found += [f"{name}{sent}: {difference}"] if difference else []
        return found

    def expect_the_model(self) -> None:
        """Raise `Wrong` unless the answer is the model answer's."""
        if differences := self.differences():
            raise Wrong(differences[0])


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


@dataclass
class Grade:
    """What one submission earned.

    Attributes:
        submission: its name in the results.
        points: earned, by question.
        problems: of the questions that earned nothing: what was found, a hint, what is looked at.
        figures: numbers that the judging names, for example an accuracy.
        seconds: that grading took.
        reason: what went wrong, in one line; empty if nothing did.
        look: what a human should look at, in one line; empty if nothing.
        digest: stands for all that the grade depends on.
        student: the platform's number or id, where one is known.
        late: whether it came late; None if nothing tells.
        by_hand: what the teacher says to a question, by its name.
    """

    submission: str
    points: dict[str, int] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""
    look: str = ""
    digest: str = ""
    student: str = ""
    late: bool | None = None
    by_hand: dict[str, str] = field(default_factory=dict)

    @classmethod
    def nothing(cls, submission: str, names: Sequence[str], reason: str, digest: str) -> Self:
        """The grade of a submission that lost every point for the same reason."""
        problems = {name: [reason, "", ""] for name in names}
        return cls(submission, dict.fromkeys(names, 0), problems, reason=reason, digest=digest)

    @property
    def total(self) -> int:
        return sum(self.points.values())

    @property
    def out_of(self) -> int:
        return len(self.points)

    def explain(self, reason: str) -> None:
        """Give what went wrong first as the reason, and say so where it cost nothing."""
        if not reason and self.problems:
            name, (found, *_) = next(iter(self.problems.items()))
            reason = f"step {name}: {found}"
        self.add_reason(reason + " (no points lost)" * bool(reason and not self.problems))

    def add_reason(self, reason: str) -> None:
        self.reason = "; ".join(part for part in (self.reason, reason) if part)


class Step(NamedTuple):
    """A step's terms, for the starter: its number, points, and what is looked at."""

    number: int
    points: int
    contract: str


@dataclass(frozen=True)
class Rubric:
    """An assignment: the file that defines it, its model answer, its questions, what else decides
    about a grade, and what the questions import in the kernel.
    """

    file: Path
    notebook: Path
    questions: Sequence[Question]
    decisive: Callable[[], str] = str
    imports: str = "import numpy as np"

    @property
    def names(self) -> list[str]:
        return [question.name for question in self.questions]

    @property
    def steps(self) -> list[Step]:
        steps: dict[int, list[str]] = {}
        for question in self.questions:
            steps.setdefault(question.step, []).append(question.sentence)
        return [Step(number, len(s), " ".join(s)) for number, s in sorted(steps.items())]


def load_rubric(assignment: Path = ASSIGNMENT) -> Rubric:
    """The rubric in a Python file that defines `NOTEBOOK`, a path, and `QUESTIONS`.

    Raises:
        ValueError: if the file is missing or defines neither.
    """
    if not assignment.is_file():
        raise ValueError(f"{assignment} is not a file: it should define NOTEBOOK and QUESTIONS.")
    if assignment.resolve() == ASSIGNMENT:
        module = importlib.import_module("tools.grading.questions")
    else:
        sys.path.append(str(assignment.resolve().parent))
        module = importlib.import_module(assignment.stem)
    decisive = getattr(module, "decisive", Rubric.decisive)
    imports = getattr(module, "IMPORTS", Rubric.imports)
    try:
        return Rubric(assignment, Path(module.NOTEBOOK), module.QUESTIONS, decisive, imports)
    except AttributeError as error:
        raise ValueError(f"{assignment} must define NOTEBOOK and QUESTIONS ({error}).") from None


# Asking


def draw_all(questions: Sequence[Question], seed: int) -> list[Arrays]:
    """The inputs of every question, other ones for every seed."""
    drawn = [q.draw(np.random.default_rng([seed, n])) for n, q in enumerate(questions)]
    return [{name: np.asarray(value) for name, value in one.items()} for one in drawn]


def write_task(
    folder: Path, notebook: NotebookNode, rubric: Rubric, inputs: list[Arrays], **how: object
) -> None:
    """Write what `tools/grading/inside.py` is to do into an empty folder; make one for its results.

    That is the notebook, whose outputs go, the questions as text, and how: its limits, its sockets.
    """
    file = folder / inside.WORK / "submission.ipynb"
    for made in (file.parent, folder / inside.RESULT):
        made.mkdir()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            tags = cell.metadata.get("tags", [])
            cell.metadata = NotebookNode(tags=[tag for tag in tags if tag == "facts"])
    nbformat.write(notebook, file)
    asked = []
    for question, given in zip(rubric.questions, inputs, strict=True):
        parts = [inspect.getsource(part) for part in (*question.helpers, question.ask)]
        head = f"from typing import Any\n{rubric.imports}"
        program = "\n\n".join([head, *parts, f"ask = {question.ask.__name__}\n"])
        packed = io.BytesIO()
        np.savez(packed, **given)
        inputs_text = base64.b64encode(packed.getvalue()).decode()
        asked.append({"program": program, "inputs": inputs_text})
    how |= {"notebook": str(file), "cwd": str(file.parent), "questions": asked}
    (folder / inside.TASK).write_text(json.dumps(how), encoding="utf-8")


def expected_answer(question: Question, names: dict[str, Any], inputs: Arrays) -> Arrays:
    """What the notebook that defines `names` answers, in this process."""
    answer, errors = inside.answer_of(question.ask, names, inputs)
    if errors:
        raise RuntimeError(f"the model answer does not answer {question.name}: {errors}")
    return {name: np.asarray(array, float) for name, array in answer.items()}


# Judging: nothing in the file with the answers is believed


def read_answers(content: bytes) -> tuple[dict[int, Arrays], dict[int, dict[str, str]]]:
    """The arrays, float64, and the errors that a submission left, for each question's number.

    Args:
        content: of an `.npz` file with members `3/answer/NAME.npy` and `3/error/NAME.npy`.

    Raises:
        AnswerError: if it is anything else, or too much.
    """
    answers: dict[int, Arrays] = {}
    errors: dict[int, dict[str, str]] = {}
    try:
        members = zipfile.ZipFile(io.BytesIO(content)).infolist()
        if len(members) > MAX_ARRAYS or sum(m.file_size for m in members) > MAX_BYTES:
            raise AnswerError("more answers than there are questions for")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            for member in arrays:
                number, kind, name = member.split("/", maxsplit=2)
                if kind == "answer":
                    answers.setdefault(int(number), {})[name] = _numbers(arrays[member])
                else:
                    errors.setdefault(int(number), {})[name] = one_line(str(arrays[member]))
    except AnswerError:
        raise
    except Exception as error:  # zipfile and numpy raise many kinds for the many ways to be none
        raise AnswerError(f"the answers cannot be read ({type(error).__name__})") from error
    return answers, errors


def _numbers(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise AnswerError("an answer that is no numbers")
    return array.astype(float)


def replies_of(
    rubric: Rubric,
    inputs: list[Arrays],
    answers: bytes,
    model: dict[str, Any] | None,
    kept: list[Arrays] | None = None,
) -> dict[Question, Reply]:
    """The reply to every question, to be compared with the model answer or with kept answers."""
    arrays, errors = read_answers(answers)
    replies: dict[Question, Reply] = {}
    wrong: set[Question] = set()
    for n, (question, given) in enumerate(zip(rubric.questions, inputs, strict=True)):
        if kept is None:
            expected = partial(expected_answer, question, model, given)
        else:
            expected = partial(kept.__getitem__, n)
        answer = arrays.get(n, {}), errors.get(n, {})
        replies[question] = Reply(given, *answer, expected, model, replies, wrong)
    return replies


def judge(
    name: str,
    rubric: Rubric,
    replies: dict[Question, Reply],
    none: str,
    limit: Callable[[], AbstractContextManager] = nullcontext,
) -> Grade:
    """What every question earns; `none` says why, where there are no replies."""
    grade = Grade(name)
    for question in rubric.questions:
        try:
            if question not in replies:
                raise Wrong(f"not asked: {none}")
            with limit():
                grade.figures |= question.judge(replies[question]) or {}
            grade.points[question.name] = 1
            grade.look = one_line(replies[question].look) or grade.look
        except Exception as error:  # a submission must not end the grading of its other answers
            if not isinstance(error, Wrong):
                error = Wrong(f"the answer could not be judged ({type(error).__name__}: {error})")
                grade.look = one_line(error.found)
            if question in replies:
                replies[question].wrong.add(question)
            grade.points[question.name] = 0
            problem = [one_line(error.found, 500), one_line(error.hint, 500), question.sentence]
            grade.problems[question.name] = problem
    return grade
