"""Turn an executed notebook into a page that needs nothing but a browser: no script, no request.

nbconvert finds the exporter by its entry point: `jupyter nbconvert --to report NOTEBOOK`.
"""

from itertools import count
from pathlib import Path
from typing import Any

from tools.report.cells import cell_html, render
from tools.report.formulas import font_face, set_formulas
from tools.report.page import fill_head, finish_tables, number_figures, order_headings
from tools.report.sanitise import CONTROL, sanitise

from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbconvert.utils.exceptions import ConversionException
from nbformat import NotebookNode
from traitlets import Bool, Dict, List, Unicode


class ReportError(ConversionException):
    """The notebook cannot become a report; the message says why and what to do."""


class ReportExporter(HTMLExporter):
    """An accessible page in one file, from the template in `tools/report/templates/report`.

    At its head stand the table that a cell tagged `facts` shows, and the line that the cell tagged
    `final-accuracy` prints. The tags of Jupyter Book fold and remove; `facts` and `check` fold too.
    """

    export_from_notebook = "Report"
    allow_errors = Bool(help="Report and list failed and unexecuted cells too.").tag(config=True)
    head = Unicode(help="Markdown of the grader's, set apart above all that the notebook says.")

    preprocessors = List([CoalesceStreamsPreprocessor]).tag(config=True)
    template_name = Unicode("report").tag(config=True)
    extra_template_basedirs = List([str(Path(__file__).with_name("templates"))]).tag(config=True)
    filters = Dict({"cell_html": cell_html}).tag(config=True)

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: object
    ) -> tuple[str, dict[str, Any]]:
        """Return the finished page and nbconvert's resources, with the final accuracy.

        Raises:
            ReportError: if cells failed, were not run or printed no accuracy; see `allow_errors`.
        """
        html, resources = super().from_notebook_node(nb, resources, **kw)
        page = BeautifulSoup(html, "html.parser")
        final = page.select(".celltag_final-accuracy .output > pre:not(.stderr)")
        resources["accuracy"] = "".join(one.get_text() for one in final).strip()
        is_due = page.select(".celltag_final-accuracy") and not self.allow_errors
        if is_due and not resources["accuracy"]:
            raise ReportError("No cell tagged final-accuracy printed the test accuracy.")
        set_formulas(page)
        finish_tables(page)
        fill_head(page, nb.metadata.get("authors"), resources)
        order_headings(page)
        number_figures(page)
        page.head.append(page.new_tag("style", string=font_face(page)))
        return CONTROL.sub("", str(page)), resources

    def _preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Number the code cells and find the problems, after the cells were run if asked to."""
        nb, resources = super()._preprocess(nb, resources)
        nb.metadata.pop("widgets", None)  # nbconvert trips over broken ones
        checks, problems = count(1), {}
        code = [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]
        for number, cell in enumerate(code, start=1):
            tags = cell.metadata.get("tags", [])
            cell.metadata |= {"number": number, "check": next(checks) if "check" in tags else None}
            errors = [output for output in cell.outputs if output.output_type == "error"]
            if errors and "raises-exception" not in tags:
                said = " ".join(errors[0].evalue.split())
                problems[number] = f"failed with {errors[0].ename}: {said}"[:200]
            elif not (cell.execution_count or cell.outputs):
                problems[number] = "was not run"
        if problems and not self.allow_errors:
            number, problem = next(iter(problems.items()))
            raise ReportError(
                f"Code cell {number} {problem}. First run all cells without an error."
            )
        return nb, resources | {"head": sanitise(render(self.head)), "problems": problems}
