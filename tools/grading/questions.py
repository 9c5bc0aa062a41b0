"""The ten questions of the Fashion-MNIST assignment: a point each, and all about it in one place.

Functions named `ask_...`, and the helpers of a question, run in the submission's kernel, where only
NumPy and torch are at hand; `judge_...` judges elsewhere what came back. A question that builds on
another's answer is also asked with stand-ins for the parts that the other one is about, and these
count where that one is wrong: no slip costs twice.
"""

import math
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

from tools.grading.rubric import (
    Arrays,
    Earned,
    Judging,
    Question,
    Reply,
    Wrong,
    difference_between,
)
from utils.data import REAL, BatchLoader, load_fashion_mnist
from utils.definitions import NOTEBOOKS

import numpy as np
import torch
from torch import nn

NOTEBOOK = NOTEBOOKS / "fashion_mnist.ipynb"
BATCH = 512
GOAL = 0.8  # of the test images
LEARNED = 0.5  # a network below has no final accuracy
NEAR = 5e-4  # of the test images may be decided otherwise by another processor


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
    import torch

    answer = {name: lambda name=name: names[name] for name in ("train_counts", "test_counts")}
    weights = torch.tensor(weights)
    for loader in ("train_data", "test_data"):
        shown, marks, ends = [], [], []
        for images, labels in names[loader]:
            pixels = images.detach().cpu().flatten(1).double()
            shown.append(labels.cpu())
            marks.append(pixels @ weights)
            ends += pixels.aminmax()
        answer[f"{loader}: sizes"] = [len(labels) for labels in shown]
        answer[f"{loader}: labels"] = torch.cat(shown)
        answer[f"{loader}: range"] = [min(ends), max(ends)]
        answer[f"{loader}: marks"] = torch.cat(marks)
    return answer


def judge_loaders(reply: Reply, judging: Judging) -> None:
    for name, data in zip(("train", "test"), load_data(), strict=True):
        _judge_loader(reply, f"{name}_data", data)
    for name, data in zip(("train", "test"), load_data(), strict=True):
        counts = np.unique(data.labels.numpy(), return_counts=True)[1]
        given = reply[f"{name}_counts"]
        if difference := difference_between(given.ravel(), counts):
            hint = "Count the labels of all images of the set, class by class, from class 0 on."
            if given.size and abs(given.sum() - 1) < 1e-6:
                hint = "These are shares; what is asked for is how many images there are."
            elif given.sum() <= BATCH:
                hint = "This is one batch; count in the whole set."
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
    return {
        "images": random.standard_normal((5, 28, 28), dtype=np.float32),
        "sizes": np.array([14]),
    }


def draw_all_sizes(random: np.random.Generator) -> Arrays:
    images = random.standard_normal((3, 28, 28), dtype=np.float32)
    return {"images": images, "sizes": np.array([1, 2, 4, 7, 28])}


def ask_patches(names: dict[str, Any], images: np.ndarray, sizes: np.ndarray) -> dict[str, Any]:
    import torch

    def cut(size: int) -> object:
        return names["patchify"](torch.tensor(images), size)

    return {f"patchify(images, {size})": lambda size=size: cut(size) for size in sizes.tolist()}


def judge_patches(reply: Reply, judging: Judging) -> None:
    size, name = 14, "patchify(images, 14)"
    if not (differences := reply.differences(name)):
        return
    given, expected = reply[name], reply.expected()[name]
    images, side = reply.inputs["images"], 28 // size
    columns = expected.reshape(-1, side, side, size**2).swapaxes(1, 2)
    turned = expected.reshape(*expected.shape[:2], size, size).swapaxes(2, 3)
    both = turned.reshape(-1, side, side, size**2).swapaxes(1, 2)
    hints = {
        "The patches go down the columns: number them row by row.": columns,
        "The pixels within a patch go down its columns: read them row by row.": turned,
        "Patches and pixels both go down the columns: read both row by row.": both,
        "A reshape alone cuts rows into pieces; a patch holds pixels of several rows.": images,
    }
    for hint, slip in hints.items():
        if given.shape == expected.shape and np.allclose(given, slip.reshape(expected.shape)):
            raise Wrong(differences[0], hint)
    raise Wrong(differences[0], "The shape is (b, num_patches, patch_size**2), in reading order.")


