"""Time from the loaded data to the first epoch that gets 86.31 % of the test images right.

    python benchmarks/time_to_accuracy.py

86.31 % is the write-up's figure. Ours is the recipe `FAST` of `recipes.py`, chosen on held-out
images; the peer is the book's way with the assignment's network and the write-up's recipe, for 15
epochs at the most. Both are measured after every epoch, and measuring counts. A run that never
gets there counts with its whole time, and is named. The last line is one JSON object; `ratio` is
that of the mean times.
"""

import argparse
import json
import statistics
from copy import deepcopy
from time import perf_counter

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
from recipes import ASSIGNMENT, FAST, make_loss, make_model, make_optimizer

OURS, BOOK = "ours", "the book's way"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="runs, one seed each")
    parser.add_argument("--share", type=float, default=1, help="of the 60,000 images to use")
    parser.add_argument(
        "--goal", type=float, default=ASSIGNMENT.write_up, help="a fraction of test images"
    )
    parser.add_argument(
        "--most-epochs", type=int, default=15, metavar="N", help="of the book's way"
    )
    arguments = parse(parser)

    print(machine())
    device = ASSIGNMENT.device
    train_data, test_data = load_share(arguments.share, device)

    def ours(seed: int) -> float:
        torch.manual_seed(seed)
        train_data.batch_size = FAST.batch_size
        model = make_model(FAST).to(device)
        optimizer = make_optimizer(FAST, model, FAST.num_epochs * len(train_data))
        history = History(FAST.num_epochs, train_data)
        data = train_data, test_data
        ASSIGNMENT.train(model, deepcopy(model), *data, make_loss(FAST), optimizer, history)
        for epoch, accuracy in enumerate(history.test_accuracy, start=1):
            if accuracy >= arguments.goal:
                return sum(history.seconds[:epoch])
        print(f"  {OURS}, seed {seed}: only {max(history.test_accuracy):.2%}")
        return sum(history.seconds)

    with book_folder(train_data, test_data):
        iterators = d2l.load_data_fashion_mnist(ASSIGNMENT.batch_size)

        def book(seed: int) -> float:
            epochs = train_book(ASSIGNMENT, train_data, iterators, seed, arguments.most_epochs)
            start = perf_counter()
            if not any(accuracy >= arguments.goal for accuracy in epochs):
                print(f"  {BOOK}, seed {seed}: not within {arguments.most_epochs} epochs")
            return perf_counter() - start

        seconds = alternate({OURS: ours, BOOK: book}, arguments.repeats)

    means = {name: statistics.mean(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(f"{name}: mean {means[name]:.3g} s, {spread(values)} to {arguments.goal:.2%}")
    ratio = means[BOOK] / means[OURS]
    finding = f"Ours takes {means[OURS]:.3g} s in the mean, the book's way {means[BOOK]:.3g} s: "
    finding += f"{ratio:.1f} times as long."
    if arguments.write:
        write_table("time to accuracy", timings_table(seconds, finding))
    print(json.dumps({"ratio": ratio, "means": means, "seconds": seconds}))


if __name__ == "__main__":
    main()
