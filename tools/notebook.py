"""Read the cells of notebooks."""

from pathlib import Path

from utils.definitions import NOTEBOOKS, tagged_cells

NOTEBOOK = NOTEBOOKS / "fashion_mnist.ipynb"


def tagged_sources(tag: str, notebook: Path = NOTEBOOK) -> list[str]:
    """The sources of the code cells that carry `tag`, in order."""
    return [cell.source for cell in tagged_cells(tag, notebook)]
