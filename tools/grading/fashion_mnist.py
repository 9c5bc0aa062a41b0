"""What submissions of the Fashion-MNIST assignment are graded by: points, contract, questions.

Functions named `ask_...`, and the helpers of a step, run in the submission's kernel, where only
NumPy is at hand; functions named `judge_...` run here, on what came back. `STEPS`, at the end, says
which belong together.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from typing import Any

from tools.grading.networks import (
    chosen_numbers,
    filled,
    flat_shape,
    match_parameters,
    probe_network,
    squeezed,
    used_parameters,
)
from tools.grading.rubric import Arrays, Reply, Step, Verdict, difference_between
from utils.data import REAL, BatchLoader, load_fashion_mnist
from utils.definitions import NOTEBOOKS, load_definitions

import numpy as np
import torch
from torch import nn

NOTEBOOK = NOTEBOOKS / "fashion_mnist.ipynb"
PATCH_SIZES = [1, 2, 4, 7, 14, 28]
BATCH = 512
GOAL = 0.8  # of the test images
LEARNED = 0.5  # a network below has no final accuracy
NEAR = 5e-4  # of the test images may be decided otherwise by another processor


model_answer = cache(load_definitions)


@cache
def load_data() -> tuple[BatchLoader, BatchLoader]:
    """The grader's own images."""
    torch.set_num_threads(1)  # the other cores grade, too
    return load_fashion_mnist(BATCH)


# 1 Load


def draw_fingerprint(random: np.random.Generator) -> Arrays:
    train_data, _ = load_data()
    return {
        "grey": np.array([train_data.mean, train_data.std]),
        "weights": random.integers(1, 1000, 784).astype(float),
        "marks": random.integers(10**6, 10**9, 10).astype(float),
    }


def ask_load(
    names: dict[str, Any], grey: np.ndarray, weights: np.ndarray, marks: np.ndarray
) -> dict[str, Any]:
    """For both loaders: the size of every batch, and a number for every image and its label."""
    import math

    import torch

    answer = {name: names[name] for name in ("train_counts", "test_counts")}
    weights, marks = torch.tensor(weights), torch.tensor(marks)
    for loader in ("train_data", "test_data"):
        sizes, fingerprints, off = [], [], 0.0
        for images, labels in names[loader]:
            levels = 255 * (images.detach().cpu().double().flatten(1) * grey[1] + grey[0])
            off = max(off, (levels - levels.round()).abs().max().item())
            fingerprints.append(levels.round() @ weights + marks[labels.cpu()])
            sizes.append(len(images))
            off = off if 0 <= labels.min() <= labels.max() < 10 else math.inf
        answer |= {f"{loader}: sizes": sizes, f"{loader}: off": off}
        answer[f"{loader}: fingerprints"] = torch.cat(fingerprints)
    return answer


def judge_load(reply: Reply, replies: dict[str, Reply]) -> Verdict:
    weights, marks = (torch.tensor(reply.inputs[name]) for name in ("weights", "marks"))
    answer = reply.answer
    for name, data in zip(("train", "test"), load_data(), strict=True):
        sizes, loader = answer[f"{name}_data: sizes"], f"`{name}_data`"
        if sizes.sum() != data.num_images:
            seen = f"{sizes.sum():,.0f} images in an epoch"
            return Verdict(f"{loader} shows {seen}, expected {data.num_images:,}")
        if sizes.max() > BATCH:
            return Verdict(f"{loader} has a batch of {sizes.max():.0f} images, more than {BATCH}")
        if not answer[f"{name}_data: off"] < 0.25:  # of a grey level
            return Verdict(
                f"{loader}: pixels times the standard deviation of the training pixels plus their "
                "mean are no grey levels, so they are not normalised with these two; or labels are "
                "not 0 to 9"
            )
        own = data.images.double().flatten(1) @ weights + marks[data.labels]
        given = answer[f"{name}_data: fingerprints"]
        if not np.array_equal(np.sort(given), np.sort(own.numpy())):
            return Verdict(f"an epoch of {loader} does not show every image once, with its label")
        counts = data.labels.bincount(minlength=10).numpy()
        if difference := difference_between(answer[f"{name}_counts"].ravel(), counts):
            return Verdict(f"`{name}_counts`, images of each class: {difference}")
    return Verdict()


