"""Honest submissions that do things their own way: each variant keeps all its points."""

import re

from made_up import changed, real_answer, without
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from parts import (
    ACCURACY,
    FULL,
    IMPORTS,
    LOAD,
    LOSS,
    NETWORK,
    PATCHIFY,
    TRAIN,
    Case,
    but,
    submission,
)


def disguised() -> NotebookNode:
    """The model answer without checks, tags, headings and figures; with a cell that fails."""
    notebook = without(real_answer(1), lambda cell: "check" in cell.metadata.get("tags", []))
    notebook = changed(notebook, "import evaluate, predict", "import History, evaluate, predict")
    notebook = changed(notebook, "plotting.LiveHistory(", "History(")
    for cell in notebook.cells:
        cell.metadata.clear()
        cell.source = re.sub(r"^plotting\.plot_.*$", "", cell.source, flags=re.MULTILINE)
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"^## \d\. ", "# Part: ", cell.source)
        elif cell.source.startswith("torch.manual_seed(seed)  # fixes"):
            cell.source = "%%time\n" + cell.source
    notebook.cells[1:1] = [new_code_cell("%matplotlib inline\n%config InlineBackend.rc = {}")]
    notebook.cells += [new_markdown_cell("# Scratch"), new_code_cell("to be continued")]
    return notebook


