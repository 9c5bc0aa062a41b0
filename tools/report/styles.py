"""What the styles of HTML decide about what is seen: what is hidden, how large, in which colours.

Selectors are those of CSS; of two rules the later one holds, and one that is `!important`.
"""

from collections.abc import Iterator
from contextlib import suppress

import tinycss2
from bs4 import BeautifulSoup, Tag
from soupsieve import SelectorSyntaxError

SIZES = ("width", "height", "max-width", "max-height", "opacity")
NOTHING = ("0", "0px", "0em", "0rem")
# What is kept, of all elements, of cells and of drawings. The style sheet uses the names of cells'
# colours, and changes those that could not be read.
KEPT = {"text-align": "text-align"}
KEPT_OF_CELLS = KEPT | {"color": "--cell-ink", "background-color": "--cell-paper"}
KEPT_OF_DRAWINGS = {"width": "width", "height": "height"}

Declared = tuple[bool, Tag, str, str]  # whether it is important, for what, the property, its value


def apply_styles(content: BeautifulSoup) -> None:
    """Take out what is hidden, and leave on the other elements the styles that the page keeps."""
    looks: dict[int, dict[str, str]] = {}
    declared = [*_of_sheets(content)]
    for element in content.select("[style]"):
        declared += _each(element, element["style"])
    for _, element, name, value in sorted(declared, key=lambda one: one[0]):
        looks.setdefault(id(element), {})[name] = value
    for element in content.select(":not(svg *)"):
        look = looks.get(id(element), {})
        if element.decomposed:
            continue
        del element["style"]
        if _is_hidden(element, look):
            element.decompose()
            continue
        kept = KEPT_OF_CELLS if element.name in ("td", "th") else KEPT
        kept = KEPT_OF_DRAWINGS if element.name == "svg" else kept
        if style := ";".join(f"{kept[name]}:{look[name]}" for name in kept if name in look):
            element["style"] = style


def _of_sheets(content: BeautifulSoup) -> Iterator[Declared]:
    """What the style sheets say, in order."""
    by_id = {f"#{one['id']}": [one] for one in content.select("[id]")}
    for sheet in content.find_all("style"):
        for rule in tinycss2.parse_stylesheet(sheet.string or "", skip_comments=True):
            if rule.type != "qualified-rule":
                continue
            for selector in tinycss2.serialize(rule.prelude).split(","):
                elements = by_id.get(selector.strip())  # Styler has thousands of these
                if elements is None:
                    with suppress(SelectorSyntaxError, NotImplementedError):  # not of a still page
                        elements = content.select(selector)
                for element in elements or ():
                    yield from _each(element, rule.content)


def _each(element: Tag, css: str | list) -> Iterator[Declared]:
    for one in tinycss2.parse_blocks_contents(css, skip_comments=True, skip_whitespace=True):
        if one.type == "declaration":
            value = tinycss2.serialize(one.value).strip().lower()
            yield one.important, element, one.lower_name, value


def _is_hidden(element: Tag, look: dict[str, str]) -> bool:
    """Whether a page without a script never shows it."""
    hides = element.has_attr("hidden") or (
        element.name == "dialog" and not element.has_attr("open")
    )
    return (
        look.get("display", "none" if hides else "") == "none"
        or look.get("visibility") in ("hidden", "collapse")
        or "clip" in look
        or any(look.get(name) in NOTHING for name in SIZES)
    )