# 2 Patchify


def draw_images(random: np.random.Generator) -> Arrays:
    images = random.standard_normal((3, 28, 28), dtype=np.float32)
    return {"images": images, "patch_sizes": np.array(PATCH_SIZES)}


def ask_patchify(
    names: dict[str, Any], images: np.ndarray, patch_sizes: np.ndarray
) -> dict[str, Any]:
    import torch

    images, patchify = torch.tensor(images), names["patchify"]
    return {f"patchify(images, {size})": patchify(images, size) for size in patch_sizes.tolist()}


# 3 Backbone and classifier


NETWORK_HELPERS = (flat_shape, chosen_numbers, probe_network)


def draw_sizes(random: np.random.Generator) -> Arrays:
    def sizes(patch_size: int, depth: int) -> list[int]:
        dim, token_hidden, channel_hidden, classes = random.permutation(range(5, 14))[:4]
        return [patch_size, dim, token_hidden, channel_hidden, depth, classes]

    depth = int(random.integers(3, 6))
    rows = [sizes(14, 1), sizes(7, 2), sizes(4, depth)]
    return {"sizes": np.array(rows)} | draw_numbers(random)


def draw_numbers(random: np.random.Generator) -> Arrays:
    images = random.standard_normal((6, 28, 28), dtype=np.float32)
    return {"images": images, "numbers": random.standard_normal(10_007)}


def ask_network(
    names: dict[str, Any], sizes: np.ndarray, images: np.ndarray, numbers: np.ndarray
) -> dict[str, Any]:
    answer = {}
    for row in sizes.tolist():
        probe = probe_network(names["PatchMLP"](*row), images, numbers)
        answer |= {f"{row} {name}": value for name, value in probe.items()}
    return answer


def judge_network(reply: Reply, replies: dict[str, Reply]) -> Verdict:
    for row in reply.inputs["sizes"].tolist():
        parts = ("shapes", "tied", "each", "free")
        probe = {name: reply.answer[f"{row} {name}"] for name in parts}
        match, _ = match_network(probe, row, reply.inputs, replies.get("Patchify"))
        if isinstance(match, str):
            return Verdict(f"PatchMLP{tuple(row)}: {match}")
    return Verdict()


def match_network(
    probe: Arrays, sizes: list[int], inputs: Arrays, patchify: Reply | None
) -> tuple[list[int] | str, np.ndarray | None]:
    """Match a probed network with the model answer's of these sizes, as `match_parameters` does.

    What `patchify` does is step 2's matter: the network may read pixels in order, or as the
    submission's own `patchify` does. Which of the two it did comes second: None, or the layout.
    """
    network, problem = model_answer().PatchMLP(*sizes), ""
    for layout in (None, read_layout(sizes[0], patchify)):
        images = arrange(inputs["images"], sizes[0], layout)
        match = match_parameters(probe, network, images, inputs["numbers"])
        if isinstance(match, list):
            return match, layout
        problem = problem or match
    return problem, None


def read_layout(patch_size: int, reply: Reply | None) -> np.ndarray | None:
    """In which order the submission's `patchify` read the pixels of step 2; None if it did not."""
    if reply is None:
        return None
    images = reply.inputs["images"].reshape(-1, 784)
    patches = reply.answer[f"patchify(images, {patch_size})"]
    if patches.size != images.size:
        return None
    patches = patches.reshape(images.shape)
    layout = np.empty(784, dtype=int)  # no two of the pixels are alike
    layout[np.argsort(patches[0])] = np.argsort(images[0])
    return layout if np.allclose(images[:, layout], patches) else None


