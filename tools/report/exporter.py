"""Turn an executed notebook into a page that needs nothing but a browser: no script, no request.

nbconvert finds the exporter by its entry point: `jupyter nbconvert --to report NOTEBOOK`.
"""

import re
from collections.abc import Callable, Iterator
from copy import copy
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tools.report.formulas import can_be_set, font_face, set_formulas
from tools.report.markdown import render
from tools.report.sanitise import drawing, is_whole, left_out, sanitise, shows_anything

from bs4 import BeautifulSoup, Tag
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert import HTMLExporter
from nbconvert.preprocessors import Preprocessor
from nbconvert.utils.exceptions import ConversionException
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets import Bool, Unicode, default
from traitlets.config import Config

# Pygments' styles whose colours all reach a contrast of 4.5 on the code's background.
LIGHT_CODE, DARK_CODE = "xcode", "lightbulb"

LONG = 40  # lines: an output of more may scroll by itself

# The kinds of output that the page can show, the best first.
PICTURES = ["image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp"]
KINDS = ["text/html", "text/markdown", "text/latex", *PICTURES, "text/plain"]


class ReportError(ConversionException):
    """The notebook cannot become a report; the message says why and what to do."""


class FindProblems(Preprocessor):
    """Number the code cells and list those that failed or were not run; comes after `--execute`."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Raise `ReportError` at the first problem, unless the exporter allows errors."""
        code = [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]
        for number, cell in enumerate(code, start=1):
            cell.metadata["number"] = number
        problems = {cell.metadata.number: problem for cell in code if (problem := _problem(cell))}
        if problems and not self.parent.allow_errors:
            number, problem = next(iter(problems.items()))
            raise ReportError(
                f"Code cell {number} {problem}. Run the whole notebook without an error first."
            )
        return nb, resources | {"problems": problems}


def _problem(cell: NotebookNode) -> str:
    """What went wrong with a code cell, in a few words; empty if nothing did."""
    for output in cell.outputs:
        if output.output_type == "error":
            return f"failed with {output.ename}: {' '.join(output.evalue.split())}"[:200]
    return "" if cell.execution_count else "was not run"


