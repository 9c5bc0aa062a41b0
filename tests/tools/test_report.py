"""The report: what becomes one, what is refused, and what the page holds."""

# ruff: noqa: RUF001 (formulas have letters of their own that look like others)

import base64
import io
import re
import subprocess
import sys
from copy import copy
from functools import cache

from tools.notebook import NOTEBOOK
from tools.report import __main__ as guard
from tools.report import write
from tools.report.exporter import ReportExporter
from tools.report.write import ReportError, write_report

import nbformat
import pytest
from bs4 import BeautifulSoup
from fontTools.ttLib import TTFont
from foreign import FOREIGN, SHOWN
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ERROR = new_output("error", ename="ValueError", evalue="no", traceback=["\x1b[31mno\x1b[0m"])
PICTURE = base64.b64encode(b"a picture").decode()


def executed(outputs, count=1):
    cell = new_code_cell("print('x')", execution_count=count, outputs=outputs)
    cell.metadata["tags"] = ["final-accuracy"]
    return new_notebook(cells=[cell])


def stdout(text):
    return new_output("stream", name="stdout", text=text)


@cache
def exporter(kind, **options):
    """One for each kind and its options: to compile the templates takes time."""
    return kind(**options)


def page_of(*cells, **options):
    """The page of a notebook that holds these cells; a string is a text cell."""
    cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    page, _ = exporter(ReportExporter, **options).from_notebook_node(new_notebook(cells=cells))
    return BeautifulSoup(page, "html.parser")


def written(notebook, folder, **options):
    """The page in the file that `write_report` leaves of a notebook in this folder."""
    nbformat.write(notebook, folder / "n.ipynb")
    write_report(folder / "n.ipynb", folder / "n.html", **options)
    return BeautifulSoup((folder / "n.html").read_text(encoding="utf-8"), "html.parser")


def code_cell(source, *outputs, tags=()):
    metadata = {"tags": list(tags)}
    return new_code_cell(source, execution_count=1, outputs=list(outputs), metadata=metadata)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "notebook.ipynb"
    nbformat.write(executed([stdout("test accuracy: 12.34 % (stand-in)\n")]), path)
    return path


def run_command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    guard.main()


def test_an_executed_notebook_becomes_html_and_its_accuracy_is_the_last_line(
    source, monkeypatch, capfd
):
    run_command(monkeypatch, source)
    assert capfd.readouterr().out.splitlines()[-1] == "test accuracy: 12.34 % (stand-in)"
    assert "12.34 %" in source.with_suffix(".html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_nbconvert_knows_the_exporter_by_name_and_leaves_the_old_report_of_what_was_not_run(
    source, tmp_path
):
    nbformat.write(executed([], count=None), tmp_path / "open.ipynb")
    (tmp_path / "open.html").write_text("the old report")
    command = [sys.executable, "-m", "nbconvert", "--to", "report", source.name, "open.ipynb"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    by_name = source.with_suffix(".html").read_text(encoding="utf-8")
    write_report(source, source.with_suffix(".html"))
    assert by_name.strip() == source.with_suffix(".html").read_text(encoding="utf-8").strip()
    assert result.returncode != 0
    assert "Code cell 1 was not run" in result.stderr.splitlines()[-1]
    assert (tmp_path / "open.html").read_text() == "the old report"


@pytest.mark.parametrize(
    ("notebook", "message"),
    [
        (executed([], count=None), "Code cell 1 was not run"),
        (executed([ERROR]), "Code cell 1 failed with ValueError: no"),
        (executed([]), "No cell tagged final-accuracy"),
    ],
)
def test_a_notebook_that_cannot_be_reported_leaves_the_old_report(tmp_path, notebook, message):
    source, target = tmp_path / "notebook.ipynb", tmp_path / "report.html"
    nbformat.write(notebook, source)
    target.write_text("the old report")
    with pytest.raises(ReportError, match=message):
        write_report(source, target)
    assert target.read_text() == "the old report"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebook.ipynb", "report.html"]


def test_a_file_that_is_no_notebook_is_named_with_the_reason_of_the_reader(tmp_path):
    source = tmp_path / "other.ipynb"
    source.write_text("no JSON")
    with pytest.raises(ReportError, match=r"other\.ipynb: The file is not JSON \(line 1\)\."):
        write_report(source, tmp_path / "report.html", allow_errors=True)


def test_a_missing_file_ends_with_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path / "none.ipynb")])
    with pytest.raises(SystemExit, match=r"^error: .*none\.ipynb: The file cannot be read: .*\.$"):
        write.main()


