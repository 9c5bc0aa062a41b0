"""Markdown as HTML, in which formulas are still as they were written: `sanitise` marks them."""

import re
from html import escape

from mistune import create_markdown
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# Stands for a dollar that is none of a formula's, until all formulas are found.
DOLLAR = "\ufdd0"
# Holds, in hexadecimal digits, a formula that Markdown must not change.
KEPT = re.compile("\ufdd2([0-9a-f]*)\ufdd2")

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
KINDS = dict.fromkeys(("double", "brackets", "environment"), "display")
SPAN = '<span class="formula {}">{}</span>'
# As GitHub writes them in quotations: `> [!NOTE]`.
ALERT = re.compile(r"<blockquote>\s*<p>\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\s*")
BOX = '<blockquote class="alert alert-{}"><p><strong>{}.</strong> '


class _Renderer(IPythonRenderer):
    def text(self, text: str) -> str:
        return super().text(text).replace("$", DOLLAR)

    def _embed_image_or_attachment(self, src: str) -> str:
        return src  # `sanitise` embeds all pictures


def render(source: str) -> str:
    """Markdown as HTML that is not yet safe."""
    plugins = [*MarkdownWithMath.DEFAULT_PLUGINS, "footnotes"]
    renderer = _Renderer(escape=False, exclude_anchor_links=True)
    html = create_markdown(renderer=renderer, plugins=plugins)(IN_MARKDOWN.sub(_kept, source))
    html = ALERT.sub(lambda found: BOX.format(found[1].lower(), found[1].capitalize()), html)
    return KEPT.sub(lambda found: escape(bytes.fromhex(found[1]).decode(), quote=False), html)


def _kept(found: re.Match) -> str:
    is_formula = found.lastgroup not in ("fence", "ticks", "escaped")
    return f"\ufdd2{found[0].encode().hex()}\ufdd2" if is_formula else found[0]


def mark_formulas(html: str) -> str:
    """Put what each formula in a text of HTML says into a `span.formula`, or `.formula.display`."""
    return IN_HTML.sub(
        lambda found: SPAN.format(KINDS.get(found.lastgroup, ""), found[found.lastgroup]), html
    )
