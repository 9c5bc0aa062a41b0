"""Text and outputs of cells as HTML: the last state of what was printed, the best kind of data."""

import re
from html import escape
from typing import Any

from tools.report.formulas import set_formulas
from tools.report.markdown import render
from tools.report.sanitise import MEDIA, drawing, left_out, sanitise

from bs4 import BeautifulSoup
from nbconvert.filters import ansi2html
from nbformat import NotebookNode

# The kinds of output that the page can show, the best first.
PICTURES = ["image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp"]
KINDS = ["text/html", "text/markdown", "text/latex", *PICTURES, "text/plain"]
WIDE = 500  # pixels: a figure that a phone is too narrow for
LONG = 40  # lines: an output of more may scroll by itself, and a keyboard can then scroll it

# What a terminal does not show: titles, links and the like; and what ends all that was before.
TITLES = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
CLEARED = re.compile(r"\x1b\[[23]J|\x1bc")


def cell_html(cell: NotebookNode, folder: str = "") -> str:
    """What a cell says or shows as HTML; `folder` is where the files lie that it names."""
    if cell.cell_type == "markdown":
        return sanitise(render(cell.source), folder, cell.get("attachments"))
    if cell.cell_type == "raw":
        is_html = cell.metadata.get("raw_mimetype") == "text/html"
        return sanitise(cell.source) if is_html else _text(cell.source)
    shown = (_html(output, folder) for output in cell.outputs)
    return "\n".join(f'<div class="output">\n{one}\n</div>' for one in shown)


def _html(output: NotebookNode, folder: str) -> str:
    if output.output_type == "stream":
        return _text(output.text, output.name)
    if output.output_type == "error":
        return _text("\n".join(output.traceback), "stderr")
    return _best(output.data, output.metadata, folder)


def _text(text: str, name: str = "") -> str:
    text = last_state(text)
    attributes = ' class="stderr"' if name == "stderr" else ""
    attributes += ' tabindex="0"' if text.count("\n") > LONG else ""
    # A terminal's colour of thousands goes: nobody has checked it.
    words = re.sub(' style="[^"]*"', "", ansi2html(text))
    return f"<pre{attributes}>{words}</pre>"


def last_state(text: str) -> str:
    r"""What a terminal shows in the end of text with backspaces, `\r` and cleared screens."""
    text = CLEARED.split(TITLES.sub("", text))[-1]
    before = ""
    while before != text:
        before, text = text, re.sub("[^\n\b]\b", "", text)
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _best(data: dict[str, Any], metadata: dict[str, Any], folder: str) -> str:
    """The best kind of data that shows all that it holds, with notes on what it cannot replace.

    Without a picture that could stand in, a kind that shows but a part is good enough.
    """
    has_picture = not data.keys().isdisjoint(PICTURES)
    others = [kind for kind in data if kind not in KINDS]
    notes = ""
    for kind in (kind for kind in KINDS if kind in data):
        about = metadata.get(kind)
        html = _shown(kind, data, about if isinstance(about, dict) else {}, folder)
        rest = BeautifulSoup(html, "html.parser")
        set_formulas(rest)
        is_whole = rest.select_one(".left-out, .latex") is None
        missing = [str(note.extract()) for note in rest.select(".left-out")]
        if (is_whole or not has_picture) and (rest.get_text(strip=True) or rest.find(MEDIA)):
            stands_in = kind in ("text/plain", *PICTURES)  # the others can say all that there is
            return html + notes + (left_out(*others) if stands_in and others else "")
        notes += "".join(missing)
    return notes + (left_out(*others) if others else "")


def _shown(kind: str, data: dict[str, Any], about: dict[str, Any], folder: str) -> str:
    content = data[kind]
    if kind == "text/plain":
        return _text(content)
    if kind == "text/html":
        return sanitise(content, folder)
    if kind == "image/svg+xml":
        content = drawing(content)
    if kind in PICTURES:
        return _picture(kind, content, about, data) if content else left_out("drawing")
    html = sanitise(render(content), folder)
    caption = f"<caption>{escape(str(about['alt']))}</caption>" if "alt" in about else ""
    return html.replace("<table>", f"<table>{caption}", 1)


def _picture(kind: str, base64: str, about: dict[str, Any], data: dict[str, Any]) -> str:
    """A figure, with a box to tick where the screen is narrower: that needs no script."""
    plain = data.get("text/plain", "").strip().strip("<>")[:200]
    alt = str(about.get("alt") or plain or "Picture without a description")
    sizes = {side: about[side] for side in ("width", "height") if str(about.get(side)).isdigit()}
    attributes = {"src": f"data:{kind};base64,{base64.replace(chr(10), '')}", "alt": alt} | sizes
    image = BeautifulSoup().new_tag("img", attrs=attributes)
    box = '<label class="full-size"><input type="checkbox"> Full size</label>'
    return f"<figure>{image}{box if int(sizes.get('width', 1000)) > WIDE else ''}</figure>"
