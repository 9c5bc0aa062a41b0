"""Read the cells of notebooks.

`python -m tools.notebook FILE` saves the stored figure of the training curves, for the README.
"""

import base64
import sys
from pathlib import Path

from tools.files import write_whole
from utils.definitions import NOTEBOOKS, tagged_cells

NOTEBOOK = NOTEBOOKS / "fashion_mnist.ipynb"


def tagged_sources(tag: str, notebook: Path = NOTEBOOK) -> list[str]:
    """The sources of the code cells that carry `tag`, in order."""
    return [cell.source for cell in tagged_cells(tag, notebook)]


def training_curves(notebook: Path = NOTEBOOK) -> bytes:
    """The PNG of the training curves, from the stored output of the cell tagged `training`.

    Raises:
        LookupError: if no such cell has a stored figure; re-execute the notebook.
    """
    for cell in tagged_cells("training", notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                return base64.b64decode(output.data["image/png"])
    raise LookupError(f"{notebook} stores no training curves: run `make notebook`.")


if __name__ == "__main__":
    write_whole(Path(sys.argv[1]), training_curves())
