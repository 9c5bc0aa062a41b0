"""Keep of a notebook's own HTML what neither runs nor loads, and say what was left out."""

import base64
import mimetypes
import re
import xml.etree.ElementTree as ET
from contextlib import suppress
from copy import copy
from pathlib import Path
from urllib.parse import unquote

from tools.report.markdown import DOLLAR, find_formulas
from tools.report.styles import apply_styles

import nh3
from bs4 import BeautifulSoup, Comment, NavigableString, Tag

# Other elements go, but their text stays.
KEPT = nh3.ALLOWED_TAGS - {"area", "article", "aside", "footer", "header", "map", "nav"}
KEPT |= {"audio", "section", "tfoot", "video"}
KEPT |= {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle"}
KEPT |= {"msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd"}
KEPT_ATTRIBUTES = {
    *("href", "id", "title", "open", "start", "src", "alt", "width", "height", "dir", "lang"),
    *("style", "class", "colspan", "rowspan", "scope", "display", "controls"),
}
KEPT_STYLES = {"text-align", "width", "height", "--cell-ink", "--cell-paper"}  # see `styles`
# Pygments' names for parts of code, and ours: no other look can be borrowed.
OURS = r"highlight|formula|display|left-out|footnotes|alert|alert-\w+"
KEPT_CLASSES = re.compile(rf"(({OURS}|[a-z]{{1,3}}\d?)( |$))+")
UNSEEN = ["style", "template", "title", "noscript"]  # go without a word
LEFT_OUT = ["script", "iframe", "object", "embed", "canvas"]
MEDIA = ["img", "audio", "video"]
EMBEDDED = re.compile("data:(image|audio|video)/")
NAMESPACES = {
    "xmlns": "http://www.w3.org/2000/svg",
    "xmlns:xlink": "http://www.w3.org/1999/xlink",
}
# No characters of a page; terminals leave them, and the JSON of other programs.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
# As GitHub writes them in quotations: `> [!NOTE]`.
ALERT = re.compile(r"\s*\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\s*")

Attachments = dict[str, dict[str, str]]  # of a cell: by name and kind, in base64


def sanitise(html: str, folder: str = "", attachments: Attachments | None = None) -> str:
    """Return what can stay, with a note `[left out: ...]` for what was to be seen and cannot.

    All its elements are closed, so that it cannot end what it stands in. What styles hide is
    gone, pictures are embedded, and formulas are marked for `set_formulas`.

    Args:
        html: of a cell, or of one of its outputs.
        folder: where the files lie that it names.
        attachments: of its cell.
    """
    content = BeautifulSoup(f"<body>{html}", "html5lib").body
    _bring_symbols(content)
    apply_styles(content)
    for element in content.select("svg:not(svg svg)"):
        element.replace_with(_as_picture(element))
    _embed(content, folder, attachments or {})
    for element in content.find_all(UNSEEN):
        element.decompose()
    for box in content.find_all("input", type="checkbox"):
        box.replace_with("\u2611 " if box.has_attr("checked") else "\u2610 ")
    for target in content.select("a[name]:not([id])"):
        target["id"] = target["name"]
    _mark_alerts(content)
    _mark_formulas(content)
    return nh3.clean(
        content.decode_contents().replace(DOLLAR, "$"),
        tags=KEPT,
        clean_content_tags=set(),
        attributes={"*": KEPT_ATTRIBUTES},
        attribute_filter=_may_stay,
        url_schemes={"http", "https", "mailto", "data"},
        filter_style_properties=KEPT_STYLES,
        link_rel=None,
    )


def _may_stay(element: str, attribute: str, value: str) -> str | None:
    if attribute == "href":  # `data:` is for media, not for links
        return value if re.match(r"(?i)https?:|mailto:|#|[^:]*$", value.strip()) else None
    if attribute == "class":
        return value if KEPT_CLASSES.fullmatch(value) else None
    return value


def shows_anything(html: str) -> bool:
    """Whether sanitised HTML shows more than what was left out."""
    content = BeautifulSoup(f"<body>{html}", "html.parser")
    for note in content.select(".left-out"):
        note.decompose()
    return bool(content.get_text(strip=True) or content.find(MEDIA))


def left_out(*things: str) -> Tag:
    """The note for things that cannot be shown."""
    text = f"[left out: {', '.join(things)}]"
    return BeautifulSoup().new_tag("span", string=text, attrs={"class": "left-out"})


def _embed(content: Tag, folder: str, attachments: Attachments) -> None:
    """Put media into the page, and a note, one for each kind and address, for what cannot be."""
    notes: set[Tag] = set()
    for element in content.find_all(LEFT_OUT + MEDIA):
        if element.decomposed:  # with what it was in
            continue
        sources = [one.get("src", "") for one in (element, *element.find_all("source"))]
        found = [_data(one, folder, attachments) for one in sources]
        if element.name in MEDIA and any(found):
            element.clear()
            element["src"] = next(filter(None, found))
            element.attrs.setdefault("alt" if element.name == "img" else "controls", "")
            continue
        address = next(filter(None, sources), "") or element.get("data") or ""
        what = ["picture" if element.name == "img" else element.name]
        what += [address] if address and not address.startswith("data:") else []
        note = left_out(" ".join([*what, element.get("alt", "")]).strip())
        if note not in notes:
            notes.add(note)
            element.insert_before(note)
        element.decompose()


def _data(address: str, folder: str, attachments: Attachments) -> str:
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


def _mark_alerts(content: Tag) -> None:
    """Name the kind of a quotation that begins with it, and set it as a box."""
    for quotation in content.find_all("blockquote"):
        first = quotation.find(string=re.compile(r"\S"))
        found = first and ALERT.match(first)
        if found:
            quotation["class"] = f"alert alert-{found[1].lower()}"
            title = BeautifulSoup().new_tag("strong", string=found[1].capitalize() + ". ")
            first.insert_before(title)
            first.replace_with(first[found.end() :])


def _mark_formulas(content: Tag) -> None:
    for text in content.find_all(string=re.compile(r"[$\\]")):
        if isinstance(text, Comment) or text.find_parent(["pre", "code", "kbd", "samp"]):
            continue
        parts = [
            BeautifulSoup().new_tag("span", string=part, attrs={"class": kind})
            if kind
            else NavigableString(part)
            for kind, part in find_formulas(text)
        ]
        text.replace_with(*parts)


def drawing(svg: str) -> str:
    """A drawing as base64, complete as it has to be in a file of its own; empty if it is none."""
    element = BeautifulSoup(f"<body>{svg[svg.find('<svg') :]}", "html5lib").svg
    if element is None:
        return ""
    element.attrs |= NAMESPACES
    svg = CONTROL.sub("", str(element))
    try:
        ET.fromstring(svg)
    except ET.ParseError:  # HTML forgives, a picture does not
        return ""
    return base64.b64encode(svg.encode()).decode()


def _bring_symbols(content: Tag) -> None:
    """Copy into each drawing the symbols that it uses; icons are often drawn elsewhere."""
    for use in content.select("svg use"):
        name = (use.get("xlink:href") or use.get("href") or "").removeprefix("#")
        if symbol := content.find("symbol", id=name):
            use.find_parent("svg").append(copy(symbol))


def _as_picture(element: Tag) -> Tag | NavigableString:
    """A drawing in HTML as an `img`, in which nothing can run or load."""
    if not element.find(True):
        return NavigableString("")
    data = drawing(str(element))
    if not data:
        return left_out("drawing")
    title = element.title.get_text() if element.title else "Drawing without a description"
    kept = {name: element[name] for name in ("width", "height", "style") if element.get(name)}
    source = f"data:image/svg+xml;base64,{data}"
    return BeautifulSoup().new_tag("img", attrs=kept | {"alt": title, "src": source})
