"""What the benchmarks share: the machine in words, and fair timings of several candidates."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from utils.data import BatchLoader, load_fashion_mnist

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

NUM_TRAIN, NUM_TEST = 60_000, 10_000
README = Path(__file__).with_name("README.md")
GIT = {"capture_output": True, "text": True, "cwd": README.parents[1]}
CODE = ("utils/*.py", "tools/*.py", "benchmarks/*.py", "notebooks/*.ipynb")


def load_share(share: float, device: str | torch.device) -> tuple[BatchLoader, BatchLoader]:
    """Both loaders of Fashion-MNIST, cut to a share of their images; repeated if above 1."""
    train_data, test_data = load_fashion_mnist(512, device)
    if share != 1:
        _resize(train_data, round(share * NUM_TRAIN))
        _resize(test_data, round(share * NUM_TEST))
    return train_data, test_data


def _resize(data: BatchLoader, num_images: int) -> None:
    index = torch.arange(num_images, device=data.labels.device) % data.num_images
    data.images, data.labels = data.images[index], data.labels[index]


def average_of(assignment: SimpleNamespace, model: nn.Module) -> AveragedModel:
    """The moving average (EMA) of a model's weights, as the assignment's notebook makes it."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(assignment.ema_decay))


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add --write and parse the command line; what is written down is measured on the real data."""
    parser.add_argument(
        "--write", action="store_true", help="put the result where the READMEs show it"
    )
    arguments = parser.parse_args()
    if arguments.write:
        if getattr(arguments, "share", 1) != 1 or getattr(arguments, "small", False):
            parser.error("--write needs the whole data set and the real assignment.")
        os.environ["FASHION_MNIST_REQUIRED"] = "1"
    return arguments


@cache
def commit() -> str:
    """The short name of the commit checked out when first asked, with `+` if code differs."""
    name = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **GIT).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", "--", *CODE], **GIT).stdout
    return f"{name or 'unknown'}{'+' * bool(changed)}"


def machine(threads: bool = True) -> str:
    """The machine in one line: processor, cores, torch, threads (unless they vary), any GPU."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0].split(":")[1].strip() if models else name
    parts = [
        f"{name}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        f"torch {torch.__version__}",
    ]
    if threads:
        number = torch.get_num_threads()
        parts[-1] += f", {number} thread{'s' * (number != 1)}"
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return "; ".join(parts)


def run_alone(*arguments: str, environment: dict[str, str] | None = None) -> Any:  # noqa: ANN401
    """Run this Python with `arguments` and read the last line that it prints as JSON."""
    command = [sys.executable, *arguments]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


def timed(action: Callable[[], object], device: str | torch.device = "cpu") -> float:
    """Seconds that `action` takes, the work it leaves on a GPU included."""
    start = time.perf_counter()
    action()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def alternate(actions: dict[str, Callable[[int], float]], repeats: int) -> dict[str, list[float]]:
    """Run all actions in turn, `repeats` times, and return the seconds of each.

    Taking turns lets a slow minute of the machine hit all of them alike. Each action is given
    the number of the round and returns its own seconds; round 0, a warm-up, is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(repeats + 1):
        for name, action in actions.items():
            taken = action(number)
            if number:
                seconds[name].append(taken)
                print(f"  round {number} of {repeats}: {name} {taken:.3g} s", flush=True)
    return seconds


def spread(values: Sequence[float], unit: str = "s") -> str:
    """The median and the range of some measurements, in words."""
    return (
        f"median {statistics.median(values):.4g} {unit} "
        f"({min(values):.4g} to {max(values):.4g}, {len(values)} runs)"
    )


def times_faster(
    seconds: dict[str, list[float]], ours: str, peers: Sequence[str]
) -> tuple[float, list[float]]:
    """How many times faster `ours` is than the fastest of `peers`: median and each round's ratio.

    A round's runs lie next to one another in time, so the ratio is taken round by round.
    """
    fastest = min(peers, key=lambda peer: statistics.median(seconds[peer]))
    ratios = [peer / mine for peer, mine in zip(seconds[fastest], seconds[ours], strict=True)]
    return statistics.median(ratios), ratios


def timings_table(seconds: dict[str, list[float]], *findings: str) -> str:
    """A table of the seconds of each candidate, the findings under it, and the machine."""
    rows = [
        f"| {name} | {statistics.median(values):.3g} | {min(values):.3g} to {max(values):.3g} |"
        for name, values in seconds.items()
    ]
    head = f"| {len(next(iter(seconds.values())))} rounds | median, s | range, s |\n|:--|--:|--:|"
    return "\n".join([head, *rows, "", *findings, f"Measured on {machine()}."])


def write_table(name: str, text: str, file: Path = README) -> None:
    """Replace what stands between the markers of `name` in `file`."""
    page = file.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = page.split(start)
    _, after = rest.split(end)
    file.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")
