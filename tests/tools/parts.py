"""The parts of a submission that the corpora of test_corpora.py are made of.

One kernel tries many variants: a submission has a source for each part of the contract, and every
source that is not the plain one has a name, for the table that the test prints.
"""

from typing import NamedTuple

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

FULL, NONE = [1] * 10, [0] * 10
Sources = dict[str, str]  # name of a variant (empty: the plain one) -> source of its cell


class Case(NamedTuple):
    """A submission, what its questions deserve, what it tries, what a human must be told."""

    notebook: NotebookNode
    points: list[int]
    variants: list[str]
    look: str = ""


# The plain parts: as short as a student can write them.
IMPORTS = """
import math
from copy import deepcopy
from utils.data import load_fashion_mnist
import torch
from torch import nn
from torch.nn import functional as F
"""
LOAD = """
train_data, test_data = load_fashion_mnist(512)
train_counts, test_counts = (d.labels.bincount().tolist() for d in (train_data, test_data))
"""
PATCHIFY = """
def patchify(images, patch_size):
    return F.unfold(images[:, None], patch_size, stride=patch_size).mT
"""
NETWORK = """
def mlp(width, hidden):
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

class Block(nn.Module):
    def __init__(self, num_patches, dim, token_hidden, channel_hidden):
        super().__init__()
        self.mlp1, self.mlp2 = mlp(num_patches, token_hidden), mlp(dim, channel_hidden)

    def forward(self, X):
        return self.mlp2(self.mlp1(X.mT).mT)

class PatchMLP(nn.Module):
    def __init__(self, patch_size, dim, token_hidden, channel_hidden, depth, num_classes):
        super().__init__()
        self.patch_size = patch_size
        sizes = (28 // patch_size) ** 2, dim, token_hidden, channel_hidden
        self.stem = nn.Linear(patch_size**2, dim)
        self.blocks = nn.Sequential(*[Block(*sizes) for _ in range(depth)])
        self.classifier = nn.Linear(dim, num_classes)

    def forward(self, images):
        X = F.unfold(images[:, None], self.patch_size, stride=self.patch_size).mT
        return self.classifier(self.blocks(self.stem(X)).mean(dim=1))
"""
CROSS_ENTROPY = """
loss_function = nn.CrossEntropyLoss()
"""
OPTIMIZER = """
def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=0.01)
"""
LOSS = CROSS_ENTROPY + OPTIMIZER
TRAIN = """
torch.manual_seed(0)
model = PatchMLP(14, 128, 8, 256, 1, 10)
for layer in model.modules():
    if isinstance(layer, nn.Linear): nn.init.orthogonal_(layer.weight)
average, optimizer = deepcopy(model), make_optimizer(model)
for images, labels in train_data:
    loss = loss_function(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for mean, weight in zip(average.parameters(), model.parameters()):
            mean.lerp_(weight, 0.02)
"""
ACCURACY = """
def count_right(network):
    network.eval()
    with torch.no_grad():
        return sum((network(x).argmax(dim=1) == y).sum().item() for x, y in test_data)

accuracy = count_right(average) / 10_000
"""


def submission(
    points: list[int] = FULL,
    *,
    before: Sources | None = None,
    load: str | Sources = LOAD,
    patchify: str | Sources = PATCHIFY,
    network: str | Sources = NETWORK,
    loss: str | Sources = LOSS,
    train: str | Sources = TRAIN,
    accuracy: str | Sources = ACCURACY,
    after: Sources | None = None,
    look: str = "",
) -> Case:
    """A notebook of these parts, in this order; a part that is a dict names its variants."""
    parts = [before or {}, IMPORTS, load, patchify, network, loss, train, accuracy, after or {}]
    named = [part if isinstance(part, dict) else {"": part} for part in parts]
    cells = [new_code_cell(source.strip()) for part in named for source in part.values()]
    variants = [name for part in named for name in part if name]
    return Case(new_notebook(cells=cells), points, variants, look)


def but(source: str, old: str, new: str) -> str:
    """The source with one thing in it replaced by another."""
    assert old in source, f"the source does not hold {old!r}"
    return source.replace(old, new)
