"""Time an epoch of the assignment alone, and beside a program that computes on the same cores.

    python -m benchmarks.busy

As the repository sets torch's waiting threads (utils/__init__.py), as torch comes, and asleep at
once. Every epoch runs in a process of its own, after a warm-up epoch; all take turns. The last line
is one JSON object; `slowdown` says how many times as long ours takes beside a busy loop.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import product
from typing import Any

from benchmarks import measure
from benchmarks.growth import point_apart

OURS, ALONE, BESIDE = "ours", "alone", "beside a busy loop"
SETTINGS = {
    OURS: {},
    "as torch comes": {"GOMP_SPINCOUNT": "300000"},  # libgomp's own, where nothing is set
    "asleep at once": {"OMP_WAIT_POLICY": "passive"},
}
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


@contextmanager
def busy_loop() -> Iterator[None]:
    """A program that computes on one core as long as the context lasts."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    arguments = measure.parse(measure.make_parser(__doc__, rounds=3))
    clean = {name: value for name, value in os.environ.items() if name not in WAITING}

    def epoch(name: str, where: str) -> dict[str, Any]:
        with busy_loop() if where == BESIDE else nullcontext():
            return point_apart(arguments.share, os.cpu_count() or 1, clean | SETTINGS[name])

    actions = {
        (name, where): lambda _, name=name, where=where: epoch(name, where)
        for name, where in product(SETTINGS, (ALONE, BESIDE))
    }
    runs = measure.take_turns(actions, arguments.rounds, first=1)
    seconds = {place: [run["seconds"] for run in each] for place, each in runs.items()}
    slowdown = measure.times_as_long(seconds[OURS, BESIDE], seconds[OURS, ALONE])
    if arguments.write:
        rows = [
            (name, *(measure.spread(seconds[name, where]) for where in (ALONE, BESIDE)))
            for name in SETTINGS
        ]
        heads = f"{arguments.rounds} rounds, median and range", f"{ALONE}, s", f"{BESIDE}, s"
        finding = f"Ours takes {slowdown:.2f} times as long beside a busy loop as alone."
        caption = measure.caption(run for each in runs.values() for run in each)
        measure.write_table("busy", measure.make_table(heads, rows, finding, caption))
    told = {f"{name}, {where}": values for (name, where), values in seconds.items()}
    print(json.dumps({"slowdown": slowdown, "seconds": told}))


if __name__ == "__main__":
    main()
