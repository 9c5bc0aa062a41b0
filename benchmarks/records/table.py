"""The table of the records and their picture, from the runs kept; `--write` puts both in place."""

import argparse
import json
import statistics
from itertools import groupby
from pathlib import Path

from utils import plotting

from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator

RUNS, PICTURE = Path(__file__).with_name("runs.jsonl"), Path(__file__).with_name("records.png")
README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- records -->", "<!-- end of records -->"
GOALS = {"ninety": 0.90, "ninety_two": 0.92, "ninety_three_four": 0.934}  # a script each
PUBLISHED = {"an MLP (local-loss)": 0.9163, "a ResNet, five epochs (fastai)": 0.934}
SAME = "commit", "date", "processor", "cores", "threads", "torch", "bfloat16"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    help_text = f"write {PICTURE.name}, and the table where benchmarks/README.md has its marks"
    parser.add_argument("--write", action="store_true", help=help_text)
    arguments = parser.parse_args()
    records = newest([json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()])
    text = table(records)
    print(text)
    if arguments.write:
        before, rest = README.read_text(encoding="utf-8").split(START)
        page = f"{before}{START}\n{text}\n{END}{rest.split(END)[1]}"
        README.write_text(page, encoding="utf-8")
        draw(records)


def newest(runs: list[dict]) -> dict[str, list[dict]]:
    """The last runs of each record that were kept under the same conditions."""
    records = {}
    for name in GOALS:
        mine = [run for run in runs if run["record"] == name]
        for _, group in groupby(mine, key=lambda run: [run[part] for part in SAME]):
            records[name] = list(group)
    return records


def mean(runs: list[dict], name: str) -> float:
    return statistics.fmean(run[name] for run in runs)


def table(records: dict[str, list[dict]]) -> str:
    """The records as Markdown, and under it what each was measured on."""
    lines = [
        "| goal | script | units | seconds | test accuracy, mean (least) | seeds | commit, date |",
        "|--:|:--|--:|--:|--:|:--|:--|",
    ]
    machines = {}
    for name, runs in records.items():
        accuracy, least = mean(runs, "accuracy"), min(run["accuracy"] for run in runs)
        seeds = f"{runs[0]['seed']} to {runs[-1]['seed']} ({len(runs)})"
        lines.append(
            f"| {100 * GOALS[name]:g} % | [`{name}.py`](records/{name}.py) "
            f"| **{mean(runs, 'units'):.2f}** | {mean(runs, 'seconds'):.1f} "
            f"| {100 * accuracy:.2f} % ({100 * least:.2f} %) | {seeds} "
            f"| {runs[0]['commit']}, {runs[0]['date']} |"
        )
        machines.setdefault(machine(runs[0]), []).append(f"`{name}`")
    notes = [f"{', '.join(names)}: {words}." for words, names in machines.items()]
    return "\n".join([*lines, "", *notes])


def machine(run: dict) -> str:
    """What a run was measured on, in words."""
    products = "bfloat16" if run["bfloat16"] else "float32"
    cores = f"{run['cores']} cores, {run['threads']} threads"
    return f"{run['processor']}, {cores}, products in {products}; torch {run['torch']}"


def draw(records: dict[str, list[dict]]) -> None:
    """Draw every record's accuracy over its seconds, with what others have published."""
    plotting.use_style()
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, runs in records.items():
        x, accuracies = mean(runs, "seconds"), [100 * run["accuracy"] for run in runs]
        axes.plot([x] * len(runs), accuracies, "_", color=plotting.BLUE, alpha=0.5)
        axes.plot(x, statistics.fmean(accuracies), "o", color=plotting.BLUE)
        words = f"  {100 * GOALS[name]:g} %: {x:.0f} s, {mean(runs, 'units'):.1f} units"
        axes.annotate(words, (x, statistics.fmean(accuracies)), va="top")
    axes.set(xlabel="seconds of training", xscale="log", ylabel="test images right (%)")
    axes.set_xlim(axes.get_xlim()[0], 3 * axes.get_xlim()[1])
    axes.xaxis.set(major_locator=LogLocator(subs=[1, 2, 5]), major_formatter="{x:g}")
    axes.xaxis.set_minor_formatter("")
    for name, accuracy in PUBLISHED.items():
        axes.axhline(100 * accuracy, color=plotting.ORANGE, linestyle="--", linewidth=1)
        at = axes.get_xlim()[0], 100 * accuracy + 0.05
        axes.annotate(f" {name}: {100 * accuracy:.2f} %", at, color=plotting.ORANGE)
    figure.savefig(PICTURE, dpi=200)


if __name__ == "__main__":
    main()
