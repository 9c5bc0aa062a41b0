"""The report: what becomes one, and what is refused without losing the one that is there."""

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from utils.report import ReportError, write_report


def executed(outputs, count=1):
    cell = new_code_cell("print('x')", execution_count=count, outputs=outputs)
    cell.metadata["tags"] = ["final-accuracy"]
    return new_notebook(cells=[cell])


def stdout(text):
    return new_output("stream", name="stdout", text=text)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "notebook.ipynb"
    nbformat.write(executed([stdout("test accuracy: 12.34 % (stand-in)\n")]), path)
    return path


def test_an_executed_notebook_becomes_html_and_its_accuracy_is_the_last_line(source):
    command = [sys.executable, "-m", "utils.report", str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "test accuracy: 12.34 % (stand-in)"
    assert "12.34 %" in source.with_suffix(".html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("notebook", "message"),
    [
        (executed([], count=None), "Code cell 1 was not run"),
        (
            executed([new_output("error", ename="ValueError", evalue="no", traceback=[])]),
            "Code cell 1 failed with ValueError: no",
        ),
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


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"cells": 3}'])
def test_a_file_that_is_no_notebook_is_named(tmp_path, content):
    source = tmp_path / "other.ipynb"
    source.write_text(content)
    with pytest.raises(ReportError, match=r"other\.ipynb is not a Jupyter notebook"):
        write_report(source, tmp_path / "report.html")


def test_a_missing_file_ends_with_one_sentence_and_a_non_zero_exit(tmp_path):
    command = [sys.executable, "-m", "utils.report", str(tmp_path / "none.ipynb")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0
    assert result.stderr.startswith("error: Cannot read")
    assert "Traceback" not in result.stderr
