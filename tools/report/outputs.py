"""Text and outputs of cells as HTML: the last state of what was printed, the best kind of data."""

import re
from html import escape
from typing import Any

from tools.report.formulas import can_be_set
from tools.report.markdown import render
from tools.report.sanitise import drawing, left_out, sanitise, shows_anything

from nbconvert.filters import ansi2html
from nbformat import NotebookNode

# The kinds of output that the page can show, the best first.
PICTURES = ["image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp"]
KINDS = ["text/html", "text/markdown", "text/latex", *PICTURES, "text/plain"]
WIDE = 500  # pixels: a figure that a phone is too narrow for

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
    shown = (_html(output, folder) for output in _joined(cell.outputs))
    return "\n".join(f'<div class="output">\n{one}\n</div>' for one in shown)


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs with what is printed in pieces as one text."""
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else NotebookNode(output_type="")
        if output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _html(output: NotebookNode, folder: str) -> str:
    if output.output_type in ("display_data", "execute_result"):
        return _best(output.data, output.metadata, folder)
    if output.output_type == "stream":
        return _text(output.text, output.name)
    return _text("\n".join(output.traceback), "stderr")


def _text(text: str, name: str = "") -> str:
    return f"<pre{' class=stderr' * (name == 'stderr')}>{ansi2html(last_state(text))}</pre>"


def last_state(text: str) -> str:
    r"""What a terminal shows in the end of text with backspaces, `\r` and cleared screens."""
    text = CLEARED.split(TITLES.sub("", text))[-1]
    before = ""
    while before != text:
        before, text = text, re.sub("[^\n\b]\b", "", text)
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _best(data: dict[str, Any], metadata: dict[str, Any], folder: str) -> str:
    """The best kind of data, with a note that names what it cannot replace."""
    missing: list[str] = []
    has_picture = any(kind in data for kind in PICTURES)
    if "text/html" in data:
        html = data["text/html"] = sanitise(data["text/html"], folder)
        notes = re.findall(r'"left-out">\[left out: (.*?)\]', html)
        if (has_picture and notes) or not shows_anything(html):
            del data["text/html"]
            missing = notes
    if "image/svg+xml" in data:
        data["image/svg+xml"] = drawing(data["image/svg+xml"])
        if not data["image/svg+xml"]:
            missing.append(data.pop("image/svg+xml") or "drawing")
    if has_picture and not can_be_set(data.get("text/latex", "")):
        del data["text/latex"]
    kind = next((kind for kind in KINDS if kind in data), "")
    if kind in ("", "text/plain", *PICTURES):  # the others can say all that there is
        missing += [other for other in data if other not in KINDS]
    return _shown(kind, data, metadata, folder) + (str(left_out(*missing)) if missing else "")


def _shown(kind: str, data: dict[str, Any], metadata: dict[str, Any], folder: str) -> str:
    content = data.get(kind, "")
    about = metadata.get(kind)
    about = about if isinstance(about, dict) else {}
    if kind in PICTURES:
        return _picture(kind, content, about, data.get("text/plain", ""))
    if kind in ("text/markdown", "text/latex"):
        html = sanitise(render(content), folder)
        caption = f"<caption>{escape(str(about['alt']))}</caption>" if "alt" in about else ""
        return html.replace("<table>", f"<table>{caption}", 1)
    return _text(content) if kind == "text/plain" else content


def _picture(kind: str, base64: str, about: dict[str, Any], plain: str) -> str:
    """A figure, with a box to tick where the screen is narrower: that needs no script."""
    alt = about.get("alt") or plain.strip().strip("<>")[:200] or "Picture without a description"
    sizes = {side: about[side] for side in ("width", "height") if str(about.get(side)).isdigit()}
    attributes = {"src": f"data:{kind};base64,{base64.replace(chr(10), '')}", "alt": alt} | sizes
    names = "".join(f' {name}="{escape(str(value))}"' for name, value in attributes.items())
    box = '<label class="full-size"><input type="checkbox"> Full size</label>'
    return f"<figure><img{names}>{box if int(sizes.get('width', 1000)) > WIDE else ''}</figure>"
