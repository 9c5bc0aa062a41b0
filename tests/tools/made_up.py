"""Make up a class: submissions that are right, unfinished, wrong, unlucky or hostile.

    python tests/tools/made_up.py FOLDER --honest 12

writes twelve model answers and one submission for every entry of `HOSTILE` into FOLDER. With
--small they answer a small assignment instead; the tests use it.
"""

import argparse
import copy
import json
from collections.abc import Callable
from pathlib import Path

from tools.notebook import NOTEBOOK

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

SMALL_ASSIGNMENT = Path(__file__).with_name("small_assignment.py")

# A cell that is put in front of the rest of the notebook.
HOSTILE = {
    "endless loop": "while True: pass",
    "endless loop that ignores interrupts 🎉": """
while True:
    try:
        while True: pass
    except BaseException: pass""",
    "endless output": "while True: print('all work and no play ' * 1000)",
    "memory hunger": "hoard = [bytearray(2**24) for _ in iter(int, 1)]",
    "memory hunger in many processes": """
import os, time
hoard = bytearray(b'x') * 2**28
for _ in range(30):
    if os.fork() == 0:
        hoard = bytearray(b'y') * 2**28
        time.sleep(600)
time.sleep(600)""",
    "sys.exit": "import sys; sys.exit()",
    "killed kernel": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "os._exit": "import os; os._exit(0)",
    "memory in a file without a name": """
import os
file = os.memfd_create('hoard')
for _ in iter(int, 1): os.write(file, bytes(2**24))""",
    "disk in a deleted file": """
import os
hoard = []
for _ in range(8):
    hoard.append(open('hoard', 'wb'))
    os.unlink('hoard')
    for _ in range(60): hoard[-1].write(bytes(2**24))""",
}


def real_answer(num_epochs: int | None = None) -> NotebookNode:
    """The model answer of the assignment, trained for as many epochs (default: as it says)."""
    answer = nbformat.read(NOTEBOOK, as_version=4)
    return changed(answer, "num_epochs = 5", f"num_epochs = {num_epochs}") if num_epochs else answer


def small_notebook() -> NotebookNode:
    """The model answer of an assignment of three steps that takes no time."""
    return nbformat.read(SMALL_ASSIGNMENT.with_suffix(".ipynb"), as_version=4)


def changed(notebook: NotebookNode, old: str, new: str) -> NotebookNode:
    """The notebook with `old` replaced by `new` in the cells that are no checks."""
    notebook, count = copy.deepcopy(notebook), 0
    for cell in notebook.cells:
        if cell.cell_type == "code" and "check" not in cell.metadata.get("tags", []):
            count += cell.source.count(old)
            cell.source = cell.source.replace(old, new)
    assert count, f"the notebook no longer contains {old!r}"
    return notebook


def with_cell(notebook: NotebookNode, *sources: str) -> NotebookNode:
    """The notebook with more code cells after its first cell."""
    notebook = copy.deepcopy(notebook)
    notebook.cells[1:1] = [new_code_cell(source.strip()) for source in sources]
    return notebook


def without(notebook: NotebookNode, unwanted: Callable[[NotebookNode], bool]) -> NotebookNode:
    """The notebook without the cells for which `unwanted` holds."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if not unwanted(cell)]
    return notebook


def checks_of(notebook: NotebookNode) -> list[NotebookNode]:
    """The check cells, in order."""
    return [cell for cell in notebook.cells if "check" in cell.metadata.get("tags", [])]


def in_format_3(notebook: NotebookNode) -> str:
    """The text of the notebook as IPython wrote it in 2014."""
    return json.dumps(nbformat.convert(copy.deepcopy(notebook), 3))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--honest", type=int, default=12, help="model answers")
    parser.add_argument("--hostile", type=int, default=len(HOSTILE))
    parser.add_argument("--epochs", type=int, help="to train for (default: as the notebook)")
    parser.add_argument("--small", action="store_true", help="of an assignment that takes no time")
    arguments = parser.parse_args()
    answer = small_notebook() if arguments.small else real_answer(arguments.epochs)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, arguments.honest + 1):
        nbformat.write(answer, arguments.folder / f"honest {number:02}.ipynb")
    for name, source in list(HOSTILE.items())[: arguments.hostile]:
        nbformat.write(with_cell(answer, source), arguments.folder / f"hostile {name}.ipynb")


if __name__ == "__main__":
    main()
