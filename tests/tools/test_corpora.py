"""No forgery earns a point more than its honest part, and no honest variant loses one.

Both corpora run against the real assignment, each submission trained for one epoch at most.
"""

import csv
import os
import re
import subprocess
import sys

import nbformat
import pytest
from forgeries import FORGERIES
from honest import HONEST

CORPORA = {"honest": HONEST, "forgery": FORGERIES}
CASES = {f"{kind}, {name}": c for kind, corpus in CORPORA.items() for name, c in corpus.items()}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The row of every submission: all are graded in one run of the command."""
    folder, out = tmp_path_factory.mktemp("corpora"), tmp_path_factory.mktemp("out")
    for name, case in CASES.items():
        nbformat.write(case.notebook, folder / f"{name}.ipynb")
    command = [sys.executable, "-m", "tools.grading", str(folder), "--out", str(out)]
    options = ["-n", "2", "--no-network", "--cell-seconds", "40"]
    result = subprocess.run([*command, *options], capture_output=True, text=True, env=os.environ)
    assert result.returncode == 0, result.stderr
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["submission"].removesuffix(".ipynb"): row for row in csv.DictReader(file)}


def points(row):
    return [int(row[name]) for name in row if re.match(r"\d ", name)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_submission_earns_what_its_honest_part_deserves(rows, name):
    case, row = CASES[name], rows[name]
    assert points(row) == case.points, f"{row['reason']}; {row['look']}"
    assert case.look in row["look"]
    assert row["reason"] or sum(case.points) == 10


@pytest.mark.slow
def test_the_table_of_variants(rows, capsys):
    """What was tried and what it earned, for the reader of the test's output."""
    with capsys.disabled():
        print("\n\npoints  deserved  variant")
        for name, case in CASES.items():
            print(f"{sum(points(rows[name])):>6}  {sum(case.points):>8}  {name}")
            for variant in case.variants:
                print(f"{'':18}- {variant}")
    assert rows.keys() == CASES.keys()


def test_the_corpora_are_as_large_as_they_have_to_be():
    for corpus in CORPORA.values():
        variants = [variant for case in corpus.values() for variant in case.variants]
        assert len(variants) == len(set(variants)) >= 30
