"""What the records share: timed in turn with the assignment, judged, kept, and shown.

python -m benchmarks.records.record    # the table and the picture again, from the kept runs
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.measure import (
    ROOT,
    as_torch_comes,
    caption,
    facts,
    make_parser,
    parse,
    write_table,
)
from benchmarks.runs import by_the_notebook
from benchmarks.variants import ASSIGNMENT, LADDER
from utils import plotting
from utils.data import BatchLoader, load_fashion_mnist

import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn

RUNS, TRIED = (Path(__file__).with_name(f"{name}.jsonl") for name in ("runs", "tried"))
PICTURE = Path(__file__).with_name("records.png")
GOALS = {  # a script each
    "ninety": "90 %",
    "ninety_two": "92 %",
    "ninety_three_four": "93.4 %",
    "five_epochs": "best in 5 epochs",
    "twenty_epochs": "best in 20 epochs",
}
PUBLISHED = {
    "an MLP (local-loss)": 0.9163,
    "a ResNet, 5 epochs (fastai)": 0.934,
    "a ResNet, 20 epochs (fastai)": 0.943,
}
# The processor's own products in bfloat16 are four times as fast as those in float32; without
# instructions for them they would be 100 times slower.
BFLOAT16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
Run = dict[str, Any]


def measure(
    goal: float,
    train: Callable[[Tensor, Tensor], nn.Module],
    answer: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    """Run a record from the command line; the last line printed is its result as JSON.

    `train(images, labels)` makes a network from images (n, 28, 28) uint8 and labels (n,); all that
    it does is timed. `answer(network, images)` gives its logits (b, 10). For every seed the
    assignment trains first, for the unit of time; the test images are judged last.
    """
    parser = make_parser(f"A record: {goal:.1%} on the test images.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[9001], metavar="SEED")
    help_text = "hold out N training images and judge by them; the test files stay closed"
    parser.add_argument("--validation", type=int, default=0, metavar="N", help=help_text)
    arguments, runs = parse(parser), []
    data, others = load_fashion_mnist(ASSIGNMENT.batch_size, validation=arguments.validation)
    for seed in arguments.seeds:
        run = {"record": Path(sys.argv[0]).stem, "seed": seed}
        network, spent = in_turn(train, data, seed)
        run |= {"accuracy": judge(partial(answer, network), others)} | spent
        runs.append(run | facts() | {"bfloat16": BFLOAT16})
        print(json.dumps(run), flush=True)
        if arguments.write:
            with (TRIED if arguments.validation else RUNS).open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(runs[-1])}\n")
    if arguments.write and not arguments.validation:
        write_records()
    means = {name: mean(runs, name) for name in ("seconds", "units")}
    print(json.dumps({"goal": goal, **means, "accuracies": [run["accuracy"] for run in runs]}))


def in_turn(
    train: Callable[[Tensor, Tensor], nn.Module], data: BatchLoader, seed: int
) -> tuple[nn.Module, dict[str, float]]:
    """What `train` makes after the assignment's training, and the seconds and units it takes."""
    before = clocks()
    with as_torch_comes():  # as it was when the first records were measured
        by_the_notebook(LADDER["assignment"], seed, data, None)
    between = clocks()
    torch.manual_seed(seed)
    network = train(data.images, data.labels)
    after = clocks()
    unit, cpu_unit = between[0] - before[0], between[1] - before[1]
    seconds, cpu_seconds = after[0] - between[0], after[1] - between[1]
    spent = {"seconds": seconds, "unit_seconds": unit, "units": seconds / unit}
    return network, spent | {"cpu_seconds": cpu_seconds, "cpu_units": cpu_seconds / cpu_unit}


def clocks() -> tuple[float, float]:
    """The wall's time and the processor's, in seconds."""
    return time.perf_counter(), time.process_time()


