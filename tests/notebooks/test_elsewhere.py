"""The notebooks run to their end whatever the numbers are: other data, threads, seeds, a run that
diverges. All of each, with shortened training.
"""

import os

from utils.data import DATA_FOLDER, RAW
from utils.definitions import NOTEBOOKS

import nbformat
import pytest
from nbclient import NotebookClient

# No server answers there: without data, the drawn stand-in is what remains.
OFFLINE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
SHORT = {"num_epochs = 5\n": "num_epochs = 1\n", "seeds = (0, 1, 2)": "seeds = (0, 1)"}
SHORT["assignment.num_epochs"] = "1"
DIVERGE = {"(0.1, 0.2, 0.4)": "(0.1, 1e6)"}


def execute(name, threads, seed, standin=False, changes=()):
    """Run all of a notebook, trained for one epoch, with some of its text replaced."""
    changes = SHORT | {"seed = 0\n": f"seed = {seed}\n"} | dict(changes)
    changes["torch.manual_seed(assignment.seed)"] = f"torch.manual_seed({seed})"
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    for cell in notebook.cells:
        for old, new in changes.items():
            cell.source = cell.source.replace(old, new)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | (OFFLINE if standin else {})
    if standin:
        environment.pop("FASHION_MNIST_ROOT", None)
        environment.pop("FASHION_MNIST_REQUIRED", None)
    resources = {"metadata": {"path": NOTEBOOKS}}
    NotebookClient(notebook, timeout=600, resources=resources).execute(env=environment)
    return "\n".join(str(cell.get("outputs", "")) for cell in notebook.cells)


@pytest.mark.slow
def test_the_assignment_holds_for_another_seed_and_number_of_threads_and_a_single_epoch():
    shown = execute("fashion_mnist.ipynb", threads=1, seed=3)
    assert "of 1 epochs" in shown
    assert shown.count("Held:") == 6


@pytest.mark.slow
def test_a_run_of_the_sweep_that_diverges_is_a_result():
    shown = execute("further.ipynb", threads=2, seed=3, changes=DIVERGE)
    assert "diverged at step" in shown
    assert "difference" in shown  # the last table


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fashion_mnist.ipynb", "further.ipynb"])
def test_without_data_the_stand_in_takes_its_place_up_to_the_end(name):
    if (DATA_FOLDER / RAW).exists():
        pytest.skip("there is data in data/")
    assert "% (stand-in)" in execute(name, threads=2, seed=4, standin=True)
