"""Time one epoch of shuffled, normalised batches of 512: our loader, the book's, torch's own.

    python -m benchmarks.loader

The candidates take turns. The last line is one JSON object; `ratio` says how many times as long
as ours the faster of the other two takes.
"""

import json
from collections.abc import Iterable

from benchmarks import measure
from benchmarks.book import book_folder

from d2l import torch as d2l
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

Loader = Iterable[tuple[Tensor, Tensor]]
OURS, BOOK, PLAIN = "ours", "`d2l.load_data_fashion_mnist(512)`", "`DataLoader`, `ToTensor`"


def main() -> None:
    arguments = measure.parse(measure.make_parser(__doc__, rounds=3))
    device = d2l.try_gpu()
    begun, (ours, test_data) = measure.facts(device), measure.load_share(arguments.share, device)

    def epoch(loader: Loader) -> float:
        def serve() -> None:
            for images, labels in loader:
                images.to(device), labels.to(device)

        return measure.timed(serve, device)

    with book_folder(ours, test_data) as folder:
        book, _ = d2l.load_data_fashion_mnist(512)
        pixels = datasets.FashionMNIST(folder, transform=transforms.ToTensor())
        plain = DataLoader(pixels, batch_size=512, shuffle=True)
        loaders = {OURS: ours, BOOK: book, PLAIN: plain}
        actions = {name: lambda _, each=each: epoch(each) for name, each in loaders.items()}
        seconds = measure.take_turns(actions, arguments.rounds)
    ratio = min(measure.times_as_long(seconds[peer], seconds[OURS]) for peer in (BOOK, PLAIN))
    if arguments.write:
        heads = f"{arguments.rounds} rounds, median and range", "an epoch, s"
        rows = [(name, measure.spread(values)) for name, values in seconds.items()]
        finding = f"The faster of the others takes {ratio:.0f} times as long as ours."
        table = measure.make_table(heads, rows, finding, measure.caption([begun]))
        measure.write_table("loader", table)
    print(json.dumps({"ratio": ratio, "seconds": seconds}))


if __name__ == "__main__":
    main()