def judge_sizes(reply: Reply, judging: Judging) -> None:
    """Every size; where the order is wrong in the question above, here only what a patch holds."""
    expected = reply.expected()
    for name, patches in expected.items():
        given = reply[name]
        if PATCHES in judging.wrong and given.shape == patches.shape:
            given, patches = _unordered(given), _unordered(patches)
        if difference := difference_between(given, patches):
            hint = "Compute with the argument `patch_size`, not with a number or the notebook's."
            raise Wrong(f"{name}: {difference}", hint)


def _unordered(patches: np.ndarray) -> np.ndarray:
    """The patches of each image with their pixels in order of size, and themselves, too."""
    return np.sort(np.sort(patches, axis=2), axis=1)


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


def fill(module: "torch.nn.Module", names: np.ndarray, **given: np.ndarray) -> "torch.nn.Module":
    """Give every parameter numbers that depend on its name alone, or those in `given`."""
    import zlib

    import torch

    own = dict(module.named_parameters())
    if missing := [name for name in names.tolist() if name not in own]:
        raise AttributeError(
            f"there is no parameter `{missing[0]}` but {', '.join(own)}: "
            "the layers keep the names that the given __init__ has"
        )
    for name, parameter in own.items():
        random = np.random.default_rng(zlib.crc32(name.encode()))
        width = parameter.shape[-1] if parameter.ndim > 1 else 9
        numbers = given.get(name, random.standard_normal(parameter.shape) / width**0.5)
        with torch.no_grad():
            parameter.copy_(torch.tensor(numbers))
    return module.eval()


class Watched:
    """Keeps what layers are given; in their place, or as a hook that changes nothing."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    def note(self, layer: "torch.nn.Module", name: str) -> None:
        def hook(layer, inputs):  # noqa: ANN001, ANN202
            self.given.setdefault(name, inputs[0].detach().clone())

        layer.register_forward_pre_hook(hook)

    def instead(self, name: str, output: "torch.Tensor") -> "torch.nn.Module":
        import torch

        class Stub(torch.nn.Module):
            def forward(stub, X):  # noqa: ANN001, ANN202, N805
                self.given.setdefault(name, X.detach().clone())
                return output.to(X)

        return Stub()


MLPS = np.array([f"mlp{n}.{layer}.{kind}" for n, layer, kind in product(
    (1, 2), (0, 2), ("weight", "bias"))])  # fmt: skip


def draw_block(random: np.random.Generator) -> Arrays:
    """Images, patches, features and hidden widths, no two alike."""
    b, patches, dim, token, channel = random.permutation(np.arange(3, 12))[:5]
    X = random.standard_normal((b, patches, dim), dtype=np.float32)
    O1 = random.standard_normal((b, dim, patches), dtype=np.float32)
    return {"X": X, "O1": O1, "hidden": np.array([token, channel]), "parameters": MLPS}


def draw_mixing(random: np.random.Generator) -> Arrays:
    inputs = draw_block(random)
    del inputs["O1"]
    return inputs | {"hidden": np.array([inputs["hidden"][0], 2 * inputs["X"].shape[2]])}


def ask_mixing(
    names: dict[str, Any], X: np.ndarray, hidden: np.ndarray, parameters: np.ndarray
) -> dict[str, Any]:
    """What a block makes whose second MLP changes nothing: ReLU(x) - ReLU(-x) is x."""
    import torch

    (_, patches, dim), same, watched = X.shape, np.eye(X.shape[2]), Watched()
    block = names["Block"](patches, dim, *hidden.tolist())
    given = {"mlp2.0.weight": np.concatenate([same, -same]), "mlp2.0.bias": np.zeros(2 * dim)}
    given |= {"mlp2.2.weight": np.hstack([same, -same]), "mlp2.2.bias": np.zeros(dim)}
    fill(block, parameters, **given)
    watched.note(block.mlp1, "mlp1")
    watched.note(block.mlp2, "mlp2")
    return {
        "O1": lambda: block(torch.tensor(X).to(block.mlp1[0].weight)),
        "given to mlp1": lambda: watched.given["mlp1"],
        "given to mlp2": lambda: watched.given["mlp2"],
    }


def judge_mixing(reply: Reply, judging: Judging) -> None:
    """The numbers of O1, in any order: how they go on is the next question's matter."""
    X, expected = reply.inputs["X"], np.sort(reply.expected()["O1"], None)
    given = [reply.answer.get(name, np.zeros(0)) for name in ("given to mlp2", "O1")]
    differences = [difference_between(np.sort(array, None), expected, 1e-3) for array in given]
    if "" in differences:
        return
    found = f"O1 of X {X.shape}, in order of size: {differences[1]}"
    if "O1" not in reply.answer:
        found = reply.errors.get("O1") or reply.errors.get("", "")
    if "defines no" in found:
        raise Wrong(found)
    hint = "mlp(width, hidden) is Linear, ReLU, Linear back to `width`, each with its bias."
    seen = reply.answer.get("given to mlp1")
    if seen is not None and not _same(seen, X.swapaxes(1, 2)):
        hint = "The first MLP mixes between patches: give it X transposed, (b, dim, num_patches)."
        if _same(np.sort(seen, None), np.sort(X, None)) and seen.ndim == 3:
            hint += " A reshape or view has that shape, but it does not transpose."
    raise Wrong(found, hint)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return not difference_between(a, b, 1e-3)


