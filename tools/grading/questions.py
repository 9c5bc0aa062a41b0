"""The ten questions of the Fashion-MNIST assignment: a point each, and all about it in one place.

Functions named `ask_...`, and the helpers of a question, run in the submission's kernel, where only
what `IMPORTS` names is at hand; `judge_...` judges elsewhere what came back. A question that builds
on another's answer also asks for its own part alone, which counts where that answer is wrong: no
slip costs twice.
"""

import math
from functools import cache
from itertools import product
from typing import Any

from tools.grading.rubric import Arrays, Question, Reply, Wrong, difference_between
from utils.data import REAL, BatchLoader, load_fashion_mnist
from utils.definitions import NOTEBOOKS
from utils.plotting import percent

import numpy as np
import torch
from torch import nn

NOTEBOOK = NOTEBOOKS / "fashion_mnist.ipynb"
IMPORTS = "import numpy as np\nimport torch\nfrom torch import nn"
BATCH = 512
GOAL = 0.8  # of the test images
LEARNED = 0.5  # a network below has no final accuracy
NEAR = 5e-4  # of the test images may be decided otherwise by another processor
CLOSE = 1e-3  # of the largest number: what networks may differ by


@cache
def load_data() -> tuple[BatchLoader, BatchLoader]:
    """The judge's own images."""
    return load_fashion_mnist(BATCH)


def decisive() -> str:
    """What decides about a grade besides code and limits: which images there are."""
    return load_data()[0].source


# Step 1: loaders and counts


def draw_marks(random: np.random.Generator) -> Arrays:
    return {"weights": random.integers(1, 1000, 784).astype(float)}


def ask_loaders(names: dict[str, Any], weights: np.ndarray) -> dict[str, Any]:
    """For both loaders: the sizes of the batches, and a number for every image and its label."""
    answer = {name: lambda name=name: names[name] for name in ("train_counts", "test_counts")}
    for loader in ("train_data", "test_data"):
        shown, marks, ends = [], [], []
        for images, labels in names[loader]:
            pixels = images.detach().cpu().flatten(1).double()
            shown.append(labels.cpu())
            marks.append(pixels @ torch.tensor(weights))
            ends += pixels.aminmax()
        answer[f"{loader}: sizes"] = [len(labels) for labels in shown]
        answer[f"{loader}: labels"] = torch.cat(shown)
        answer[f"{loader}: range"] = [min(ends), max(ends)]
        answer[f"{loader}: marks"] = torch.cat(marks)
    return answer


def judge_loaders(reply: Reply) -> None:
    for name, data in zip(("train", "test"), load_data(), strict=True):
        _judge_loader(reply, f"{name}_data", data)
    for name, data in zip(("train", "test"), load_data(), strict=True):
        given, counts = reply[f"{name}_counts"].ravel(), data.labels.bincount().numpy()
        if difference := difference_between(given, counts):
            hint = "Count the labels of all images of the set, class by class, from class 0 on."
            if given.size and abs(given.sum() - 1) < 1e-6:
                hint = "These are shares; what is asked for is how many images there are."
            raise Wrong(f"`{name}_counts`, images of each class: {difference}", hint)


def _judge_loader(reply: Reply, loader: str, data: BatchLoader) -> None:
    sizes, labels = reply[f"{loader}: sizes"], reply[f"{loader}: labels"]
    if sizes.sum() != data.num_images:
        seen = f"`{loader}` shows {sizes.sum():,.0f} images in an epoch"
        raise Wrong(f"{seen}, expected {data.num_images:,}", "An epoch shows every image once.")
    if sizes.max() > BATCH:
        raise Wrong(f"`{loader}` has a batch of {sizes.max():.0f} images, more than {BATCH}")
    images = data.normalise(data.images).flatten(1)
    low, high = reply[f"{loader}: range"]
    if not np.allclose([low, high], [images.min(), images.max()], atol=0.02):
        hint = "Subtract the mean of the training pixels, divide by their standard deviation."
        if low >= 0:
            hint = "The pixels are not normalised: they are still grey levels. " + hint
        raise Wrong(f"the pixels of `{loader}` lie between {low:.2f} and {high:.2f}", hint)
    weights = torch.tensor(reply.inputs["weights"])
    own = [data.labels.numpy(), torch.cat([part.double() @ weights for part in images.split(500)])]
    order, own_order = np.lexsort([reply[f"{loader}: marks"], labels]), np.lexsort(own[::-1])
    marks = reply[f"{loader}: marks"][order] - own[1].numpy()[own_order]
    # 784 pixels whose mean and deviation may be rounded, as in 0.2860 and 0.3530.
    if (labels[order] != own[0][own_order]).any() or not np.abs(marks).max() <= 500:  # or NaN
        raise Wrong(f"an epoch of `{loader}` does not show every image once, with its label")


