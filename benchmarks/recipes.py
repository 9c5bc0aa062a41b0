"""Every model that is measured: the notebooks' two, the steps between them, and variants.

The notebooks are the only source of models and optimisers. A recipe says which of its parts are
put together, at which sizes and rates, so that one ingredient at a time can be changed.
"""

from dataclasses import dataclass, fields, replace

from utils.data import BatchLoader
from utils.definitions import load_definitions

from measure import average_of
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

ASSIGNMENT = load_definitions("fashion_mnist.ipynb")
FURTHER = load_definitions("further.ipynb")


@dataclass(frozen=True)
class Recipe:
    """What one model is made of, and how it is trained.

    Attributes:
        patch_size, dim, token_hidden, channel_hidden, depth: the sizes of the assignment's network.
        dims, hidden: the sizes of the second notebook's, which takes its place if there are any;
            `depth` blocks each stage.
        learning_rate: of Adam, at its highest.
        muon_learning_rate: of Muon on the matrices of stems and blocks; 0 leaves them to Adam.
        schedule: let the learning rates rise and fall, instead of constant ones.
        layer_norm: normalise the input of each MLP, and of the mean.
        residual: add the input of each MLP to its output.
        zero: let each block start by passing on its input.
        shift: shift the windows of each block's second MLP.
        flip: show half of the training images mirrored.
        average_flipped: answer with the mean logits of an image and its mirror image.
        average_shifted: average that with the mean over four copies of the image, each moved by a
            pixel to one side.
        average_weights: measure the moving average (EMA) of the weights, not the last ones.
        num_epochs: passes over the training images.
        batch_size: images per step.
    """

    patch_size: int
    dim: int
    token_hidden: int
    channel_hidden: int
    depth: int
    learning_rate: float
    dims: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    muon_learning_rate: float = 0.0
    schedule: bool = False
    layer_norm: bool = False
    residual: bool = False
    zero: bool = False
    shift: bool = False
    flip: bool = False
    average_flipped: bool = False
    average_shifted: bool = False
    average_weights: bool = False
    num_epochs: int = ASSIGNMENT.num_epochs
    batch_size: int = ASSIGNMENT.batch_size

    def changed(self, name: str, value: str) -> "Recipe":
        """This recipe with one attribute set from text, for the command line.

        Raises:
            ValueError: if there is no such attribute, or the text is not a value for it.
        """
        kinds = {field.name: field.type for field in fields(self)}
        if name not in kinds:
            raise ValueError(f"{name!r} is not in a recipe; there are {', '.join(kinds)}.")
        several = kinds[name] == tuple[int, ...]
        kind = int if several else kinds[name]
        try:
            numbers = tuple(float(part) for part in value.split(","))
            values = tuple(map(kind, numbers))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{name}={value}: {value!r} is not a number.") from error
        if values != numbers or not (several or len(values) == 1):
            raise ValueError(f"{name}={value}: {value!r} is not a number it can be.")
        return replace(self, **{name: values if several else values[0]})


def _assignment() -> Recipe:
    sizes = ("patch_size", "dim", "token_hidden", "channel_hidden", "depth", "learning_rate")
    return Recipe(**{name: getattr(ASSIGNMENT, name) for name in sizes}, average_weights=True)


def _ladder() -> dict[str, Recipe]:
    """From the assignment to the largest model; each rung keeps what the one before it has."""
    rungs = {"assignment": _assignment()}

    def add(name: str, **ingredients: object) -> None:
        rungs[name] = replace(list(rungs.values())[-1], **ingredients)

    add("schedule", schedule=True, average_weights=False)
    add("layer-norm", layer_norm=True)
    add("residuals", residual=True)
    add("muon", **FURTHER.mixer_rates)
    add("flip", flip=True, average_flipped=True)
    add("stages", **FURTHER.mixer_sizes)
    add("further", shift=True)
    add("largest", **LARGEST, **SMALL_BATCHES, average_shifted=True)
    return rungs


# Four times as many steps, Muon's half as long.
SMALL_BATCHES = {"batch_size": 128, "learning_rate": 0.015, "muon_learning_rate": 0.02}
LARGEST = {"dims": (48, 96, 192), "hidden": (128, 192, 256), "depth": 2, "zero": True}
LADDER = _ladder()
# The second notebook's network without one of its ingredients, or with one that it does without.
ABLATION = {
    "no-schedule": {"schedule": False},
    "no-layer-norm": {"layer_norm": False},
    "no-residuals": {"residual": False},
    "no-muon": {"muon_learning_rate": 0.0},
    "no-flip": {"flip": False, "average_flipped": False},
    "no-stages": {"dims": (), "hidden": (), "shift": False},
    "no-shift": {"shift": False},
    "zero": {"zero": True},
}
RECIPES = LADDER | {
    name: replace(LADDER["further"], **changed) for name, changed in ABLATION.items()
}
# For the least time to an accuracy, not for the most accuracy in five epochs.
FAST = {
    ASSIGNMENT.write_up: replace(
        RECIPES["muon"],
        dim=96,
        channel_hidden=192,
        learning_rate=0.015,
        num_epochs=1,
        batch_size=256,
    ),
    0.90: replace(
        RECIPES["further"], **SMALL_BATCHES, dims=(8, 24, 48), hidden=(32, 48, 96), num_epochs=2
    ),
}
INGREDIENTS = {
    "assignment": "the network of step 3, averaged weights",
    "schedule": "in place of the average, a learning rate that rises and falls",
    "layer-norm": "LayerNorm before each MLP and the mean",
    "residuals": "residuals around each MLP",
    "muon": "Muon for the matrices of stems and blocks",
    "flip": "half of the images mirrored, answers averaged",
    "stages": "three stages of patches, MLPs on windows of 2 x 2",
    "further": "every second MLP on shifted windows",
    "largest": "wider, two blocks a stage, batches of 128, answers averaged over shifts, too",
    "no-schedule": "constant learning rates",
    "no-layer-norm": "no LayerNorm",
    "no-residuals": "no residuals",
    "no-muon": "Adam for all parameters",
    "no-flip": "no image mirrored",
    "no-stages": "one stage: the assignment's patches and sizes, mixed between and within",
    "no-shift": "no window shifted",
    "zero": "also: blocks whose MLPs' last layers start at zero",
}


