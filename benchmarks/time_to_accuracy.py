"""Time from the loaded data to the first epoch with 86.31 %, and with 90 %, of the test images.

    python benchmarks/time_to_accuracy.py
    python benchmarks/time_to_accuracy.py --goal 0.9

86.31 % is the write-up's figure. Ours are the recipes `FAST` of `recipes.py`, chosen on held-out
images; the peer is the book's way with the assignment's network and the write-up's recipe, for 15
epochs at the most. Both are measured after every epoch, and measuring counts. A run that never
gets there counts with its whole time, and is named; a peer that does not get there in its first
run, the warm-up, is not run again. The last line is one JSON object with the times to each goal;
`ratio` is that of the mean times, if the peer gets there.
"""

import argparse
import json
import statistics
from time import perf_counter
from typing import Any

from utils.data import BatchLoader
from utils.training import History

import torch
from book import book_folder, train_book
from d2l import torch as d2l
from measure import (
    alternate,
    load_share,
    machine,
    parse,
    spread,
    timings_table,
    write_table,
)
from recipes import ASSIGNMENT, FAST, Recipe, make_training

OURS, BOOK = "ours", "the book's way"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="runs, one seed each")
    parser.add_argument("--share", type=float, default=1, help="of the 60,000 images to use")
    parser.add_argument(
        "--goal",
        type=float,
        nargs="+",
        default=list(FAST),
        help="fractions of the test images; the recipe of FAST for the next higher one is used",
    )
    parser.add_argument(
        "--most-epochs", type=int, default=15, metavar="N", help="of the book's way"
    )
    arguments = parse(parser)
    if arguments.write and not set(arguments.goal) <= set(FAST):
        parser.error(f"--write reports the goals {', '.join(map(str, FAST))} only.")

    print(machine())
    data = load_share(arguments.share, ASSIGNMENT.device)
    results = {}
    with book_folder(*data):
        for goal in arguments.goal:
            recipe = FAST[min((fast for fast in FAST if fast >= goal), default=max(FAST))]
            results[goal] = measure(goal, recipe, data, arguments)
    print(json.dumps(results))


def measure(
    goal: float,
    recipe: Recipe,
    data: tuple[BatchLoader, BatchLoader],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """The seconds that both ways take to reach a fraction of the test images."""
    train_data, _ = data
    missed = {OURS: 0, BOOK: 0}

    def ours(seed: int) -> float:
        torch.manual_seed(seed)
        model, average, optimizer = make_training(recipe, train_data)
        history = History(recipe.num_epochs, train_data)
        loss_function = ASSIGNMENT.loss_function
        ASSIGNMENT.train(model, average, *data, loss_function, optimizer, history)
        for epoch, accuracy in enumerate(history.test_accuracy, start=1):
            if accuracy >= goal:
                return sum(history.seconds[:epoch])
        missed[OURS] += seed > 0  # round 0 is a warm-up
        print(f"  {OURS}, seed {seed}: only {max(history.test_accuracy):.2%}")
        return sum(history.seconds)

    iterators = d2l.load_data_fashion_mnist(ASSIGNMENT.batch_size)
    most, best = arguments.most_epochs, 0.0

    def book(seed: int) -> float:
        nonlocal best
        epochs = train_book(ASSIGNMENT, train_data, iterators, seed, most)
        best, start = 0.0, perf_counter()
        while best < goal and (accuracy := next(epochs, None)) is not None:
            best = max(best, accuracy)
        if best < goal:
            missed[BOOK] += seed > 0
            print(f"  {BOOK}, seed {seed}: only {best:.2%} within {most} epochs")
        return perf_counter() - start

    warm_up = book(0)
    if best >= goal:
        warmed_up = {OURS: ours, BOOK: lambda seed: book(seed) if seed else warm_up}
        seconds = alternate(warmed_up, arguments.repeats)
    else:
        seconds = alternate({OURS: ours}, arguments.repeats)
    means = {name: statistics.mean(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(f"{name}: mean {means[name]:.3g} s, {spread(values)} to {goal:.2%}")
    result = {"means": means, "seconds": seconds, "missed": missed}
    finding = f"Ours takes {means[OURS]:.3g} s in the mean, the book's way "
    if BOOK in means:
        result["ratio"] = means[BOOK] / means[OURS]
        finding += f"{means[BOOK]:.3g} s: {result['ratio']:.1f} times as long."
    else:
        finding += f"gets to {best:.2%} in {most} epochs and {warm_up:.3g} s, in one run."
    for name in seconds:
        if missed[name]:
            finding += f" {missed[name]} of {arguments.repeats} runs of {name} never got there."
    if arguments.write:
        write_table(f"time to {goal:.2%}", timings_table(seconds, finding))
    return result


if __name__ == "__main__":
    main()