LOADERS = Question(
    1,
    "Loaders and counts",
    f"`train_data` and `test_data`, iterated, give batches of at most {BATCH} images and their "
    "labels; the pixels are normalised with mean and standard deviation of the training pixels, "
    "and an epoch shows every image once. `train_counts` and `test_counts` hold the number of "
    "images of each class.",
    ask_loaders,
    draw_marks,
    judge_loaders,
)


# Step 2: patches


def draw_images(random: np.random.Generator) -> Arrays:
    images = random.standard_normal((5, 28, 28), dtype=np.float32)
    return {"images": images, "sizes": np.array([14])}


def draw_all_sizes(random: np.random.Generator) -> Arrays:
    images = random.standard_normal((3, 28, 28), dtype=np.float32)
    return {"images": images, "sizes": np.array([1, 2, 4, 7, 28])}


def ask_patches(names: dict[str, Any], images: np.ndarray, sizes: np.ndarray) -> dict[str, Any]:
    def cut(size: int) -> object:
        return names["patchify"](torch.tensor(images), size)

    return {f"patchify(images, {size})": lambda size=size: cut(size) for size in sizes.tolist()}


def judge_patches(reply: Reply) -> None:
    if not (differences := reply.differences()):
        return
    [(name, expected)] = reply.expected().items()
    given, images = reply[name], reply.inputs["images"]
    columns = expected.reshape(-1, 2, 2, 14**2).swapaxes(1, 2)
    turned = expected.reshape(-1, 4, 14, 14).swapaxes(2, 3)
    hints = {
        "The patches go down the columns: number them row by row.": columns,
        "The pixels within a patch go down its columns: read them row by row.": turned,
        "Patches and pixels both go down the columns: read both row by row.": (
            turned.reshape(-1, 2, 2, 14**2).swapaxes(1, 2)
        ),
        "A reshape alone cuts rows into pieces; a patch holds pixels of several rows.": images,
    }
    for hint, slip in hints.items():
        if given.shape == expected.shape and np.allclose(given, slip.reshape(expected.shape)):
            raise Wrong(differences[0], hint)
    raise Wrong(differences[0], "The shape is (b, num_patches, patch_size**2), in reading order.")


def _without_order(patches: np.ndarray) -> np.ndarray:
    """The same for the same patches, in whatever order they and the pixels of each are."""
    return np.stack([image[np.lexsort(image.T)] for image in np.sort(patches, axis=2)])


def judge_sizes(reply: Reply) -> None:
    """Every size; where the order is wrong in the question above, here only what a patch holds."""
    for name, patches in reply.expected().items():
        given = reply[name]
        if PATCHES in reply.wrong and given.shape == patches.shape:
            given, patches = _without_order(given), _without_order(patches)
        if difference := difference_between(given, patches):
            hint = "Compute with the argument `patch_size`, not with a number or the notebook's."
            raise Wrong(f"{name}: {difference}", hint)


PATCHES = Question(
    2,
    "Patches of 14 pixels",
    "`patchify(images, patch_size)` maps images `(b, 28, 28)` to patches "
    "`(b, num_patches, patch_size**2)`, patches and pixels row by row, for patches of 14 pixels.",
    ask_patches,
    draw_images,
    judge_patches,
)
SIZES = Question(
    2,
    "Patches of every size",
    "It does so for every size that divides 28.",
    ask_patches,
    draw_all_sizes,
    judge_sizes,
)


# Step 3: blocks and network


def fill(module: "nn.Module", names: np.ndarray) -> "nn.Module":
    """Give every parameter numbers that depend on its name alone; it must have those named."""
    own = dict(module.named_parameters())
    if missing := [name for name in names.tolist() if name not in own]:
        raise AttributeError(
            f"there is no parameter `{missing[0]}` but {', '.join(own)}: "
            "the layers keep the names that the given __init__ has"
        )
    for name, parameter in own.items():
        random = np.random.default_rng(list(name.encode()))
        width = parameter.shape[-1] if parameter.ndim > 1 else 9
        parameter.data = torch.tensor(random.standard_normal(parameter.shape)).to(parameter)
        parameter.data /= width**0.5
    return module.eval()


