"""Turn an executed notebook into a page that needs nothing but a browser: no script, no request.

nbconvert finds the exporter by its entry point: `jupyter nbconvert --to report NOTEBOOK`.
"""

import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from tools.report.formulas import font_face, set_formulas
from tools.report.markdown import render
from tools.report.outputs import cell_html
from tools.report.page import fill_head, finish_tables, number_figures, order_headings
from tools.report.sanitise import CONTROL, sanitise

from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from nbconvert.preprocessors import Preprocessor
from nbconvert.utils.exceptions import ConversionException
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets import Bool, List, Unicode

# Pygments' styles whose colours all reach a contrast of 4.5 on the code's background.
LIGHT_CODE, DARK_CODE = "xcode", "lightbulb"
LONG = 40  # lines: an output of more may scroll by itself


class ReportError(ConversionException):
    """The notebook cannot become a report; the message says why and what to do."""


class FindProblems(Preprocessor):
    """Number the code cells and list those that failed or were not run; comes after `--execute`."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Raise `ReportError` at the first problem, unless the exporter allows errors."""
        problems: dict[int, str] = {}
        checks = count(1)
        code = [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]
        for number, cell in enumerate(code, start=1):
            cell.metadata["number"] = number
            if "check" in cell.metadata.get("tags", []):
                cell.metadata["check"] = next(checks)
            problem = _problem(cell)
            if problem and not self.parent.allow_errors:
                raise ReportError(
                    f"Code cell {number} {problem}. Run the whole notebook without an error first."
                )
            problems |= {number: problem} if problem else {}
        return nb, resources | {"problems": problems}


def _problem(cell: NotebookNode) -> str:
    """What went wrong with a code cell, in a few words; empty if nothing did."""
    for output in cell.outputs:
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get(
            "tags", []
        ):
            return f"failed with {output.ename}: {' '.join(output.evalue.split())}"[:200]
    return "" if cell.execution_count or cell.outputs else "was not run"


class ReportExporter(HTMLExporter):
    """An accessible page in one file, from the template in `tools/report/templates/report`.

    Two tags fill the head of the page: the table that a cell tagged `facts` shows, and the
    line that the cell tagged `final-accuracy` prints. The tags of Jupyter Book fold and remove;
    the code of cells tagged `facts` or `check` comes folded too.
    """

    export_from_notebook = "Report"
    allow_errors = Bool(
        False, help="Also report a notebook with failed or unexecuted cells, and list them."
    ).tag(config=True)
    head = Unicode(help="Markdown of the grader's, set apart above all that the notebook says.")

    template_name = Unicode("report").tag(config=True)
    extra_template_basedirs = List([str(Path(__file__).with_name("templates"))]).tag(config=True)

    def _init_preprocessors(self) -> None:
        super()._init_preprocessors()
        self.register_preprocessor(FindProblems, enabled=True)

    def default_filters(self) -> Iterator[tuple[str, Callable]]:
        """Nbconvert's own filters for the template, and what makes HTML of a cell."""
        yield from super().default_filters()
        yield "cell_html", cell_html

    def _init_resources(self, resources: dict[str, Any] | None) -> dict[str, Any]:
        resources = super()._init_resources(resources)
        resources["head"] = sanitise(render(self.head)) if self.head else ""
        light, dark = (HtmlFormatter(style=style) for style in (LIGHT_CODE, DARK_CODE))
        resources["highlight_css"] = (
            f"{light.get_style_defs('.highlight')}\n"
            "@media screen and (prefers-color-scheme: dark) {\n"
            f"{dark.get_style_defs('.highlight')}\n}}"
        )
        return resources

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: object
    ) -> tuple[str, dict[str, Any]]:
        """Return the finished page and nbconvert's resources.

        Raises:
            ReportError: if a cell failed or was not run, unless `allow_errors`.
        """
        # The state of widgets is of use to scripts alone, and nbconvert trips over a broken one.
        metadata = {name: value for name, value in nb.metadata.items() if name != "widgets"}
        nb = NotebookNode(nb | {"metadata": NotebookNode(metadata)})
        html, resources = super().from_notebook_node(nb, resources, **kw)
        page = BeautifulSoup(html, "html.parser")
        if re.fullmatch("[A-Za-z]{2,3}(-[A-Za-z0-9]+)*", str(metadata.get("lang"))):
            page.html["lang"] = metadata["lang"]
        set_formulas(page)
        finish_tables(page)
        for text in page.select(".output > pre"):
            if text.get_text().count("\n") > LONG:
                text["tabindex"] = "0"  # a keyboard can then scroll it
        for part in page.select("pre span[style]"):
            del part["style"]  # a terminal's colour of thousands, which nobody has checked
        fill_head(page, metadata.get("authors"), resources)
        order_headings(page)
        number_figures(page)
        title = re.sub(r'["\\<\n]', " ", page.h1.get_text())[:80]
        css = f'@page {{ @top-left {{ content: "{title}" }} }}\n'
        css += f"@page :first {{ @top-left {{ content: none }} }}\n{font_face(page)}"
        page.head.append(page.new_tag("style", string=css))
        return CONTROL.sub("", str(page)), resources
