"""Print a page as PDF by the Chromium, Chrome or Edge that is installed."""

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import unquote

from tools.report.exporter import ReportError

from pypdf import PdfReader

BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
SECONDS = 60
FITTING = Path(__file__).with_name("templates") / "report" / "print.js"


def print_page(page: str, folder: Path) -> bytes:
    """Return the page as a PDF that is tagged, with the headings as bookmarks.

    It is printed twice: only then it is known on which pages the headings stand.

    Args:
        page: the HTML.
        folder: where to keep files while it prints: a Chromium that is a snap, as on Ubuntu,
            does not see the system's folder for these.

    Raises:
        ReportError: if there is no browser, or it prints nothing.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise ReportError("A PDF needs Chromium, Chrome or Edge: install one, or ask for .html.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as name:
        page = _for_paper(page)
        try:
            pdf = _print(browser, _numbered(page, {}), Path(name).resolve())
            pages = PdfReader(pdf)
            places = pages.named_destinations.items()
            numbers = {
                unquote(to)[1:]: pages.get_destination_page_number(one) + 1 for to, one in places
            }
            return _print(browser, _numbered(page, numbers), Path(name).resolve()).read_bytes()
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReportError(f"{browser} printed no PDF.") from error


def _for_paper(page: str) -> str:
    """The page with its look on paper as its only one, and the script that fits wide things in."""
    page = page.replace("@media screen", "@media (width < 0px)").replace(
        "@media print", "@media all"
    )
    nonce = secrets.token_hex()
    page = page.replace(
        "default-src 'none';", f"default-src 'none'; script-src 'nonce-{nonce}';", 1
    )
    script = f'<script nonce="{nonce}">{FITTING.read_text(encoding="utf-8")}</script>'
    head, body, end = page.rpartition("</body>")
    return head + script + body + end


def _numbered(page: str, numbers: dict[str, int]) -> str:
    """The page with the numbers of pages in its contents."""

    def number(link: re.Match) -> str:
        return f'{link[0]} data-page="{numbers.get(unquote(link[1]), "00")}"'

    before, nav, after = page.partition("<nav")
    contents, end, rest = after.partition("</nav>")
    return before + nav + re.sub('<a href="#([^"]*)"', number, contents) + end + rest


def _print(browser: str, page: str, folder: Path) -> Path:
    html, pdf = folder / "page.html", folder / "page.pdf"
    html.write_text(page, encoding="utf-8", errors="backslashreplace")
    command = [browser, "--headless", "--disable-gpu", f"--user-data-dir={folder}/profile"]
    if getattr(os, "geteuid", lambda: 1)() == 0:  # the sandbox cannot start as root
        command.append("--no-sandbox")
    command += ["--no-pdf-header-footer", "--generate-pdf-document-outline"]
    command += ["--virtual-time-budget=5000", f"--print-to-pdf={pdf}", html.as_uri()]
    subprocess.run(command, capture_output=True, timeout=SECONDS)
    return pdf