def sizes_of(module: "nn.Module") -> list:
    return [(name, parameter.shape) for name, parameter in module.named_parameters()]


class Stub(nn.Module):
    """In a layer's place: keeps the first input under the layer's name, and gives `output`."""

    def __init__(self, given: dict[Any, Any], name: object, output: np.ndarray) -> None:
        super().__init__()
        self.given, self.name, self.output = given, name, output

    def forward(self, X):  # noqa: ANN001, ANN201
        self.given.setdefault(self.name, X.detach().clone())
        return torch.tensor(self.output).to(X)


MLPS = np.array([f"mlp{n}.{layer}.{kind}" for n, layer, kind in product(
    (1, 2), (0, 2), ("weight", "bias"))])  # fmt: skip


def draw_block(random: np.random.Generator) -> Arrays:
    """Images, patches, features and hidden widths, no two alike."""
    b, patches, dim, token, channel = random.permutation(np.arange(3, 12))[:5]
    shapes = {"X": (b, patches, dim), "O1": (b, dim, patches), "O2": (b, patches, dim)}
    drawn = {name: random.standard_normal(s, dtype=np.float32) for name, s in shapes.items()}
    return drawn | {"hidden": np.array([token, channel]), "parameters": MLPS}


def ask_block(
    names: dict[str, Any],
    X: np.ndarray,
    O1: np.ndarray,
    O2: np.ndarray,
    hidden: np.ndarray,
    parameters: np.ndarray,
) -> dict[str, Any]:
    """A block; its first MLP alone; and a block whose MLPs give O1 and O2, whatever they get."""
    block, parts = (names["Block"](*X.shape[1:], *hidden.tolist()) for _ in range(2))
    X, given = torch.tensor(X).to(next(block.parameters())), {}
    parts.mlp1, parts.mlp2 = Stub(given, "mlp1", O1), Stub(given, "mlp2", O2)
    return {
        "block(X)": lambda: fill(block, parameters)(X),
        "mlp1 of X transposed": lambda: fill(block, parameters).mlp1(X.mT),
        "what comes back of O2": lambda: parts(X),
        "given to mlp1": lambda: given["mlp1"],
        "given to mlp2": lambda: given["mlp2"],
    }


def judge_mixing(reply: Reply) -> None:
    found = reply.differences("given to mlp1", "mlp1 of X transposed", tolerance=CLOSE)
    if not found or not reply.differences("block(X)", tolerance=CLOSE):
        return
    X, seen = reply.inputs["X"], reply.answer.get("given to mlp1")
    hint = "mlp(width, hidden) is Linear, ReLU, Linear back to `width`, each with its bias."
    if seen is not None and difference_between(seen, X.swapaxes(1, 2)):
        hint = "The first MLP mixes between patches: give it X transposed, (b, dim, num_patches)."
        if seen.ndim == 3 and np.allclose(np.sort(seen, None), np.sort(X, None)):
            hint += " A reshape or view has that shape, but it does not transpose."
    raise Wrong(found[0], hint * ("defines no" not in found[0]))


def judge_block(reply: Reply) -> None:
    whole = reply.differences("block(X)", tolerance=CLOSE)
    parts = reply.differences("given to mlp2", "what comes back of O2", tolerance=CLOSE)
    if not whole or (MIXING in reply.wrong and not parts):
        return
    O1, O2, given = reply.inputs["O1"], reply.inputs["O2"], reply.answer.get("given to mlp2")
    hint = "O2 is all that comes back: what the second MLP makes of O1, (b, num_patches, dim)."
    if reply.answer.get("what comes back of O2", O2).shape == O2.swapaxes(1, 2).shape:
        hint = "What comes back is transposed: a block returns (b, num_patches, dim), as it got."
    if given is not None and difference_between(given, O1.swapaxes(1, 2)):
        hint = "The second MLP mixes within a patch: give it O1 transposed, (b, num_patches, dim)."
        if given.ndim == 3 and np.allclose(np.sort(given, None), np.sort(O1, None)):
            hint += " Here O1 is " + ("reshaped only." if given.shape != O1.shape else "as it was.")
    raise Wrong(whole[0], hint * ("defines no" not in whole[0]))


