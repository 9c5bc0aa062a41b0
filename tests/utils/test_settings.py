"""What importing utils sets for torch, and what it leaves alone."""

import os
import re
import subprocess
import sys

from tools.notebook import tagged_sources
from utils import training

import pytest
import torch

EVERY_MODULE = """
import warnings
warnings.simplefilter("error", UserWarning)
import utils.data, utils.plotting, utils.definitions, utils.training, tools.report.write
"""
FIRST_CELL = tagged_sources("definition")[0]
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


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(EVERY_MODULE, id="every module", marks=pytest.mark.slow),
        pytest.param(FIRST_CELL, id="the notebook's first cell"),
    ],
)
def test_importing_prints_nothing_and_torch_has_read_the_settings(source):
    """OpenMP prints its settings when torch loads it, and nothing else is printed."""
    program = run(source, OMP_DISPLAY_ENV="VERBOSE")
    settings = r"OPENMP DISPLAY ENVIRONMENT BEGIN.*?OPENMP DISPLAY ENVIRONMENT END"
    assert program.stdout == ""
    assert re.sub(settings, "", program.stderr, flags=re.DOTALL).strip() == ""
    if sys.platform == "linux":  # torch has another OpenMP library elsewhere
        assert "GOMP_SPINCOUNT = '1000'" in program.stderr


@pytest.fixture
def chosen():
    """What the test chooses is not left to those that follow."""
    before = torch.get_float32_matmul_precision()
    yield torch.get_float32_matmul_precision
    torch.set_float32_matmul_precision(before)


def rounding():
    """The largest error of a product of matrices, as a share of its largest number."""
    torch.manual_seed(0)
    X, Y = torch.randn(2048, 196), torch.randn(196, 128)
    exact = X.double() @ Y.double()
    return ((X @ Y - exact).abs().max() / exact.abs().max()).item()


@pytest.mark.skipif(torch.cuda.is_available(), reason="products on a GPU would be rounded")
class TestProducts:
    def test_come_from_onednn_where_they_keep_every_digit_of_float32(self, chosen):
        torch.set_float32_matmul_precision("medium")
        is_exact = rounding() < 1e-5  # in bfloat16 it is 3e-3
        training.choose_products()
        assert chosen() == ("medium" if is_exact else "highest")
        assert rounding() < 1e-5

    def test_do_not_where_they_would_be_rounded(self, chosen, monkeypatch):
        exact = torch.full
        rounded = lambda *arguments: exact(*arguments).bfloat16().float()  # noqa: E731
        monkeypatch.setattr(training.torch, "full", rounded)
        training.choose_products()
        assert chosen() == "highest"


def test_a_gpu_keeps_the_precision_that_it_has(chosen, monkeypatch):
    torch.set_float32_matmul_precision("highest")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    training.choose_products()
    assert chosen() == "highest"
