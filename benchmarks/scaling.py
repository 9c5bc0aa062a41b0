"""Time and peak memory of training against the amount of data, with one and two threads.

    python benchmarks/scaling.py

Each point is a process of its own: it loads the data, cuts it or repeats it to its share of the
60,000 training and 10,000 test images, and times the second epoch of the assignment. --write
draws `benchmarks/scaling.png`. The last line is one JSON object; `exponent` is b in
time = a * images^b.
"""

import argparse
import json
import resource
import statistics
from itertools import product
from pathlib import Path

from utils import plotting
from utils.definitions import load_definitions
from utils.training import History

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter
from measure import average_of, load_share, machine, parse, run_alone, timed, write_table

SHARES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4)
PICTURE = Path(__file__).with_name("scaling.png")
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--repeats", type=int, default=3, metavar="N", help="rounds over all points"
    )
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of 60,000 images")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--picture", type=Path, help="where to draw (default: with --write only)")
    parser.add_argument("--point", type=float, help=argparse.SUPPRESS)  # one share, this process
    arguments = parse(parser)
    if len(arguments.threads) > 2:
        parser.error("--threads takes one number or two.")
    if arguments.point is not None:
        print(json.dumps(measure_point(arguments.point, arguments.threads[0])))
        return

    print(machine())
    idle = run_alone("-c", "import torch, resource; print(resource.getrusage(0).ru_maxrss * 1024)")
    print(f"an idle interpreter with torch loaded: {idle / MIB:.0f} MiB")
    # All points take turns, so that a slow minute of the machine does not bend a curve.
    points = list(product(arguments.threads, arguments.shares))
    measured: dict[tuple[int, float], list[dict[str, float]]] = {point: [] for point in points}
    for number, (threads, share) in product(range(1, arguments.repeats + 1), points):
        result = run_alone(__file__, "--point", str(share), "--threads", str(threads))
        measured[threads, share].append(result)
        print(
            f"  round {number} of {arguments.repeats}, {threads} threads, "
            f"{result['images']:,.0f} images: {result['seconds']:.3f} s",
            flush=True,
        )
    curves: dict[int, list[dict[str, float]]] = {threads: [] for threads in arguments.threads}
    for (threads, _), results in measured.items():
        curves[threads].append(point := summary(results, idle))
        print(
            f"{threads} threads, {point['images']:,.0f} images: "
            f"{point['seconds']:.3f} s an epoch ({point['fastest']:.3f} to "
            f"{point['slowest']:.3f}), {point['above_idle'] / MIB:.0f} MiB above idle "
            f"(data {point['data'] / MIB:.0f} MiB, limit {point['limit'] / MIB:.0f})"
        )
    exponents = {threads: exponent(points) for threads, points in curves.items()}
    picture = arguments.picture or (PICTURE if arguments.write else None)
    if picture:
        draw(curves, exponents, picture)
        print(f"wrote {picture}")
    if arguments.write:
        write_table("scaling", scaling_table(curves, exponents))
    worst = max(exponents.values(), key=lambda value: abs(value - 1))
    print(json.dumps({"exponent": worst, "exponents": exponents, "curves": curves}))


def measure_point(share: float, threads: int) -> dict[str, float]:
    """Time the second epoch, in seconds, and read this process's peak memory, in bytes."""
    torch.set_num_threads(threads)
    assignment = load_definitions()
    train_data, test_data = load_share(share, "cpu")
    torch.manual_seed(0)
    model = assignment.make_model()
    average, optimizer = average_of(assignment, model), assignment.make_optimizer(model)

    def epoch() -> None:
        history, loss_function = History(1, train_data), assignment.loss_function
        assignment.train(model, average, train_data, test_data, loss_function, optimizer, history)

    timed(epoch)  # warm-up
    seconds = timed(epoch)
    return {
        "images": train_data.num_images,
        "seconds": seconds,
        "data": train_data.images.nbytes + test_data.images.nbytes,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def summary(results: list[dict[str, float]], idle: float) -> dict[str, float]:
    """One point of a curve from its rounds; `idle` and all memory in bytes."""
    seconds = [result["seconds"] for result in results]
    data = results[0]["data"]
    return {
        "images": results[0]["images"],
        "seconds": statistics.median(seconds),
        "fastest": min(seconds),
        "slowest": max(seconds),
        "data": data,
        "above_idle": max(result["peak"] for result in results) - idle,
        "limit": 2 * data + 300 * MIB,
    }


def exponent(points: list[dict[str, float]]) -> float:
    """The slope of log time over log images, by least squares."""
    images, seconds = ([point[key] for point in points] for key in ("images", "seconds"))
    return float(np.polyfit(np.log(images), np.log(seconds), 1)[0])


def scaling_table(curves: dict[int, list[dict[str, float]]], exponents: dict[int, float]) -> str:
    """Time and memory of every point, and the exponents."""
    rows = [
        f"| {threads} | {point['images']:,.0f} | {point['seconds']:.3g} | "
        f"{point['fastest']:.3g} to {point['slowest']:.3g} | "
        f"{point['above_idle'] / MIB:.0f} | {point['limit'] / MIB:.0f} |"
        for threads, points in curves.items()
        for point in points
    ]
    head = "| threads | training images | s an epoch | range, s | MiB above idle | limit, MiB |"
    fitted = ", ".join(
        f"{value:.2f} ({threads} thread{'s' * (threads > 1)})"
        for threads, value in exponents.items()
    )
    growth = f"Time grows as the number of images to the power of {fitted}."
    ends = ["", growth, "", f"Measured on {machine(threads=False)}."]
    return "\n".join([head, "|--:|--:|--:|--:|--:|--:|", *rows, *ends])


def draw(
    curves: dict[int, list[dict[str, float]]], exponents: dict[int, float], picture: Path
) -> None:
    """Draw time and memory over the number of images, a line for each number of threads."""
    plotting.use_style()
    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    styles = zip(curves.items(), ("o-", "s--"), (plotting.BLUE, plotting.ORANGE), strict=False)
    for (threads, points), style, color in styles:
        images = [point["images"] / 1000 for point in points]
        label = f"{threads} thread{'s' * (threads > 1)}"
        time_axes.loglog(
            images,
            [point["seconds"] for point in points],
            style,
            color=color,
            label=f"{label}: exponent {exponents[threads]:.2f}",
        )
        memory = [point["above_idle"] / MIB for point in points]
        memory_axes.plot(images, memory, style, color=color, label=label)
    limits = [point["limit"] / MIB for point in points]
    memory_axes.plot(images, limits, ":", color=plotting.GREY, label="limit: data twice + 300 MiB")
    size = "training images, in thousands"
    time_axes.set(title="Time of an epoch", xlabel=size, ylabel="seconds")
    time_axes.set_xticks(images, [f"{thousands:g}" for thousands in images], minor=False)
    time_axes.set_xticks([], minor=True)
    time_axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    time_axes.yaxis.set_major_formatter("{x:g}")
    time_axes.yaxis.set_minor_formatter(NullFormatter())
    memory_axes.set(
        title="Peak memory above idle torch", xlabel=size, ylabel="MiB", ylim=(0, 1.4 * max(limits))
    )
    time_axes.legend(frameon=False)
    memory_axes.legend(frameon=False, loc="upper left")
    figure.savefig(picture, dpi=200)


if __name__ == "__main__":
    main()
