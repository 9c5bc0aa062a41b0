"""Time the assignment as written against the book's way, and its training step alone.

    python benchmarks/training.py

Both ways train the same network with the same seeds and hyperparameters, and measure both
accuracies after every epoch. The step alone is compared with the machine's own rate of matrix
products. The last line is one JSON object: `ratio` is how many times faster ours is,
`share_of_peak` the step's floating-point rate as a share of that of the products.
"""

import argparse
import json
import statistics
from typing import Any

import torch
from book import BookNet, book_folder, train_book
from d2l import torch as d2l
from measure import alternate, load_share, machine, spread, timed, times_faster
from torch.utils.flop_counter import FlopCounterMode

from utils.data import BatchLoader
from utils.notebook import load_definitions
from utils.training import train

OURS, BOOK = "ours", "the book's way"
PEAK_SIZE = 2048  # side of the square matrices whose product gives the machine's rate


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="runs, one seed each")
    parser.add_argument("--share", type=float, default=1, help="of the 60,000 images to use")
    arguments = parser.parse_args()

    print(machine())
    notebook = load_definitions()
    device, num_epochs = notebook["device"], notebook["num_epochs"]
    train_data, test_data = load_share(arguments.share, device)
    share = share_of_peak(notebook, train_data)

    accuracies: dict[str, list[float]] = {OURS: [], BOOK: []}

    def ours(seed: int) -> float:
        torch.manual_seed(seed)
        model = notebook["make_model"]().to(device)
        optimizer, loss_function = notebook["make_optimizer"](model), notebook["loss_function"]

        def run() -> None:
            history = train(model, train_data, test_data, loss_function, optimizer, num_epochs)
            accuracies[OURS].append(history.test_accuracy[-1])

        return timed(run, device)

    with book_folder(train_data, test_data):
        train_iter, test_iter = d2l.load_data_fashion_mnist(notebook["batch_size"])

        def book(seed: int) -> float:
            torch.manual_seed(seed)
            net = BookNet(notebook["make_model"](), train_data).to(device)
            optimizer, loss_function = notebook["make_optimizer"](net), notebook["loss_function"]

            def run() -> None:
                epochs = train_book(
                    net, train_iter, test_iter, loss_function, optimizer, num_epochs
                )
                accuracies[BOOK].append(list(epochs)[-1])

            return timed(run, device)

        seconds = alternate({OURS: ours, BOOK: book}, arguments.repeats)

    for name, values in seconds.items():
        counted = accuracies[name][1:]  # without the warm-up's
        mean = statistics.mean(counted)
        print(f"{name}: {spread(values)}, mean accuracy {mean:.2%}")
    ratio, ratios = times_faster(seconds, OURS, [BOOK])
    print(f"times faster than the book's way: {spread(ratios, 'times')}")
    result = {"ratio": ratio, "ratios": ratios, "share_of_peak": share, "seconds": seconds}
    print(json.dumps(result | {"accuracies": {k: v[1:] for k, v in accuracies.items()}}))


def share_of_peak(notebook: dict[str, Any], data: BatchLoader, repeats: int = 50) -> float:
    """Measure one whole training step, and matrix products in turn with it.

    The step is the forward pass, the loss, the backward pass and Adam, on one batch that is
    there already. Its floating-point operations are those that torch counts: matrix products.
    """
    device = notebook["device"]
    model = notebook["make_model"]().to(device)
    optimizer = notebook["make_optimizer"](model)
    images, labels = next(iter(data))

    def step() -> None:
        loss = notebook["loss_function"](model(images), labels)
        model.zero_grad()
        loss.backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step()
    matrix = torch.randn(PEAK_SIZE, PEAK_SIZE, device=device)
    rates: dict[str, list[float]] = {"step": [], "products": []}
    for number in range(repeats + 5):  # the first five warm up
        step_rate = counter.get_total_flops() / timed(step, device)
        product_rate = 2 * PEAK_SIZE**3 / timed(lambda: matrix @ matrix, device)
        if number >= 5:
            rates["step"].append(step_rate / 1e9)
            rates["products"].append(product_rate / 1e9)
    shares = [step / peak for step, peak in zip(*rates.values(), strict=True)]
    print(f"products of {PEAK_SIZE} x {PEAK_SIZE}: {spread(rates['products'], 'GFLOP/s')}")
    print(
        f"training step: {counter.get_total_flops() / 1e9:.2f} GFLOP, "
        f"{spread(rates['step'], 'GFLOP/s')}, {statistics.median(shares):.0%} of the products"
    )
    return statistics.median(shares)


if __name__ == "__main__":
    main()
