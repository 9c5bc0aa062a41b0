"""Try settings of a variant on held-out images, and log what came of it.

    python -m benchmarks.search --set depth=2 --set patch_size=7 --seeds 9301 9302 9303

Trains on 50,000 of the training images and measures the other 10,000; the test files are never
opened. Each --set is a candidate beside the variant as it is; all take turns, seed by seed. Runs
are kept in build/tried.jsonl, with --write in benchmarks/tried.jsonl, from which the table of what
was tried for the assignment is then made anew. The last line is one JSON object: the accuracies
of every candidate.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, caption, make_parser, make_table, parse, write_table
from benchmarks.runs import describe, measure_all
from benchmarks.variants import ASSIGNMENT, LADDER
from utils.data import load_fashion_mnist

VALIDATION = 10_000  # training images held out
TRIED = ROOT / "benchmarks" / "tried.jsonl"


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--model", choices=LADDER, default="assignment")
    parser.add_argument("--seeds", type=int, nargs="+", default=[9301, 9302, 9303], metavar="N")
    parser.add_argument("--set", nargs="+", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--results", type=Path, help="where runs are kept")
    arguments = parse(parser)
    base = LADDER[arguments.model]
    candidates = {arguments.model: base}
    try:
        for words in arguments.set:
            candidates[" ".join((arguments.model, *words))] = base.changed(
                dict(map(setting, words))
            )
    except ValueError as error:
        parser.error(str(error))

    data = load_fashion_mnist(ASSIGNMENT.batch_size, ASSIGNMENT.device, VALIDATION)
    kept = arguments.results or (TRIED if arguments.write else ROOT / "build" / TRIED.name)
    runs = measure_all(candidates, arguments.seeds, data, kept)
    if arguments.write:
        lines = kept.read_text(encoding="utf-8").splitlines()
        write_table("tried", tried_table(list(map(json.loads, lines))))
    print(json.dumps({name: [run["accuracy"] for run in each] for name, each in runs.items()}))


def setting(text: str) -> tuple[str, Any]:
    """A name and its value, which is JSON or a word; `ValueError` without an equals sign."""
    name, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"{text!r} is no setting: write NAME=VALUE.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def tried_table(lines: list[dict[str, Any]]) -> str:
    """A line for every choice of the assignment's; lines without a commit are too old for it."""
    chosen = LADDER["assignment"].settings
    runs = [line for line in lines if line["model"].startswith("assignment") and "commit" in line]
    tried: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for run in runs:
        changed = tuple(name for name, value in run["settings"].items() if value != chosen[name])
        value = " / ".join(str(run["settings"][name]) for name in changed)
        tried.setdefault(changed, {}).setdefault(value, []).append(run["accuracy"])
    as_it_is, rows = tried.pop(())[""], []
    for names, values in tried.items():
        values = {"**" + " / ".join(str(chosen[name]) for name in names) + "**": as_it_is} | values
        told = [f"{value}: {describe(accuracies)}" for value, accuracies in values.items()]
        rows.append((" / ".join(f"`{name}`" for name in names), "; ".join(told)))
    return make_table(("choice", "**as it is**, and what else was tried"), rows, caption(runs))


if __name__ == "__main__":
    main()
