"""Pytest plugin: the check cells of a notebook show up as `Check 2: Patchify`, not as `Cell 9`.

It is registered in pyproject.toml, so every run of nbval in this environment has it.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

HEADING = re.compile(r"^## (\d+)\. (.+)$", flags=re.MULTILINE)


class StepNotebook(IPyNbFile):
    """A notebook whose check cells say which step they check."""

    def collect(self) -> Iterable[IPyNbCell]:
        """Every code cell as a test, as nbval does; only the names differ."""
        tests, heading = list(super().collect()), None
        for cell in self.nb.cells:
            if cell.cell_type != "code":
                heading = [heading, *HEADING.finditer(cell.source)][-1]
                continue
            test = tests.pop(0)
            if heading and "check" in cell.metadata.get("tags", []):
                test = _CheckCell.from_parent(
                    self,
                    name=f"Check {heading[1]}: {heading[2]}",
                    cell_num=test.cell_num,
                    cell=test.cell,
                    options=test.options,
                )
            yield test


class _CheckCell(IPyNbCell):
    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Iterable[pytest.Collector]:
    collectors = yield
    return [
        StepNotebook.from_parent(parent, path=file_path) if type(c) is IPyNbFile else c
        for c in collectors
    ]
