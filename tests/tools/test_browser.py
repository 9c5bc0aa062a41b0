"""What a person sees in a real browser: the report, and the notebook in JupyterLab."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tools.notebook import NOTEBOOK
from tools.report.formulas import FONT
from tools.report.write import write_report
from utils import plotting

import matplotlib as mpl
import nbformat
import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from fontTools.ttLib import TTFont
from foreign import FOREIGN, PNG
from made_up import real_answer
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from playwright.sync_api import expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# No sandbox: it cannot start as root. The others keep Chromium itself off the network.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def playwright():
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright):
    with playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET) as running:
        yield running


def report_of(cells, folder):
    """The address of the report of a notebook with these cells."""
    nbformat.write(new_notebook(cells=cells), folder / "n.ipynb")
    write_report(folder / "n.ipynb", folder / "n.html", allow_errors=True)
    return (folder / "n.html").as_uri()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The address of the stored notebook's report."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(NOTEBOOK, path)
    return path.as_uri()


@pytest.fixture(scope="module")
def troubled_report(tmp_path_factory):
    """The address of the report of a failed notebook that holds all that is hard to show."""
    word, columns = "long" * 40, range(12)
    rows = [" | ".join(f"column {i}" for i in columns), " | ".join("--" for _ in columns)]
    rows.append(" | ".join(f"{10**i}" for i in columns))
    formula = " + ".join(f"x_{{{i}}}" for i in range(40))
    text = f"# {word}\n\n{word}\n\n> Quoted.\n\n`{word}`\n\n    {word}\n\n$${formula}$$\n\n"
    text += f"A formula ${formula}$ within a line.\n\n"
    text += "## A [link](https://example.org)\n\n" + "\n".join(rows)
    html = f"<table><thead><tr><th></th><th>n</th></tr></thead><tr><td>a</td><td>{word}</td></tr>"
    outputs = [
        new_output("stream", name="stderr", text=f"a warning {word}"),
        new_output("display_data", {"text/html": html}),
        new_output("display_data", {"image/png": PNG}),
        new_output("error", ename="ValueError", evalue=word, traceback=[f"\x1b[31m{word}\x1b[0m"]),
    ]
    cells = [new_markdown_cell(text), new_code_cell(word, execution_count=1, outputs=outputs)]
    return report_of(cells, tmp_path_factory.mktemp("troubled"))


@pytest.fixture
def page(browser, report):
    with browser.new_page(viewport={"width": 1280, "height": 900}) as opened:
        opened.goto(report)
        yield opened


def test_the_report_loads_nothing_but_itself(playwright, report, tmp_path):
    """By Chromium's own network log, which is first shown to notice the request of another page."""
    control = tmp_path / "control.html"
    control.write_text('<img src="http://127.0.0.1:9/picture.png">')
    log, console = tmp_path / "log.json", []
    options = [*QUIET, f"--log-net-log={log}"]
    with playwright.chromium.launch(executable_path=CHROMIUM, args=options) as browser:
        browser.new_page().goto(control.as_uri(), wait_until="networkidle")
        page = browser.new_page()
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.goto(report, wait_until="networkidle")
    events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    # Chromium's own services have "not an origin" as their initiator.
    found = {e["url"] for e in events if e.get("initiator", "not an origin") != "not an origin"}
    requests = {url for url in found if not url.startswith(("file:", "data:"))}
    assert requests == {"http://127.0.0.1:9/picture.png"}
    assert console == []


SCREENS = [(scheme, width) for width in (1280, 360) for scheme in ("light", "dark")]
WCAG = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "resultTypes": ["violations"],
    "elementRef": False,
}


