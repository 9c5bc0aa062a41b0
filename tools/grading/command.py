"""Grade a folder or zip of submissions.

    python -m tools.grading FOLDER --out DIR -n WORKERS
    python -m tools.grading submissions.zip --out DIR --gradebook FILE.csv --due 2026-12-01T23:59
    python -m tools.grading FOLDER --sources DIR
    python -m tools.grading FOLDER --out DIR --part 2/10
    python -m tools.grading --merge DIR DIR ... --out DIR
    python -m tools.grading --rubric

Writes grades.csv, grades.xml (JUnit), changes.csv, reports/, feedback/, feedback.zip (for Moodle)
and gradescope/ into --out, and applies the overrides.csv there. Started again, it goes on where it
was and grades again only what has changed.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tools.files import write_whole
from tools.grading import inside
from tools.grading.box import (
    LEVELS,
    REPOSITORY,
    Limits,
    control_group,
    find_level,
    needed_folders,
)
from tools.grading.classroom import Class, available_cores
from tools.grading.gradebook import fill_gradebook, hand_back, read_overrides, write_sources
from tools.grading.handins import HandIn, collect
from tools.grading.results import grade_file, merge
from tools.grading.rubric import ASSIGNMENT, Grade, Rubric, load_rubric, one_line
from tools.starter import make_starter

import nbformat
from filelock import FileLock, Timeout


def main() -> None:
    arguments = _parse()
    try:
        if arguments.merge:
            graded = [(HandIn(g.submission), g) for g in merge(arguments.merge, arguments.out)]
            overrides = read_overrides(arguments.out / "overrides.csv")
            print(
                _summary([grade for _, grade in hand_back(arguments.out, graded, overrides, None)])
            )
            return
        rubric = load_rubric(arguments.assignment)
        if arguments.rubric:
            print("points  step and question")
            for name in rubric.names:
                print(f"{1:>6}  {name}")
            print(f"{len(rubric.names):>6}  together")
        else:
            _grade_class(arguments, rubric)
    except Timeout:
        sys.exit(f"error: another run is writing into {arguments.out}.")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror or error}")
    except (ValueError, RuntimeError) as error:
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
    add("submissions", type=Path, nargs="?", help="a folder or a zip of notebooks")
    add("--merge", type=Path, nargs="+", metavar="DIR", help="join the results of several runs")
    add("--rubric", action="store_true", help="print the questions and their points")
    add = parser.add_argument
    add("--out", type=Path, help="where the results go")
    add("--gradebook", type=Path, metavar="FILE.csv", help="of Canvas or Moodle: filled into --out")
    add("--column", help="the assignment's title in a gradebook that holds several")
    add("--due", type=_time, metavar="2026-12-01T23:59", help="in local time")
    add("--regrade", action="append", default=[], metavar="NAME", help="grade this one again")
    add("--sources", type=Path, metavar="DIR", help="write everybody's code, to compare it")
    add("-n", "--workers", type=int, default=available_cores(), help="default: one a core")
    add("--part", default="1/1", metavar="I/N", help="grade only every N-th, from the I-th on")
    add("--assignment", type=Path, default=ASSIGNMENT, help="the questions (Fashion-MNIST's)")
    for name, what in {"seconds": "all cells", "cell_seconds": "one cell"}.items():
        option, seconds = f"--{name.replace('_', '-')}", inside.LIMITS[name]
        add(option, type=float, default=seconds, help=f"for {what} (default: %(default)g)")
    add("--memory", type=float, default=4, help="GiB for one submission (default: %(default)s)")
    add("--no-network", action="store_true", help="cut submissions off from the network")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error(f"-n must be at least 1, not {arguments.workers}")
    if not (arguments.rubric or arguments.out or arguments.sources):
        parser.error("--out is missing")
    if arguments.gradebook and not (arguments.submissions and arguments.out):
        parser.error("--gradebook needs the submissions and --out")
    return arguments


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 2026-12-01T23:59") from None


def _grade_class(arguments: argparse.Namespace, rubric: Rubric) -> None:
    """Grade a class, fill its gradebook, and say what was found."""
    source, part = arguments.submissions.resolve(), _part(arguments.part)
    with tempfile.TemporaryDirectory() as unpacked:
        hand_ins, notes = collect(source, Path(unpacked))
        if not hand_ins:
            raise ValueError("\n".join([f"{source} holds no notebook to grade.", *notes]))
        if arguments.sources:
            starter = make_starter(nbformat.read(rubric.notebook, as_version=4))
            notes += write_sources(arguments.sources, hand_ins, starter)
        if not arguments.out:
            print("\n".join(notes))
            return
        out, hand_ins = arguments.out.resolve(), hand_ins[part]
        overrides = read_overrides(out / "overrides.csv")
        _fill(arguments, rubric, [])  # tells at once what is wrong with the file
        limits = _limits(arguments)
        hidden = _hidden(source, out)
        print(f"{len(hand_ins)} submissions; {_walls(limits)}", file=sys.stderr)
        due = arguments.due and arguments.due.astimezone().replace(tzinfo=None)
        graded: list[tuple[HandIn, Grade]] = []
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / ".lock", timeout=0):
            _forget(out, hand_ins, arguments.regrade)
            try:
                _grade_all(Class(rubric, limits, hidden, out), hand_ins, arguments.workers, graded)
            finally:  # also of a class that was stopped
                graded = hand_back(out, graded, overrides, due)
        notes += _fill(arguments, rubric, graded)
    wanted = {(grade.submission, question) for _, grade in graded for question in grade.points}
    notes += [f"overrides.csv: there is no {': '.join(key)}" for key in overrides.keys() - wanted]
    notes = [one_line(note, 100_000) for note in notes]  # many names, perhaps
    print("\n".join([_summary([grade for _, grade in graded]), *notes]))
    print(f"{len(graded)} submissions: {out / 'grades.csv'}", file=sys.stderr)


def _hidden(source: Path, out: Path) -> set[Path]:
    """What no submission shall see.

    Raises:
        ValueError: if every submission has to see it, or the results would be taken for hand-ins.
    """
    if source.is_dir() and out.is_relative_to(source):
        raise ValueError("--out lies in the folder of submissions: give it another place.")
    folder, temporary = source if source.is_dir() else source.parent, Path(tempfile.gettempdir())
    hidden = {folder, out, REPOSITORY, temporary.resolve()}
    if seen := hidden.intersection(needed_folders()):
        raise ValueError(f"every submission reads {seen.pop()}: put nothing of the class there.")
    return hidden


def _fill(
    arguments: argparse.Namespace, rubric: Rubric, graded: list[tuple[HandIn, Grade]]
) -> list[str]:
    """Write the filled gradebook, if one is given and anything is graded; return its notes."""
    if not (book := arguments.gradebook):
        return []
    target, column = arguments.out / book.name, arguments.column or rubric.notebook.stem
    if target.resolve() == book.resolve() or target.name in ("grades.csv", "changes.csv"):
        raise ValueError(f"{target} would be overwritten: give the gradebook another place or name")
    content, notes = fill_gradebook(book.read_bytes(), graded, column)
    if graded:
        write_whole(target, content)
    return notes


def _forget(out: Path, hand_ins: list[HandIn], names: list[str]) -> None:
    """Remove what was kept of those that shall be graded again."""
    for name in names:
        again = [one for one in hand_ins if name in (one.name, one.student)]
        if not again:
            raise ValueError(f"there is no submission {name!r} to grade again.")
        for hand_in in again:
            grade_file(out, hand_in.name).unlink(missing_ok=True)


def _part(part: str) -> slice:
    """Which hand-ins are one part of the class."""
    index, _, count = part.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise ValueError(f"--part must be like 2/10, not {part!r}.")
    return slice(int(index) - 1, None, int(count))


def _limits(arguments: argparse.Namespace) -> Limits:
    network = not arguments.no_network
    return Limits(
        seconds=arguments.seconds,
        cell_seconds=arguments.cell_seconds,
        memory=int(arguments.memory * 2**30),
        network=network,
        level=find_level(network),
        threads=max(1, available_cores() // arguments.workers),
    )


def _walls(limits: Limits) -> str:
    """What keeps submissions in, for the first line that grading prints."""
    network = "network reachable" if limits.network else "no network"
    if not limits.network and limits.level == "none":
        network = "the NETWORK COULD NOT BE CUT OFF here"
    memory = "watching and a control group" if control_group(limits.memory) else "watching"
    return f"{LEVELS[limits.level]}; {network}; memory limited by {memory}"


def _grade_all(
    run: Class, hand_ins: list[HandIn], workers: int, graded: list[tuple[HandIn, Grade]]
) -> None:
    """Fill `graded`, and print a line for every submission: how many are done, what is left."""
    start, new = time.monotonic(), 0
    for hand_in, grade, is_kept in run.grade_all(hand_ins, workers):
        graded.append((hand_in, grade))
        new += not is_kept
        line = f"{len(graded):>4} of {len(hand_ins)}  {grade.total:>3} of {grade.out_of}"
        line += "  kept  " if is_kept else f"  {grade.seconds:>4.0f} s"
        line += f"  {one_line(grade.submission)}"
        if new and (left := len(hand_ins) - len(graded)):
            minutes = (time.monotonic() - start) / new * left / 60
            line += f"  (about {minutes:.1f} min left)"
        print(line, file=sys.stderr, flush=True)
    if kept := len(graded) - new:
        print(f"{kept} of {len(hand_ins)} graded before", file=sys.stderr)


def _summary(grades: Sequence[Grade]) -> str:
    """How many submissions there are, what they earned, and which a human should look at."""
    if not grades:
        return "0 submissions"
    total = statistics.mean(grade.total for grade in grades)
    lines = [f"{len(grades)} submissions, {total:.1f} of {grades[0].out_of} points in the mean"]
    for name in grades[0].points:
        lines.append(f"{statistics.mean(grade.points[name] for grade in grades):>6.2f}  {name}")
    counts = Counter(grade.total for grade in grades)
    spread = ", ".join(f"{counts[points]} with {points}" for points in sorted(counts))
    lines.append(f"how many with how many points: {spread}")
    lines += [f"look at {one_line(g.submission)}: {g.look}" for g in grades if g.look]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
