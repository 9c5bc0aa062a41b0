"""Time the assignment as written against the book's way, and its training step alone.

    python benchmarks/training.py

Both ways train the same network with the same seeds and hyperparameters, and measure both
accuracies after every epoch. The step alone is compared with the machine's own rate of matrix
products. The last line is one JSON object: `ratio` is how many times faster ours is,
`share_of_peak` the step's floating-point rate as a share of that of its products alone.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from types import SimpleNamespace

from utils.data import BatchLoader
from utils.definitions import load_definitions
from utils.training import History

import torch
from book import book_folder, train_book
from d2l import torch as d2l
from measure import (
    alternate,
    average_of,
    load_share,
    machine,
    parse,
    spread,
    timed,
    times_faster,
    timings_table,
    write_table,
)
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

OURS, BOOK = "ours", "the book's way"
PEAK_SIZE = 2048  # side of the square matrices whose product gives the machine's rate


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="runs, one seed each")
    parser.add_argument("--share", type=float, default=1, help="of the 60,000 images to use")
    arguments = parse(parser)

    print(machine())
    assignment = load_definitions()
    device, num_epochs = assignment.device, assignment.num_epochs
    train_data, test_data = load_share(arguments.share, device)
    shares = share_of_products(assignment, train_data, repeats=20 * arguments.repeats)

    accuracies: dict[str, list[float]] = {OURS: [], BOOK: []}

    def ours(seed: int) -> float:
        torch.manual_seed(seed)
        model = assignment.make_model().to(device)
        average, optimizer = average_of(assignment, model), assignment.make_optimizer(model)
        history = History(num_epochs, train_data)

        def run() -> None:
            data = train_data, test_data
            assignment.train(model, average, *data, assignment.loss_function, optimizer, history)
            accuracies[OURS].append(history.test_accuracy[-1])

        return timed(run, device)

    with book_folder(train_data, test_data):
        iterators = d2l.load_data_fashion_mnist(assignment.batch_size)

        def book(seed: int) -> float:
            epochs = train_book(assignment, train_data, iterators, seed, num_epochs)
            return timed(lambda: accuracies[BOOK].append(list(epochs)[-1]), device)

        seconds = alternate({OURS: ours, BOOK: book}, arguments.repeats)

    for name, values in seconds.items():
        print(f"{name}: {spread(values)}")
    counted = {name: values[1:] for name, values in accuracies.items()}  # without the warm-up's
    means = {name: statistics.mean(values) for name, values in counted.items()}
    ratio, ratios = times_faster(seconds, OURS, [BOOK])
    findings = [
        f"Times faster than the book's way: {spread(ratios, 'times')}.",
        f"Mean test accuracy after {num_epochs} epochs: {means[OURS]:.2%} ours, {means[BOOK]:.2%} "
        "the book's way.",
        f"The training step alone reaches {shares['share_of_peak']:.0%} of the rate of its matrix "
        f"products at their own sizes, and {shares['share_of_square_peak']:.0%} of the rate of a "
        f"{PEAK_SIZE} x {PEAK_SIZE} product.",
    ]
    print("\n".join(findings))
    if arguments.write:
        write_table("training", timings_table(seconds, *findings))
    result = {"ratio": ratio, "ratios": ratios, "seconds": seconds} | shares
    print(json.dumps(result | {"accuracies": counted}))


class RecordProducts(TorchDispatchMode):
    """Keeps matrices of the sizes and layouts of all matrix products that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[tuple[Tensor, Tensor, Tensor]] = []

    def __torch_dispatch__(
        self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Called by torch for every operation."""
        result = function(*args, **(kwargs or {}))
        aten = torch.ops.aten
        if function in (aten.mm.default, aten.addmm.default):
            factors = (torch.empty_strided(m.shape, m.stride()).normal_() for m in args[-2:])
            self.products.append((*factors, torch.empty_like(result)))
        return result


def share_of_products(
    assignment: SimpleNamespace, data: BatchLoader, repeats: int
) -> dict[str, float]:
    """Measure one whole training step, and matrix products alone in turn with it.

    The step is the forward pass, the loss, the backward pass and Adam, on one batch that is
    there already. It is compared with the products that it consists of, at their own sizes, one
    after the other and with nothing between them; and with a product of large square matrices.
    The floating-point operations are those that torch counts.
    """
    device = assignment.device
    model = assignment.make_model().to(device)
    optimizer = assignment.make_optimizer(model)
    images, labels = next(iter(data))

    def step() -> None:
        loss = assignment.loss_function(model(images), labels)
        model.zero_grad()
        loss.backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step()
    with RecordProducts() as recorded:
        step()
    products = [tuple(m.to(device) for m in product) for product in recorded.products]
    flops = counter.get_total_flops()
    assert flops == sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in products)
    square = torch.randn(PEAK_SIZE, PEAK_SIZE, device=device)

    def products_alone() -> None:
        for left, right, out in products:
            torch.mm(left, right, out=out)

    rates: dict[str, list[float]] = {"step": [], "own sizes": [], "square": []}
    for number in range(repeats + 5):  # the first five warm up
        rate = {
            "step": flops / timed(step, device),
            "own sizes": flops / timed(products_alone, device),
            "square": 2 * PEAK_SIZE**3 / timed(lambda: square @ square, device),
        }
        if number >= 5:
            for name, value in rate.items():
                rates[name].append(value / 1e9)
    shares = {
        f"share_of_{name}": statistics.median(
            step / peak for step, peak in zip(rates["step"], rates[kind], strict=True)
        )
        for name, kind in {"peak": "own sizes", "square_peak": "square"}.items()
    }
    print(f"training step, {flops / 1e9:.2f} GFLOP: {spread(rates['step'], 'GFLOP/s')}")
    print(f"its {len(products)} matrix products alone: {spread(rates['own sizes'], 'GFLOP/s')}")
    print(f"{PEAK_SIZE} x {PEAK_SIZE} products: {spread(rates['square'], 'GFLOP/s')}")
    print(
        f"the step reaches {shares['share_of_peak']:.0%} of the rate at its own sizes, "
        f"{shares['share_of_square_peak']:.0%} of that of the square product"
    )
    return shares


if __name__ == "__main__":
    main()