MIXING = Question(
    3,
    "First MLP mixes between patches",
    "`Block(num_patches, dim, token_hidden, channel_hidden)` has the layers that the given "
    "`__init__` makes, under their names; its first MLP, made by `mlp(width, hidden)`, computes "
    "O1 from X transposed.",
    ask_block,
    draw_block,
    judge_mixing,
    (fill, Stub),
)
BLOCK = Question(
    3,
    "Block",
    "The second MLP gets O1 transposed back, and its output O2 `(b, num_patches, dim)` is the "
    "block's.",
    ask_block,
    draw_block,
    judge_block,
    (fill, Stub),
)


def layers_of(depth: int) -> np.ndarray:
    """The names of a network's parameters, which the given `__init__` fixes."""
    names = [f"{layer}.{kind}" for layer in ("stem", "classifier") for kind in ("weight", "bias")]
    return np.array([*names, *(f"blocks.{n}.{name}" for n in range(depth) for name in MLPS)])


def draw_network(random: np.random.Generator) -> Arrays:
    """Images put together from patches of 7 pixels, and features that each of 3 blocks gives."""
    b, dim, token, channel, classes = random.permutation(np.arange(5, 15))[:5]
    patches = random.standard_normal((b, 16, 49), dtype=np.float32)
    return {
        "images": patches.reshape(b, 4, 4, 7, 7).swapaxes(2, 3).reshape(b, 28, 28),
        "patches": patches,
        "features": random.standard_normal((3, b, 16, dim), dtype=np.float32),
        "sizes": np.array([7, dim, token, channel, 3, classes]),
        "parameters": layers_of(3),
    }


def ask_network(
    names: dict[str, Any],
    images: np.ndarray,
    patches: np.ndarray,
    features: np.ndarray,
    sizes: np.ndarray,
    parameters: np.ndarray,
) -> dict[str, Any]:
    """A network; and one that is given its patches, and what each of its blocks gives."""
    # A block that is missing has cost its own questions.
    names.user.setdefault("Block", lambda *sizes: nn.Identity())
    network, parts = (names["PatchMLP"](*sizes.tolist()) for _ in range(2))
    images, given = torch.tensor(images).to(next(network.parameters())), {}
    fill(parts, np.array([name for name in parameters.tolist() if "blocks" not in name]))
    parts.blocks = nn.Sequential(*[Stub(given, n, features[n]) for n in range(len(parts.blocks))])

    def have_right_sizes() -> bool:
        right = sizes_of(names.user["Block"](patches.shape[1], *sizes.tolist()[1:4]))
        return all(sizes_of(block) == right for block in network.blocks.children())

    def run_parts() -> object:
        own = names.user.get("patchify")
        scopes = [names.user, getattr(parts.forward, "__globals__", {})]
        scopes = [scope for scope in scopes if scope.get("patchify") is own]
        for scope in scopes:
            scope["patchify"] = lambda images, patch_size: torch.tensor(patches).to(images)
        try:
            return parts(images)
        finally:
            for scope in scopes:
                scope["patchify"] = own

    answer = {
        "network(images)": lambda: fill(network, parameters)(images),
        "number of blocks": lambda: len([*network.blocks.children()]),  # the same one counts once
        "sizes of the blocks": have_right_sizes,
        "logits of given features": run_parts,
    }  # and then, what its blocks were given
    return answer | {f"given to block {n}": lambda n=n: given[n] for n in range(sizes[4])}


def judge_network(reply: Reply) -> None:
    blocks = [name for name in reply.expected() if name.startswith("given to")]
    parts = ["logits of given features", "number of blocks", "sizes of the blocks", *blocks]
    whole = reply.differences("network(images)", tolerance=CLOSE)
    builds_on_wrong = reply.wrong & {PATCHES, SIZES, MIXING, BLOCK}
    if not whole or (builds_on_wrong and not reply.differences(*parts, tolerance=CLOSE)):
        return
    hint = "Patches, stem, blocks, the mean over the patches (dim=1), classifier, nothing else."
    expected = reply.expected()["logits of given features"]
    logits = reply.answer.get("logits of given features", expected[:0])
    if logits.shape != expected.shape:
        hint = "Look at the mean: it goes over the patches (dim=1) and leaves (b, dim)."
    elif np.allclose(logits.sum(axis=1), 1, atol=CLOSE) and (logits >= 0).all():
        hint = "These are probabilities: leave the softmax to the loss, and return logits."
    elif np.allclose(np.exp(logits).sum(axis=1), 1, atol=CLOSE):
        hint = "These are log-probabilities: leave the softmax to the loss."
    elif not reply.differences(*blocks, tolerance=CLOSE):
        hint = "Up to the blocks it is right. After them: the mean over the patches (dim=1)."
    raise Wrong(whole[0], hint)


