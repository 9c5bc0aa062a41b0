"""Try settings of a network on held-out images, and log what came of it.

    python -m benchmarks.search --set '{"depth": 2}' '{"patch_size": 7}' --seeds 9301 9302

Trains on 50,000 of the training images and measures the other 10,000; the test files are never
opened. The candidates, the first of them the network as it is, take turns, seed by seed. Runs are
kept in build/tried.jsonl, with --write in benchmarks/tried.jsonl, from which the table of what was
tried for the assignment is then made. The last line is one JSON object with all accuracies.
"""

import json
from typing import Any

from benchmarks.measure import ROOT, caption, make_parser, parse, write_table
from benchmarks.runs import describe, measure_all
from benchmarks.variants import ASSIGNMENT, LADDER
from utils.data import load_fashion_mnist

VALIDATION = 10_000  # training images held out
TRIED = ROOT / "benchmarks" / "tried.jsonl"


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--model", choices=LADDER, default="assignment")
    parser.add_argument("--seeds", type=int, nargs="+", default=[9301, 9302, 9303], metavar="N")
    parser.add_argument("--set", type=settings, nargs="+", default=[], metavar="JSON")
    arguments = parse(parser)
    name, candidates = arguments.model, {arguments.model: LADDER[arguments.model]}
    try:
        for each in arguments.set:
            candidates[f"{name} {json.dumps(each)}"] = LADDER[name].changed(each)
    except ValueError as error:
        parser.error(str(error))
    data = load_fashion_mnist(ASSIGNMENT.batch_size, ASSIGNMENT.device, VALIDATION)
    kept = TRIED if arguments.write else ROOT / "build" / TRIED.name
    runs = measure_all(candidates, arguments.seeds, data, kept)
    if arguments.write:
        write_tried([json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()])
    print(json.dumps({name: [run["accuracy"] for run in each] for name, each in runs.items()}))


def settings(text: str) -> dict[str, Any]:
    """A JSON object; argparse names this function where the text is none."""
    return dict(json.loads(text))


def write_tried(lines: list[dict[str, Any]]) -> None:
    """Write a line for every choice of the assignment's; what names no commit is too old for it."""
    chosen, tried = LADDER["assignment"].settings, {}
    runs = [line for line in lines if line["model"].startswith("assignment") and "commit" in line]
    for run in runs:
        changed = tuple(name for name, value in run["settings"].items() if value != chosen[name])
        value = " / ".join(str(run["settings"][name]) for name in changed)
        tried.setdefault(changed, {}).setdefault(value, []).append(run["accuracy"])
    as_it_is, rows = tried.pop(())[""], []
    for names, values in tried.items():
        values = {f"**{' / '.join(str(chosen[name]) for name in names)}**": as_it_is} | values
        told = [f"{value}: {describe(accuracies)}" for value, accuracies in values.items()]
        rows.append((" / ".join(f"`{name}`" for name in names), "; ".join(told)))
    heads = "choice", "held-out accuracy: **as it is**, and what else was tried"
    write_table("tried", heads, rows, caption(runs))


if __name__ == "__main__":
    main()
