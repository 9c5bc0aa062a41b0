"""The ten questions: what each slip costs, and the hint that it gets; without a kernel."""

import copy
import re
from contextlib import redirect_stdout
from functools import cache, partial

from tools.grading import inside, questions
from tools.grading.questions import NOTEBOOK, QUESTIONS
from tools.grading.rubric import Reply, draw_all, expected_answer, judge, load_rubric
from utils.data import BatchLoader, load_fashion_mnist
from utils.definitions import load_definitions

import nbformat
import numpy as np
import pytest
import torch
from made_up import changed
from torch import nn

pytestmark = pytest.mark.slow

RUBRIC = load_rubric()
LOOP, FORWARD = "optimizer.step()\n", "O2 = self.mlp2(O1.transpose(1, 2))"


@cache
def model_answer():
    with redirect_stdout(None):
        return vars(load_definitions(NOTEBOOK))


@pytest.fixture(scope="module", autouse=True)
def _few_images():
    """Judged by few images, which takes a tenth of the time; learned from all."""
    few = load_fashion_mnist(questions.BATCH)
    for data, number in zip(few, (5000, 1000), strict=True):
        data.images, data.labels = data.images[:number], data.labels[:number]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions, "load_data", lambda: few)
        yield


@cache
def trained():
    """The model answer's network after an epoch, and its share of the few test images right."""
    names = model_answer()
    train_data, test_data = load_fashion_mnist(questions.BATCH)[0], questions.load_data()[1]
    torch.manual_seed(0)
    model = names["make_model"]()
    average, optimizer = copy.deepcopy(model), names["make_optimizer"](model)
    for images, labels in train_data:
        model.zero_grad()
        names["loss_function"](model(images), labels).backward()
        optimizer.step()
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
                mean.lerp_(weight, 0.05)
    return model, average, names["evaluate"](average, test_data)


