"""The class of a small assignment that test_grading.py has graded: honest, wrong and hostile."""

import base64
import json
from pathlib import Path

from tools.grading.box import find_level
from tools.notebook import NOTEBOOK

import nbformat
from made_up import HOSTILE, changed, checks_of, in_format_3, small_notebook, with_cell, without
from nbformat.v4 import new_markdown_cell

LEVEL = find_level(network=False)
DOUBLE = "def double(x):\n    return add(x, x)"
FULL = [1, 1, 1]
WRONG_2 = [1, 0, 1]


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


def no_checks():
    """Right answers without their checks, metadata and headings."""
    notebook = without(small_notebook(), lambda cell: "check" in cell.metadata.get("tags", []))
    content = json.loads(nbformat.writes(notebook))
    for cell in content["cells"]:
        del cell["metadata"]
        cell["source"] = "".join(cell["source"]).replace("##", "#")
    return json.dumps(content)


def idle_checks():
    """Wrong answers, and checks that say they held."""
    mistakes = ("a + b", "b - a"), ("add(x, x)", "3 * x"), ("range(10)", "range(11)")
    notebook = wrong(small_notebook(), *mistakes)
    for check in checks_of(notebook):
        check.source = "print('Held.')"
    return notebook


def with_text(source, **more):
    """The small assignment and a text cell."""
    notebook = small_notebook()
    notebook.cells.insert(1, new_markdown_cell(source, **more))
    return notebook


def escaped(source):
    """The text of a file whose first cell holds this JSON text, escapes included."""
    text = nbformat.writes(with_cell(small_notebook(), "HERE"))
    return text.replace('"HERE"', f'"{source}"')