def ask_block(
    names: dict[str, Any], X: np.ndarray, O1: np.ndarray, hidden: np.ndarray, parameters: np.ndarray
) -> dict[str, Any]:
    """A block; and one whose first MLP gives O1 whatever it gets, and whose second is linear."""
    import torch

    def run(block: "torch.nn.Module") -> object:
        return block(torch.tensor(X).to(block.mlp2[0].weight))

    _, patches, dim = X.shape
    block, rest = (names["Block"](patches, dim, *hidden.tolist()) for _ in range(2))
    fill(rest, np.array([]))
    watched = Watched()
    linear = torch.nn.Linear(dim, dim).to(rest.mlp2[0].weight)
    rest.mlp1 = watched.instead("mlp1", torch.tensor(O1))
    rest.mlp2 = torch.nn.Sequential(fill(linear, np.array([])))
    watched.note(rest.mlp2, "mlp2")
    return {
        "block": lambda: run(fill(block, parameters)),
        "rest": lambda: run(rest),
        "given to mlp2": lambda: watched.given["mlp2"],
    }


def judge_block(reply: Reply, judging: Judging) -> None:
    whole = reply.differences("block", tolerance=1e-3)
    rest = reply.differences("rest", tolerance=1e-3)
    if not whole or (MIXING in judging.wrong and not rest):
        return
    expected = reply.expected()["block"]
    given, O1 = reply.answer.get("given to mlp2"), reply.inputs["O1"]
    hint = "O2 is all that comes back: what the second MLP makes of O1, (b, num_patches, dim)."
    if given is not None and not _same(given, O1.swapaxes(1, 2)):
        hint = "The second MLP mixes within a patch: give it O1 transposed, (b, num_patches, dim)."
        if given.ndim == 3 and _same(np.sort(given, None), np.sort(O1, None)):
            hint += " Here O1 is " + ("not transposed." if _same(given, O1) else "reshaped only.")
    back = reply.answer.get("block", expected).shape == expected.swapaxes(1, 2).shape
    if "block" in reply.answer and back and expected.shape[1] != expected.shape[2]:
        hint = "What comes back is transposed: a block returns (b, num_patches, dim), as it got."
    raise Wrong(whole[0], hint)


MIXING = Question(
    3,
    "First MLP mixes between patches",
    "`Block(num_patches, dim, token_hidden, channel_hidden)` has the layers that the given "
    "`__init__` makes, under their names; its first MLP, made by `mlp(width, hidden)`, computes "
    "O1 from X transposed.",
    ask_mixing,
    draw_mixing,
    judge_mixing,
    (fill, Watched),
)
BLOCK = Question(
    3,
    "Block",
    "The second MLP gets O1 transposed back, and its output O2 `(b, num_patches, dim)` is the "
    "block's.",
    ask_block,
    draw_block,
    judge_block,
    (fill, Watched),
)


def layers_of(depth: int) -> np.ndarray:
    """The names of a network's parameters, which the given `__init__` fixes."""
    names = [f"{layer}.{kind}" for layer in ("stem", "classifier") for kind in ("weight", "bias")]
    return np.array([*names, *(f"blocks.{n}.{name}" for n in range(depth) for name in MLPS)])


