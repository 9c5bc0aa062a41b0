"""The two files of a box: whatever they hold becomes a notebook and arrays, or one sentence."""

import io
import linecache
import zipfile
from random import Random

from tools.grading import inside, rubric
from tools.grading.rubric import AnswerError, read_answers
from tools.reader import ReadError, read_notebook

import nbformat
import numpy as np
import pytest
from made_up import small_notebook

NUM_FILES = 1500
ARRAYS = {
    "0/answer/patches": np.arange(24.0).reshape(2, 3, 4),
    "0/answer/loss": np.array(2.3),
    "1/answer/none": np.ones((0, 4)),
    "1/answer/turned": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "2/error/": np.array("NameError: no\npatchify"),
}


def packed(arrays):
    """A file of answers as a box leaves it."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zipped(members, **options):
    """A zip with these members: pairs of a name and bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def saved(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def header(shape, dtype="<f8", fortran=False, data=b""):
    """An array's file that says this of itself."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def test_a_valid_file_is_read_number_by_number():
    answers, errors = read_answers(packed(ARRAYS))
    assert errors == {2: {"": "NameError: no patchify"}}
    assert {f"{n}/answer/{name}" for n in answers for name in answers[n]} == set(ARRAYS) - {
        "2/error/"
    }
    for number, arrays in answers.items():
        for name, array in arrays.items():
            assert array.dtype == np.float64
            np.testing.assert_array_equal(array, ARRAYS[f"{number}/answer/{name}"])


REFUSED = {
    "no zip": b"answers",
    "nothing": b"",
    "objects": zipped([("0/answer/x.npy", saved(np.array([{}])))]),
    "texts as answers": zipped([("0/answer/x.npy", saved(np.array(["a", "b"])))]),
    "a size that is a lie": zipped([("0/answer/x.npy", header("(1000000,)", data=bytes(8)))]),
    "a size that cannot be": zipped([("0/answer/x.npy", header("(-1,)"))]),
    "an endless size": zipped([("0/answer/x.npy", header(f"({2**62}, {2**62})"))]),
    "more than 64 dimensions": zipped([("0/answer/x.npy", header((1,) * 70, data=bytes(8)))]),
    "code for a header": zipped([("0/answer/x.npy", header("__import__('os').abort()"))]),
    "a bomb": zipped([("0/answer/x.npy", bytes(2**27))], compression=zipfile.ZIP_DEFLATED),
    "a path": zipped([("../../answer/x.npy", saved(np.ones(1)))]),
    "no question's": zipped([("x/answer/x.npy", saved(np.ones(1)))]),
    "very many": zipped([(f"0/answer/{n}.npy", saved(np.ones(1))) for n in range(2001)]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_answer_is_refused_in_one_line(name):
    with pytest.raises(AnswerError, match=r"^[ -~]{10,200}$"):
        read_answers(REFUSED[name])


def test_answers_larger_than_the_limit_are_refused(monkeypatch):
    size = sum(len(saved(array)) for array in ARRAYS.values())
    monkeypatch.setattr(rubric, "MAX_BYTES", size)
    read_answers(packed(ARRAYS))
    monkeypatch.setattr(rubric, "MAX_BYTES", size - 1)
    with pytest.raises(AnswerError, match="more answers than"):
        read_answers(packed(ARRAYS))


def spoilt(random, content):
    """The file with a few bytes, or a stretch, other than they were."""
    content = bytearray(content)
    for _ in range(random.choice([1, 1, 3, 30])):
        place = random.randrange(len(content))
        match random.randrange(4):
            case 0:
                content[place] = random.randrange(256)
            case 1:
                del content[place : place + random.choice([1, 8, 200])]
            case 2:
                content[place:place] = random.randbytes(random.choice([1, 8, 200]))
            case 3:
                content[place : place + 8] = content[:8]
        content = content or bytearray(1)
    return bytes(content)


def test_any_pair_of_files_becomes_a_notebook_and_arrays_or_an_error_of_one_line():
    """Bytes of the zip and of single members are spoilt, the same in every run."""
    random, read, refused = Random(14), 0, set()
    whole, executed = packed(ARRAYS), nbformat.writes(small_notebook()).encode()
    for number in range(NUM_FILES):
        try:
            nbformat.validate(read_notebook(spoilt(random, executed)))
        except ReadError as error:
            refused.add(f"notebook: {error}")
        content = spoilt(random, whole)
        if number % 2:
            members = [(f"{name}.npy", saved(array)) for name, array in ARRAYS.items()]
            chosen = random.randrange(len(members))
            name, array = members[chosen]
            members[chosen] = name, spoilt(random, array[:200])
            content = zipped(members)
        try:
            answers, errors = read_answers(content)
        except AnswerError as error:
            refused.add(str(error))
        else:
            read += 1
            for arrays in answers.values():
                assert all(array.dtype == np.float64 for array in arrays.values())
            assert all(text.isprintable() for texts in errors.values() for text in texts.values())
    assert read > 30
    assert len(refused) > 10
    assert all(sentence.isprintable() for sentence in refused)


def test_an_error_tells_its_line_of_the_notebook_unless_that_says_the_same():
    cell = "def f(x): return x.zero_()\ndef g(): raise NotImplementedError('write g')"
    file = "ipykernel_1/2.py"
    linecache.cache[file] = len(cell), None, cell.splitlines(keepends=True), file
    names = {}
    exec(compile(cell, file, "exec"), names)
    asked = {"f": lambda: names["f"](None), "g": names["g"]}
    _, errors = inside.answer_of(lambda _: asked, names, {})
    assert errors["f"].startswith("AttributeError: 'NoneType' object has no attribute 'zero_'")
    assert errors["f"].endswith(" (in the line `def f(x): return x.zero_()`)")
    assert errors["g"] == "NotImplementedError: write g"


def test_of_text_is_kept_what_a_terminal_shows_in_the_end():
    parts = ["working\b\b\b\b\b\b\bdone\n10 %\r", "100 %\r\n\bnext"]
    outputs = [nbformat.v4.new_output("stream", text=part) for part in parts]
    outputs += [nbformat.v4.new_output("display_data"), nbformat.v4.new_output("stream", text="z")]
    kept = inside.tidy(outputs)
    assert [output.get("text") for output in kept] == ["done\n100 %\nnext", None, "z"]
