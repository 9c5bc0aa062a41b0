"""Train a variant from a seed, and keep what came out of it under all that decides it."""

import ast
import hashlib
import inspect
import json
import statistics
import time
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.measure import facts
from benchmarks.variants import ASSIGNMENT, Variant, further_without
from utils import data, training
from utils.data import BatchLoader
from utils.training import History, evaluate

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def begin(
    variant: Variant, seed: int, train_data: BatchLoader
) -> tuple[nn.Module, AveragedModel, object]:
    """What a training begins with: a network, the average (EMA) of its weights, the optimiser.

    The loader then serves batches of the variant's size.
    """
    torch.manual_seed(seed)
    train_data.batch_size = variant.batch_size
    names, num_steps = {"__name__": "further"}, variant.num_epochs * len(train_data)
    exec(compile(further_without(variant.without), "further.ipynb", "exec"), names)
    model, optimizer = variant.make(SimpleNamespace(**names), num_steps, **variant.settings)
    model.to(train_data.images.device)
    follow = get_ema_multi_avg_fn(ASSIGNMENT.ema_decay)
    return model, AveragedModel(model, multi_avg_fn=follow), optimizer


class Epochs(History):
    """A history that keeps the averaged weights of every epoch, to be judged afterwards."""

    def __init__(self, num_epochs: int, train_data: BatchLoader, average: AveragedModel) -> None:
        super().__init__(num_epochs, train_data)
        self.average, self.averages = average, []

    def add_epoch(self, test_accuracy: float, average_accuracy: float) -> None:
        """One more epoch."""
        super().add_epoch(test_accuracy, average_accuracy)
        self.averages.append(deepcopy(self.average.state_dict()))


def train(
    variant: Variant, seed: int, train_data: BatchLoader, other_data: BatchLoader
) -> dict[str, Any]:
    """Train from one seed, and open the other images only when that is done.

    `accuracy` is the figure of the variant, `last` that of the last weights, `epochs` are those of
    the averaged weights after each epoch, and `losses` the epochs' training losses.
    """
    (model, average, optimizer), start = begin(variant, seed, train_data), time.perf_counter()
    history = Epochs(variant.num_epochs, train_data, average)
    loss_function = ASSIGNMENT.loss_function
    ASSIGNMENT.train(model, average, train_data, None, loss_function, optimizer, history)
    if history.interrupted:
        raise KeyboardInterrupt
    seconds, last, epochs = time.perf_counter() - start, evaluate(model, other_data), []
    for weights in history.averages if variant.averaged else []:
        average.load_state_dict(weights)
        epochs.append(evaluate(average, other_data))
    accuracy = epochs[-1] if variant.averaged else last
    result = {"accuracy": accuracy, "last": last, "epochs": epochs}
    return result | {"losses": history.train_loss, "seconds": seconds}


SOURCES = [*map(inspect.getsource, (begin, Epochs, train, data, training))]


def normalised(source: str) -> str:
    """Python code without comments and docstrings, in one layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)


def key_of(variant: Variant, given: dict[str, Any]) -> str:
    """A digest of all that decides a run: what is `given`, the code, torch, and the machine."""
    made = facts(given["device"])
    given = given | {name: made[name] for name in ("processor", "threads")}
    code = [normalised(source) for source in [*variant.sources(), *SOURCES]]
    deciding = json.dumps([given, torch.__version__, code])
    return hashlib.sha256(deciding.encode()).hexdigest()


def kept_run(
    name: str, variant: Variant, seed: int, loaders: tuple[BatchLoader, BatchLoader], results: Path
) -> dict[str, Any]:
    """The run that the file `results` keeps under the same key, or else a new one."""
    train_data, other_data = loaders
    given = {"settings": variant.settings, "batch_size": variant.batch_size}
    given |= {"num_epochs": variant.num_epochs, "seed": seed, "source": train_data.source}
    given |= {"trained_on": train_data.num_images, "measured_on": other_data.num_images}
    device = train_data.images.device
    key = key_of(variant, given | {"device": str(device)})
    if results.exists():
        for line in results.read_text(encoding="utf-8").splitlines():
            if line.startswith(f'{{"key": "{key}"'):
                return json.loads(line)
    begun = facts(device)
    result = {"key": key, "model": name} | given | train(variant, seed, *loaders) | begun
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    return result


def describe(accuracies: list[float]) -> str:
    """Mean and standard deviation in percent."""
    spread = f" ± {100 * statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    return f"{100 * statistics.mean(accuracies):.2f}{spread} %"
