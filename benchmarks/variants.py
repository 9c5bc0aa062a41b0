"""Every network that is measured, made of the notebooks' own definitions.

The second notebook's mixer without one of its ingredients is its code with a few words changed:
`INGREDIENTS` says which. So no second copy of a network can fall behind, and what is measured is
what the notebook shows. Words that the notebook no longer contains are an error.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from utils.definitions import load_definitions, tagged_cells

from torch import Tensor, nn

# Files may be edited while a long command runs: all are read when it begins.
TEXTS = {
    name: "\n\n".join(cell.source for cell in tagged_cells("definition", f"{name}.ipynb"))
    for name in ("fashion_mnist", "further")
}
ASSIGNMENT, FURTHER = load_definitions("fashion_mnist.ipynb"), load_definitions("further.ipynb")
NAMES = "patch_size", "dim", "token_hidden", "channel_hidden", "depth"
SIZES = {name: getattr(ASSIGNMENT, name) for name in NAMES}
Training = tuple[nn.Module, Any]  # an untrained network and its optimiser

# What takes each ingredient away, in the order in which the ladder adds them.
INGREDIENTS = {
    "schedule": {
        "return min((step + 1) / rise, (num_steps - step) / (num_steps - rise))": "return 1"
    },
    "muon": {"[Muon(matrices, muon_learning_rate),": "[torch.optim.Adam(matrices, learning_rate),"},
    "mirror": {
        "super().forward(random_flip(images))": "super().forward(images)",
        " + super().forward(images.flip(2))) / 2": ")",
    },
    "stages": {"class Mixer(StagedMLP)": "class Mixer(assignment.PatchMLP)"},
    "residuals": {"W + self.mlp1": "self.mlp1", "inner + self.mlp2": "self.mlp2"},
    "layer-norm": {"nn.LayerNorm(": "nn.Identity("},
    "shift": {"X[:, 1:-1, 1:-1]": "X[:]"},
}
WORDS = {
    "assignment": "the assignment, averaged weights",
    "schedule": "a learning rate that rises and falls, in place of the average",
    "muon": "Muon for the matrices of stem and blocks",
    "mirror": "half of the images mirrored, answers averaged",
    "stages": "three stages of small patches, MLPs on windows of 2 x 2",
    "residuals": "residuals around each MLP",
    "layer-norm": "LayerNorm before each MLP and the mean",
    "shift": "every second MLP on shifted windows: the mixer",
    "largest": "wider, two blocks a stage, batches of 128, ten views",
}


@dataclass(frozen=True)
class Variant:
    """A network and how it is trained.

    `make` is given the second notebook's definitions without some ingredients, the number of steps,
    and the settings. `averaged`: judged by the average of its weights (EMA), not by the last ones.
    """

    make: Callable[..., Training]
    settings: dict[str, Any]
    without: tuple[str, ...] = ()
    averaged: bool = False
    batch_size: int = ASSIGNMENT.batch_size
    num_epochs: int = ASSIGNMENT.num_epochs

    def changed(self, settings: dict[str, Any]) -> "Variant":
        """This variant with other settings; `ValueError` for one that it cannot have."""
        for name, value in settings.items():
            like = self.settings.get(name)
            kinds = {tuple: list, float: (int, float)}  # JSON's, where they differ
            if not isinstance(value, kinds.get(type(like), type(like))):
                wrong = f"should be like {like!r}" if like else "is not a setting"
                raise ValueError(f"{name}={value!r} {wrong}; there are {', '.join(self.settings)}.")
        return replace(self, settings=self.settings | settings)

    def sources(self) -> list[str]:
        """The code that decides what it is."""
        if self.make is make_assignment:
            return [TEXTS["fashion_mnist"], SOURCES[make_assignment]]
        parts = [self.make, with_muon, *[Largest] * (self.make is make_largest)]
        code = [SOURCES[part] for part in parts]
        return [TEXTS["fashion_mnist"], further_without(self.without), *code]


def further_without(ingredients: tuple[str, ...]) -> str:
    """The second notebook's definitions without some; `ValueError` if they are not found there."""
    text = TEXTS["further"]
    for name in ingredients:
        for old, new in INGREDIENTS[name].items():
            if old not in text:
                raise ValueError(f"further.ipynb has no {old!r}: change INGREDIENTS, too.")
            text = text.replace(old, new)
    return text