NETWORK = Question(
    3,
    "Whole network",
    "`PatchMLP(patch_size, dim, token_hidden, channel_hidden, depth, num_classes)` maps images "
    "`(b, 28, 28)` to logits `(b, num_classes)`, a number for each class: patches, stem, blocks, "
    "mean, classifier, with the layers that the given `__init__` makes, under their names.",
    ask_network,
    draw_network,
    judge_network,
    (fill, sizes_of, Stub),
)


# Step 4: loss and optimiser


def draw_logits(random: np.random.Generator) -> Arrays:
    sizes = [(7, 10), (12, 10), (3, 10)]  # the notebook's classes: a loss may count on them
    logits = {f"logits{n}": random.normal(0, 4, size) for n, size in enumerate(sizes)}
    labels = {f"labels{n}": random.integers(0, k, b) for n, (b, k) in enumerate(sizes)}
    return {name: array.astype(np.float32) for name, array in logits.items()} | labels


def ask_loss(names: dict[str, Any], **batches: np.ndarray) -> dict[str, Any]:
    def loss(n: int) -> object:
        logits, labels = batches[f"logits{n}"], batches[f"labels{n}"]
        return names["loss_function"](torch.tensor(logits), torch.tensor(labels))

    numbers = range(len(batches) // 2)
    return {f"loss_function(logits{n}, labels{n})": lambda n=n: loss(n) for n in numbers}


# Slips in a loss of logits z and labels y: p holds -log of the probability of every image's label.
LOSSES = {
    "Softmax is taken twice: cross entropy takes logits and has the softmax in it.": (
        lambda p, z, y: nn.functional.cross_entropy(z.softmax(1), y)
    ),
    "This is the sum over the images: divide by their number.": lambda p, z, y: p.sum(),
    "This is one loss an image: take their mean.": lambda p, z, y: p,
    "The sum is divided by the number of classes: divide by the number of images, b.": (
        lambda p, z, y: p.sum() / z.shape[1]
    ),
    "The sum is divided by a batch of 512: divide by the number of images that there are.": (
        lambda p, z, y: p.sum() / BATCH
    ),
    "The sign is wrong: the loss is minus the log-probability.": lambda p, z, y: -p.mean(),
    "The logarithm is of base 2: nats are of base e.": lambda p, z, y: p.mean() / math.log(2),
}


def judge_loss(reply: Reply) -> None:
    if not (differences := reply.differences()):
        return
    hint = "The mean over the images of -log softmax(logits)[label], in nats; logits go in as is."
    z, y = (torch.tensor(reply.inputs[name]) for name in ("logits1", "labels1"))
    losses = nn.functional.cross_entropy(z, y, reduction="none")
    given = reply.answer.get("loss_function(logits1, labels1)", np.zeros(0))
    for slip, loss in LOSSES.items():
        if not difference_between(given, np.asarray(loss(losses, z, y))):
            hint = slip
    raise Wrong(differences[0], hint)


LOSS = Question(
    4,
    "Loss",
    "`loss_function(logits, labels)` is the mean cross entropy, in nats.",
    ask_loss,
    draw_logits,
    judge_loss,
)


def draw_gradients(random: np.random.Generator) -> Arrays:
    """Large ones, then small ones of one sign: what AMSGrad would remember of the first."""
    gradients = random.normal(0, 2, (40, 3, 6)).astype(np.float32)
    gradients[8:] = 0.05 * np.abs(gradients[8:])
    gradients[:, :, 0] = gradients[:, 0] = 0  # what moves these is weight decay
    weights = random.standard_normal((3, 6), dtype=np.float32)  # and biases, at the end
    return {"weights": weights, "gradients": gradients}


def ask_optimizer(
    names: dict[str, Any], weights: np.ndarray, gradients: np.ndarray
) -> dict[str, Any]:
    """Where an optimiser's steps lead a linear layer with these gradients."""
    layer, weights, places = nn.Linear(5, 3, dtype=torch.float32), torch.tensor(weights), []
    layer.weight.data, layer.bias.data = weights[:, :5].clone(), weights[:, 5].clone()
    optimizer = names["make_optimizer"](layer)
    for gradient in torch.tensor(gradients):
        layer.weight.grad, layer.bias.grad = gradient[:, :5].clone(), gradient[:, 5].clone()
        optimizer.step()
        places.append(torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach())
    return {"weights and biases after each step": places}


# What else an optimiser could be: hint, name in torch.optim, settings.
OPTIMIZERS = [
    ("The learning rate is Adam's default, 0.001: set `lr`.", "Adam", {"lr": 0.001}),
    ("This has weight decay, of 0.01: the assignment has none.", "Adam", {"weight_decay": 0.01}),
    ("This is AdamW with its default weight decay: set it to 0.", "AdamW", {}),
    ("This is plain gradient descent (SGD): use Adam.", "SGD", {}),
    ("This is RMSprop: use Adam.", "RMSprop", {}),
    ("AMSGrad is on: leave it off.", "Adam", {"amsgrad": True}),
]


def judge_optimizer(reply: Reply) -> None:
    if not (differences := reply.differences(tolerance=2e-5)):
        return
    hint = "Adam with learning rate 0.01, no weight decay, all else as it comes."
    places = next(iter(reply.answer.values()), np.zeros((1, 0)))
    if np.array_equal(places[-1], reply.inputs["weights"]):
        hint = "Nothing moved: does the optimiser have the parameters of the model that it gets?"
    for slip, kind, settings in OPTIMIZERS:
        weight = nn.Parameter(torch.tensor(reply.inputs["weights"]))
        optimizer = getattr(torch.optim, kind)([weight], **{"lr": 0.01, **settings})
        for gradient in reply.inputs["gradients"]:
            weight.grad = torch.tensor(gradient)
            optimizer.step()
        if not difference_between(places[-1], weight.detach().numpy(), 1e-5):
            hint = slip
    raise Wrong(differences[0], hint)


OPTIMIZER = Question(
    4,
    "Optimiser",
    "`make_optimizer(model)` gives Adam with learning rate 0.01, no weight decay, and all else as "
    "it comes.",
    ask_optimizer,
    draw_gradients,
    judge_optimizer,
)


# Step 5: the trained network, step 6: its accuracy


def draw_trained(_: np.random.Generator) -> Arrays:
    return {"counts": np.array(0)}  # the grader counts itself; for a check tools/student.py asks


def ask_trained(names: dict[str, Any], counts: np.ndarray) -> dict[str, Any]:
    """The parameters of `average` and `model`; if asked to count, the shares they have right."""
    answer = {}

    @torch.inference_mode()
    def share(network: "nn.Module") -> object:
        like, right = next(network.eval().parameters()), []
        for images, labels in names["test_data"]:
            right.append(network(images.to(like)).argmax(dim=1).cpu() == labels.cpu())
        return torch.cat(right).double().mean()

    def unwrapped(network: object) -> object:
        """The network without what averages, spreads or compiles it."""
        inner = getattr(network, "module", getattr(network, "_orig_mod", None))
        return network if inner is None else unwrapped(inner)

    for name in ("average", "model"):
        network = unwrapped(names.get(name))
        if isinstance(network, nn.Module):
            answer |= {f"{name}: {key}": value for key, value in network.named_parameters()}
            if counts:
                answer[f"{name}: share"] = lambda network=network: share(network)
    # Where patchify puts pixels, and which numbers stand for black and white: it has learned these.
    pixels = torch.arange(784.0).reshape(1, 28, 28)
    size = getattr(unwrapped(names.get("model")), "patch_size", 14)
    answer["order"] = lambda: names["patchify"](pixels, size)
    ends = lambda: [end for images, _ in names["test_data"] for end in images.aminmax()]  # noqa: E731
    answer["range"] = lambda: torch.stack([*torch.stack(ends()).aminmax()])
    return answer | {"loop": lambda: try_loop(names)}


def try_loop(names: dict[str, Any]) -> list[float]:
    """What `train` does with a batch in 6 epochs at a rate of 0, for the hint alone.

    Returns:
        How many steps it took, how often it updated the average, and the size of the gradient at
        the first and at the second step.
    """
    from utils.data import BatchLoader
    from utils.training import History

    from torch.optim.swa_utils import AveragedModel

    images = torch.arange(10 * 784).reshape(10, 28, 28).mul(7919).remainder(251).byte()
    data = BatchLoader(images, torch.arange(10), 10, mean=0.5, std=0.3)
    model, sizes = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).float(), []
    average, optimizer = AveragedModel(model), torch.optim.SGD(model.parameters(), lr=0.0)

    def note(*_: object) -> None:
        gradient = model[1].weight.grad
        sizes.append(0.0 if gradient is None else gradient.norm().item())
        if len(sizes) > 60:
            raise RuntimeError("more steps than there are batches")

    optimizer.register_step_pre_hook(note)
    names["train"](model, average, data, data, names["loss_function"], optimizer, History(6, data))
    return [len(sizes), average.n_averaged, *[*sizes, 0.0, 0.0][:2]]


