"""The parts of the page that the whole notebook decides: head, headings, contents, numbers."""

import re
from collections.abc import Iterator
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
    """Number the figures and tables, and caption them with words or the code that they are from.

    A table in a text, to which no caption was given, stays without.
    """
    for number, figure in enumerate(page.select(".output figure"), start=1):
        alt = " ".join(figure.img["alt"].split())
        words = "" if NO_WORDS.match(alt) else re.match(r".*?[.!?](?= |$)|.*", alt)[0]
        text = f"Figure {number}. {words or _origin(figure)}"
        figure.img.insert_after(page.new_tag("figcaption", string=text))
    number = 0
    for table in page.main.select("table:not(table table)"):
        words = "" if table.caption else _lead_in(table) or _origin(table)
        caption = table.caption or page.new_tag("caption", string=words)
        if caption.get_text(strip=True):
            number += 1
            caption.insert(0, f"Table {number}. ")
            table.insert(0, caption)


def _origin(shown: Tag) -> str:
    cell = shown.find_parent(class_="code", id=True)
    return f"Shown by code {cell['id'].removeprefix('code-')}." if cell else ""


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
        facts.append(BeautifulSoup(f"<dt>{escape(name)}</dt><dd>{value}</dd>", "html.parser"))
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
    for empty in page.main.select("h1, h2, h3, h4, h5, h6"):
        if not empty.get_text(strip=True):
            empty.unwrap()
    anchors: set[str] = set()
    level, contents = 1, page.new_tag("ol")
    for part in page.main.select("h1, h2, h3, h4, h5, h6, [data-check]"):
        words = f"Check {part.get('data-check')}"
        if part.name != "div":
            words = part.decode_contents()
            level = min(max(int(part.name[1]), 2), level + 1)
            part.name = f"h{level}"
            _anchor(part, anchors)
        if part.name in ("h2", "h3", "div"):
            entry = f'<li class="{part.name}"><a href="#{quote(part["id"])}">{words}</a></li>'
            contents.append(BeautifulSoup(entry, "html.parser"))
    for inner in contents.select("a a"):
        inner.unwrap()
    page.nav.append(contents)
    if not contents.contents:
        page.nav.decompose()


def _anchor(heading: Tag, taken: set[str]) -> None:
    """Give a heading the anchor that JupyterLab gives it too, so that a notebook's links work."""
    anchor = heading.get_text().strip().replace(" ", "-")
    while anchor in taken:
        anchor += "-"
    taken.add(anchor)
    heading["id"] = anchor
    mark = f'<a class="anchor" href="#{quote(anchor)}" aria-hidden="true" tabindex="-1"></a>'
    heading.append(BeautifulSoup(mark, "html.parser"))
