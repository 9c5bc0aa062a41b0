"""Grade a folder of submissions.

    python -m tools.grading FOLDER --out DIR -n WORKERS
    python -m tools.grading FOLDER --out DIR --part 2/10
    python -m tools.grading --merge DIR DIR ... --out DIR
    python -m tools.grading --rubric

Writes grades.csv, grades.xml (JUnit), reports/ and feedback/ into --out. Started again, it goes on
where it was and grades again only what has changed.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tools.files import write_whole
from tools.grading.batch import PLAN, Progress, printable
from tools.grading.one import Settings
from tools.grading.results import grade_file, merge, read_grade, write_table
from tools.grading.rubric import read_steps, read_tools
from tools.grading.sandbox import LEVELS, REPOSITORY, find_level
from tools.notebook import NOTEBOOK

import pytest
from filelock import FileLock, Timeout


def main() -> None:
    arguments = _parse()
    try:
        if arguments.rubric:
            _print_rubric(arguments.notebook)
        elif arguments.merge:
            grades = merge(arguments.merge, arguments.out)
            print(f"{len(grades)} submissions: {arguments.out / 'grades.csv'}")
        else:
            sys.exit(_grade(arguments))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.grading",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    add = what.add_argument
    add("folder", type=Path, nargs="?", help="every *.ipynb in it and below is a submission")
    add("--merge", type=Path, nargs="+", metavar="DIR", help="join the results of several runs")
    add("--rubric", action="store_true", help="print the steps and their points")
    add = parser.add_argument
    add("--out", type=Path, help="where the results go")
    add("-n", "--workers", type=int, default=os.cpu_count(), help="default: one a core")
    add("--part", default="1/1", metavar="I/N", help="grade only every N-th, from the I-th on")
    add("--notebook", type=Path, default=NOTEBOOK, help="holds the checks (the repository's)")
    add("--seconds", type=float, default=300, help="for one submission (default: %(default)s)")
    add("--cell-seconds", type=float, default=120, help="for one cell (default: %(default)s)")
    add("--memory", type=float, default=4, help="GiB for one submission (default: %(default)s)")
    add("--no-network", action="store_true", help="cut submissions off from the network")
    arguments = parser.parse_args()
    if not arguments.rubric and not arguments.out:
        parser.error("--out is missing")
    return arguments


def _print_rubric(notebook: Path) -> None:
    steps = read_steps(notebook)
    for step in steps:
        print(f"{step.points:>3}  {step.name}")
    print(f"{sum(step.points for step in steps):>3}  together")


def _grade(arguments: argparse.Namespace) -> int:
    """Grade a folder; return the exit status: 0 if every submission has its row."""
    folder, out = arguments.folder.resolve(), arguments.out.resolve()
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    names = _submissions(folder, arguments.part)
    out.mkdir(parents=True, exist_ok=True)
    settings = _settings(arguments, hidden=[folder, out, REPOSITORY])
    network = "no network" if not settings.network else "network reachable"
    if not settings.network and settings.level == "none":
        network = "the NETWORK COULD NOT BE CUT OFF here"
    print(f"{len(names)} submissions; {LEVELS[settings.level]}; {network}", file=sys.stderr)

    digests = {name: settings.digest(folder / name) for name in names}
    plan = {"folder": str(folder), "out": str(out), "settings": asdict(settings)}
    plan["submissions"] = list(digests.items())
    try:
        with FileLock(out / ".lock", timeout=0):
            write_whole(out / PLAN, json.dumps(plan))
            status = _run_pytest(out, folder, len(names), arguments.workers)
    except Timeout:
        raise ValueError(f"another run is writing into {out}.") from None
    kept = {name: grade_file(out, printable(name)) for name in names}
    grades = [grade for name in names if (grade := read_grade(kept[name], digests[name]))]
    write_table(out / "grades.csv", grades)
    print(f"{len(grades)} of {len(names)} submissions: {out / 'grades.csv'}", file=sys.stderr)
    if len(grades) == len(names):
        return 0
    print("Start it again to grade the others.", file=sys.stderr)
    return status or 1


def _submissions(folder: Path, part: str) -> list[str]:
    """The paths of the submissions below `folder`, those of one part of them."""
    index, _, count = part.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise ValueError(f"--part must be like 2/10, not {part!r}.")
    files = [file.relative_to(folder) for file in folder.rglob("*.ipynb") if file.is_file()]
    names = sorted(file.as_posix() for file in files if ".ipynb_checkpoints" not in file.parts)
    if not names:
        raise ValueError(f"{folder} holds no *.ipynb.")
    return names[int(index) - 1 :: int(count)]  # none, if there are more parts than submissions


def _settings(arguments: argparse.Namespace, hidden: list[Path]) -> Settings:
    steps = read_steps(arguments.notebook)
    imports, names = read_tools(arguments.notebook, steps)
    network = not arguments.no_network
    return Settings(
        steps=steps,
        imports=imports,
        names=names,
        seconds=arguments.seconds,
        cell_seconds=arguments.cell_seconds,
        memory=int(arguments.memory * 2**30),
        network=network,
        level=find_level(network),
        hidden=[str(path) for path in hidden],
        threads=max(1, os.cpu_count() // arguments.workers),
    )


def _run_pytest(out: Path, folder: Path, num_submissions: int, workers: int) -> int:
    options = ["-p", "tools.grading.batch", "-n", str(workers), "--dist", "loadscope"]
    options += ["--junit-xml", str(out / "grades.xml"), "-o", "junit_suite_name=grades"]
    # Nothing in the folder of submissions may configure or run in this process.
    options += ["-c", os.devnull, "--rootdir", str(folder), "--noconftest"]
    options += ["-p", "no:cacheprovider", "-p", "no:terminal", "--no-loadscope-reorder"]
    return pytest.main([*options, str(out / PLAN)], plugins=[Progress(num_submissions)])


if __name__ == "__main__":
    main()
