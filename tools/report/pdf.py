"""Print a page as PDF by the Chromium, Chrome or Edge that is installed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.report.exporter import ReportError

BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
SECONDS = 60


def print_page(page: str, folder: Path) -> bytes:
    """Return the page as a PDF that is tagged, with the headings as bookmarks.

    Page numbers and breaks are in the page's own style, for paper from a printer too.

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
        html, pdf = Path(name, "page.html").resolve(), Path(name, "page.pdf").resolve()
        html.write_text(page, encoding="utf-8", errors="backslashreplace")
        command = [browser, "--headless", "--disable-gpu", f"--user-data-dir={name}/profile"]
        if getattr(os, "geteuid", lambda: 1)() == 0:  # the sandbox cannot start as root
            command.append("--no-sandbox")
        command += ["--no-pdf-header-footer", "--generate-pdf-document-outline"]
        command += [f"--print-to-pdf={pdf}", html.as_uri()]
        try:
            subprocess.run(command, capture_output=True, timeout=SECONDS)
            return pdf.read_bytes()
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReportError(f"{browser} printed no PDF.") from error