class RecipeBlock(nn.Module):
    """A block of either notebook, with the ingredients of a recipe and no others."""

    def __init__(self, recipe: Recipe, block: nn.Module, dim: int) -> None:
        super().__init__()
        norm = nn.LayerNorm if recipe.layer_norm else nn.Identity
        self.norm1, self.norm2 = norm(dim), norm(dim)
        self.recipe, self.mlp1, self.mlp2 = recipe, block.mlp1, block.mlp2

    def add(self, X: Tensor, update: Tensor) -> Tensor:
        """What an MLP's input and output become: their sum, or the output alone."""
        return X + update if self.recipe.residual else update


class PatchBlock(RecipeBlock):
    """The assignment's block."""

    def forward(self, X: Tensor) -> Tensor:
        """Map features (b, num_patches, dim) to features of the same shape."""
        O1 = self.add(X, self.mlp1(self.norm1(X).transpose(1, 2)).transpose(1, 2))
        return self.add(O1, self.mlp2(self.norm2(O1)))


class WindowBlock(RecipeBlock):
    """The second notebook's block."""

    def forward(self, W: Tensor) -> Tensor:
        """Map windows (b, h, w, 4 dim) to windows of the same shape."""
        O1 = self.add(W, self.mlp1(self.norm1(W)))
        if not self.recipe.shift:
            return self.add(O1, self.mlp2(self.norm2(O1)))
        X = FURTHER.to_patches(O1)
        inner = FURTHER.to_windows(X[:, 1:-1, 1:-1])
        update = self.mlp2(self.norm2(inner))
        X[:, 1:-1, 1:-1] = FURTHER.to_patches(self.add(inner, update))
        return FURTHER.to_windows(X)


class RecipeModel(nn.Module):
    """The network of either notebook, with the ingredients of a recipe and no others."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        norm = nn.LayerNorm if recipe.layer_norm else nn.Identity
        if recipe.dims:
            sizes = recipe.dims, recipe.hidden, recipe.depth, ASSIGNMENT.num_classes
            self.network = FURTHER.StagedMLP(*sizes)
            for place, layer in enumerate(self.network.layers):
                if isinstance(layer, FURTHER.MixerBlock):
                    width = layer.mlp1[0].in_features
                    self.network.layers[place] = WindowBlock(recipe, layer, width)
                elif isinstance(layer, nn.LayerNorm):
                    self.network.layers[place] = norm(layer.normalized_shape)
        else:
            sizes = recipe.dim, recipe.token_hidden, recipe.channel_hidden, recipe.depth
            self.network = ASSIGNMENT.PatchMLP(recipe.patch_size, *sizes, ASSIGNMENT.num_classes)
            blocks = [PatchBlock(recipe, block, recipe.dim) for block in self.network.blocks]
            self.network.blocks = nn.Sequential(*blocks, norm(recipe.dim))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (b, 28, 28) to logits (b, num_classes)."""
        if self.training:
            return self.network(FURTHER.random_flip(images) if self.recipe.flip else images)
        answer = self.average_flipped(images)
        if not self.recipe.average_shifted:
            return answer
        neighbours = [images.roll(move, (1, 2)) for move in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        return (answer + sum(map(self.average_flipped, neighbours)) / 4) / 2

    def average_flipped(self, images: Tensor) -> Tensor:
        """The mean logits of images (b, 28, 28) and their mirror images, if the recipe has them."""
        if not self.recipe.average_flipped:
            return self.network(images)
        return (self.network(images) + self.network(images.flip(2))) / 2


def make_model(recipe: Recipe) -> RecipeModel:
    """The untrained network of a recipe, its weights drawn from torch's global generator."""
    model = RecipeModel(recipe).apply(ASSIGNMENT.init_weights)
    for block in model.modules():
        if isinstance(block, RecipeBlock) and recipe.zero:
            nn.init.zeros_(block.mlp1[2].weight)
            nn.init.zeros_(block.mlp2[2].weight)
    return model


def make_optimizer(recipe: Recipe, model: RecipeModel, num_steps: int) -> object:
    """The optimisers of a recipe, with the schedules of their learning rates over `num_steps`."""
    rates = recipe.learning_rate, recipe.muon_learning_rate
    if recipe.muon_learning_rate:
        optimizers = FURTHER.make_mixer_optimizers(model.network, *rates)
    else:
        optimizers = [ASSIGNMENT.make_optimizer(model, recipe.learning_rate)]
    schedules = []
    if recipe.schedule:
        schedules = [FURTHER.warm_up_and_decay(each, num_steps) for each in optimizers]
    return FURTHER.Together(*optimizers, *schedules)


def make_training(recipe: Recipe, data: BatchLoader) -> tuple[RecipeModel, AveragedModel, object]:
    """What a training on `data` begins with: a network, its average, and the optimisers.

    The loader then serves batches of the recipe's size.
    """
    data.batch_size = recipe.batch_size
    model = make_model(recipe).to(data.images.device)
    optimizer = make_optimizer(recipe, model, recipe.num_epochs * len(data))
    return model, average_of(ASSIGNMENT, model), optimizer
