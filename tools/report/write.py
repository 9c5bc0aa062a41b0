"""Write a notebook's report into a file; `python -m tools.report` guards this command."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from tools.files import write_whole
from tools.reader import ReadError, read_notebook
from tools.report.exporter import ReportError, ReportExporter
from tools.report.pdf import print_page


def write_report(
    source: Path, target: Path, hide_code: bool = False, allow_errors: bool = False, head: str = ""
) -> str | None:
    """Write the report, and return what the cell tagged `final-accuracy` printed, if there is one.

    Args:
        source: an executed notebook.
        target: the HTML file or, if its name ends in `.pdf`, the PDF. An old one stays whole
            until the new one is; its folder is made if need be.
        hide_code: leave the code out and keep the text and the outputs.
        allow_errors: also report failed or unexecuted cells, and list them at the head.
        head: Markdown of the grader's, for a box that nothing in a notebook can look like.
            Escape what it takes from the notebook.

    Raises:
        ReportError: if the notebook cannot become a report, or the file cannot be written.
    """
    exporter = ReportExporter(exclude_input=hide_code, allow_errors=allow_errors, head=head)
    try:
        notebook = read_notebook(source)
        saved = datetime.fromtimestamp(source.stat().st_mtime, tz=UTC)
        about = {"name": source.stem, "path": str(source.parent)}
        about["modified_date"] = f"{saved:%B} {saved.day}, {saved.year}"  # as nbconvert writes it
        page, resources = exporter.from_notebook_node(notebook, resources={"metadata": about})
    except (ReadError, ReportError) as error:
        raise ReportError(f"{source}: {error}") from None
    except Exception as error:  # a notebook may hold anything, and nbconvert expects less
        reason = f"{type(error).__name__}: {error}".strip(": ")
        raise ReportError(f"{source} cannot become a report ({reason}).") from error
    try:
        as_pdf = target.suffix.lower() == ".pdf"
        write_whole(target, print_page(page, target.parent) if as_pdf else page)
    except OSError as error:
        raise ReportError(f"Cannot write {target}: {error.strerror}.") from error
    return resources["accuracy"] or None


def main() -> None:
    """The command of `tools.report`, in this process."""
    parser = argparse.ArgumentParser("python -m tools.report", description=__doc__.split(";")[0])
    parser.add_argument("notebook", type=Path, help="an executed notebook")
    parser.add_argument("-o", "--output", type=Path, help="FILE.html or FILE.pdf (by Chromium)")
    parser.add_argument("--hide-code", action="store_true", help="only the text and the outputs")
    parser.add_argument("--allow-errors", action="store_true", help="also report failed cells")
    options = vars(parser.parse_args())
    source, output = options.pop("notebook"), options.pop("output")
    target = output or source.with_suffix(".html")
    if target.suffix.lower() not in (".html", ".pdf"):
        parser.error(f"the name of a report ends in .html or .pdf, not {target.name}")
    try:
        accuracy = write_report(source, target, **options)
    except ReportError as error:
        sys.exit(f"error: {error}")
    print("\n".join(filter(None, [f"wrote {target}", accuracy])))


if __name__ == "__main__":
    main()
