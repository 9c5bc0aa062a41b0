"""Turn an executed notebook into the HTML report: `python -m tools.report NOTEBOOK [-o FILE]`."""

import argparse
import sys
from pathlib import Path

from tools.report.exporter import ReportError
from tools.report.write import write_report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.report", description=__doc__)
    parser.add_argument("notebook", type=Path, help="an executed notebook")
    parser.add_argument("-o", "--output", type=Path, help="default: beside the notebook, .html")
    parser.add_argument("--hide-code", action="store_true", help="only the text and the outputs")
    parser.add_argument(
        "--allow-errors",
        action="store_true",
        help="also report a notebook with failed or unexecuted cells, and list them",
    )
    arguments = parser.parse_args()
    target = arguments.output or arguments.notebook.with_suffix(".html")
    try:
        accuracy = write_report(
            arguments.notebook,
            target,
            hide_code=arguments.hide_code,
            allow_errors=arguments.allow_errors,
        )
    except ReportError as error:
        sys.exit(f"error: {error}")
    print(f"wrote {target}")
    print(accuracy or "test accuracy: not printed")


if __name__ == "__main__":
    main()