HONEST = {
    "model answer": Case(
        disguised(),
        FULL,
        [
            "checks deleted",
            "headings renamed, tags gone",
            "%matplotlib, %config and %%time",
            "a cell at the end that fails",
        ],
    ),
    "from the equations": submission(
        load={
            "counts as tensors": """
train_data, test_data = load_fashion_mnist(256)
train_counts = sum(F.one_hot(labels, 10).sum(dim=0) for _, labels in train_data)
test_counts = sum(F.one_hot(labels, 10).sum(dim=0) for _, labels in test_data)"""
        },
        patchify={
            "patches by loops": """
def patchify(images, patch_size):
    if 28 % patch_size: raise ValueError("28 is not a multiple of the patch size")
    patches = []
    for top in range(0, 28, patch_size):
        for left in range(0, 28, patch_size):
            patch = images[..., top:top + patch_size, left:left + patch_size]
            patches.append(patch.reshape(len(images), -1))
    return torch.stack(patches, 1)"""
        },
        network={
            "the equations as printed, with the layers' matrices": but(
                but(
                    NETWORK,
                    "return self.mlp2(self.mlp1(X.mT).mT)",
                    """(W1, b1), (W2, b2), (W3, b3), (W4, b4) = (
            (mlp[n].weight.T, mlp[n].bias) for mlp in (self.mlp1, self.mlp2) for n in (0, 2))
        g = torch.relu
        O1 = g(torch.einsum("bpd,ph->bdh", X, W1) + b1) @ W2 + b2
        return g(torch.einsum("bdp,dh->bph", O1, W3) + b3) @ W4 + b4""",
                ),
                "return self.classifier(self.blocks(self.stem(X)).mean(dim=1))",
                """X = self.blocks(self.stem(X))
        W, b = self.classifier.weight, self.classifier.bias
        return torch.einsum("bpd,kd->bk", X, W) / X.shape[1] + b""",
            )
        },
        loss={
            "own cross entropy": """
def loss_function(z, y):
    return (torch.logsumexp(z, dim=1) - z[torch.arange(len(y)), y]).mean()""",
            "own Adam": """
class MyAdam:
    def __init__(self, parameters, rate, beta1=0.9, beta2=0.999, tiny=1e-8):
        self.parameters, self.rate, self.tiny = list(parameters), rate, tiny
        self.beta1, self.beta2, self.steps = beta1, beta2, 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self):
        self.steps += 1
        for p, m, v in zip(self.parameters, self.m, self.v):
            if p.grad is None: continue
            m += (1 - self.beta1) * (p.grad - m)
            v += (1 - self.beta2) * (p.grad ** 2 - v)
            mean, square = m / (1 - self.beta1 ** self.steps), v / (1 - self.beta2 ** self.steps)
            p -= self.rate * mean / (square.sqrt() + self.tiny)

make_optimizer = lambda network: MyAdam(network.parameters(), 0.01)""",
        },
        train={
            "trained in a class, no average": """
class Trainer:
    def __init__(self, network, optimizer, loss):
        self.network, self.optimizer, self.loss = network, optimizer, loss
        self.history = {"loss": []}

    def fit(self, data):
        self.network.train()
        for images, labels in data:
            loss = self.loss(self.network(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.history["loss"].append(loss.item())
        return self.history

torch.manual_seed(1)
model = PatchMLP(14, 64, 16, 128, 1, 10)
history = Trainer(model, make_optimizer(model), loss_function).fit(train_data)""",
        },
        accuracy={
            "accuracy in percent, rounded": but(ACCURACY, "average", "model")
            + "accuracy = round(100 * accuracy, 2)"
        },
    ),
    "a loader of its own": submission(
        load={
            "own DataLoader, torchvision's normalisation, shuffled test images": """
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms
given = load_fashion_mnist(512)
std, mean = torch.std_mean(given[0].images / 255)
normalise = transforms.Normalize((round(mean.item(), 4),), (round(std.item(), 4),))

def load(raw):
    images = normalise(raw.images[:, None] / 255)[:, 0]
    return DataLoader(TensorDataset(images, raw.labels), batch_size=500, shuffle=True)

train_data, test_data = map(load, given)""",
            "counts as NumPy arrays": """
import numpy as np
train_counts = np.bincount(train_data.dataset.tensors[1].numpy())
test_counts = np.unique(np.array(test_data.dataset.tensors[1]), return_counts=True)[1]""",
        },
        patchify={
            "patches by reshape and permute": """
def patchify(x, p):
    n = x.size(-1) // p
    return x.reshape(-1, n, p, n, p).permute(0, 1, 3, 2, 4).reshape(len(x), n * n, p * p)"""
        },
        network={
            "blocks one after the other, a pooling layer for the mean": but(
                but(NETWORK, "self.blocks(self.stem(X)).mean(dim=1)", "self.pool(X.mT).squeeze(2)"),
                "stride=self.patch_size).mT",
                """stride=self.patch_size).mT
        self.pool, X = nn.AdaptiveAvgPool1d(1), self.stem(X)
        for block in self.blocks:
            X = block(X)""",
            )
        },
        loss={
            "NLLLoss of the log-softmax": """
class CrossEntropy(nn.Module):
    def forward(self, logits, labels):
        return nn.NLLLoss()(F.log_softmax(logits, dim=1), labels)

loss_function = CrossEntropy()""",
            "fused": """
def make_optimizer(model, lr=1e-2, **options):
    return torch.optim.Adam(model.parameters(), lr, fused=True)""",
        },
        train={
            "torch's AveragedModel, a single patch of 28": """
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
torch.manual_seed(0)
model = PatchMLP(28, 128, 8, 256, 1, 10)
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.98))
optimizer = make_optimizer(model)
for images, labels in train_data:
    optimizer.zero_grad()
    loss = loss_function(model(images), labels)
    loss.backward()
    optimizer.step()
    average.update_parameters(model)"""
        },
        accuracy={"accuracy a tensor": ACCURACY + "accuracy = torch.tensor(accuracy)"},
    ),
    "double precision": submission(
        before={
            "torch's default is float64": "import torch\ntorch.set_default_dtype(torch.double)"
        },
        load={
            "images in float64": """
class Doubled:
    def __init__(self, data): self.data = data
    def __len__(self): return len(self.data)
    def __iter__(self):
        for images, labels in self.data:
            yield images.double(), labels.int()

train, test = load_fashion_mnist(512)
train_data, test_data = Doubled(train), Doubled(test)""",
            "counts as tuples": """
train_counts, test_counts = (
    tuple(int((data.labels == k).sum()) for k in range(10)) for data in (train, test))""",
        },
        patchify={
            "patches through NumPy": """
import numpy as np

def patchify(images, patch_size):
    n = 28 // patch_size
    grid = np.asarray(images).reshape(-1, n, patch_size, n, patch_size).swapaxes(2, 3)
    return torch.from_numpy(grid.reshape(-1, n * n, patch_size * patch_size).copy())"""
        },
        network={
            "parameters in float64": NETWORK,
            "shapes printed by hooks that stay": """
from torch.nn.modules.module import register_module_forward_hook

def show(layer, inputs, output):
    if torch.rand(()) < 0.01: print(type(layer).__name__, tuple(output.shape))

register_module_forward_hook(show)""",
        },
        loss={
            "the loss of one-hot labels": """
def loss_function(logits, labels):
    return -(F.one_hot(labels.long(), logits.shape[1]) * logits.log_softmax(1)).sum(1).mean()""",
            "AdamW without decay, two groups of parameters": """
def make_optimizer(model):
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": weights}, {"params": biases, "lr": 0.01, "weight_decay": 0}]
    return torch.optim.AdamW(groups, lr=0.01, weight_decay=0.0, foreach=True)""",
        },
        train={
            "history a dict": TRAIN + "history = dict(loss=[loss.item()], accuracy=[])",
            "the average called average, the last weights called best": """
best = model
del model""",
        },
        accuracy={"accuracy of NumPy": ACCURACY + "accuracy = np.float32(accuracy)"},
    ),
    "a function for the network": submission(
        load={
            "batches of 512 and a rest": """
class Batches:
    "Batches of 512; the last one has what remains."
    def __init__(self, data): self.data = data
    def __iter__(self):
        order = torch.randperm(len(self.data.labels))
        for part in order.split(512):
            yield [self.data.normalise(self.data.images[part]), self.data.labels[part]]

train_set, test_set = load_fashion_mnist()
train_data, test_data = Batches(train_set), Batches(test_set)
train_counts = [(train_set.labels == k).sum() for k in range(10)]
test_counts = [(test_set.labels == k).sum().item() for k in range(10)]""",
        },
        patchify={
            "patchify a module": """
from einops.layers.torch import Rearrange

class Patchify(nn.Module):
    def forward(self, images, patch_size):
        layer = Rearrange("b (h p) (w q) -> b (h w) (p q)", p=patch_size, q=patch_size)
        return layer(images)

patchify = Patchify()"""
        },
        network={
            "PatchMLP a function that returns a Sequential": """
from collections import OrderedDict
from einops.layers.torch import Rearrange, Reduce
from torch.nn import Linear, Sequential

def Block(num_patches, dim, token_hidden, channel_hidden):
    turn = Rearrange("b n d -> b d n")
    make = lambda n, h: Sequential(Linear(n, h), nn.ReLU(True), Linear(h, n))
    one, two = make(num_patches, token_hidden), make(dim, channel_hidden)
    return Sequential(OrderedDict(turn=turn, mlp1=one, back=turn, mlp2=two))

def PatchMLP(patch_size, dim, token_hidden, channel_hidden, depth, num_classes):
    n = (28 // patch_size) ** 2
    blocks = [Block(n, dim, token_hidden, channel_hidden) for _ in range(depth)]
    return Sequential(OrderedDict(
        cut=Rearrange("b (h p) (w q) -> b (h w) (p q)", p=patch_size, q=patch_size),
        stem=Linear(patch_size**2, dim), blocks=Sequential(*blocks),
        mean=Reduce("b n d -> b d", "mean"), classifier=Linear(dim, num_classes)))"""
        },
        loss={
            "the loss a lambda, the rate a setting": """
settings = {"lr": 0.01, "weight_decay": 0}
loss_function = lambda z, labels: F.cross_entropy(z, labels, reduction="sum") / len(labels)
make_optimizer = lambda model: torch.optim.Adam(model.parameters(), **settings, eps=1e-7)"""
        },
        train={
            "other sizes: patches of 7, two blocks": but(
                TRAIN, "14, 128, 8, 256, 1", "7, 64, 32, 96, 2"
            ),
            "average is a number": "average = loss.item()",
        },
        accuracy={
            "accuracy a Fraction": but(ACCURACY, "average", "model")
            + "from fractions import Fraction\naccuracy = Fraction(count_right(model), 10_000)"
        },
    ),
    "no torch in sight": submission(
        before={
            "no name `torch` in the notebook": "import torch as th",
            "a cell in the middle that fails": "d2l.not_there",
        },
        load={
            "a DataLoader with worker processes": """
from torch.utils.data import DataLoader, TensorDataset
train_data, test = load_fashion_mnist(512)
held = TensorDataset(test.normalise(test.images), test.labels)
test_data = DataLoader(held, 512, num_workers=1)
train_counts, test_counts = (d.labels.bincount().float() for d in (train_data, test))"""
        },
        patchify={
            "patches by tensor.unfold": """
def patchify(images, patch_size):
    windows = images.unfold(1, patch_size, patch_size).unfold(2, patch_size, patch_size)
    return windows.flatten(3).flatten(1, 2)"""
        },
        network={
            "dropout after the stem, shapes printed by forward": but(
                but(
                    NETWORK,
                    "self.patch_size = patch_size",
                    "self.patch_size, self.calls = patch_size, 0",
                ),
                "return self.classifier(self.blocks(self.stem(X))",
                """X = self.stem(patchify(images.view(-1, 28, 28), self.patch_size))
        X = F.dropout(X, 0.02, self.training)
        self.calls += 1
        if self.calls < 3: print("X", X.shape)
        return self.classifier(self.blocks(X)""",
            )
        },
        train={
            "the model left in training mode, no average": """
th.manual_seed(0)
model = PatchMLP(14, 64, 16, 128, 1, 10)
model(next(iter(train_data))[0])
optimizer = make_optimizer(model)
for images, labels in train_data:
    loss = loss_function(model(images), labels)
    model.zero_grad()
    loss.backward()
    optimizer.step()"""
        },
        loss=but(LOSS, "torch", "th"),
        accuracy={
            "accuracy a Decimal": but(but(ACCURACY, "average", "model"), "torch", "th")
            + """
from decimal import Decimal
accuracy = Decimal(count_right(model)) / 100
model.train()"""
        },
        after={
            "gradients left off": "th.set_grad_enabled(False)",
            "torch deleted": "del torch",
        },
    ),
    "names and settings left behind": submission(
        before={
            "every expression shown": """
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.ast_node_interactivity = "all"
%precision 3
%xmode Minimal""",
        },
        load={
            "counts of torch.unique, loader with a buffer": LOAD
            + """
train_counts = torch.unique(train_data.labels, return_counts=True)[1]
test_counts = list(torch.unique(test_data.labels, return_counts=True)[1])"""
        },
        patchify={
            "patches by chunk, cat and flatten": """
def patchify(images, patch_size):
    rows = images.split(patch_size, dim=1)
    cells = [cell for row in rows for cell in row.split(patch_size, dim=2)]
    return torch.cat([cell.flatten(1)[:, None] for cell in cells], dim=1)"""
        },
        network={
            "": NETWORK,
            "buffers": """
PatchMLP_ = PatchMLP

class PatchMLP(PatchMLP_):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images):
        return super().forward(images * self.scale)""",
        },
        train={
            "averaged in inference mode": but(
                but(TRAIN, "no_grad", "inference_mode"),
                "average, optimizer = deepcopy(model),",
                "with torch.inference_mode(): average = deepcopy(model)\noptimizer =",
            )
        },
        after={
            "a large baseline and a copy in another precision beside it": """
baseline = nn.Sequential(nn.Flatten(), nn.Linear(784, 20_000), nn.ReLU(), nn.Linear(20_000, 10))
halved = deepcopy(average).bfloat16()""",
            "builtins and modules shadowed": """
list, sum, input, str, float, int, dict, len = [1], 2, "x", "s", 1.0, 2, {}, 3
type, id, max, min, round, sorted, next, iter = (4,) * 8
print, open, repr, isinstance, getattr, hasattr, tuple, set, map, zip, all, any, abs = (None,) * 13
json, np, numpy, base64, io, sys, os, gc, copy, random, inspect, utils, tools = (None,) * 13""",
            "warnings are errors": """
import warnings as w
w.simplefilter("error")""",
            "another folder, output put away": """
import os as o, sys as s, io as i
o.makedirs("figures", exist_ok=True)
o.chdir("figures")
s.stdout = i.StringIO()""",
            "names deleted": "del images, labels, loss, optimizer, weight, mean, layer",
        },
    ),
    "a helper file": submission(
        before={
            "layers in a file that the notebook writes": "%%writefile my_layers.py"
            + IMPORTS
            + PATCHIFY
            + but(NETWORK, "self, images):", "self, images: torch.Tensor) -> torch.Tensor:"),
            "a background thread": """
import threading, time
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()""",
            "await at the top": "import asyncio\nawait asyncio.sleep(0.01)",
        },
        load={"images of the loader cached as a list": LOAD + "test_data = list(test_data)"},
        patchify="from my_layers import *",
        network={
            "a layer left over that forward does not use": """
from my_layers import PatchMLP as Base

class Leftover(Base):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.first_try = nn.Linear(sizes[1], 3)"""
        },
        loss={
            "PatchMLP with keywords and defaults of its own": """
class PatchMLP(Leftover):
    def __init__(self, patch=14, width=128, hidden1=8, hidden2=256, blocks=1, classes=10, seed=0):
        torch.manual_seed(seed)
        super().__init__(patch, width, hidden1, hidden2, blocks, classes)"""
            + LOSS
        },
        train={
            "three blocks": but(
                but(TRAIN, "14, 128, 8, 256, 1", "14, 128, 16, 192, 3"), "0.02", "0.1"
            ),
            "moved between devices, gradients switched off": """
average = average.to(torch.device("cpu")).requires_grad_(False)""",
            "compiled": 'model = torch.compile(model, backend="eager")',
        },
        accuracy={
            "accuracy of the last weights, though there is an average": but(
                ACCURACY, "average", "model"
            ),
        },
    ),
    "all widths alike": submission(
        load={"one batch kept as a name": LOAD + "images, labels = next(iter(test_data))"},
        patchify={
            "patches by gather": """
def patchify(images, patch_size):
    index = torch.arange(784).view(28, 28)
    rows = index.split(patch_size)
    index = torch.stack([c.flatten() for r in rows for c in r.split(patch_size, dim=1)])
    return images.flatten(1)[:, index]"""
        },
        network={
            "features first: X is (b, dim, patches) from the stem on": but(
                but(
                    NETWORK,
                    "return self.mlp2(self.mlp1(X.mT).mT)",
                    """O1 = self.mlp1(X.permute(0, 2, 1))
        return self.mlp2(torch.transpose(O1, 1, 2))""",
                ),
                "self.blocks(self.stem(X)).mean(dim=1)",
                "torch.mean(self.blocks(self.stem(X)).swapaxes(1, 2), -1)",
            )
        },
        train={
            "every matrix square: 16 patches, 16 features": but(
                but(TRAIN, "14, 128, 8, 256, 1", "7, 16, 16, 16, 2"),
                "for images",
                "for _ in range(2):\n  for images",
            )
        },
    ),
}
