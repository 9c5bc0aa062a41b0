"""What the records share: in turn with the assignment, timed and judged, and kept."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from utils.data import BatchLoader, load_fashion_mnist  # before torch: how threads wait
from utils.definitions import load_definitions
from utils.training import History

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

RUNS, TRIED = (Path(__file__).with_name(f"{name}.jsonl") for name in ("runs", "tried"))
ASSIGNMENT = load_definitions("fashion_mnist.ipynb")
# The processor's own products in bfloat16 are four times as fast as those in float32; without
# instructions for them they would be 100 times slower.
BFLOAT16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


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
    arguments = parse(goal)
    data = load_fashion_mnist(ASSIGNMENT.batch_size, validation=arguments.validation)
    runs, under = [], conditions()
    for seed in arguments.seeds:
        unit, unit_cpu = timed(lambda: train_assignment(data[0]), seed)[1:]
        network, *taken = timed(lambda: train(data[0].images, data[0].labels), seed)
        run = {
            "record": Path(sys.argv[0]).stem,
            "seed": seed,
            "accuracy": judge(partial(answer, network), data[1]),
            "seconds": taken[0],
            "unit_seconds": unit,
            "units": taken[0] / unit,
            "cpu_seconds": taken[1],
            "cpu_units": taken[1] / unit_cpu,
        }
        print(json.dumps(run), flush=True)
        runs.append(run)
    if arguments.keep:
        kept = "".join(f"{json.dumps(run | under)}\n" for run in runs)
        with (TRIED if arguments.validation else RUNS).open("a", encoding="utf-8") as file:
            file.write(kept)
    print(json.dumps(summary(goal, runs)))


def parse(goal: float) -> argparse.Namespace:
    """The command line of a record; what is kept is of the real images and of a commit."""
    parser = argparse.ArgumentParser(description=f"A record: {goal:.1%} on the test images.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[9001], metavar="SEED")
    help_text = "hold out N training images and judge by them; the test files stay closed"
    parser.add_argument("--validation", type=int, default=0, metavar="N", help=help_text)
    keep_text = f"add the runs to {RUNS.name}, or those on held-out images to {TRIED.name}"
    parser.add_argument("--keep", action="store_true", help=keep_text)
    arguments = parser.parse_args()
    if arguments.keep:
        if changed := changes():
            parser.error(f"--keep notes the commit, but the code differs from it: {changed}")
        os.environ["FASHION_MNIST_REQUIRED"] = "1"
    return arguments


def timed(action: Callable[[], object], seed: int) -> tuple[object, float, float]:
    """The result of `action`, its wall and its CPU seconds."""
    torch.manual_seed(seed)
    start, cpu_start = time.perf_counter(), time.process_time()
    result = action()
    return result, time.perf_counter() - start, time.process_time() - cpu_start


def train_assignment(data: BatchLoader) -> None:
    """The assignment's five epochs by its own definitions, without judging any of them."""
    model = ASSIGNMENT.make_model()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ASSIGNMENT.ema_decay))
    optimizer, history = ASSIGNMENT.make_optimizer(model), History(ASSIGNMENT.num_epochs, data)
    loss_function = ASSIGNMENT.loss_function
    ASSIGNMENT.train(model, average, data, None, loss_function, optimizer, history)


@torch.inference_mode()
def judge(answer: Callable[[Tensor], Tensor], data: BatchLoader) -> float:
    """The fraction of images right; the logits are means over views of each image.

    Half of the answer is the image's and its mirror image's, half that of four copies of both,
    moved by a pixel to one side.
    """
    right = 0
    for images, labels in zip(data.images.split(500), data.labels.split(500), strict=True):
        views = [
            images,
            *(images.roll(move, (1, 2)) for move in ((1, 0), (-1, 0), (0, 1), (0, -1))),
        ]
        answers = [answer(view) + answer(view.flip(2)) for view in views]
        logits = answers[0] + sum(answers[1:]) / 4
        right += (logits.argmax(dim=1) == labels).sum().item()
    return right / data.num_images


def conditions() -> dict[str, object]:
    """When, by which code and on what a run was made."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "date": f"{date.today()}",
        "commit": git("rev-parse", "--short", "HEAD"),
        "threads": torch.get_num_threads(),
        "processor": f"{names[0] if names else platform.machine()}, {capability}",
        "bfloat16": BFLOAT16,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def summary(goal: float, runs: list[dict[str, object]]) -> dict[str, object]:
    """What a record says of itself: means over its runs."""
    mean = {name: statistics.fmean(run[name] for run in runs) for name in ("seconds", "units")}
    return {"goal": goal, **mean, "accuracies": [run["accuracy"] for run in runs]}


def changes() -> str:
    """What differs from the commit in code that decides a result, one line a file."""
    return git("status", "--porcelain", "--", "utils/*.py", "benchmarks/records/*.py", "notebooks")


def git(*arguments: str) -> str:
    command = ["git", *arguments]
    folder = RUNS.parents[2]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout.strip()
