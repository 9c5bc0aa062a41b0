"""Executed notebooks of other people's kinds: what a report must show, or name, whoever wrote it.

`python tests/tools/foreign.py FOLDER` writes them, to be looked at.
"""

# ruff: noqa: RUF001 (letters of other scripts are what some of them are about)

import base64
import io
import sys
import wave
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
    new_raw_cell,
)
from PIL import Image

WIDGET, PLOTLY = "application/vnd.jupyter.widget-view+json", "application/vnd.plotly.v1+json"
VEGA = "application/vnd.vegalite.v5+json"


def encoded(save, *arguments, **options) -> str:
    """What `save` writes into a file, in base64."""
    file = io.BytesIO()
    save(file, *arguments, **options)
    return base64.b64encode(file.getvalue()).decode()


def tone(file) -> None:
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(bytes(128 + 40 * (i // 10 % 2) for i in range(800)))


PICTURE = Image.new("RGB", (900, 300), "#7799bb")
PNG, GIF = (encoded(PICTURE.save, format=kind) for kind in ("PNG", "GIF"))
SOUND = encoded(tone)
FILM = base64.b64encode(b"no film that plays").decode()
SVG = (
    '<svg viewBox="0 0 90 30" width="90" height="30"><title>Two bars</title>'
    '<defs><linearGradient id="g"><stop offset="0" stop-color="#036"/></linearGradient></defs>'
    '<rect width="40" height="30" fill="url(#g)"/><rect x="50" width="40" height="20"/></svg>'
)
WORD = "long" * 60


def code(source: str, *outputs: NotebookNode, **metadata: object) -> NotebookNode:
    return new_code_cell(
        source, execution_count=1, outputs=list(outputs), metadata=NotebookNode(metadata)
    )


def shown(**kinds: object) -> NotebookNode:
    """An output; `text_html` stands for the kind `text/html`, other kinds for themselves."""
    data = {kind.replace("_", "/", 1): content for kind, content in kinds.items()}
    return new_output("display_data", data)


def printed(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def notebook(*cells: NotebookNode | str, **metadata: object) -> NotebookNode:
    cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return new_notebook(cells=cells, metadata=NotebookNode(metadata))


def kernel(language: str, display_name: str) -> dict[str, object]:
    spec = {"name": language, "display_name": display_name, "language": language}
    return {"kernelspec": spec, "language_info": {"name": language}}


def attached(text: str, **pictures: str) -> NotebookNode:
    attachments = {f"{name}.png": {"image/png": data} for name, data in pictures.items()}
    return new_markdown_cell(text, attachments=attachments)


FOREIGN = {
    "widgets without state": notebook(
        "# A slider",
        code("IntSlider()", shown(text_plain="IntSlider(value=5)", **{WIDGET: {"model_id": "a"}})),
        code("bar", shown(**{WIDGET: {"model_id": "b"}})),
    ),
    "widgets with state": notebook(
        code("w", shown(text_plain="FloatText(value=1.5)", **{WIDGET: {"model_id": "a"}})),
        widgets={
            "application/vnd.jupyter.widget-state+json": {
                "version_major": 2,
                "version_minor": 0,
                "state": {"a": {"model_name": "FloatTextModel", "state": {"value": 1.5}}},
            }
        },
    ),
    "widgets with a broken state": notebook(
        code("w", shown(text_plain="Button()", **{WIDGET: {"model_id": "a"}})),
        widgets={"application/vnd.jupyter.widget-state+json": {"version_major": 2}},
    ),
    "plotly with a picture": notebook(
        code(
            "fig.show()",
            shown(
                text_html=f"<div id='p'></div><script>Plotly.newPlot('p', {'x' * 900})</script>",
                image_png=PNG,
                **{PLOTLY: {"data": [{"y": [1, 2]}]}},
            ),
        ),
    ),
    "plotly without a picture": notebook(
        code("fig.show()", shown(**{PLOTLY: {"data": []}})),
        code("fig", shown(text_html="<div id='p'></div><script>Plotly.newPlot()</script>")),
        code("go", shown(text_html="<script>a</script>", text_plain="FigureWidget({'y': [1]})")),
    ),
    "altair": notebook(
        code("a", shown(text_plain="alt.Chart(...)", image_png=PNG, **{VEGA: {"mark": "bar"}})),
        code(
            "b",
            shown(
                text_html="<style>#v {color: red}</style><div id='v'></div><script>vega()</script>",
                text_plain="alt.LayerChart(...)",
            ),
        ),
        code("c", shown(text_plain="alt.HConcatChart(...)", **{VEGA: {"mark": "bar"}})),
    ),
    "tables of pandas": notebook(
        code(
            "frame.groupby(['a', 'b']).describe()",
            shown(
                text_html="<div><style scoped>td {color: #eee}</style>"
                '<table border="1" class="dataframe"><thead>'
                '<tr><th></th><th></th><th colspan="2" halign="left">price</th></tr>'
                "<tr><th></th><th></th><th>min</th><th>max</th></tr>"
                "<tr><th>kind</th><th>size</th><th></th><th></th></tr></thead><tbody>"
                '<tr><th rowspan="2" valign="top">bag</th><th>big</th><td>1</td><td>2</td></tr>'
                "<tr><th>small</th><td>3</td><td>NaN</td></tr></tbody></table>"
                "<p>2 rows × 2 columns</p></div>",
                text_plain="the same as text",
            ),
        ),
        code(
            "wide",
            shown(
                text_html="<table><tr>"
                + "".join(
                    f"<td style='background: #123; color: #124'>{10**6 + i}</td>" for i in range(30)
                )
                + "</tr></table>"
            ),
        ),
    ),
    "formulas": notebook(
        "# Formulas\n\nInline $a < b$, $x_{1}^{2}$, and $f(x) = \\text{ if $x > 0$ then } x$.\n\n"
        "$$\\begin{split} a &= b \\\\ &= c \\end{split}$$\n\n"
        "\\begin{align} \\nabla f &= 0 \\label{eq:zero} \\\\ g &= \\tag{T} 1 \\end{align}\n\n"
        "See $\\eqref{eq:zero}$ and $\\ref{eq:zero}$.\n\n"
        "$$|x| = \\begin{cases} x & \\text{if $x \\ge 0$} \\cr "
        "-x & \\mbox{otherwise} \\end{cases}$$\n\n"
        "\\begin{eqnarray} a &=& b \\\\ c &=& d \\end{eqnarray}\n\n"
        "$$\\sum_{\\substack{i < n \\\\ i \\ne j}} \\large x_i \\tag{7}$$\n\n"
        "$$\\left( \\begin{array}{cc} 1 & 2 \\\\ 3 & 4 \\end{array} \\right) \\label{unused}$$",
        "A long one within a line: $"
        + " + ".join(f"\\alpha_{{{i}}} x^{{{i}}}" for i in range(40))
        + "$ and on.",
        code("integral", shown(text_latex="$\\displaystyle \\int_0^1 x\\, dx$")),
        code("math", shown(text_html="<math><msup><mi>x</mi><mn>2</mn></msup></math>")),
    ),
    "macros": notebook(
        "$\\newcommand{\\E}[1]{\\mathbb{E}\\left[#1\\right]}\\newcommand{\\vec}[1]{\\mathbf{#1}}$"
        "$$\\DeclareMathOperator*{\\argmin}{arg\\,min}\\def\\R{\\mathbb{R}}$$\n\n"
        "$\\E{X}$ and $\\vec{x} \\in \\R^n$, $\\argmin_x f$, but $\\unheardof{x}$.",
        "$$" + "{" * 5000 + "x" + "}" * 5000 + "$$",
        "$$" + "\\unheardof " * 60 + "$$",
    ),
    "drawings": notebook(
        f"In a text {SVG}.",
        code("a", new_output("execute_result", {"image/svg+xml": SVG, "text/plain": "<Digraph>"})),
        code("b", shown(text_html=f"<div>{SVG}<p>caption</p></div>")),
        code("c", shown(text_html="<svg><g></svg>")),
        code("d", shown(image_png=PNG, text_plain="<Figure size 900x300 with 1 Axes>")),
        code("e", shown(**{"image/gif": GIF}, text_plain="<IPython.core.display.Image object>")),
    ),
    "sound and film": notebook(
        code(
            "Audio(wave, rate=8000)",
            shown(
                text_html='<audio controls="controls" autoplay="autoplay">'
                f'<source src="data:audio/wav;base64,{SOUND}" type="audio/wav" />'
                "Your browser does not support the audio element.</audio>",
            ),
        ),
        code(
            "HTML(animation.to_html5_video())",
            shown(
                text_html='<video width="640" height="480" controls autoplay loop>'
                f'<source type="video/mp4" src="data:video/mp4;base64,{FILM}">no film</video>'
            ),
        ),
        code("far", shown(text_html="<video src='https://example.org/a.mp4'></video>")),
        code(
            "YouTubeVideo('x')",
            shown(
                text_html='<iframe src="https://example.org/embed/x"></iframe>',
                text_plain="<IPython.lib.display.YouTubeVideo at 0x7f>",
            ),
        ),
        code("js", shown(**{"application/javascript": "alert(1)"})),
        code("pdf", shown(**{"application/pdf": "JVBERi0="}, text_plain="<a pdf>")),
    ),
    "colours of a terminal": notebook(
        code(
            "!pytest",
            printed(
                "".join(f"\x1b[{n}mcolour {n}\x1b[0m " for n in [*range(30, 38), *range(90, 98)])
            ),
            printed(
                "\x1b[38;5;196mof 256\x1b[0m \x1b[38;2;9;9;9mof all\x1b[0m \x1b[1;7mbold\x1b[0m"
            ),
            printed("\x1b[41;33mon red\x1b[0m\n", "stderr"),
        ),
    ),
    "much output": notebook(
        code("for i in range(50_000): print(i, 'x' * 30)", printed(("x" * 40 + "\n") * 50_000)),
    ),
    "attachments": notebook(
        attached("![pasted](attachment:a.png) and once more ![](attachment:a.png)", a=PNG),
        attached('<img src="attachment:with%20space.png">', **{"with space": PNG}),
        "![far](https://example.org/far.png) ![no file](nowhere.png)",
    ),
    "a lost attachment": notebook(attached("![lost](attachment:b.png) of two, ![](.)", a=PNG)),
    "raw cells": notebook(
        new_raw_cell("\\section{LaTeX} & <b>raw</b>", metadata={"raw_mimetype": "text/latex"}),
        new_raw_cell("plain <script>alert(1)</script>"),
        new_raw_cell(
            "<b>bold</b><script></script>",
            metadata={"raw_mimetype": "text/html"},
        ),
    ),
    "R": notebook(
        code(
            "summary(lm(y ~ x, data = frame))  # a model",
            shown(
                text_html="<table class='dataframe'><caption>A data.frame: 1 x 2</caption><thead>"
                "<tr><th scope=col>x</th><th scope=col>y</th></tr><tr><th>&lt;dbl&gt;</th>"
                "<th>&lt;chr&gt;</th></tr></thead><tbody><tr><td>1</td><td>a</td></tr></tbody></table>",
                text_markdown="the same",
                text_latex="\\begin{tabular}{ll} x & y \\end{tabular}",
                text_plain="  x y\n1 1 a",
            ),
        ),
        code("plot(x)", shown(text_plain="plot without title", image_png=PNG)),
        **kernel("R", "R"),
    ),
    "Julia": notebook(
        code(
            'f(x::Float64) = x^2; @time println("α = $(f(2.0))")',
            printed("α = 4.0\n"),
            shown(text_plain="2×2 Matrix{Int64}:\n 1  2\n 3  4"),
        ),
        **kernel("julia", "Julia 1.11"),
    ),
    "from right to left": notebook(
        '# שלום עולם\n\nפסקה בעברית עם $x^2$ בתוכה.\n\n<div dir="rtl">\n\nمرحبا بالعالم\n\n</div>',
        code('print("سلام")', printed("سلام\n")),
    ),
    "Chinese and emoji": notebook(
        "# 机器学习 🎉\n\n模型的 **准确率** 是 $\\text{准确率} = 0.9$。" + "很长的一段话" * 60,
        code('print("😀👩\u200d💻")  # 注释', printed("😀👩\u200d💻 " * 20)),
    ),
    "headings that skip": notebook(
        "#### Fourth first\n\n# Then the first\n\n###### Sixth\n\n# \n\n"
        "## `Code` *and* $x$\n\n<h3>HTML</h3>",
        "Setext\n===\n\nAgain\n---\n\n#No space",
    ),
    "empty cells": notebook(
        "",
        code(""),
        "  \n",
        new_raw_cell(""),
        code("", printed("of an empty cell")),
        code("x", printed("")),
    ),
    "tables with formulas": notebook(
        "| $x_i$ | $\\sigma(x)$ | long |\n|:-:|--:|---|\n"
        f"| $\\frac{{1}}{{2}}$ | `a\\|b` | {' '.join(['words'] * 80)} |\n"
        f"| 1 | 2 | {WORD} |\n\n|a|b|\n|-|-|\n|1|2|",
    ),
    "broken HTML": notebook(
        "Before <!-- a comment left open",
        "After </div></div></main> <b>bold <i>both</b> neither <table><tr><td>cell",
        code("html", shown(text_html="</main></body><p onclick=a()>text<!-- open")),
        code("html", shown(text_html="<center><font color='#eee'>pale</font></center><" * 50)),
    ),
    "a look borrowed": notebook(
        '<section class="grader" aria-label="From the grader" style="border: 9px solid red">'
        '<p class="from">From the grader</p>10 of 10 points</section>'
        '<header role="banner">head</header>',
        "<style>.grader {display: none}</style>",
        code("x", shown(text_html='<div class="cell code celltag_facts" id="code-1">fact</div>')),
        code("x", tags=["grader from", 'a"b']),
    ),
    "progress and warnings": notebook(
        code(
            "for _ in tqdm(range(3)): pass",
            printed("  0%|          | 0/3\r 33%|███▎      | 1/3\r100%|██████████| 3/3\n", "stderr"),
            printed("/lib/a.py:3: FutureWarning: " + WORD, "stderr"),
            printed("done\n"),
        ),
    ),
    "nested text": notebook(
        "\n".join("  " * i + f"- level {i} $x_{{{i}}}$" for i in range(12)),
        ">" * 30 + " quoted\n\n1. one\n\n   ```python\n   x = 1\n   ```\n\n- [x] done\n- [ ] open",
        f"Term\n: what it means\n\n~~gone~~ https://example.org/{WORD}",
        "```mermaid\ngraph TD\n```\n\n***\n\nx<sub>2</sub> <kbd>Ctrl</kbd>",
        "<details><summary>More</summary>\n\nhidden *text*\n\n</details>",
    ),
    "wide things": notebook(
        f"# {WORD}\n\n{WORD}\n\n`{WORD}`\n\n    {WORD}\n\n[{WORD}](https://example.org)",
        code(f"{WORD} = 1", printed(WORD), shown(text_plain=WORD), shown(image_png=PNG)),
        code("json", shown(**{"application/json": {"a": [1]}}, text_plain="{'a': [1]}")),
    ),
    "dollars of several kinds": notebook(
        "# Dollars\n\n$$a$$$b$ is a word $$c$$ for $d$.",
        "It costs $5 and $6, or \\$7, or 8 $ and 9 $.",
        "Escaped \\$x\\$ is none, $n$th is one, `$p$ and $q$` is code.",
    ),
    "dollars in code": notebook(
        "Run\n\n    echo \\$HOME $PATH_1_2\n\nor ``$x_1$ ` $y_1$``.\n\n"
        "```sh\necho $A_1 $B_1\n```\n\n~~~\n$C_1$",
    ),
    "formulas between brackets": notebook(
        "Of lines \\\\(x_1 + y_1\\\\) and \\\\[ a_1 \\\\ b_1 \\\\] but \\[no link\\] and \\(no\\).",
    ),
    "what looks like an address": notebook(
        "data.csv",
        code("h", shown(text_html="https://example.org/a.html")),
        code("t", shown(text_markdown="| |\n|--|\n| file | data.csv |"), tags=["facts"]),
        code("s", shown(**{"image/svg+xml": "drawing.svg"})),
    ),
    "references outside of formulas": notebook(
        "\\begin{equation} x = 1 \\label{eq:one} \\end{equation}\n\nAs \\eqref{eq:one} says.",
    ),
    "formulas in HTML": notebook(
        "<div>Within a box $x_1$ and <b>$y$</b></div>",
        code("h", shown(text_html="<p>Of an output $\\alpha$, \\(b\\) and $$c$$</p>")),
    ),
    "formulas of all environments": notebook(
        "$$a \\\\ b$$\n\n$$\\begin{split} a &= b \\tag{S} \\\\ &= c \\end{split}$$\n\n"
        "$$\\begin{gathered} a \\tag{G} \\end{gathered}$$\n\n$$\\left< x \\right>$$\n\n"
        "$$\\begin{array}{|c|} \\hline a \\\\ \\hline \\end{array}$$",
        "$\\boxed{x}$ $\\cancel{y}$ $\\overline{z}$ $\\widetilde{w}$ $\\textcolor{#f00}{r}$",
    ),
    "LaTeX with a picture": notebook(
        code("sympy", shown(text_latex="$\\unheardof{x}$", image_png=PNG, text_plain="x")),
    ),
    "hidden parts": notebook(
        "<p hidden>secret one</p><p style='display: none'>secret two</p>\n\nshown one",
        code(
            "h",
            shown(
                text_html="<style>.a {display: none}</style><div class='a'>secret three</div>"
                "<div style='visibility:hidden'>secret four</div><p>shown two</p>"
            ),
        ),
    ),
    "a table of arrays": notebook(
        code(
            "dataset",
            shown(
                text_html="<svg style='position: absolute; width: 0; height: 0'><defs>"
                "<symbol id='icon' viewBox='0 0 9 9'><path d='M2 2h28v28z'/></symbol></defs></svg>"
                "<style>.wrap {display: block !important} .fallback {display: none}"
                ".in {display: none} .part {display: none} .in:checked ~ .part {display: block}"
                ".icon {width: 1em; height: 1em}</style><pre class='fallback'>secret five</pre>"
                "<div class='wrap' style='display: none'>Dimensions: x 3"
                "<div><input class='in' type='checkbox' checked>"
                "<div class='part'>temperature</div></div>"
                "<div><input class='in' type='checkbox'><div class='part'>secret six</div></div>"
                "<svg class='icon'><use xlink:href='#icon'></use></svg></div>",
                text_plain="<Dataset>",
            ),
        ),
    ),
    "a diagram of an estimator": notebook(
        code(
            "model.fit(x, y)",
            shown(
                text_html="<style>#top div.fallback {display: none}"
                "#top div.box {display: inline-block !important}"
                "#top .content {max-height: 0; overflow: hidden}"
                "#top input:checked ~ .content {max-height: 200px}</style><div id='top'>"
                "<div class='fallback'><pre>secret seven</pre></div><div class='box' hidden>"
                "<input type='checkbox' hidden><label>Ridge</label>"
                "<div class='content'>secret eight</div></div></div>",
                text_plain="Ridge()",
            ),
        ),
    ),
    "a table in colours": notebook(
        code(
            "frame.style",
            shown(
                text_html="<style>#T_row0 {background-color: #ffff00; color: #ffffaa}"
                "#T_row1, #T_row2 {color: red}</style><table><tr><th>a</th></tr>"
                "<tr><td id='T_row0'>1</td></tr>"
                "<tr><td id='T_row1'>-2</td></tr>"
                + "".join(
                    f"<tr><td style='{style}'>3</td></tr>"
                    for style in (
                        *("color: yellow", "color: blue", "color: white", "color: black"),
                        "background-color: rgba(0, 0, 128, 0.9); color: black",
                        "background-color: #777777",
                    )
                )
                + "</table>"
            ),
        ),
    ),
    "drawings that only HTML forgives": notebook(
        code("a", shown(text_html='<svg width="30"height="20"><text y="9">a&nbsp;b</text></svg>')),
        code(
            "b",
            shown(text_html='<svg width="30" height="20"><svg x="3"><rect width="9"/></svg></svg>'),
        ),
        code("c", shown(**{"image/svg+xml": '<svg width="9"height="9"><g/></svg>'})),
        code("d", shown(**{"image/svg+xml": "no drawing"}, text_plain="Drawing()")),
    ),
    "footnotes, targets and boxes": notebook(
        "Text[^1] and [there](#target).\n\n[^1]: The note.\n\n<a name='target'></a>A target.",
        "> [!WARNING]\n> Mind the gap.\n\n<div class='alert alert-info'>Good to know.</div>",
    ),
    "the last state of text": notebook(
        code(
            "a",
            printed("working\b\b\b\b\b\b\bfinished\n10 %\r100 %\nlong line\rshort"),
        ),
        code("cleared", printed("old\x1b[2Jnew\n\x1b]0;a title\x07after")),
        code("b", printed("one\r\ntwo\r\n")),
    ),
    "control characters": notebook(
        "A bell \x07 and a null \x00 and &#1; one.",
        code("x", printed("a\x01b\x0c\x7fc")),
    ),
    "tags of books": notebook(
        code("removed_cell", printed("gone one"), tags=["remove-cell"]),
        code("removed_input", printed("kept one"), tags=["remove-input"]),
        code("kept_code", printed("gone two"), tags=["remove-output"]),
        code("folded", printed("kept two"), tags=["hide-output"]),
        code("folded_all", printed("kept three"), tags=["hide-cell"]),
        code(
            "1 / 0",
            new_output("error", ename="E", evalue="e", traceback=["kept four"]),
            tags=["raises-exception"],
        ),
    ),
    "authors and a language": notebook(
        "# Ein Titel",
        authors=[{"name": "A. Autorin"}, "B. Autor", {"mail": "x"}, 3],
        lang="de",
    ),
    "numbers right": notebook(
        code(
            "t",
            shown(
                text_html="<table><thead><tr><th></th><th>name</th><th>value</th></tr></thead>"
                "<tbody><tr><th>0</th><td>a</td><td>1.5</td></tr><tr><th>1</th><td>b</td>"
                "<td>-20</td></tr></tbody></table>"
            ),
        ),
    ),
    "a details element": notebook(
        "<details><summary>Hint</summary>\n\nfolded hint $x$\n\n</details>"
    ),
    "inner HTML documents": notebook(
        code(
            "x",
            shown(
                text_html="<!DOCTYPE html><html><head><title>no</title><style>p {color: red}"
                "</style></head><body><p>inner text</p></body></html>"
            ),
        ),
    ),
    "figures of one kind": notebook(
        *(
            code(
                "f",
                new_output(
                    "display_data",
                    {"image/png": PNG},
                    metadata={"image/png": {"alt": f"Curve {n}. It rises.", "width": 300}},
                ),
            )
            for n in (1, 2)
        ),
    ),
}
# What a report of these shows, and what it does not.
SHOWN = {
    "dollars of several kinds": (["is a word", "$5 and $6, or $7", "8 $ and 9 $", "$x$"], []),
    "dollars in code": (
        ["echo \\$HOME $PATH_1_2", "$x_1$ ` $y_1$", "echo $A_1 $B_1", "$C_1$"],
        [],
    ),
    "formulas between brackets": (["[no link] and (no)"], ["\\"]),
    "what looks like an address": (["https://example.org/a.html", "[left out: drawing]"], []),
    "references outside of formulas": (["As (1) says"], ["eqref"]),
    "formulas in HTML": (["Within a box", "Of an output"], ["$", "alpha"]),
    "formulas of all environments": (["(S)", "(G)"], ["$", "not set"]),
    "LaTeX with a picture": ([], ["unheardof"]),
    "hidden parts": (["shown one", "shown two"], ["secret"]),
    "a table of arrays": (["Dimensions", "temperature"], ["secret", "\N{BALLOT BOX}"]),
    "a diagram of an estimator": (["Ridge"], ["secret", "\N{BALLOT BOX}"]),
    "drawings that only HTML forgives": (["[left out: drawing]", "Drawing()"], []),
    "footnotes, targets and boxes": (["The note", "Warning. Mind", "Good to"], ["[^1]", "[!"]),
    "the last state of text": (
        ["finished", "100 %", "short", "new", "after", "one\ntwo"],
        ["working", "old", "a title", "10 %\n", "long line"],
    ),
    "control characters": (["A bell", "abc"], ["\x07", "\x00", "\x01", "\x7f"]),
    "tags of books": (
        ["kept one", "kept two", "kept three", "kept four", "kept_code"],
        ["gone", "removed_cell", "removed_input"],
    ),
    "authors and a language": (["A. Autorin, B. Autor"], []),
    "a details element": (["folded hint"], []),
    "inner HTML documents": (["inner text"], ["color"]),
    "figures of one kind": (["Figure 1. Curve 1.", "Figure 2. Curve 2."], ["It rises"]),
}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FOREIGN.items():
        nbformat.write(content, folder / f"{name}.ipynb")


if __name__ == "__main__":
    main()
