"""In a box's place: cells and questions run in a fork of this process, without kernel and nbclient.

For what is about answers and not about how they come about; it takes a fraction of the time.
"""

import json
import os
import shutil
import sys
from contextlib import suppress

from tools.grading import inside

import nbformat
import numpy as np
import torch


def run(folder, *_):
    """Leave in `folder` what `inside.py` would leave there."""
    task = json.loads((folder / inside.TASK).read_text(encoding="utf-8"))
    files = [folder / f"{number}.npz" for number in range(len(task["questions"]))]
    if not (child := os.fork()):
        with suppress(BaseException):
            _answer(task, files)
        os._exit(0)
    os.waitpid(child, 0)
    arrays = {}
    for number, file in enumerate(files):
        if file.is_file():
            with np.load(file, allow_pickle=False) as answer:
                arrays |= {f"{number}/{name}": answer[name] for name in answer}
    np.savez(folder / inside.RESULT / inside.ANSWERS, **arrays)
    shutil.copyfile(task["notebook"], folder / inside.RESULT / inside.EXECUTED)
    return ""


def _answer(task, files):
    from IPython.core.interactiveshell import InteractiveShell

    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    torch.set_num_threads(1)  # the fork has lost the others
    os.chdir(task["cwd"])
    sys.path.insert(0, "")
    shell = InteractiveShell()
    for cell in nbformat.read(task["notebook"], as_version=4).cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source)
    for question, file in zip(task["questions"], files, strict=True):
        with suppress(Exception):
            inside.respond(question["program"], question["inputs"], shell.user_ns, str(file))
