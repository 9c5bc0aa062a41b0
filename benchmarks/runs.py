"""Train a variant from a seed, and keep what came out of it under all that decides it."""

import ast
import hashlib
import inspect
import json
import statistics
import time
from copy import deepcopy
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import utils
from benchmarks.measure import facts
from benchmarks.variants import ASSIGNMENT, Variant, further_without
from utils.data import BatchLoader
from utils.training import History, evaluate

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Loaders = tuple[BatchLoader, BatchLoader]
Run = list[tuple[float, float]]  # of every epoch its seconds, and the accuracy after it


def begin(variant: Variant, seed: int, data: BatchLoader) -> tuple[nn.Module, AveragedModel, Any]:
    """What a training begins with: a network, its average (EMA), and the optimiser.

    The loader then serves batches of the variant's size.
    """
    torch.manual_seed(seed)
    data.batch_size = variant.batch_size
    names, num_steps = {"__name__": "further"}, variant.num_epochs * len(data)
    exec(compile(further_without(variant.without), "further.ipynb", "exec"), names)
    model, optimizer = variant.make(SimpleNamespace(**names), num_steps, **variant.settings)
    model.to(data.images.device)
    follow = get_ema_multi_avg_fn(ASSIGNMENT.ema_decay)
    return model, AveragedModel(model, multi_avg_fn=follow), optimizer


def by_the_notebook(
    variant: Variant, seed: int, data: BatchLoader, others: BatchLoader | None
) -> Run:
    """Train a variant; its accuracies are those of the weights that it is judged by."""
    model, average, optimizer = begin(variant, seed, data)
    history, loss_function = History(variant.num_epochs, data), ASSIGNMENT.loss_function
    ASSIGNMENT.train(model, average, data, others, loss_function, optimizer, history)
    accuracies = history.average_accuracy if variant.averaged else history.test_accuracy
    return list(zip(history.seconds, accuracies, strict=True))


class Epochs(History):
    """A history that keeps the averaged weights of every epoch, to be judged afterwards."""

    def __init__(self, num_epochs: int, train_data: BatchLoader, average: AveragedModel) -> None:
        super().__init__(num_epochs, train_data)
        self.average, self.averages = average, []

    def add_epoch(self, test_accuracy: float, average_accuracy: float) -> None:
        super().add_epoch(test_accuracy, average_accuracy)
        self.averages.append(deepcopy(self.average.state_dict()))


def train(variant: Variant, seed: int, data: BatchLoader, others: BatchLoader) -> dict[str, Any]:
    """Train from one seed, and open the other images only when that is done.

    `accuracy` is the figure of the variant, `last` that of the last weights, `epochs` are those of
    the averaged weights after each epoch, and `losses` the epochs' training losses.
    """
    (model, average, optimizer), start = begin(variant, seed, data), time.perf_counter()
    history = Epochs(variant.num_epochs, data, average)
    ASSIGNMENT.train(model, average, data, None, ASSIGNMENT.loss_function, optimizer, history)
    if history.interrupted:
        raise KeyboardInterrupt
    seconds, last, epochs = time.perf_counter() - start, evaluate(model, others), []
    for weights in history.averages if variant.averaged else []:
        average.load_state_dict(weights)
        epochs.append(evaluate(average, others))
    accuracy = epochs[-1] if variant.averaged else last
    result = {"accuracy": accuracy, "last": last, "epochs": epochs}
    return result | {"losses": history.train_loss, "seconds": seconds}


# Read when a command begins: it may run long, and files be edited meanwhile.
SOURCES = [inspect.getsource(part) for part in (begin, Epochs, train, utils.data, utils.training)]


def normalised(source: str) -> str:
    """Python code without comments and docstrings, in one layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)


def kept_run(
    name: str, variant: Variant, seed: int, loaders: Loaders, kept: Path
) -> dict[str, Any]:
    """The run that the file `kept` holds under the same key, or else a new one, then kept there.

    The key is a digest of all that decides a run: settings, images, code without comments,
    processor, device, number of threads, and torch.
    """
    data, others = loaders
    run = {"model": name, "settings": variant.settings, "batch_size": variant.batch_size}
    run |= {"num_epochs": variant.num_epochs, "seed": seed, "source": data.source}
    run |= {"trained_on": data.num_images, "measured_on": others.num_images}
    begun = facts(data.images.device)
    deciding = [run[part] for part in run if part != "model"]
    deciding += [begun[part] for part in ("processor", "device", "threads")]
    code = [normalised(source) for source in [*SOURCES, *variant.sources()]]
    key = hashlib.sha256(json.dumps([deciding, torch.__version__, code]).encode()).hexdigest()
    if kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            if line.startswith(f'{{"key": "{key}"'):
                return json.loads(line)
    run = {"key": key} | run | begun | train(variant, seed, data, others)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
    return run


def measure_all(
    candidates: dict[str, Variant], seeds: list[int], loaders: Loaders, kept: Path
) -> dict[str, list[dict[str, Any]]]:
    """The runs of every candidate; all of them take turns, seed by seed."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in candidates}
    for seed, (name, variant) in product(seeds, candidates.items()):
        runs[name].append(kept_run(name, variant, seed, loaders, kept))
        print(f"{name}, seed {seed}: {runs[name][-1]['accuracy']:.2%}", flush=True)
    return runs


def describe(accuracies: list[float]) -> str:
    """Mean and standard deviation in percent."""
    spread = f" ± {100 * statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    return f"{100 * statistics.mean(accuracies):.2f}{spread} %"
