"""As accurate as five epochs allow: eight networks like that of `ninety_three_four.py`.

Each learns for itself, from batches of its own and from images that another grid cuts into patches,
and their answers are averaged. One network of twice the size was no better than one of them.

Muon is PyTorch's own, which computes in bfloat16: on a processor without instructions for that, the
training would take hours.
"""

import math

from benchmarks.records.record import BFLOAT16, measure  # before torch: how long threads wait
from benchmarks.variants import ASSIGNMENT, FURTHER

import torch
from einops.layers.torch import Rearrange
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm, pad

goal = 0.938
num_epochs, batch_size = 5, 256
# Grey rows above an image and columns to its left, of the four of each that make it 32 x 32.
grids = [(top, left) for top in range(4) for left in range(4) if (top + left) % 2 == 0]
smoothing = 0.05  # a share of each label goes to all classes alike
muon_rate, adam_rate = 0.03, 0.01  # at their highest
small, large = 64, 128  # features of a patch of 4 x 4 pixels, and of one of 8 x 8
hidden = 128, 256, 256  # widths of the MLPs on patches, on windows of small ones, of large ones
mean, deviation = 72.9, 90.0  # of the training pixels
dtype = torch.bfloat16 if BFLOAT16 else torch.float32

to_patches = Rearrange("b (h i) (w j) -> b h w (i j)", i=4, j=4)
to_windows = FURTHER.to_windows  # (b, 2 h, 2 w, d) to (b, h, w, 4 d)


def shift(W: Tensor, step: int) -> Tensor:
    """Move windows (b, h, w, 4 d) by one patch, on for `step` -1, or back; ends wrap around."""
    top_left, top_right, bottom_left, bottom_right = W.unflatten(3, (4, -1)).unbind(3)
    next_row, next_column = top_right.roll(step, 1), bottom_left.roll(step, 2)
    quarters = top_left.roll((step, step), (1, 2)), next_row, next_column, bottom_right
    return torch.stack(quarters, 3).flatten(3)


def norm(X: Tensor) -> Tensor:
    """Give each vector mean 0 and deviation 1; a linear layer that follows scales and shifts."""
    return layer_norm(X, X.shape[-1:])


class MLP(nn.Module):
    """Linear, ReLU, linear on normalised vectors, added to them."""

    def __init__(self, width: int, hidden: int, step: int = 0) -> None:
        super().__init__()
        self.mlp = ASSIGNMENT.mlp(width, hidden)
        self.step = step  # by which the vectors, windows, are shifted first

    def forward(self, X: Tensor) -> Tensor:  # (..., width) to the same shape
        X = shift(X, self.step) if self.step else X
        return X + self.mlp(norm(X))


class Network(nn.Module):
    """Two stages of windows on patches; every second MLP of a stage has shifted windows."""

    def __init__(self, top: int, left: int) -> None:
        super().__init__()
        self.frame = left, 4 - left, top, 4 - top
        self.stem, self.merge = nn.Linear(16, small), nn.Linear(4 * small, large)
        self.on_patches = nn.Sequential(*[MLP(small, hidden[0]) for _ in range(2)])
        steps = 0, -1, 1, -1  # shifted, back and shifted again
        self.on_small = nn.Sequential(*[MLP(4 * small, hidden[1], step) for step in steps])
        self.on_large = nn.Sequential(*[MLP(4 * large, hidden[2], step) for step in steps])
        self.classifier = nn.Linear(4 * large, 10)
        self.apply(ASSIGNMENT.init_weights)

    def forward(self, images: Tensor) -> Tensor:  # (b, 28, 28) uint8 to logits (b, 10)
        patches = to_patches(pad(images, self.frame, value=round(mean)))  # (b, 8, 8, 16)
        X = self.stem((patches.to(dtype) - mean) / deviation)
        X = norm(self.on_patches(X))  # (b, 8, 8, small)
        W = self.on_small(to_windows(X))  # (b, 4, 4, 4 small)
        W = self.on_large(to_windows(self.merge(norm(W))))  # (b, 2, 2, 4 large)
        return self.classifier(norm(W).mean(dim=(1, 2)))


def train(images: Tensor, labels: Tensor) -> nn.ModuleList:
    """Learn from images (n, 28, 28) uint8 and labels (n,): a network for every grid."""
    return nn.ModuleList(train_one(Network(*grid), images, labels) for grid in grids)


def train_one(network: Network, images: Tensor, labels: Tensor) -> Network:
    """Let one of the networks learn."""
    n, num_batches = len(images), math.ceil(len(images) / batch_size)
    views, num_steps = torch.cat([images, images.flip(2)]), num_epochs * num_batches
    head, parameters = network.classifier.weight, list(network.parameters())
    matrices = [p for p in parameters if p.ndim == 2 and p is not head]
    others = [p for p in parameters if p.ndim == 1 or p is head]
    muon = torch.optim.Muon(matrices, muon_rate, weight_decay=0, ns_steps=3)
    optimizers = [muon, torch.optim.Adam(others, adam_rate, fused=True)]
    schedules = [FURTHER.warm_up_and_decay(each, num_steps) for each in optimizers]
    mirrored = torch.rand(n) < 0.5
    for _ in range(num_epochs):
        for index in torch.randperm(n).tensor_split(num_batches):
            with torch.autocast("cpu", dtype, enabled=BFLOAT16):
                logits = network(views[index + n * mirrored[index]])
            network.zero_grad()
            cross_entropy(logits.float(), labels[index], label_smoothing=smoothing).backward()
            for part in (*optimizers, *schedules):
                part.step()
        mirrored = ~mirrored  # so each image is seen from both sides in turn
    return network


def answer(networks: nn.ModuleList, images: Tensor) -> Tensor:
    """Logits (b, 10) for images (b, 28, 28) uint8: the mean over the networks."""
    with torch.autocast("cpu", dtype, enabled=BFLOAT16):
        return torch.stack([network(images) for network in networks]).float().mean(dim=0)


if __name__ == "__main__":
    measure(goal, train, answer)
