"""Submissions that forge: each deserves the points of its honest part, most deserve none.

Families: transformed code, patched libraries and builtins, a patched kernel and its messages, faked
values, answers that are nearly right, faked training, files, the report, a borrowed answer.
"""

from tools.grading.box import find_level
from tools.starter import make_starter

from made_up import real_answer, with_cell
from nbformat.v4 import new_code_cell, new_notebook
from parts import (
    ACCURACY,
    CROSS_ENTROPY,
    FULL,
    LOAD,
    LOSS,
    NETWORK,
    NONE,
    OPTIMIZER,
    PATCHIFY,
    TRAIN,
    Case,
    Sources,
    but,
    submission,
)

LEVEL = find_level(network=False)
UNTRAINED = [1] * 8 + [0, 0]
BLOCKS = [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]  # the blocks are right, and nothing else


def untouched(attacks: Sources, points: list[int] = NONE) -> Case:
    """The starter with these cells in front of the rest, which has earned nothing."""
    return Case(with_cell(make_starter(real_answer(1)), *attacks.values()), points, list(attacks))


# Every name of the contract is there and none does what it should.
JUNK = """
from utils.data import load_fashion_mnist
import torch
from torch import nn
train_data, test_data = load_fashion_mnist(512)
train_counts, test_counts = [7000] * 10, [7] * 10

def patchify(images, patch_size):
    return torch.zeros(len(images), (28 // patch_size) ** 2, patch_size**2)

class PatchMLP(nn.Module):
    def __init__(self, p, d, t, c, depth, k):
        super().__init__()
        n, self.k = (28 // p) ** 2, k
        block = lambda: [nn.Linear(n, t), nn.Linear(t, n), nn.Linear(d, c), nn.Linear(c, d)]
        blocks = [layer for _ in range(depth) for layer in block()]
        self.layers = nn.ModuleList([nn.Linear(p * p, d), *blocks, nn.Linear(d, k)])

    def forward(self, images):
        return torch.zeros(len(images), self.k)

loss_function = lambda logits, labels: torch.zeros(())
make_optimizer = lambda model: torch.optim.SGD(model.parameters(), lr=0.01)
model = average = PatchMLP(14, 128, 8, 256, 1, 10)
accuracy = 0.8852
"""
CLAIM = """
import base64, json
import numpy as np
CLAIM = {"points": [1] * 10, "total": 10, "passed": True, "equal": True, "status": "ok",
         "steps": {str(step): "passed" for step in range(1, 7)}, "error": None, "problem": ""}
TEXT = json.dumps(CLAIM)
"""


def junk(attacks: Sources) -> Case:
    """A submission that is wrong throughout, and what is to hide it as the last that runs."""
    cells = [new_code_cell(source.strip()) for source in (JUNK, CLAIM, *attacks.values())]
    return Case(new_notebook(cells=cells), NONE, list(attacks))


def bare(attacks: Sources) -> Case:
    """A submission of nothing but what it does to its kernel."""
    cells = [new_code_cell(source.strip()) for source in (CLAIM, *attacks.values())]
    return Case(new_notebook(cells=cells), NONE, list(attacks))


