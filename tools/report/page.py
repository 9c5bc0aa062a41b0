"""The parts of the page that the whole notebook decides: head, headings, contents, numbers."""

import re
from collections.abc import Iterator
from copy import copy
from html import escape
from typing import Any
from urllib.parse import quote

from bs4 import BeautifulSoup, Tag

NUMBER = re.compile(r"[^\w\s]?[\d.,\s]*\d[\d.,]*(e[+-]?\d+)?\s?(%|ms|s)?|NaN|nan|None|[^\w\s]|")
# What stands for a figure's description where there is none.
NO_WORDS = re.compile(r"Figure size|Picture without|Drawing without|.* at 0x")
LEAD_IN = 120  # characters: a longer sentence before a table is no caption


def finish_tables(page: BeautifulSoup) -> None:
    """Say which cells are headers, put numbers right, and let wide tables scroll on their own."""
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
        _align_numbers(table)
        table.wrap(page.new_tag("div", attrs={"class": "table", "tabindex": "0"}))


def _align_numbers(table: Tag) -> None:
    """Put columns of numbers right, counted from the right: headers may span on the left."""
    rows = [row.find_all(["td", "th"], recursive=False)[::-1] for row in table.select("tr")]
    body = [row for row in rows if row and row[0].find_parent("thead") is None]
    for column in range(max(map(len, body), default=0)):
        cells = [row[column] for row in body if len(row) > column]
        texts = [cell.get_text(strip=True) for cell in cells]
        if any(any(map(str.isdigit, text)) for text in texts) and all(map(NUMBER.fullmatch, texts)):
            heads = [row[column] for row in rows if row not in body and len(row) > column]
            for cell in cells + heads:
                style = cell.get("style", "")
                if "text-align" not in style and "colspan" not in cell.attrs:
                    cell["style"] = f"{style};text-align:right".lstrip(";")


def number_figures(page: BeautifulSoup) -> None:
    """Number figures and tables, with a caption where there are words for one."""
    for number, figure in enumerate(page.select(".output figure"), start=1):
        alt = " ".join(figure.img["alt"].split())
        words = "" if NO_WORDS.match(alt) else re.match(r".*?[.!?](?= |$)|.*", alt)[0]
        caption = page.new_tag("figcaption", string=f"Figure {number}. {words}".strip())
        figure.img.insert_after(caption)
    tables = [one for one in page.main.select("table") if one.find_parent("table") is None]
    for number, table in enumerate(tables, start=1):
        caption = table.find("caption", recursive=False) or page.new_tag("caption")
        words = caption.get_text(strip=True) or _lead_in(table)
        caption.string = f"Table {number}. {words}".strip()
        table.insert(0, caption)


def _lead_in(table: Tag) -> str:
    """The one short sentence that leads to the cell of a table, or the title in bold before it."""
    cell = table.find_parent(class_="code")
    before = cell and cell.find_previous_sibling()
    paragraphs = before.find_all("p", recursive=False) if before else []
    words = paragraphs[-1].get_text() if paragraphs else ""
    if words and paragraphs[-1].contents[0].name == "strong":
        words = paragraphs[-1].strong.get_text()
    single = re.fullmatch(r"[^.:!?]+[.:]", words.strip())
    return words.strip(" :.\n") + "." if single and len(words) <= LEAD_IN else ""


def fill_head(page: BeautifulSoup, authors: object, resources: dict[str, Any]) -> None:
    """Put title, authors, date, the facts of the run, the accuracy and the problems at the head."""
    head = page.header
    titles = [one for one in page.main.find_all("h1") if one.get_text(strip=True)]
    title = titles[0] if titles else page.new_tag("h1", string=page.title.string)
    head.append(title.extract())
    facts = page.new_tag("dl")
    for name, value in _facts(page, authors, resources):
        facts.append(page.new_tag("dt", string=name))
        facts.append(page.new_tag("dd"))
        facts.contents[-1].append(BeautifulSoup(value, "html.parser"))
    if facts.contents:
        head.append(facts)


def _facts(
    page: BeautifulSoup, authors: object, resources: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """Names and values, the values as HTML."""
    listed = authors if isinstance(authors, list) else []
    named = [one.get("name") if isinstance(one, dict) else one for one in listed]
    if written_by := ", ".join(name for name in named if isinstance(name, str) and name):
        yield "by", escape(written_by)
    names = page.select(".celltag_facts .output tbody th")
    saved = resources["metadata"].get("modified_date")
    if saved and "date" not in [name.get_text().lower() for name in names]:
        yield "saved", escape(saved)
    for name in names:
        yield name.get_text(), " ".join(one.decode_contents() for one in name.find_next_siblings())
    for printed in page.select(".celltag_final-accuracy .output pre"):
        name, _, value = printed.get_text().strip().partition(": ")
        yield name, f"<strong>{escape(value)}</strong>"
    for number, problem in resources["problems"].items():
        yield "problem", f'<a href="#code-{number}">code cell {number}</a> {escape(problem)}'


def order_headings(page: BeautifulSoup) -> None:
    """Leave one `h1` and no gap between levels, give each an anchor, list them as contents.

    The contents go two levels deep; the checks stand in them on the second.
    """
    anchors: set[str] = set()
    level, contents = 1, page.new_tag("ol")
    for part in page.main.select("h1, h2, h3, h4, h5, h6, [data-check]"):
        if part.has_attr("data-check"):
            words = [f"Check {part['data-check']}"]
        elif not part.get_text(strip=True):
            part.unwrap()
            continue
        else:
            words = [copy(one) for one in part.contents]
            level = min(max(int(part.name[1]), 2), level + 1)
            _anchor(page, part, level, anchors)
        if part.name in ("h2", "h3", "div"):
            _list(page, contents, part, words)
    if contents.contents:
        page.nav.append(contents)
    else:
        page.nav.decompose()


def _anchor(page: BeautifulSoup, heading: Tag, level: int, anchors: set[str]) -> None:
    heading.name = f"h{level}"
    # The anchor that JupyterLab gives it too, so that links within the notebook work here.
    anchor = heading.get_text().strip().replace(" ", "-")
    while anchor in anchors:
        anchor += "-"
    anchors.add(anchor)
    heading["id"] = anchor
    mark = {"class": "anchor", "href": f"#{quote(anchor)}", "aria-hidden": "true", "tabindex": "-1"}
    heading.append(page.new_tag("a", attrs=mark))


def _list(page: BeautifulSoup, contents: Tag, part: Tag, words: list) -> None:
    entry = page.new_tag("li")
    link = page.new_tag("a", attrs={"href": f"#{quote(part['id'])}"})
    link.extend(words)
    for inner in link.find_all("a"):
        inner.unwrap()
    entry.append(link)
    if part.name != "h2" and contents.contents:
        section = contents.contents[-1]
        if section.ol is None:
            section.append(page.new_tag("ol"))
        contents = section.ol
    contents.append(entry)
