"""Write a notebook's report into a file."""

from pathlib import Path

from tools.files import write_whole
from tools.report.exporter import ReportError, ReportExporter

import nbformat
from nbconvert.filters.markdown_mistune import InvalidNotebook
from nbformat import NotebookNode


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook, executed or not.

    Raises:
        ReportError: if the file is missing or no notebook.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except OSError as error:
        raise ReportError(f"Cannot read {path}: {error.strerror}.") from error
    except Exception as error:  # nbformat raises many kinds for the many ways to be no notebook
        raise ReportError(f"{path} is not a Jupyter notebook.") from error
    return notebook


def final_accuracy(notebook: NotebookNode) -> str:
    """What the cell tagged `final-accuracy` printed, for example
    `test accuracy: NN.NN % (Fashion-MNIST)`.

    Raises:
        ReportError: if there is no such cell or it printed nothing.
    """
    for cell in notebook.cells:
        if "final-accuracy" in cell.metadata.get("tags", []):
            printed = "".join(o.text for o in cell.outputs if o.get("name") == "stdout").strip()
            if printed:
                return printed
    raise ReportError("No cell tagged final-accuracy printed the test accuracy.")


def write_report(
    source: Path, target: Path, *, hide_code: bool = False, allow_errors: bool = False
) -> str | None:
    """Write the report and return the line with the final accuracy.

    The page is written beside `target` and then moved into place, so an existing report
    stays whole whatever happens.

    Args:
        source: an executed notebook.
        target: the HTML file; its folder is made if need be.
        hide_code: leave the code out and keep the text and the outputs.
        allow_errors: also report a notebook with failed or unexecuted cells: the report lists
            them at its head. None is returned where no accuracy was printed.

    Raises:
        ReportError: if the notebook cannot become a report, or the file cannot be written.
    """
    notebook = read_notebook(source)
    exporter = ReportExporter(exclude_input=hide_code, allow_errors=allow_errors)
    # The name stands in for a title; the path is where embedded pictures lie.
    names = {"name": source.stem, "path": str(source.parent)}
    try:
        page, _ = exporter.from_notebook_node(notebook, resources={"metadata": names})
        accuracy = final_accuracy(notebook)
    except ReportError as error:
        if not allow_errors:
            raise ReportError(f"{source}: {error}") from None
        accuracy = None
    except InvalidNotebook as error:  # for example a picture that is not attached
        raise ReportError(f"{source}: {error}.") from error
    try:
        write_whole(target, page)
    except OSError as error:
        raise ReportError(f"Cannot write {target}: {error.strerror}.") from error
    return accuracy
