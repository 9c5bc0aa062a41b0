"""Time the grading of a made-up class: honest submissions alone, and hostile ones among them.

    python -m benchmarks.grading

The honest ones are the model answer with two epochs, graded by one worker and by two; a hostile one
is that behind a cell of tests/tools/made_up.py. `--small` uses an assignment that takes no time.
The last line is one JSON object; `wrong` counts what was not graded as it should be.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks import measure

MADE_UP = measure.ROOT / "tests" / "tools" / "made_up.py"
SMALL = MADE_UP.with_name("small_assignment.py")


def main() -> None:
    parser = measure.make_parser(__doc__)
    parser.add_argument("--honest", type=int, default=4)
    parser.add_argument("--hostile", type=int, default=99, help="how many kinds (default: all)")
    parser.add_argument("--cell-seconds", type=float, default=15, help="limit for one cell")
    parser.add_argument("--small", action="store_true")
    arguments = measure.parse(parser)
    begun, table, wrong = measure.facts(), [], 0
    for workers, hostile in ((1, 0), (2, 0), (2, arguments.hostile)):
        seconds, rows = grade(arguments, workers, hostile)
        bad = [row for row in rows if row["submission"].startswith("hostile")]
        for row in rows:
            wrong += (row in bad) != bool(row["reason"])
            wrong += row not in bad and row["total"] != row["out_of"]
        table.append((len(rows) - len(bad), len(bad), workers, f"{seconds:.0f}"))
        print(f"honest, hostile, workers, seconds: {table[-1]}", flush=True)
        print(*(f"  {row['seconds']} s: {row['reason']}" for row in bad), sep="\n")
    if arguments.write:
        finding = f"Not graded as they should be: {wrong}. A cell may run for "
        finding += f"{arguments.cell_seconds:g} s; the workers share the cores."
        heads = "honest", "hostile", "workers", "seconds"
        measure.write_table("grading", heads, table, finding, measure.caption([begun]))
    print(json.dumps({"wrong": wrong, "runs": table}))


def grade(arguments: argparse.Namespace, workers: int, hostile: int) -> tuple[float, list[dict]]:
    """Grade a new class; return the seconds it took and the rows of its table."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name, "class"), Path(name, "graded")
        make = [MADE_UP, folder, "--honest", arguments.honest, "--hostile", hostile]
        command = ["-m", "tools.grading", folder, "--out", out, "-n", workers, "--no-network"]
        command += ["--memory", 2, "--cell-seconds", arguments.cell_seconds]
        make += ["--small"] if arguments.small else ["--epochs", 2]
        command += ["--assignment", SMALL] if arguments.small else []
        # The stand-in would be no measurement.
        run = {"cwd": measure.ROOT, "env": os.environ | {"FASHION_MNIST_REQUIRED": "1"}}
        run |= {"check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([sys.executable, *map(str, make)], **run)
        start = perf_counter()
        subprocess.run([sys.executable, *map(str, command)], **run)
        seconds = perf_counter() - start
        with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
            return seconds, list(csv.DictReader(file))


if __name__ == "__main__":
    main()
