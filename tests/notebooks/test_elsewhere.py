"""The notebooks run to their end whatever the numbers are: other data, threads, seeds, a run that
diverges. All of each, with shortened training.
"""

import copy
import os
import re
import sys

from utils.data import DATA_FOLDER, PACKAGE_FOLDER, RAW
from utils.definitions import NOTEBOOKS

import nbformat
import pytest
from nbclient import NotebookClient

SEED = {"seed = 0\n": "seed = 3\n", "torch.manual_seed(assignment.seed)": "torch.manual_seed(3)"}
ONE_EPOCH = {"num_epochs = 5\n": "num_epochs = 1\n", "assignment.num_epochs": "1"}
# The second notebook on a tenth of the images, two seeds, and a rate at which SGD overflows.
SMALL = {
    "assignment = load_definitions(": (
        "from utils import data\n"
        "data.NUM_TRAIN, data.NUM_TEST = 6000, 1000\n"
        "assignment = load_definitions("
    ),
    "validation=10_000": "validation=1000",
    "seeds = (0, 1, 2)": "seeds = (0, 1)",
    "(0.1, 0.2, 0.4)": "(0.1, 1e6)",
}


def execute(name, threads, standin=False, changes=None, repeats=1):
    """Run all of a notebook with seed 3 for one epoch, with some of its text replaced.

    Returns the code cells as they ran, each `repeats` times in a row.
    """
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    source = "".join(cell.source for cell in cells)
    for old, new in (SEED | ONE_EPOCH | (changes or {})).items():
        for cell in cells:
            cell.source = cell.source.replace(old, new)
    assert all(old in source for old in changes or ()), "a replaced text is no longer there"
    notebook.cells = [copy.deepcopy(cell) for cell in cells for _ in range(repeats)]
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    if standin:  # no server answers there: without data, the drawn garments are what remains
        environment |= dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
        environment["PATH"] = os.path.dirname(sys.executable)  # no apt-get is there
        environment.pop("FASHION_MNIST_ROOT", None)
        environment.pop("FASHION_MNIST_REQUIRED", None)
    resources = {"metadata": {"path": NOTEBOOKS}}
    NotebookClient(notebook, timeout=600, resources=resources).execute(env=environment)
    return notebook.cells


def shown(cells):
    """All that the cells have put out."""
    return "\n".join(str(cell.outputs) for cell in cells)


def printed(cell):
    """What a cell printed or showed as plain text, but for seconds; a print may arrive in parts."""
    outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    text = "".join(output.get("text") or output.data["text/plain"] for output in outputs)
    return re.sub(r"[\d.]+ s$", "", text, flags=re.MULTILINE)


@pytest.mark.slow
def test_the_assignment_holds_for_another_seed_and_number_of_threads_and_a_single_epoch():
    """And every cell may run twice: one that checks, trains or measures says the same again."""
    cells = execute("fashion_mnist.ipynb", threads=1, repeats=2)
    assert "of 1 epochs" in shown(cells)
    assert shown(cells[::2]).count("Held:") == 6
    compared = 0
    for first, second in zip(cells[::2], cells[1::2], strict=True):
        if {"check", "training", "final-accuracy"} & set(first.metadata.get("tags", [])):
            assert printed(first) == printed(second) != ""
            compared += 1
    assert compared == 8


@pytest.fixture
def no_data():
    for folder in (DATA_FOLDER / RAW, PACKAGE_FOLDER):
        if folder.exists():
            pytest.skip(f"there is data in {folder}")


@pytest.mark.slow
@pytest.mark.usefixtures("no_data")
def test_without_data_the_stand_in_takes_its_place_up_to_the_end():
    assert "% (stand-in)" in shown(execute("fashion_mnist.ipynb", threads=2, standin=True))


@pytest.mark.slow
def test_the_worked_exercises_run_with_few_images():
    few = {key: SMALL[key] for key in ("assignment = load_definitions(", "validation=10_000")}
    text = shown(execute("exercises.ipynb", threads=1, changes=few))
    assert "make_unmixed: same logits? True" in text
    assert "mistakes are between these two" in text


@pytest.mark.slow
@pytest.mark.usefixtures("no_data")
def test_a_run_of_the_sweep_that_diverges_is_a_result_and_the_second_notebook_needs_no_data():
    text = shown(execute("further.ipynb", threads=1, standin=True, changes=SMALL))
    assert "diverged at step" in text
    assert "difference" in text  # the last table
    assert "% (stand-in)" in text