def _hint_of_loop(reply: Reply) -> str:
    loop = reply.answer.get("loop")
    if loop is None or loop.shape != (4,):
        return f"`train` could not be tried: {reply.errors['loop']}." if reply.errors else ""
    steps, updates, first, second = loop
    if steps < 6:
        return "`train` takes fewer steps than there are batches: call optimizer.step() for each."
    if second < 1e-9:
        return "There is no gradient at a step: clear the old one, then backward, then step."
    if abs(second - 2 * first) < CLOSE * first:
        return "Gradients add up: clear them with optimizer.zero_grad() before every backward()."
    if updates < 6:
        return "`average` stays behind: it has to be updated with `model` after every step."
    return ""


@cache
def shares_of(reply: Reply) -> dict[str, float]:
    """Of `average` and `model`, where it can be counted, the share of test images right.

    With the model answer at hand the parameters count, put into its network; else what the
    notebook's network with parameters of these names has right by its own count.
    """
    shares: dict[str, float] = {}
    problem = Wrong(reply.errors.get("", "there is no network called `average` or `model`"))
    for name in ("model", "average"):
        try:
            if parameters := parameters_of(reply, name):
                if reply.model is None:
                    shares[name] = reply[f"{name}: share"].item()
                else:
                    network = rebuilt(parameters, reply.model)
                    shares[name] = count_right(network, reply, load_data()[1])
        except Wrong as error:
            problem = Wrong(f"`{name}` {error.found}", error.hint)
    if not shares:
        raise problem
    return shares


