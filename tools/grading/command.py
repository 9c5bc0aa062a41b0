"""Grade a folder of submissions, or check one.

    python -m tools.grading FOLDER --out DIR -n WORKERS
    python -m tools.grading FOLDER --out DIR --part 2/10
    python -m tools.grading my.ipynb
    python -m tools.grading --merge DIR DIR ... --out DIR
    python -m tools.grading --rubric

Writes grades.csv, grades.xml (JUnit), reports/ and feedback/ into --out. Started again, it goes on
where it was and grades again only what has changed. For one notebook it prints what each step
earns, and writes the report beside it.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tools.grading.grade import Grade, Settings
from tools.grading.results import merge, write_tables
from tools.grading.rubric import ASSIGNMENT, Rubric, load_rubric
from tools.grading.run import ClassRun, available_cores, find_submissions, start_to_load
from tools.grading.sandbox import LEVELS, REPOSITORY, find_level

from filelock import FileLock, Timeout


def main() -> None:
    arguments = _parse()
    try:
        if arguments.submissions:
            start_to_load(arguments.assignment.resolve())  # while this process does so, too
        rubric = load_rubric(arguments.assignment)
        if arguments.rubric:
            for name, step in zip(rubric.names, rubric.steps, strict=True):
                print(f"{step.points:>3}  {name}")
            print(f"{rubric.out_of:>3}  together")
        elif arguments.merge:
            grades = merge(arguments.merge, arguments.out)
            print(_summary(grades))
        elif arguments.submissions.is_file():
            _check(arguments, rubric)
        else:
            sys.exit(_grade_class(arguments, rubric))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped: the same command goes on where it was.")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.grading",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    add = what.add_argument
    add("submissions", type=Path, nargs="?", help="a notebook, or a folder: every *.ipynb below it")
    add("--merge", type=Path, nargs="+", metavar="DIR", help="join the results of several runs")
    add("--rubric", action="store_true", help="print the steps and their points")
    add = parser.add_argument
    add("--out", type=Path, help="where the results go")
    add("-n", "--workers", type=int, default=available_cores(), help="default: one a core")
    add("--part", default="1/1", metavar="I/N", help="grade only every N-th, from the I-th on")
    add("--assignment", type=Path, default=ASSIGNMENT, help="the steps (Fashion-MNIST's)")
    add("--seconds", type=float, default=300, help="for one submission (default: %(default)s)")
    add("--cell-seconds", type=float, default=120, help="for one cell (default: %(default)s)")
    add("--memory", type=float, default=4, help="GiB for one submission (default: %(default)s)")
    add("--no-network", action="store_true", help="cut submissions off from the network")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error(f"-n must be at least 1, not {arguments.workers}")
    is_file = arguments.submissions and arguments.submissions.is_file()
    if not arguments.rubric and not is_file and not arguments.out:
        parser.error("--out is missing")
    return arguments


def _check(arguments: argparse.Namespace, rubric: Rubric) -> None:
    """Grade one notebook: a table in the terminal, and the report beside the notebook."""
    notebook = arguments.submissions.resolve()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name).resolve()
        settings = _settings(arguments, rubric, hidden=[REPOSITORY], workers=1)
        [(_, grade)] = ClassRun(rubric, settings, notebook.parent, out).grade_all(
            [notebook.name], workers=1
        )
        if isinstance(grade, Exception):
            raise ValueError(f"the grader itself failed: {grade}") from grade
        print(next((out / "feedback").iterdir()).read_text(encoding="utf-8"))
        for step, points in zip(rubric.steps, grade.points.items(), strict=True):
            print(f"{points[1]:>3} of {step.points}  {points[0]}")
        print(f"{grade.total:>3} of {grade.out_of}  together")
        if grade.look:
            print(f"A human will look at: {grade.look}")
        if (out / "reports").is_dir():
            report = notebook.with_suffix(".html")
            shutil.copyfile(next((out / "reports").iterdir()), report)
            print(f"the report: {report}")


def _grade_class(arguments: argparse.Namespace, rubric: Rubric) -> int:
    """Grade a folder; return the exit status: 0 if every submission has its row."""
    folder, out = arguments.submissions.resolve(), arguments.out.resolve()
    if not folder.is_dir():
        raise ValueError(f"{folder} is neither a folder nor a file.")
    names = _part(find_submissions(folder), arguments.part)
    if names is None:
        raise ValueError(f"{folder} holds no *.ipynb.")
    out.mkdir(parents=True, exist_ok=True)
    settings = _settings(arguments, rubric, [folder, out, REPOSITORY], arguments.workers)
    network = "no network" if not settings.network else "network reachable"
    if not settings.network and settings.level == "none":
        network = "the NETWORK COULD NOT BE CUT OFF here"
    print(f"{len(names)} submissions; {LEVELS[settings.level]}; {network}", file=sys.stderr)

    run = ClassRun(rubric, settings, folder, out)
    grades = {}
    try:
        with FileLock(out / ".lock", timeout=0):
            try:
                _grade_all(run, names, arguments.workers, grades)
            finally:  # also of a class that was stopped
                write_tables(out, grades.values())
    except Timeout:
        raise ValueError(f"another run is writing into {out}.") from None
    print(_summary(list(grades.values())))
    print(f"{len(grades)} of {len(names)} submissions: {out / 'grades.csv'}", file=sys.stderr)
    if len(grades) == len(names):
        return 0
    print("Start it again to grade the others.", file=sys.stderr)
    return 1


def _part(names: list[str], part: str) -> list[str] | None:
    """Those of one part of the class; none, if there are more parts than submissions."""
    index, _, count = part.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise ValueError(f"--part must be like 2/10, not {part!r}.")
    return names[int(index) - 1 :: int(count)] if names else None


def _settings(
    arguments: argparse.Namespace, rubric: Rubric, hidden: list[Path], workers: int
) -> Settings:
    network = not arguments.no_network
    return Settings(
        assignment=arguments.assignment.resolve(),
        notebook=rubric.notebook.resolve(),
        seconds=arguments.seconds,
        cell_seconds=arguments.cell_seconds,
        memory=int(arguments.memory * 2**30),
        network=network,
        level=find_level(network),
        hidden=hidden,
        threads=max(1, available_cores() // workers),
    )


def _grade_all(run: ClassRun, names: list[str], workers: int, grades: dict[str, Grade]) -> None:
    """Fill `grades`, and print a line for every submission: how many are done, what is left."""
    for name in names:
        if kept := run.kept_grade(name):
            grades[name] = kept
    new, start = [name for name in names if name not in grades], time.monotonic()
    if grades:
        print(f"{len(grades)} of {len(names)} graded before", file=sys.stderr)
    for done, (name, grade) in enumerate(run.grade_all(new, workers), start=1):
        if isinstance(grade, Exception):
            print(f"The grader itself failed on {name}: {grade}", file=sys.stderr)
            continue
        grades[name] = grade
        line = f"{len(grades):>4} of {len(names)}  {grade.total:>3} of {grade.out_of}"
        line += f"  {grade.seconds:>4.0f} s  {grade.submission}"
        if left := len(new) - done:
            line += f"  (about {_duration((time.monotonic() - start) / done * left)} left)"
        print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _summary(grades: Sequence[Grade]) -> str:
    """How many submissions there are, what they earned, and which a human should look at."""
    if not grades:
        return "0 submissions"
    total = statistics.mean(grade.total for grade in grades)
    lines = [f"{len(grades)} submissions, {total:.1f} of {grades[0].out_of} points in the mean"]
    for name in grades[0].points:
        lines.append(f"{statistics.mean(grade.points[name] for grade in grades):>6.2f}  {name}")
    counts = Counter(grade.total for grade in grades)
    spread = ", ".join(f"{points} points: {counts[points]}" for points in sorted(counts))
    lines.append(f"how many: {spread}")
    lines += [f"look at {grade.submission}: {grade.look}" for grade in grades if grade.look]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
