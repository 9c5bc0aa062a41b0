"""Runs inside a submission's kernel: gives the checks back the tools that they were written with.

A submission can do anything in its own process, this module included; see the README for what
that means. What is undone here are the ways to disarm a check that need no skill: other functions
under the names that a check uses, in the notebook or in a library.
"""

import builtins
import json
import sys
from types import ModuleType
from typing import Any

from IPython import get_ipython

# Modules whose functions and classes a check relies on, with those below them.
_GUARDED = ("builtins", "math", "einops", "d2l", "utils", "torch.testing", "torch.nn", "torch._C")
_GUARDED_ALONE = ("torch", "torch._tensor", "torch.functional")

_GUARDED_BELOW = tuple(f"{name}." for name in _GUARDED)

_tools: dict[str, Any] = {}
_originals: list[tuple[Any, dict[str, Any]]] = []
_shelf: dict[str, Any] = {}


def install(imports: str, names: list[str]) -> None:
    """Remember the tools before the submission's first cell runs.

    Args:
        imports: the import statements of the repository's notebook.
        names: the names that its checks read.
    """
    exec(imports, _tools)
    for name in list(_tools):
        if name not in names:
            del _tools[name]
    _tools.update({name: vars(builtins)[name] for name in names if name in vars(builtins)})
    for name, module in list(sys.modules.items()):
        if name in (*_GUARDED_ALONE, *_GUARDED) or name.startswith(_GUARDED_BELOW):
            _remember(module)


def _remember(module: ModuleType) -> None:
    content = {name: value for name, value in vars(module).items() if callable(value)}
    _originals.append((module, content))
    for value in content.values():
        if isinstance(value, type) and value.__module__ == module.__name__:
            _originals.append((value, dict(vars(value))))


def before_check() -> str:
    """Put the tools in place; return the names of those that were replaced, as JSON."""
    replaced = []
    for owner, content in _originals:
        current = vars(owner)
        for name, value in content.items():
            if current.get(name) is not value and (callable(value) or isinstance(value, property)):
                setattr(owner, name, value)
                replaced.append(f"{owner.__name__}.{name}")
        for name in _new_overrides(owner, content):
            delattr(owner, name)
            replaced.append(f"{owner.__name__}.{name}")
    shell = get_ipython()
    for name, value in _tools.items():
        if shell.user_ns.get(name, value) is not value:
            _shelf[name] = shell.user_ns[name]
            replaced.append(name)
        shell.user_ns[name] = value
    for hooks in (shell.ast_transformers, shell.input_transformers_post):
        hooks.clear()
    shell.custom_exceptions = ()
    sys.settrace(None)
    return json.dumps(replaced)


def _new_overrides(owner: ModuleType | type, content: dict[str, Any]) -> list[str]:
    """Methods that were put into a class since, over those that it inherits."""
    if not isinstance(owner, type):
        return []
    inherited = {name for base in owner.__mro__[1:] for name in vars(base)}
    added = vars(owner).keys() - content.keys()
    return [name for name in added & inherited if callable(vars(owner)[name])]


def after_check() -> None:
    """Give the submission its own names back."""
    get_ipython().user_ns.update(_shelf)
    _shelf.clear()


def fail(token: str) -> None:
    """Fail the way a check fails: whoever swallows this swallows failed checks as well."""
    assert abs(-1) != 1 or not token, token


def count_accuracy() -> str:
    """The accuracy of the submission's network on test images loaded afresh, and its own claim.

    The network is `average`, or `model` in a notebook without one.

    Returns JSON: `[measured, claimed, source]`, two fractions and where the images come from;
    null where the notebook defines no network, or no number `accuracy`.
    """
    user = get_ipython().user_ns
    try:
        claimed = float(user["accuracy"])
    except (KeyError, TypeError, ValueError):
        claimed = None
    network = user.get("average", user.get("model"))
    if network is None:
        return json.dumps([None, claimed, None])
    from utils.data import load_fashion_mnist
    from utils.training import evaluate

    device = next(network.parameters()).device
    _, test_data = load_fashion_mnist(512, device)
    return json.dumps([evaluate(network, test_data), claimed, test_data.source])
