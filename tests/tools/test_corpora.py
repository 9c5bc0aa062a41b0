"""No forgery earns a point more than its honest part, and no honest variant loses one.

All run against the real assignment, each submission trained for one epoch at most; those that only
answer wrongly, without a kernel.
"""

import csv
import re
import sys

from tools.grading import box, classroom, command

import nbformat
import no_kernel
import pytest
from forgeries import ANSWERS, FORGERIES
from honest import HONEST

CORPORA = {"honest": HONEST, "forgery": FORGERIES, "wrong answer": ANSWERS}
CASES = {f"{kind}, {name}": c for kind, corpus in CORPORA.items() for name, c in corpus.items()}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The row of every submission: all are graded in two runs of the command."""
    folder, rows = tmp_path_factory.mktemp("corpora"), {}
    for name, case in CASES.items():
        place = folder / ("answers" if name.startswith("wrong answer") else "boxed")
        place.mkdir(exist_ok=True)
        nbformat.write(case.notebook, place / f"{name}.ipynb")
    options = ["-n", "2", "--no-network", "--cell-seconds", "25"]
    for place in folder.iterdir():
        out = tmp_path_factory.mktemp(place.name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["grading", str(place), "--out", str(out), *options])
            patch.setattr(classroom, "save_report", lambda *_: None)  # it gives no points
            if place.name == "answers":
                patch.setattr(box, "run", no_kernel.run)
            command.main()
        with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        rows |= {row["submission"].removesuffix(".ipynb"): row for row in table}
    return rows


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
    for corpora in ([HONEST], [FORGERIES, ANSWERS]):
        cases = [case for corpus in corpora for case in corpus.values()]
        variants = [variant for case in cases for variant in case.variants]
        assert len(variants) == len(set(variants)) >= 30