def test_a_report_is_html_or_pdf(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["report", "n.ipynb", "-o", str(tmp_path / "r.txt")])
    with pytest.raises(SystemExit):
        write.main()
    assert "the name of a report ends in .html or .pdf, not r.txt" in capsys.readouterr().err


def test_a_notebook_of_any_other_kind_becomes_a_report_without_an_accuracy(tmp_path):
    nbformat.write(FOREIGN["R"], tmp_path / "R.ipynb")
    assert write_report(tmp_path / "R.ipynb", tmp_path / "R.html") is None
    assert "summary" in (tmp_path / "R.html").read_text(encoding="utf-8")


# A macro that makes of a short formula one that overflows the stack of math-core.
BOMB = rf"$\def\a#1{{{'{' * 90}#1{'}' * 90}}}" + r"\a{" * 90 + "}" * 90 + "$"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "limit", "value", "said"),
    [
        ("[" * 200_000, "SECONDS", 2, r"No report after 2 s: .+ too large or too nested\."),
        pytest.param(
            *(
                "x" * 50_000_000,
                "MEMORY",
                2**27,
                r".+n\.ipynb: The file is too large for the memory\.",
            ),
            marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux alone limits data"),
        ),
        (BOMB, "SECONDS", 60, "No report: .+ too nested"),
    ],
    ids=["time", "memory", "crash"],
)
def test_what_takes_too_much_or_crashes_ends_with_one_sentence(
    tmp_path, monkeypatch, capfd, text, limit, value, said
):
    monkeypatch.setattr(guard, limit, value)
    nbformat.write(new_notebook(cells=[new_markdown_cell(text)]), tmp_path / "n.ipynb")
    (tmp_path / "n.html").write_text("the old report")
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, tmp_path / "n.ipynb")
    message = capfd.readouterr().err or str(ended.value)
    assert re.match(f"error: {said}", message)
    assert message.count("\n") <= 1
    assert (tmp_path / "n.html").read_text() == "the old report"


def test_with_allow_errors_the_head_lists_what_went_wrong(tmp_path):
    cells = [new_code_cell("1 / 0", execution_count=1, outputs=[ERROR]), new_code_cell("2")]
    page = written(new_notebook(cells=cells), tmp_path, allow_errors=True)
    problems = [problem.get_text() for problem in page.header.find_all("dd")[1:]]
    assert problems == ["code cell 1 failed with ValueError: no", "code cell 2 was not run"]
    for link in page.header.find_all("a"):
        assert page.find(id=link["href"][1:])
    assert page.select_one("pre.stderr").get_text() == "no"
    assert "(not run)" in page.find(id="code-2").summary.get_text()


def test_the_head_holds_the_title_the_facts_and_the_accuracy():
    facts = {"text/markdown": "| | this run |\n|:--|:--|\n| data | **drawn** |\n| device | cpu |\n"}
    page = page_of(
        "# The title\n\nText.",
        code_cell("facts", new_output("execute_result", facts), tags=["facts"]),
        code_cell("print()", stdout("test accuracy: 12.34 % (x)\n"), tags=["final-accuracy"]),
    )
    assert page.header.h1.get_text() == "The title"
    assert page.html["lang"] == "en"
    names, values = (
        [part.get_text() for part in page.header.find_all(kind)] for kind in ("dt", "dd")
    )
    assert names == ["data", "device", "test accuracy"]
    assert values == ["drawn", "cpu", "12.34 % (x)"]
    assert "drawn" in page.main.table.get_text()  # where the notebook says that it stands too


def test_what_the_grader_says_stands_apart_from_what_a_submission_makes_look_like_it():
    forged = (
        '<section class="grader" aria-label="From the grader">From the grader: 10 of 10</section>'
    )
    page = page_of(
        f"# 10 of 10 points\n\n{forged}",
        code_cell("x", new_output("display_data", {"text/html": forged}), tags=["grader"]),
        head="## a.ipynb: 3 of 10 points\n\n| step | points |\n|:--|--:|\n| Load | 3 |",
    )
    (box,) = page.select("header > .grader")
    assert box["aria-label"] == "From the grader"
    assert "3 of 10" in box.get_text()
    assert box.find_next_sibling("p").get_text() == "From the submission"
    assert box.find_next_sibling("h1").get_text() == "10 of 10 points"
    assert page.main.select("[aria-label], section[class]") == []
    assert page_of("# Title").select(".grader, .from") == []


