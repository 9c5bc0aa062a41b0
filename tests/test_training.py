"""The training loop: what it measures, how it stops, what it repeats."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from utils.data import BatchLoader
from utils.training import evaluate, predict, train


def fit(notebook, loaders, num_epochs=2, **options):
    model = notebook["make_model"]()
    optimizer = notebook["make_optimizer"](model)
    return model, train(model, *loaders, cross_entropy, optimizer, num_epochs, **options)


def test_the_history_holds_one_entry_an_epoch_and_one_loss_a_step(notebook, loaders):
    model, history = fit(notebook, loaders)
    assert len(history) == 2
    assert not history.interrupted
    assert len(history.step_loss) == 2 * len(loaders[0])
    assert history.train_loss[1] < history.train_loss[0]
    assert history.test_accuracy[-1] == evaluate(model, loaders[1])


def test_losses_are_weighted_by_the_size_of_their_batch(drawn):
    """With a learning rate of 0 the epoch's mean is that of all images at once."""
    images, labels = drawn
    data = BatchLoader(images[:300], labels[:300], 256, mean=0.2, std=0.3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    history = train(
        model, data, data, cross_entropy, torch.optim.SGD(model.parameters(), lr=0.0), 1
    )
    expected = cross_entropy(model(data.normalise(images[:300])), labels[:300]).item()
    assert history.train_loss == [pytest.approx(expected, rel=1e-5)]
    assert history.train_accuracy == history.test_accuracy


def test_an_interrupt_keeps_the_complete_epochs(notebook, loaders, capsys):
    def stop_after_two(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    _, history = fit(notebook, loaders, num_epochs=4, on_epoch=stop_after_two)
    assert history.interrupted
    assert len(history) == len(history.train_loss) == len(history.seconds) == 2
    assert "Interrupted after 2 of 4 epochs" in capsys.readouterr().out


def test_an_interrupt_within_an_epoch_leaves_lists_of_equal_length(notebook, loaders):
    calls = 0

    def interrupted_loss(logits, labels):
        nonlocal calls
        calls += 1
        if calls == len(loaders[0]) + 3:
            raise KeyboardInterrupt
        return cross_entropy(logits, labels)

    model = notebook["make_model"]()
    history = train(
        model, *loaders, interrupted_loss, notebook["make_optimizer"](model), num_epochs=3
    )
    assert history.interrupted
    assert len(history) == len(history.train_loss) == 1
    assert len(history.step_loss) == len(loaders[0])


def test_an_interrupt_within_the_first_epoch_is_raised_because_nothing_is_to_keep(
    notebook, loaders
):
    def stop(history, seen, num_images):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="before the first epoch was complete"):
        fit(notebook, loaders, on_step=stop)


def test_every_step_is_reported_with_the_images_seen(notebook, loaders):
    calls = []
    fit(notebook, loaders, on_step=lambda history, *counts: calls.append((len(history), *counts)))
    epoch = [*range(256, 2500, 256), 2500]
    assert calls == [(done, seen, 2500) for done in (0, 1) for seen in epoch]


def test_a_loss_of_nan_names_the_step(notebook, loaders):
    calls = 0

    def spoiled_loss(logits, labels):
        nonlocal calls
        calls += 1
        return cross_entropy(logits, labels) * (float("nan") if calls == 14 else 1.0)

    model = notebook["make_model"]()
    with pytest.raises(FloatingPointError, match=r"nan at step 4 of epoch 2 \(step 14 in all\)"):
        train(model, *loaders, spoiled_loss, notebook["make_optimizer"](model), num_epochs=3)


def test_no_number_is_read_back_within_an_epoch(notebook, drawn):
    """Reading one would make a GPU wait: twice as many steps may not read more of them."""

    class CountReads(TorchDispatchMode):
        reads = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.reads += function is torch.ops.aten._local_scalar_dense.default
            return function(*args, **(kwargs or {}))

    images, labels = drawn
    counted = []
    for num_images in (512, 1024):
        data = BatchLoader(images[:num_images], labels[:num_images], 64, mean=0.2, std=0.3)
        model = notebook["make_model"]()
        with CountReads() as mode:
            train(model, data, data, cross_entropy, notebook["make_optimizer"](model), 1)
        counted.append(mode.reads)
    assert counted[0] == counted[1] > 0


def test_no_epochs_are_refused(notebook, loaders):
    with pytest.raises(ValueError, match="num_epochs must be at least 1"):
        fit(notebook, loaders, num_epochs=0)


def test_predict_keeps_the_order_and_refuses_a_shuffled_loader(loaders):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    training, test = loaders
    expected = model(test.normalise(test.images))
    torch.testing.assert_close(predict(model, test), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="shuffle=False"):
        predict(model, training)


def test_evaluate_counts_what_is_right(loaders):
    class Oracle(nn.Module):
        """Right for the first 125 of the 500 test images, and for no other."""

        def forward(self, images):
            start, self.seen = getattr(self, "seen", 0), getattr(self, "seen", 0) + len(images)
            answers = loaders[1].labels[start : self.seen].clone()
            answers[max(0, 125 - start) :] += 1
            return nn.functional.one_hot(answers % 10, 10).float()

    assert evaluate(Oracle(), loaders[1]) == 0.25


def test_the_network_beats_a_linear_model_clearly_on_the_stand_in(notebook, drawn):
    images, labels = drawn
    shared = {"batch_size": 64, "mean": 0.2, "std": 0.3}
    data = (
        BatchLoader(images[:2500], labels[:2500], shuffle=True, **shared),
        BatchLoader(images[2500:], labels[2500:], **shared),
    )
    accuracies = []
    for model in (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), notebook["make_model"]()):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
        accuracies.append(train(model, *data, cross_entropy, optimizer, 8).test_accuracy[-1])
    linear, network = accuracies
    assert network > linear + 0.1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_accuracies_in_two_processes():
    command = [sys.executable, "benchmarks/accuracy.py", "--seeds", "3", "--set", "num_epochs=2"]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        for _ in range(2)
    ]
    first, second = (json.loads(run.stdout.splitlines()[-1])["accuracies"] for run in runs)
    assert first == second
