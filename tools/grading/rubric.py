"""The checks and their points, as the repository's notebook holds them, and how they get into a
submission in place of its own.
"""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

MAX_BYTES = 50 * 2**20  # of a submission's file; the notebook with all its figures has 1 MiB


class SubmissionError(Exception):
    """The file cannot be graded at all; the message says why."""


@dataclass(frozen=True)
class Step:
    """One step of the assignment: its check, and what passing it is worth."""

    number: int
    title: str
    points: int
    check: str  # source of the check cell
    purpose: str  # the text cell above it

    @property
    def name(self) -> str:
        """For example `2 Patchify`: a column of the grades."""
        return f"{self.number} {self.title}"


def read_steps(notebook: Path) -> list[Step]:
    """The steps in order, from the cells whose metadata hold
    `"grading": {"step": 2, "title": "Patchify", "points": 2}`.

    Raises:
        ValueError: if no cell is worth points, or the steps are not 1, 2, 3 and so on.
    """
    steps, text = [], ""
    for cell in nbformat.read(notebook, as_version=4).cells:
        grading = cell.metadata.get("grading")
        if cell.cell_type == "markdown":
            text = cell.source
        elif grading:
            numbers = grading["step"], grading["title"], grading["points"]
            steps.append(Step(*numbers, check=cell.source, purpose=text))
    if not steps or [step.number for step in steps] != list(range(1, len(steps) + 1)):
        raise ValueError(f"{notebook}: the cells with points must be the steps 1, 2, 3 and so on.")
    return steps


def read_tools(notebook: Path, steps: list[Step]) -> tuple[str, list[str]]:
    """The notebook's import statements, and the names that its checks read."""
    imports = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            for statement in ast.parse(cell.source).body:
                if isinstance(statement, ast.Import | ast.ImportFrom):
                    imports.append(ast.unparse(statement))
    checks = ast.parse("\n".join(step.check for step in steps))
    names = {node.id for node in ast.walk(checks) if isinstance(node, ast.Name)}
    return "\n".join(imports), sorted(names)


def read_submission(path: Path) -> tuple[NotebookNode, list[str]]:
    """Read a submission of any notebook format as format 4; return it with remarks.

    Raises:
        SubmissionError: if the file is empty, too large, or no notebook.
    """
    remarks = []
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SubmissionError(f"the file is larger than {MAX_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8-sig")
        if not text.strip():
            raise SubmissionError("the file is empty")
        content = json.loads(text)
        version = content["nbformat"]
        if not isinstance(version, int) or not 3 <= version <= 4:
            raise SubmissionError(f"notebook format {version!r} cannot be read, only 3 and 4")
        if version == 3:
            remarks.append("was in notebook format 3 (converted)")
        notebook = nbformat.convert(nbformat.from_dict(content), 4)
        # Rebuilt cell by cell: ids, outputs and counts of a submission are of no use here.
        return new_notebook(cells=[_clean(cell) for cell in notebook.cells]), remarks
    except OSError as error:
        raise SubmissionError(f"the file cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SubmissionError("the file is not text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise SubmissionError(f"the file is not JSON (line {error.lineno})") from error
    except SubmissionError:
        raise
    except Exception as error:  # a file can fail to be a notebook in many ways, recursion included
        raise SubmissionError("the file is JSON but not a notebook") from error


def _clean(cell: NotebookNode) -> NotebookNode:
    """The same cell without outputs, with the metadata that grading looks at."""
    if cell.cell_type != "code":
        return new_markdown_cell(_text(cell.source))
    metadata = {}
    if isinstance(cell.metadata.get("grading"), dict):
        metadata["grading"] = cell.metadata["grading"]
    tags = cell.metadata.get("tags")
    if isinstance(tags, list) and "facts" in tags:
        metadata["tags"] = ["facts"]  # for the head of the report
    return new_code_cell(_text(cell.source), metadata=metadata)


def _text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def put_checks(submission: NotebookNode, steps: list[Step]) -> list[str]:
    """Replace the submission's check cells, in place, by the repository's; return remarks.

    A check is recognised by its step in the metadata, or else by its source. A missing one
    is put where its step ends: before the heading of the next step, or before the next
    check, or at the end.
    """
    found, remarks = _find_checks(submission.cells, steps)
    return sorted(remarks + _place_checks(submission.cells, steps, found))


def _find_checks(
    cells: list[NotebookNode], steps: list[Step]
) -> tuple[dict[int, NotebookNode], list[str]]:
    """The last check cell of each step, by the step's number, and remarks; others are emptied."""
    found, remarks = {}, []
    for cell in cells:
        claimed = cell.metadata.pop("grading", {}).get("step")
        if cell.cell_type != "code":
            continue
        for step in steps:
            same = _normalise(cell.source) == _normalise(step.check)
            if not (same or claimed == step.number):
                continue
            if step.number in found:
                remarks.append(f"check {step.number} is there twice (the last was used)")
                found[step.number].source = ""
            if not same:
                remarks.append(f"check {step.number} was edited (the original was used)")
            found[step.number] = cell
            break
    return found, remarks


def _place_checks(
    cells: list[NotebookNode], steps: list[Step], found: dict[int, NotebookNode]
) -> list[str]:
    """Put the repository's checks in order, where the submission has them if that is in order."""
    remarks, end = [], len(cells)
    for step in reversed(steps):
        cell = found.get(step.number)
        if cell and cells.index(cell) < end:
            end = cells.index(cell)
            cells[end] = _check_cell(step)
            continue
        if cell:
            cell.source = ""
            remarks.append(f"check {step.number} came after a later one (moved)")
        else:
            remarks.append(f"check {step.number} was missing (put back)")
        end = _end_of_step(cells, step.number, end)
        cells.insert(end, _check_cell(step))
    return remarks


def _normalise(source: str) -> str:
    return re.sub(r"\s+", " ", source).strip()


def _check_cell(step: Step) -> NotebookNode:
    grading = {"step": step.number, "title": step.title, "points": step.points}
    return new_code_cell(step.check, metadata={"grading": grading, "tags": ["check"]})


def _end_of_step(cells: list[NotebookNode], step: int, end: int) -> int:
    """Where a missing check belongs: before the next step's heading, at `end` at the latest."""
    heading = re.compile(rf"^#+\s*{step + 1}\.\s", flags=re.MULTILINE)
    for index, cell in enumerate(cells[:end]):
        if cell.cell_type == "markdown" and heading.search(cell.source):
            return index
    return end
