"""What the styles of HTML decide about what is seen: what is hidden, how large, in which colours.

Selectors are those of CSS; of two rules the later one holds, and one that is `!important`.
"""

from collections.abc import Iterator

import tinycss2
from bs4 import BeautifulSoup, Tag
from soupsieve import SelectorSyntaxError
from tinycss2.color3 import parse_color

Color = tuple[float, float, float]
BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
CONTRAST = 4.5  # that WCAG asks of text
# Of length nothing: what a page without a script keeps folded.
NOTHING = {"0", "0px", "0em", "0rem"}
PIXELS = {"px": 1, "em": 16, "rem": 16}


def apply_styles(content: BeautifulSoup) -> None:
    """Take out what is hidden, give drawings their size, and cells of tables readable colours."""
    looks: dict[int, dict[str, str]] = {}
    hidden = content.select("[hidden], dialog:not([open])")
    declared = [(False, element, "display", "none") for element in hidden]
    declared += [*_declared(content), *_inline(content)]
    for _, element, name, value in sorted(declared, key=lambda one: one[0]):
        looks.setdefault(id(element), {})[name] = value
    for element in content.find_all(True):
        look = looks.get(id(element), {})
        if element.decomposed:
            continue
        del element["style"]
        if _is_hidden(look):
            element.decompose()
        elif element.name == "svg":
            _resize(element, look)
        elif style := _kept(look, element.name in ("td", "th")):
            element["style"] = style


Declared = tuple[bool, Tag, str, str]  # whether it is important, for what, the property, its value


def _declared(content: BeautifulSoup) -> Iterator[Declared]:
    """What the style sheets say, in order."""
    by_id = {one["id"]: one for one in content.select("[id]")}
    for sheet in content.find_all("style"):
        for rule in tinycss2.parse_stylesheet(sheet.string or "", skip_comments=True):
            if rule.type != "qualified-rule":
                continue
            selector = tinycss2.serialize(rule.prelude).strip()
            parts = [part.strip() for part in selector.split(",")]
            if all(part[:1] == "#" and part[1:] in by_id for part in parts):  # Styler's thousands
                elements = [by_id[part[1:]] for part in parts]
            else:
                elements = _selected(content, selector)
            for element in elements:
                yield from _each(element, rule.content)


def _inline(content: BeautifulSoup) -> Iterator[Declared]:
    for element in content.select("[style]"):
        yield from _each(element, element["style"])


def _each(element: Tag, css: str | list) -> Iterator[Declared]:
    for one in tinycss2.parse_blocks_contents(css, skip_comments=True, skip_whitespace=True):
        if one.type == "declaration":
            value = tinycss2.serialize(one.value).strip().lower()
            yield one.important, element, one.lower_name, value


def _selected(content: BeautifulSoup, selector: str) -> list[Tag]:
    try:
        return content.select(selector)
    except (SelectorSyntaxError, NotImplementedError):  # of states that no page without a mouse has
        return []


def _is_hidden(look: dict[str, str]) -> bool:
    sizes = [look.get(name) for name in ("width", "height", "max-width", "max-height", "opacity")]
    return (
        look.get("display") == "none"
        or look.get("visibility") in ("hidden", "collapse")
        or "clip" in look
        or any(size in NOTHING for size in sizes)
    )


def _resize(drawing: Tag, look: dict[str, str]) -> None:
    for side in ("width", "height"):
        for token in tinycss2.parse_component_value_list(look.get(side, "")):
            if token.type == "dimension" and token.lower_unit in PIXELS:
                drawing[side] = str(round(token.value * PIXELS[token.lower_unit]))


def _kept(look: dict[str, str], is_cell: bool) -> str:
    """The alignment; of a cell the colours too, changed if they could not be read."""
    style = f"text-align:{look['text-align']};" if "text-align" in look else ""
    if not is_cell:
        return style
    ink, paper = (_color(look.get(name, "")) for name in ("color", "background-color"))
    if ink is None and paper is None:
        return style
    paper = paper or WHITE
    if ink is None or (paper != WHITE and _contrast(ink, paper) < CONTRAST):
        ink = max(BLACK, WHITE, key=lambda one: _contrast(one, paper))
    while _contrast(ink, paper) < CONTRAST:
        ink = tuple(0.9 * part for part in ink)
    return f"{style}color:{_hex(ink)};background-color:{_hex(paper)};"


def _color(css: str) -> Color | None:
    color = parse_color(css)
    if color is None or color == "currentColor" or color.alpha < 0.5:
        return None
    return tuple(min(max(part, 0.0), 1.0) for part in color[:3])


def _hex(color: Color) -> str:
    return "#" + "".join(f"{int(255 * part):02x}" for part in color)


def _contrast(first: Color, second: Color) -> float:
    """As WCAG 2.1 defines it, of colours as a screen shows them."""
    lights = []
    for color in (first, second):
        shown = [int(255 * part) / 255 for part in color]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in shown]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)
