"""Turn an executed notebook into the HTML report: `python -m utils.report NOTEBOOK [-o FILE]`."""

import argparse
import os
import sys
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode


class ReportError(Exception):
    """The notebook cannot become a report; the message says why and what to do."""


def read_executed(path: Path) -> NotebookNode:
    """Read a notebook and make sure that every code cell ran, and none failed.

    Raises:
        ReportError: if the file is missing, no notebook, not executed, or holds an error.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except OSError as error:
        raise ReportError(f"Cannot read {path}: {error.strerror}.") from error
    except Exception as error:  # nbformat raises many kinds for the many ways to be no notebook
        raise ReportError(f"{path} is not a Jupyter notebook.") from error
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for number, cell in enumerate(code, start=1):
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if errors:
            raise ReportError(
                f"{path}: code cell {number} failed with {errors[0].ename}: {errors[0].evalue}. "
                "Repair it and run the notebook again."
            )
        if cell.execution_count is None:
            raise ReportError(f"{path}: code cell {number} was not run. Run the notebook first.")
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


def write_report(source: Path, target: Path) -> str:
    """Write the report and return the line with the final accuracy.

    The page is written beside `target` and then moved into place, so an existing report
    stays whole whatever happens.

    Raises:
        ReportError: if the notebook cannot become a report, or the file cannot be written.
    """
    notebook = read_executed(source)
    accuracy = final_accuracy(notebook)
    page, _ = HTMLExporter(embed_images=True).from_notebook_node(
        notebook, resources={"metadata": {"name": source.stem}}
    )
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(target)
    except OSError as error:
        raise ReportError(f"Cannot write {target}: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return accuracy


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m utils.report", description=__doc__)
    parser.add_argument("notebook", type=Path, help="an executed notebook")
    parser.add_argument("-o", "--output", type=Path, help="default: beside the notebook, .html")
    arguments = parser.parse_args()
    target = arguments.output or arguments.notebook.with_suffix(".html")
    try:
        accuracy = write_report(arguments.notebook, target)
    except ReportError as error:
        sys.exit(f"error: {error}")
    print(f"wrote {target}")
    print(accuracy)


if __name__ == "__main__":
    main()
