"""Files at the root and below .github that nothing else reads: do they still say what is true?"""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from utils.definitions import NOTEBOOKS

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/**/*.md")]


def read_yaml(*place):
    return yaml.safe_load(ROOT.joinpath(*place).read_text(encoding="utf-8"))


def test_workflows_test_the_lowest_and_the_highest_python_promised():
    lowest, end = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    jobs = read_yaml(".github", "workflows", "tests.yml")["jobs"]
    matrices = [job["strategy"]["matrix"] for job in jobs.values() if "strategy" in job]
    for matrix in matrices:
        assert matrix["python"] == [f"3.{lowest}", f"3.{int(end) - 1}"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.name)
def test_what_a_workflow_names_is_there(workflow):
    text = workflow.read_text(encoding="utf-8")
    files = re.findall(r"(?<![\w./-])(?:tests|notebooks|\.ci|\.github)/[\w./-]+", text)
    assert [file for file in files if not (ROOT / file).exists()] == []
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z-]+)$", text, flags=re.MULTILINE)) <= set(targets)


def test_the_citation_and_the_changelog_name_the_version():
    assert read_yaml("CITATION.cff")["version"] == PROJECT["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## [{PROJECT['version']}] - " in changes


@pytest.mark.parametrize("page", PAGES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_pages_links_to_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def small_notebook():
    shown = new_output("stream", text="seen\n")
    cell = new_code_cell("print('seen')", id="small", execution_count=3, outputs=[shown])
    return new_notebook(cells=[cell], metadata={"title": "Small"})


@pytest.fixture(scope="module")
def stripped(tmp_path_factory):
    """A folder of notebooks, the committed ones and a small one, after the hook of a commit."""
    folder = tmp_path_factory.mktemp("stripped")
    for file in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(file, folder)
    small = small_notebook()
    small.metadata.vscode = {"interpreter": {"hash": "5d41"}}
    small.cells[0].metadata.execution = {"iopub.execute_input": "2026-11-29T09:00:00Z"}
    nbformat.write(small, folder / "small.ipynb")
    hooks = read_yaml(".pre-commit-config.yaml")["repos"][0]["hooks"]
    (entry,) = [hook["entry"] for hook in hooks if hook["id"] == "nbstripout"]
    program, *options = shlex.split(entry)
    command = [sys.executable, "-m", Path(program).name, *options, *folder.glob("*.ipynb")]
    subprocess.run(command, check=True)
    return folder


def test_a_commit_keeps_outputs_and_drops_what_editors_and_machines_left(stripped):
    assert nbformat.read(stripped / "small.ipynb", as_version=4) == small_notebook()


def test_it_leaves_the_committed_notebooks_as_they_are(stripped):
    for file in NOTEBOOKS.glob("*.ipynb"):
        assert (stripped / file.name).read_bytes() == file.read_bytes()