def parameters_of(reply: Reply, name: str) -> Arrays:
    """The parameters of a network that came back; none if it is none."""
    prefix = f"{name}: "
    arrays = {k.removeprefix(prefix): v for k, v in reply.answer.items() if k.startswith(prefix)}
    arrays.pop("share", None)
    missing = [name for name in layers_of(1) if name not in arrays and "weight" in name]
    if arrays and missing:
        raise Wrong(f"has no parameter `{missing[0]}`", "Keep the names that __init__ gives.")
    return arrays


def rebuilt(parameters: Arrays, model: dict[str, Any]) -> nn.Module:
    """The model answer's network with a submission's parameters, its sizes taken from them."""
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    depth = sum(name.endswith(".mlp1.0.weight") for name in shapes)
    try:
        (dim, pixels), classes = shapes["stem.weight"], shapes["classifier.weight"][0]
        token, channel = (shapes[f"blocks.0.mlp{n}.0.weight"][0] for n in (1, 2))
        network = model["PatchMLP"](math.isqrt(pixels), dim, token, channel, depth, classes)
        own = {  # without a bias is the same as with a bias of zeros
            name: torch.zeros_like(tensor)
            if "bias" in name and name not in parameters
            else torch.tensor(parameters[name])
            for name, tensor in network.state_dict().items()
        }
        network.load_state_dict(own)
    except (ValueError, RuntimeError, KeyError, IndexError, ZeroDivisionError):
        shown = shapes["stem.weight"], shapes["classifier.weight"]
        raise Wrong(f"has parameters of other shapes: stem and classifier {shown}") from None
    return network.eval()


