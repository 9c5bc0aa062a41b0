"""Markdown as HTML, in which formulas are still as they were written: `sanitise` marks them."""

import re
from html import escape

from mistune import create_markdown
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# Stands for a dollar that is none of a formula's, until all formulas are found.
DOLLAR = "\ufdd0"
# Stands, with its number, for a formula that Markdown must not change.
KEPT = "\ufdd2{}\ufdd2"

# A formula, by the name of its kind. Between single dollars stands no price: a formula there has
# no blanks at its ends, or a sign; and no empty line. Text in one may hold formulas of its own.
# The limits keep the search short where something is opened often and never closed.
FORMULA = r"""
    \$\$ (?P<double> (?: \\[\s\S] | [^\\$] | \$(?!\$) )+ ) \$\$
  | \$(?!\$) (?P<single>
        (?= \S (?: [^$]*[^\s\\$] )? \$ | [^$]* (?: \\[A-Za-z] | [\^_=<>+] ) | \s*[A-Za-z]\s*\$ )
        (?: \\(?:text\w*|mbox|hbox)\s*\{ (?: [^{}] | \{[^{}]*\} )* \}
          | \\[\s\S] | (?!\n\s*\n)[^\\$] )+ ) \$(?!\d)
  | SLASH\[ (?P<brackets> [\s\S]{1,9999}? ) SLASH\]
  | SLASH\( (?P<parentheses> [\s\S]{1,9999}? ) SLASH\)
  | (?P<reference> \\(?:eq)?ref\{[^{}]*\} )
  | (?P<environment> \\begin\{ (?P<name> [a-z]+\*? ) \} [\s\S]{0,9999}? \\end\{ (?P=name) \} )
"""
IN_HTML = re.compile(FORMULA.replace("SLASH", r"\\\\?"), re.VERBOSE)
# Markdown's own backslash comes before another one; code and what is escaped hold no formula.
IN_MARKDOWN = re.compile(
    r"(?P<fence> ^[ ]{0,3}(`{3,}|~{3,}) [\s\S]*? (?: ^[ ]{0,3}\2 | \Z ) )"
    r"| (?P<ticks> `+ ) (?: (?!\n\s*\n)[^`] | (?!(?P=ticks)(?!`))`+ )+ (?P=ticks)(?!`) | "
    + FORMULA.replace("SLASH", r"\\\\")
    + r"| (?P<escaped> \\[\s\S] )",
    re.VERBOSE | re.MULTILINE,
)
DISPLAYED = ("double", "brackets", "environment")
UNCHANGED = ("fence", "ticks", "escaped")
# As GitHub writes them in quotations: `> [!NOTE]`.
ALERT = re.compile(r"<blockquote>\s*<p>\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\s*")


class _Renderer(IPythonRenderer):
    def text(self, text: str) -> str:
        return super().text(text).replace("$", DOLLAR)

    def _embed_image_or_attachment(self, src: str) -> str:
        return src  # `sanitise` embeds all pictures


def find_formulas(text: str) -> list[tuple[str, str]]:
    """Cut text into ("", words), ("formula", LaTeX) and ("formula display", LaTeX)."""
    parts, end = [], 0
    for found in IN_HTML.finditer(text):
        kind = "formula display" if found.lastgroup in DISPLAYED else "formula"
        parts += [("", text[end : found.start()]), (kind, found[found.lastgroup])]
        end = found.end()
    return [*parts, ("", text[end:])]


def render(source: str) -> str:
    """Markdown as HTML that is not yet safe."""
    kept: list[str] = []

    def keep(found: re.Match) -> str:
        if found.lastgroup in UNCHANGED:
            return found[0]
        kept.append(escape(found[0], quote=False))
        return KEPT.format(len(kept) - 1)

    plugins = [*MarkdownWithMath.DEFAULT_PLUGINS, "footnotes"]
    renderer = _Renderer(escape=False, exclude_anchor_links=True)
    html = create_markdown(renderer=renderer, plugins=plugins)(IN_MARKDOWN.sub(keep, source))
    html = ALERT.sub(_as_box, html)
    return re.sub(KEPT.format(r"(\d+)"), lambda number: kept[int(number[1])], html)


def _as_box(found: re.Match) -> str:
    kind = found[1].lower()
    return f'<blockquote class="alert alert-{kind}"><p><strong>{kind.capitalize()}.</strong> '
