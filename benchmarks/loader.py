"""Time one epoch of shuffled, normalised batches of 512: our loader, the book's, torch's own.

    python -m benchmarks.loader

The candidates take turns. The last line is one JSON object; `ratio` says how many times as long
the faster of the other two takes.
"""

import json
from collections.abc import Callable, Iterable

from benchmarks.book import book_folder
from benchmarks.measure import (
    caption,
    facts,
    load_share,
    make_parser,
    make_table,
    parse,
    spread,
    take_turns,
    timed,
    times_as_long,
    write_table,
)

from d2l import torch as d2l
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

OURS = "ours"


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--share", type=float, default=1, help="of the 60,000 images to use")
    arguments = parse(parser)
    device, begun = d2l.try_gpu(), facts(d2l.try_gpu())
    ours, test_data = load_share(arguments.share, device)

    def serve(loader: Iterable[tuple[Tensor, Tensor]]) -> Callable[[int], float]:
        def epoch() -> None:
            for images, labels in loader:
                images.to(device), labels.to(device)

        return lambda _: timed(epoch, device)

    with book_folder(ours, test_data) as folder:
        pixels = datasets.FashionMNIST(folder, transform=transforms.ToTensor())
        loaders = {
            OURS: ours,
            "`d2l.load_data_fashion_mnist(512)`": d2l.load_data_fashion_mnist(512)[0],
            "`DataLoader`, `ToTensor`, no workers": DataLoader(pixels, 512, shuffle=True),
        }
        actions = {name: serve(loader) for name, loader in loaders.items()}
        seconds = take_turns(actions, arguments.rounds)
    ratio = min(times_as_long(values, seconds[OURS]) for n, values in seconds.items() if n != OURS)
    if arguments.write:
        rows = [(name, spread(values)) for name, values in seconds.items()]
        heads = f"{arguments.rounds} rounds", "seconds an epoch, median and range"
        finding = f"The faster of the others takes {ratio:.0f} times as long as ours."
        write_table("loader", make_table(heads, rows, finding, caption([begun])))
    print(json.dumps({"ratio": ratio, "seconds": seconds}))


if __name__ == "__main__":
    main()
