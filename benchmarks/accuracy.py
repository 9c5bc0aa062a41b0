"""Measure the accuracy of the models over several seeds, or the whole ladder between them.

    python benchmarks/accuracy.py --model further --seeds 0 1 2 3 4
    python benchmarks/accuracy.py --ladder --write
    python benchmarks/accuracy.py --ablation --write
    python benchmarks/accuracy.py --model further --validation 10000 --set dims=12,32,64 depth=2

With --validation the test images are never opened, so that is the way to choose. Without it, they
are read when the training is done. Finished runs are kept in `benchmarks/accuracy.jsonl`, and an
unfinished one beside it after every epoch: an interrupted command goes on where it was.

The last line is one JSON object for the last model: `accuracies` and `mean` are those of the model
as it is judged, `last` those of its last weights, `epochs` those of its averaged weights after each
epoch (null if it is judged by its last ones), `seconds` is a run's median, `measured` says when,
where and of which code the runs were made.

--write puts the table of the assignment, the ladder or the ablation where the READMEs show it. With
the ladder it also times some steps of each model on all cores, which nothing else should use
meanwhile, and draws `benchmarks/accuracy.png`: accuracy over the time of the training.
"""

import argparse
import hashlib
import inspect
import io
import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import date
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from tools.files import write_whole
from tools.notebook import tagged_sources
from utils import plotting
from utils.data import BatchLoader, load_fashion_mnist
from utils.definitions import NOTEBOOKS
from utils.training import History, evaluate

