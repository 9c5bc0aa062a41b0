"""Text and outputs of cells as HTML: Markdown, the last state of a terminal, the best of data."""

import re
from html import escape

from tools.report.formulas import DOLLAR, FORMULA, set_formulas
from tools.report.sanitise import CONTROL, MEDIA, drawing, left_out, sanitise

from bs4 import BeautifulSoup
from mistune import create_markdown
from nbconvert.filters import ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

# The kinds of output that the page can show, the best first.
PICTURES = ["image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp"]
KINDS = ["text/html", "text/markdown", "text/latex", *PICTURES, "text/plain"]
LONG = 40  # lines: an output of more may scroll by itself, and a keyboard can then scroll it
FIRST_SENTENCE = re.compile(r".*?[.!?](?= |$)|.*")
# What a terminal does not show: all before the screen is cleared; titles, links and the like.
UNSEEN = re.compile(r"(?s)\A.*(?:\x1b\[[23]J|\x1bc)|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")

# Holds, in hexadecimal digits, a formula that Markdown must not change.
KEPT = re.compile("\ufdd2((?:[0-9a-f]{2})*)\ufdd2")
# Markdown's own backslash comes before another one; code and what is escaped hold no formula.
IN_MARKDOWN = re.compile(
    r"(?P<fence> ^[ ]{0,3}(`{3,}|~{3,}) [\s\S]*? (?: ^[ ]{0,3}\2 | \Z ) )"
    r"| (?P<ticks> `+ ) (?: (?!\n\s*\n)[^`] | (?!(?P=ticks)(?!`))`+ )+ (?P=ticks)(?!`) | "
    + FORMULA.replace(r"\\\\?", r"\\\\")
    + r"| (?P<escaped> \\[\s\S] )",
    re.VERBOSE | re.MULTILINE,
)
# As GitHub writes them in quotations: `> [!NOTE]`.
ALERT = re.compile(r"<blockquote>\s*<p>\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\s*")
BOX = '<blockquote class="alert alert-{}"><p><strong>{}.</strong> '


def cell_html(cell: NotebookNode, folder: str = "") -> str:
    """What a cell says or shows as HTML; `folder` is where the files lie that it names."""
    if cell.cell_type == "markdown":
        return sanitise(render(cell.source), folder, cell.get("attachments"))
    if cell.cell_type == "raw":
        is_html = cell.metadata.get("raw_mimetype") == "text/html"
        return sanitise(cell.source) if is_html else _text(cell.source)
    shown = (_html(output, folder) for output in cell.outputs)
    return "\n".join(f'<div class="output">\n{one}\n</div>' for one in shown)


class _Renderer(IPythonRenderer):
    def text(self, text: str) -> str:
        return super().text(text).replace("$", DOLLAR)

    def _embed_image_or_attachment(self, src: str) -> str:
        return src  # `sanitise` embeds all pictures


def render(source: str) -> str:
    """Markdown as HTML that is not yet safe."""
    plugins = [*MarkdownWithMath.DEFAULT_PLUGINS, "footnotes"]
    renderer = _Renderer(escape=False, exclude_anchor_links=True)
    source = IN_MARKDOWN.sub(_kept, CONTROL.sub("", source))
    html = create_markdown(renderer=renderer, plugins=plugins)(source)
    html = ALERT.sub(lambda found: BOX.format(found[1].lower(), found[1].capitalize()), html)
    return KEPT.sub(lambda found: escape(bytes.fromhex(found[1]).decode(), quote=False), html)


def _kept(found: re.Match) -> str:
    is_formula = found.lastgroup not in ("fence", "ticks", "escaped")
    return f"\ufdd2{found[0].encode().hex()}\ufdd2" if is_formula else found[0]


def _html(output: NotebookNode, folder: str) -> str:
    """An output by the best kind of its data, with notes on what that cannot replace.

    Without a picture that could stand in, a kind that shows but a part is good enough.
    """
    if output.output_type in ("stream", "error"):
        text = output.get("text", "\n".join(output.get("traceback", [])))
        return _text(text, is_error=output.get("name", "stderr") == "stderr")
    has_picture = not output.data.keys().isdisjoint(PICTURES)
    others = left_out(*(kind for kind in output.data if kind not in KINDS))
    notes = ""
    for kind in (kind for kind in KINDS if kind in output.data):
        html = _shown(kind, output, folder)
        rest = BeautifulSoup(f"<div>{html}", "html.parser")
        set_formulas(rest)
        is_whole = rest.select_one(".left-out, .latex") is None
        missing = [str(note.extract()) for note in rest.select(".left-out")]
        if (is_whole or not has_picture) and (rest.get_text(strip=True) or rest.find(MEDIA)):
            can_say_all = kind not in ("text/plain", *PICTURES)
            return html + notes + ("" if can_say_all else others)
        notes += "".join(missing)
    return notes + others


def _shown(kind: str, output: NotebookNode, folder: str) -> str:
    content, about = output.data[kind], output.metadata.get(kind)
    about = about if isinstance(about, dict) else {}
    alt = " ".join(str(about.get("alt", "")).split())
    if kind == "text/plain":
        return _text(content)
    if kind == "text/html":
        return sanitise(content, folder)
    if kind in ("text/markdown", "text/latex"):
        table = f"<table><caption>{escape(alt)}</caption>" if alt else "<table>"
        return sanitise(render(content), folder).replace("<table>", table, 1)
    content = drawing(content) if kind == "image/svg+xml" else content
    if not content:
        return left_out("drawing")
    plain = output.data.get("text/plain", "").strip().strip("<>")[:200]
    image = BeautifulSoup().new_tag("img", attrs={"src": f"data:{kind};base64,{content}"})
    image["alt"] = alt or plain or "Picture without a description"
    image.attrs |= {k: about[k] for k in ("width", "height") if str(about.get(k)).isdigit()}
    words = escape(FIRST_SENTENCE.match(alt)[0])
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


def _text(text: str, *, is_error: bool = False) -> str:
    text = last_state(text)
    attributes = ' class="stderr"' if is_error else ""
    attributes += ' tabindex="0"' if text.count("\n") > LONG else ""
    # A terminal's colour of thousands goes: nobody has checked it.
    words = re.sub(' style="[^"]*"', "", ansi2html(text))
    return f"<pre{attributes}>{words}</pre>"


def last_state(text: str) -> str:
    r"""What a terminal shows in the end of text with backspaces, `\r` and cleared screens."""
    before, text = "", UNSEEN.sub("", text)
    while before != text:
        before, text = text, re.sub("[^\n\b]\b", "", text)
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