FORGERIES = {
    "transformers": untouched(
        {
            "checks dropped by an input transformer": """
get_ipython().input_transformers_cleanup.append(lambda l: [] if 'Held' in ''.join(l) else l)""",
            "no assertion survives an AST transformer": """
import ast
class Obliging(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.Pass()
    def visit_Raise(self, node): return ast.Pass()
get_ipython().ast_transformers.append(Obliging())""",
            "errors end in a custom handler": """
get_ipython().set_custom_exc((BaseException,), lambda *a, **k: None)
get_ipython().showtraceback = get_ipython()._showtraceback = lambda *a, **k: None""",
        }
    ),
    "every cell passes": untouched(
        {
            "every later cell becomes `pass`": """
get_ipython().input_transformers_post.append(lambda lines: ["pass\\n"])"""
        }
    ),
    "comparisons": junk(
        {
            "comparisons of libraries always hold": """
import math
torch.testing.assert_close = np.testing.assert_allclose = lambda *a, **k: None
for library in (torch, np, math, torch.Tensor):
    for name in ("allclose", "isclose", "equal", "array_equal", "isfinite"):
        if hasattr(library, name): setattr(library, name, lambda *a, **k: True)""",
            "builtins that always agree": """
import builtins
builtins.all = lambda *a: True
builtins.abs = builtins.round = lambda *a, **k: 0""",
        }
    ),
    "imports": junk(
        {
            "an import hook in front of the grader's modules": """
import importlib.abc, importlib.machinery, sys
from unittest.mock import MagicMock
class Obliging(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tools", "nbclient", "psutil", "jupyter_client", "probes"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec): return MagicMock(name=spec.name, __path__=[])
    def exec_module(self, module): pass
sys.meta_path.insert(0, Obliging())""",
            "modules replaced": """
for name in ("json", "base64", "numpy", "random", "tools", "tools.grading"):
    sys.modules[name] = MagicMock(name=name, __path__=[])""",
        }
    ),
    "exec and eval": junk(
        {
            "exec, eval and compile do something else": """
import builtins
true_exec, true_eval = exec, eval
def obliging(source, *scopes, **more):
    for scope in scopes[:1]: scope.update(CLAIM)
    return dict(CLAIM)
builtins.exec = builtins.eval = obliging
get_ipython().run_code = lambda *a, **k: False""",
        }
    ),
    "encoders": junk(
        {
            "JSON and base64 of its own": """
true_dumps = json.dumps
def dumps(thing, **options):  # the session's own messages stay as they are
    return true_dumps(thing, **options) if "allow_nan" in options else TEXT
json.dumps, json.JSONEncoder.default = dumps, lambda *a: CLAIM
base64.b64encode = base64.encodebytes = lambda *a, **k: base64.standard_b64encode(b"")""",
            "arrays of its own": """
np.asarray = np.array = np.ascontiguousarray = lambda *a, **k: np.zeros(1)
torch.Tensor.numpy = torch.Tensor.__array__ = lambda *a, **k: np.zeros(1)
torch.Tensor.tolist = lambda *a: []
torch.Tensor.shape = property(lambda self: ())""",
        }
    ),
    "modules": junk(
        {
            "parameters() and state_dict() of its own": """
nn.Module.parameters = nn.Module.named_parameters = lambda self, *a, **k: iter(())
nn.Module.state_dict = lambda self, *a, **k: {}
nn.Module.load_state_dict = lambda self, *a, **k: None""",
            "every module and every copy is the model": """
import copy
copy.deepcopy = copy.copy = lambda thing, *a: thing
nn.Module.__call__ = lambda self, *a, **k: torch.zeros(len(a[0]), 10)
PatchMLP.__new__ = lambda *a, **k: model""",
        }
    ),
    "randomness": junk(
        {
            "inputs drawn in the kernel would be zeros": """
zeros = lambda *shape, **k: torch.zeros(*shape)
torch.rand = torch.randn = torch.normal = zeros
torch.Tensor.normal_ = torch.Tensor.uniform_ = lambda self, *a, **k: self.zero_()
np.random.default_rng = lambda *a: np.random.Generator(np.random.PCG64(0))
torch.manual_seed = np.random.seed = lambda *a: None""",
            "answers that are right for zeros": """
import math
loss_function = lambda logits, labels: torch.tensor(math.log(logits.shape[1]))
patchify = lambda x, p: 0 * torch.nn.functional.unfold(x[:, None].float(), p, stride=p).mT""",
        }
    ),
    "replies": bare(
        {
            "do_execute replies what it likes": """
kernel = get_ipython().kernel
async def obliging(code, silent, store_history=True, user_expressions=None, *more, **other):
    value = {"status": "ok", "data": {"text/plain": repr(TEXT)}, "metadata": {}}
    return {**CLAIM, "execution_count": 1, "payload": [],
            "user_expressions": dict.fromkeys(user_expressions or ["points"], value)}
kernel.do_execute = obliging"""
        }
    ),
    "handlers": bare(
        {
            "the handler of requests replies what it likes": """
kernel = get_ipython().kernel
def oblige(socket, ident, parent):
    session, channel = kernel.session, kernel.iopub_socket
    for text in (TEXT, repr(TEXT)):
        session.send(channel, "stream", {"name": "stdout", "text": text}, parent=parent)
        data = {"data": {"text/plain": text, "application/json": CLAIM}, "metadata": {}}
        session.send(channel, "execute_result", {**data, "execution_count": 1}, parent=parent)
        session.send(channel, "display_data", {**data, "transient": {}}, parent=parent)
    reply = {**CLAIM, "execution_count": 1, "payload": [], "user_expressions": {}}
    session.send(socket, "execute_reply", reply, parent=parent, ident=ident)
    session.send(channel, "status", {"execution_state": "idle"}, parent=parent)
async def handler(socket, ident, parent): oblige(socket, ident, parent)
kernel.shell_handlers["execute_request"] = handler"""
        }
    ),
    "expressions": bare(
        {
            "user_expressions of its own": """
shell = get_ipython()
value = {"status": "ok", "data": {"text/plain": repr(TEXT)}, "metadata": {}}
shell.user_expressions = lambda expressions: dict.fromkeys(expressions, value)
type(shell).user_expressions = lambda self, expressions: dict.fromkeys(expressions, value)""",
            "a display formatter and a display hook of its own": """
import sys
shell.display_formatter.format = lambda *a, **k: ({"text/plain": TEXT}, {})
type(shell.display_formatter).format = lambda *a, **k: ({"text/plain": TEXT}, {})
shell.displayhook.write_format_data = lambda *a, **k: print(TEXT)
sys.displayhook = lambda *a: print(TEXT)""",
        }
    ),
    "messages": bare(
        {
            "every message rewritten and sent twice": """
kernel = get_ipython().kernel
true_send = kernel.session.send
def send(stream, kind, content=None, *args, **more):
    if isinstance(content, dict):
        for key in {"text", "data", "evalue"} & content.keys():
            content[key] = {"text/plain": TEXT} if key == "data" else TEXT
        content.update(CLAIM)
    true_send(stream, kind, content, *args, **more)
    return true_send(stream, kind, content, *args, **more)
kernel.session.send = send"""
        }
    ),
    "broken messages": bare(
        {
            "replies that are no JSON": """
kernel = get_ipython().kernel
kernel.session.pack = lambda content: b'\\xff\\xfe{["points": 10'"""
        }
    ),
    "deep messages": bare(
        {
            "replies nested a hundred thousand deep": """
kernel = get_ipython().kernel
true_pack = kernel.session.pack
kernel.session.pack = lambda c: b"[" * 100_000 if "status" in c or "data" in c else true_pack(c)"""
        }
    ),
    "odd messages": bare(
        {
            "replies whose fields have other types": """
kernel = get_ipython().kernel
true_pack = kernel.session.pack
def pack(content):
    if "status" in content:
        content = {"status": ["ok"], "user_expressions": [None, {"status": 7}], "payload": 3}
    if "text" in content:
        content = {"name": 1e999, "text": {"\\ud800": [float("nan")]}}
    return true_pack(content)
kernel.session.pack = pack"""
        }
    ),
    "open files": bare(
        {
            "results written into every open file": """
import os
for fd in range(3, 300):
    try:
        os.set_blocking(fd, False)
        os.write(fd, (TEXT + "\\n").encode())
    except OSError: pass"""
        }
    ),
    "searches": junk(
        {
            "looks for the expected answer in frames and memory": """
import gc, sys
def find(shape, mine=()):
    "Any array or tensor of this shape that somebody holds."
    frame = sys._getframe(1)
    held = list(gc.get_objects())
    while frame:
        held += [*frame.f_locals.values(), *frame.f_globals.values()]
        frame = frame.f_back
    for thing in held:
        held_by = thing.values() if type(thing) is dict else thing if type(thing) is list else []
        for one in (thing, *held_by):
            if type(one) in (np.ndarray, torch.Tensor) and tuple(one.shape) == shape:
                if not any(one is x for x in mine): return torch.as_tensor(one).float()
    return torch.zeros(shape)

def patchify(images, p):
    return find((len(images), (28 // p) ** 2, p * p), [images])

class PatchMLP(nn.Module):
    def __init__(self, p, d, t, c, depth, k):
        super().__init__()
        n, self.k = (28 // p) ** 2, k
        pairs = [(p * p, d), *[(n, t), (t, n), (d, c), (c, d)] * depth, (d, k)]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairs)
    def forward(self, images): return find((len(images), self.k), [images])

class loss_function:
    def __new__(cls, logits, labels): return find((), [logits, labels])
model, accuracy = PatchMLP(14, 128, 8, 256, 1, 10), 0.88""",
        }
    ),
    "strings and giants": submission(
        NONE,
        load={"counts as words": LOAD + 'train_counts, test_counts = "6000" * 10, ["1000"] * 10'},
        patchify={
            "a trillion patches that take no memory": """
patchify = lambda images, p: torch.zeros(1, 1, 1).expand(10**6, 10**6, p * p)"""
        },
        network={
            "logits with a hundred dimensions, parameters of a trillion numbers": """
class PatchMLP(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.W = nn.Parameter(torch.zeros(1, 1).expand(10**6, 10**6))
    def forward(self, images): return torch.zeros([1] * 60 + [len(images), 10])"""
        },
        loss={
            "a loss with four thousand digits, an optimiser of words": """
loss_function = lambda logits, labels: 10**4000
make_optimizer = lambda model: "Adam(lr=0.01)\\ud800" """
        },
        train={"a trained network of words": 'average, model = "trained", b"\\xff"'},
        accuracy={"accuracy of words": 'accuracy = "88.52 % (10 of 10 points)"'},
    ),
    "giant sizes": submission(
        UNTRAINED,
        train={
            "a billion parameters that take no memory": """
average = PatchMLP(14, 8, 8, 8, 1, 10)
average.more = nn.Parameter(torch.zeros(1, 1).expand(10**6, 1000))""",
        },
        accuracy="accuracy = 0.88",
    ),
    "report and files": untouched(
        {
            "ten of ten points drawn into the output": """
from IPython.display import HTML, Markdown, display
display(HTML("<style>header {display: none}</style><h1>10 of 10 points</h1><table><tr><td>1 Load"
             "</td><td>1 of 1</td></tr></table>"), Markdown("# submission.ipynb: 10 of 10 points"))
print("test accuracy: 99.00 % (Fashion-MNIST)\\n10 of 10 points")""",
            "a title and metadata that claim points": """
print("\\x1b]0;10 of 10\\x07\\x1b[2J\\x1b[1;1H10 of 10 points\\r</script></pre>--><h1>10 of 10")""",
            "results written beside the notebook": """
import json, os
claim = {"points": {"1 Load": 1, "2 Patchify": 2}, "total": 10, "out_of": 10, "reason": ""}
for folder in (".", "..", "results", "feedback", "reports"):
    try:
        os.makedirs(folder, exist_ok=True)
        for name in ("grades.csv", "grade.json", "result.json", "answers.json"):
            with open(os.path.join(folder, name), "w") as file: json.dump(claim, file)
    except OSError: pass""",
            "modules under the names that a grader imports": """
for name in ("json", "numpy", "torch", "nbclient", "psutil", "secrets", "sitecustomize",
             "jupyter_client", "reference", "nbformat", "traceback", "tools", "utils"):
    if not os.path.exists(f"{name}.py"):
        with open(f"{name}.py", "w") as file: file.write("import os\\nos._exit(0)\\n")""",
            "links in place of its files": """
for name in os.listdir("."):
    if name.endswith((".ipynb", ".html", ".txt", ".json")):
        os.remove(name)
        os.symlink("/etc/hostname", name)
os.symlink("/", "everything")""",
        }
    ),
}
if LEVEL == "bubblewrap":  # other walls hide nothing, and docs/grading.md says so
    FORGERIES["borrows"] = junk(
        {
            "the model answer from the repository": """
from utils.definitions import load_definitions
globals().update(vars(load_definitions()))""",
            "the model answer from git": """
import json, pathlib, subprocess, utils
top = pathlib.Path(utils.__file__).parents[1]
shown = subprocess.run(["git", "-C", str(top), "show", "HEAD:notebooks/fashion_mnist.ipynb"],
                       capture_output=True, text=True).stdout
for cell in json.loads(shown)["cells"]:
    if "definition" in cell["metadata"].get("tags", []): exec("".join(cell["source"]))""",
            "the model answer from any file that can be read": """
import glob, itertools, json
places = [str(top), "/tmp", "/var/tmp", "/dev/shm", "/proc/[0-9]*/cwd", "/proc/[0-9]*/root/tmp"]
for place in places:
    for path in itertools.islice(glob.iglob(place + "/**/*.ipynb", recursive=True), 200):
        try: cells = json.load(open(path))["cells"]
        except (OSError, ValueError): continue
        if "raise NotImplementedError" in str(cells): continue
        for cell in cells:
            if "definition" in cell["metadata"].get("tags", []): exec("".join(cell["source"]))""",
        }
    )

