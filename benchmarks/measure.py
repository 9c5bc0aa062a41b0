"""What the benchmarks share: facts about a run, fair timings of several candidates, tables."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from utils.data import NUM_TEST, NUM_TRAIN, BatchLoader, load_fashion_mnist

import torch

ROOT = Path(__file__).resolve().parents[1]
README = Path(__file__).with_name("README.md")
# Pages, pictures and kept runs decide no result, and are what --write changes.
CODE = (".", ":(exclude)*.md", ":(exclude)*.png", ":(exclude)*.jsonl")


def make_parser(text: str | None, rounds: int = 0) -> argparse.ArgumentParser:
    """A parser whose help is a script's docstring; for timings in several rounds, with options."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=text, formatter_class=shape)
    parser.add_argument("--write", action="store_true", help="put the result where pages show it")
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, metavar="N")
        parser.add_argument("--share", type=float, default=1, help="of the 60,000 images to use")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse; what is written down is measured with committed code and on the real data."""
    arguments, begun = parser.parse_args(), commit()
    if arguments.write:
        if getattr(arguments, "share", 1) != 1 or getattr(arguments, "small", False):
            parser.error("--write needs the whole data set and the real assignment.")
        if begun == "unknown" or begun.endswith("+"):
            parser.error("--write names a commit: commit or stash what `git status` shows first.")
        os.environ["FASHION_MNIST_REQUIRED"] = "1"
    return arguments


@cache  # first asked when a command begins, whose code is then in memory
def commit() -> str:
    """The short name of the commit checked out, with `+` if code differs, or `unknown`."""
    git = {"capture_output": True, "text": True, "cwd": ROOT}
    name = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **git).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", "--", *CODE], **git).stdout
    return f"{name or 'unknown'}{'+' * bool(changed)}"


def facts(device: str | torch.device = "cpu") -> dict[str, Any]:
    """When, where, with what and of which code a run is made; they are kept with it."""
    name, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else []:
        name = line.split(":")[1].strip() if line.startswith("model name") else name
    is_gpu = torch.device(device).type == "cuda"
    return {
        "date": date.today().isoformat(),
        "commit": commit(),
        "processor": f"{name}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "device": torch.cuda.get_device_name(device) if is_gpu else str(device),
        "threads": torch.get_num_threads(),
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}",
    }


def caption(runs: Iterable[dict[str, Any]]) -> str:
    """What runs say of themselves; where they differ, all that they say."""
    runs, told = list(runs), ""
    if seeds := sorted({run["seed"] for run in runs if "seed" in run}):
        in_a_row = len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1
        told = f"{seeds[0]} to {seeds[-1]}" if in_a_row else ", ".join(map(str, seeds))
        told = f"seeds {told}; "
    said = {name: " and ".join(sorted({str(run[name]) for run in runs})) for name in facts()}
    told += f"{said['date']}; commit {said['commit']}; {said['processor']}; {said['device']}; "
    return f"Measured: {told}threads: {said['threads']}; {said['versions']}."


def load_share(share: float, device: str | torch.device) -> tuple[BatchLoader, BatchLoader]:
    """Both loaders of Fashion-MNIST, cut to a share of their images; repeated if above 1."""
    loaders = load_fashion_mnist(512, device)
    for data, whole in zip(loaders, (NUM_TRAIN, NUM_TEST), strict=True):
        index = torch.arange(round(share * whole), device=device) % whole
        data.images, data.labels = data.images[index], data.labels[index]
    return loaders


@contextmanager
def as_torch_comes() -> Iterator[None]:
    """Multiply matrices as without `utils.training`, which lets oneDNN do it where that is safe."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def run_alone(*arguments: str, environment: dict[str, str] | None = None) -> Any:  # noqa: ANN401
    """Run this Python with `arguments` and read the last line that it prints as JSON."""
    run = {"check": True, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    result = subprocess.run([sys.executable, *arguments], **run, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


def take_turns(
    actions: dict[Any, Callable[[int], Any]], rounds: int, first: int = 0
) -> dict[Any, list[Any]]:
    """Run all actions in turn, and return what each of them returned, round by round.

    A slow minute of the machine then hits all of them alike. Each is given the number of the
    round; round 0 is a warm-up and not kept.
    """
    results: dict[Any, list[Any]] = {name: [] for name in actions}
    for number in range(first, rounds + 1):
        for name, action in actions.items():
            print(f"  round {number} of {rounds}: {name}", flush=True)
            result = action(number)
            results[name] += [result] if number else []
    return results


def times_as_long(others: Sequence[float], ours: Sequence[float]) -> float:
    """The median of the rounds' ratios: a round's runs lie next to one another in time."""
    return statistics.median(other / mine for other, mine in zip(others, ours, strict=True))


def spread(values: Sequence[float]) -> str:
    """The median and the range of some measurements, for a table."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def write_table(name: str, heads: Sequence[str], rows: Iterable[Sequence], *below: str) -> None:
    """Put a table, and what is said below it, between the markers of `name` in its page."""
    file = ROOT / "README.md" if name == "accuracy" else README
    lines = [heads, [":--", *["--:"] * (len(heads) - 1)], *rows]
    table = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    page = file.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    (before, rest), text = page.split(start), "\n".join([table, "", *below])
    _, after = rest.split(end)
    file.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")
