"""The starter: what a student gets, made from the tags of the model answer."""

import ast
import sys

from tools.grading.rubric import load_rubric
from tools.notebook import NOTEBOOK
from tools.starter import main, make_starter

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook


@pytest.fixture(scope="module")
def answer():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def starter(answer):
    return make_starter(answer)


def starter_of(source, *later):
    """The source of a cell tagged `answer`, in the starter of a notebook that it begins."""
    cells = [new_code_cell(source, metadata={"tags": ["answer"]}), *map(new_code_cell, later)]
    return make_starter(new_notebook(cells=cells)).cells[0].source


def test_only_the_answers_and_the_outputs_are_gone(answer, starter):
    assert len(starter.cells) == len(answer.cells)
    for before, after in zip(answer.cells, starter.cells, strict=True):
        is_answer = "answer" in before.metadata.get("tags", [])
        assert (after.source == before.source) != is_answer, before.source
        assert after.id == before.id
        assert after.get("outputs", []) == []
    nbformat.validate(starter)


def test_the_heading_of_every_step_tells_what_is_graded_and_its_points(answer):
    steps = load_rubric().steps
    told = make_starter(answer, steps)
    changed = [
        (before.source, after.source)
        for before, after in zip(make_starter(answer).cells, told.cells, strict=True)
        if before.source != after.source
    ]
    for number, (step, (before, after)) in enumerate(zip(steps, changed, strict=True), start=1):
        assert before.startswith(f"## {number}. {step.title}")
        points = f"{step.points} point{'s' * (step.points > 1)}"
        assert after == f"{before}\n\n> **Graded, {points}.** {step.contract} All else is free."


def test_the_model_answer_itself_is_left_as_it_was(answer):
    make_starter(answer)
    assert answer == nbformat.read(NOTEBOOK, as_version=4)


def test_every_step_has_something_to_write(starter):
    open_cells = 0
    for cell in starter.cells:
        if "check" in cell.metadata.get("tags", []):
            assert open_cells, f"nothing is open before {cell.source}"
            open_cells = 0
        elif cell.cell_type == "code":
            open_cells += "raise NotImplementedError" in cell.source


def test_signatures_and_docstrings_stay(answer, starter):
    def heads(notebook):
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
        kinds = ast.FunctionDef | ast.ClassDef
        top = [node for node in ast.parse(text).body if isinstance(node, kinds)]
        members = [member for node in top if isinstance(node, ast.ClassDef) for member in node.body]
        found = top + [node for node in members if isinstance(node, kinds)]
        signatures = [ast.unparse(node.args) if "args" in node._fields else "" for node in found]
        return signatures, [(node.name, ast.get_docstring(node)) for node in found]

    assert heads(starter) == heads(answer)


def test_nothing_in_it_tells_the_tags_of_the_answers(starter):
    assert all("answer" not in cell.metadata.get("tags", []) for cell in starter.cells)


def test_a_method_keeps_its_signature_its_comment_and_what_surrounds_it():
    source = """width = 3


class Net:
    \"\"\"A net.\"\"\"

    size = 1

    def forward(self, x):  # (b, n)
        return x

    def backward(
        self,
        x,
    ):
        \"\"\"Back.

        All the way.\"\"\"
        y = x
        return y


after = 4"""
    expected = source.replace("return x\n", 'raise NotImplementedError("write Net.forward")\n')
    expected = expected.replace("        y = x\n", "")
    expected = expected.replace("return y", 'raise NotImplementedError("write Net.backward")')
    assert starter_of(source) == expected


def test_an_open_cell_names_what_later_cells_need():
    source = "model = 1\nrows = 2\nhelper = model"
    stub = starter_of(source, "rows = 3", "print(rows, model)")
    assert stub == (
        '# Your code. Later cells use model.\nraise NotImplementedError("write this cell")'
    )


def test_the_command_never_overwrites_the_model_answer(tmp_path, monkeypatch):
    file = tmp_path / "new" / "starter.ipynb"
    monkeypatch.setattr(sys, "argv", ["starter", str(file)])
    main()
    expected = make_starter(nbformat.read(NOTEBOOK, as_version=4), load_rubric().steps)
    assert nbformat.read(file, as_version=4) == expected
    monkeypatch.setattr(sys, "argv", ["starter", str(NOTEBOOK)])
    with pytest.raises(SystemExit, match="would overwrite the model answer"):
        main()


def test_work_is_never_replaced_unless_it_is_asked_for(tmp_path, monkeypatch):
    file = tmp_path / "starter.ipynb"
    monkeypatch.setattr(sys, "argv", ["starter", str(file)])
    main()
    fresh = file.read_bytes()
    main()  # a fresh one is no work
    file.write_bytes(fresh.replace(b"NotImplementedError", b"Solved"))
    with pytest.raises(SystemExit, match="is not a fresh starter, so it may hold somebody's work"):
        main()
    assert b"Solved" in file.read_bytes()
    monkeypatch.setattr(sys, "argv", ["starter", str(file), "--force"])
    main()
    assert file.read_bytes() == fresh


def test_the_layers_names_are_given(starter):
    source = "\n".join(cell.source for cell in starter.cells)
    for given in ("self.mlp1 = mlp(num_patches", "self.stem = nn.Linear", "self.classifier ="):
        assert given in source
    for open_part in ("Block.forward", "PatchMLP.forward", "mlp", "patchify", "make_optimizer"):
        assert f'raise NotImplementedError("write {open_part}")' in source
