"""Time one epoch of shuffled, normalised batches of 512: our loader, the book's, torch's own.

    python benchmarks/loader.py

The last line is one JSON object; `ratio` is how many times faster ours is than the fastest peer.
"""

import argparse
import json
from collections.abc import Iterable

from book import book_folder
from d2l import torch as d2l
from measure import (
    alternate,
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
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

OURS, BOOK, PLAIN = "ours", "d2l.load_data_fashion_mnist(512)", "DataLoader, ToTensor, 0 workers"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--repeats", type=int, default=5, metavar="N", help="counted epochs of each"
    )
    parser.add_argument("--share", type=float, default=1, help="of the 60,000 images to use")
    arguments = parse(parser)

    print(machine())
    device = d2l.try_gpu()
    ours, test_data = load_share(arguments.share, device)
    with book_folder(ours, test_data) as folder:
        book, _ = d2l.load_data_fashion_mnist(512)
        pixels = datasets.FashionMNIST(folder, transform=transforms.ToTensor())
        plain = DataLoader(pixels, batch_size=512, shuffle=True, num_workers=0)

        def epoch(loader: Iterable[tuple[Tensor, Tensor]]) -> float:
            def serve() -> None:
                for images, labels in loader:
                    images.to(device), labels.to(device)

            return timed(serve, device)

        seconds = alternate(
            {
                OURS: lambda _: epoch(ours),
                BOOK: lambda _: epoch(book),
                PLAIN: lambda _: epoch(plain),
            },
            arguments.repeats,
        )
    for name, values in seconds.items():
        print(f"{name}: {spread(values)} an epoch of {ours.num_images:,} images")
    ratio, ratios = times_faster(seconds, OURS, (BOOK, PLAIN))
    finding = f"Times faster than the fastest of the others: {spread(ratios, 'times')}."
    print(finding)
    if arguments.write:
        write_table("loader", timings_table(seconds, finding))
    print(json.dumps({"ratio": ratio, "ratios": ratios, "seconds": seconds}))


if __name__ == "__main__":
    main()