def violations(page, scheme, width):
    """The rules of WCAG 2.1 A and AA that the page, all unfolded, violates on such a screen."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate("options => axe.run(document, options)", WCAG)
    return [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]]


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_the_report_violates_no_rule_of_wcag_2_1_a_and_aa(
    browser, report, troubled_report, scheme, width
):
    with browser.new_page() as page:
        for address in (report, troubled_report):
            page.goto(address)
            assert violations(page, scheme, width) == []
            assert page.evaluate("document.documentElement.scrollWidth") == width


def test_axe_sees_what_it_should(browser):
    with browser.new_page() as page:
        page.set_content("<main style='color: #ccc'>pale<img src='data:,'></main>")
        assert {rule for rule, _ in violations(page, *SCREENS[0])} >= {
            "color-contrast",
            "image-alt",
        }


def batched(names, size):
    names = list(names)
    return [names[i : i + size] for i in range(0, len(names), size)]


def test_the_report_of_any_notebook_is_quiet_accessible_and_fits_a_phone(browser, tmp_path):
    with browser.new_page() as page:
        requests, said = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        # Several on one page: a run of axe takes as long for one.
        for names in batched(FOREIGN, 17):
            cells = [cell for name in names for cell in FOREIGN[name].cells]
            page.goto(report_of(cells, tmp_path))
            assert page.locator("script").count() == 0, names
            assert [url for url in requests if not url.startswith(("file:", "data:"))] == [], names
            assert said == [], names
            for screen in SCREENS:
                assert (names, screen, violations(page, *screen)) == (names, screen, [])
            assert page.evaluate("document.documentElement.scrollWidth") == 360, names


# Of each coloured cell: the light of its ink, and of what it stands on, as WCAG counts it.
LIGHT = """(page => [...document.querySelectorAll('td[style]')].map(cell => {
    const look = getComputedStyle(cell)
    const light = color => +color.match(/xyz-d65 \\S+ (\\S+)/)?.[1]
    return [light(look.color), light(look.backgroundColor) || page]
}))"""


@pytest.mark.parametrize(("scheme", "light"), [("light", 1.0), ("dark", 0.009)])
def test_a_tables_own_colours_can_be_read(browser, tmp_path, scheme, light):
    with browser.new_page(color_scheme=scheme) as page:
        page.goto(report_of(FOREIGN["a table in colours"].cells, tmp_path))
        lights = page.evaluate(f"({LIGHT})({light})")
    assert len(lights) == 8
    for pair in lights:
        assert (max(pair) + 0.05) / (min(pair) + 0.05) >= 4.5
    assert len({ink for ink, _ in lights}) >= 4


# What is wider than its place and can be scrolled, by what it is.
SCROLLING = """[...document.querySelectorAll('html, body *')]
    .filter(e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX == 'auto')
    .map(e => e.localName == 'pre' ? 'code' : e.className)"""


def test_at_360_pixels_code_and_formulas_wrap_and_only_tables_scroll_sideways(
    browser, report, troubled_report
):
    with browser.new_page(viewport={"width": 360, "height": 640}) as page:
        page.goto(troubled_report)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert set(page.evaluate(SCROLLING)) == {"table"}
        assert page.locator("figure img").bounding_box()["width"] <= 360

        page.goto(report)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.evaluate(SCROLLING) == []


def test_a_figure_of_the_notebooks_is_readable_at_360_pixels(browser, tmp_path):
    names = [f"class {number}" for number in range(10)]
    figure = plotting.plot_confusion(torch.ones(10, 10), names, "stand-in")
    picture, about = figure.for_notebook()
    shown = new_output("display_data", {"image/png": picture}, metadata={"image/png": about})
    cells = [new_code_cell("figure", execution_count=1, outputs=[shown])]
    with browser.new_page(viewport={"width": 360, "height": 640}) as page:
        page.goto(report_of(cells, tmp_path))
        assert page.locator("figure img").bounding_box()["width"] / about["width"] > 0.75


# Where the parts of each formula with an index or exponent stand, from its left upper corner.
PARTS = """[...document.querySelectorAll('msub, msup, msubsup')].map(formula => {
    const corner = formula.getBoundingClientRect()
    return [...formula.children].flatMap(part => {
        const box = part.getBoundingClientRect()
        return [box.x - corner.x, box.y - corner.y, box.width, box.height]
    })
})"""
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{}</dir><cachedir>{}</cachedir></fontconfig>"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a test choose the fonts")
def test_formulas_look_the_same_with_and_without_a_math_font(playwright, report, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), bare)
    full = tmp_path / "full"
    shutil.copytree(bare, full)
    font = TTFont(FONT)
    font.flavor = None
    font.save(full / "math.ttf")

    def parts(fonts):
        """As they come, and in the system's fonts alone."""
        config = tmp_path / f"{fonts.name}.conf"
        config.write_text(FONTS.format(fonts, tmp_path / "cache"))
        with playwright.chromium.launch(
            executable_path=CHROMIUM, args=QUIET, env=os.environ | {"FONTCONFIG_FILE": str(config)}
        ) as browser:
            page = browser.new_page()
            page.goto(report)
            own = np.concatenate(page.evaluate(PARTS))
            page.add_style_tag(content="math { font-family: math, 'STIX Two Math' !important }")
            return own, np.concatenate(page.evaluate(PARTS))

    (without, bad), (with_font, good) = parts(bare), parts(full)
    assert len(without) > 50
    assert np.abs(without - with_font).max() <= 1
    assert np.abs(bad - good).max() > 1  # it can be seen


