"""The reader of answers: whatever a kernel sends becomes arrays, or an error of one line."""

import base64
import time
import tracemalloc
from contextlib import suppress
from random import Random

from tools.grading import probes

import numpy as np
import pytest
from tools.grading.probes import AnswerError, read_answer

NUM_ANSWERS = 1500


def encoded(array):
    """An array as a kernel sends it."""
    data = np.asarray(array, "<f8")
    return {"shape": list(data.shape), "data": base64.b64encode(data.tobytes()).decode()}


ARRAYS = {
    "patches": np.arange(24.0).reshape(2, 3, 4),
    "loss": np.array(2.3),
    "none": np.ones((0, 4)),
}
VALID = {"arrays": {name: encoded(array) for name, array in ARRAYS.items()}}


def nested(wrap, depth):
    """A value with `depth` others around it."""
    value = 0
    for _ in range(depth):
        value = wrap(value)
    return value


# Values that JSON can hold; hardly any belongs where it is put.
ODD = [
    *(None, True, False, 0, 1, -1, 2, 2.0, 2.5, -0.0, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63)),
    *(10**30, 10**4000, 1e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        "2",
        "٣",
        "a\nb\r\u2028c",
        "\ud800",
        "\udfff\ud800",
        "\0",
        "=1+1",
        "\x1b[2J",
        "x" * 10**5,
    ),
    *([], {}, [[]], [None], [2, 3, 4], [2.0, 3, 4], [True, 3, 8], ["2", 3, 4], [-1, 24], [24, -1]),
    *([2**31] * 3, [2**63, 0], [0, 2**62, 8], [2**32, 2**32], [10**9], [1] * 33, [24] + [1] * 65),
    *([0] * 1000, [10**4000], [float("nan")], [float("inf"), 1], ["\ud800"], [[2, 3, 4]], [24]),
    *({"shape": [1], "data": ""}, {"arrays": {}}, {"error": "no"}, {"\ud800": []}, {"error": 3}),
    *(nested(lambda value: [value], 50_000), nested(lambda value: {"arrays": value}, 50_000)),
    *(encoded(np.zeros(24))["data"], encoded(np.zeros(23))["data"], encoded([np.nan] * 24)["data"]),
    *(base64.b64encode(b"\xff" * 192).decode(), base64.b64encode(bytes(191)).decode()),
    *("====", "AAAA\nAAAA", "AAA", "A" * 257, "-_-_" * 64, "é" * 256, "\ud800" * 256, "A" * 10**6),
    *("AAAAAAAA8H8=" * 3, "AAAAAAAA+H8=", " AAAAAAAA8D8= ", "AAAAAAAA8D8=AAAAAAAA8D8="),
]
KEYS = ["error", "arrays", "shape", "data", "dtype", "loss", "", "\ud800", "k" * 10**5, "a\nb"]


def put(generator, old):
    return generator.choice(ODD)


def remove(generator, old):
    if not isinstance(old, dict | list) or not old:
        return old
    gone = generator.randrange(len(old))
    kept = [
        item for i, item in enumerate(old.items() if isinstance(old, dict) else old) if i != gone
    ]
    return dict(kept) if isinstance(old, dict) else kept


def add(generator, old):
    if isinstance(old, dict):
        return old | {generator.choice(KEYS): generator.choice(ODD)}
    return [*old, generator.choice(ODD)] if isinstance(old, list) else old


def multiply(generator, old):
    times = generator.choice([2, 30, 1000])
    if isinstance(old, dict) and old:
        return old | {f"another {i}": generator.choice(list(old.values())) for i in range(times)}
    return old * times if isinstance(old, list | str) and len(old) < 10_000 else old


def cut(generator, old):
    if not isinstance(old, str):
        return old
    place = generator.randrange(len(old) + 1)
    other = generator.choice(["", "=", "\n", "*", "é", "\ud800", "AAAA"])
    return old[:place] + other + old[place + generator.choice([0, 1, 4]) :]


def altered(generator, answer):
    """The answer with one change at a random place of its first levels."""
    if isinstance(answer, dict | list) and answer and generator.random() < 0.8:
        items = dict(answer) if isinstance(answer, dict) else dict(enumerate(answer))
        key = generator.choice(list(items))
        items[key] = altered(generator, items[key])
        return items if isinstance(answer, dict) else list(items.values())
    return generator.choice([put, put, remove, add, multiply, cut])(generator, answer)


def odd_answers():
    """Answers that are not, or not quite, what a kernel should send; the same in every run."""
    generator = Random(14)
    yield from ODD
    yield from ({"arrays": value} for value in ODD)
    yield from ({"error": value} for value in ODD)
    yield from ({"arrays": {"a": encoded(np.zeros(24)) | {"shape": value}}} for value in ODD)
    yield from ({"arrays": {"a": encoded(np.zeros(24)) | {"data": value}}} for value in ODD)
    for _ in range(NUM_ANSWERS):
        answer = VALID
        for _ in range(generator.choice([1, 1, 2, 3])):
            answer = altered(generator, answer)
        yield answer


def test_a_valid_answer_is_read_number_by_number():
    arrays = read_answer(VALID)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == np.float64
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_an_error_of_the_kernel_is_told_in_one_line():
    with pytest.raises(AnswerError, match="NameError: no patchify"):
        read_answer({"error": "NameError: no\npatchify"})


def test_an_answer_larger_than_the_limit_is_refused(monkeypatch):
    size = sum(array.nbytes for array in ARRAYS.values())
    monkeypatch.setattr(probes, "MAX_BYTES", size)
    read_answer(VALID)
    monkeypatch.setattr(probes, "MAX_BYTES", size - 1)
    with pytest.raises(AnswerError, match="larger than"):
        read_answer(VALID)


def test_any_answer_becomes_arrays_or_an_error_of_one_line():
    read, refused = 0, set()
    for answer in odd_answers():
        try:
            arrays = read_answer(answer)
        except AnswerError as error:
            message = str(error)
            assert message.isprintable()  # no surrogates, line breaks or other control characters
            assert 0 < len(message) <= 1000
            refused.add(message)
        else:
            read += 1
            sent = answer["arrays"].values()
            for part, array in zip(sent, arrays.values(), strict=True):
                assert (type(array), array.dtype) == (np.ndarray, np.float64)
                assert part["shape"] == list(array.shape)
                assert all(type(size) is int for size in part["shape"])  # True is none
                assert len(base64.b64decode(part["data"], validate=True)) == array.nbytes
    assert read > 30
    assert len(refused) > 10


def test_no_answer_takes_long_or_much_memory():
    slowest = largest = 0
    tracemalloc.start()
    try:
        for answer in odd_answers():
            tracemalloc.reset_peak()
            before, start = tracemalloc.get_traced_memory()[0], time.perf_counter()
            with suppress(AnswerError):
                read_answer(answer)
            slowest = max(slowest, time.perf_counter() - start)
            largest = max(largest, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert slowest < 1
    assert largest < 2**26
