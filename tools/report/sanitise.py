"""Keep of a notebook's own HTML what neither runs nor loads, and say what was left out."""

import base64
import re
import xml.etree.ElementTree as ET
from copy import copy

from tools.report.markdown import DOLLAR, find_formulas
from tools.report.styles import apply_styles

import nh3
from bs4 import BeautifulSoup, Comment, NavigableString, Tag

# Other elements go, but their text stays.
KEPT = {
    *("a", "abbr", "b", "code", "del", "em", "i", "ins", "kbd", "mark", "q", "s", "samp", "small"),
    *("span", "strong", "sub", "sup", "u", "var", "br", "hr", "img", "p", "pre", "div", "section"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "blockquote"),
    *("figure", "figcaption", "details", "summary", "audio", "video"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle"),
    *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd"),
}
KEPT_ATTRIBUTES = {
    *("href", "id", "title", "open", "start", "src", "alt", "width", "height", "dir", "lang"),
    *("style", "class", "colspan", "rowspan", "scope", "display", "controls"),
}
# Pygments' names for parts of code, and ours: no other look can be borrowed.
OURS = r"highlight|formula|display|left-out|footnotes|alert|alert-\w+"
KEPT_CLASSES = re.compile(rf"(({OURS}|[a-z]{{1,3}}\d?)( |$))+")
UNSEEN = ["style", "template", "title", "noscript"]  # go without a word
LEFT_OUT = ["script", "iframe", "object", "embed", "canvas"]
MEDIA = ["img", "audio", "video"]
NAMESPACES = {
    "xmlns": "http://www.w3.org/2000/svg",
    "xmlns:xlink": "http://www.w3.org/1999/xlink",
}
# As GitHub writes them in quotations: `> [!NOTE]`.
ALERT = re.compile(r"\s*\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\s*")


def sanitise(html: str) -> str:
    """Return what can stay, with a note `[left out: ...]` for what was to be seen and cannot.

    All its elements are closed, so that it cannot end what it stands in. What styles hide is
    gone, and formulas are marked for `set_formulas`.
    """
    content = BeautifulSoup(f"<body>{html}", "html5lib").body
    _bring_symbols(content)
    apply_styles(content)
    for element in content.find_all("svg"):
        if element.find_parent("svg") is None:
            element.replace_with(_as_picture(element))
    _drop(content)
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
        filter_style_properties={"text-align", "color", "background-color"},
        link_rel=None,
    )


def is_whole(html: str) -> bool:
    """Whether nothing was left out of sanitised HTML."""
    return 'class="left-out"' not in html


def shows_anything(html: str) -> bool:
    """Whether sanitised HTML shows more than what was left out."""
    content = BeautifulSoup(html, "html.parser")
    for note in content.select(".left-out"):
        note.decompose()
    return bool(content.get_text(strip=True) or content.find(MEDIA))


def left_out(*things: str) -> str:
    """The note for things that cannot be shown, as HTML."""
    note = BeautifulSoup().new_tag("span", string=f"[left out: {', '.join(things)}]")
    note["class"] = "left-out"
    return str(note)


def _drop(content: Tag) -> None:
    """Take out what can run or load, each kind and address with one note."""
    notes: set[str] = set()
    for element in content.find_all([*UNSEEN, *LEFT_OUT, *MEDIA]):
        if element.decomposed:  # with what it was in
            continue
        sources = [one.get("src", "") for one in (element, *element.find_all("source"))]
        embedded = [one for one in sources if re.match("data:(image|audio|video)/", one)]
        if element.name in UNSEEN:
            element.decompose()
        elif element.name not in MEDIA or not embedded:
            address = next(filter(None, sources), "") or element.get("data") or ""
            _leave_out(element, address, notes)
        elif element.name != "img":
            media = BeautifulSoup().new_tag(element.name, src=embedded[0], controls="")
            element.replace_with(media)


def _leave_out(element: Tag, address: str, notes: set[str]) -> None:
    what = ["picture" if element.name == "img" else element.name]
    what += [address] if address and not address.startswith("data:") else []
    note = left_out(" ".join([*what, element.get("alt", "")]).strip())
    if note not in notes:
        notes.add(note)
        element.insert_before(BeautifulSoup(note, "html.parser"))
    element.decompose()


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
        if text.find_parent(["pre", "code", "kbd", "samp"]) or text.find_parent(class_="formula"):
            continue
        parts = find_formulas(text) if not isinstance(text, Comment) else []
        if len(parts) > 1:
            new = [
                BeautifulSoup().new_tag("span", attrs={"class": kind}, string=part)
                if kind
                else NavigableString(part)
                for kind, part in parts
            ]
            text.replace_with(*new)


def drawing(svg: str) -> str:
    """A drawing as base64, complete as it has to be in a file of its own; empty if it is none."""
    before, start, after = svg.partition("<svg")
    attributes = after.partition(">")[0]
    missing = [name for name in NAMESPACES if f"{name}=" not in attributes]
    svg = before + start + "".join(f' {name}="{NAMESPACES[name]}"' for name in missing) + after
    try:
        ET.fromstring(svg)
    except ET.ParseError:  # HTML forgives, a picture does not
        forgiven = BeautifulSoup(svg, "html5lib").svg
        if forgiven is None or forgiven.find("parsererror"):
            return ""
        forgiven.attrs |= NAMESPACES
        svg = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", str(forgiven))
        try:
            ET.fromstring(svg)
        except ET.ParseError:
            return ""
    return base64.b64encode(svg.encode()).decode()


def _bring_symbols(content: Tag) -> None:
    """Copy into each drawing what it uses of another one; icons are often drawn like that."""
    for use in content.select("svg use"):
        name = (use.get("xlink:href") or use.get("href") or "").removeprefix("#")
        element = use.find_parent("svg")
        if not (name and element.find(id=name)):
            symbol = content.find("symbol", id=name)
            if symbol:
                element.insert(0, copy(symbol))
            else:
                use.decompose()


def _as_picture(element: Tag) -> Tag:
    """A drawing in HTML as an `img`, in which nothing can run or load."""
    if not element.find(True):
        return NavigableString("")
    title = element.title.get_text() if element.title else "Drawing without a description"
    data = drawing(str(element))
    if not data:
        return BeautifulSoup(left_out("drawing"), "html.parser").span
    size = {side: element[side] for side in ("width", "height") if element.get(side, "").isdigit()}
    source = f"data:image/svg+xml;base64,{data}"
    return BeautifulSoup().new_tag("img", attrs={"alt": title, "src": source} | size)


def _may_stay(element: str, attribute: str, value: str) -> str | None:
    if attribute == "href":  # `data:` is for media, not for links
        return value if re.match(r"(?i)https?:|mailto:|#|[^:]*$", value.strip()) else None
    if attribute == "class":
        return value if KEPT_CLASSES.fullmatch(value) else None
    return value