def test_headings_are_put_in_order_and_the_contents_lead_to_them():
    page = page_of("# One\n\n### Deeper\n\n# One more", "## Twice", "## Twice\n\n### In it")
    assert [one.get_text() for one in page.find_all("h1")] == ["One"]
    headings = page.main.find_all(re.compile("^h[1-6]$"))
    assert [one.name for one in headings] == ["h2", "h2", "h2", "h2", "h3"]
    links = page.nav.find_all("a")
    assert [one.get_text() for one in links] == [one.get_text() for one in headings]
    assert [one["href"][1:] for one in links] == [one["id"] for one in headings]
    assert len({one["id"] for one in headings}) == 5


def test_an_empty_heading_and_a_link_in_a_heading_break_no_contents():
    page = page_of("# \n\n## [Linked](https://example.org)\n\n##\n\ntext")
    assert [one.get_text() for one in page.nav.find_all("a")] == ["Linked"]
    assert page.nav.select("a a") == []
    assert page.header.h1.get_text() == "Notebook"  # the file's name


def test_attached_pictures_are_kept_and_one_that_is_not_there_is_named():
    attachments = {"a b.png": {"image/png": PICTURE}}
    text = '![](attachment:a%20b.png)\n\n<img src="attachment:a b.png">\n\n![](attachment:c.png)'
    page = page_of(new_markdown_cell(text, attachments=attachments))
    assert [one["src"] for one in page.find_all("img")] == [f"data:image/png;base64,{PICTURE}"] * 2
    assert [one.get_text() for one in page.select(".left-out")] == [
        "[left out: picture attachment:c.png]"
    ]


def test_formulas_become_mathml_and_what_is_none_stays_readable():
    page = page_of(
        r"Inline $a < b$ and $\nonsense$."
        "\n\n"
        r"$$x_1 \qquad \text{under\_score}$$"
        "\n\n"
        r"\begin{aligned} a &= b \\ c &= d \end{aligned}"
    )
    formulas = page.main.find_all("math")
    assert [one.get_text() for one in formulas] == ["a<b", "x1", "under_score", "a=bc=d"]
    assert [one.get("display") for one in formulas] == [None, "block", "block", "block"]
    assert page.main.code.get_text() == r"\nonsense"


def test_every_formula_of_the_notebook_converts():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown" and "$" in cell.source]
    assert len(texts) > 5
    page = page_of(*texts)
    assert len(page.find_all("math")) >= len(texts)
    assert page.select(".latex") == []


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\begin{split} a &= b \\ &= c \end{split}", "a=b=c"),
        (r"\begin{cases} 1 & x \cr 2 & y \end{cases}", "{1x2y\N{INVISIBLE SEPARATOR}"),
        (r"{\large x} + \small y", "x+y"),
        (r"\text{ if $x_{1} > 0$ in a_b}", "\xa0if\xa0x1>0\xa0in\xa0a_b"),
        (r"\mbox{for } x", "for\xa0x"),
        (r"\begin{eqnarray} a &=& b \\ c &\le& d \end{eqnarray}", "a=b(1)c≤d(2)"),
        (r"\begin{alignat}{2} a &= b & c &= d \end{alignat}", "a=bc=d(1)"),
        (r"a = b \tag{7}", "a=b(7)"),
        (r"a = b \label{here}", "a=b"),
        (r"\sum_{\substack{i < n \\ i \ne j}} x", "∑i<ni≠jx"),
        (r"\newcommand{\vec}[1]{\mathbf{#1}} \vec{x}", "𝐱"),
        (r"\newcommand{\a}[2][k]{#1#2} \a{x}\a[y]{z}", "kxyz"),
        (r"a \\[2pt] b \\", "ab"),
        (r"\left< x \right>", "⟨x⟩"),
        (r"\begin{split} a &= b \tag{7} \\ &= c \end{split}", "a=b(7)=c"),
        (r"\textcolor{#f00}{x} \hspace*{1em} \color{red} y", "xy"),
        (r"\DeclareMathOperator*{\argmin}{arg\,min} \argmin_x", "arg\N{THIN SPACE}minx"),
    ],
)
def test_what_mathjax_knows_is_set(latex, text):
    page = page_of(f"$${latex}$$")
    assert page.select(".latex") == []
    assert page.main.math.get_text() == text