def arrange(images: np.ndarray, patch_size: int, layout: np.ndarray | None) -> np.ndarray:
    """Images whose patches, read in order, are those of `images` read in another layout."""
    if layout is None:
        return images
    pixels = torch.arange(784).reshape(1, 28, 28)
    own = model_answer().patchify(pixels, patch_size).flatten().numpy()
    arranged = np.empty_like(images).reshape(-1, 784)
    arranged[:, own] = images.reshape(-1, 784)[:, layout]
    return arranged.reshape(images.shape)


# 4 Loss and optimiser


def draw_steps(random: np.random.Generator) -> Arrays:
    gradients = random.normal(0, 2, (8, 3, 6)).astype(np.float32)
    gradients[:, :, 0] = gradients[:, 0] = 0  # what moves these is weight decay
    return {
        "logits": random.normal(0, 8, (50, 10)).astype(np.float32),
        "labels": random.integers(0, 10, 50),
        "weights": random.standard_normal((3, 6), dtype=np.float32),  # and biases, at the end
        "gradients": gradients,
    }


def ask_steps(
    names: dict[str, Any],
    logits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    gradients: np.ndarray,
) -> dict[str, Any]:
    """The loss of some logits, and where an optimiser's steps lead with these gradients."""
    import torch

    loss_function, batches = names["loss_function"], (torch.tensor(logits), torch.tensor(labels))
    losses = [loss_function(*batch) for batch in zip(*(b.split(10) for b in batches), strict=True)]
    layer, weights = torch.nn.Linear(5, 3, dtype=torch.float32), torch.tensor(weights)
    layer.weight.data, layer.bias.data = weights[:, :5].clone(), weights[:, 5].clone()
    optimizer, places = names["make_optimizer"](layer), []
    for gradient in torch.tensor(gradients):
        layer.weight.grad, layer.bias.grad = gradient[:, :5].clone(), gradient[:, 5].clone()
        optimizer.step()
        places.append(torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach())
    return {"losses": losses, "places": torch.stack(places)}


def judge_steps(reply: Reply, replies: dict[str, Reply]) -> Verdict:
    answer, own = reply.answer, reply.expected()
    if difference := difference_between(answer["losses"], own["losses"]):
        return Verdict(f"loss_function of 5 times logits (10, 10), labels (10,): {difference}")
    steps = zip(answer["places"], own["places"], strict=True)
    for step, (place, expected) in enumerate(steps, start=1):
        if difference := difference_between(place, expected, 2e-5):
            where = f"weights and biases (3, 6) after step {step}"
            return Verdict(f"the optimiser of make_optimizer: {where}: {difference}")
    return Verdict()


# 5 Train, 6 Final accuracy


def draw_test_images(random: np.random.Generator) -> Arrays:
    _, test_data = load_data()
    chosen = random.permutation(test_data.num_images)[:64]
    shown = test_data.normalise(test_data.images[torch.tensor(chosen)])
    return {"shown": shown.numpy()} | draw_numbers(random)


def ask_trained(
    names: dict[str, Any], shown: np.ndarray, images: np.ndarray, numbers: np.ndarray
) -> dict[str, Any]:
    """Every network of the notebook: its parameters, logits, and how it computes them."""
    from contextlib import suppress

    import torch

    answer, seen = {}, []
    with suppress(Exception):  # how pixels are normalised is step 1's matter
        answer["first images"] = next(iter(names["test_data"]))[0].flatten(1)[:64]
    for name in ("average", "model", *reversed(names)):
        network = names.get(name)
        if not isinstance(network, torch.nn.Module) or any(network is other for other in seen):
            continue
        seen.append(network)
        try:
            found = probe_network(network, images, numbers)
            first = next(network.parameters())
            with torch.inference_mode():
                found["logits"] = network(torch.tensor(shown).to(first))
        except Exception:
            continue  # no network for these images
        for number, parameter in enumerate(network.parameters()):
            found[f"parameter {number}"] = parameter.reshape((*flat_shape(parameter), 1, 1)[:2])
        answer |= {f"{name}: {key}": value for key, value in found.items()}
    return answer


def ask_accuracy(names: dict[str, Any]) -> dict[str, Any]:
    return {"accuracy": names["accuracy"]}