# Of each cell: the width of what is drawn in its formula, in em; numbers of equations aside.
WIDTHS = """[...document.querySelectorAll('.cell.text')].map(cell => {
    const parts = [...cell.querySelectorAll('mi, mn, mo, mtext, mspace, msqrt, mfrac, menclose')]
        .filter(part => !/^\\([0-9]+\\)$/.test(part.textContent))
        .map(part => part.getBoundingClientRect()).filter(box => box.width)
    const em = parseFloat(getComputedStyle(cell.querySelector('math')).fontSize)
    return (Math.max(...parts.map(b => b.right)) - Math.min(...parts.map(b => b.left))) / em
})"""
# Each with a bar, box or stroke, and without.
BARS = [
    (r"\overline{x}", "x"),
    (r"\underline{x}", "x"),
    (r"\boxed{x}", "x"),
    (r"\cancel{xy}", "xy"),
    (r"\xcancel{xy}", r"\cancel{xy}"),
    (r"\begin{array}{c|c} a & b \end{array}", r"\begin{array}{cc} a & b \end{array}"),
    (r"\begin{array}{c} a \\ \hline b \end{array}", r"\begin{array}{c} a \\ b \end{array}"),
    (r"\begin{array}{c} a \\ \hline \end{array}", r"\begin{array}{c} a \end{array}"),
    (r"\left| \frac{a}{b} \right|", r"\frac{a}{b}"),
    (r"\widetilde{ab}", "ab"),
    (r"\widehat{ab}", "ab"),
    (r"\widehat{X}", "X"),
    (r"\bar{x}", "x"),
    (r"\vec{x}", "x"),
    (r"\sqrt{x}", "x"),
]


def formulas_page(browser, formulas, tmp_path):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(report_of([new_markdown_cell(f"$${latex}$$") for latex in formulas], tmp_path))
    assert page.locator(".latex").all_inner_texts() == []
    return page


def test_formulas_are_as_wide_as_in_a_reference_drawing(browser, tmp_path):
    """The reference is MathJax 3.2, drawn in its own font; none where it draws another shape."""
    reference = json.loads(Path(__file__).with_name("formulas.json").read_text(encoding="utf-8"))
    assert len(reference) >= 100
    with formulas_page(browser, reference, tmp_path) as page:
        widths = dict(zip(reference, page.evaluate(WIDTHS), strict=True))
    wrong = {
        latex: (round(widths[latex], 2), width)
        for latex, width in reference.items()
        if width is not None and abs(widths[latex] - width) > 0.6 + 0.2 * width
    }
    assert wrong == {}


def ink(formula):
    """How many pixels of it are dark."""
    picture = Image.open(io.BytesIO(formula.screenshot())).convert("L")
    return int((np.asarray(picture) < 160).sum())


def test_bars_boxes_and_strokes_are_drawn(browser, tmp_path):
    formulas = [latex for pair in BARS for latex in pair]
    with formulas_page(browser, formulas, tmp_path) as page:
        dark = [ink(one) for one in page.locator(".formula.display").all()]
    drawn = dict(zip(BARS, zip(dark[::2], dark[1::2], strict=True), strict=True))
    assert {pair: both for pair, both in drawn.items() if both[0] < both[1] + 6} == {}


def test_formulas_are_drawn_and_no_latex_is_left(page):
    sizes = page.evaluate(
        "[...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().height)"
    )
    assert len(sizes) > 10
    assert min(sizes) > 5
    page.evaluate("document.querySelectorAll('pre, code').forEach(one => one.remove())")
    assert re.findall(r"\\[a-zA-Z]+|\$[^$]+\$", page.inner_text("body")) == []


def test_code_folds_without_a_script(browser, report):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(report)
        first = page.locator("details.source").first
        expect(first.locator("pre")).to_be_visible()
        first.locator("summary").press("Enter")
        expect(first.locator("pre")).to_be_hidden()


def test_paper_shows_folded_code_and_wraps_it(page):
    page.set_viewport_size({"width": 650, "height": 900})  # about A4 without its margins
    page.emulate_media(media="print")
    assert page.locator("details:not([open])").count() > 0
    for code in page.locator("details pre").all():
        size = code.evaluate("e => [e.clientHeight, e.scrollWidth - e.clientWidth]")
        assert size[0] > 10
        assert size[1] <= 1