def test_macros_and_numbers_hold_for_the_whole_page():
    page = page_of(
        r"$\newcommand{\E}[1]{\mathbb{E}[#1]}$ See $\eqref{eq:later}$.",
        r"\begin{equation} \E{X} = 1 \label{eq:later} \end{equation}",
    )
    assert page.main.find(id="eq:later").get_text() == page.main.a.get_text() == "(1)"
    assert page.main.a["href"] == "#eq:later"
    assert page.main.find("math", display="block").get_text() == "𝔼[X]=1(1)"


@pytest.mark.parametrize("latex", ["{" * 5000 + "x" + "}" * 5000, r"\sqrt" * 5000 + " x", r"\no x"])
def test_a_formula_that_cannot_be_set_is_shown_as_written_in_a_box_that_says_so(latex):
    page = page_of(f"Before $${latex}$$ after.")
    assert page.select_one(".latex").get_text() == f"LaTeX, not set: {latex}"
    assert page.main.get_text().split()[-1] == "after."


def test_the_page_brings_the_glyphs_of_its_formulas_and_no_others():
    css = page_of(r"$\alpha_1 = \sum \sqrt x$ and $\mathbf{W}$").head.find_all("style")[-1].string
    file = base64.b64decode(re.search('base64,(.*?)"', css)[1])
    assert len(file) < 15_000
    font = TTFont(io.BytesIO(file))
    assert "MATH" in font
    assert {*"1=∑√𝛼𝑥𝐖"} <= {chr(code) for code in font.getBestCmap()}
    assert ord("∫") not in font.getBestCmap()
    assert "font-face" not in str(page_of("No formula, but the word math."))


def test_tables_get_header_cells():
    page = page_of("| | n |\n|:--|--:|\n| a | 1 |\n| | 2 |")
    assert [(one.name, one.get("scope")) for one in page.thead.find_all(["td", "th"])] == [
        ("td", None),
        ("th", "col"),
    ]
    assert [(one.get_text(), one["scope"]) for one in page.tbody.find_all("th")] == [("a", "row")]


def test_alternative_text_comes_from_the_figure_and_may_hold_any_character():
    alt = 'from 1 < 2 to "3" & more'
    picture = new_output(
        "display_data", {"image/png": PICTURE}, metadata={"image/png": {"alt": alt}}
    )
    page = page_of(code_cell("figure", picture), code_cell("figure", picture))
    assert [one["alt"] for one in page.find_all("img")] == [alt, alt]


@pytest.mark.filterwarnings("ignore:Your element with mimetype")
def test_nothing_that_runs_or_loads_comes_through():
    page = page_of(
        '<script>alert(1)</script><img src="https://example.org/a.png" onerror="alert(2)">'
        '<a href="javascript:alert(3)" onclick="alert(4)">a</a> <b style="color: red">bold</b>'
        '\n\n<iframe src="https://example.org"></iframe>\n\n<form action="x"><p>text</p></form>',
        code_cell("html", new_output("display_data", {"text/html": "<style>a{}</style><svg/>ok"})),
        code_cell("js", new_output("display_data", {"application/javascript": "alert(5)"})),
    )
    assert page.main.find_all(["script", "iframe", "form", "img", "style", "svg"]) == []
    for element in page.main.find_all(True):
        assert not element.attrs.keys() & {"onclick", "onerror", "src", "href"}
    assert "alert" not in page.main.get_text().replace("js", "")
    assert page.main.b.get_text() == "bold"
    assert "text" in page.main.get_text()
    assert page.find("meta", {"http-equiv": True})["content"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "java&#115;cript&colon;alert(1)", "data:text/html,a", "data&colon;a"],
)
def test_a_link_leads_to_a_page_or_nowhere(link):
    links = (link, "HTTPS://example.org", "c#d")
    page = page_of(" ".join(f'<a href="{one}">a</a>' for one in links))
    assert [one.get("href") for one in page.main.find_all("a")] == [None, *links[1:]]


def test_a_cell_cannot_end_what_holds_it():
    """What came after the end of `main` was once taken for the page's own."""
    html = "</div></main><script>alert(1)</script><p onclick='alert(2)'>after<div><table>"
    page = page_of(html, code_cell("html", new_output("display_data", {"text/html": html})))
    assert len(page.find_all("main")) == 1
    assert page.find_all("script") == []
    assert all("onclick" not in one.attrs for one in page.find_all("p"))
    assert [child.name for child in page.main.find_all(recursive=False)] == ["div", "div"]


def test_tables_keep_their_alignment_and_no_other_style():
    page = page_of("| n |\n|--:|\n| 1 |", '<p style="position: fixed; text-align: center">a</p>')
    assert page.main.th["style"].rstrip(";") == "text-align:right"
    assert page.main.p["style"] == "text-align:center"


