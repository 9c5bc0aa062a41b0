"""The parts of the page that the whole notebook decides: head, headings, contents, numbers."""

import re
from collections.abc import Iterator
from html import escape
from itertools import zip_longest
from typing import Any
from urllib.parse import quote

from bs4 import BeautifulSoup, Tag

NUMBER = re.compile(r"[^\w\s]?[\d.,\s]*\d[\d.,]*(e[+-]?\d+)?\s?(%|ms|s)?|NaN|nan|None|[^\w\s]|")
# What stands for a figure's description where there is none.
NO_WORDS = re.compile(r"Figure size|Picture without|Drawing without|.* at 0x")
# Before a table: what is longer is no caption.
LEAD_IN = re.compile(r"\s*([^.:!?]{1,120})[.:]\s*")


def finish_tables(page: BeautifulSoup) -> None:
    """Say which cells are headers, put numbers right, and let wide tables scroll on their own."""
    for table in page.select("table"):
        for cell in table.select("thead th"):
            if cell.get_text(strip=True):
                cell["scope"] = "col"
            else:
                cell.name = "td"  # an empty header names nothing
        for cell in table.select("tbody tr > :first-child:not(:only-child)"):
            if cell.get_text(strip=True):
                cell.name, cell["scope"] = "th", "row"
        # Columns are counted from the right: headers may span on the left.
        rows = [row.find_all(["td", "th"], recursive=False)[::-1] for row in table.select("tr")]
        for column in zip_longest(*rows):
            cells = [cell for cell in column if cell]
            texts = [cell.get_text(strip=True) for cell in cells if not cell.find_parent("thead")]
            if all(map(NUMBER.fullmatch, texts)) and re.search(r"\d", "".join(texts)):
                for cell in cells:
                    cell["class"] = "number"
        table.wrap(page.new_tag("div", attrs={"class": "table", "tabindex": "0"}))


def number_figures(page: BeautifulSoup) -> None:
    """Number the figures and tables, and caption them with words or the code that they are from.

    A table in a text, to which no caption was given, stays without.
    """
    for number, figure in enumerate(page.select(".output figure"), start=1):
        alt = " ".join(figure.img["alt"].split())
        words = "" if NO_WORDS.match(alt) else re.match(r".*?[.!?](?= |$)|.*", alt)[0]
        text = f"Figure {number}. {words or _origin(figure)}"
        figure.img.insert_after(page.new_tag("figcaption", string=text))
    tables = page.main.select("table:not(table table):is(:has(> caption), .code[id] *)")
    for number, table in enumerate(tables, start=1):
        caption = table.caption or page.new_tag("caption", string=_lead_in(table) or _origin(table))
        caption.insert(0, f"Table {number}. ")
        table.insert(0, caption)


def _origin(shown: Tag) -> str:
    code = shown.find_parent(id=re.compile("^code-"))
    return f"Shown by code {code['id'].removeprefix('code-')}." if code else ""


def _lead_in(table: Tag) -> str:
    """The one short sentence that leads to the cell of a table, or the title in bold before it."""
    before = table.find_parent(class_="code").find_previous_sibling(class_="cell")
    paragraphs = before.find_all("p", recursive=False) if before else []
    if not paragraphs:
        return ""
    first = paragraphs[-1].next_element
    words = first if first.name == "strong" else paragraphs[-1]
    led = LEAD_IN.fullmatch(words.get_text())
    return f"{led[1]}." if led else ""


def fill_head(page: BeautifulSoup, authors: object, resources: dict[str, Any]) -> None:
    """Put title, authors, date, the facts of the run, the accuracy and the problems at the head."""
    titles = [one for one in page.main.find_all("h1") if one.get_text(strip=True)]
    title = titles[0] if titles else page.new_tag("h1", string=page.title.string)
    facts = _facts(page, authors, resources)
    shown = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in facts)
    page.header.extend([title.extract(), BeautifulSoup(f"<dl>{shown}</dl>", "html.parser")])
    running = re.sub(r'["\\<\n]', " ", title.get_text())[:80]
    css = f'@page {{ @top-left {{ content: "{running}" }} }}\n'
    css += "@page :first { @top-left { content: none } }"
    page.head.append(page.new_tag("style", string=css))


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

    The contents go two levels deep; the checks stand in them on the second. The anchors are
    those of JupyterLab, so that a notebook's links work.
    """
    anchors: set[str] = set()
    level, contents = 1, ""
    for part in page.main.select("h1, h2, h3, h4, h5, h6, [data-check]"):
        if not part.get_text(strip=True):
            part.unwrap()
            continue
        words = f"Check {part.get('data-check')}"
        if part.name != "div":
            words = part.decode_contents()
            level = min(max(int(part.name[1]), 2), level + 1)
            part.name = f"h{level}"
            part["id"] = part.get_text().strip().replace(" ", "-")
            while part["id"] in anchors:
                part["id"] += "-"
            anchors.add(part["id"])
            link = {"class": "anchor", "href": f"#{quote(part['id'])}", "tabindex": "-1"}
            part.append(page.new_tag("a", attrs=link | {"aria-hidden": "true"}))
        if part.name in ("h2", "h3", "div"):
            link = f'<a href="#{quote(part["id"])}">{words}</a>'
            contents += f'<li class="{part.name}">{link}</li>'
    page.nav.append(BeautifulSoup(f"<ol>{contents}</ol>", "html.parser"))
    for inner in page.nav.select("a a"):
        inner.unwrap()
