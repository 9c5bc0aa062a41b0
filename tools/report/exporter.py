"""Turn an executed notebook into a page that needs nothing but a browser: no script, no request.

nbconvert finds the exporter by its entry point: `jupyter nbconvert --to report NOTEBOOK`.
"""

import re
from collections.abc import Callable, Iterator
from copy import copy
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bleach
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup, Tag
from jinja2 import pass_context
from jinja2.runtime import Context
from math_core import LatexError, LatexToMathML
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import Preprocessor
from nbconvert.utils.exceptions import ConversionException
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets import Bool, default
from traitlets.config import Config

# Pygments' styles whose colours all reach a contrast of 4.5 on the code's background.
LIGHT_CODE, DARK_CODE = "xcode", "lightbulb"

# What a notebook's own HTML may bring along: other elements go, and some with their text.
KEPT = {
    *("a", "abbr", "b", "code", "del", "em", "i", "ins", "kbd", "mark", "q", "s", "samp", "small"),
    *("span", "strong", "sub", "sup", "u", "var", "br", "hr", "img", "p", "pre", "div", "section"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "blockquote"),
    *("figure", "figcaption", "details", "summary"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
}
DROPPED = ["script", "style", "template", "iframe", "object", "embed", "audio", "video", "title"]
KEPT_ATTRIBUTES = {
    *("class", "href", "id", "title", "open", "start", "src", "alt", "width", "height"),
    *("style", "colspan", "rowspan", "scope"),
}
# Alignment is the one style that Markdown's tables need.
KEPT_STYLES = CSSSanitizer(allowed_css_properties=["text-align"])


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


class MathRenderer(IPythonRenderer):
    """Marks formulas in the HTML that comes from Markdown, for `_set_formulas`."""

    def inline_math(self, body: str) -> str:
        return f'<span class="formula">{self.escape_html(body)}</span>'

    def block_math(self, body: str) -> str:
        return f'<span class="formula display">{self.escape_html(body)}</span>'

    def inline_html(self, html: str) -> str:
        # nbconvert would look for pictures in each tag alone, and close it at once.
        return super().inline_html(html) if html.startswith("<img") else html

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")


class ReportExporter(HTMLExporter):
    """An accessible page in one file, from the template in `tools/report/templates/report`.

    Two tags fill the head of the page: the table that a cell tagged `facts` shows, and the
    line that the cell tagged `final-accuracy` prints. Cells tagged `check` come folded.
    """

    export_from_notebook = "Report"
    allow_errors = Bool(
        False, help="Also report a notebook with failed or unexecuted cells, and list them."
    ).tag(config=True)

    @default("template_name")
    def _template_name_default(self) -> str:
        return "report"

    @default("extra_template_basedirs")
    def _default_extra_template_basedirs(self) -> list[str]:
        return [str(Path(__file__).with_name("templates"))]

    @property
    def default_config(self) -> Config:
        """The defaults of nbconvert for HTML, without what needs a script."""
        kinds = ["text/html", "text/markdown", "text/latex"]
        kinds += ["image/svg+xml", "image/png", "image/jpeg", "text/plain"]
        config = super().default_config.copy()
        config.NbConvertBase.display_data_priority = kinds
        config.HTMLExporter.embed_images = True
        config.CoalesceStreamsPreprocessor.enabled = True
        return config

    def _init_preprocessors(self) -> None:
        super()._init_preprocessors()
        self.register_preprocessor(FindProblems, enabled=True)

    def default_filters(self) -> Iterator[tuple[str, Callable]]:
        """Those of nbconvert for HTML, and `sanitise` for HTML that a notebook shows."""
        yield from super().default_filters()
        yield "sanitise", sanitise

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """Turn Markdown into clean HTML with its formulas marked, for `_set_formulas`."""
        renderer = MathRenderer(
            escape=False,
            attachments=context.get("cell", {}).get("attachments", {}),
            embed_images=self.embed_images,
            path=context.get("resources", {}).get("metadata", {}).get("path", ""),
            exclude_anchor_links=True,
        )
        return sanitise(MarkdownWithMath(renderer=renderer).render(source))

    def _init_resources(self, resources: dict[str, Any] | None) -> dict[str, Any]:
        resources = super()._init_resources(resources)
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
        html, resources = super().from_notebook_node(nb, resources, **kw)
        page = BeautifulSoup(html, "html.parser")
        _set_formulas(page)
        _label_tables(page)
        for code in page.select(".highlight pre, .text pre"):
            code["tabindex"] = "0"  # a keyboard can then scroll it
        for figure in page.select("figure"):
            # Without a script: a box to tick, shown where the screen is narrower than a figure.
            box = '<label class="full-size"><input type="checkbox"> Full size</label>'
            figure.append(BeautifulSoup(box, "html.parser"))
        _fill_head(page, resources["problems"])
        _order_headings(page)
        return str(page), resources


def sanitise(html: str) -> str:
    """HTML of a notebook's own without what runs, loads, or ends more than it began."""
    content = BeautifulSoup(html, "html.parser")
    for element in content.find_all(DROPPED):
        element.decompose()
    html = bleach.clean(
        str(content),
        tags=KEPT,
        attributes=_may_stay,
        protocols=["http", "https", "mailto", "data"],
        strip=True,
        css_sanitizer=KEPT_STYLES,
    )
    content = BeautifulSoup(html, "html.parser")
    for picture in content.find_all("img"):
        if not picture.get("src", "").startswith("data:image/"):
            picture.replace_with(f"[picture not embedded: {picture.get('src', '')}]")
    return str(content)


def _may_stay(element: str, attribute: str, value: str) -> bool:
    if attribute == "href":  # `data:` is for pictures, not for links
        return re.match(r"(?i)https?:|mailto:|#|[^:]*$", unescape(value).strip()) is not None
    return attribute in KEPT_ATTRIBUTES


def _set_formulas(page: BeautifulSoup) -> None:
    """Turn the formulas that `MathRenderer` marked into MathML."""
    for formula in page.main.select("span.formula"):
        latex, display = formula.get_text(), "display" in formula["class"]
        try:
            # Browsers break no formula, but those set apart by wide spaces may wrap.
            parts = [_mathml(part, display) for part in re.split(r"(?:\\qquad\s*)+", latex)]
        except LatexError:
            try:
                parts = [_mathml(latex, display)]
            except LatexError:  # a command that is none: show what was written
                formula.name = "code"
                continue
        formula.clear()
        formula.extend(parts)
        if display:
            formula["tabindex"] = "0"
        else:
            formula.unwrap()


def _mathml(latex: str, display: bool) -> BeautifulSoup:
    converter = LatexToMathML(fancy_error=False)
    mathml = converter.convert_with_local_state(latex, displaystyle=display)
    return BeautifulSoup(mathml, "html.parser")


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
