"""Time an epoch of the assignment alone, and beside a program that computes on the same cores.

    python benchmarks/busy.py

As the repository sets torch's waiting threads (`utils/__init__.py`), as torch comes, and asleep at
once. Every epoch runs in a process of its own, after a warm-up epoch; the candidates take turns.
The last line is one JSON object: `slowdown` is beside one busy loop over alone, `cost` is alone
over alone as torch comes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from measure import machine, parse, run_alone, write_table

OURS, TORCH, ASLEEP = "ours", "as torch comes", "asleep at once"
SETTINGS = {
    OURS: {},
    TORCH: {"GOMP_SPINCOUNT": "300000"},  # libgomp's own, where nothing is set
    ASLEEP: {"OMP_WAIT_POLICY": "passive"},
}
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
ALONE, BESIDE = "alone", "beside a busy loop"


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="rounds")
    parser.add_argument("--share", type=float, default=1, help="of the 60,000 images to use")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N")
    parser.add_argument("--spin", nargs="*", default=[], metavar="N", help="more spin counts")
    arguments = parse(parser)

    settings = SETTINGS | {f"{count} turns": {"GOMP_SPINCOUNT": count} for count in arguments.spin}
    clean = {name: value for name, value in os.environ.items() if name not in WAITING}
    seconds = {name: {ALONE: [], BESIDE: []} for name in settings}
    scaling = str(Path(__file__).with_name("scaling.py"))
    point = (scaling, "--point", str(arguments.share), "--threads", str(arguments.threads))
    for number in range(1, arguments.repeats + 1):
        for name, variables in settings.items():
            for where, company in ((ALONE, nullcontext), (BESIDE, busy_loop)):
                with company():
                    taken = run_alone(*point, environment=clean | variables)["seconds"]
                seconds[name][where].append(taken)
                print(
                    f"  round {number} of {arguments.repeats}: {name}, {where} {taken:.3g} s",
                    flush=True,
                )
    medians = {
        name: {where: statistics.median(values) for where, values in both.items()}
        for name, both in seconds.items()
    }
    slowdown = medians[OURS][BESIDE] / medians[OURS][ALONE]
    cost = medians[OURS][ALONE] / medians[TORCH][ALONE]
    rows = [
        f"| {name} | {medians[name][ALONE]:.3g} | {span(both[ALONE])} | "
        f"{medians[name][BESIDE]:.3g} | {span(both[BESIDE])} |"
        for name, both in seconds.items()
    ]
    head = f"| {arguments.repeats} rounds | alone, s | range, s | {BESIDE}, s | range, s |"
    finding = f"Ours takes {slowdown:.2f} times as long beside a busy loop as alone, and alone "
    finding += f"{cost:.2f} times as long as torch takes as it comes."
    print(finding)
    if arguments.write:
        lines = [head, "|:--|--:|--:|--:|--:|", *rows, "", finding, f"Measured on {machine()}."]
        write_table("busy", "\n".join(lines))
    print(json.dumps({"slowdown": slowdown, "cost": cost, "seconds": seconds}))


def span(values: list[float]) -> str:
    """The range of some measurements, in words."""
    return f"{min(values):.3g} to {max(values):.3g}"


if __name__ == "__main__":
    main()
