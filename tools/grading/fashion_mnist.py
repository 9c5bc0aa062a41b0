"""What submissions of the Fashion-MNIST assignment are graded by: points, contract, questions.

Functions named `ask_...`, and the helpers of a step, run in the submission's kernel, where only
NumPy is at hand; what is named `judge_...` runs here, on what came back.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any

from tools.grading.rubric import Arrays, Step, Verdict, difference_between
from utils.data import BatchLoader, load_fashion_mnist
from utils.definitions import NOTEBOOKS, load_definitions

import numpy as np
import torch
from torch import Tensor, nn

NOTEBOOK = NOTEBOOKS / "fashion_mnist.ipynb"
PATCH_SIZES = [1, 2, 4, 7, 14, 28]
BATCH = 512
GOAL = 0.8  # of the test images
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
        answer |= {f"{loader}: sizes": sizes, f"{loader}: off": off}
        answer[f"{loader}: fingerprints"] = torch.cat(fingerprints)
    return answer


def judge_load(answer: Arrays, expected: Callable[[], Arrays], inputs: Arrays) -> Verdict:
    weights, marks = torch.tensor(inputs["weights"]), torch.tensor(inputs["marks"])
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
                "mean are no grey levels, so they are not normalised with these two"
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
    return {"images": images, "patch_sizes": np.array([2, 4, 7, 14])}


def ask_patchify(
    names: dict[str, Any], images: np.ndarray, patch_sizes: np.ndarray
) -> dict[str, Any]:
    import torch

    images, patchify = torch.tensor(images), names["patchify"]
    return {f"patchify(images, {size})": patchify(images, size) for size in patch_sizes.tolist()}


# 3 Backbone and classifier
#
# Layers may be called and ordered as one likes. So the grader overwrites a network's parameters
# with numbers that depend on their shapes alone, and compares logits; then it changes one
# parameter at a time, which shows which parameter of the network plays which part.


def flat_shape(parameter: "Tensor") -> tuple[int, ...]:
    """The shape of a parameter as a matrix or vector; convolutions of single pixels are, too."""
    shape = [size for size in parameter.shape if size != 1]
    return tuple(shape) if len(shape) < 3 else (shape[0], parameter.numel() // shape[0])


def chosen_numbers(shape: tuple[int, ...], numbers: np.ndarray, shift: int) -> np.ndarray:
    """Numbers for a matrix or vector; those of a matrix and its transpose are the same."""
    import numpy as np

    numbers = np.roll(numbers, 101 * shift)
    if len(shape) < 2:
        return np.resize(numbers, shape)
    low, high = sorted(shape)
    matrix = np.resize(numbers, (low, high)) * (2 / high) ** 0.5
    if low == high:
        matrix = (matrix + matrix.T) / 2**0.5
    return matrix if shape == (low, high) else matrix.T


def probe_network(
    network: "nn.Module", images: np.ndarray, numbers: np.ndarray, order: np.ndarray | None = None
) -> dict[str, Any]:
    """The logits of a network with chosen parameters; its own are put back.

    Returns `tied` (b, num_classes), with the same numbers in all parameters of a shape; `each`
    (num_parameters, b, num_classes), with other numbers in one of them; and `free`, with numbers
    of its own in every parameter, dealt out in `order`.
    """
    import torch

    parameters, was_training = list(network.eval().parameters()), network.training
    images = torch.tensor(images).to(parameters[0])

    def logits(shifts: list[int]) -> np.ndarray:
        for parameter, shift in zip(parameters, shifts, strict=True):
            chosen = chosen_numbers(flat_shape(parameter), numbers, shift)
            parameter.copy_(torch.tensor(chosen.copy()).reshape(parameter.shape))
        return network(images).double()

    with torch.no_grad():
        network(images)  # lazy layers have their shapes only now
        parameters = list(network.parameters())
        kept, count = [parameter.clone() for parameter in parameters], len(parameters)
        try:
            each = [logits([int(i == j) for j in range(count)]) for i in range(count)]
            free = [2 + int(place) for place in (range(count) if order is None else order)]
            answer = {"tied": logits([0] * count), "each": torch.stack(each), "free": logits(free)}
        finally:
            for parameter, values in zip(parameters, kept, strict=True):
                parameter.copy_(values)
            network.train(was_training)
    shapes = [(*flat_shape(parameter), 1, 1)[:2] for parameter in parameters]
    return answer | {"shapes": shapes}


def find_layouts(names: dict[str, Any]) -> dict[str, Any]:
    """In which order `patchify` reads the pixels, for every patch size that it takes."""
    import torch

    pixels, layouts = torch.arange(784.0).reshape(1, 28, 28), {}
    for size in (1, 2, 4, 7, 14, 28):
        try:
            layouts[f"layout {size}"] = names["patchify"](pixels, size).flatten()
        except Exception:  # step 2 says what is wrong there
            continue
    return layouts


NETWORK_HELPERS = (flat_shape, chosen_numbers, probe_network, find_layouts)


def draw_sizes(random: np.random.Generator) -> Arrays:
    def sizes(patch_size: int, depth: int) -> list[int]:
        dim, token_hidden, channel_hidden, classes = random.permutation(range(5, 14))[:4]
        return [patch_size, dim, token_hidden, channel_hidden, depth, classes]

    return {"sizes": np.array([sizes(14, 1), sizes(7, 2)])} | draw_numbers(random)


def draw_numbers(random: np.random.Generator) -> Arrays:
    images = random.standard_normal((6, 28, 28), dtype=np.float32)
    return {"images": images, "numbers": random.standard_normal(10_007)}


def ask_network(
    names: dict[str, Any], sizes: np.ndarray, images: np.ndarray, numbers: np.ndarray
) -> dict[str, Any]:
    answer = find_layouts(names)
    for row in sizes.tolist():
        probe = probe_network(names["PatchMLP"](*row), images, numbers)
        answer |= {f"{row} {name}": value for name, value in probe.items()}
    return answer


def judge_network(answer: Arrays, expected: Callable[[], Arrays], inputs: Arrays) -> Verdict:
    for row in inputs["sizes"].tolist():
        probe = {name: answer[f"{row} {name}"] for name in ("shapes", "tied", "each", "free")}
        layout = answer.get(f"layout {row[0]}")
        match = match_network(probe, row, layout, inputs["images"], inputs["numbers"])
        if isinstance(match, str):
            return Verdict(f"PatchMLP{tuple(row)}: {match}")
    return Verdict()


def match_network(
    probe: Arrays,
    sizes: list[int],
    layout: np.ndarray | None,
    images: np.ndarray,
    numbers: np.ndarray,
) -> list[int] | str:
    """Which parameter of a probed network plays the part of each of the model answer's.

    Args:
        probe: what `probe_network` gave.
        sizes: of the network, in the order of `PatchMLP`.
        layout: in which order its `patchify` reads the pixels; wrong ones are step 2's matter.
        images: (b, 28, 28) that were sent.
        numbers: that were sent.

    Returns:
        For each parameter of the model answer the number of the probed network's, or in words
        what differs.
    """
    network = model_answer().PatchMLP(*sizes)
    own_shapes = [tuple(sorted(flat_shape(p))) for p in network.parameters()]
    shapes = [tuple(sorted(n for n in shape if n != 1)) for shape in probe["shapes"].astype(int)]
    if Counter(shapes) != Counter(own_shapes):
        return _difference_of_shapes(Counter(shapes), Counter(own_shapes))
    problem = ""
    for arranged in arrangements(images, sizes[0], layout):
        own = {name: np.asarray(v) for name, v in probe_network(network, arranged, numbers).items()}
        difference = difference_between(probe["tied"], own["tied"], 1e-3)
        problem = problem or difference  # of the layout that is right
        if difference:
            continue
        order = _find_order(probe["each"], own["each"], shapes, own_shapes)
        if order is None:
            return "changing one parameter at a time changes other logits than expected"
        own = probe_network(network, arranged, numbers, order)
        return difference_between(probe["free"], np.asarray(own["free"]), 1e-3) or order
    return f"with parameters and images from the grader, the logits {problem}"


def _difference_of_shapes(given: Counter, own: Counter) -> str:
    def listed(shapes: Counter) -> str:
        return ", ".join(f"{n} x {shape}" for shape, n in sorted(shapes.items())) or "none"

    missing, more = own - given, given - own
    text = f"parameters that are missing: {listed(missing)}; that are too many: {listed(more)}"
    if missing and not more and all(len(shape) == 1 for shape in missing):
        text += " (vectors are biases)"
    return text


def _find_order(
    given: np.ndarray, own: np.ndarray, shapes: list[tuple], own_shapes: list[tuple]
) -> list[int] | None:
    """For each of the own parameters the one whose change has changed the logits alike."""
    order = []
    for changed, shape in zip(own, own_shapes, strict=True):
        alike = [
            place
            for place, other in enumerate(shapes)
            if other == shape and place not in order
            if not difference_between(given[place], changed, 1e-3)
        ]
        if not alike:
            return None
        order.append(alike[0])
    return order


def arrangements(
    images: np.ndarray, patch_size: int, layout: np.ndarray | None
) -> Iterator[np.ndarray]:
    """The images as they are, and so that patches read in order are those of `layout`."""
    yield images
    if layout is not None and np.array_equal(np.sort(layout), np.arange(784)):
        pixels = torch.arange(784).reshape(1, 28, 28)
        own = model_answer().patchify(pixels, patch_size).flatten().numpy()
        arranged = np.empty_like(images).reshape(-1, 784)
        arranged[:, own] = images.reshape(-1, 784)[:, layout.astype(int)]
        yield arranged.reshape(images.shape)


# 4 Loss and optimiser


def draw_steps(random: np.random.Generator) -> Arrays:
    gradients = random.normal(0, 2, (8, 3, 5)).astype(np.float32)
    gradients[:, :, 0] = 0  # what moves these weights is weight decay
    return {
        "logits": random.normal(0, 8, (50, 10)).astype(np.float32),
        "labels": random.integers(0, 10, 50),
        "weights": random.standard_normal((3, 5), dtype=np.float32),
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

    loss = names["loss_function"](torch.tensor(logits), torch.tensor(labels))
    layer = torch.nn.Linear(5, 3, bias=False, dtype=torch.float32)
    layer.weight.data.copy_(torch.tensor(weights))
    optimizer, places = names["make_optimizer"](layer), []
    for gradient in gradients:
        layer.weight.grad = torch.tensor(gradient)
        optimizer.step()
        places.append(layer.weight.detach().clone())
    groups = getattr(optimizer, "param_groups", [{}])
    betas = groups[0].get("betas", names.get("betas", (0.9, 0.999)))
    return {"loss": loss, "places": torch.stack(places), "betas": betas}


def judge_steps(answer: Arrays, expected: Callable[[], Arrays], inputs: Arrays) -> Verdict:
    own = expected()
    if difference := difference_between(answer["loss"], own["loss"]):
        return Verdict(f"loss_function(logits (50, 10), labels (50,)): {difference}")
    claimed = answer["betas"].ravel().tolist()
    choices = [tuple(own["betas"]), (0.9, 0.999)]
    if len(claimed) == 2 and all(0.5 <= beta < 1 for beta in claimed):
        choices.insert(0, tuple(claimed))
    problem = ""
    for betas, amsgrad in product(choices, (True, False)):
        weight = nn.Parameter(torch.tensor(inputs["weights"]))
        adam = torch.optim.Adam([weight], lr=0.01, betas=betas, amsgrad=amsgrad)
        steps = zip(inputs["gradients"], answer["places"], strict=True)
        for step, (gradient, place) in enumerate(steps, start=1):
            weight.grad = torch.tensor(gradient)
            adam.step()
            if difference := difference_between(place, weight.detach().numpy(), 2e-5):
                problem = problem or f"weights (3, 5) after step {step}: {difference}"
                break
        else:
            return Verdict()
    return Verdict(f"the optimiser of make_optimizer: {problem}")


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

    answer, seen = find_layouts(names), []
    with suppress(Exception):  # how pixels are normalised is step 1's matter
        answer["first images"] = next(iter(names["test_data"]))[0].flatten(1)[:64]
    for name in ("average", "model", *reversed(names)):
        network = names.get(name)
        if not isinstance(network, torch.nn.Module) or any(network is other for other in seen):
            continue
        seen.append(network)
        try:
            network.eval()
            with torch.no_grad():
                first = next(network.parameters())
                logits = network(torch.tensor(shown).to(first))
                found = {"logits": logits, **probe_network(network, images, numbers)}
        except Exception:
            continue  # no network for these images
        for number, parameter in enumerate(network.parameters()):
            found[f"parameter {number}"] = parameter.reshape((*flat_shape(parameter), 1)[:2])
        answer |= {f"{name}: {key}": value for key, value in found.items()}
    return answer


def ask_accuracy(
    names: dict[str, Any], shown: np.ndarray, images: np.ndarray, numbers: np.ndarray
) -> dict[str, Any]:
    return {"accuracy": names["accuracy"]} | ask_trained(names, shown, images, numbers)


def judge_trained(answer: Arrays, expected: Callable[[], Arrays], inputs: Arrays) -> Verdict:
    best, problem = None, "the notebook has no trained network"
    for name, found in count_networks(answer, inputs):
        if isinstance(found, str):
            problem = f"`{name}`: {found}"
        elif best is None or found[1] > best[1]:
            best = found
    if best is None:
        return Verdict(problem)
    on_train, on_test = best
    look = ""
    # Of two counts of 10,000 images each, equally likely to be right.
    chance = 3.3 * math.sqrt(2 * on_test * (1 - on_test) / 10_000)
    if on_test - on_train > chance:
        look = f"test accuracy {on_test:.2%} above training accuracy {on_train:.2%}: "
        look += "more than chance; did it learn from test images?"
    if on_test < GOAL:
        problem = f"{on_test:.2%} of the test images are right, expected at least {GOAL:.0%}"
        return Verdict(problem, look, (("accuracy", on_test),))
    return Verdict("", look, (("accuracy", on_test),))


def judge_accuracy(answer: Arrays, expected: Callable[[], Arrays], inputs: Arrays) -> Verdict:
    if answer["accuracy"].size != 1:
        return Verdict("`accuracy` is not one number")
    claimed = answer["accuracy"].item()
    claimed = claimed / 100 if claimed > 1 else claimed
    counted = [
        found[1] for _, found in count_networks(answer, inputs) if not isinstance(found, str)
    ]
    if any(abs(claimed - share) <= NEAR for share in counted):
        return Verdict()
    if not counted:
        return Verdict("there is no trained network that the grader could count")
    nearest = min(counted, key=lambda share: abs(claimed - share))
    return Verdict(f"`accuracy` is {claimed:.2%}, the grader counts {nearest:.2%}")


def count_networks(
    answer: Arrays, inputs: Arrays
) -> Iterator[tuple[str, tuple[float, float] | str]]:
    """Each network of an answer, with its accuracy on 10,000 training and all test images.

    Its parameters are put into the model answer's network, which has to give its logits; else a
    sentence says what differs.
    """
    for name in [key.removesuffix(": logits") for key in answer if key.endswith(": logits")]:
        found = {
            key.removeprefix(f"{name}: "): value
            for key, value in answer.items()
            if key.startswith(f"{name}: ")
        }
        yield name, _count(found, answer, inputs)


def _count(found: Arrays, answer: Arrays, inputs: Arrays) -> tuple[float, float] | str:
    parameters = [found[f"parameter {number}"] for number in range(len(found["shapes"]))]
    found["shapes"] = np.array([parameter.shape for parameter in parameters])
    problem = "is not a network of step 3: its parameters have other shapes"
    for sizes in possible_sizes(found["shapes"]):
        layout = answer.get(f"layout {sizes[0]}")
        order = match_network(found, sizes, layout, inputs["images"], inputs["numbers"])
        if isinstance(order, str):
            problem = f"is not the network of step 3: {order}"
            continue
        for images, transposed in product(
            arrangements(inputs["shown"], sizes[0], layout), (False, True)
        ):
            network = _network_of([parameters[place] for place in order], sizes, transposed)
            if not difference_between(found["logits"], _logits(network, images), 1e-3):
                return _accuracies(network, sizes[0], layout, images is inputs["shown"], answer)
        problem = "its parameters do not give its logits"
    return problem


def possible_sizes(shapes: np.ndarray) -> Iterator[list[int]]:
    """The sizes of `PatchMLP` whose parameters have these shapes, at least one block deep."""
    given = Counter(tuple(sorted(int(n) for n in shape if n != 1)) for shape in shapes)
    depth, rest = divmod(len(shapes) - 4, 8)
    if depth < 1 or rest:
        return
    vectors = sorted({shape[0] for shape in given if len(shape) == 1})
    for patch_size, (dim, token, channel) in product(PATCH_SIZES, product(vectors, repeat=3)):
        count = (28 // patch_size) ** 2
        block = [(count, token), (token,), (count,), (dim, channel), (channel,), (dim,)]
        own = Counter({(10,): 1}) + Counter([(dim, 10), (patch_size**2, dim), (dim,)])
        for shape in [*block, block[0], block[3]]:
            own[shape] += depth
        own = sum((Counter({_squeezed(s): n}) for s, n in own.items()), Counter())
        if own == given:
            yield [patch_size, dim, token, channel, depth, 10]


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(size for size in shape if size != 1))


def _network_of(parameters: list[np.ndarray], sizes: list[int], transposed: bool) -> nn.Module:
    """The model answer's network with these parameters; square ones are transposed on demand."""
    network = model_answer().PatchMLP(*sizes)
    with torch.no_grad():
        for own, given in zip(network.parameters(), parameters, strict=True):
            given = torch.tensor(given.copy()).squeeze()
            if given.ndim == 2 and (
                given.shape != own.squeeze().shape
                or (transposed and given.shape[0] == given.shape[1])
            ):
                given = given.T
            own.copy_(given.reshape(own.shape))
    return network.eval()


