"""Read what a notebook defines, so that nothing has to be written twice."""

from pathlib import Path
from types import SimpleNamespace

import nbformat

ROOT = Path(__file__).resolve().parents[1]
# In what students get, the notebook lies beside `utils`.
NOTEBOOKS = next(folder for folder in (ROOT / "notebooks", ROOT) if folder.is_dir())


def tagged_cells(tag: str, notebook: str | Path) -> list[nbformat.NotebookNode]:
    """The code cells with a tag, in order; `notebook` is a file in `NOTEBOOKS`, or any path."""
    cells = nbformat.read(NOTEBOOKS / notebook, as_version=4).cells
    return [c for c in cells if c.cell_type == "code" and tag in c.metadata.get("tags", [])]


def load_definitions(notebook: str | Path = "fashion_mnist.ipynb") -> SimpleNamespace:
    """Run the cells tagged `definition`, which neither load data nor train; return their names."""
    names = {"__name__": Path(notebook).stem}
    for cell in tagged_cells("definition", notebook):
        exec(compile(cell.source, str(notebook), "exec"), names)
    return SimpleNamespace(**names)
