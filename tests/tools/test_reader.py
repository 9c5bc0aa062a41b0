"""The reader: what editors and students really write is read, and the rest gets the true reason."""

import json
from contextlib import suppress

from tools.reader import MAX_BYTES, MAX_CELLS, MAX_PARTS, ReadError, read_notebook

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PRINTED = {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]}
RESULT = {"output_type": "execute_result", "data": {"text/plain": ["1"]}, "metadata": {}}


def cell(kind="code", source="x = 1", **more):
    needed = {"outputs": [], "execution_count": 1} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": source} | needed | more


def file(*cells, metadata=None, **more):
    """The JSON of a notebook in format 4.4, by default with one code cell that is in order."""
    content = {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata or {}}
    return content | {"cells": list(cells or [cell()])} | more


def without(content, *keys):
    return {key: value for key, value in content.items() if key not in keys}


OLD = {
    "nbformat": 3,
    "nbformat_minor": 0,
    "metadata": {"name": "old"},
    "worksheets": [
        {
            "cells": [
                {"cell_type": "heading", "level": 2, "source": ["A heading"]},
                {"cell_type": "code", "input": ["x = 1"], "language": "python"},
            ]
        }
    ],
}
# Each has to be read; its last cell is `x = 1`.
WRITTEN = {
    "in order": file(),
    "ids before version 4.5": file(cell(id="a"), nbformat_minor=2),
    "no ids in version 4.5": file(nbformat_minor=5),
    "an id twice": file(cell(id="a"), cell(id="a"), nbformat_minor=5),
    "an id that is none": file(cell(id="a b"), cell(id=3), cell(id=""), nbformat_minor=5),
    "a numbered id that is taken": file(cell(id="cell-2"), cell(), nbformat_minor=5),
    "a later minor version": file(nbformat_minor=9),
    "no minor version": without(file(), "nbformat_minor"),
    "no version": without(file(), "nbformat", "nbformat_minor"),
    "no metadata": without(file(), "metadata"),
    "metadata null": file() | {"metadata": None},
    "count and outputs on text": file(
        cell("markdown", "text", execution_count=None, outputs=[]), cell()
    ),
    "transient in an output": file(cell(outputs=[RESULT | {"transient": {}, "other": 1}])),
    "another key in a cell": file(cell(prompt=3, collapsed=False)),
    "a kernelspec with a name alone": file(metadata={"kernelspec": {"name": "ir"}}),
    "an empty kernelspec": file(metadata={"kernelspec": {}, "language_info": {}}),
    "no count": file(without(cell(), "execution_count")),
    "a count that is text": file(cell(execution_count="*")),
    "no outputs": file(without(cell(), "outputs")),
    "no metadata of a cell": file(without(cell(), "metadata")),
    "title null": file(metadata={"title": None, "authors": "me"}),
    "a tag twice": file(cell(metadata={"tags": ["facts", "facts", 3, "a,b", ""]})),
    "tags that are text": file(cell(metadata={"tags": "facts"})),
    "metadata of an editor's": file(
        cell(metadata={"name": "", "scrolled": "no", "jupyter": None, "execution": {"a": 1}})
    ),
    "a source in lines": file(cell(source=["x ", "= 1"])),
    "a source null": file(cell("markdown", None), cell()),
    "an output without its parts": file(
        cell(outputs=[{"output_type": kind} for kind in ("stream", "error", "display_data")])
    ),
    "data that is no text": file(
        cell(outputs=[{"output_type": "display_data", "data": {"text/x": {"a": [1]}}}])
    ),
    "an attachment that is none": file(cell("markdown", "", attachments=[]), cell()),
    "format 3": OLD,
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", WRITTEN)
def test_what_editors_write_is_read_as_a_valid_notebook_without_a_word(name, caplog, capfd):
    notebook = read_notebook(json.dumps(WRITTEN[name]).encode())
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.cells[-1].source == "x = 1"
    assert nbformat.reads(nbformat.writes(notebook), as_version=4).cells == notebook.cells
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_in_any_encoding_of_json_is_read(tmp_path, encoding):
    content = json.dumps(file(cell(source="x = 'ä'")), ensure_ascii=False)
    (tmp_path / "n.ipynb").write_bytes(content.encode(encoding))
    assert read_notebook(tmp_path / "n.ipynb").cells[0].source == "x = 'ä'"


def test_what_a_notebook_holds_is_kept(tmp_path):
    picture = new_output(
        "display_data", {"image/png": "iVBO"}, metadata={"image/png": {"alt": "a"}}
    )
    notebook = new_notebook(
        metadata={"title": "t", "kernelspec": {"name": "ir", "display_name": "R", "language": "R"}},
        cells=[
            new_markdown_cell("![](attachment:a.png)", attachments={"a.png": {"image/png": "iV"}}),
            new_code_cell(
                "x",
                execution_count=3,
                metadata={"tags": ["facts"], "jupyter": {"source_hidden": True}},
                outputs=[picture, new_output("stream", text="a\nb\n")],
            ),
        ],
    )
    nbformat.write(notebook, tmp_path / "n.ipynb")
    assert read_notebook(tmp_path / "n.ipynb") == notebook


def test_repairs_keep_what_they_can():
    def only(name):
        return read_notebook(json.dumps(WRITTEN[name]).encode())

    assert only("a tag twice").cells[0].metadata.tags == ["facts"]
    assert only("a kernelspec with a name alone").metadata.kernelspec.display_name == "ir"
    assert only("ids before version 4.5").cells[0].id == "a"
    assert only("format 3").metadata.orig_nbformat == 3
    assert only("format 3").cells[0].source == "## A heading"
    assert only("data that is no text").cells[0].outputs[0].data == {"text/x": '{"a": [1]}'}


def test_halves_of_characters_become_question_marks():
    content = json.dumps(file(cell(source="x = '\ud800'", outputs=[PRINTED | {"text": "\udfff"}])))
    notebook = read_notebook(content.encode())
    assert (notebook.cells[0].source, notebook.cells[0].outputs[0].text) == ("x = '?'", "?")


def deep(depth):
    return json.dumps(file()).replace('"x = 1"', "[" * depth + "]" * depth)


REFUSED = {
    "nothing": ("", r"The file is empty\."),
    "blanks": (" \n", r"The file is empty\."),
    "a mark alone": ("\ufeff", r"The file is empty\."),
    "a zip": (b"PK\x03\x04\x14\x00", r"The file is a zip archive, not a notebook\."),
    "a web page": ("<!DOCTYPE html>", r"The file is a web page: download the notebook itself .*"),
    "Latin-1": ('{"a": "ä"}'.encode("latin-1"), r"The file is not text in UTF-8 or UTF-16\."),
    "cut off": ('{\n"cells": [', r"The file is not JSON \(line 2\)\."),
    "a script": ("import torch\n", r"The file is not JSON \(line 1\)\."),
    "a list": ("[]", r"The file is JSON, but not a Jupyter notebook\."),
    "a number of too many digits": ("9" * 5000, r"The file is JSON, but not a Jupyter notebook\."),
    "other JSON": ('{"a": 1}', r"Notebook format None cannot be read, only 3 and 4\."),
    "cells that are none": ('{"cells": 3}', r"The file is JSON, but not a Jupyter notebook\."),
    "an old format": (json.dumps(file(nbformat=2)), r"Notebook format 2 cannot be read, .*"),
    "an unknown kind": (
        json.dumps(file(cell(), cell("x"))),
        r"The file is no valid notebook: see cell 2\.",
    ),
    "an error of numbers": (
        json.dumps(file(cell(outputs=[{"output_type": "error", "ename": 3}]))),
        r"The file is no valid notebook: see cell 1, outputs, 0, ename\.",
    ),
    "deep": (deep(100_000), r"The file is nested too deeply for a notebook\."),
    "many parts": ("[" + "{}," * MAX_PARTS + "{}]", r"The file has more than 1,000,000 parts: .*"),
    "many cells": (
        json.dumps(file(*[cell("x")] * (MAX_CELLS + 1))),
        r"The file has more than 50,000 cells and outputs: clear some\.",
    ),
    "large": (b" " * (MAX_BYTES + 1), r"The file is larger than 50 MiB: clear its .*"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_notebook_gets_the_true_reason_in_a_sentence(name):
    content, sentence = REFUSED[name]
    data = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(ReadError, match=f"^{sentence}$"):
        read_notebook(data)


def test_a_missing_file_is_named_as_such(tmp_path):
    with pytest.raises(ReadError, match=r"^The file cannot be read: No such file or directory\.$"):
        read_notebook(tmp_path / "none.ipynb")


WRONG = [None, True, -1, 1e400, "x", [], [[]], {}, {"a": {}}]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_wrong_types_anywhere_end_in_a_notebook_or_a_sentence(wrong):
    """Put in place of every value of a notebook that has all kinds of them, one after the other."""
    outputs = [PRINTED, RESULT, {"output_type": "error", "traceback": ["a"]}]
    whole = file(
        cell("markdown", "a", attachments={"a": {"image/png": "b"}}),
        cell(outputs=outputs, metadata={"tags": ["a"], "jupyter": {}}),
        metadata={"kernelspec": {"name": "a", "display_name": "b"}, "language_info": {"name": "c"}},
    )

    def spoilt(node):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            node[key] = wrong
            yield
            node[key] = value
            if isinstance(value, dict | list):
                yield from spoilt(value)

    for content in (whole, json.loads(json.dumps(OLD))):
        for _ in spoilt(content):
            with suppress(ReadError):
                nbformat.validate(read_notebook(json.dumps(content).encode()))
