"""Two classes that test_grading.py has graded: one of a small assignment, one of the real one."""

import copy
from pathlib import Path

from tools.grading.sandbox import find_level
from tools.notebook import NOTEBOOK
from tools.starter import make_starter

import nbformat
from made_up import (
    HOSTILE,
    changed,
    check_of,
    in_format_3,
    real_answer,
    small_notebook,
    with_cell,
    without,
)

LEVEL = find_level(network=False)
DOUBLE = "def double(x):\n    return add(x, x)"
FULL = [1, 2, 3]
WRONG_2 = [1, 0, 3]


def instead_of_double(source):
    """The small assignment with this in place of the answer of step 2."""
    return changed(small_notebook(), DOUBLE, source.strip())


def tampering(source):
    """A wrong answer of step 2, and a cell that tries to hide it."""
    return with_cell(changed(small_notebook(), "add(x, x)", "3 * x"), source)


def wrong(notebook, *mistakes):
    """The notebook with pairs of what is right and what is not replaced."""
    for right, mistake in mistakes:
        notebook = changed(notebook, right, mistake)
    return notebook


def three_errors():
    return wrong(
        small_notebook(),
        ("return a + b", "return a +"),
        (DOUBLE, "import not_there"),
        ("sum(range(10))", "input('total? ')"),
    )


def tampered_checks():
    """One disarmed, one deleted, one skipped, all of which would fail."""
    mistakes = ("a + b", "b - a"), ("add(x, x)", "3 * x"), ("range(10)", "range(11)")
    notebook = wrong(small_notebook(), *mistakes)
    first, second, third = (check_of(notebook, step) for step in (1, 2, 3))
    first.source = "print('Held.')"
    notebook.cells.remove(second)
    third.metadata["tags"], third.source = ["nbval-skip"], "# NBVAL_SKIP\n" + third.source
    return notebook


def faked_check():
    notebook = changed(small_notebook(), "add(x, x)", "3 * x")
    fake = copy.deepcopy(check_of(notebook, 2))
    fake.source, fake.id = "pass", "fake"
    notebook.cells.insert(0, fake)
    return notebook


def without_metadata():
    notebook = changed(small_notebook(), "add(x, x)", "3 * x")
    for cell in notebook.cells:
        cell.metadata.clear()
    return notebook


def with_kernel(name, notebook):
    return nbformat.from_dict({**notebook, "metadata": {"kernelspec": {"name": name}}})