def draw_network(random: np.random.Generator) -> Arrays:
    """Images put together from patches of 7 pixels, and features for the end of the network."""
    b, dim, token, channel, classes = random.permutation(np.arange(5, 15))[:5]
    patches = random.standard_normal((b, 16, 49), dtype=np.float32)
    images = np.zeros((b, 28, 28), np.float32)
    for place in range(16):
        top, left = place // 4 * 7, place % 4 * 7
        images[:, top : top + 7, left : left + 7] = patches[:, place].reshape(b, 7, 7)
    return {
        "images": images,
        "patches": patches,
        "features": random.standard_normal((b, 16, dim), dtype=np.float32),
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
    """A network; one that is given its patches, and one that is given what its blocks make, too."""
    import torch

    def run(network: "torch.nn.Module") -> object:
        return network(torch.tensor(images).to(network.stem.weight))

    def run_given(network: "torch.nn.Module") -> object:
        own = names["patchify"]
        scopes = [names.user, getattr(network.forward, "__globals__", {})]
        scopes = [scope for scope in scopes if scope.get("patchify") is own]
        for scope in scopes:
            scope["patchify"] = lambda images, patch_size: torch.tensor(patches).to(images)
        try:
            return run(network)
        finally:
            for scope in scopes:
                scope["patchify"] = own

    network, rest = (names["PatchMLP"](*sizes.tolist()) for _ in range(2))
    watched = Watched()
    fill(rest, np.array([name for name in parameters.tolist() if not name.startswith("blocks")]))
    stubs = [watched.instead("blocks", torch.tensor(features)) for _ in rest.blocks]
    rest.blocks = torch.nn.Sequential(*stubs)
    return {
        "logits": lambda: run(fill(network, parameters)),
        "logits of given patches": lambda: run_given(fill(network, parameters)),
        "logits of given features": lambda: run_given(rest),
        "X": lambda: watched.given["blocks"],
    }


def judge_network(reply: Reply, judging: Judging) -> None:
    whole = reply.differences("logits", tolerance=1e-3)
    given = "logits of given patches" if judging.wrong & {PATCHES, SIZES} else "logits"
    given = "logits of given features" if judging.wrong & {MIXING, BLOCK} else given
    if not whole or not reply.differences(given, "X", tolerance=1e-3):
        return
    logits = reply.answer.get("logits of given features", np.zeros(0))
    expected = reply.expected()["logits of given features"]
    hint = "Patches, stem, blocks, the mean over the patches (dim=1), classifier, nothing else."
    if logits.shape == expected.shape:
        if np.allclose(logits.sum(axis=1), 1, atol=1e-3) and (logits >= 0).all():
            hint = "These are probabilities: leave the softmax to the loss, and return logits."
        elif np.allclose(np.exp(logits).sum(axis=1), 1, atol=1e-3):
            hint = "These are log-probabilities: leave the softmax to the loss."
        elif not reply.differences("X", tolerance=1e-3):
            hint = "Up to the blocks it is right. After them: the mean over the patches (dim=1)."
    elif "logits" in reply.errors or logits.size:
        hint = "Look at the mean: it goes over the patches (dim=1) and leaves (b, dim)."
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
    (fill, Watched),
)


# Step 4: loss and optimiser


def draw_logits(random: np.random.Generator) -> Arrays:
    sizes = [(7, 10), (12, 5), (3, 8)]
    logits = {f"logits{n}": random.normal(0, 4, size) for n, size in enumerate(sizes)}
    labels = {f"labels{n}": random.integers(0, k, b) for n, (b, k) in enumerate(sizes)}
    return {name: array.astype(np.float32) for name, array in logits.items()} | labels