def judge_trained(reply: Reply, replies: dict[str, Reply]) -> Verdict:
    counted = count_networks(reply, replies.get("Patchify"))
    shares = [found for found in counted.values() if isinstance(found, tuple)]
    if not shares:
        problems = [f"`{name}` {problem}" for name, problem in counted.items()]
        return Verdict(problems[0] if problems else "the notebook has no trained network")
    on_test, count = max(shares, key=lambda share: share[0])
    train_data, _ = load_data()
    on_train = count(train_data)
    problem = look = ""
    # Of two counts of 10,000 images each, equally likely to be right.
    if on_test - on_train > 3.3 * math.sqrt(2 * on_test * (1 - on_test) / 10_000):
        look = f"test accuracy {on_test:.2%} above training accuracy {on_train:.2%}: "
        look += "more than chance; did it learn from test images?"
    if on_test < GOAL:
        problem = f"{on_test:.2%} of the test images are right, expected at least {GOAL:.0%}"
    name = "accuracy" if train_data.source == REAL else f"accuracy on the {train_data.source}"
    return Verdict(problem, look, ((name, on_test),))


def judge_accuracy(reply: Reply, replies: dict[str, Reply]) -> Verdict:
    claimed = reply.answer["accuracy"]
    if claimed.size != 1:
        return Verdict("`accuracy` is not one number")
    claimed = claimed.item() / 100 if claimed.item() > 1 else claimed.item()
    if "Train" not in replies:
        return Verdict("the networks of step 5 could not be asked")
    counted = count_networks(replies["Train"], replies.get("Patchify")).values()
    shares = [found[0] for found in counted if isinstance(found, tuple) and found[0] > LEARNED]
    if not shares:
        return Verdict("there is no network of step 3 that has learned")
    nearest = min(shares, key=lambda share: abs(claimed - share))
    if abs(claimed - nearest) <= NEAR:
        return Verdict()
    return Verdict(f"`accuracy` is {claimed:.2%}, the grader counts {nearest:.2%}")


Counted = tuple[float, Callable[[BatchLoader], float]]


@cache
def count_networks(reply: Reply, patchify: Reply | None) -> dict[str, Counted | str]:
    """The networks of step 5's answer: the share of test images right, and how others are counted.

    A network's parameters are put into the model answer's, which has to give its logits; if it
    does not, a sentence says what differs.
    """
    counted, answer = {}, reply.answer
    for name in [key.removesuffix(": logits") for key in answer if key.endswith(": logits")]:
        mine = {key: value for key, value in answer.items() if key.startswith(f"{name}: ")}
        found = {key.removeprefix(f"{name}: "): value for key, value in mine.items()}
        counted[name] = _count(found, reply, patchify)
    return counted


def _count(found: Arrays, reply: Reply, patchify: Reply | None) -> Counted | str:
    parameters = [found[f"parameter {number}"] for number in range(len(found["shapes"]))]
    found["shapes"] = np.array([parameter.shape for parameter in parameters])
    problem = "is not a network of step 3: its parameters have other shapes"
    for sizes in possible_sizes(found["shapes"][used_parameters(found)]):
        match, layout = match_network(found, sizes, reply.inputs, patchify)
        if isinstance(match, str):
            problem = f"is not the network of step 3: {match}"
            continue
        ordered, shown = [parameters[place] for place in match], reply.inputs["shown"]
        for network in filled(model_answer().PatchMLP(*sizes), ordered):
            logits = _logits(network, arrange(shown, sizes[0], layout))
            if not difference_between(found["logits"], logits, 1e-3):
                count = partial(_accuracy, network, sizes[0], layout, reply.answer)
                return count(load_data()[1]), count
        problem = "has other logits than its parameters give"
    return problem