def test_hide_code_leaves_the_story_alone():
    cells = ["Text.", code_cell("print('x')", stdout("x\n"))]
    assert page_of(*cells).details.pre.get_text().strip() == "print('x')"
    page = page_of(*cells, exclude_input=True)
    assert page.details is None
    assert page.select_one(".output pre").get_text() == "x\n"


def test_code_is_folded_where_the_notebook_says_so():
    cells = [code_cell("a", tags=tags) for tags in ([], ["check"], ["hide-input"], ["facts"])]
    hidden = code_cell("b")
    hidden.metadata["jupyter"] = {"source_hidden": True}
    page = page_of(*cells, hidden)
    unfolded = [one.has_attr("open") for one in page.find_all("details")]
    assert unfolded == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("data", "shown", "said"),
    [
        ({"text/html": "<script>a</script>", "text/plain": "Figure()"}, "Figure()", "script"),
        ({"text/html": "<div><script>a</script></div>"}, "", "script"),
        ({"text/html": "<p>a</p><script>b</script><script>c</script>"}, "a", "script"),
        ({"text/html": "<iframe src='https://a.org'></iframe>"}, "", "iframe https://a.org"),
        ({"text/html": "<video src='https://a.org/b'></video>"}, "", "video https://a.org/b"),
        (
            {"application/vnd.x+json": {}, "text/plain": "Chart()"},
            "Chart()",
            "application/vnd.x+json",
        ),
        ({"application/javascript": "a"}, "", "application/javascript"),
    ],
)
def test_what_needs_a_script_gives_way_to_its_plain_text_and_a_line_says_so(data, shown, said):
    output = page_of(code_cell("x", new_output("display_data", data))).select_one(".output")
    (note,) = output.select(".left-out")
    assert note.extract().get_text() == f"[left out: {said}]"
    assert output.get_text(strip=True) == shown


def test_a_picture_is_preferred_to_html_that_is_nothing_without_its_script():
    html = "<div>Loading...</div><script>draw()</script>"
    data = {"text/html": html, "image/png": PICTURE, "text/plain": "<Figure>"}
    page = page_of(code_cell("x", new_output("display_data", data)))
    assert page.main.img["alt"] == "Figure"
    assert "Loading" not in page.main.get_text()


def words_of(page):
    """What a reader reads, formulas and what needs a script aside."""
    for element in page.find_all(["script", "style", "math", "audio", "video"]):
        element.decompose()
    for picture in page.find_all("img", alt=True):
        picture.insert_before(picture["alt"])
    latex = r"(?s)\$\$.*?\$\$|\$(?:\\text\{[^{}]*\}|.)+?\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}"
    return set(re.findall(r"\w+", re.sub(latex, " ", page.get_text(" "))))


# Notebooks that nbconvert's own page cannot be made of.
REFUSED = {"widgets with a broken state", "a lost attachment"}
# Words of nbconvert's page that nobody sees on it, or that are formulas there.
UNSEEN = {
    *"secret one two three four five six seven eight gone removed_cell removed_input".split(),  # noqa: SIM905
    *"n b c WARNING shortoldnew old a title no eqref eq working 0 oldnew short".split(),  # noqa: SIM905
}


@cache
def foreign_page(name):
    page, _ = exporter(ReportExporter, allow_errors=True).from_notebook_node(FOREIGN[name])
    return BeautifulSoup(page, "html.parser").body


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.filterwarnings("error")
def test_any_notebook_becomes_a_page_without_a_script_or_a_warning(name):
    assert foreign_page(name).find_all(["script", "iframe", "object", "svg"]) == []


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.filterwarnings("ignore:Your element with mimetype")
def test_nothing_is_lost_that_nbconvert_shows_without_a_script(name):
    ours = copy(foreign_page(name))
    options = {"embed_images": True, "exclude_anchor_links": True}
    options |= {"exclude_input_prompt": True, "exclude_output_prompt": True}
    nbconvert_page = exporter(HTMLExporter, preprocessors=(CoalesceStreamsPreprocessor,), **options)
    try:
        page, _ = nbconvert_page.from_notebook_node(FOREIGN[name])
    except Exception:
        assert name in REFUSED
        return
    theirs = BeautifulSoup(page, "html.parser").body
    for stand_in in theirs.find_all("img", alt=re.compile("^No description")):
        del stand_in["alt"]
    media = ["img", "svg", "audio", "video"]
    expected = 0 if name in SHOWN else len(theirs.find_all(media))  # hidden drawings, icons
    assert len(ours.find_all(media)) + len(ours.select(".left-out")) >= expected
    assert words_of(theirs) - words_of(ours) - (UNSEEN if name in SHOWN else set()) == set()


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown_is_there_and_what_is_hidden_is_not(name):
    shown, hidden = SHOWN[name]
    text = foreign_page(name).get_text()
    assert [one for one in shown if one not in text] == []
    assert [one for one in hidden if one in text] == []


