"""Time the assignment against the book's way: its epochs, and how soon 86.31 % are reached.

    python -m benchmarks.training

Both train the same network with the same seeds and hyperparameters, and measure the test images
after every epoch; measuring counts. 86.31 % is the write-up's figure: ours gets there by its
averaged weights, the book's way by its only ones, for which it may go on to 15 epochs. A third
candidate, `FAST` in variants.py, is there for that alone. All take turns. A run that never gets
there counts with its whole time. The last line is one JSON object; `ratio` is the median of the
rounds' ratios, the book's time over ours for the assignment's epochs.
"""

import json
import statistics
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from benchmarks.book import book_folder, train_by_the_book
from benchmarks.measure import (
    caption,
    facts,
    load_share,
    make_parser,
    make_table,
    parse,
    spread,
    take_turns,
    times_as_long,
    write_table,
)
from benchmarks.runs import begin
from benchmarks.variants import ASSIGNMENT, FAST, LADDER, Variant
from utils.data import BatchLoader
from utils.training import History

from d2l import torch as d2l

Run = list[tuple[float, float]]  # of every epoch its seconds, and the accuracy after it
OURS, FASTER, BOOK = "the assignment", "Muon and a schedule, one epoch", "the book's way"
EPOCHS = ASSIGNMENT.num_epochs


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="one seed each")
    parser.add_argument("--share", type=float, default=1, help="of the 60,000 images to use")
    parser.add_argument("--most-epochs", type=int, default=15, metavar="N", help="the book's way")
    arguments = parse(parser)
    begun = facts(ASSIGNMENT.device)
    train_data, test_data = data = load_share(arguments.share, ASSIGNMENT.device)
    with book_folder(*data):
        iterators = d2l.load_data_fashion_mnist(ASSIGNMENT.batch_size)
        runs = take_turns(
            {
                OURS: lambda seed: by_the_notebook(LADDER["assignment"], seed, *data),
                FASTER: lambda seed: by_the_notebook(FAST, seed, *data),
                BOOK: lambda seed: by_the_book(
                    train_by_the_book(train_data, iterators, seed), arguments.most_epochs
                ),
            },
            arguments.rounds,
        )
    summaries = {name: summary(each) for name, each in runs.items()}
    ours, book = (summaries[name]["seconds"] for name in (OURS, BOOK))
    ratio = times_as_long(book, ours)
    if arguments.write:
        write_table("training", f"{training_table(summaries, ratio)}\n{caption([begun])}")
    print(json.dumps({"ratio": ratio, **summaries}))


def by_the_notebook(
    variant: Variant, seed: int, train_data: BatchLoader, test_data: BatchLoader
) -> Run:
    """Train a variant; its accuracies are those of the weights that it is judged by."""
    model, average, optimizer = begin(variant, seed, train_data)
    history = History(variant.num_epochs, train_data)
    loss_function = ASSIGNMENT.loss_function
    ASSIGNMENT.train(model, average, train_data, test_data, loss_function, optimizer, history)
    accuracies = history.average_accuracy if variant.averaged else history.test_accuracy
    return list(zip(history.seconds, accuracies, strict=True))


def by_the_book(accuracies: Iterator[float], most_epochs: int) -> Run:
    """Train for the assignment's epochs, and then until the goal is reached."""
    run: Run = []
    while len(run) < EPOCHS or len(run) < most_epochs and not is_there(run):
        start = perf_counter()
        accuracy = next(accuracies)
        run.append((perf_counter() - start, accuracy))
    return run


def is_there(run: Run) -> bool:
    """Whether a run has reached the goal."""
    return any(accuracy >= ASSIGNMENT.write_up for _, accuracy in run)


def seconds_to_goal(run: Run) -> float:
    """The seconds until a run reached the goal; all of them if it never did."""
    total = 0.0
    for seconds, accuracy in run:
        total += seconds
        if accuracy >= ASSIGNMENT.write_up:
            break
    return total


def summary(runs: list[Run]) -> dict[str, Any]:
    """What several runs of a candidate took and reached; all but `missed` has a value a run."""
    return {
        "seconds": [sum(seconds for seconds, _ in run[:EPOCHS]) for run in runs],
        "accuracies": [run[:EPOCHS][-1][1] for run in runs],
        "to_goal": [seconds_to_goal(run) for run in runs],
        "missed": sum(not is_there(run) for run in runs),
    }


def training_table(summaries: dict[str, dict[str, Any]], ratio: float) -> str:
    """Every candidate's epochs, and its way to the goal."""
    goal = f"{ASSIGNMENT.write_up:.2%}"
    rows = [
        (
            name,
            spread(found["seconds"]),
            f"{statistics.mean(found['accuracies']):.2%}",
            spread(found["to_goal"]),
            found["missed"],
        )
        for name, found in summaries.items()
    ]
    heads = f"{len(summaries[OURS]['seconds'])} rounds, median (range)", f"{EPOCHS} epochs, s"
    heads += "test accuracy then, mean", f"to {goal}, s", "never there"
    means = {name: statistics.mean(found["to_goal"]) for name, found in summaries.items()}
    finding = (
        f"For {EPOCHS} epochs the book's way takes {ratio:.2f} times as long as ours (median of the "
        f"rounds' ratios), to {goal} {means[BOOK] / means[OURS]:.1f} times (ratio of the means), and "
        f"{means[BOOK] / means[FASTER]:.1f} times as long as Muon's one epoch."
    )
    return make_table(heads, rows, finding)


if __name__ == "__main__":
    main()
