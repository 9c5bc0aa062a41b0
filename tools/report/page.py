"""The parts of the page that the whole notebook decides: head, headings, contents, numbers."""

import re
from html import escape, unescape
from itertools import zip_longest
from typing import Any
from urllib.parse import quote

from bs4 import BeautifulSoup, Tag

NUMBER = re.compile(r"[^\w\s]?[\d.,\s]*\d[\d.,]*(e[+-]?\d+)?\s?(%|ms|s)?|NaN|nan|None|[^\w\s]|")
# In the last paragraph before some code.
LEAD_IN = re.compile(r"(?s)<p>(<strong>)?([^.:!?<]{1,99})[.:](</strong>((?!<p>).)*)?</p>\s*</div>$")


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
    """Caption all that code shows, if only with the number of that code, and number captions."""
    for caption in page.select(".code[id] figcaption:empty"):
        caption.string = _words(caption)
    for table in page.select(".code[id] table:not(table table, :has(> caption))"):
        table.insert(0, page.new_tag("caption", string=_words(table)))
    for kind, name in {"Figure": "figcaption", "Table": "caption"}.items():
        for number, caption in enumerate(page.main.find_all(name), start=1):
            caption.insert(0, f"{kind} {number}. ")


def _words(shown: Tag) -> str:
    """The short sentence that leads to what code shows, or the bold one there; else which code."""
    code = shown.find_parent(class_="code")
    led = LEAD_IN.search(str(code.find_previous_sibling()))
    return f"{unescape(led[2])}." if led else f"Shown by code {code['id'].removeprefix('code-')}."


def fill_head(page: BeautifulSoup, authors: object, resources: dict[str, Any]) -> None:
    """Put title, authors, date, the facts of the run, the accuracy and the problems at the head."""
    titles = [one for one in page.main.find_all("h1") if one.get_text(strip=True)]
    title = titles[0] if titles else page.new_tag("h1", string=page.title.string)
    listed = authors if isinstance(authors, list) else []
    named = [one.get("name") if isinstance(one, dict) else one for one in listed]
    facts = [("by", escape(", ".join(name for name in named if isinstance(name, str))))]
    names = page.select(".celltag_facts .output tbody th")
    if "date" not in [name.get_text().lower() for name in names]:
        facts.append(("saved", escape(resources["metadata"].get("modified_date", ""))))
    for name in names:
        values = [one.decode_contents() for one in name.find_next_siblings()]
        facts.append((escape(name.get_text()), " ".join(values)))
    name, _, value = escape(resources["accuracy"]).partition(": ")
    facts.append((name, value and f"<strong>{value}</strong>"))
    for n, problem in resources["problems"].items():
        facts.append(("problem", f'<a href="#code-{n}">code cell {n}</a> {escape(problem)}'))
    shown = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value)
    page.header.extend([title.extract(), BeautifulSoup(f"<dl>{shown}</dl>", "html.parser")])
    running = re.sub(r'["\\<\n]', " ", title.get_text())[:80]
    page.html["style"] = f'--title: "{running}"'


def order_headings(page: BeautifulSoup) -> None:
    """Leave one `h1` and no gap between levels, give each an anchor, list them as contents.

    The contents go two levels deep, with the checks. The anchors are as in JupyterLab.
    """
    anchors: set[str] = set()
    level, contents = 1, ""
    for part in page.main.select("h1, h2, h3, h4, h5, h6, [data-check]"):
        if not part.get_text(strip=True):
            part.unwrap()
            continue
        words = f"Check {part.get('data-check')}"
        if part.name != "div":
            words = re.sub(r"</?a\b[^>]*>", "", part.decode_contents())
            level = min(max(int(part.name[1]), 2), level + 1)
            part.name = f"h{level}"
            part["id"] = part.get_text().strip().replace(" ", "-")
            while part["id"] in anchors:
                part["id"] += "-"
            anchors.add(part["id"])
            link = {"class": "anchor", "href": f"#{quote(part['id'])}", "tabindex": "-1"}
            part.append(page.new_tag("a", attrs=link | {"aria-hidden": "true"}))
        if part.name in ("h2", "h3", "div"):
            contents += f'<li class="{part.name}"><a href="#{quote(part["id"])}">{words}</a></li>'
    page.nav.append(BeautifulSoup(f"<ol>{contents}</ol>", "html.parser"))
