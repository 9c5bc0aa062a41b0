"""Ask a submission's kernel questions, and read its answers as what they are: untrusted bytes."""

import base64
import binascii
import inspect
import io
import math
from typing import Any

from tools.grading import respond
from tools.grading.rubric import Arrays, Step
from tools.grading.text import one_line

import numpy as np

MAX_ARRAYS = 2000  # of one answer
MAX_BYTES = 2**26  # of all of them together
MAX_DIMENSIONS = 8


class AnswerError(Exception):
    """An answer that is none; the message says why, in one line."""


def draw_inputs(step: Step, seed: int) -> Arrays:
    """The inputs of a step's question, drawn anew for every seed."""
    inputs = step.draw(np.random.default_rng(seed))
    return {name: np.asarray(value) for name, value in inputs.items()}


def question(step: Step, inputs: Arrays) -> str:
    """A Python expression that asks a step's question where a notebook has run."""
    sources = [inspect.getsource(part) for part in (respond, *step.helpers, step.ask)]
    program = "\n\n".join(sources)
    call = f"{respond.respond.__name__}({step.ask.__name__}, names, {_packed(inputs)!r})"
    program += f"\n\nanswer = {call}\n"
    # In names of its own: the notebook's may hide builtins, and must not change.
    builtins = "__import__('builtins')"
    scope = f"{{'__name__': 'question', 'names': {builtins}.globals()}}"
    return f"(lambda scope: [{builtins}.exec({program!r}, scope), scope['answer']][1])({scope})"


def _packed(inputs: Arrays) -> str:
    file = io.BytesIO()
    np.savez(file, **inputs)
    return base64.b64encode(file.getvalue()).decode()


def expected_answer(step: Step, names: dict[str, Any], inputs: Arrays) -> Arrays:
    """What the notebook that defines `names` answers, in this process."""
    return read_answer(respond.respond(step.ask, names, _packed(inputs)).content)


def read_answer(content: object) -> Arrays:
    """The arrays of an answer, float64, by name.

    Args:
        content: what JSON gave: `{"arrays": {name: {"shape": [2, 3], "data": base64}}}` with
            little-endian float64, or `{"error": text}`.

    Raises:
        AnswerError: if it is an error, anything else, or too much.
    """
    if not isinstance(content, dict):
        raise AnswerError("the kernel's answer is none")
    if isinstance(content.get("error"), str):
        raise AnswerError(one_line(content["error"]) or "the kernel's answer is an empty error")
    arrays = content.get("arrays")
    if not isinstance(arrays, dict):
        raise AnswerError("the kernel's answer is none")
    if len(arrays) > MAX_ARRAYS:
        raise AnswerError(f"the answer has {len(arrays):,} arrays, more than {MAX_ARRAYS:,}")
    left, read = MAX_BYTES, {}
    for name, packed in arrays.items():
        if not isinstance(name, str) or len(name) > 200:
            raise AnswerError("an array of the answer has no proper name")
        try:
            read[one_line(name)] = _unpack(packed, left)
        except (TypeError, ValueError, KeyError, binascii.Error) as error:
            raise AnswerError(f"{one_line(name)}: {one_line(str(error))}") from None
        left -= read[one_line(name)].nbytes
    return read


def _unpack(packed: object, most: int) -> np.ndarray:
    if not isinstance(packed, dict) or packed.keys() != {"shape", "data"}:
        raise ValueError("no array")
    shape, data = packed["shape"], packed["data"]
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        raise ValueError("an array without a shape")
    if not all(type(size) is int and 0 <= size <= MAX_BYTES for size in shape):
        raise ValueError("an array with an impossible shape")
    size = 8 * math.prod(shape)
    if size > most:
        raise ValueError(f"the answer is larger than {MAX_BYTES >> 20} MiB")
    if not isinstance(data, str) or len(data) != -(-size // 3) * 4:
        raise ValueError("as much data as the shape says is not there")
    content = base64.b64decode(data, validate=True)
    return np.frombuffer(content, dtype="<f8", count=math.prod(shape)).reshape(shape)
