"""Train the notebook's model from several seeds and report the spread of its accuracy.

    python benchmarks/accuracy.py --seeds 0 1 2 3 4
    python benchmarks/accuracy.py --validation 10000 --set patch_size=7

The model and its hyperparameters are read from the notebook. With --validation the test
images are never opened, so that is the way to choose. The last line is one JSON object.
"""

import argparse
import json
import statistics
import time

import torch

from utils.data import load_fashion_mnist
from utils.notebook import load_definitions
from utils.training import train


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N")
    parser.add_argument(
        "--validation", type=int, default=0, help="hold out that many training images"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=NUMBER",
        help="hyperparameters of the notebook to change",
    )
    arguments = parser.parse_args()

    notebook = load_definitions()
    for setting in arguments.set:
        name, _, number = setting.partition("=")
        if type(notebook.get(name)) not in (int, float):
            parser.error(f"{name!r} is not a hyperparameter of the notebook.")
        try:
            notebook[name] = type(notebook[name])(number)
        except ValueError:
            parser.error(f"{setting!r}: {number!r} is not a number for {name}.")
    device = notebook["device"]
    train_data, test_data = load_fashion_mnist(notebook["batch_size"], device, arguments.validation)
    accuracies, seconds = [], []
    for seed in arguments.seeds:
        start = time.perf_counter()
        torch.manual_seed(seed)
        model = notebook["make_model"]().to(device)
        history = train(
            model,
            train_data,
            test_data,
            notebook["loss_function"],
            notebook["make_optimizer"](model),
            notebook["num_epochs"],
        )
        if history.interrupted:
            raise SystemExit(130)
        accuracies.append(history.test_accuracy[-1])
        seconds.append(time.perf_counter() - start)
        print(f"seed {seed}: {accuracies[-1]:.2%} in {seconds[-1]:.1f} s", flush=True)
    result = {
        "model": "assignment",
        "source": train_data.source,
        "measured_on": "validation" if arguments.validation else "test",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "mean": statistics.mean(accuracies),
        "std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "accuracies": accuracies,
        "seconds": statistics.median(seconds),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
