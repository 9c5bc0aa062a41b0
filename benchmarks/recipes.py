"""Every model that is measured: the notebooks' two, the steps between them, and a larger one.

The notebooks are the only source of models and optimisers. A recipe says which of its parts are
put together, at which sizes and rates, so that one ingredient at a time can be changed.
"""

from dataclasses import dataclass, fields, replace

from utils.definitions import load_definitions

from torch import Tensor, nn

ASSIGNMENT = load_definitions("fashion_mnist.ipynb")
FURTHER = load_definitions("further.ipynb")


@dataclass(frozen=True)
class Recipe:
    """What one model is made of, and how it is trained.

    Attributes:
        patch_size, dim, token_hidden, channel_hidden, depth: the sizes, as in the notebook.
        learning_rate: of Adam, at its highest.
        muon_learning_rate: of Muon on the matrices of stem and blocks; 0 leaves them to Adam.
        label_smoothing: share of the label spread over all classes.
        schedule: let the learning rates rise and fall, instead of constant ones.
        layer_norm: normalise the input of each MLP, and of the mean.
        residual: add the input of each MLP to its output.
        zero: let each block start by passing on its input.
        segment: mix along columns and rows in turn, this many features of each patch at once;
            0 mixes all patches at once, each feature for itself.
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
    muon_learning_rate: float = 0.0
    label_smoothing: float = 0.0
    schedule: bool = False
    layer_norm: bool = False
    residual: bool = False
    zero: bool = False
    segment: int = 0
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
        try:
            number = float(value)
        except ValueError as error:
            raise ValueError(f"{name}={value}: {value!r} is not a number.") from error
        return replace(self, **{name: kinds[name](number)})


def _assignment() -> Recipe:
    sizes = ("patch_size", "dim", "token_hidden", "channel_hidden", "depth", "learning_rate")
    return Recipe(**{name: getattr(ASSIGNMENT, name) for name in sizes}, average_weights=True)


def _ladder() -> dict[str, Recipe]:
    """From the assignment to the largest model; each rung keeps what the one before it has."""
    rungs = {"assignment": _assignment()}

    def add(name: str, **ingredients: float) -> None:
        rungs[name] = replace(list(rungs.values())[-1], **ingredients)

    add("schedule", schedule=True, average_weights=False)
    add("layer-norm", layer_norm=True)
    add("residuals", residual=True)
    add("zero", zero=True)
    add("muon", **FURTHER.mixer_rates)
    add("flip", flip=True, average_flipped=True)
    add("further", **FURTHER.mixer_sizes)
    add("largest", **LARGEST, average_shifted=True)
    return rungs


LARGEST = {
    "patch_size": 4,
    "dim": 140,
    "segment": 20,
    "token_hidden": 140,
    "channel_hidden": 280,
}
RECIPES = _ladder()
# For the least time to the write-up's accuracy, not for the most accuracy in five epochs.
FAST = replace(
    RECIPES["further"],
    **{"patch_size": 14, "dim": 96, "token_hidden": 8, "channel_hidden": 192, "depth": 1},
    zero=False,
    segment=0,
    flip=False,
    average_flipped=False,
    num_epochs=1,
    batch_size=256,
)
INGREDIENTS = {
    "assignment": "the network of step 3, averaged weights",
    "schedule": "in place of the average, a learning rate that rises and falls",
    "layer-norm": "LayerNorm before each MLP and the mean",
    "residuals": "residuals around each MLP",
    "zero": "blocks start by passing on their input",
    "muon": "Muon for the matrices of stem and blocks",
    "flip": "half of the images mirrored, answers averaged",
    "further": "smaller patches, more blocks; columns and rows in turn, by segments",
    "largest": "smaller patches, wider; answers averaged over a pixel's shift, too",
}


class RecipeBlock(FURTHER.MixerBlock):
    """The second notebook's mixer block, without the ingredients that the recipe leaves out."""

    def __init__(self, recipe: Recipe) -> None:
        side, dim = 28 // recipe.patch_size, recipe.dim
        super().__init__(side, recipe.segment or 1, dim, recipe.token_hidden, recipe.channel_hidden)
        if not recipe.segment:
            self.mlp1 = ASSIGNMENT.mlp(side**2, recipe.token_hidden)
        if not recipe.layer_norm:
            self.norm1 = self.norm2 = nn.Identity()
        self.recipe = recipe

    def forward(self, X: Tensor) -> Tensor:
        """Map features (b, num_patches, dim) to features of the same shape."""
        if self.recipe.segment and self.recipe.residual:
            return super().forward(X)
        O1 = self.mlp1(self.norm1(X).transpose(1, 2)).transpose(1, 2)
        O1 = X + O1 if self.recipe.residual else O1
        O2 = self.mlp2(self.norm2(O1))
        return O1 + O2 if self.recipe.residual else O2


class RecipeModel(FURTHER.Mixer):
    """The second notebook's mixer, without the ingredients that the recipe leaves out."""

    logits = ASSIGNMENT.PatchMLP.forward

    def __init__(self, recipe: Recipe) -> None:
        sizes = recipe.dim, recipe.segment or 1, recipe.token_hidden, recipe.channel_hidden
        super().__init__(recipe.patch_size, *sizes, 0, ASSIGNMENT.num_classes)
        self.recipe = recipe
        blocks = [RecipeBlock(recipe) for _ in range(recipe.depth)]
        self.blocks = nn.Sequential(*blocks, *(self.blocks if recipe.layer_norm else []))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (b, 28, 28) to logits (b, num_classes)."""
        if self.training:
            return self.logits(FURTHER.random_flip(images) if self.recipe.flip else images)
        answer = self.average_flipped(images)
        if not self.recipe.average_shifted:
            return answer
        neighbours = [images.roll(move, (1, 2)) for move in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        return (answer + sum(map(self.average_flipped, neighbours)) / 4) / 2

    def average_flipped(self, images: Tensor) -> Tensor:
        """The mean logits of images (b, 28, 28) and their mirror images, if the recipe has them."""
        if not self.recipe.average_flipped:
            return self.logits(images)
        return (self.logits(images) + self.logits(images.flip(2))) / 2


def make_model(recipe: Recipe) -> nn.Module:
    """The untrained network of a recipe, its weights drawn from torch's global generator."""
    sizes = recipe.dim, recipe.token_hidden, recipe.channel_hidden, recipe.depth
    blocks = recipe.layer_norm, recipe.residual, recipe.zero, recipe.segment
    images = recipe.flip, recipe.average_flipped, recipe.average_shifted
    if any((*blocks, *images)):
        model = RecipeModel(recipe)
    else:
        model = ASSIGNMENT.PatchMLP(recipe.patch_size, *sizes, ASSIGNMENT.num_classes)
    return model.apply(FURTHER.init_mixer if recipe.zero else ASSIGNMENT.init_weights)


def make_optimizer(recipe: Recipe, model: nn.Module, num_steps: int) -> object:
    """The optimisers of a recipe, with the schedules of their learning rates over `num_steps`."""
    rates = recipe.learning_rate, recipe.muon_learning_rate
    if recipe.muon_learning_rate:
        optimizers = FURTHER.make_mixer_optimizers(model, *rates)
    else:
        optimizers = [ASSIGNMENT.make_optimizer(model, recipe.learning_rate)]
    schedules = []
    if recipe.schedule:
        schedules = [FURTHER.warm_up_and_decay(each, num_steps) for each in optimizers]
    return FURTHER.Together(*optimizers, *schedules)


def make_loss(recipe: Recipe) -> nn.Module:
    """Cross entropy, with the recipe's label smoothing."""
    return nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
