"""Time the assignment's epoch: with few images and many, and beside a program that computes.

    python -m benchmarks.epoch

Every point is a process of its own, which loads the data, cuts or repeats it, and times the second
epoch; all take turns. Its memory is what it needs beyond an idle interpreter with torch. The last
line is one JSON object: `exponent` is b in time = a * images^b, `slowdown` says how many times as
long ours takes beside a busy loop.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import chain
from typing import Any

from benchmarks import measure
from benchmarks.runs import by_the_notebook
from benchmarks.variants import LADDER

import numpy as np

MIB, CORES = 2**20, os.cpu_count() or 1
IDLE = "import torch, resource; print(resource.getrusage(0).ru_maxrss * 1024)"
SETTINGS = {
    "ours": {},
    "as torch comes": {"GOMP_SPINCOUNT": "300000"},  # libgomp's own, where nothing is set
    "asleep at once": {"OMP_WAIT_POLICY": "passive"},
}
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
Place = tuple[str, int, float, bool]  # setting, threads, share of the images, beside a busy loop
Points = dict[Place, list[dict[str, Any]]]


def main() -> None:
    parser = measure.make_parser(__doc__, rounds=2)
    parser.add_argument("--point", action="store_true", help=argparse.SUPPRESS)
    arguments = measure.parse(parser)
    if arguments.point:
        print(json.dumps(point(arguments.share)))
        return
    shares = [arguments.share * times for times in (1 / 4, 1, 4)]
    places = [("ours", threads, share, False) for threads in (1, CORES) for share in shares]
    places += [(name, CORES, shares[1], beside) for name in SETTINGS for beside in (False, True)]
    actions = {place: lambda _, place=place: apart(*place) for place in places}
    idle = measure.run_alone("-c", IDLE)
    points = measure.take_turns(actions, arguments.rounds, first=1)
    seconds = {place: [run["seconds"] for run in each] for place, each in points.items()}
    medians = [np.median(seconds["ours", CORES, share, False]) for share in shares]
    exponent = np.polyfit(np.log(shares), np.log(medians), 1)[0]
    slowdown = measure.times_as_long(*(seconds["ours", CORES, shares[1], b] for b in (True, False)))
    if arguments.write:
        write_epoch(points, idle, exponent, slowdown)
    told = {" ".join(map(str, place)): each for place, each in seconds.items()}
    print(json.dumps({"exponent": exponent, "slowdown": slowdown, "seconds": told}))


@contextmanager
def busy_loop() -> Iterator[None]:
    """A program that computes on one core as long as the context lasts."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def apart(setting: str, threads: int, share: float, is_beside: bool) -> dict[str, Any]:
    """One point, in a process of its own."""
    environment = {name: each for name, each in os.environ.items() if name not in WAITING}
    environment |= SETTINGS[setting] | {"OMP_NUM_THREADS": str(threads)}
    command = "-m", "benchmarks.epoch", "--point", "--share", str(share)
    with busy_loop() if is_beside else nullcontext():
        return measure.run_alone(*command, environment=environment)


def point(share: float) -> dict[str, Any]:
    """Time the second epoch, in seconds, and read this process's peak memory, in bytes."""
    data, others = measure.load_share(share, "cpu")
    _, (seconds, _) = by_the_notebook(replace(LADDER["assignment"], num_epochs=2), 0, data, others)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"images": data.num_images, "seconds": seconds, "peak": peak} | measure.facts()


def write_epoch(points: Points, idle: int, exponent: float, slowdown: float) -> None:
    """Write the time of an epoch and its memory, a row for every point."""
    rows = []
    for (setting, threads, _, is_beside), runs in points.items():
        words = setting, threads, f"{runs[0]['images']:,}", "yes" if is_beside else ""
        memory = (max(run["peak"] for run in runs) - idle) / MIB
        rows.append((*words, measure.spread([run["seconds"] for run in runs]), f"{memory:.0f}"))
    heads = "waiting threads", "threads", "images", "busy loop", "an epoch, s (range)", "MiB"
    finding = f"Time grows as the number of images to the power of {exponent:.2f}; ours takes "
    finding += f"{slowdown:.2f} times as long beside a busy loop as alone."
    measure.write_table("epoch", heads, rows, finding, measure.caption(chain(*points.values())))


if __name__ == "__main__":
    main()