def defined(tmp_path, *slips):
    """What the notebook with these slips defines, an honestly trained network in it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for right, slip in slips:
        notebook = changed(notebook, right, slip)
    nbformat.write(notebook, tmp_path / "slip.ipynb")
    train_data, test_data = questions.load_data()
    model, average, accuracy = trained()
    counts = [data.labels.bincount().tolist() for data in (train_data, test_data)]
    return {
        **vars(load_definitions(tmp_path / "slip.ipynb")),
        **dict(zip(("train_counts", "test_counts"), counts, strict=True)),
        **{"train_data": train_data, "test_data": test_data},
        **{"model": model, "average": average, "accuracy": accuracy},
    }


def graded(names, seed=1):
    """The grade of what a notebook has defined, with the inputs of this seed."""
    replies, wrong = {}, set()
    for question, given in zip(QUESTIONS, draw_all(QUESTIONS, seed), strict=True):
        answer, errors = inside.answer_of(question.ask, names, given)
        answer = {name: np.asarray(array, float) for name, array in answer.items()}
        expected = partial(expected_answer, question, model_answer(), given)
        reply = Reply(given, answer, errors, expected, model_answer(), replies, wrong)
        replies[question] = reply
    return judge("slip.ipynb", RUBRIC, replies, "")


def lost(grade):
    return [int(not points) for points in grade.points.values()]


def test_the_model_answer_loses_nothing_whatever_is_drawn(tmp_path):
    names = defined(tmp_path)
    for seed in range(5):
        grade = graded(names, seed)
        assert grade.total == 10, grade.problems


def test_inputs_differ_for_every_file_and_in_all_their_sizes():
    first, second = (draw_all(QUESTIONS, seed) for seed in (1, 2))
    for question, one, other in zip(QUESTIONS, first, second, strict=True):
        drawn = [name for name in one if one[name].dtype.kind == "f"]
        assert all(not np.array_equal(one[name], other[name]) for name in drawn), question.name
    block = first[QUESTIONS.index(questions.BLOCK)]
    assert len({*block["X"].shape, *block["hidden"]}) == 5
    loss = first[QUESTIONS.index(questions.LOSS)]
    assert all(len(set(loss[name].shape)) == 2 for name in loss if name.startswith("logits"))


# A slip, the questions that it costs (by their place), and what the hint says.
SLIPS = {
    "patches down the columns": (
        [("b (h w) (p1 p2)", "b (w h) (p1 p2)")],
        [2],
        "patches go down the columns",
    ),
    "pixels down the columns": (
        [("b (h w) (p1 p2)", "b (h w) (p2 p1)")],
        [2],
        "pixels within a patch go down its columns",
    ),
    "patches cut by reshape": (
        [("rearrange(images, pattern, p1=patch_size, p2=patch_size)",
          "images.reshape(len(images), -1, patch_size**2)")],
        [2, 3],
        "A reshape alone cuts rows",
    ),
    "the notebook's patch size": (
        [("p1=patch_size, p2=patch_size)", "p1=14, p2=14)")],
        [3],
        "argument `patch_size`",
    ),
    "first MLP not fed X transposed": (
        [("self.mlp1(X.transpose(1, 2))", "self.mlp1(X.reshape(len(X), X.shape[2], -1))")],
        [4],
        "it does not transpose",
    ),
    "no ReLU": (
        [("nn.ReLU(), ", "nn.Identity(), ")],
        [4],
        "Linear, ReLU, Linear",
    ),
    "not transposed back": (
        [(FORWARD, "O2 = self.mlp2(O1.reshape(X.shape))")],
        [5],
        "reshaped only",
    ),
    "returned transposed": (
        [("return O2", "return O2.transpose(1, 2)")],
        [5],
        "What comes back is transposed",
    ),
    "a residual": (
        [("return O2", "return O2 + X")],
        [5],
        "O2 is all that comes back",
    ),
    "no bias": (
        [("nn.Linear(hidden, width))", "nn.Linear(hidden, width, bias=False))")],
        [4],
        "each with its bias",
    ),
    "a layer renamed": (
        [("self.stem", "self.embed")],
        [6],
        r"no parameter `stem\.weight`",
    ),
    "softmax inside the model": (
        [(".mean(dim=1))", ".mean(dim=1)).softmax(dim=1)")],
        [6],
        "leave the softmax to the loss",
    ),
    "the mean over the wrong axis": (
        [(".mean(dim=1))", ".mean(dim=0))")],
        [6],
        r"the mean: it goes over the patches|the mean over the patches",
    ),
    "the maximum": (
        [(".mean(dim=1))", ".amax(dim=1))")],
        [6],
        "the mean over the patches",
    ),
    "softmax before the loss": (
        [("nn.CrossEntropyLoss()", "lambda z, y: nn.CrossEntropyLoss()(z.softmax(1), y)")],
        [7],
        "Softmax is taken twice",
    ),
    "loss summed": (
        [("nn.CrossEntropyLoss()", 'nn.CrossEntropyLoss(reduction="sum")')],
        [7],
        "sum over the images",
    ),
    "loss averaged over the classes": (
        [("nn.CrossEntropyLoss()",
          'lambda z, y: nn.CrossEntropyLoss(reduction="sum")(z, y) / z.shape[1]')],
        [7],
        "divide by the number of images",
    ),
    "the default rate": ([(", lr=learning_rate", "")], [8], "default, 0.001"),
    "weight decay": ([("weight_decay=weight_decay", "weight_decay=0.01")], [8], "weight decay"),
    "SGD": ([("torch.optim.Adam(", "torch.optim.SGD(")], [8], "use Adam"),
    "AMSGrad": ([("lr=learning_rate", "lr=learning_rate, amsgrad=True")], [8], "AMSGrad is on"),
}  # fmt: skip


# Slips that the right part of a network must not hide where patchify is wrong as well.
HIDDEN = {
    "weights shared": ("*[Block(*sizes) for _ in range(depth)]", "*[Block(*sizes)] * depth"),
    "fewer blocks": ("for _ in range(depth)", "for _ in range(min(depth, 2))"),
    "another width": ("self.stem = ", "sizes = num_patches, dim, 8, channel_hidden; self.stem = "),
}


def test_sizes_handed_on_wrongly_are_not_hidden_by_a_wrong_mlp(tmp_path):
    sizes = "sizes = num_patches, dim, "
    swapped = f"{sizes}token_hidden, channel_hidden", f"{sizes}channel_hidden, token_hidden"
    names = defined(tmp_path, ("nn.ReLU(), ", "nn.GELU(), "), swapped)
    assert lost(graded(names)) == [0, 0, 0, 1, 0, 1, 0, 0, 0, 0]


def test_patches_whose_pixels_are_mixed_up_are_right_at_no_size(tmp_path):
    names = defined(tmp_path)
    true = names["patchify"]
    names["patchify"] = lambda images, size: true(images, size).sort(2).values.sort(1).values
    assert lost(graded(names))[1:3] == [1, 1]


def test_a_loss_may_count_on_the_ten_classes(tmp_path):
    names = defined(tmp_path)
    names["loss_function"] = lambda logits, labels: (
        -((nn.functional.one_hot(labels, 10) * logits.log_softmax(1)).sum(1).mean())
    )
    assert graded(names).total == 10


@pytest.mark.parametrize("name", HIDDEN)
def test_two_slips_cost_what_both_cost(tmp_path, name):
    columns = ("b (h w) (p1 p2)", "b (w h) (p1 p2)")
    assert lost(graded(defined(tmp_path, columns, HIDDEN[name]))) == [0, 1, 0, 0, 0, 1, 0, 0, 0, 0]
    if name != "another width":  # which depends on mlp, and that is wrong here
        linear = ("nn.ReLU(), ", "nn.Identity(), ")
        grade = graded(defined(tmp_path, linear, HIDDEN[name]))
        assert lost(grade) == [0, 0, 0, 1, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_costs_its_own_questions_and_its_hint_leads_to_the_line(tmp_path, name):
    slips, places, hint = SLIPS[name]
    grade = graded(defined(tmp_path, *slips))
    wrong = [number for number, is_lost in enumerate(lost(grade), start=1) if is_lost]
    assert wrong == places, grade.problems
    found = " ".join(grade.problems[QUESTIONS[places[0] - 1].name])
    assert re.search(hint, found), found


def test_a_block_that_is_missing_costs_its_own_questions(tmp_path):
    names = defined(tmp_path, ("class Block(nn.Module)", "class Bloc(nn.Module)"))
    kernel = names["PatchMLP"].__init__.__globals__  # where a kernel has all names
    kernel.update(names)
    assert lost(graded(kernel)) == [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


CLEAR = "                model.zero_grad()\n"
UNTRAINED = {
    "gradients not cleared": ([(CLEAR, "")], "Gradients add up"),
    "gradients cleared before the step": (
        [(CLEAR, ""), (LOOP, f"model.zero_grad(); {LOOP}")],
        "There is no gradient at a step",
    ),
    "average never updated": (
        [("                average.update_parameters(model)\n", "")],
        "`average` stays behind",
    ),
    "no steps": ([(LOOP, "pass\n")], "fewer steps than there are batches"),
}


@pytest.mark.parametrize("name", UNTRAINED)
def test_a_slip_in_the_loop_is_named_where_the_network_has_not_learned(tmp_path, name):
    slips, hint = UNTRAINED[name]
    names = defined(tmp_path, *slips)
    names["model"], names["average"] = names["make_model"](), names["make_model"]()
    grade = graded(names)
    assert lost(grade) == [0] * 8 + [1, 1]
    assert hint in grade.problems[questions.TRAINED.name][1]


def test_an_accuracy_of_an_average_that_stayed_behind_is_explained(tmp_path):
    names = defined(tmp_path)
    names["average"] = names["make_model"]()
    names["accuracy"] = names["evaluate"](names["average"], names["test_data"])
    grade = graded(names)
    assert lost(grade) == [0] * 9 + [1]
    assert "does `train` update it" in grade.problems[questions.ACCURACY.name][1]


def test_pixels_that_are_not_normalised_cost_step_1_alone(tmp_path):
    names = defined(tmp_path)
    for name in ("train_data", "test_data"):
        data = names[name]
        names[name] = BatchLoader(data.images, data.labels, 512, mean=0.0, std=1.0)
    grade = graded(names)
    assert lost(grade) == [1] + [0] * 9
    assert "not normalised" in grade.problems[questions.LOADERS.name][1]


def test_an_accuracy_is_a_fraction_or_in_percent_and_nothing_else(tmp_path):
    names = defined(tmp_path)
    share = names["accuracy"]
    for right in (round(share, 4), torch.tensor(share), 100 * share):
        assert graded(names | {"accuracy": right}).total == 10
    for wrong in (share - 0.01, share / 100, 10_000 * share, [share, share], "a lot"):
        assert lost(graded(names | {"accuracy": wrong})) == [0] * 9 + [1]
