"""What importing utils sets for torch, and what it leaves alone."""

import os
import subprocess
import sys

from tools.notebook import tagged_sources

import pytest

VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE")


def run(source, **variables):
    """Run a program as if these were the only settings of torch's threads."""
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-c", source]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=clean | variables
    )


def settings(**variables):
    """The settings after importing utils."""
    source = f"import os, utils; print(*map(os.environ.get, {VARIABLES}))"
    return run(source, **variables).stdout.split()


def test_waiting_threads_soon_sleep_and_pages_are_huge():
    assert settings() == ["1000", "None", "1"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"GOMP_SPINCOUNT": "7"}, ["7", "None", "1"]),
        ({"OMP_WAIT_POLICY": "active"}, ["None", "active", "1"]),
        ({"THP_MEM_ALLOC_ENABLE": "0"}, ["1000", "None", "0"]),
    ],
    ids=["spin count", "wait policy", "huge pages"],
)
def test_what_the_user_has_set_stays(variables, expected):
    assert settings(**variables) == expected


def test_importing_utils_alone_does_not_load_torch():
    assert run("import sys, utils; print('torch' in sys.modules)").stdout == "False\n"


@pytest.mark.skipif(sys.platform != "linux", reason="torch has another OpenMP library there")
@pytest.mark.parametrize(
    "source",
    ["from utils.data import load_fashion_mnist", tagged_sources("definition")[0]],
    ids=["a program", "the notebook's first cell"],
)
def test_torch_has_read_them(source):
    """OpenMP prints its settings when torch loads it."""
    assert "GOMP_SPINCOUNT = '1000'" in run(source, OMP_DISPLAY_ENV="VERBOSE").stderr
