"""The notebook's check cells: the model answer passes them, wrong models fail them."""

from dataclasses import replace

from tools.notebook import tagged_sources

import pytest

# What is broken: (the line, its wrong replacement, the check that must notice).
WRONG_MODELS = {
    "patch order": ("b (h p1) (w p2) -> b (h w)", "b (h p1) (w p2) -> b (w h)", 2),
    "pixel order": ("-> b (h w) (p1 p2)", "-> b (h w) (p2 p1)", 2),
    "transpose": ("self.mlp2(O1.transpose(1, 2))", "self.mlp2(O1.reshape(X.shape))", 3),
    "mean": (".mean(dim=1)", ".amax(dim=1)", 3),
    "ReLU": ("nn.ReLU()", "nn.GELU()", 3),
    "bias": ("nn.Linear(width, hidden)", "nn.Linear(width, hidden, bias=False)", 3),
    "loss": ("CrossEntropyLoss()", "CrossEntropyLoss(label_smoothing=0.1)", 4),
    "learning rate": ("lr=learning_rate,", "lr=learning_rate / 2,", 4),
    "unused block": ("self.blocks(X).mean", "X.mean", 3),
    "first block alone": ("self.blocks(X).mean", "self.blocks[0](X).mean", 3),
    "patches of 14 pixels only": ("p1=patch_size, p2=patch_size", "h=2, w=2", 2),
    "softmax in the network": (".mean(dim=1))  #", ".mean(dim=1)).softmax(dim=1)  #", 3),
}
# Of the loop, which runs without a word of Python's: (the line, its replacement, what is said).
WRONG_LOOPS = {
    "average left behind": ("average.update_parameters(model)", "pass", "0 calls"),
    "gradients cleared too late": (
        "loss.backward()",
        "loss.backward()\n                model.zero_grad()",
        "are the moves in their order",
    ),
    "epochs not noted": ("history.add_epoch(", "print(", "0 of 5 epochs"),
}


def run_checks(loaders, old="", new=""):
    """Run the definitions with `old` replaced by `new`, then the checks of steps 2 to 4.

    Returns what the first failing check says, or None. Any other error is one of the test.
    """
    names, checks = define(loaders, old, new), tagged_sources("check")
    for number in (2, 3, 4):
        try:
            exec(checks[number - 1], names)
        except AssertionError as error:
            return str(error)
    return None


def define(loaders, old="", new=""):
    """What the notebook defines with `old` replaced by `new`, and loaders of drawn garments."""
    definitions = "\n\n".join(tagged_sources("definition"))
    assert definitions.count(old) >= 1, f"the notebook no longer contains {old!r}"
    names = {"__name__": "changed"}
    exec(definitions.replace(old, new), names)
    train_data, test_data = loaders
    return names | {"train_data": train_data, "test_data": test_data, "device": "cpu"}


def check_training(loaders, old="", new=""):
    names = define([replace(data, batch_size=32) for data in loaders], old, new)
    exec(tagged_sources("training")[0], names)
    exec(tagged_sources("check")[4], names)


def test_every_step_up_to_the_final_accuracy_has_a_check():
    assert len(tagged_sources("check")) == 6


def test_the_model_answer_passes_its_checks(loaders, capsys):
    assert run_checks(loaders) is None
    assert capsys.readouterr().out.count("Held:") == 3


@pytest.mark.parametrize("fault", WRONG_MODELS)
def test_a_wrong_model_fails_a_check(loaders, fault):
    old, new, number = WRONG_MODELS[fault]
    assert run_checks(loaders, old, new).startswith(f"Check {number}: ")


def test_the_loop_passes_its_check(loaders, capsys):
    check_training(loaders)
    assert "Held: all epochs are there" in capsys.readouterr().out


@pytest.mark.parametrize("fault", WRONG_LOOPS)
def test_a_wrong_loop_fails_its_check(loaders, fault):
    old, new, message = WRONG_LOOPS[fault]
    with pytest.raises(AssertionError, match=f"^Check 5: .*{message}"):
        check_training(loaders, old, new)
