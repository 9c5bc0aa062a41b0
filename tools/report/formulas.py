"""Find formulas in HTML and set them as MathML, with the glyphs that they need."""

import base64
import io
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from unicodedata import normalize

from bs4 import BeautifulSoup, Comment, Tag
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from math_core import LatexToMathML

FONT = Path(__file__).with_name("font") / "stix-two-math.woff"
# Browsers slant a letter that stands alone by drawing one of these instead: Latin, Greek.
SLANTED = ["\N{PLANCK CONSTANT}", *map(chr, [*range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)])]
# What browsers lose over a single letter, and what they draw.
BAR = ('<mo stretchy="true">\N{COMBINING LOW LINE}</mo>', '<mo class="bar"></mo>')
HAT = ("\N{COMBINING CIRCUMFLEX ACCENT}", "\N{MODIFIER LETTER CIRCUMFLEX ACCENT}")
# math-core overflows its stack somewhat above two thousand levels.
MAX_GROUPS, MAX_LENGTH = 600, 20_000
# Characters: what a phone may be too narrow for, within a line and by itself.
WIDE, LONG = 20, 40
BREAKING = ("=", "+", "\N{MINUS SIGN}", "<", ">", "\N{LESS-THAN OR EQUAL TO}")
END = "\ufdd1"  # of a formula, where all are one text

# Stands for a dollar that is none of a formula's, until all formulas are found.
DOLLAR = "\ufdd0"
# A formula in HTML, by the name of its kind. Between single dollars stands no price: a formula
# there has no blanks at its ends, or a sign; and no empty line. Text in one may hold formulas of
# its own. The limits keep the search short where something is opened often and never closed.
FORMULA = r"""
    \$\$ (?P<double> (?: \\[\s\S] | [^\\$] | \$(?!\$) )+ ) \$\$
  | \$(?!\$) (?P<single>
        (?= \S (?: [^$]*[^\s\\$] )? \$ | [^$]* (?: \\[A-Za-z] | [\^_=<>+] | &[lg]t; )
          | \s*[A-Za-z]\s*\$ )
        (?: \\(?:text\w*|mbox|hbox)\s*\{ (?: [^{}] | \{[^{}]*\} )* \}
          | \\[\s\S] | (?!\n\s*\n)[^\\$] )+ ) \$(?!\d)
  | \\\\?\[ (?P<brackets> [\s\S]{1,9999}? ) \\\\?\]
  | \\\\?\( (?P<parentheses> [\s\S]{1,9999}? ) \\\\?\)
  | (?P<reference> \\(?:eq)?ref\{[^{}]*\} )
  | (?P<environment> \\begin\{ (?P<name> [a-z]+\*? ) \} [\s\S]{0,9999}? \\end\{ (?P=name) \} )
"""
IN_HTML = re.compile(FORMULA, re.VERBOSE)

# What LaTeX or MathJax know and math-core does not, said in words that it knows.
MACROS = {
    "cr": r"\\",
    "ref": r"\eqref{#1}",
    "smash": "#1",
    "strut": r"\mathstrut",
    "substack": r"\begin{subarray}{c}#1\end{subarray}",
}
CONVERTER = LatexToMathML(
    macros=MACROS, continue_on_error=True, global_group=True, allow_unreliable_rendering=True
)
TAG = r"\\tag\*?\s*\{[^{}]*\}"
BRACED = r"\{((?:[^{}]|\{[^{}]*\})*)\}"  # a group with groups in it
COMMAND = r"\\(?:re|provide)?(?:new)?command\*?\s*\{?\\([A-Za-z]+)\}?\s*"
DELIMITER = r"(\\(?:left|right|middle|[bB]igg?[lmr]?)\s*)"


def _as_text(match: re.Match) -> str:
    r"""`\text{if $x$ is}` as `\text{if }x\text{ is}`."""
    parts = re.split(r"(?<!\\)\$(.*?)(?<!\\)\$", match[1])
    words = [re.sub(r"(?<!\\)_", r"\\_", part) for part in parts[::2]]
    parts[::2] = [rf"\text{{{part}}}" if part else "" for part in words]
    return "".join(parts)


