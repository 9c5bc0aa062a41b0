"""Time the assignment against the book's way: its epochs, and how soon 86.31 % are reached.

    python -m benchmarks.training

Both train the same network with the same seeds and hyperparameters, and measure the test images
after every epoch; measuring counts. 86.31 % is the write-up's figure: ours gets there by its
averaged weights, the book's way by its only ones, for which it may go on to 15 epochs. A third
candidate, `FAST` in variants.py, is there for that alone. They take turns. A run that never gets
there counts with its whole time. The last line is one JSON object; `ratio` is the median of the
book's time over ours for the assignment's epochs, `to_goal` has the mean seconds to 86.31 %.
"""

import json
import statistics
from collections.abc import Callable
from itertools import accumulate
from time import perf_counter

from benchmarks.book import book_folder, train_book
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
from benchmarks.runs import average_of
from benchmarks.variants import ASSIGNMENT, FAST, LADDER, Variant
from utils.data import BatchLoader
from utils.training import History

import torch
from d2l import torch as d2l

Run = list[tuple[float, float]]  # of every epoch, its seconds and the accuracy after it
OURS, FASTER, BOOK = "the assignment", "one epoch with Muon and a schedule", "the book's way"


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="one seed each")
    parser.add_argument("--share", type=float, default=1, help="of the 60,000 images to use")
    parser.add_argument("--goal", type=float, default=ASSIGNMENT.write_up, help="a fraction")
    parser.add_argument("--most-epochs", type=int, default=15, metavar="N", help="the book's way")
    arguments = parse(parser)
    data, goal = load_share(arguments.share, ASSIGNMENT.device), arguments.goal
    begun = facts(ASSIGNMENT.device)
    with book_folder(*data):
        actions = {
            OURS: lambda seed: ours(LADDER["assignment"], seed, *data),
            FASTER: lambda seed: ours(FAST, seed, *data),
            BOOK: by_the_book(data[0], goal, arguments.most_epochs),
        }
        runs = take_turns(actions, arguments.rounds)
    whole = {
        name: [sum(seconds for seconds, _ in run[:EPOCHS]) for run in runs[name]]
        for name in (OURS, BOOK)
    }
    to_goal = {name: [goal_seconds(run, goal) for run in runs[name]] for name in runs}
    ratio = times_as_long(whole[BOOK], whole[OURS])
    if arguments.write:
        write_table("training", training_table(runs, whole, to_goal, goal, ratio) + caption(begun))
    means = {name: statistics.mean(seconds) for name, seconds in to_goal.items()}
    print(json.dumps({"ratio": ratio, "seconds": whole, "to_goal": to_goal}))


def ours(variant: Variant, seed: int, train_data: BatchLoader, test_data: BatchLoader) -> Run:
    """Train a variant by the notebook's loop; judge it by the weights that it is judged by."""
    torch.manual_seed(seed)
    train_data.batch_size = variant.batch_size
    model, optimizer = variant.build(variant.num_epochs * len(train_data))
    average = average_of(model.to(train_data.images.device))
    history = History(variant.num_epochs, train_data)
    loss_function = ASSIGNMENT.loss_function
    ASSIGNMENT.train(model, average, train_data, test_data, loss_function, optimizer, history)
    accuracies = history.average_accuracy if variant.averaged else history.test_accuracy
    return list(zip(history.seconds, accuracies, strict=True))