import matplotlib.pyplot as plt
import torch
from matplotlib.ticker import LogLocator
from measure import commit, machine, parse, write_table
from recipes import (
    ABLATION,
    ASSIGNMENT,
    INGREDIENTS,
    LADDER,
    RECIPES,
    PatchBlock,
    Recipe,
    RecipeBlock,
    RecipeModel,
    WindowBlock,
    make_model,
    make_optimizer,
    make_training,
)
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "accuracy.jsonl"
PICTURE = ROOT / "benchmarks" / "accuracy.png"
CURVES = ROOT / "docs" / "training.png"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", choices=RECIPES, nargs="+", default=["assignment"])
    which.add_argument("--ladder", action="store_true", help="every rung")
    which.add_argument("--ablation", action="store_true", help="further, one ingredient changed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N")
    parser.add_argument(
        "--validation", type=int, default=0, metavar="N", help="hold out N training images"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=NUMBER,...",
        help="change the model's recipe",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where runs are kept")
    arguments = parse(parser)
    names = list(LADDER) if arguments.ladder else arguments.model
    names = ["further", *ABLATION] if arguments.ablation else names
    whole = arguments.ladder or arguments.ablation or names == ["assignment"]
    if arguments.write and (arguments.set or arguments.validation or not whole):
        parser.error("--write reports the assignment, --ladder or --ablation, on the test images.")

    recipes = {name: RECIPES[name] for name in names}
    for name, setting in product(names, arguments.set):
        try:
            recipes[name] = recipes[name].changed(*setting.partition("=")[::2])
        except ValueError as error:
            parser.error(str(error))

    data = load_fashion_mnist(ASSIGNMENT.batch_size, ASSIGNMENT.device, arguments.validation)
    measured_on = "validation" if arguments.validation else "test"
    print(f"commit {commit()}; {machine()}")
    print(f"{data[0].source}, accuracy on {data[1].num_images:,} {measured_on} images")
    summaries = []
    for name, recipe in recipes.items():
        runs = [
            kept_run(recipe, seed, data, arguments.results, f"{name}, seed {seed}")
            for seed in arguments.seeds
        ]
        summary = {"model": name, "source": data[0].source, "measured_on": measured_on}
        summaries.append(summary | summarise(recipe, runs))
        print(json.dumps(summaries[-1]), flush=True)
    if arguments.write and arguments.ladder:
        for summary in summaries:
            summary["training"] = training_seconds(RECIPES[summary["model"]], data[0])
        write_table("ladder", ladder_table(summaries))
        draw_ladder(summaries)
    elif arguments.write and arguments.ablation:
        write_table("ablation", ablation_table(summaries))
    elif arguments.write:
        threads = torch.get_num_threads()
        table = assignment_table(summaries[0])
        write_table(f"assignment, {threads} thread{'s' * (threads > 1)}", table)
        if threads > 1:  # as a visitor runs it
            write_table("accuracy", table, ROOT / "README.md")
            draw_assignment(summaries[0])


def kept_run(
    recipe: Recipe,
    seed: int,
    data: tuple[BatchLoader, BatchLoader],
    results: Path,
    label: str,
) -> dict[str, Any]:
    """The result of one run: the one kept in `results`, or else a new one, which is then kept."""
    facts = {"recipe": asdict(recipe), "seed": seed, "source": data[0].source}
    facts |= {"trained_on": data[0].num_images, "measured_on": data[1].num_images}
    facts |= {"threads": torch.get_num_threads()}  # they move where a run ends
    # Another model must not find the old one's results; the mixer's sizes are in the recipe.
    notebooks = sorted(NOTEBOOKS.glob("*.ipynb"))
    cells = [cell for notebook in notebooks for cell in tagged_sources("definition", notebook)]
    code = [cell for cell in cells if not cell.startswith("mixer_sizes =")]
    parts = RecipeBlock, PatchBlock, WindowBlock, RecipeModel, make_model, make_optimizer
    code += [inspect.getsource(part) for part in parts]
    key = hashlib.sha256(json.dumps([facts, code, torch.__version__]).encode()).hexdigest()
    if results.exists():
        for line in results.read_text(encoding="utf-8").splitlines():
            if line.startswith(f'{{"key": "{key}"'):
                return json.loads(line)
    unfinished = results.with_name(f"{key}.pt")
    result = {"key": key, **run(recipe, seed, *data, label, unfinished), **facts}
    result |= {"date": date.today().isoformat(), "commit": commit(), "machine": machine()}
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    unfinished.unlink(missing_ok=True)
    return result


class WatchedHistory(History):
    """Moves a line of progress, and calls `after_epoch` after every epoch."""

    def __init__(
        self, num_epochs: int, data: BatchLoader, bar: tqdm, after_epoch: Callable[[], None]
    ) -> None:
        super().__init__(num_epochs, data)
        self.bar, self.after_epoch = bar, after_epoch

    def add_step(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """One more step."""
        super().add_step(loss, logits, labels)
        self.bar.update()

    def add_epoch(self, test_accuracy: float, average_accuracy: float) -> None:
        """One more epoch."""
        super().add_epoch(test_accuracy, average_accuracy)
        self.after_epoch()


def run(
    recipe: Recipe,
    seed: int,
    train_data: BatchLoader,
    other_data: BatchLoader,
    label: str,
    unfinished: Path | None = None,
) -> dict[str, Any]:
    """Train from one seed with a line of progress, and measure when that is done.

    After every epoch all that the training needs is kept in the file `unfinished`, if there is one;
    a later call finds it there, and goes on as if nothing had happened (on a CPU, to the bit).

    `losses` are the training losses of the epochs, `last` is the accuracy of the last weights,
    `epochs` that of the averaged weights as they were after each epoch, and `accuracy` the figure
    of the recipe: the last of `epochs`, or `last`.
    """
    torch.manual_seed(seed)
    model, average, optimizer = make_training(recipe, train_data)
    parts, averages, losses, seconds = [model, average, *optimizer.parts], [], [], 0.0
    if unfinished and unfinished.exists():
        state, averages, losses, seconds, random = torch.load(unfinished)
        for part, values in zip(parts, state, strict=True):
            part.load_state_dict(values)
        torch.set_rng_state(random)
    done, start = len(averages), time.perf_counter() - seconds

    def keep() -> None:
        losses.append(history.train_loss[-1])
        averages.append(deepcopy(average.state_dict()) if recipe.average_weights else None)
        if unfinished and len(averages) < recipe.num_epochs:
            state, seconds = [part.state_dict() for part in parts], time.perf_counter() - start
            content = io.BytesIO()
            torch.save([state, averages, losses, seconds, torch.get_rng_state()], content)
            write_whole(unfinished, content.getvalue())

    total, initial = recipe.num_epochs * len(train_data), done * len(train_data)
    steps = {"total": total, "initial": initial, "unit": "step"}
    with suppress(KeyboardInterrupt), tqdm(**steps, desc=label, leave=False, mininterval=1) as bar:
        history = WatchedHistory(recipe.num_epochs - done, train_data, bar, keep)
        loss_function = ASSIGNMENT.loss_function
        ASSIGNMENT.train(model, average, train_data, None, loss_function, optimizer, history)
    if len(averages) < recipe.num_epochs:  # interrupted; the complete epochs are kept
        raise SystemExit(130)
    result = {"seconds": time.perf_counter() - start, "losses": losses}
    result |= {"last": evaluate(model, other_data)}
    if not recipe.average_weights:
        return result | {"accuracy": result["last"]}
    epochs = []
    for weights in averages:
        average.load_state_dict(weights)
        epochs.append(evaluate(average, other_data))
    return result | {"accuracy": epochs[-1], "epochs": epochs}


def summarise(recipe: Recipe, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over the runs, and what the model costs."""
    accuracies = [run["accuracy"] for run in runs]
    seconds = [run["seconds"] for run in runs]
    model = make_model(recipe)
    with FlopCounterMode(display=False) as counter:
        model.train()(torch.zeros(1, 28, 28))  # in training, an image passes once
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "multiply_adds": counter.get_total_flops() // 2,
        "mean": statistics.mean(accuracies),
        "std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "accuracies": accuracies,
        "last": [run["last"] for run in runs],
        "epochs": [run.get("epochs") for run in runs],
        "losses": [run.get("losses") for run in runs],
        "measured": provenance(runs),
        "seconds": statistics.median(seconds),
        "seconds_range": [min(seconds), max(seconds)],
    }


def assignment_table(summary: dict[str, Any]) -> str:
    """The figure of step 6 and that of the last weights, over the seeds."""
    rows = [
        f"| {name} | {describe(values)} | {100 * min(values):.2f} to {100 * max(values):.2f} % |"
        for name, values in {
            "averaged weights: the figure of step 6": summary["accuracies"],
            "last weights": summary["last"],
        }.items()
    ]
    falls = [
        max(before - after for before, after in pairwise(epochs)) for epochs in summary["epochs"]
    ]
    rises = sum(fall <= 0 for fall in falls)
    end = (
        f"The accuracy of the averaged weights rose at every epoch in {rises} of {len(falls)} "
        f"runs; its deepest fall was {100 * max(*falls, 0):.2f} points. {summary['measured']}"
    )
    head = f"| {len(falls)} seeds | test accuracy, mean and deviation | least to most |"
    return "\n".join([head, "|:--|--:|--:|", *rows, "", end])


def provenance(runs: list[dict[str, Any]]) -> str:
    """When, of which code and where the runs were made, with which seeds."""
    made = {name: sorted({run.get(name, "?") for run in runs}) for name in ("date", "commit")}
    machines = sorted({run.get("machine", "?") for run in runs})
    seeds = sorted(run["seed"] for run in runs)
    return (
        f"Seeds {seeds[0]} to {seeds[-1]}, {', '.join(made['date'])}, commit "
        f"{', '.join(made['commit'])}, on {'; '.join(machines)}."
    )


def draw_assignment(summary: dict[str, Any]) -> None:
    """Draw the runs of the assignment's table: their losses, and accuracies on the test images."""
    plotting.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    numbers = range(1, ASSIGNMENT.num_epochs + 1)
    for losses, epochs in zip(summary["losses"], summary["epochs"], strict=True):
        left.plot(numbers, losses, color=plotting.BLUE, linewidth=1, alpha=0.5)
        right.plot(numbers, [100 * e for e in epochs], color=plotting.BLUE, linewidth=1, alpha=0.5)
    last = [100 * accuracy for accuracy in summary["last"]]
    right.plot([numbers[-1] + 0.25] * len(last), last, "_", color=plotting.ORANGE, label="last")
    write_up = 100 * ASSIGNMENT.write_up
    right.axhline(write_up, color=plotting.GREY, linestyle="--", linewidth=1)
    right.annotate("the write-up", (1, write_up + 0.1), color=plotting.GREY)
    right.annotate("averaged weights, after each epoch", (2.2, 84.5), color=plotting.BLUE)
    right.annotate("last weights", (4.25, min(last) - 0.4), color=plotting.ORANGE)
    left.set(title="Training loss (nats per image)", xlabel="epoch", xticks=numbers)
    right.set(title="Test images right (%)", xlabel="epoch", xticks=numbers)
    figure.savefig(CURVES, dpi=160)


def training_seconds(recipe: Recipe, data: BatchLoader) -> float:
    """The seconds that a whole training takes on all cores, from the pace of some of its steps."""
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    model, average, optimizer = make_training(recipe, data)
    part = slice(20 * recipe.batch_size)
    few = replace(data, images=data.images[part], labels=data.labels[part])
    history = History(4, few)
    ASSIGNMENT.train(model, average, few, None, ASSIGNMENT.loss_function, optimizer, history)
    torch.set_num_threads(threads)
    step = statistics.median(history.seconds[1:]) / len(few)  # the first epoch warms up
    return recipe.num_epochs * len(data) * step


def ladder_table(summaries: list[dict[str, Any]]) -> str:
    """Every model, with what it costs and reaches, and the machine."""
    head = (
        "| | model | what it is, or adds | parameters | multiply-adds an image | training, s | "
        f"test accuracy, {len(summaries[0]['accuracies'])} seeds |"
    )
    rows = [
        f"| {number} | `{s['model']}` | {INGREDIENTS[s['model']]} | {s['parameters']:,} | "
        f"{s['multiply_adds'] / 1e6:.2f} M | {s['training']:.0f} | {describe(s['accuracies'])} |"
        for number, s in enumerate(summaries, start=1)
    ]
    end = (
        f"Mean and standard deviation, trained with {machine().split(', ')[-1]}; the seconds are "
        f"those of {os.cpu_count()} threads, from the pace of some steps. "
        f"Measured on {machine(threads=False)}."
    )
    return "\n".join([head, "|--:|:--|:--|--:|--:|--:|--:|", *rows, "", end])


def ablation_table(summaries: list[dict[str, Any]]) -> str:
    """The second notebook's network, and what changing one ingredient makes of it."""
    whole, *others = summaries
    head = f"| further | test accuracy, {len(whole['accuracies'])} seeds | difference, points |"
    rows = [f"| whole | {describe(whole['accuracies'])} | |"]
    rows += [
        f"| {INGREDIENTS[s['model']]} | {describe(s['accuracies'])} | "
        f"{100 * (s['mean'] - whole['mean']):+.2f} |"
        for s in others
    ]
    end = f"Mean and standard deviation. Measured on {machine()}."
    return "\n".join([head, "|:--|--:|--:|", *rows, "", end])


def describe(accuracies: list[float]) -> str:
    """Mean and standard deviation in percent."""
    spread = f" ± {100 * statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    return f"{100 * statistics.mean(accuracies):.2f}{spread} %"


def pareto_front(summaries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that no other beats in less time, the fastest first."""
    front: list[dict[str, Any]] = []
    for summary in sorted(summaries, key=lambda summary: summary["training"]):
        if not front or summary["mean"] > front[-1]["mean"]:
            front.append(summary)
    return front


# What others report on the test images; benchmarks/README.md names the sources.
PUBLISHED = {
    "the write-up": ASSIGNMENT.write_up,
    "an MLP (local-loss)": 0.9163,
    "a CNN, five epochs (fastai)": 0.934,
}


def draw_ladder(summaries: list[dict[str, Any]]) -> None:
    """Draw every rung's accuracy over the time of its training, and the Pareto front."""
    plotting.use_style()
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    front = pareto_front(summaries)
    places = [(summary["training"], 100 * summary["mean"]) for summary in front]
    look = {"color": plotting.BLUE, "linewidth": 1, "label": "Pareto front"}
    axes.plot(*zip(*places, strict=True), **look)
    for number, summary in enumerate(summaries, start=1):
        color = plotting.BLUE if summary in front else plotting.GREY
        x, values = summary["training"], [100 * value for value in summary["accuracies"]]
        axes.plot([x, x], [min(values), max(values)], color=color, linewidth=1)
        axes.plot(x, 100 * summary["mean"], "o", color=color, label=f"{number}  {summary['model']}")
        offset = {"xytext": (5, -12), "textcoords": "offset points", "color": color}
        axes.annotate(number, (x, 100 * summary["mean"]), **offset)
    axes.set(xlabel=f"seconds of training on {os.cpu_count()} cores", xscale="log")
    axes.set_ylabel("test images right (%)\ndots: mean, strokes: all seeds")
    for name, accuracy in PUBLISHED.items():
        axes.axhline(100 * accuracy, color=plotting.ORANGE, linestyle="--", linewidth=1)
        at = axes.get_xlim()[0], 100 * accuracy + 0.08
        axes.annotate(f" {name}: {100 * accuracy:.2f} %", at, color=plotting.ORANGE)
    axes.xaxis.set(major_locator=LogLocator(subs=[1, 2, 5]), major_formatter="{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(PICTURE, dpi=200)


if __name__ == "__main__":
    main()
