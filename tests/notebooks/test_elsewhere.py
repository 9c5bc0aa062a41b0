"""The notebook runs to its end whatever the numbers are: other data, threads, seeds, a run that
diverges. All of it, with shortened training.
"""

import copy
import os

from tools.notebook import NOTEBOOK
from utils.data import DATA_FOLDER, RAW

import nbformat
import pytest
from nbclient import NotebookClient

# No server answers there: without data, the drawn stand-in is what remains.
OFFLINE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
DIVERGE = {'"SGD": (0.1, 0.2, 0.4)': '"SGD": (0.1, 1e6)'}


def execute(threads, seed, standin=False, changes=()):
    """Run all of the notebook, trained for one epoch, with some of its text replaced."""
    changes = {"num_epochs = 5": "num_epochs = 1", "seeds = (0, 1, 2)": "seeds = (0, 1)"} | dict(
        changes
    )
    changes["seed = 0\n"] = f"seed = {seed}\n"
    notebook = copy.deepcopy(nbformat.read(NOTEBOOK, as_version=4))
    for old, new in changes.items():
        cells = [cell for cell in notebook.cells if old in cell.source]
        assert cells, f"the notebook no longer contains {old!r}"
        for cell in cells:
            cell.source = cell.source.replace(old, new)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | (OFFLINE if standin else {})
    if standin:
        environment.pop("FASHION_MNIST_ROOT", None)
        environment.pop("FASHION_MNIST_REQUIRED", None)
    resources = {"metadata": {"path": NOTEBOOK.parent}}
    NotebookClient(notebook, timeout=600, resources=resources).execute(env=environment)
    return "\n".join(str(cell.get("outputs", "")) for cell in notebook.cells)


@pytest.mark.slow
def test_a_run_of_the_sweep_that_diverges_is_a_result():
    shown = execute(threads=1, seed=3, changes=DIVERGE)
    assert "diverged at step" in shown
    assert "SGD at 0.1" in shown


@pytest.mark.slow
def test_without_data_the_stand_in_takes_its_place_up_to_the_end():
    if (DATA_FOLDER / RAW).exists():
        pytest.skip("there is data in data/")
    shown = execute(threads=2, seed=4, standin=True)
    assert "% (stand-in)" in shown
    assert "Only the mixer is right on" in shown  # the last result of step 8