def ask_loss(names: dict[str, Any], **batches: np.ndarray) -> dict[str, Any]:
    import torch

    def loss(n: int) -> object:
        logits, labels = batches[f"logits{n}"], batches[f"labels{n}"]
        return names["loss_function"](torch.tensor(logits), torch.tensor(labels))

    return {f"loss of batch {n + 1}": lambda n=n: loss(n) for n in range(len(batches) // 2)}


def judge_loss(reply: Reply, judging: Judging) -> None:
    if not (differences := reply.differences()):
        return
    hint = "The mean over the images of -log softmax(logits)[label], in nats; logits go in as is."
    for slip, loss in LOSSES.items():
        if all(
            name in reply.answer
            and _same(reply.answer[name], np.asarray(loss(*_batch(reply.inputs, n))))
            for n, name in enumerate(reply.expected())
        ):
            hint = slip
    raise Wrong(differences[0], hint)


def _batch(inputs: Arrays, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(inputs[f"logits{n}"]).double(), torch.tensor(inputs[f"labels{n}"])


def _of_label(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-log of the probability of every image's label."""
    return -logits.log_softmax(1).gather(1, labels[:, None])[:, 0]


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES: dict[str, Loss] = {
    "Softmax is taken twice: cross entropy takes logits and has the softmax in it.": (
        lambda z, y: _of_label(z.softmax(1), y).mean()
    ),
    "This is the sum over the images: divide by their number.": lambda z, y: _of_label(z, y).sum(),
    "This is one loss an image: take their mean.": _of_label,
    "The sum is divided by the number of classes: divide by the number of images, b.": (
        lambda z, y: _of_label(z, y).sum() / z.shape[1]
    ),
    "The sum is divided by `num_classes`: divide by the number of images, b.": (
        lambda z, y: _of_label(z, y).sum() / 10
    ),
    "The sum is divided by images and classes: divide by the number of images, b.": (
        lambda z, y: _of_label(z, y).mean() / z.shape[1]
    ),
    "The sign is wrong: the loss is minus the log-probability.": lambda z, y: (
        -_of_label(z, y).mean()
    ),
    "The logarithm of the sum over the classes is missing: a loss takes log-probabilities.": (
        lambda z, y: -z.gather(1, y[:, None]).mean()
    ),
    "The sum is divided by a batch of 512: divide by the number of images that there are.": (
        lambda z, y: _of_label(z, y).sum() / BATCH
    ),
    "The logarithm is of base 2: nats are of base e.": (
        lambda z, y: _of_label(z, y).mean() / math.log(2)
    ),
}
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
    return {
        "weights": random.standard_normal((3, 6), dtype=np.float32),  # and biases, at the end
        "gradients": gradients,
    }


def ask_optimizer(
    names: dict[str, Any], weights: np.ndarray, gradients: np.ndarray
) -> dict[str, Any]:
    """Where an optimiser's steps lead a linear layer with these gradients."""
    import torch

    layer, weights = torch.nn.Linear(5, 3, dtype=torch.float32), torch.tensor(weights)
    layer.weight.data, layer.bias.data = weights[:, :5].clone(), weights[:, 5].clone()
    optimizer, places = names["make_optimizer"](layer), []
    for gradient in torch.tensor(gradients):
        layer.weight.grad, layer.bias.grad = gradient[:, :5].clone(), gradient[:, 5].clone()
        optimizer.step()
        places.append(torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach())
    return {"weights and biases after each step": places}


# What else an optimiser could be: hint, name in torch.optim, settings.
OPTIMIZERS = [
    ("The learning rate is Adam's default, 0.001: set `lr`.", "Adam", {}),
    ("This is Adam with weight decay: the assignment has none.", "Adam", {"weight_decay": 0.01}),
    ("This is AdamW with its default weight decay: set it to 0.", "AdamW", {"lr": 0.01}),
    ("This is AdamW at its default rate, with weight decay.", "AdamW", {}),
    ("This is plain gradient descent (SGD): use Adam.", "SGD", {"lr": 0.01}),
    ("This is RMSprop: use Adam.", "RMSprop", {"lr": 0.01}),
    ("This is NAdam: use Adam.", "NAdam", {"lr": 0.01}),
    ("AMSGrad is on: leave it off.", "Adam", {"lr": 0.01, "amsgrad": True}),
    ("It goes up the gradient: leave `maximize` off.", "Adam", {"lr": 0.01, "maximize": True}),
]


def judge_optimizer(reply: Reply, judging: Judging) -> None:
    if not (differences := reply.differences(tolerance=2e-5)):
        return
    hint = "Adam with learning rate 0.01, no weight decay, all else as it comes."
    places = next(iter(reply.answer.values()), np.zeros((1, 0)))
    if np.array_equal(places[-1], reply.inputs["weights"]):
        hint = "Nothing moved: does the optimiser have the parameters of the model that it gets?"
    for slip, kind, settings in OPTIMIZERS:
        weight = nn.Parameter(torch.tensor(reply.inputs["weights"]))
        optimizer = getattr(torch.optim, kind)([weight], **{"lr": 0.001, **settings})
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


def ask_trained(names: dict[str, Any]) -> dict[str, Any]:
    """The parameters of `average` and `model`; for the check, the shares that they have right."""
    from utils.data import load_fashion_mnist

    import torch

    test_data, answer = load_fashion_mnist(512)[1], {}

    def share(network: "torch.nn.Module", data: "BatchLoader") -> object:
        like, right = next(network.eval().parameters()), []
        with torch.inference_mode():
            for images, labels in data:
                right.append(network(images.to(like)).argmax(dim=1).cpu() == labels.cpu())
        return torch.cat(right).double().mean()

    def unwrapped(network: object) -> object:
        """The network without what averages, spreads or compiles it."""
        inner = getattr(network, "module", getattr(network, "_orig_mod", None))
        return network if inner is None else unwrapped(inner)

    for name in ("average", "model"):
        network = unwrapped(names.get(name))
        if isinstance(network, torch.nn.Module):
            for key, parameter in network.named_parameters():
                answer[f"{name}: {key}"] = parameter
            answer[f"{name}: share"] = lambda network=network: share(network, test_data)
            own = lambda network=network: share(network, names["test_data"])  # noqa: E731
            answer[f"{name}: share of its own"] = own
    # Where patchify puts pixels: the network has learned them in that order.
    pixels = torch.arange(784.0).reshape(1, 28, 28)
    size = getattr(unwrapped(names.get("model")), "patch_size", 14)
    answer["order"] = lambda: names["patchify"](pixels, size)
    # And between which numbers its loader puts black and white.
    own = lambda: torch.cat([images.flatten() for images, _ in names["test_data"]])  # noqa: E731
    answer["range"] = lambda: torch.stack([*own().aminmax()])
    return answer | {"loop": lambda: try_loop(names)}


def try_loop(names: dict[str, Any]) -> list[float]:
    """What `train` does with a layer that never moves, for the hint alone.

    Returns:
        How many of 6 batches ended in a step; how often the average was updated; the norms of the
        gradients at the second step, and how far they are from the batch's own and from the sum of
        the first two.
    """
    from utils.data import BatchLoader
    from utils.training import History

    import torch

    images = torch.arange(24 * 784).reshape(24, 28, 28).mul(7919).remainder(251).byte()
    data = BatchLoader(images, torch.arange(24) % 10, 8, mean=0.5, std=0.3)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    weight, seen, updates = model[1].weight, [], []

    class Average(torch.nn.Module):
        module = property(lambda self: model)

        def forward(self, images):  # noqa: ANN001, ANN202
            return model(images)

        def update_parameters(self, model):  # noqa: ANN001, ANN202
            updates.append(1)

    class Still(torch.optim.SGD):
        def step(self, closure=None):  # noqa: ANN001, ANN202
            seen.append(torch.zeros_like(weight) if weight.grad is None else weight.grad.clone())
            if len(seen) > 60:
                raise RuntimeError("more steps than there are batches")

    def gradient(batch):  # noqa: ANN001, ANN202
        loss = names["loss_function"](model(batch[0]), batch[1])
        return torch.autograd.grad(loss, weight)[0]

    given = data, data, names["loss_function"], Still(model.parameters(), lr=0.01), History(2, data)
    names["train"](model, Average(), *given)
    first, second = (gradient(batch) for batch in list(data)[:2])
    at_second = [*seen, first * 0, first * 0][1]
    far = (at_second - second).norm(), (at_second - first - second).norm()
    return [len(seen), len(updates), at_second.norm(), *far]


def _hint_of_loop(reply: Reply) -> str:
    loop = reply.answer.get("loop")
    if loop is None or loop.shape != (5,):
        return f"`train` could not be tried: {reply.errors['loop']}." if reply.errors else ""
    steps, updates, size, far, far_from_sum = loop
    if steps < 6:
        return "`train` takes fewer steps than there are batches: call optimizer.step() for each."
    if size < 1e-9:
        return "There is no gradient at a step: clear the old one, then backward, then step."
    if far > 1e-3 and far_from_sum < 1e-3:
        return "Gradients add up: clear them with optimizer.zero_grad() before every backward()."
    if updates < 6:
        return "`average` stays behind: it has to be updated with `model` after every step."
    return ""


@cache
def shares_of(reply: Reply) -> dict[str, float | Wrong]:
    """Of `average` and `model`, the share of test images right, or what hinders counting it.

    With the model answer at hand the parameters count, put into its network; else what the
    notebook itself counts, with parameters of these names, on right or on its own test images.
    """
    shares: dict[str, float | Wrong] = {}
    for name in ("average", "model"):
        prefix = f"{name}: "
        parts = {k.removeprefix(prefix): v for k, v in reply.answer.items() if k.startswith(prefix)}
        if parts or f"{prefix}share" in reply.errors:
            try:
                shares[name] = _share(reply, name, parts)
            except Wrong as error:
                shares[name] = error
    return shares


def _share(reply: Reply, name: str, parameters: Arrays) -> float:
    if reply.model is not None:
        return count_right(rebuilt(parameters, reply.model), reply, load_data()[1])
    expect_names(parameters)
    own = reply.answer.get(f"{name}: share of its own", np.zeros(()))
    return max(reply[f"{name}: share"].item(), own.item())


def expect_names(parameters: Arrays) -> None:
    missing = [name for name in layers_of(1) if name not in parameters and "weight" in name]
    if missing:
        raise Wrong(f"has no parameter `{missing[0]}`", "Keep the names that __init__ gives.")


def rebuilt(parameters: Arrays, model: dict[str, Any]) -> nn.Module:
    """The model answer's network with a submission's parameters, its sizes taken from them."""
    expect_names(parameters)
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


def judge_trained(reply: Reply, judging: Judging) -> Earned:
    shares = shares_of(reply)
    counted = {name: share for name, share in shares.items() if isinstance(share, float)}
    if not counted:
        for name, error in shares.items():
            raise Wrong(f"`{name}` {error.found}", error.hint)
        raise Wrong(reply.errors.get("", "there is no network called `average` or `model`"))
    best = max(counted, key=counted.get)
    share = counted[best]
    if not share >= GOAL:
        found = f"`{best}` has {share:.2%} of the test images right, expected at least {GOAL:.0%}"
        hints = [_hint_of_loop(reply)]
        wrong_parts = [question.name for question in (MIXING, BLOCK, NETWORK, LOSS, OPTIMIZER)
                       if question in judging.wrong]  # fmt: skip
        if wrong_parts:
            hints.append(f"It was trained with what is wrong in: {', '.join(wrong_parts)}.")
        otherwise = "Run the cells from the top, and look at the loss as it trains."
        raise Wrong(found, " ".join(filter(None, hints)) or otherwise)
    train_data, test_data = load_data()
    name = "accuracy" if test_data.source == REAL else f"accuracy on the {test_data.source}"
    return Earned(((name, share),), _look(reply, best, share, train_data))


def _look(reply: Reply, best: str, share: float, train_data: BatchLoader) -> str:
    """What a human should look at: a test accuracy above the training accuracy by no chance."""
    if reply.model is None:
        return ""
    parameters = {k.partition(": ")[2]: v for k, v in reply.answer.items() if k.startswith(best)}
    on_train = count_right(rebuilt(parameters, reply.model), reply, train_data)
    # Of two counts of 10,000 images each, equally likely to be right.
    if share - on_train <= 3.3 * math.sqrt(2 * share * (1 - share) / 10_000):
        return ""
    return (
        f"test accuracy {share:.2%} above training accuracy {on_train:.2%}: more than chance; did "
        "it learn from test images?"
    )


def ask_accuracy(names: dict[str, Any]) -> dict[str, Any]:
    return {"accuracy": names["accuracy"]}


def judge_accuracy(reply: Reply, judging: Judging) -> None:
    claimed = reply["accuracy"]
    if claimed.size != 1:
        raise Wrong("`accuracy` is not one number")
    claimed = claimed.item() / 100 if claimed.item() > 1 else claimed.item()
    shares = shares_of(judging.replies[TRAINED])
    learned = {n: s for n, s in shares.items() if isinstance(s, float) and s > LEARNED}
    if not learned:
        raise Wrong("neither `average` nor `model` is a network that has learned")
    nearest = min(learned, key=lambda name: abs(claimed - learned[name]))
    if abs(claimed - learned[nearest]) <= NEAR:
        return
    hint = "Count over all the test images; `correct` has one entry for each."
    average = shares.get("average")
    if isinstance(average, float) and average <= LEARNED and abs(claimed - average) <= NEAR:
        hint = "`average` has not learned: does `train` update it after every step?"
    found = f"`accuracy` is {claimed:.2%}, `{nearest}` has {learned[nearest]:.2%} right"
    raise Wrong(found, hint)


TRAINED = Question(
    5,
    "Trained network",
    "`average` or `model` is the network of step 3, trained: with its parameters, a right network "
    f"gets at least {GOAL:.0%} of the test images right.",
    ask_trained,
    judge=judge_trained,
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