@torch.inference_mode()
def _logits(network: nn.Module, images: np.ndarray | Tensor) -> np.ndarray:
    parts = torch.as_tensor(images).float().split(500)
    return torch.cat([network(part) for part in parts]).double().numpy()


def _accuracies(
    network: nn.Module,
    patch_size: int,
    layout: np.ndarray,
    in_order: bool,
    answer: Arrays,
) -> tuple[float, float]:
    """The fraction right of the first 10,000 training images and of the test images."""
    shares = []
    for data in load_data():
        images = _as_served(data, answer, data.images[:10_000])
        if not in_order:
            images = [*arrangements(images, patch_size, layout)][1]
        right = _logits(network, images).argmax(axis=1) == data.labels[:10_000].numpy()
        shares.append(float(right.mean()))
    return shares[0], shares[1]


def _as_served(data: BatchLoader, answer: Arrays, images: Tensor) -> np.ndarray:
    """The images as the submission normalises them, if that is a shift and a scale of its own."""
    own = data.normalise(images).numpy()
    served = answer.get("first images")
    if served is None or served.shape != (64, 784):
        return own
    _, test_data = load_data()
    first = test_data.normalise(test_data.images[:64]).flatten(1).double().numpy()
    scale, shift = np.polyfit(first.ravel(), served.ravel(), 1)
    if not np.abs(first * scale + shift - served).max() < 1e-2:
        return own
    return (own * scale + shift).astype(np.float32)


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
        "and parameters that the grader chooses. What the layers are called, and in which order "
        "they are made, is free.",
        ask_network,
        draw_sizes,
        NETWORK_HELPERS,
        judge_network,
    ),
    Step(
        "Loss and optimiser",
        2,
        "`loss_function(logits, labels)` is the mean cross entropy in nats; "
        "`make_optimizer(model)` gives Adam with learning rate 0.01 and no weight decay, with or "
        "without AMSGrad, the betas as you like.",
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
        ("accuracy",),
    ),
    Step(
        "Final accuracy",
        1,
        "`accuracy`, a fraction or in percent, is what the grader counts for the trained network "
        "on the test images.",
        ask_accuracy,
        draw_test_images,
        (*NETWORK_HELPERS, ask_trained),
        judge_accuracy,
    ),
]
