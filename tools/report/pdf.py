"""Print a page as PDF by the Chromium, Chrome or Edge that is installed."""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import unquote

from tools.report.exporter import ReportError

from pypdf import PdfReader

BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    *("microsoft-edge", "msedge"),
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
SECONDS = 60
FITTING = Path(__file__).with_name("templates") / "report" / "print.js"


def print_page(page: str, folder: Path) -> bytes:
    """Return the page, in HTML, as a PDF that is tagged, with the headings as bookmarks.

    It is printed twice: only then it is known on which pages the headings stand. The files for
    that lie in `folder`: a Chromium that is a snap does not see the system's folder for these.

    Raises:
        ReportError: if there is no browser, or it prints nothing.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise ReportError("A PDF needs Chromium, Chrome or Edge: install one, or ask for .html.")
    folder.mkdir(parents=True, exist_ok=True)
    numbers: dict[str, int] = {}
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as name:
        try:
            pdf = PdfReader(_print(browser, page, numbers, Path(name).resolve()))
            for heading, place in pdf.named_destinations.items():
                numbers[unquote(heading)[1:]] = pdf.get_destination_page_number(place) + 1
            return _print(browser, page, numbers, Path(name).resolve()).read_bytes()
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReportError(f"{browser} printed no PDF.") from error


def _print(browser: str, page: str, numbers: dict[str, int], folder: Path) -> Path:
    """Print, laid out as on paper for the script that fits wide things in and numbers contents."""
    html, pdf, nonce = folder / "page.html", folder / "page.pdf", secrets.token_hex()
    page = page.replace("default-src 'none'", f"default-src 'none'; script-src 'nonce-{nonce}'", 1)
    page = page.replace("@media screen", "@media speech").replace("@media print", "@media all")
    pages = json.dumps(numbers).replace("<", r"\u003c")
    page += f'<script nonce="{nonce}">const PAGES = {pages}\n{FITTING.read_text("utf-8")}</script>'
    html.write_text(page, encoding="utf-8", errors="backslashreplace")
    command = [browser, "--headless", "--disable-gpu", f"--user-data-dir={folder}/profile"]
    if getattr(os, "geteuid", lambda: 1)() == 0:  # the sandbox cannot start as root
        command.append("--no-sandbox")
    command += ["--no-pdf-header-footer", "--generate-pdf-document-outline"]
    command += ["--virtual-time-budget=5000", f"--print-to-pdf={pdf}", html.as_uri()]
    subprocess.run(command, capture_output=True, timeout=SECONDS)
    return pdf