@torch.inference_mode()
def count_right(network: nn.Module, reply: Reply, data: BatchLoader) -> float:
    """The share right of the first 10,000 images, as right loaders and patches show them, or as the
    notebook's own do: a network has learned from these, and steps 1 and 2 judge them already.
    """
    images = data.normalise(data.images[:10_000]).flatten(1)
    shown, black, white = [images], images.min(), images.max()
    low, high = reply.answer.get("range", np.array([black, white])).ravel()[:2]
    if max(abs(low - black), abs(high - white)) > 1e-3:
        shown.append((images - black) / (white - black) * (high - low) + low)
    order = reply.answer.get("order", np.zeros(0)).ravel()
    if np.array_equal(np.sort(order), np.arange(784)):
        pixels = torch.arange(784.0).reshape(1, 28, 28)
        right = reply.model["patchify"](pixels, network.patch_size).long().ravel()
        order = torch.tensor(order).long()[right.argsort()]
        shown += [one[:, order] for one in shown if not torch.equal(order, torch.arange(784))]
    shares = []
    for one in shown:
        parts = one.float().view(-1, 28, 28).split(500)
        predictions = torch.cat([network(part).argmax(dim=1) for part in parts])
        shares.append((predictions == data.labels[:10_000]).double().mean().item())
    return max(shares)


def judge_trained(reply: Reply) -> dict[str, float]:
    shares = shares_of(reply)
    best = max(shares, key=shares.get)
    if not shares[best] >= GOAL:
        found = f"`{best}` has {percent(shares[best])} of the test images right, expected at least "
        hints = [_hint_of_loop(reply)]
        parts = (MIXING, BLOCK, NETWORK, LOSS, OPTIMIZER)
        if wrong_parts := [question.name for question in parts if question in reply.wrong]:
            hints.append(f"It was trained with what is wrong in: {', '.join(wrong_parts)}.")
        otherwise = "Run the cells from the top, and look at the loss as it trains."
        raise Wrong(f"{found}{percent(GOAL, 0)}", " ".join(filter(None, hints)) or otherwise)
    train_data, test_data = load_data()
    if reply.model:
        network = rebuilt(parameters_of(reply, best), reply.model)
        share, on_train = shares[best], count_right(network, reply, train_data)
        # Of two counts of 10,000 images each, equally likely to be right.
        if share - on_train > 3.3 * math.sqrt(2 * share * (1 - share) / 10_000):
            reply.look = (
                f"test accuracy {percent(share)} above training accuracy {percent(on_train)}: "
                "more than chance; did it learn from test images?"
            )
    name = "accuracy" if test_data.source == REAL else f"accuracy on the {test_data.source}"
    return {name: shares[best]}


def ask_accuracy(names: dict[str, Any]) -> dict[str, Any]:
    return {"accuracy": names["accuracy"]}


def judge_accuracy(reply: Reply) -> None:
    if reply["accuracy"].size != 1:
        raise Wrong("`accuracy` is not one number")
    claimed = reply["accuracy"].item()
    claimed = claimed / 100 if claimed > 1 else claimed
    shares = shares_of(reply.others[TRAINED])
    learned = {name: share for name, share in shares.items() if share > LEARNED}
    if not learned:
        raise Wrong("neither `average` nor `model` is a network that has learned")
    nearest = min(learned, key=lambda name: abs(claimed - learned[name]))
    if abs(claimed - learned[nearest]) <= NEAR:
        return
    hint = "Count over all the test images; `correct` has one entry for each."
    if "average" not in learned and abs(claimed - shares.get("average", 2)) <= NEAR:
        hint = "`average` has not learned: does `train` update it after every step?"
    found = f"`accuracy` is {percent(claimed)}, `{nearest}` has {percent(learned[nearest])} right"
    raise Wrong(found, hint)


TRAINED = Question(
    5,
    "Trained network",
    "`average` or `model` is the network of step 3, trained: with its parameters, a right network "
    f"gets at least {percent(GOAL, 0)} of the test images right.",
    ask_trained,
    draw_trained,
    judge_trained,
    helpers=(try_loop,),
)
ACCURACY = Question(
    6,
    "Accuracy",
    "`accuracy`, a number between 0 and 1, is the share of the test images that `average` has "
    "right, as the grader counts it; that of `model` counts, too.",
    ask_accuracy,
    judge=judge_accuracy,
)
QUESTIONS = [
    *(LOADERS, PATCHES, SIZES, MIXING, BLOCK, NETWORK),
    *(LOSS, OPTIMIZER, TRAINED, ACCURACY),
]
