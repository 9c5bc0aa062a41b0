"""Read what a notebook defines, so that nothing has to be written twice."""

from pathlib import Path
from types import SimpleNamespace

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def load_definitions(notebook: str = "fashion_mnist.ipynb") -> SimpleNamespace:
    """Run a notebook's cells tagged `definition` and return the names that they define.

    These cells hold imports, hyperparameters, functions and classes: running them loads no data
    and trains nothing.

    Args:
        notebook: name of a file in `notebooks/`, or any path.
    """
    path = NOTEBOOKS / notebook
    names = {"__name__": path.stem}
    for cell in nbformat.read(path, as_version=4).cells:
        if "definition" in cell.metadata.get("tags", []):
            exec(compile(cell.source, str(path), "exec"), names)
    return SimpleNamespace(**names)
