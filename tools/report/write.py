"""Write a notebook's report into a file.

`python -m tools.report.write` does so in this process; `python -m tools.report` guards it.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from tools.files import write_whole
from tools.reader import ReadError, read_notebook
from tools.report.exporter import ReportError, ReportExporter
from tools.report.pdf import print_page

from nbformat import NotebookNode


def final_accuracy(notebook: NotebookNode) -> str | None:
    """What the cell tagged `final-accuracy` printed, for example
    `test accuracy: NN.NN % (Fashion-MNIST)`; None for a notebook without such a cell.

    Raises:
        ReportError: if it printed nothing.
    """
    tagged = [c for c in notebook.cells if "final-accuracy" in c.metadata.get("tags", [])]
    outputs = [output for cell in tagged for output in cell.get("outputs", [])]
    printed = "".join(one.text for one in outputs if one.get("name") == "stdout").strip()
    if tagged and not printed:
        raise ReportError("No cell tagged final-accuracy printed the test accuracy.")
    return printed or None


def write_report(
    source: Path,
    target: Path,
    *,
    hide_code: bool = False,
    allow_errors: bool = False,
    head: str = "",
) -> str | None:
    """Write the report and return the line with the final accuracy.

    None if no cell has that tag, or if errors are allowed.

    The page is written beside `target` and then moved into place, so an existing report
    stays whole whatever happens.

    Args:
        source: an executed notebook.
        target: the HTML file or, if its name ends in `.pdf`, the PDF; its folder is made if
            need be.
        hide_code: leave the code out and keep the text and the outputs.
        allow_errors: also report a notebook with failed or unexecuted cells: the report lists
            them at its head.
        head: Markdown of the grader's, which a box above the notebook marks as such. Nothing in
            a notebook can look like that box. Escape what it takes from the notebook.

    Raises:
        ReportError: if the notebook cannot become a report, or the file cannot be written.
    """
    # The name stands in for a title; the path is where embedded pictures lie.
    names = {"name": source.stem, "path": str(source.parent)}
    exporter = ReportExporter(exclude_input=hide_code, allow_errors=allow_errors, head=head)
    try:
        notebook = read_notebook(source)
        saved = datetime.fromtimestamp(source.stat().st_mtime, tz=UTC)
        names["modified_date"] = f"{saved:%B} {saved.day}, {saved.year}"  # as nbconvert writes it
        page, _ = exporter.from_notebook_node(notebook, resources={"metadata": names})
        accuracy = None if allow_errors else final_accuracy(notebook)
    except (ReadError, ReportError) as error:
        raise ReportError(f"{source}: {error}") from None
    except Exception as error:  # a notebook may hold anything, and nbconvert expects less
        reason = f"{type(error).__name__}: {error}".strip(": ")
        raise ReportError(f"{source} cannot become a report ({reason}).") from error
    try:
        if target.suffix.lower() == ".pdf":
            page = print_page(page, target.parent)
        write_whole(target, page)
    except OSError as error:
        raise ReportError(f"Cannot write {target}: {error.strerror}.") from error
    return accuracy


def main() -> None:
    """The command of `tools.report`, in this process."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.report", description="Turn an executed notebook into a report."
    )
    parser.add_argument("notebook", type=Path, help="an executed notebook")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="default: beside the notebook, .html; .pdf prints it (needs Chromium or Chrome)",
    )
    parser.add_argument("--hide-code", action="store_true", help="only the text and the outputs")
    parser.add_argument(
        "--allow-errors",
        action="store_true",
        help="also report a notebook with failed or unexecuted cells, and list them",
    )
    options = vars(parser.parse_args())
    source, output = options.pop("notebook"), options.pop("output")
    target = output or source.with_suffix(".html")
    try:
        accuracy = write_report(source, target, **options)
    except ReportError as error:
        sys.exit(f"error: {error}")
    print("\n".join(filter(None, [f"wrote {target}", accuracy])))


if __name__ == "__main__":
    main()
