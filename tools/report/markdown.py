"""Markdown as HTML, with its formulas marked for `formulas.set_formulas`."""

import re
from urllib.parse import unquote

from mistune import InlineState
from mistune.plugins import import_plugin
from nbconvert.filters.markdown_mistune import (
    IPythonRenderer,
    MarkdownWithMath,
    MathBlockParser,
    MathInlineParser,
)

# Stands for a dollar that is none of a formula's, until all formulas are found.
DOLLAR = "\ufdd0"

WORDS = r"\\(?:text\w*|mbox|hbox)\s*\{(?:[^{}]|\{[^{}]*\})*\}"  # may hold formulas of their own
DISPLAY = r"\$\$(?P<math_block_tex>(?:\\[\s\S]|[^\\$]|\$(?!\$))+)\$\$"
INLINE = rf"\$(?!\$)(?P<math_inline_tex>(?:{WORDS}|\\[\s\S]|[^\\$])+)\$(?!\d)"
REFERENCE = r"(?P<crossed>\\(?:eq)?ref\{[^{}]*\})"
ENVIRONMENT = r"\\begin\{(?P<environment>[a-z]+\*?)\}(?P<body>[\s\S]*?)\\end\{(?P=environment)\}"
IN_HTML = re.compile(
    rf"{DISPLAY}|{INLINE}|\\\[(?P<display>[\s\S]+?)\\\]|\\\((?P<inline>[\s\S]+?)\\\)"
    rf"|{REFERENCE}|(?P<whole>{ENVIRONMENT})"
)


def is_formula(body: str) -> bool:
    """Whether what stands between two single dollars is one, and not prices and words."""
    has_signs = re.search(r"\\[A-Za-z]|[\^_=<>+]|^\s*\w\s*$", body)
    return "\n\n" not in body and (body == body.strip() or bool(has_signs))


def find_formulas(text: str) -> list[tuple[str, str]]:
    """Cut text into ("", words), ("formula", LaTeX) and ("formula display", LaTeX)."""
    parts, end, start = [], 0, 0
    while found := IN_HTML.search(text, start):
        inline = found["math_inline_tex"]
        if inline is not None and not is_formula(inline):
            start = found.start() + 1
            continue
        latex = found["math_block_tex"] or found["display"] or found["whole"]
        parts.append(("", text[end : found.start()]))
        if latex:
            parts.append(("formula display", latex))
        else:
            parts.append(("formula", inline or found["inline"] or found["crossed"]))
        start = end = found.end()
    return [*parts, ("", text[end:])]


class InlineParser(MathInlineParser):
    """Finds formulas as a reader does: no price is one, and text in one may hold another."""

    SPECIFICATION = MathInlineParser.SPECIFICATION | {
        "block_math_tex": DISPLAY,
        "inline_math_tex": INLINE,
        "reference": REFERENCE,
    }
    DEFAULT_RULES = ("reference", *MathInlineParser.DEFAULT_RULES)

    def parse_inline_math_tex(self, m: re.Match, state: InlineState) -> int | None:
        return super().parse_inline_math_tex(m, state) if is_formula(m["math_inline_tex"]) else None

    def parse_reference(self, m: re.Match, state: InlineState) -> int:
        state.append_token({"type": "inline_math", "raw": m["crossed"]})
        return m.end()


class Renderer(IPythonRenderer):
    """Marks formulas in the HTML that comes from Markdown, and embeds pictures."""

    def text(self, text: str) -> str:
        return super().text(text).replace("$", DOLLAR)

    def inline_math(self, body: str) -> str:
        return f'<span class="formula">{self.escape_html(body)}</span>'

    def block_math(self, body: str) -> str:
        return f'<span class="formula display">{self.escape_html(body)}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def inline_html(self, html: str) -> str:
        # nbconvert would look for pictures in each tag alone, and close it at once.
        return super().inline_html(html) if html.startswith("<img") else html

    def _embed_image_or_attachment(self, src: str) -> str:
        return self._src_to_base64(src) or src

    def _src_to_base64(self, src: str) -> str | None:
        """Embed attachments in HTML too; nbconvert does so in Markdown's own pictures alone."""
        if src.startswith("attachment:"):
            attached = self.attachments.get(unquote(src.removeprefix("attachment:")), {})
            return next((f"data:{kind};base64,{data}" for kind, data in attached.items()), None)
        try:
            return super()._src_to_base64(src)
        except (OSError, ValueError):  # a folder, or no name for a file
            return None


def render(source: str, attachments: dict[str, dict[str, str]], folder: str) -> str:
    """Markdown as HTML that is not yet safe, with the pictures in it embedded.

    Args:
        source: the Markdown.
        attachments: of its cell.
        folder: where the pictures lie that it names.
    """
    renderer = Renderer(
        escape=False,
        attachments=attachments,
        embed_images=True,
        path=folder,
        exclude_anchor_links=True,
    )
    plugins = [*MarkdownWithMath.DEFAULT_PLUGINS, "footnotes"]
    markdown = MarkdownWithMath(
        renderer, MathBlockParser(), InlineParser(), [import_plugin(name) for name in plugins]
    )
    return markdown.render(source)