@pytest.fixture
def lab(tmp_path):
    """JupyterLab on a free port, with three epochs up to the final accuracy; its address."""
    notebook = real_answer(3)
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    last = next(i for i, names in enumerate(tags) if "final-accuracy" in names)
    notebook.cells = notebook.cells[: last + 1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    (tmp_path / "work").mkdir()
    nbformat.write(notebook, tmp_path / "work" / "notebook.ipynb")

    # Cells out of sight stay in the page, and JupyterLab looks for no news.
    for plugin, settings in {
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        file = tmp_path / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(settings))
    folders = {
        name: str(tmp_path / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"]
    command += ["--ip=127.0.0.1", f"--ServerApp.root_dir={tmp_path / 'work'}"]
    settings = {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"), "OMP_NUM_THREADS": "1"}
    with (
        open(tmp_path / "lab.log", "w") as log,
        subprocess.Popen(
            command, env=os.environ | folders | settings, stdout=log, stderr=log
        ) as server,
    ):
        try:
            for _ in range(300):
                running = list((tmp_path / "jupyter_runtime_dir").glob("jpserver-*.json"))
                if running:
                    break
                assert server.poll() is None, (tmp_path / "lab.log").read_text()
                time.sleep(0.1)
            info = json.loads(running[0].read_text())
            yield f"{info['url']}lab/tree/notebook.ipynb?token={info['token']}"
        finally:
            server.terminate()


# Of the figure that stands in a cell.
SIZE = """cell => {
    const figure = cell.querySelector('.jp-OutputArea-output img')
    return figure && `${figure.clientWidth} x ${figure.clientHeight}`
}"""


def run_all_cells(page):
    """Click until the first cell runs: a click before the kernel is connected can get lost."""
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").first
    for _ in range(4):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        with suppress(AssertionError):
            expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=30_000)
            return


def test_in_jupyterlab_training_shows_itself_and_can_be_stopped(browser, lab, tmp_path):
    with browser.new_page(viewport={"width": 1280, "height": 900}) as page:
        page.set_default_timeout(60_000)
        expect.set_options(timeout=120_000)
        page.goto(lab)
        page.get_by_role("heading", name="Fashion-MNIST with a patch MLP").wait_for()
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
        run_all_cells(page)

        training = page.locator(".jp-CodeCell", has_text="plotting.LiveHistory(")
        figure = training.locator(".jp-OutputArea-output img")
        lines = training.locator(".jp-OutputArea-output pre")
        pictures, progress, sizes = [], set(), set()
        figure.wait_for()
        while "epoch 3: loss" not in lines.first.inner_text():
            if figure.get_attribute("src") not in pictures:
                pictures.append(figure.get_attribute("src"))
            progress.update(re.findall(r"epoch \d: +\d+%.*", lines.first.inner_text()))
            sizes.add(training.evaluate(SIZE))
            assert len(pictures) <= 4
            page.wait_for_timeout(50)
        assert len(pictures) >= 2
        assert len(progress) > 10
        # What is below it keeps its place, and text its size: two pixels of the picture are one.
        assert sizes == {figure.evaluate("e => `${e.naturalWidth >> 1} x ${e.naturalHeight >> 1}`")}
        assert re.search(r"\d+%\|.+\[\d\d:\d\d<[\d:]+, .+ images/s\]$", max(progress))
        final = page.locator(".jp-OutputArea-output", has_text="test accuracy: ")
        expect(final).to_contain_text(re.compile(r"test accuracy: \d\d\.\d\d %"))
        expect(page.locator("[data-mime-type='application/vnd.jupyter.error']")).to_have_count(0)

        first_epoch = lines.first.inner_text().splitlines()[0].rpartition(",")[0]
        training.locator(".jp-InputArea-editor").click()
        page.keyboard.press("Control+Enter")
        expect(lines.first).to_contain_text(re.compile(r"epoch 2: +\d+%"))
        page.get_by_role("button", name="Interrupt the kernel").click()
        expect(lines.last).to_contain_text("Interrupted after 1 of 3 epochs")
        expect(figure).to_have_count(1)
        page.keyboard.press("Control+s")
        saved = tmp_path / "work" / "notebook.ipynb"
        for _ in range(100):
            if "Interrupted after" in saved.read_text():
                break
            page.wait_for_timeout(100)
        assert '"alt": "After 1 of 3 epochs' in saved.read_text()

        training.locator(".jp-InputArea-editor").click()
        page.keyboard.press("Control+Enter")
        expect(lines).to_have_count(1)
        expect(lines.first).to_contain_text(first_epoch)  # the same seed, the same numbers
