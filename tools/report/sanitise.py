"""Keep of a notebook's own HTML what neither runs nor loads, and say what was left out."""

import base64
import mimetypes
import re
import xml.etree.ElementTree as ET
from contextlib import suppress
from copy import copy
from html import escape
from pathlib import Path
from urllib.parse import unquote

from tools.report.formulas import DOLLAR, mark_formulas

import nh3
import tinycss2
from bs4 import BeautifulSoup, Tag
from soupsieve import SelectorSyntaxError

# Other elements go, but their text stays.
KEPT = nh3.ALLOWED_TAGS - {"area", "article", "aside", "footer", "header", "map", "nav"}
KEPT |= {"audio", "section", "tfoot", "video"}
KEPT |= {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle"}
KEPT |= {"msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd"}
KEPT_ATTRIBUTES = {
    *("href", "id", "title", "open", "start", "src", "alt", "width", "height", "dir", "lang"),
    *("style", "class", "colspan", "rowspan", "scope", "display", "controls", "name"),
}
ALLOWED = {
    # Pygments' names for parts of code, and ours: no other look can be borrowed.
    "class": r"((highlight|formula|display|left-out|footnotes|alert(-\w+)?|[a-z]{1,3}\d?)( |$))+",
    "href": r"(?i)((https?:|mailto:|#).*|[^:]*)",  # `data:` is for media, not for links
}
MEDIA = ["img", "audio", "video"]
EMBEDDED = re.compile("data:(image|audio|video)/")
# No characters of a page; terminals leave them, and the JSON of other programs.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
HIDING = re.compile(
    "display:none|visibility:(hidden|collapse)|clip:.*|((max-)?(width|height)|opacity):0(px|r?em)?"
)
# The style sheet uses its own names for cells' colours, and changes those that cannot be read.
CELL_STYLES = {"color": "--cell-ink", "background-color": "--cell-paper"}
STYLES = {"td": CELL_STYLES, "th": CELL_STYLES, "svg": {"width": "width", "height": "height"}}


def sanitise(html: str, folder: str = "", attachments: dict[str, dict] | None = None) -> str:
    """Return what can stay, with a note `[left out: ...]` for what was to be seen and cannot.

    All its elements are closed, so that it cannot end what it stands in. What styles hide is
    gone, pictures are embedded, and formulas are marked for `set_formulas`. `folder` is where the
    files lie that it names, `attachments` those of its cell, by name and kind, in base64.
    """
    content = BeautifulSoup(f"<body>{html}", "html5lib").body
    symbols = content.select("symbol")  # icons are often drawn elsewhere
    for element in content.select("svg:has(use)"):
        element.extend(map(copy, symbols))
    _apply_styles(content)
    _set_drawings(content)
    _embed(content, folder, attachments or {})
    for box in content.find_all("input", type="checkbox"):
        box.replace_with("\u2611 " if box.has_attr("checked") else "\u2610 ")
    mark_formulas(content)
    return nh3.clean(
        content.decode_contents().replace(DOLLAR, "$"),
        tags=KEPT,
        clean_content_tags={"style", "template", "title", "noscript"},
        attributes={"*": KEPT_ATTRIBUTES},
        attribute_filter=_may_stay,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel=None,
    )


def _may_stay(element: str, attribute: str, value: str) -> str | None:
    return value if re.fullmatch(ALLOWED.get(attribute, "(?s).*"), value.strip()) else None


def _apply_styles(content: Tag) -> None:
    """Take out what a page without a script never shows; leave the styles that the page keeps."""
    _read_sheets(content)
    for element in content.select(":not(svg *)"):
        if element.decomposed:  # with what it was in
            continue
        css = element.attrs.pop("sheets", "") + element.attrs.pop("style", "")
        declared = [one for one in tinycss2.parse_blocks_contents(css) if one.type == "declaration"]
        look = {"display": "none"} if element.css.match("[hidden], dialog:not([open])") else {}
        for one in sorted(declared, key=lambda one: one.important):  # of two the later one holds
            look[one.lower_name] = tinycss2.serialize(one.value).strip().lower()
        if any(HIDING.fullmatch(f"{name}:{value}") for name, value in look.items()):
            element.decompose()
            continue
        kept = {"text-align": "text-align"} | STYLES.get(element.name, {})
        if style := ";".join(f"{kept[name]}:{look[name]}" for name in kept if name in look):
            element["style"] = style


def _read_sheets(content: Tag) -> None:
    """Leave on each element what the style sheets say about it, as its attribute `sheets`."""
    by_id = {f"#{one['id']}": [one] for one in content.select("[id]")}
    rules = [tinycss2.parse_stylesheet(one.string or "") for one in content.find_all("style")]
    for rule in (one for sheet in rules for one in sheet if one.type == "qualified-rule"):
        css = tinycss2.serialize(rule.content) + ";"
        for selector in tinycss2.serialize(rule.prelude).split(","):
            with suppress(SelectorSyntaxError, NotImplementedError):  # not of a still page
                # Styler has thousands of rules for one element each.
                for element in by_id.get(selector.strip()) or content.select(selector):
                    element["sheets"] = element.get("sheets", "") + css


def left_out(*things: str) -> str:
    """The note for things that cannot be shown; empty for none."""
    text = escape(f"[left out: {', '.join(things)}]")
    return f'<span class="left-out">{text}</span>' if things else ""


def _embed(content: Tag, folder: str, attachments: dict[str, dict]) -> None:
    """Put media into the page, and a note, one for each kind and address, for what cannot be."""
    for element in content.find_all([*MEDIA, "script", "iframe", "object", "embed", "canvas"]):
        if element.decomposed:
            continue
        sources = [one["src"] for one in element.find_all("source", src=True)]
        address = next(filter(None, [element.get("src"), *sources, element.get("data")]), "")
        data = _data(address, folder, attachments)
        if element.name in MEDIA and data:
            element.clear()
            element["src"] = data
            element.attrs.setdefault("alt" if element.name == "img" else "controls", "")
            continue
        kind = "picture" if element.name == "img" else element.name
        words = [kind, "" if address.startswith("data:") else address, element.get("alt")]
        note = BeautifulSoup(left_out(" ".join(filter(None, words))), "html.parser").span
        if not content.find(string=note.string):
            element.insert_before(note)
        element.decompose()


def _data(address: str, folder: str, attachments: dict[str, dict]) -> str:
    """What lies at an address as one that holds it itself; empty if it is not there."""
    if address.startswith("attachment:"):
        attached = attachments.get(unquote(address.removeprefix("attachment:")), {})
        address = next((f"data:{kind};base64,{data}" for kind, data in attached.items()), "")
    elif folder and not EMBEDDED.match(address):
        with suppress(OSError, ValueError):  # a folder, or no name for a file
            file = Path(folder, unquote(address)).resolve()
            if file.is_relative_to(Path(folder).resolve()):
                data = base64.b64encode(file.read_bytes()).decode()
                address = f"data:{mimetypes.guess_type(file)[0]};base64,{data}"
    return address if EMBEDDED.match(address) else ""


def drawing(svg: str) -> str:
    """A drawing as base64, complete as it has to be in a file of its own; empty if it is none."""
    element = BeautifulSoup(f"<body>{svg[svg.find('<svg') :]}", "html5lib").svg
    try:
        element["xmlns"] = "http://www.w3.org/2000/svg"
        element["xmlns:xlink"] = "http://www.w3.org/1999/xlink"
        svg = CONTROL.sub("", str(element))
        ET.fromstring(svg)
    except (TypeError, ET.ParseError):  # none, or one that HTML alone forgives
        return ""
    return base64.b64encode(svg.encode()).decode()


def _set_drawings(content: Tag) -> None:
    """Make of each drawing an `img`, in which nothing can run or load."""
    for svg in content.select("svg:has(*):not(svg svg)"):
        kept = {name: svg[name] for name in ("width", "height", "style") if svg.get(name)}
        kept["alt"] = svg.title.get_text() if svg.title else "Drawing without a description"
        data = drawing(str(svg))
        kept["src"] = data and f"data:image/svg+xml;base64,{data}"
        svg.replace_with(BeautifulSoup().new_tag("img", attrs=kept))
