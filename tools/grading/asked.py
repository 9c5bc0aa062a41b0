"""How a submission's kernel answers questions. The kernel gets this file as text: it imports
nothing of this repository, and nothing that it returns is believed.
"""

import base64
import io
import linecache
import os
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class Names(dict):
    """What a notebook has defined; a missing name is an error that says so."""

    def __init__(self, user: dict[str, Any]) -> None:
        super().__init__(user)
        self.user = user

    def __missing__(self, name: str) -> None:
        raise NameError(f"the notebook defines no `{name}`")


def answer_of(
    ask: Callable[..., dict[str, Any]], names: dict[str, Any], inputs: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Ask about what a notebook has defined: the numbers by name, and errors in their place.

    `ask` returns numbers, tensors, lists, or functions without arguments that give such.
    """
    answer, errors = {}, {}

    def keep(name: str, give: Callable[[], object]) -> object:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return give()
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            errors[name] = describe(error)

    for name, value in (keep("", lambda: ask(Names(names), **inputs)) or {}).items():
        array = keep(name, lambda value=value: as_array(value() if callable(value) else value))
        if array is not None:
            answer[name] = array
    return answer, errors


def as_array(value: object) -> np.ndarray:
    """Numbers as an array, without torch's bookkeeping, which NumPy would refuse."""

    def plain(value: object) -> object:
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        return value.detach().cpu().numpy() if hasattr(value, "detach") else value

    array = np.asarray(plain(value))
    return array if array.dtype.kind in "biuf" else array.astype(float)


def describe(error: BaseException) -> str:
    """An error in one line, with the line of the notebook that raised it."""
    if isinstance(error, KeyboardInterrupt):
        return "the answer took too long"
    text = f"{type(error).__name__}: {error}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "ipykernel" in Path(frame.filename).parent.name:  # the files that stand for cells
            line = frame.line or linecache.getline(frame.filename, frame.lineno).strip()
            return f"{text} (in the line `{line}`)" if line else text
    return text


def respond(program: str, inputs: str, names: dict[str, Any], file: str) -> None:
    """Answer a question into an `.npz` file: arrays `answer/NAME`, texts `error/NAME`."""
    given = dict(np.load(io.BytesIO(base64.b64decode(inputs))))
    scope = {"__name__": "question"}
    exec(program, scope)
    answer, errors = answer_of(scope["ask"], names, given)
    arrays = {f"answer/{name}": array for name, array in answer.items()}
    arrays |= {f"error/{name}": np.array(text[:1000]) for name, text in errors.items()}
    with open(file + ".part", "wb") as opened:
        np.savez(opened, **arrays)
    os.replace(file + ".part", file)