class ChooseOutputs(Preprocessor):
    """Keep of each output the one kind that is shown, and name what that cannot replace."""

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Choose for each output of the cell."""
        for output in cell.get("outputs", []):
            if output.output_type in ("display_data", "execute_result"):
                _choose(output)
        return cell, resources


def _choose(output: NotebookNode) -> None:
    data, missing = output.data, []
    if "text/html" in data:
        html = data["text/html"] = sanitise(data["text/html"])
        in_picture = not is_whole(html) and any(kind in data for kind in PICTURES)
        if in_picture or not shows_anything(html):
            del data["text/html"]
            missing = re.findall(r"\[left out: (.*?)\]", html)
    if "image/svg+xml" in data:
        data["image/svg+xml"] = drawing(data["image/svg+xml"])
        if not data["image/svg+xml"]:
            missing.append(data.pop("image/svg+xml") or "drawing")
    if not can_be_set(data.get("text/latex", "")) and any(kind in data for kind in PICTURES):
        del data["text/latex"]
    kind = next((kind for kind in KINDS if kind in data), None)
    if kind in (None, "text/plain", *PICTURES):  # the others can say all that there is
        missing += [other for other in data if other not in KINDS]
    output.metadata.left_out = left_out(*missing) if missing else ""
    if kind in PICTURES:
        words = data.get("text/plain", "").strip().strip("<>")[:200]
        about = output.metadata.setdefault(kind, {})
        about["alt"] = about.get("alt") or words or "Picture without a description"
    output.data = {kind: data[kind]} if kind else {}


class ReportExporter(HTMLExporter):
    """An accessible page in one file, from the template in `tools/report/templates/report`.

    Two tags fill the head of the page: the table that a cell tagged `facts` shows, and the
    line that the cell tagged `final-accuracy` prints. The code of cells tagged `hide-input`,
    `facts` or `check` comes folded, as does what JupyterLab hides.
    """

    export_from_notebook = "Report"
    allow_errors = Bool(
        False, help="Also report a notebook with failed or unexecuted cells, and list them."
    ).tag(config=True)
    head = Unicode(help="Markdown of the grader's, set apart above all that the notebook says.")

    @default("template_name")
    def _template_name_default(self) -> str:
        return "report"

    @default("extra_template_basedirs")
    def _default_extra_template_basedirs(self) -> list[str]:
        return [str(Path(__file__).with_name("templates"))]

    @property
    def default_config(self) -> Config:
        """The defaults of nbconvert for HTML, without what needs a script."""
        config = super().default_config.copy()
        config.NbConvertBase.display_data_priority = KINDS
        config.HTMLExporter.embed_images = True
        config.CoalesceStreamsPreprocessor.enabled = True
        return config

    def _init_preprocessors(self) -> None:
        super()._init_preprocessors()
        self.register_preprocessor(FindProblems, enabled=True)
        self.register_preprocessor(ChooseOutputs, enabled=True)

    def default_filters(self) -> Iterator[tuple[str, Callable]]:
        """Those of nbconvert for HTML, and `sanitise` for HTML that a notebook shows."""
        yield from super().default_filters()
        yield "sanitise", sanitise

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """Turn Markdown into clean HTML with its formulas marked, for `set_formulas`."""
        attachments = context.get("cell", {}).get("attachments", {})
        folder = context.get("resources", {}).get("metadata", {}).get("path", "")
        return sanitise(render(source, attachments, folder))

    def _init_resources(self, resources: dict[str, Any] | None) -> dict[str, Any]:
        resources = super()._init_resources(resources)
        resources["head"] = self.head
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
        set_formulas(page)
        _label_tables(page)
        for text in page.select("pre"):
            if text.find_parent(class_="output") is None or text.get_text().count("\n") > LONG:
                text["tabindex"] = "0"  # a keyboard can then scroll it
        for part in page.select("pre span[style]"):
            del part["style"]  # a terminal's colour of thousands, which nobody has checked
        _fill_head(page, resources["problems"])
        _order_headings(page)
        page.head.append(page.new_tag("style", string=font_face(page)))
        return str(page), resources


def _label_tables(page: BeautifulSoup) -> None:
    """Say which cells are headers, and let wide tables scroll on their own."""
    for table in page.select("table"):
        for cell in table.select("thead th"):
            if cell.get_text(strip=True):
                cell["scope"] = "col"
            else:
                cell.name = "td"  # an empty header names nothing
        for row in table.select("tbody tr"):
            cells = row.find_all(["td", "th"], recursive=False)
            if len(cells) > 1 and cells[0].get_text(strip=True):
                cells[0].name, cells[0]["scope"] = "th", "row"
        table.wrap(page.new_tag("div", attrs={"class": "table", "tabindex": "0"}))


def _fill_head(page: BeautifulSoup, problems: dict[int, str]) -> None:
    """Put the title, the facts of the run, the final accuracy and the problems at the head."""
    head = page.header
    titles = [one for one in page.main.find_all("h1") if one.get_text(strip=True)]
    title = titles[0] if titles else page.new_tag("h1", string=page.title.string)
    head.append(title.extract())
    facts = page.new_tag("dl")
    for name in page.select(".celltag_facts .output tbody th"):
        values = [cell.decode_contents() for cell in name.find_next_siblings()]
        _add_fact(page, facts, name.get_text(), " ".join(values))
    for table in page.select(".celltag_facts .output .table"):
        table.decompose()  # once is enough
    for printed in page.select(".celltag_final-accuracy .output pre"):
        name, _, value = printed.get_text().strip().partition(": ")
        _add_fact(page, facts, name, f"<strong>{escape(value)}</strong>")
    for number, problem in problems.items():
        link = f'<a href="#code-{number}">code cell {number}</a> {escape(problem)}'
        _add_fact(page, facts, "problem", link)
    if facts.contents:
        head.append(facts)


def _add_fact(page: BeautifulSoup, facts: Tag, name: str, html: str) -> None:
    facts.append(page.new_tag("dt", string=name))
    value = page.new_tag("dd")
    value.append(BeautifulSoup(html, "html.parser"))
    facts.append(value)


def _order_headings(page: BeautifulSoup) -> None:
    """Leave one `h1` and no gap between levels, give each an anchor, list them as contents."""
    headings, level, anchors = [], 1, set()
    for heading in page.main.find_all(["h1", "h2", "h3", "h4", "h5", "h6"]):
        if not heading.get_text(strip=True):
            heading.unwrap()
            continue
        level = min(max(int(heading.name[1]), 2), level + 1)
        heading.name = f"h{level}"
        # The anchor that JupyterLab gives it too, so that links within the notebook work here.
        anchor = heading.get_text().strip().replace(" ", "-")
        while anchor in anchors:
            anchor += "-"
        anchors.add(anchor)
        heading["id"] = anchor
        headings.append(heading)
    _list_contents(page, headings)


def _list_contents(page: BeautifulSoup, headings: list[Tag]) -> None:
    """Link to the headings, which are in order, two levels deep."""
    if not headings:
        page.nav.decompose()
        return
    contents = page.new_tag("ol")
    page.nav.append(contents)
    for heading in headings:
        if heading.name == "h2":  # as the first one always is
            contents.append(_entry(page, heading))
        elif heading.name == "h3":
            section = contents.contents[-1]
            if section.ol is None:
                section.append(page.new_tag("ol"))
            section.ol.append(_entry(page, heading))


def _entry(page: BeautifulSoup, heading: Tag) -> Tag:
    entry = page.new_tag("li")
    link = page.new_tag("a", attrs={"href": f"#{quote(heading['id'])}"})
    link.extend(copy(part) for part in heading.contents)
    for inner in link.find_all("a"):
        inner.unwrap()
    entry.append(link)
    return entry
