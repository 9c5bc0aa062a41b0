"""Which function a network computes, whatever its layers are called and in which order they stand.

The grader overwrites a network's parameters with numbers that depend on their shapes alone, and
compares logits; then it changes one parameter at a time, which shows what part each of them plays.
The first three functions run in the submission's kernel as well.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

from tools.grading.rubric import Arrays, difference_between

import numpy as np
import torch
from torch import nn

NEAR = 1e-3  # of the largest logit: another order of sums


def flat_shape(parameter: "torch.Tensor") -> tuple[int, ...]:
    """The shape of a parameter as a matrix or vector; convolutions of single pixels are, too."""
    shape = [size for size in parameter.shape if size != 1]
    return tuple(shape) if len(shape) < 3 else (shape[0], parameter.numel() // shape[0])


def chosen_numbers(shape: tuple[int, ...], numbers: np.ndarray, shift: int) -> np.ndarray:
    """Numbers for a matrix or vector; those of a matrix and its transpose are the same."""
    numbers = np.roll(numbers, 101 * shift)
    if len(shape) < 2:
        return 0.3 * np.resize(numbers, shape)
    low, high = sorted(shape)
    # A matrix and one back again, with ReLU between them, neither shrink nor blow up features.
    matrix = np.resize(numbers, (low, high)) * (4 / (low * high)) ** 0.25
    if low == high:
        matrix = (matrix + matrix.T) / 2**0.5
    return matrix if shape == (low, high) else matrix.T.copy()


def probe_network(
    network: "torch.nn.Module",
    images: np.ndarray,
    numbers: np.ndarray,
    order: list[int] | None = None,
) -> dict[str, Any]:
    """The logits of a network with chosen parameters; its own are put back.

    Args:
        network: called with `images`, in evaluation mode.
        images: (b, 28, 28).
        numbers: (n,), that parameters are filled with.
        order: the places of its parameters, for `free`; by default as the network lists them.

    Returns:
        `shapes` (num_parameters, 2); `tied` (b, num_classes), the logits with the same numbers in
        all parameters of a shape; `each` (num_parameters, b, num_classes), with other numbers in
        one of them; `free` (b, num_classes), with numbers of its own in every parameter.
    """
    import torch

    parameters = list(network.eval().parameters())
    images = torch.tensor(images).to(parameters[0])

    def logits(shifts: list[int]) -> Any:  # noqa: ANN401
        for parameter, shift in zip(parameters, shifts, strict=True):
            chosen = chosen_numbers(flat_shape(parameter), numbers, shift)
            parameter.copy_(torch.tensor(chosen).reshape(parameter.shape))
        return network(images).double()

    with torch.inference_mode():  # averages may have been made in it
        network(images)  # lazy layers have their shapes only now
        kept, count = [parameter.clone() for parameter in parameters], len(parameters)
        try:
            tied = logits([0] * count)
            each = [logits([int(i == j) for j in range(count)]) for i in range(count)]
            free = logits([2 + place for place in order or range(count)])
        finally:
            for parameter, values in zip(parameters, kept, strict=True):
                parameter.copy_(values)
    shapes = [(*flat_shape(parameter), 1, 1)[:2] for parameter in parameters]
    return {"shapes": shapes, "tied": tied, "each": torch.stack(each), "free": free}


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """What is the same for the shapes of a matrix and its transpose."""
    return tuple(sorted(int(size) for size in shape if size != 1))


def match_parameters(
    probe: Arrays, network: nn.Module, images: np.ndarray, numbers: np.ndarray
) -> list[int] | str:
    """Which parameter of a probed network plays the part of each of `network`'s.

    Returns:
        For each parameter of `network` the place of the probed one's, or in words what differs.
    """
    own_shapes = [squeezed(parameter.shape) for parameter in network.parameters()]
    used = used_parameters(probe)
    shapes = [squeezed(probe["shapes"][place].tolist()) for place in used]
    if missing := Counter(own_shapes) - Counter(shapes):
        return f"parameters of these shapes are missing (vectors are biases): {_listed(missing)}"
    if more := Counter(shapes) - Counter(own_shapes):
        return f"there are more parameters than expected: {_listed(more)}"
    own = probe_network(network, images, numbers)
    if difference := difference_between(probe["tied"], own["tied"].numpy(), NEAR):
        return f"with parameters and images from the grader, the logits {difference}"
    order: list[int] = []
    for changed, shape in zip(own["each"].numpy(), own_shapes, strict=True):
        left = [
            place
            for place, other in zip(used, shapes, strict=True)
            if other == shape and place not in order
        ]
        nearest = min(left, key=lambda place: np.abs(probe["each"][place] - changed).max())
        if difference_between(probe["each"][nearest], changed, NEAR):
            return "changing one parameter at a time changes other logits than expected"
        order.append(nearest)
    free = probe_network(network, images, numbers, order)["free"].numpy()
    difference = difference_between(probe["free"], free, NEAR)
    return (
        f"with parameters and images from the grader, the logits {difference}"
        if difference
        else order
    )


def used_parameters(probe: Arrays) -> list[int]:
    """The places of the parameters that change the logits; a layer may be left over."""
    tied = probe["tied"]
    return [place for place, logits in enumerate(probe["each"]) if (logits != tied).any()]


def _listed(shapes: Counter) -> str:
    return ", ".join(f"{count} x {shape}" for shape, count in sorted(shapes.items()))


def filled(network: nn.Module, parameters: list[np.ndarray]) -> Iterator[nn.Module]:
    """`network` with these parameters; square ones may be transposed, alike in all its blocks."""
    names = [re.sub(r"\d+", "", name, count=1) for name, _ in network.named_parameters()]
    values = [torch.tensor(given.copy()).squeeze() for given in parameters]
    square = {
        name
        for name, value in zip(names, values, strict=True)
        if value.ndim == 2 and value.shape[0] == value.shape[1]
    }
    for choice in product((False, True), repeat=len(square)):
        transposed = {name for name, chosen in zip(sorted(square), choice, strict=True) if chosen}
        with torch.no_grad():
            for name, own, value in zip(names, network.parameters(), values, strict=True):
                differs = value.shape != own.squeeze().shape
                own.copy_((value.T if differs or name in transposed else value).reshape(own.shape))
        yield network.eval()
