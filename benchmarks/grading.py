"""Time the grading of a made-up class: what hostile submissions cost, and how it grows.

    python benchmarks/grading.py               # 20 submissions, 8 of them hostile
    python benchmarks/grading.py --scaling     # 2, 4 and 8 honest ones; 1 and 2 workers

The last line is one JSON object. The first form measures the honest submissions alone, then all
of them. `ratio` is the time for all over what they may cost: the time for the honest ones, and the
time limit of each hostile one, which the workers share. `ratio_at_best` is the time for all over
what it would be if a hostile one cost only the limit that stopped it, if that was one of time, and
the time of an honest one, because the right answers after its hostile cell are run and graded too;
what is above 1 goes into starting kernels anew. The honest ones are the model answer with two
epochs; `--small` uses an assignment that takes no time.
"""

import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import machine, parse, write_table

MADE_UP = Path(__file__).resolve().parents[1] / "tests" / "tools" / "made_up.py"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--honest", type=int, default=12)
    parser.add_argument("--hostile", type=int, help="how many of them (default: all kinds)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=120, help="limit for one submission")
    parser.add_argument("--cell-seconds", type=float, default=30, help="limit for one cell")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--small", action="store_true")
    arguments = parse(parser)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        measure = _measure_scaling if arguments.scaling else _measure_hostile
        result, table = measure(Path(folder), arguments)
    if arguments.write:
        name = "growth of grading" if arguments.scaling else "grading"
        write_table(name, f"{table}\n\nMeasured on {machine(threads=False)}.")
    print(json.dumps(result))


def _measure_hostile(folder: Path, arguments: argparse.Namespace) -> tuple[dict, str]:
    honest_alone, _ = _time(folder / "honest", arguments, arguments.honest, 0)
    seconds, rows = _time(folder / "all", arguments, arguments.honest, arguments.hostile)
    hostile = [row for row in rows if row["submission"].startswith("hostile")]
    honest = [row for row in rows if row not in hostile]
    # Of wall time: a row's own seconds leave out its report, which a hostile one gets as well.
    seconds_per_honest = honest_alone * arguments.workers / arguments.honest
    limits = sum(_limit_met(row["reason"]) for row in hostile)
    at_best = honest_alone + (limits + len(hostile) * seconds_per_honest) / arguments.workers
    allowed = honest_alone + len(hostile) * arguments.seconds / arguments.workers
    wrong = [row for row in honest if row["total"] != row["out_of"] or row["reason"]]
    wrong += [row for row in hostile if not row["reason"]]
    for row in wrong + hostile:
        print(f"{row['seconds']:>6} s  {row['total']:>2} of {row['out_of']}  {row['reason']}")
    head = f"| {len(honest)} honest and {len(hostile)} hostile, {arguments.workers} workers | s |"
    table = [
        f"{head}\n|:--|--:|",
        f"| the honest alone | {honest_alone:.0f} |",
        f"| all together | {seconds:.0f} |",
        f"| allowed: and {arguments.seconds:g} s a hostile one, its limit | {allowed:.0f} |",
        f"| at best: and an honest one's time and the limit it met | {at_best:.0f} |",
        f"\n{len(rows)} rows, {len(wrong)} of them wrong. The hostile ones, seconds and reasons:\n",
        *(f"- {row['seconds']} s: {row['reason']}" for row in hostile),
    ]
    result = {
        "submissions": len(rows),
        "hostile": len(hostile),
        "wrong": len(wrong),
        "seconds": round(seconds, 1),
        "honest_alone": round(honest_alone, 1),
        "limits_met": limits,
        "allowed": round(allowed, 1),
        "at_best": round(at_best, 1),
        "ratio": round(seconds / allowed, 3),
        "ratio_at_best": round(seconds / at_best, 3),
        "seconds_per_honest": round(seconds_per_honest, 1),
        "seconds_per_hostile": statistics.median(float(row["seconds"]) for row in hostile),
    }
    return result, "\n".join(table)


def _limit_met(reason: str) -> float:
    """The limit of time, in seconds, that stopped a submission; 0 if something else did."""
    found = re.search(r"ran longer than ([\d.]+) s", reason)
    return float(found[1]) if found else 0.0


def _measure_scaling(folder: Path, arguments: argparse.Namespace) -> tuple[dict, str]:
    times = {}
    for number, workers in ((2, 2), (4, 2), (8, 2), (8, 1)):
        arguments.workers = workers
        times[number, workers], _ = _time(folder / f"{number} {workers}", arguments, number, 0)
    step, last = times[4, 2] - times[2, 2], times[8, 2] - times[4, 2]
    rows = [f"| {number} | {workers} | {t:.0f} |" for (number, workers), t in times.items()]
    result = {
        **{f"{n} submissions, {w} workers": round(t, 1) for (n, w), t in times.items()},
        "growth": round(last / step, 2),  # 2 if every submission adds the same
        "speedup": round(times[8, 1] / times[8, 2], 2),
    }
    return result, "\n".join(["| submissions | workers | s |", "|--:|--:|--:|", *rows])


def _time(
    folder: Path, arguments: argparse.Namespace, honest: int, hostile: int | None
) -> tuple[float, list[dict[str, str]]]:
    """Grade a new made-up class; return the wall time in seconds and the rows of its table."""
    make = [sys.executable, str(MADE_UP), str(folder), "--honest", str(honest)]
    make += ["--small"] if arguments.small else ["--epochs", "2"]
    subprocess.run(make + ([] if hostile is None else ["--hostile", str(hostile)]), check=True)
    out = folder.with_name(f"{folder.name} graded")
    command = [sys.executable, "-m", "tools.grading", str(folder), "--out", str(out)]
    small = MADE_UP.with_name("small_assignment.py")
    command += ["--assignment", str(small)] if arguments.small else []
    command += ["-n", str(arguments.workers), "--no-network", "--memory", "2"]
    command += ["--seconds", str(arguments.seconds)]
    command += ["--cell-seconds", str(arguments.cell_seconds)]
    environment = os.environ | {"FASHION_MNIST_REQUIRED": "1"}  # the stand-in is no measurement
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    seconds = time.perf_counter() - start
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    print(f"{len(rows)} submissions, {arguments.workers} workers: {seconds:.1f} s", flush=True)
    return seconds, rows


if __name__ == "__main__":
    main()
