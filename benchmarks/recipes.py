"""Every model that is measured: the notebook's two, the steps between them, and a larger one.

The notebook is the only source of models and optimisers. A recipe says which of its parts are
put together, at which sizes and rates, so that one ingredient at a time can be changed.
"""

from dataclasses import dataclass, fields, replace

from utils.definitions import load_definitions

from einops import rearrange
from torch import Tensor, nn

NOTEBOOK = vars(load_definitions())


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
        mirror: show half of the training images mirrored.
        move: show half of the training images moved by up to a pixel in both directions.
        average_mirrored: answer with the mean logits of an image and its mirror image.
        average_moved: average that with the mean over four copies of the image, each moved by a
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
    mirror: bool = False
    move: bool = False
    average_mirrored: bool = False
    average_moved: bool = False
    average_weights: bool = False
    num_epochs: int = NOTEBOOK["num_epochs"]
    batch_size: int = NOTEBOOK["batch_size"]

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
    return Recipe(**{name: NOTEBOOK[name] for name in sizes}, average_weights=True)


def _ladder() -> dict[str, Recipe]:
    """From the assignment to the largest model; each rung keeps what the one before it has."""
    rungs = {"assignment": _assignment()}

    def add(name: str, **ingredients: float) -> None:
        rungs[name] = replace(list(rungs.values())[-1], **ingredients)

    add("schedule", schedule=True, average_weights=False)
    add("layer-norm", layer_norm=True)
    add("residuals", residual=True)
    add("zero", zero=True)
    add("muon", **NOTEBOOK["mixer_rates"])
    add("mirror", mirror=True, average_mirrored=True)
    add("sizes", **NOTEBOOK["mixer_sizes"])
    add("further", move=True)
    add("largest", **LARGEST, average_moved=True)
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
    mirror=False,
    move=False,
    average_mirrored=False,
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
    "mirror": "half of the images mirrored, answers averaged",
    "sizes": "smaller patches, more blocks; columns and rows in turn, by segments",
    "further": "half of the images moved by up to a pixel: the network of step 8",
    "largest": "smaller patches, wider; answers averaged over a pixel's move, too",
}


ALL = "b s (h w c)"  # with segments of one feature: all patches, as in step 3


class RecipeBlock(NOTEBOOK["MixerBlock"]):
    """The notebook's mixer block, without the ingredients that the recipe leaves out."""

    def __init__(self, recipe: Recipe, mixed: str) -> None:
        side = 28 // recipe.patch_size
        sizes = recipe.dim, recipe.token_hidden, recipe.channel_hidden
        super().__init__(mixed if recipe.segment else ALL, side, max(recipe.segment, 1), *sizes)
        if not recipe.segment:
            self.mlp1 = NOTEBOOK["mlp"](side**2, recipe.token_hidden)
        if not recipe.layer_norm:
            self.norm1 = self.norm2 = nn.Identity()
        self.residual = recipe.residual

    def forward(self, X: Tensor) -> Tensor:
        """Map features (b, num_patches, dim) to features of the same shape."""
        if self.residual:
            return super().forward(X)
        L = rearrange(self.norm1(X), f"b (h w) (s c) -> {self.mixed}", **self.sizes)
        O1 = rearrange(self.mlp1(L), f"{self.mixed} -> b (h w) (s c)", **self.sizes)
        return self.mlp2(self.norm2(O1))  # (b, num_patches, dim)


class RecipeModel(NOTEBOOK["Mixer"]):
    """The notebook's mixer, without the ingredients that the recipe leaves out."""

    logits = NOTEBOOK["PatchMLP"].forward

    def __init__(self, recipe: Recipe) -> None:
        sizes = recipe.dim, max(recipe.segment, 1), recipe.token_hidden, recipe.channel_hidden
        super().__init__(recipe.patch_size, *sizes, 0, NOTEBOOK["num_classes"])
        self.recipe = recipe
        blocks = [
            RecipeBlock(recipe, NOTEBOOK["mixed"][number % 2]) for number in range(recipe.depth)
        ]
        self.blocks = nn.Sequential(*blocks, *(self.blocks if recipe.layer_norm else []))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (b, 28, 28) to logits (b, num_classes)."""
        if self.training:
            images = NOTEBOOK["mirror_half"](images) if self.recipe.mirror else images
            return self.logits(NOTEBOOK["move_half"](images) if self.recipe.move else images)
        answer = self.average_mirrored(images)
        if not self.recipe.average_moved:
            return answer
        neighbours = [images.roll(move, (1, 2)) for move in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        return (answer + sum(map(self.average_mirrored, neighbours)) / 4) / 2

    def average_mirrored(self, images: Tensor) -> Tensor:
        """The mean logits of images (b, 28, 28) and their mirror images, if the recipe has them."""
        if not self.recipe.average_mirrored:
            return self.logits(images)
        return (self.logits(images) + self.logits(images.flip(2))) / 2


def make_model(recipe: Recipe) -> nn.Module:
    """The untrained network of a recipe, its weights drawn from torch's global generator."""
    sizes = recipe.dim, recipe.token_hidden, recipe.channel_hidden, recipe.depth
    blocks = recipe.layer_norm, recipe.residual, recipe.zero, recipe.segment
    images = recipe.mirror, recipe.move, recipe.average_mirrored, recipe.average_moved
    if any((*blocks, *images)):
        model = RecipeModel(recipe)
    else:
        model = NOTEBOOK["PatchMLP"](recipe.patch_size, *sizes, NOTEBOOK["num_classes"])
    return model.apply(NOTEBOOK["init_mixer" if recipe.zero else "init_weights"])


def make_optimizer(recipe: Recipe, model: nn.Module, num_steps: int) -> object:
    """The optimisers of a recipe, with the schedules of their learning rates over `num_steps`."""
    rates = recipe.learning_rate, recipe.muon_learning_rate
    if recipe.muon_learning_rate:
        optimizers = NOTEBOOK["make_mixer_optimizers"](model, *rates)
    else:
        optimizers = [NOTEBOOK["make_optimizer"](model, recipe.learning_rate)]
    schedules = []
    if recipe.schedule:
        schedules = [NOTEBOOK["warm_up_and_decay"](each, num_steps) for each in optimizers]
    return NOTEBOOK["Together"](*optimizers, *schedules)


def make_loss(recipe: Recipe) -> nn.Module:
    """Cross entropy, with the recipe's label smoothing."""
    return nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
