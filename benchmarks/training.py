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

from benchmarks import measure
from benchmarks.book import book_folder, train_by_the_book
from benchmarks.runs import begin
from benchmarks.variants import ASSIGNMENT, FAST, LADDER, Variant
from utils.data import BatchLoader
from utils.training import History

from d2l import torch as d2l

Run = list[tuple[float, float]]  # of every epoch its seconds, and the accuracy after it
OURS, FASTER, BOOK = "the assignment", "Muon and a schedule, one epoch", "the book's way"
EPOCHS, GOAL = ASSIGNMENT.num_epochs, ASSIGNMENT.write_up


def main() -> None:
    parser = measure.make_parser(__doc__, rounds=3)
    parser.add_argument("--most-epochs", type=int, default=15, metavar="N", help="the book's way")
    arguments, begun = measure.parse(parser), measure.facts(ASSIGNMENT.device)
    data = measure.load_share(arguments.share, ASSIGNMENT.device)
    with book_folder(*data):
        iterators = d2l.load_data_fashion_mnist(ASSIGNMENT.batch_size)

        def by_the_book(seed: int) -> Run:
            return as_run(train_by_the_book(data[0], iterators, seed), arguments.most_epochs)

        actions = {
            OURS: lambda seed: by_the_notebook(LADDER["assignment"], seed, *data),
            FASTER: lambda seed: by_the_notebook(FAST, seed, *data),
            BOOK: by_the_book,
        }
        runs = measure.take_turns(actions, arguments.rounds)
    summaries = {name: summary(each) for name, each in runs.items()}
    ratio = measure.times_as_long(summaries[BOOK]["seconds"], summaries[OURS]["seconds"])
    if arguments.write:
        table = training_table(summaries, ratio)
        measure.write_table("training", f"{table}\n{measure.caption([begun])}")
    print(json.dumps({"ratio": ratio, **summaries}))


def by_the_notebook(variant: Variant, seed: int, data: BatchLoader, others: BatchLoader) -> Run:
    """Train a variant; its accuracies are those of the weights that it is judged by."""
    model, average, optimizer = begin(variant, seed, data)
    history, loss_function = History(variant.num_epochs, data), ASSIGNMENT.loss_function
    ASSIGNMENT.train(model, average, data, others, loss_function, optimizer, history)
    accuracies = history.average_accuracy if variant.averaged else history.test_accuracy
    return list(zip(history.seconds, accuracies, strict=True))


def as_run(accuracies: Iterator[float], most_epochs: int) -> Run:
    """Train for the assignment's epochs, and then until the goal is reached."""
    run: Run = []
    while len(run) < EPOCHS or (len(run) < most_epochs and not way_to_goal(run)[1]):
        start = perf_counter()
        accuracy = next(accuracies)
        run.append((perf_counter() - start, accuracy))
    return run


def way_to_goal(run: Run) -> tuple[float, bool]:
    """The seconds until a run reached the goal, all of them if it never did, and whether it did."""
    total = 0.0
    for seconds, accuracy in run:
        total += seconds
        if accuracy >= GOAL:
            return total, True
    return total, False


def summary(runs: list[Run]) -> dict[str, Any]:
    """What the runs of a candidate took and reached."""
    return {
        "seconds": [sum(seconds for seconds, _ in run[:EPOCHS]) for run in runs],
        "accuracies": [run[:EPOCHS][-1][1] for run in runs],
        "to_goal": [way_to_goal(run)[0] for run in runs],
        "missed": sum(not way_to_goal(run)[1] for run in runs),
    }


def training_table(summaries: dict[str, dict[str, Any]], ratio: float) -> str:
    """Every candidate's epochs, and its way to the goal."""
    rows, means = [], {}
    for name, found in summaries.items():
        accuracy = f"{100 * statistics.mean(found['accuracies']):.2f} %"
        times = measure.spread(found["seconds"]), measure.spread(found["to_goal"])
        rows.append((name, times[0], accuracy, times[1], found["missed"]))
        means[name] = statistics.mean(found["to_goal"])
    rounds, goal = len(summaries[OURS]["seconds"]), f"{100 * GOAL:.2f} %"
    heads = f"{rounds} rounds, median and range", f"at most {EPOCHS} epochs, s"
    heads += "test accuracy then", f"to {goal}, s", "runs that never got there"
    finding = (
        f"For {EPOCHS} epochs the book's way takes {ratio:.2f} times as long as ours; to {goal} "
    )
    finding += f"{means[BOOK] / means[OURS]:.1f} times in the mean, and "
    finding += f"{means[BOOK] / means[FASTER]:.1f} times as long as that one epoch."
    return measure.make_table(heads, rows, finding)


if __name__ == "__main__":
    main()
