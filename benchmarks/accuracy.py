"""Measure the accuracy of the assignment on the test images, or what every ingredient is worth.

    python -m benchmarks.accuracy --seeds 0 1 2
    python -m benchmarks.accuracy --ingredients --write

The test images are judged when a training is done. Runs are kept in build/accuracy.jsonl, with
--write in benchmarks/accuracy.jsonl, one line a run: an interrupted command goes on where it was.
--ingredients measures the ladder from the assignment to the largest network, and the mixer without
each ingredient. The last line is one JSON object: the accuracies of every network.
"""

import json
import statistics
from itertools import chain, pairwise
from typing import Any

from benchmarks.measure import ROOT, caption, make_parser, parse, write_table
from benchmarks.runs import begin, describe, measure_all
from benchmarks.variants import ABLATION, ASSIGNMENT, LADDER, WORDS
from utils import plotting
from utils.data import BatchLoader, load_fashion_mnist

import matplotlib.pyplot as plt
import torch
from torch.utils.flop_counter import FlopCounterMode

KEPT, CURVES = ROOT / "benchmarks" / "accuracy.jsonl", ROOT / "docs" / "training.png"
Runs = list[dict[str, Any]]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--model", choices=LADDER, default="assignment")
    parser.add_argument("--ingredients", action="store_true", help="the ladder and the ablation")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N")
    arguments = parse(parser)
    if arguments.write and not arguments.ingredients and arguments.model != "assignment":
        parser.error("--write reports the assignment or --ingredients.")
    kept = KEPT if arguments.write else ROOT / "build" / KEPT.name
    candidates = {arguments.model: LADDER[arguments.model]}
    if arguments.ingredients:
        candidates = LADDER | {f"without {name}": each for name, each in ABLATION.items()}
    data = load_fashion_mnist(ASSIGNMENT.batch_size, ASSIGNMENT.device)
    runs = measure_all(candidates, arguments.seeds, data, kept)
    if arguments.write and arguments.ingredients:
        write_ingredients(runs, data[0])
    elif arguments.write:
        write_accuracy(runs["assignment"])
        draw(runs["assignment"])
    told = {name: [run["accuracy"] for run in each] for name, each in runs.items()}
    print(json.dumps(told))


def write_accuracy(runs: Runs) -> None:
    """Write the figure of step 6 and that of the last weights, over the seeds."""
    rows = []
    kinds = {"accuracy": "averaged weights: the figure of step 6", "last": "last weights"}
    for kind, words in kinds.items():
        values = [run[kind] for run in runs]
        rows.append(
            (words, describe(values), f"{100 * min(values):.2f} to {100 * max(values):.2f} %")
        )
    falls = [max(a - b for a, b in pairwise(run["epochs"])) for run in runs]
    rises = "The accuracy of the averaged weights rose at every epoch in "
    rises += f"{sum(fall <= 0 for fall in falls)} of {len(runs)} runs."
    heads = f"{len(runs)} seeds", "test accuracy, mean and deviation", "least to most"
    write_table("accuracy", heads, rows, rises, caption(runs))


def cost(name: str, data: BatchLoader) -> tuple[str, str]:
    """The parameters of a rung, and the multiply-adds that an image takes in one pass."""
    model, *_ = begin(LADDER[name], 0, data)
    with FlopCounterMode(display=False) as counter:
        model.train()(torch.zeros(1, 28, 28, device=data.images.device))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return f"{parameters:,}", f"{counter.get_total_flops() / 2e6:.2f} M"


def write_ingredients(runs: dict[str, Runs], data: BatchLoader) -> None:
    """Write the ladder, and beside each rung what the mixer loses without its ingredient."""
    found = {name: [run["accuracy"] for run in each] for name, each in runs.items()}
    whole, rows = statistics.mean(found["shift"]), []
    for name in LADDER:
        alone = found.get(f"without {name}")
        lost = f"{100 * (statistics.mean(alone) - whole):+.2f}" if alone else ""
        words = f"`{name}`: {WORDS[name]}"
        rows.append((words, *cost(name, data), describe(found[name]), lost))
    heads = f"{len(found['shift'])} seeds", "parameters", "multiply-adds an image"
    heads += "test accuracy with all rows above", "the mixer without it, points"
    write_table("ingredients", heads, rows, caption(chain(*runs.values())))


def draw(runs: Runs) -> None:
    """Draw the runs of the assignment's table: their losses, and accuracies on the test images."""
    plotting.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    numbers, look = range(1, ASSIGNMENT.num_epochs + 1), {"linewidth": 1, "alpha": 0.5}
    for run in runs:
        left.plot(numbers, run["losses"], color=plotting.BLUE, **look)
        right.plot(numbers, [100 * e for e in run["epochs"]], color=plotting.BLUE, **look)
    last = [100 * run["last"] for run in runs]
    right.plot([numbers[-1] + 0.25] * len(last), last, "_", color=plotting.ORANGE)
    write_up = 100 * ASSIGNMENT.write_up
    right.axhline(write_up, color=plotting.GREY, linestyle="--", linewidth=1)
    right.annotate("the write-up", (1, write_up + 0.1), color=plotting.GREY)
    right.annotate("averaged weights, after each epoch", (2.2, 84.5), color=plotting.BLUE)
    right.annotate("last weights", (4.25, min(last) - 0.4), color=plotting.ORANGE)
    left.set(title="Training loss (nats per image)", xlabel="epoch", xticks=numbers)
    right.set(title="Test images right (%)", xlabel="epoch", xticks=numbers)
    figure.savefig(CURVES, dpi=160)


if __name__ == "__main__":
    main()