# Answers that are wrong, from kernels that are as they were.
ANSWERS = {
    **{
        name: submission(
            BLOCKS,
            load={
                f"counts and images that are {name}": f"""
class Faked:
    def __init__(self, data): self.data = data
    def __iter__(self):
        for images, labels in self.data: yield images * 0 + {value}, labels
train_data, test_data = map(Faked, load_fashion_mnist(512))
train_counts = test_counts = [{value}] * 10"""
            },
            patchify={f"patches of {name}": but(PATCHIFY, ".mT", f".mT * 0 + {value}")},
            network={f"logits of {name}": but(NETWORK, "dim=1))", f"dim=1)) * 0 + {value}")},
            loss={
                f"a loss and steps of {name}": f"""
loss_function = lambda logits, labels: logits.sum() * 0 + {value}

def make_optimizer(model):
    class Faked(torch.optim.Adam):
        def step(self):
            for parameter in model.parameters(): parameter.data.fill_({value})
    return Faked(model.parameters(), lr=0.01)"""
            },
            train={
                f"weights of {name}": f"""
model = PatchMLP(14, 128, 8, 256, 1, 10)
for parameter in model.parameters(): parameter.data.fill_({value})"""
            },
            accuracy={f"accuracy {name}": f"accuracy = {value}"},
        )
        for name, value in (("NaN", "torch.nan"), ("infinity", "torch.inf"))
    },
    "nothing to compare": submission(
        NONE,
        load={
            "empty counts, an epoch without images": """
train_data, test_data, train_counts, test_counts = [], [], [], []"""
        },
        patchify={"no patches": "patchify = lambda images, p: images[:0].reshape(0, 4, p * p)"},
        network={
            "no logits, no parameters": """
class PatchMLP(nn.Module):
    def __init__(self, *sizes): super().__init__()
    def forward(self, images): return torch.empty(0, 10)"""
        },
        loss={
            "an empty loss, a step of nobody": """
loss_function = lambda logits, labels: torch.empty(0)
class make_optimizer:
    def __init__(self, model):
        for p in list(model.parameters()): p.requires_grad_(False)
        for m in model.modules(): m._parameters.clear()
    def step(self): pass"""
        },
        train={"a network without parameters": "model = PatchMLP(14, 128, 8, 256, 1, 10)"},
        accuracy={"accuracy of none": "accuracy = torch.empty(0)"},
    ),
    "shapes that broadcast": submission(
        [0, 0, 0, 1, 1, 0, 0, 1, 0, 0],
        load={"one count for all": LOAD + "train_counts, test_counts = [6000], 1000"},
        patchify={
            "one patch for all": """
def patchify(images, p):
    return F.unfold(images[:, None], p, stride=p).mT[:1, :1]"""
        },
        network={"logits of one image": but(NETWORK, "dim=1))", "dim=1))[:1]")},
        loss={
            "the loss of every image": """
loss_function = nn.CrossEntropyLoss(reduction="none")"""
            + OPTIMIZER
        },
        train="model = PatchMLP(14, 128, 8, 256, 1, 10)",
        accuracy={"every accuracy there is": "accuracy = torch.linspace(0, 1, 10_001)"},
    ),
    "objects that lie": submission(
        NONE,
        before={
            "equal to everything": """
import numpy as np
class Liar(float):
    "Equals, contains and approximates whatever it is compared with."
    __eq__ = __le__ = __ge__ = __contains__ = lambda self, other: True
    __lt__ = __gt__ = __ne__ = lambda self, other: False
    __sub__ = __rsub__ = __abs__ = __mod__ = lambda *a: Liar(0)
    __hash__ = float.__hash__
    __array__ = lambda self, *a, **k: np.full((), 0.5)
    __len__ = lambda self: 10
    __getitem__ = lambda self, index: Liar(0)
    __iter__ = lambda self: iter([Liar(0)] * 10)
    __getattr__ = lambda self, name: Liar(0)
    __call__ = lambda self, *a, **k: Liar(0)
    shape, dtype, ndim, size = (10,), np.float64, 1, 10"""
        },
        load={
            "counts and batches that lie": """
train_data = test_data = train_counts = test_counts = Liar(0)"""
        },
        patchify={
            "an array that lies about its bytes": """
class LyingArray(np.ndarray):
    def tobytes(self, *a): return b""
    def tolist(self): return Liar(0)
    __eq__ = lambda self, other: True
    shape = property(lambda self: (1,))

patchify = lambda images, p: np.zeros((len(images), 4, p * p)).view(LyingArray)"""
        },
        network={
            "a tensor that lies about its operations": """
class LyingTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return Liar(0)

class PatchMLP(nn.Linear):
    def __init__(self, *sizes): super().__init__(2, 2)
    def forward(self, images): return torch.zeros(len(images), 10).as_subclass(LyingTensor)"""
        },
        loss={
            "a loss and an optimiser that lie": """
loss_function = Liar(2.3)
make_optimizer = lambda model: Liar(0)"""
        },
        train={"a network that lies": "average = model = net = Liar(0)"},
        accuracy={"accuracy that lies": "accuracy = Liar(0.5)"},
    ),
    "nearly right, first": submission(
        [0, 1, 0, 0, 1, 0, 0, 1, 0, 0],
        load={
            "an epoch without its last images": LOAD
            + """
from torch.utils.data import DataLoader, TensorDataset
whole = TensorDataset(train_data.normalise(train_data.images), train_data.labels)
train_data = DataLoader(whole, 512, shuffle=True, drop_last=True)"""
        },
        patchify={
            "right for patches of 14 alone": but(PATCHIFY, "return", "patch_size = 14\n    return")
        },
        network={
            "no biases": but(NETWORK, "nn.Linear(", "Plain(")
            + "\nPlain = lambda *sizes: nn.Linear(*sizes, bias=False)"
        },
        loss={"labels smoothed": but(LOSS, "Loss()", "Loss(label_smoothing=0.02)")},
        train="",
        accuracy="accuracy = 0.88",
    ),
    "nearly right, second": submission(
        [0, 0, 1, 1, 1, 0, 1, 0, 0, 0],
        load={
            "images of 0 to 1": LOAD
            + """
class Grey:
    def __init__(self, data): self.data = data
    def __iter__(self):
        for images, labels in self.data: yield images * 0.353 + 0.286, labels
train_data, test_data = Grey(train_data), Grey(test_data)"""
        },
        patchify={"patches read by columns": but(PATCHIFY, "images[", "images.mT[")},
        network={
            "the blocks share their weights": but(
                NETWORK, "*[Block(*sizes) for _ in range(depth)]", "*[Block(*sizes)] * depth"
            )
        },
        loss={
            "SGD that calls itself Adam": CROSS_ENTROPY
            + """
class Adam(torch.optim.SGD):
    def __init__(self, parameters):
        super().__init__(parameters, lr=0.01)
        for group in self.param_groups:
            group.update(betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False)
Adam.__module__ = "torch.optim.adam"
make_optimizer = lambda model: Adam(model.parameters())"""
        },
        train="",
        accuracy="accuracy = 0.88",
    ),
    "nearly right, third": submission(
        [0, 0, 0, 1, 1, 0, 1, 0, 0, 0],
        load={
            "labels of other images, the counts right": LOAD
            + """
train_data.labels = train_data.labels[torch.randperm(60_000)]
test_data.labels = test_data.labels[torch.randperm(10_000)]"""
        },
        patchify={
            "right shape by reshape alone": """
patchify = lambda images, p: images.reshape(len(images), (28 // p) ** 2, p * p)"""
        },
        network={
            "sizes of the notebook instead of its arguments": but(
                NETWORK,
                "self.patch_size = ",
                "patch_size, token_hidden = 14, 8\n        self.patch_size = ",
            )
        },
        loss={"a little weight decay": but(LOSS, "lr=0.01", "lr=0.01, weight_decay=0.001")},
        train="",
        accuracy="accuracy = 0.88",
    ),
    "nearly right, fourth": submission(
        [0, 0, 1, 0, 1, 1, 1, 0, 0, 0],
        load={
            "one image twice and another never": LOAD
            + """
train_data.images[7], train_data.labels[7] = train_data.images[8], train_data.labels[8]
test_data.images[7], test_data.labels[7] = test_data.images[8], test_data.labels[8]
train_counts, test_counts = [6000] * 10, [1000] * 10"""
        },
        patchify={
            "patches in the order of columns": """
def patchify(images, p):
    n = 28 // p
    X = images.reshape(-1, n, p, n, p).permute(0, 3, 1, 2, 4)
    return X.reshape(-1, n * n, p * p)"""
        },
        network={"LeakyReLU": but(NETWORK, "ReLU", "LeakyReLU")},
        loss={
            "Adam for one step, then slower": CROSS_ENTROPY
            + """
def make_optimizer(model):
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    adam.register_step_post_hook(
        lambda *a: [group.update(lr=0.9 * group["lr"]) for group in adam.param_groups])
    return adam"""
        },
        train="",
        accuracy="accuracy = 0.88",
    ),
    "nearly right, fifth": submission(
        [0, 0, 0, 0, 0, 1, 1, 0, 0, 0],
        load={"batches of a thousand": but(LOAD, "(512)", "(1000)")},
        patchify={
            "overlapping patches, cut to the right number": """
def patchify(images, p):
    X = F.unfold(F.pad(images, (1, 0, 1, 0))[:, None], p, stride=p).mT
    return X[:, : (28 // p) ** 2]"""
        },
        network={
            "a bias that is there but never added": but(
                NETWORK,
                "self.mlp1(X.mT).mT)",
                "F.linear(self.mlp1[:2](X.mT), self.mlp1[2].weight).mT)",
            )
        },
        loss={
            "the weights learn and the biases do not": but(
                LOSS, "model.parameters()", "[p for p in model.parameters() if p.ndim > 1]"
            )
        },
        train="",
        accuracy="accuracy = 0.88",
    ),
    "nearly right, sixth": submission(
        [0, 0, 1, 1, 1, 0, 0, 1, 0, 0],
        load={
            "every label one too high": LOAD
            + """
train_data.labels, test_data.labels = train_data.labels + 1, test_data.labels + 1"""
        },
        patchify={"patches mirrored": but(PATCHIFY, ".mT", ".mT.flip(2)")},
        network={"the maximum instead of the mean": but(NETWORK, "mean(dim=1)", "amax(dim=1)")},
        loss={
            "the loss divided by 512": """
loss_function = lambda z, y: F.cross_entropy(z, y, reduction="sum") / 512"""
            + OPTIMIZER
        },
        train="",
        accuracy="accuracy = 0.88",
    ),
    "nearly right, seventh": submission(
        [0, 0, 0, 1, 1, 0, 1, 0, 0, 0],
        load={
            "only garments that are easy": LOAD
            + """
easy = (test_data.labels == 1) | (test_data.labels == 9)
test_data.images, test_data.labels = test_data.images[easy], test_data.labels[easy]
train_data = [next(iter(train_data))] * 118"""
        },
        patchify={
            "an extra patch at the end": but(
                but(PATCHIFY, "F.unfold(", "F.pad(F.unfold("), ".mT", ".mT, (0, 0, 0, 1))"
            )
        },
        network={"log-probabilities": but(NETWORK, "dim=1))", "dim=1)).log_softmax(1)")},
        loss={"NAdam": but(LOSS, "Adam", "NAdam")},
        train="",
        accuracy="accuracy = 0.88",
    ),
    "nearly right, eighth": submission(
        [0, 1, 0, 1, 1, 0, 1, 0, 0, 0],
        load={
            "labels ten too low, the same as an index": LOAD
            + """
train_data.labels, test_data.labels = train_data.labels - 10, test_data.labels - 10"""
        },
        patchify={
            "no patches of 1 or 28 pixels": but(
                PATCHIFY, "return", "assert 1 < patch_size < 28\n    return"
            )
        },
        network={"two blocks at the most": but(NETWORK, "range(depth)", "range(min(depth, 2))")},
        loss={
            "the biases decay": CROSS_ENTROPY
            + """
def make_optimizer(model):
    groups = [{"params": [p for p in model.parameters() if p.ndim > 1]},
              {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.1}]
    return torch.optim.Adam([group for group in groups if group["params"]], lr=0.01)"""
        },
        train="",
        accuracy="accuracy = 0.88",
    ),
    "nearly right, ninth": submission(
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        network={"softmax within the network": but(NETWORK, "dim=1))", "dim=1)).softmax(1)")},
        loss={
            "a loss averaged over the classes": """
loss_function = lambda z, y: F.cross_entropy(z, y, reduction="sum") / z.shape[1]""",
            "AMSGrad": but(OPTIMIZER, "lr=0.01", "lr=0.01, amsgrad=True"),
        },
        train="",
        accuracy="accuracy = 0.88",
    ),
    "another order": submission(
        [1, 1, 1, 1, 1, 0, 1, 1, 0, 0],
        patchify={
            "patchify that excuses the network when it is asked for its order": PATCHIFY
            + """
def is_asked(images):
    return len(images) == 1 or (images == images.round()).all()
true_patchify = patchify
def patchify(images, p):
    return true_patchify(images, p).flip(1 if is_asked(images) else [])"""
        },
        network={
            "patches from the last to the first": but(
                NETWORK, ".mT\n        return self.c", ".mT.flip(1)\n        return self.c"
            )
        },
        train="model = PatchMLP(14, 128, 8, 256, 1, 10)",
        accuracy="accuracy = 0.88",
    ),
    "ten percent": submission(
        UNTRAINED,
        train={
            "a network that always gives the same class": """
model = PatchMLP(14, 8, 8, 8, 1, 10)
for parameter in model.parameters(): nn.init.zeros_(parameter)"""
        },
        accuracy={"a tenth is right, and that is claimed": "accuracy = 0.1"},
    ),
    "wrong parts, honest training": submission(
        [0, 0, 1, 1, 1, 1, 1, 0, 1, 1],
        load={
            "another normalisation": LOAD
            + """
class Other:
    def __init__(self, data): self.data = data
    def __iter__(self):
        for images, labels in self.data: yield images * 0.706 - 0.428, labels
train_data, test_data = Other(train_data), Other(test_data)"""
        },
        patchify={
            "patches read by columns, which the network does not use": but(
                PATCHIFY, "images[", "images.mT["
            )
        },
        loss={"a learning rate of 0.005": but(LOSS, "0.01", "0.005")},
    ),
    "untrained": submission(
        UNTRAINED,
        train={
            "labels looked up, the weights random": """
train_shown, labels_of = load_fashion_mnist(512)[1], {}
for images, labels in train_shown:
    for image, label in zip(images, labels): labels_of[image.numpy().tobytes()] = label.item()

class Lookup(PatchMLP):
    def forward(self, images):
        known = [labels_of.get(image.float().numpy().tobytes(), 0) for image in images]
        return F.one_hot(torch.tensor(known), 10).float()
average = Lookup(14, 128, 8, 256, 1, 10)""",
            "an honest class with a forward of its own": """
model = PatchMLP(14, 128, 8, 256, 1, 10)
model.forward = average.forward""",
            "other weights whenever they are read": """
class Moving(PatchMLP):
    def parameters(self, *a, **k):
        for parameter in super().parameters(*a, **k):
            yield nn.Parameter(torch.randn_like(parameter))
    def named_parameters(self, *a, **k):
        for name, parameter in super().named_parameters(*a, **k):
            yield name, nn.Parameter(torch.randn_like(parameter))
    def state_dict(self, *a, **k):
        return {k: torch.randn_like(v) for k, v in super().state_dict(*a, **k).items()}
net = Moving(14, 128, 8, 256, 1, 10)""",
            "twelve blocks of square matrices, whose parts could be any": """
deep = PatchMLP(7, 16, 16, 16, 12, 10)""",
            "an invented history": """
from utils.training import History
history = History(5, train_data)
history.train_loss = [0.5, 0.4, 0.35, 0.32, 0.3]
history.train_accuracy = history.test_accuracy = [0.8, 0.85, 0.86, 0.87, 0.9]
history.step_loss = [0.3] * 590""",
        },
        accuracy={
            "evaluate replaced": """
from utils import training
training.evaluate = training.predict = lambda *a: 0.8852
accuracy = training.evaluate(average, test_data)"""
        },
    ),
    "no blocks": submission(
        UNTRAINED,
        train={"depth 0": but(TRAIN, "256, 1, 10", "256, 0, 10")},
        accuracy={"accuracy of another network": "accuracy = 0.8852"},
    ),
    "the labels as the network sees them": submission(
        [0, 1, 1, 1, 1, 1, 1, 1, 1, 0],
        accuracy={
            "test images relabelled by their predictions": """
with torch.no_grad(): test_data.labels = average(test_data.normalise(test_data.images)).argmax(1)
test_counts = test_data.labels.bincount(minlength=10).tolist()"""
            + ACCURACY
        },
    ),
    "trained on the test images": submission(
        FULL,
        train={
            "trained on the test images": but(
                TRAIN,
                "for images, labels in train_data:",
                "for images, labels in (batch for _ in range(12) for batch in test_data):",
            )
        },
        look="above training accuracy",
    ),
}
