"""The report as a PDF: what a reader of paper, or a screen reader, gets."""

# ruff: noqa: RUF001 (formulas have letters of their own that look like others)

import re
import shutil
from unicodedata import normalize

from tools.report import pdf
from tools.report.write import ReportError, write_report

import nbformat
import pytest
from foreign import PNG, code, notebook, shown
from pypdf import PdfReader
from pypdf.generic import IndirectObject

pytestmark = pytest.mark.slow
needs_browser = pytest.mark.skipif(
    not any(map(shutil.which, pdf.BROWSERS)), reason="no Chromium: apt-get install chromium"
)
ROWS = 150
# Wider than the paper, though its first row is not.
RAGGED = f"<table><tr><td>1</td></tr><tr>{'<td>ragged</td>' * 60}</tr></table>"


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """The PDF of a notebook of several pages: figures, a long table, a formula, folded code."""
    folder = tmp_path_factory.mktemp("pdf")
    rows = "\n".join(f"| begin{n} {'word ' * 25} end{n} | {n} |" for n in range(ROWS))
    cells = [
        "# The title\n\nA paragraph.\n\n## First\n\n$$\\alpha_1 + \\beta^2 = \\gamma$$",
        *(code(f"figure{n}", shown(image_png=PNG)) for n in range(8)),
        f"## Second\n\n### Below it\n\n| row | n |\n|:--|--:|\n{rows}",
        code("folded = 'not lost'", tags=["hide-input"]),
        code("ragged", shown(text_html=RAGGED)),
        "<details><summary>Hint</summary>\n\nhint on paper\n\n</details>",
        "## Wide\n\n" + "\n".join("|" + f" {one} |" * 40 for one in ("column", "---", "cell{}")),
        "$$" + " + ".join(f"\\alpha_{{{n}}} x^{{{n}}}" for n in range(60)) + "$$",
        "$$\\underbrace{" + " + ".join(f"y_{{{n}}}" for n in range(50)) + "}_{end}$$",
    ]
    nbformat.write(notebook(*cells), folder / "n.ipynb")
    write_report(folder / "n.ipynb", folder / "report.pdf")
    assert [one.name for one in sorted(folder.iterdir())] == ["n.ipynb", "report.pdf"]
    return PdfReader(folder / "report.pdf")


@needs_browser
def test_every_page_has_its_number(printed):
    texts = [page.extract_text() for page in printed.pages]
    assert len(texts) > 4
    for number, text in enumerate(texts, start=1):
        assert f"{number} / {len(texts)}" in text


@needs_browser
def test_the_headings_are_bookmarks(printed):
    def titles(entries):
        return [titles(one) if isinstance(one, list) else one.title for one in entries]

    assert titles(printed.outline) == ["The title", ["First", "Second", ["Below it"], "Wide"]]


@needs_browser
def test_it_is_tagged_and_says_its_language(printed):
    root = printed.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    kinds, waiting = set(), [root["/StructTreeRoot"]]
    while waiting:
        node = waiting.pop()
        node = node.get_object() if isinstance(node, IndirectObject) else node
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            kinds.add(node.get("/S"))
            waiting.append(node.get("/K"))
    assert {"/H1", "/H2", "/H3", "/P", "/Table", "/TR", "/TH", "/Figure"} <= kinds


@needs_browser
def test_no_figure_and_no_row_of_a_table_is_cut(printed):
    pictures = 0
    for page in printed.pages:
        width, height = page.mediabox[2:]

        def look(operator, _, matrix, __, width=width, height=height):
            nonlocal pictures
            if operator == b"Do":
                x, y = matrix[4:]
                assert 0 <= x < x + matrix[0] <= width
                low, high = sorted([y, y + matrix[3]])
                assert 0 <= low < high <= height
                pictures += 1

        words = page.extract_text(visitor_operand_before=look).split()
        assert {w[5:] for w in words if w.startswith("begin")} == {
            w[3:] for w in words if w.startswith("end")
        }
    assert pictures == 8


@needs_browser
def test_the_contents_name_the_pages_and_the_title_runs_along(printed):
    texts = [page.extract_text() for page in printed.pages]
    for heading in ("First", "Second", "Below it", "Wide"):
        number = int(re.search(rf"{heading}\s*(\d+)", texts[0])[1])
        assert heading in texts[number - 1]
    assert all("The title" in text for text in texts)


@needs_browser
def test_a_wide_table_comes_in_parts_and_a_wide_formula_in_lines_or_smaller(printed):
    texts = normalize("NFKC", "".join(page.extract_text() for page in printed.pages[-3:]))
    assert re.search(r"α\s*59\s*x\s*59", texts)
    assert re.search(r"y\s*49", texts)
    assert len(re.findall("cell{}", texts)) >= 40
    assert sum(len(re.findall("ragged", page.extract_text())) for page in printed.pages) >= 61
    assert "(columns 2 to" in texts
    assert "to 40)" in texts
    assert "drawn smaller to fit the paper" in texts
    right = []

    def look(text, whole, own, *_):  # `own` is in the page's pixels; `whole` brings it to paper
        if text.strip():
            right.append(own[4] * whole[0] + whole[4])

    for page in printed.pages:
        page.extract_text(visitor_text=look)
    assert 500 < max(right) <= printed.pages[0].mediabox.width - 40


@needs_browser
def test_formulas_and_folded_code_can_be_selected(printed):
    text = "".join(page.extract_text() for page in printed.pages)
    assert "\N{MATHEMATICAL ITALIC SMALL ALPHA}" in text
    assert "not lost" in text
    assert "hint on paper" in text


def test_without_a_browser_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "BROWSERS", ("no-such-browser",))
    nbformat.write(notebook("text"), tmp_path / "n.ipynb")
    with pytest.raises(ReportError, match=r"^A PDF needs Chromium, Chrome or Edge: install one"):
        write_report(tmp_path / "n.ipynb", tmp_path / "n.pdf")
    assert [one.name for one in tmp_path.iterdir()] == ["n.ipynb"]