@torch.inference_mode()
def judge(answer: Callable[[Tensor], Tensor], data: BatchLoader) -> float:
    """The fraction of images right; the logits are means over views of each image.

    Half of the answer is the image's and its mirror image's, half that of four copies of both,
    moved by a pixel to one side.
    """
    right = 0
    for images, labels in zip(data.images.split(500), data.labels.split(500), strict=True):
        moved = [images.roll(move, (1, 2)) for move in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        answers = [answer(view) + answer(view.flip(2)) for view in (images, *moved)]
        logits = answers[0] + sum(answers[1:]) / 4
        right += (logits.argmax(dim=1) == labels).sum().item()
    return right / data.num_images


def mean(runs: list[Run], name: str) -> float:
    return statistics.fmean(run[name] for run in runs)


def write_records() -> None:
    """Write the table and the picture, of the runs of every record's newest script."""
    runs, records = [json.loads(line) for line in RUNS.read_text().splitlines()], {}
    for name in GOALS:
        if mine := [run for run in runs if run["record"] == name]:
            newest = script_at(name, mine[-1]["commit"])
            records[name] = [run for run in mine if script_at(name, run["commit"]) == newest]
    heads = "goal", "script", "units of CPU time", "units", "seconds"
    heads += "test accuracy, mean (least)", "seeds", "commit"
    rows = [row(name, mine) for name, mine in records.items()]
    write_table("records", heads, rows, caption(chain(*records.values())))
    draw(records)


@cache
def script_at(name: str, commit: str) -> str:
    """Which version of a record's script a commit has: git's name of it, or else the commit."""
    git = ["git", "rev-parse", "--quiet", "--verify", f"{commit}:benchmarks/records/{name}.py"]
    return subprocess.run(git, capture_output=True, text=True, cwd=ROOT).stdout.strip() or commit


def row(name: str, runs: list[Run]) -> tuple[str, ...]:
    """A record's line; with one thread, beside other programs, only CPU time says something."""
    cpu_units, script = f"{mean(runs, 'cpu_units'):.2f}", f"[`{name}.py`](records/{name}.py)"
    wall = [f"**{mean(runs, 'units'):.2f}**", f"{mean(runs, 'seconds'):.1f}"]
    wall = wall if runs[0]["threads"] > 1 else ["", ""]
    least = min(run["accuracy"] for run in runs)
    accuracy = f"{plotting.percent(mean(runs, 'accuracy'))} ({plotting.percent(least)})"
    commits = " and ".join(sorted({run["commit"] for run in runs}))
    return GOALS[name], script, cpu_units, *wall, accuracy, str(len(runs)), commits


def draw(records: dict[str, list[Run]]) -> None:
    """Draw every record's accuracy over its time, with what others have published."""
    plotting.use_style()
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, runs in records.items():
        x, y = mean(runs, "cpu_units"), 100 * mean(runs, "accuracy")
        for run in runs:
            axes.plot(x, 100 * run["accuracy"], "_", color=plotting.BLUE, alpha=0.5)
        axes.plot(x, y, "o", color=plotting.BLUE)
        side = "left" if "epochs" in GOALS[name] else "right"  # so that neighbours have room
        axes.annotate(f"   {GOALS[name]}: {x:.3g} units   ", (x, y), va="center", ha=side)
    axes.set(xscale="log", xlim=(0.1, 2000), ylabel="test images right (%)")
    axes.set(xlabel="training time in units of the assignment's (CPU time)")
    axes.xaxis.set_major_formatter("{x:g}")
    for name, accuracy in PUBLISHED.items():
        axes.axhline(100 * accuracy, color=plotting.ORANGE, linestyle="--", linewidth=1)
        at = axes.get_xlim()[0], 100 * accuracy + 0.05
        axes.annotate(f" {name}: {plotting.percent(accuracy)}", at, color=plotting.ORANGE)
    figure.savefig(PICTURE, dpi=200)


if __name__ == "__main__":
    write_records()
