"""Markdown as HTML, in which formulas are still as they were written: `sanitise` marks them."""

import re
from html import escape

from mistune import create_markdown
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# Stands for a dollar that is none of a formula's, until all formulas are found.
DOLLAR = "\ufdd0"
# Stands, with its number, for a formula that Markdown must not change.
KEPT = "\ufdd2{}\ufdd2"

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


class _Renderer(IPythonRenderer):
    def text(self, text: str) -> str:
        return super().text(text).replace("$", DOLLAR)

    def _embed_image_or_attachment(self, src: str) -> str:
        return src  # `sanitise` embeds all pictures


def render(source: str) -> str:
    """Markdown as HTML that is not yet safe."""
    kept: list[str] = []

    def keep(found: re.Match) -> str:
        if found.lastgroup in ("fence", "ticks", "escaped"):
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


def mark_formulas(html: str) -> str:
    """Put what each formula in a text of HTML says into a `span.formula`, or `.formula.display`."""
    return IN_HTML.sub(_as_span, html)


def _as_span(found: re.Match) -> str:
    kind = "display" if found.lastgroup in ("double", "brackets", "environment") else ""
    return f'<span class="formula {kind}">{found[found.lastgroup]}</span>'