def possible_sizes(shapes: np.ndarray) -> Iterator[list[int]]:
    """The sizes of `PatchMLP` whose parameters have these shapes, at least one block deep."""
    given = Counter(map(squeezed, shapes.tolist()))
    depth, rest = divmod(len(shapes) - 4, 8)
    if depth < 1 or rest:
        return
    vectors = sorted({shape[0] for shape in given if len(shape) == 1})
    for patch_size, (dim, token, channel) in product(PATCH_SIZES, product(vectors, repeat=3)):
        count = (28 // patch_size) ** 2
        mlps = [(count, token), (token,), (token, count), (count,)]
        mlps += [(dim, channel), (channel,), (channel, dim), (dim,)]
        rest = [(patch_size**2, dim), (dim,), (dim, 10), (10,)]
        if Counter(map(squeezed, [*rest, *depth * mlps])) == given:
            yield [patch_size, dim, token, channel, depth, 10]


@torch.inference_mode()
def _logits(network: nn.Module, images: np.ndarray) -> np.ndarray:
    parts = torch.as_tensor(images).float().split(500)
    return torch.cat([network(part) for part in parts]).double().numpy()


def _accuracy(
    network: nn.Module,
    patch_size: int,
    layout: np.ndarray | None,
    answer: Arrays,
    data: BatchLoader,
) -> float:
    """The fraction right of the first 10,000 images, normalised as the submission does it."""
    images = _as_served(data.normalise(data.images[:10_000]).numpy(), answer)
    logits = _logits(network, arrange(images, patch_size, layout))
    return (logits.argmax(axis=1) == data.labels[:10_000].numpy()).mean().item()


def _as_served(images: np.ndarray, answer: Arrays) -> np.ndarray:
    """The images with the submission's own shift and scale, if it serves them with one."""
    _, test_data = load_data()
    own = test_data.normalise(test_data.images[:64]).flatten(1).double().numpy()
    served = answer.get("first images")
    if served is None or served.shape != own.shape:
        return images
    scale, shift = np.polyfit(own.ravel(), served.ravel(), 1)
    is_linear = np.abs(own * scale + shift - served).max() < 1e-2
    return (images * scale + shift).astype(np.float32) if is_linear else images


STEPS = [
    Step(
        "Load",
        1,
        f"`train_data` and `test_data`, iterated, give batches of at most {BATCH} images and their "
        "labels; the pixels are normalised with mean and standard deviation of the training "
        "pixels, and an epoch shows every image once. `train_counts` and `test_counts` hold the "
        "number of images of each class.",
        ask_load,
        draw_fingerprint,
        judge=judge_load,
    ),
    Step(
        "Patchify",
        2,
        "`patchify(images, patch_size)` maps images `(b, 28, 28)` to patches "
        "`(b, num_patches, patch_size**2)` in reading order, for every size that divides 28.",
        ask_patchify,
        draw_images,
    ),
    Step(
        "Backbone and classifier",
        3,
        "`PatchMLP(patch_size, dim, token_hidden, channel_hidden, depth, num_classes)` maps images "
        "`(b, 28, 28)` to logits `(b, num_classes)` by the equations, biases included, for sizes "
        "and parameters that the grader chooses.",
        ask_network,
        draw_sizes,
        NETWORK_HELPERS,
        judge_network,
    ),
    Step(
        "Loss and optimiser",
        2,
        "`loss_function(logits, labels)` is the mean cross entropy in nats; "
        "`make_optimizer(model)` gives Adam with learning rate 0.01, no weight decay, and all else "
        "as `torch.optim.Adam` has it.",
        ask_steps,
        draw_steps,
        judge=judge_steps,
    ),
    Step(
        "Train",
        1,
        "A trained network of step 3, at least one block deep, called `average` or `model`: with "
        f"its parameters the equations give its logits, and at least {GOAL:.0%} of the test images "
        "are right.",
        ask_trained,
        draw_test_images,
        NETWORK_HELPERS,
        judge_trained,
    ),
    Step(
        "Final accuracy",
        1,
        "`accuracy`, a fraction or in percent, is what the grader counts for the trained network "
        f"on the test images, more than {LEARNED:.0%}.",
        ask_accuracy,
        judge=judge_accuracy,
    ),
]