PIXEL = base64.b64encode(b"a picture").decode()


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
    "wrong in step 1": (changed(small_notebook(), "a + b", "b - a"), [0, 0, 1], "not the sum"),
    "wrong in step 2": (instead_of_double("double = float"), WRONG_2, "AssertionError"),
    "wrong in step 3": (changed(small_notebook(), "10", "11"), [1, 1, 0], "not the total"),
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
    "answers for ever": (
        instead_of_double("def double(x):\n    while True: pass"),
        WRONG_2,
        "ran longer than 3 s",
    ),
    "ends in its answer": (
        instead_of_double("def double(x):\n    import os\n    os._exit(0)"),
        WRONG_2,
        "the kernel ended",
    ),
    "breaks the file of its first answer": (
        with_cell(
            small_notebook(),
            """
import numpy as np
true_savez = np.savez
def once(file, **arrays):
    np.savez = true_savez
    file.write(b"no archive")
np.savez = once""",
        ),
        [0, 1, 1],
        "step 1 Add",
    ),
    "answers with giants": (
        instead_of_double("import numpy as np\ndef double(x):\n    return np.zeros(10**7)"),
        WRONG_2,
        "",
    ),
    "leaves too much on disk": (
        with_cell(
            small_notebook(),
            """
import tempfile
for _ in range(2):
    with open(tempfile.mkdtemp() + "/hoard", "wb") as file:
        for _ in range(40): file.write(bytes(2**24))""",
        ),
        FULL,
        "code cell 2: (wrote more than 1 GiB|ran longer than 3 s)",
    ),
    "daemons that hoard": (
        with_cell(
            small_notebook(),
            """
import subprocess, sys
hoard = "hoard = bytes([1]) * (5 * 2**27); print('full', flush=True); import time; time.sleep(99)"
daemon = ["setsid", "sh", "-c", f'{sys.executable} -I -S -c "{hoard}" &']
for _ in range(2):
    subprocess.Popen(daemon, stdout=subprocess.PIPE).stdout.readline()""",
        ),
        FULL,
        "code cell 2: (used more than 1 GiB|ran longer than 3 s)",
    ),
    "more daemons than processes may be": (
        with_cell(
            small_notebook(),
            """
import subprocess
subprocess.run(["setsid", "sh", "-c", "for n in $(seq 250); do sleep 99 & done"])""",
        ),
        FULL,
        "code cell 2: (started more than 200 processes|ran longer than 3 s)",
    ),
    "erases, replaces and clears by the million": (
        with_cell(
            small_notebook(),
            "print('\\r' + 'x' * 5_000_000)",
            "for _ in range(20_000): print('z' * 100 + '\\b' * 100, end='')",
            """
from IPython.display import clear_output
for _ in range(2000): print("y" * 6000), clear_output()""",
        ),
        FULL,
        r"^$",
    ),
    "shows thousands at once and starts hundreds": (
        with_cell(
            small_notebook(),
            "for n in range(3000): print(n, flush=True)",
            "for n in range(3000): display(n)",
            "h = display(0, display_id='h')\nfor n in range(2000): h.update(n)",
            "import os\nfor _ in range(250): os.system('true &')",
            """
kernel = get_ipython().kernel
text = {"name": "stdout", "text": ["a", "b"]}
kernel.session.send(kernel.iopub_socket, "stream", text, parent=kernel.get_parent())""",
        ),
        FULL,
        r"^$|ran longer than 3 s",
    ),
    "takes its kernel's voice": (
        with_cell(small_notebook(), "import sys; sys.stdout = None"),
        FULL,
        "code cell 2: the kernel hung after this cell",
    ),
    "dies, and each new kernel would": (
        with_cell(
            small_notebook(),
            """
from pathlib import Path
startup = Path.home() / ".ipython/profile_default/startup"
startup.mkdir(parents=True, exist_ok=True)
(startup / "end.py").write_text("import os; os._exit(0)")""",
            "import os; os._exit(0)",
        ),
        FULL,
        "code cell 3: the kernel ended",
    ),
    "clears for ever": (
        instead_of_double("""
from IPython.display import clear_output
while True: print("y" * 1000), clear_output()"""),
        WRONG_2,
        "code cell 4: ran longer than 3 s",
    ),
    "one giant picture": (
        instead_of_double(f"""
from IPython.display import display
display({{"image/png": "A" * 11 * 2**20}}, raw=True)
{DOUBLE}"""),
        WRONG_2,
        "code cell 4: showed more than 10 MiB",
    ),
    "three errors": (three_errors(), [0, 0, 0], "code cell 2: SyntaxError"),
    "empty": ("", [0, 0, 0], "The file is empty"),
    "not JSON": ("{'cells': []}", [0, 0, 0], "not JSON"),
    "JSON, no notebook": ('{"cells": 3, "nbformat": 4}', [0, 0, 0], "not a Jupyter notebook"),
    "deep JSON": ("[" * 100_000, [0, 0, 0], "nested too deeply"),
    "format 3": (in_format_3(small_notebook()), FULL, "notebook format 3"),
    "format 99": ('{"nbformat": 99, "cells": []}', [0, 0, 0], "Notebook format 99 cannot be read"),
    "no cells": (
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}',
        [0] * 3,
        "The notebook has no code cell",
    ),
    "checks, headings and metadata gone": (no_checks(), FULL, r"^$"),
    "wrong, but its checks say that they held": (idle_checks(), [0, 0, 0], "step 1 Add: add"),
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
    "N" * 249: (small_notebook(), FULL, r"^$"),
    "twin": (small_notebook(), FULL, r"^$|no report: .*twin\.html"),
    "twin.html/its report has the name of a folder": (small_notebook(), FULL, r"^$|no report"),
    "kills what runs it": (  # and so its own answers
        instead_of_double("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(9)"),
        [0, 0, 0],
        "ended with 137|no answer came back",
    ),
    "looks around": (
        instead_of_double(f"""
import os
for path in ('@FOLDER@', '@OUT@', {str(NOTEBOOK.parent)!r}, {str(NOTEBOOK.parents[1] / "tools")!r}):
    assert not os.path.exists(path) or not os.listdir(path), path
assert os.listdir(os.environ.get('FASHION_MNIST_ROOT', '/'))
{DOUBLE}"""),
        FULL if LEVEL == "bubblewrap" else WRONG_2,
        "" if LEVEL == "bubblewrap" else "AssertionError",
    ),
    "writes elsewhere": (
        instead_of_double(f"""
places = ['/', '/run', '/dev', '/proc/sys/kernel/hostname', '@FOLDER@']
for place in [*places, {str(Path.home())!r}, {str(NOTEBOOK.parents[1] / "utils")!r}]:
    try:
        with open(place if os.path.isfile(place) else place + '/evil', 'r+' if os.path.isfile(place)
                  else 'w') as file:
            file.write('evil')
    except OSError: continue
    raise SystemError(place + ' could be written')
{DOUBLE}""".replace("places =", "import os\nplaces =")),
        FULL,
        r"^$",
    ),
    "error after the last check": (
        changed(small_notebook(), 'print("the end")', "1 / 0"),
        FULL,
        r"ZeroDivisionError.*no points lost",
    ),
    "half an emoji in a message": (
        instead_of_double("raise ValueError('\\ud83d')"),
        WRONG_2,
        "UnicodeEncodeError|ValueError",
    ),
    "message in other directions and of several lines": (
        instead_of_double("raise ValueError('\\u202e =1+1\\r\\n\\x1b[31m\\0')"),
        WRONG_2,
        r"ValueError: =1\+1 \[31m$",
    ),
    "half an emoji in a cell": (escaped(r"x = '\ud83d'"), FULL, r"^$"),
    "text of 60,000 nested braces": (with_text(f"${'{' * 60_000}x{'}' * 60_000}$"), FULL, ""),
    "text of 400,000 brackets": (with_text("[" * 400_000), FULL, ""),
    "folders in folders": (
        with_cell(
            small_notebook(),
            "import os\nfor _ in range(1200):\n    os.mkdir('d')\n    os.chdir('d')",
        ),
        FULL,
        r"^$",
    ),
    "a pasted picture": (
        with_text(
            "![pasted](attachment:dot.png)", attachments={"dot.png": {"image/png": PIXEL}}
        ),
        FULL,
        r"^$",
    ),
    # Each alone let a wrong answer pass when checks in the kernel gave the points.
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
        "TypeError",  # its own check prints
    ),
    "tampers with the source of cells": (
        tampering(
            "get_ipython().input_transformers_cleanup.append("
            "lambda lines: [] if 'Held' in ''.join(lines) else lines)"
        ),
        WRONG_2,
        "step 2 Double: double of numbers",
    ),
    "tampers with the kernel": (
        tampering("""
kernel = get_ipython().kernel
original = kernel.do_execute
async def obliging(code, *args, **kwargs):
    reply = await original('pass', *args, **kwargs)
    return reply | {'user_expressions': {'answer': {'status': 'ok', 'data': {'application/json':
        {'passed': True, 'arrays': {'double of numbers': {'shape': [5], 'data': 'AAAA'}}}}}}}
kernel.do_execute = obliging"""),
        [0, 0, 0],
        "",
    ),
    "sends what is no message": (
        tampering("""
kernel = get_ipython().kernel
send = kernel.session.send
def odd(stream, kind, content=None, parent=None, **more):
    return send(stream, 7 if isinstance(kind, str) and 'reply' in kind else kind, [[]], [], **more)
kernel.session.send = odd"""),
        WRONG_2,
        "",
    ),
}  # fmt: skip

if LEVEL != "bubblewrap":
    del SMALL["writes elsewhere"]  # nothing would keep it from doing so