REWRITTEN: list[tuple[str, str | Callable[[re.Match], str]]] = [
    # Colours and sizes, which nobody has checked against the page's, go.
    (r"\\(?:textcolor|colorbox|color)\s*(?:\[\w+\])?\s*\{[^{}]*\}", ""),
    (r"\\(?:tiny|(?:script|footnote|normal)size|small|[lL]arge|LARGE|[hH]uge)(?![A-Za-z])", ""),
    (r"\\(?:vspace|require)\*?\{[^{}]*\}", ""),
    (r"\\hspace\*", r"\\hspace"),
    (r"\\math(?:bbm|ds)(?![A-Za-z])", r"\\mathbb"),
    (r"\\\\\*?\s*\[[^\]&]*\]", r"\\\\ "),  # the room between two lines
    (DELIMITER + "<", r"\1\\langle "),
    (DELIMITER + ">", r"\1\\rangle "),
    (r"\\(?:text|mbox|hbox)\s*" + BRACED, _as_text),
    (r"\\DeclareMathOperator(\*?)\s*\{?\\(\w+)\}?\s*" + BRACED, r"\\def\\\2{\\operatorname\1{\3}}"),
    # One that is known may be defined again.
    (COMMAND, r"\\providecommand{\\\1}{}\\renewcommand{\\\1}"),
    # The rows `a &=& b` of `eqnarray` as `a &= b`.
    (r"(?s)&([^&]*)&(?=(?:(?!\\begin).)*\\end\{eqnarray)", r"&\1"),
    (r"\\(begin|end)\{(?:alignat|flalign|eqnarray)(\*?)\}(?:\s*\{\d+\})?", r"\\\1{align\2}"),
    (r"\\(begin|end)\{split\}", r"\\\1{aligned}"),
    (r"\\(begin|end)\{smallmatrix\}", r"\\\1{matrix}"),
    # With a tag, which may not stand there.
    (r"(?s)^\\begin\{(align|gather)ed\}(.*\\tag.*)\\end\{\1ed\}$", r"\\begin{\1*}\2\\end{\1*}"),
]


def mark_formulas(content: Tag) -> None:
    """Put what each formula in HTML says into a `span.formula`, or `span.formula.display`."""
    for text in content.find_all(string=re.compile(r"[$\\]")):
        if not isinstance(text, Comment) and not text.find_parent(["pre", "code", "kbd", "samp"]):
            html = IN_HTML.sub(_as_span, escape(text, quote=False))
            text.replace_with(*BeautifulSoup(f"<p>{html}", "html.parser").p.contents)


def _as_span(found: re.Match) -> str:
    kind = "display" if found.lastgroup in ("double", "brackets", "environment") else ""
    return f'<span class="formula {kind}">{found[found.lastgroup]}</span>'


def set_formulas(page: BeautifulSoup) -> None:
    """Turn every `span.formula`, whose text is LaTeX, into MathML.

    Macros and the numbers of equations hold for the whole page. What cannot be set stays as it
    was written, in a box that says so.
    """
    formulas = page.select("span.formula")
    latex = _with_defaults(END.join(one.get_text(strip=True) for one in formulas)).split(END)
    displayed = ["display" in one["class"] for one in formulas]
    known = [(_known(one), display) for one, display in zip(latex, displayed, strict=False)]
    for formula, mathml in zip(formulas, CONVERTER.convert_all(known), strict=True):
        math = BeautifulSoup(mathml.replace(*BAR).replace(*HAT), "html.parser").math
        if math is None:
            formula["class"] = "latex"
            formula.string.wrap(page.new_tag("code"))
            formula.insert(0, "LaTeX, not set: ")
        elif math.a and math.a.get_text() == math.get_text():  # a reference, and no formula
            formula.replace_with(math.a)
        elif "display" in formula["class"] or len(math.get_text()) > WIDE:
            formula.clear()
            formula.extend(_parts(page, math))
            formula["tabindex"] = "0"  # a keyboard can then scroll it
        else:
            formula.replace_with(math)
    for link in page.select("math a"):  # may not stand within a formula
        link.unwrap()