def test_a_picture_beside_the_notebook_is_embedded_and_one_elsewhere_is_not(tmp_path):
    (tmp_path / "notes").mkdir()
    for folder in (tmp_path, tmp_path / "notes"):
        (folder / "a b.png").write_bytes(b"a picture")
    picture = new_output("display_data", {"text/html": '<img src="a b.png">'})
    cells = [new_markdown_cell("![](a%20b.png) ![](../a%20b.png)"), code_cell("x", picture)]
    page = written(new_notebook(cells=cells), tmp_path / "notes")
    assert [one["src"] for one in page.find_all("img")] == [f"data:image/png;base64,{PICTURE}"] * 2
    assert page.select_one(".left-out").get_text() == "[left out: picture ../a%20b.png]"


def test_the_corpus_is_as_large_as_it_has_to_be():
    assert len(FOREIGN) >= 40


def test_the_page_has_the_language_of_the_notebook():
    assert foreign_page("authors and a language").find_parent("html")["lang"] == "de"


def test_icons_of_a_drawing_elsewhere_are_drawn_in_their_size():
    page = page_of(*FOREIGN["a table of arrays"].cells)
    (icon,) = page.main.find_all("img")
    assert icon["style"] == "width:1em;height:1em"
    assert "M2 2h28v28z" in base64.b64decode(icon["src"].partition(",")[2]).decode()


def test_columns_of_numbers_stand_right():
    page = page_of(*FOREIGN["numbers right"].cells)
    for row in page.main.select("tr"):
        assert row.find_all(["td", "th"])[-1]["class"] == ["number"]
        assert not row.find_all(["td", "th"])[1].has_attr("class")


def test_a_picture_stands_in_for_latex_that_cannot_be_set():
    page = page_of(*FOREIGN["LaTeX with a picture"].cells)
    assert page.main.img["alt"] == "x"
    assert page.select(".latex") == []


def test_the_contents_list_the_checks_of_a_section():
    page = page_of("# T\n\n## One", code_cell("a"), code_cell("b", tags=["check"]), "## Two")
    links = [(one.get_text(), one["href"]) for one in page.nav.find_all("a")]
    assert links == [("One", "#One"), ("Check 1", "#code-2"), ("Two", "#Two")]
    assert page.find(id="code-2").summary.get_text() == "Code 2, check 1"


def test_figures_and_tables_are_captioned_with_their_words_or_the_code_that_they_are_from():
    table = new_output("execute_result", {"text/markdown": "| a |\n|--|\n| b |"})
    figure = new_output("display_data", {"image/png": PICTURE, "text/plain": "<Figure size 1x1>"})
    alt = {"image/png": {"alt": "A curve. It rises."}}
    described = new_output("display_data", {"image/png": PICTURE}, metadata=alt)
    page = page_of(
        "How many:",
        code_cell("t", table),
        "One. Two.\n\n| in | text |\n|--|--|\n| 1 | 2 |",
        code_cell("t", table, figure, described),
    )
    captions = [one.get_text() for one in page.find_all(["caption", "figcaption"])]
    assert captions == [
        *("Table 1. How many.", "Table 2. Shown by code 2."),
        *("Figure 1. Shown by code 2.", "Figure 2. A curve."),
    ]


SHADE = re.compile(r"--(\w+): #(\w{6})")


def luminance(color):
    """Of a color in six hexadecimal digits, as WCAG 2.1 defines it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_color_of_words_has_a_contrast_of_4_5(scheme):
    css = (NOTEBOOK.parents[1] / "tools/report/templates/report/report.css").read_text()
    colors = {name: luminance(shade) for name, shade in SHADE.findall(css.split("@media")[scheme])}
    behind = [colors.pop(name) for name in ("paper", "panel")]
    del colors["line"], colors["mark"]  # of borders
    assert len(colors) == 9
    for name, color in colors.items():
        for lighter, darker in (sorted([color, one], reverse=True) for one in behind):
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, name
