"""Make the zip that students get: `python -m tools.student student/fashion-mnist.zip`.

In one folder lie the starter, what it imports, the check with its kept answers, and the report.
"""

import argparse
import io
import sys
import zipfile
from pathlib import Path

from tools.check import DEFINED, KEPT, ROOT
from tools.files import write_whole
from tools.grading.questions import NOTEBOOK, QUESTIONS
from tools.grading.rubric import Arrays, draw_all, expected_answer, load_rubric
from tools.starter import make_starter
from utils.data import RAW, REAL, find_files
from utils.definitions import load_definitions

import nbformat
import numpy as np

GIVEN = ["LICENSE", "pyproject.toml", "constraints.txt", "utils/*.py", "tools/__init__.py"]
GIVEN += [f"tools/{name}.py" for name in ("check", "files", "naming", "reader", "grading/rubric")]
GIVEN += [f"tools/grading/{name}.py" for name in ("__init__", "inside", "questions", "results")]
GIVEN += ["tools/report/*.py", "tools/report/font/*", "tools/report/templates/*/*"]


def expected_arrays() -> list[dict[str, Arrays]]:
    """For every question its `input`, and the model answer's `answer` where definitions give it."""
    kept, model = [], vars(load_definitions(NOTEBOOK))
    for question, drawn in zip(QUESTIONS, draw_all(QUESTIONS, seed=3), strict=True):  # few images
        # Few digits compress well.
        given = {n: np.round(64 * a) / 64 if a.dtype == np.float32 else a for n, a in drawn.items()}
        given |= {"counts": np.array(1)} if "counts" in given else {}
        answer = expected_answer(question, model, given) if question.step in DEFINED else {}
        kept.append({"input": given, "answer": {n: np.float32(a) for n, a in answer.items()}})
    return kept


def student_files() -> dict[str, bytes]:
    """The content of every file that students get, by its place in their folder."""
    starter = make_starter(nbformat.read(NOTEBOOK, as_version=4), load_rubric().steps)
    files = [file for pattern in GIVEN for file in ROOT.glob(pattern) if file.is_file()]
    kept, arrays = io.BytesIO(), {}
    for number, question in enumerate(expected_arrays()):
        for kind, own in question.items():
            arrays |= {f"{number}/{kind}/{name}": array for name, array in own.items()}
    np.savez(kept, **arrays)
    return {file.relative_to(ROOT).as_posix(): file.read_bytes() for file in files} | {
        NOTEBOOK.name: (nbformat.writes(starter) + "\n").encode(),
        "README.md": (ROOT / "docs" / "student.md").read_bytes(),
        KEPT.relative_to(ROOT).as_posix(): kept.getvalue(),
    }


def data_files() -> dict[str, bytes]:
    """The real data, in the place where the starter looks for them."""
    if not (found := find_files()):
        raise ValueError(f"{REAL} is not here: docs/data.md says where it may lie.")
    return {f"data/{RAW.as_posix()}/{file.name}": file.read_bytes() for file in found.values()}


def zipped(files: dict[str, bytes], folder: str) -> bytes:
    """A zip of these files in a folder; the same bytes whenever it is made."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(f"{folder}/{name}")  # of 1980, whenever
            member.create_system, member.external_attr = 3, 0o644 << 16  # on every system
            archive.writestr(member, files[name], zipfile.ZIP_DEFLATED, 9)
    return content.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.student", description=__doc__)
    parser.add_argument("file", type=Path, help="the zip to write; its name is the folder's in it")
    parser.add_argument("--data", action="store_true", help="with the real data (31 MB)")
    arguments = parser.parse_args()
    try:
        files = student_files() | (data_files() if arguments.data else {})
        write_whole(arguments.file, zipped(files, arguments.file.stem))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"wrote {arguments.file}")


if __name__ == "__main__":
    main()