def _with_defaults(text: str) -> str:
    r"""Give the commands of `\newcommand{\name}[2][default]{...}` their first argument always."""
    definition = COMMAND + r"\[(\d)\]\s*\[([^\]]*)\]"
    found = re.findall(definition, text)
    text = re.sub(definition, r"\\newcommand{\\\1Always}[\2]", text)
    for name, _, default in found:
        use, always = rf"\\{name}(?![A-Za-z])", rf"\\{name}Always"
        text = re.sub(use + r"\s*\[([^\]]*)\]", rf"{always}{{\1}}", text)
        text = re.sub(use, always + "{" + default.replace("\\", r"\\") + "}", text)
    return text


def _known(latex: str) -> str:
    """The formula in the LaTeX of math-core; one that is too much for it as an unknown command."""
    if len(latex) > MAX_LENGTH or latex.count("{") + latex.count(r"\left") > MAX_GROUPS:
        return r"\toomuch"
    for pattern, replacement in REWRITTEN:
        latex = re.sub(pattern, replacement, latex)
    if re.search(r"\\begin\{(equation|align|gather|multline)\*?\}", latex):
        return latex  # as it is: in these may stand a tag or a label
    tag = re.search(TAG, latex)
    latex = re.sub(rf"\\label\{{[^{{}}]*\}}|{TAG}|(\\\\\s*)+$", "", latex)
    depth, breaks = 0, False  # of lines on the first level, where LaTeX itself breaks none
    for line, opening, closing in re.findall(r"(\\\\)|(\\begin\b|\{)|(\\end\b|\})|\\.", latex):
        depth += bool(opening) - bool(closing)
        breaks = breaks or (bool(line) and depth == 0)
    if breaks:
        kind = "aligned" if "&" in latex else "gathered"
        latex = rf"\begin{{{kind}}}{latex}\end{{{kind}}}"
    return rf"\begin{{equation}}{latex}{tag[0]}\end{{equation}}" if tag else latex


def _parts(page: BeautifulSoup, math: Tag) -> list[Tag]:
    """The formula in parts that may stand in lines of their own, which browsers do not break it in:
    cut at wide spaces or, if it is long without them, before signs outside of parentheses.
    """
    rooms = math.find_all("mspace", width="2em", recursive=False)
    is_long = not rooms and len(math.get_text()) > LONG
    depth, parts = 0, [page.new_tag("math", attrs=math.attrs)]
    for child in list(math.children):
        sign = child.get_text() if child.name == "mo" else ""
        depth += (sign in ("(", "[")) - (sign in (")", "]"))
        if is_long and depth == 0 and sign in BREAKING:
            child["form"] = "infix"  # it keeps its room, though now it comes first
            parts.append(page.new_tag("math", attrs=math.attrs))
        parts[-1].append(child)
        if child in rooms and parts[-1].contents != [child]:
            parts.append(page.new_tag("math", attrs=math.attrs))
    return [part for part in parts if part.contents]


def font_face(page: BeautifulSoup) -> str:
    """The CSS that embeds the glyphs of STIX Two Math for the page's formulas; empty without any.

    Without a font that has a MATH table browsers put indices on the baseline.
    """
    text = "".join(math.get_text() for math in page.find_all("math"))
    if not text:
        return ""
    font, file = TTFont(FONT), io.BytesIO()
    plain = normalize("NFKC", text)
    slanted = "".join(one for one in SLANTED if normalize("NFKC", one) in plain)
    subsetter = Subsetter(Options(layout_features=["ssty"], name_IDs=[0, 13, 14]))
    subsetter.populate(text=f"{text}{slanted}\N{SQUARE ROOT}")  # roots are drawn by the browser
    subsetter.subset(font)
    font.save(file)
    data = base64.b64encode(file.getvalue()).decode()
    source = f'url("data:font/woff;base64,{data}") format("woff")'
    return f'@font-face {{ font-family: "Formulas"; src: {source}; }}'
