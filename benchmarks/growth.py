"""Time and peak memory of training against the number of images, with one thread and two.

    python -m benchmarks.growth

Every point is a process of its own, and all take turns: it loads the data, cuts or repeats it, and
times the second epoch of the assignment. Memory is what a point needs beyond an idle interpreter
with torch loaded. The last line is one JSON object; `exponents` has b in time = a * images^b.
"""

import argparse
import json
import resource
from itertools import product
from typing import Any

from benchmarks import measure
from benchmarks.runs import begin
from benchmarks.variants import ASSIGNMENT, LADDER
from utils.training import History

import numpy as np
import torch

MIB = 2**20
IDLE = "import torch, resource; print(resource.getrusage(0).ru_maxrss * 1024)"


def main() -> None:
    parser = measure.make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=2, metavar="N")
    parser.add_argument("--shares", type=float, nargs="+", default=(1 / 4, 1, 4))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--point", type=float, help=argparse.SUPPRESS)  # one share, this process
    arguments = measure.parse(parser)
    if arguments.point:
        print(json.dumps(point(arguments.point, arguments.threads[0])))
        return
    idle, shares = measure.run_alone("-c", IDLE), arguments.shares
    actions = {
        (threads, share): lambda _, threads=threads, share=share: point_apart(share, threads)
        for threads, share in product(arguments.threads, shares)
    }
    points = measure.take_turns(actions, arguments.rounds, first=1)
    seconds = {
        threads: [[run["seconds"] for run in points[threads, share]] for share in shares]
        for threads in arguments.threads
    }
    exponents = {
        threads: np.polyfit(np.log(shares), [np.log(np.median(s)) for s in each], 1)[0]
        for threads, each in seconds.items()
    }
    if arguments.write:
        measure.write_table("growth", growth_table(points, exponents, idle))
    print(json.dumps({"exponents": exponents, "seconds": seconds}))


def point_apart(share: float, threads: int, environment: dict[str, str] | None = None) -> Any:  # noqa: ANN401
    """One point, measured in a process of its own."""
    options = "--point", str(share), "--threads", str(threads)
    return measure.run_alone("-m", "benchmarks.growth", *options, environment=environment)


def point(share: float, threads: int) -> dict[str, Any]:
    """Time the second epoch, in seconds, and read this process's peak memory, in bytes."""
    torch.set_num_threads(threads)
    data = train_data, test_data = measure.load_share(share, "cpu")
    model, average, optimizer = begin(LADDER["assignment"], 0, train_data)
    history, loss_function = History(2, train_data), ASSIGNMENT.loss_function
    ASSIGNMENT.train(model, average, *data, loss_function, optimizer, history)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {"images": train_data.num_images, "seconds": history.seconds[-1], "peak": peak}
    return found | {"data": train_data.images.nbytes + test_data.images.nbytes} | measure.facts()


def growth_table(
    points: dict[tuple[int, float], list[dict[str, Any]]], exponents: dict[int, float], idle: int
) -> str:
    """A row for every number of images, with its memory and the time of every number of threads."""
    rows = []
    for share in sorted({share for _, share in points}):
        runs = [points[threads, share] for threads in exponents]
        data, peak = runs[0][0]["data"], max(run["peak"] for each in runs for run in each)
        seconds = [measure.spread([run["seconds"] for run in each]) for each in runs]
        memory = f"{(peak - idle) / MIB:.0f}", f"{(2 * data + 300 * MIB) / MIB:.0f}"
        rows.append((f"{runs[0][0]['images']:,}", *seconds, *memory))
    heads = ["training images", *(f"an epoch with threads: {threads}, s" for threads in exponents)]
    fitted = ", ".join(f"{value:.2f} (threads: {n})" for n, value in exponents.items())
    finding = f"Time grows as the number of images to the power of {fitted}."
    everything = [run for each in points.values() for run in each]
    heads += ["MiB", "limit: data twice + 300"]
    return measure.make_table(heads, rows, finding, measure.caption(everything))


if __name__ == "__main__":
    main()