def make_assignment(
    notebook: SimpleNamespace, _: int, first_weights: str, **sizes: int
) -> Training:
    """The assignment; its first weights are "orthogonal", or else PyTorch's own."""
    model = notebook.assignment.PatchMLP(**sizes, num_classes=ASSIGNMENT.num_classes)
    if first_weights == "orthogonal":
        model.apply(notebook.assignment.init_weights)
    return model, notebook.assignment.make_optimizer(model)


def make_mixer(notebook: SimpleNamespace, num_steps: int, **settings: Any) -> Training:  # noqa: ANN401
    """The mixer, or what is left of it."""
    rates = {name: settings.pop(name) for name in FURTHER.mixer_rates}
    model = notebook.Mixer(**settings, num_classes=ASSIGNMENT.num_classes)
    return with_muon(notebook, model.apply(ASSIGNMENT.init_weights), num_steps, **rates)


def make_largest(notebook: SimpleNamespace, num_steps: int, **rates: float) -> Training:
    """The largest network, with the mixer's optimisers."""
    return with_muon(notebook, Largest(), num_steps, **rates)


def with_muon(
    notebook: SimpleNamespace, model: nn.Module, num_steps: int, **rates: float
) -> Training:
    """A network with the mixer's optimisers and their schedules."""
    optimizers = notebook.make_mixer_optimizers(model, **rates)
    schedules = [notebook.warm_up_and_decay(each, num_steps) for each in optimizers]
    return model, notebook.Together(*optimizers, *schedules)


class Largest(FURTHER.Mixer):
    """The mixer, wider and with two blocks a stage, judged by ten views of an image."""

    def __init__(self) -> None:
        nn.Module.__init__(self)  # the notebook's own makes these layers in a loop over sizes
        block, to_windows = FURTHER.MixerBlock, FURTHER.to_windows
        self.layers = nn.Sequential(
            to_windows,  # padded images (b, 32, 32, 1) to (b, 16, 16, 4)
            nn.Linear(4, 48),  # patches of 2 x 2 pixels: (b, 16, 16, 48)
            to_windows,  # (b, 8, 8, 192)
            *(block(192, 128), block(192, 128), nn.LayerNorm(192)),
            nn.Linear(192, 96),  # patches of 4 x 4 pixels: (b, 8, 8, 96)
            to_windows,  # (b, 4, 4, 384)
            *(block(384, 192), block(384, 192), nn.LayerNorm(384)),
            nn.Linear(384, 192),  # patches of 8 x 8 pixels: (b, 4, 4, 192)
            to_windows,  # (b, 2, 2, 768)
            *(block(768, 256), block(768, 256), nn.LayerNorm(768)),
        )
        self.classifier = nn.Linear(768, 10)  # of the mean over the windows
        self.apply(ASSIGNMENT.init_weights)
        for layer in self.layers:
            if isinstance(layer, FURTHER.MixerBlock):  # starts by passing on its input
                nn.init.zeros_(layer.mlp1[2].weight)
                nn.init.zeros_(layer.mlp2[2].weight)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (b, 28, 28) to logits (b, 10)."""
        answer = super().forward(images)  # of one view in training, else the mean of two
        if self.training:
            return answer
        moved = [images.roll(shift, (1, 2)) for shift in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        return (answer + sum(map(super().forward, moved)) / 4) / 2


def mixer_without(*names: str) -> Variant:
    """The mixer without some of its ingredients; without stages it has the assignment's sizes."""
    sizes = SIZES if "stages" in names else FURTHER.mixer_sizes
    return Variant(make_mixer, sizes | FURTHER.mixer_rates, names)


CODE = make_assignment, make_mixer, make_largest, with_muon, Largest
SOURCES = {part: inspect.getsource(part) for part in CODE}
RATES = {"learning_rate": 0.015, "muon_learning_rate": 0.02}  # for four times as many steps
ORDER = [*INGREDIENTS]
LADDER = {
    "assignment": Variant(make_assignment, SIZES | {"first_weights": "orthogonal"}, averaged=True),
    **{name: mixer_without(*ORDER[count:]) for count, name in enumerate(ORDER, start=1)},
    "largest": Variant(make_largest, RATES, batch_size=128),
}
# The mixer without one of its ingredients; without stages, nothing is left of their blocks.
ABLATION = {name: mixer_without(name) for name in ORDER} | {"stages": LADDER["mirror"]}
# Soon at the write-up's accuracy, as held-out images say.
FAST = replace(LADDER["muon"], batch_size=256, num_epochs=1)
