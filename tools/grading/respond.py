"""How a submission's kernel answers a question. The kernel gets this file as text: it imports
nothing of this repository, and nothing that it returns is believed.
"""

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np


class Names(dict):
    """What a notebook has defined; a missing name is an error that says so."""

    def __missing__(self, name: str) -> None:
        raise NameError(f"the notebook defines no `{name}`")


class Answer:
    """Carries an answer past the kernel's formatters, as JSON."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def _repr_mimebundle_(self, **options: object) -> dict[str, Any]:
        return {"application/json": self.content}


def respond(ask: Callable[..., dict[str, Any]], names: dict[str, Any], inputs: str) -> Answer:
    """Ask about what a notebook has defined.

    Args:
        ask: called with the names and the inputs; returns numbers, tensors or lists by name.
        names: what the notebook has defined.
        inputs: an `.npz` file in base64.
    """
    try:
        given = dict(np.load(io.BytesIO(base64.b64decode(inputs))))
        found = ask(Names(names), **given)
        return Answer({"arrays": {name: _pack(value) for name, value in found.items()}})
    except Exception as error:
        return Answer({"error": f"{type(error).__name__}: {error}"})


def _pack(value: object) -> dict[str, Any]:
    array = np.asarray(_plain(value), dtype="<f8")
    return {"shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()}


def _plain(value: object) -> object:
    """Numbers without torch's bookkeeping, which NumPy would refuse."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value
