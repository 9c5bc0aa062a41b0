"""Keep of a notebook's own HTML what neither runs nor loads, and say what was left out."""

import base64
import re
import xml.etree.ElementTree as ET
from html import unescape

import bleach
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup, Tag

# Other elements go, but their text stays.
KEPT = {
    *("a", "abbr", "b", "code", "del", "em", "i", "ins", "kbd", "mark", "q", "s", "samp", "small"),
    *("span", "strong", "sub", "sup", "u", "var", "br", "hr", "img", "p", "pre", "div", "section"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "blockquote"),
    *("figure", "figcaption", "details", "summary", "audio", "video", "source"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle"),
    *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd"),
}
KEPT_ATTRIBUTES = {
    *("href", "id", "title", "open", "start", "src", "alt", "width", "height", "dir", "lang"),
    *("style", "colspan", "rowspan", "scope", "type", "display"),
}
# Alignment is the one style that Markdown's tables need.
KEPT_STYLES = CSSSanitizer(allowed_css_properties=["text-align"])
# Pygments' names for parts of code, and ours for formulas: no other look can be borrowed.
KEPT_CLASSES = re.compile(r"((highlight|formula|display|left-out|[a-z]{1,3}\d?)( |$))+")
UNSEEN = ["style", "template", "title", "noscript"]  # go without a word
LEFT_OUT = ["script", "iframe", "object", "embed", "canvas"]
MEDIA = ["img", "audio", "video"]
NAMESPACES = {
    "xmlns": "http://www.w3.org/2000/svg",
    "xmlns:xlink": "http://www.w3.org/1999/xlink",
}


def sanitise(html: str) -> str:
    """Return what can stay, with a note `[left out: ...]` for what was to be seen and cannot.

    All its elements are closed, so that it cannot end what it stands in.
    """
    html = re.sub(r"(?is)<svg\b.*?</svg\s*>", _as_picture, html)
    content = BeautifulSoup(html, "html.parser")
    notes: set[str] = set()  # one for all scripts, and one for each address
    for element in content.find_all(UNSEEN):
        element.decompose()
    for element in content.find_all(LEFT_OUT):
        if not element.decomposed:  # with what it was in
            _leave_out(element, element.get("src") or element.get("data") or "", notes)
    for box in content.find_all("input", type="checkbox"):
        box.replace_with(
            "\N{BALLOT BOX WITH CHECK} " if box.has_attr("checked") else "\N{BALLOT BOX} "
        )
    html = bleach.clean(
        str(content),
        tags=KEPT,
        attributes=_may_stay,
        protocols=["http", "https", "mailto", "data", "attachment"],
        strip=True,
        css_sanitizer=KEPT_STYLES,
    )
    content = BeautifulSoup(html, "html.parser")
    for element in content.find_all(MEDIA):
        sources = [one.get("src", "") for one in (element, *element.find_all("source"))]
        embedded = [one for one in sources if re.match("data:(image|audio|video)/", one)]
        if not embedded:
            _leave_out(element, next(filter(None, sources), ""), notes)
        elif element.name != "img":
            media = content.new_tag(element.name, src=embedded[0], controls="")
            element.replace_with(media)
    return str(content)


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


def _leave_out(element: Tag, address: str, notes: set[str]) -> None:
    what = ["picture" if element.name == "img" else element.name]
    what += [address] if address and not address.startswith("data:") else []
    note = left_out(" ".join([*what, element.get("alt", "")]).strip())
    if note not in notes:
        notes.add(note)
        element.insert_before(BeautifulSoup(note, "html.parser"))
    element.decompose()


def complete_svg(svg: str) -> str:
    """A drawing that names its namespaces, as it has to in a file of its own but not in HTML."""
    before, start, after = svg.partition("<svg")
    attributes = after.partition(">")[0]
    missing = [name for name in NAMESPACES if f"{name}=" not in attributes]
    return before + start + "".join(f' {name}="{NAMESPACES[name]}"' for name in missing) + after


def _as_picture(match: re.Match) -> str:
    """A drawing in SVG as an `img`, in which nothing can run or load."""
    svg = complete_svg(match[0])
    try:
        title = ET.fromstring(svg).findtext("{*}title")
    except ET.ParseError:  # HTML forgives, a picture does not
        return left_out("drawing")
    picture = BeautifulSoup().new_tag("img", alt=title or "Drawing without a description")
    picture["src"] = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    return str(picture)


def _may_stay(element: str, attribute: str, value: str) -> bool:
    if attribute == "href":  # `data:` is for media, not for links
        return re.match(r"(?i)https?:|mailto:|#|[^:]*$", unescape(value).strip()) is not None
    if attribute == "class":
        return KEPT_CLASSES.fullmatch(value) is not None
    return attribute in KEPT_ATTRIBUTES
