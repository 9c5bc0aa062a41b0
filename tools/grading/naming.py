"""Pytest plugin: the check cells of a notebook show up as `Check 2: Patchify`, not as `Cell 11`.

It is registered in pyproject.toml, so every run of nbval in this environment has it.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile


class StepNotebook(IPyNbFile):
    """A notebook whose check cells say which step they check."""

    def collect(self) -> Iterable[IPyNbCell]:
        """Every code cell as a test, as nbval does; only the names differ."""
        for cell in super().collect():
            grading = cell.cell.metadata.get("grading")
            if isinstance(grading, dict) and {"step", "title"} <= grading.keys():
                name = f"Check {grading['step']}: {grading['title']}"
                yield _CheckCell.from_parent(
                    self, name=name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
                )
            else:
                yield cell


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