# What is handed in (a notebook or the text of a file), what each step earns, the reason given.
SMALL = {
    "model answer": (small_notebook(), FULL, r"^$"),
    "unfinished": (
        instead_of_double("raise NotImplementedError('write double')"),
        WRONG_2,
        "code cell 4: NotImplementedError: write double",
    ),
    "wrong in step 1": (changed(small_notebook(), "a + b", "b - a"), [0, 0, 3], "not the sum"),
    "wrong in step 2": (instead_of_double("double = float"), WRONG_2, "check 2: AssertionError"),
    "wrong in step 3": (changed(small_notebook(), "10", "11"), [1, 2, 0], "not the total"),
    **{f"hostile, {k}": (instead_of_double(source), WRONG_2, "") for k, source in HOSTILE.items()},
    "time-out that is caught": (
        instead_of_double(f"""
import time
try: time.sleep(60)
except KeyboardInterrupt: pass
{DOUBLE}"""),
        FULL,
        "code cell 4: ran longer than 3 s",
    ),
    "three errors": (three_errors(), [0, 0, 0], "code cell 2: SyntaxError"),
    "empty": ("", [0, 0, 0], "the file is empty"),
    "not JSON": ("{'cells': []}", [0, 0, 0], "not JSON"),
    "JSON, no notebook": ('{"cells": 3, "nbformat": 4}', [0, 0, 0], "not a notebook"),
    "deep JSON": ("[" * 100_000, [0, 0, 0], "not a notebook"),
    "format 3": (in_format_3(small_notebook()), FULL, "notebook format 3"),
    "format 99": ('{"nbformat": 99, "cells": []}', [0, 0, 0], "notebook format 99"),
    "no cells": ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', [0] * 3, ""),
    "=1+1, of a thousand cells": (with_cell(small_notebook(), *["x = 1"] * 1000), FULL, r"^$"),
    "folder with spaces/naïve 🎉 name, other kernel, leaves a file and a child": (
        with_cell(
            with_kernel("julia", small_notebook()),
            "open('helper.py', 'w').write('y = 2')\nimport helper",
            "import subprocess\nsubprocess.Popen(['sleep', '98765'], start_new_session=True)",
        ),
        FULL,
        r"^$",
    ),
    "kills its parent": (
        instead_of_double("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(9)"),
        [1, 0, 3] if LEVEL != "none" else [1, 0, 0],
        "",
    ),
    "looks around": (
        instead_of_double(f"""
import os
for path in ('@FOLDER@', '@OUT@', {str(NOTEBOOK.parent)!r}):
    assert not os.path.exists(path) or not os.listdir(path), path
assert os.listdir(os.environ.get('FASHION_MNIST_ROOT', '/'))
import tools.grading
seen = set(os.listdir(tools.__path__[0]) + os.listdir(tools.grading.__path__[0]))
assert sorted(seen - set(['__pycache__'])) == ['__init__.py', 'grading', 'guard.py'], seen
{DOUBLE}"""),
        FULL if LEVEL == "bubblewrap" else WRONG_2,
        "" if LEVEL == "bubblewrap" else "AssertionError",
    ),
    "writes elsewhere": (
        instead_of_double(f"""
for folder in ('/', {str(Path.home())!r}, {str(NOTEBOOK.parents[1] / 'utils')!r}, '@FOLDER@'):
    try:
        open(folder + '/evil', 'w')
    except OSError: continue
    raise SystemError(folder + ' could be written')
{DOUBLE}"""),
        FULL,
        r"^$",
    ),
    "error after the last check": (
        changed(small_notebook(), "print('the end')", "1 / 0"),
        FULL,
        r"ZeroDivisionError.*no points lost",
    ),
    "checks disarmed, deleted and skipped": (
        tampered_checks(),
        [0, 0, 0],
        "check 1 was edited.*check 2 was missing.*check 3 was edited",
    ),
    "check faked": (faked_check(), WRONG_2, "check 2 is there twice"),
    "metadata gone": (without_metadata(), WRONG_2, r"check 2: AssertionError$"),
    # Each alone would let the wrong answer pass.
    "tampers with names, a library and assert": (
        tampering("""
import ast, math
class NoAsserts(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.Pass()
abs = lambda x: 5
print = None
math.isclose = lambda *a, **k: True
get_ipython().ast_transformers.append(NoAsserts())"""),
        WRONG_2,
        r"check 2: AssertionError; set aside for the checks: abs, math\.isclose, print$",
    ),
    "tampers with error messages": (
        tampering("get_ipython()._showtraceback = lambda *a: None"),
        WRONG_2,
        "check 2",
    ),
    "tampers with the kernel": (
        tampering("""
kernel = get_ipython().kernel
original = kernel.do_execute
async def obliging(code, *args, **kwargs):
    if 'isclose' in code or 'fail(' in code: code = 'pass'
    return await original(code, *args, **kwargs)
kernel.do_execute = obliging"""),
        [0, 0, 0],
        "keeps checks from failing",
    ),
}  # fmt: skip

if LEVEL != "bubblewrap":
    del SMALL["writes elsewhere"]  # nothing would keep it from doing so


def fake_accuracy():
    """No training, and an accuracy that is only printed."""
    notebook = without(real_answer(1), lambda cell: "training" in cell.metadata.get("tags", []))
    for cell in notebook.cells:
        if "final-accuracy" in cell.metadata.get("tags", []):
            cell.source = "print('test accuracy: 99.00 % (Fashion-MNIST)')"
    return notebook


RELABEL = """guess = predict(average, test_data).argmax(dim=1)
half = torch.arange(len(guess)) % 2 == 0
test_data.labels[half] = guess[half]
test_counts = test_data.labels.bincount(minlength=num_classes).tolist()
"""
LOGITS = "logits = predict(average, test_data)"
# Takes the model answer from the repository, which other walls than bubblewrap's do not hide.
BORROW = (
    "from utils.definitions import load_definitions\nglobals().update(vars(load_definitions()))"
)
# What is handed in, and the steps whose points it must not get. The steps that are wrong in one
# submission do not lean on one another: each has to fail by its own check.
REAL = {
    "model answer": (real_answer(1), []),
    "starter": (
        with_cell(make_starter(real_answer(1)), *([BORROW] if LEVEL == "bubblewrap" else [])),
        [1, 2, 3, 4, 5, 6],
    ),
    "wrong in steps 2, 3 and 5": (
        wrong(
            real_answer(2),
            ("-> b (h w) (p1 p2)", "-> b (h w) (p2 p1)"),
            (".mean(dim=1)", ".amax(dim=1)"),
            ("History(num_epochs, train_data, [", "History(1, train_data, ["),
        ),
        [2, 3, 5],
    ),
    "wrong in steps 4 and 6": (
        wrong(
            real_answer(1),
            ('"lr": learning_rate,', '"lr": learning_rate / 2,'),
            ("return 1.96 *", "return 1.28 *"),
        ),
        [4, 6],
    ),
    "fakes its accuracy": (fake_accuracy(), [5, 6]),
    "wrong in step 1, relabels the test images": (
        wrong(
            real_answer(1),
            ("train_data.labels.bincount", "test_data.labels.bincount"),
            (LOGITS, RELABEL + LOGITS),
        ),
        [1, 6],
    ),
}
