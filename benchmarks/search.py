"""Search the rates of a model on held-out images, with Optuna.

    python benchmarks/search.py --model further --trials 40

Each trial trains on 50,000 of the training images and is measured on the other 10,000; the test
files are never opened. Trials are kept in a journal file: start the command again, or several
times at once, also on several machines that share the file, and all work on the same study. The
last line is one JSON object with the best trial.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from utils.data import load_fashion_mnist

import optuna
from accuracy import ROOT, run
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from recipes import ASSIGNMENT, RECIPES, Recipe

VALIDATION = 10_000  # training images held out
MODELS = [name for name, recipe in RECIPES.items() if recipe.muon_learning_rate]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, default="further")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="of this process")
    parser.add_argument("--epochs", type=int, default=ASSIGNMENT.num_epochs, metavar="N")
    parser.add_argument("--validation", type=int, default=VALIDATION, metavar="N")
    parser.add_argument("--storage", type=Path, default=ROOT / "build" / "search.journal")
    arguments = parser.parse_args()
    if arguments.validation < 1:
        parser.error("--validation must hold out at least one image: the test set is not searched.")

    data = load_fashion_mnist(ASSIGNMENT.batch_size, ASSIGNMENT.device, arguments.validation)
    base = replace(RECIPES[arguments.model], num_epochs=arguments.epochs)

    def objective(trial: optuna.Trial) -> float:
        result = run(suggest(trial, base), trial.number, *data, f"trial {trial.number}")
        trial.set_user_attr("seconds", result["seconds"])
        return result["accuracy"]

    arguments.storage.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(arguments.storage))),
        study_name=f"{base}, {data[0].num_images} images of {data[0].source}",
        direction="maximize",
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial({name: getattr(base, name) for name in SPACE})  # what stands now
    study.optimize(objective, n_trials=arguments.trials)
    best = study.best_trial
    print(json.dumps({"trials": len(study.trials), "accuracy": best.value, "best": best.params}))


# A factor of about eight, with room on both sides of the rates that stand.
SPACE = {
    "learning_rate": (0.004, 0.032),
    "muon_learning_rate": (0.014, 0.11),
}


def suggest(trial: optuna.Trial, base: Recipe) -> Recipe:
    """The recipe that a trial tries: `base` with rates of its own."""
    values = {
        name: trial.suggest_float(name, low, high, log=True) for name, (low, high) in SPACE.items()
    }
    return replace(base, **values)


if __name__ == "__main__":
    main()
