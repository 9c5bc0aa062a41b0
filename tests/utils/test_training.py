"""The training loop: what it measures, how it stops, what it repeats."""

import sys

from utils import training
from utils.data import BatchLoader
from utils.training import History, evaluate, predict

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils._python_dispatch import TorchDispatchMode


def follow(notebook, model):
    """The moving average of a model's weights, as the notebook makes it."""
    decay = get_ema_multi_avg_fn(notebook["ema_decay"])
    return AveragedModel(model, multi_avg_fn=decay)


def run(notebook, model, loaders, optimizer, num_epochs, loss=cross_entropy, kind=History):
    """Train with the notebook's loop; return the history, and the average of the weights."""
    history, average = kind(num_epochs, loaders[0]), follow(notebook, model)
    notebook["train"](model, average, *loaders, loss, optimizer, history)
    return history, average


def fit(notebook, loaders, num_epochs=2, **options):
    model = notebook["make_model"]()
    optimizer = notebook["make_optimizer"](model)
    history, _ = run(notebook, model, loaders, optimizer, num_epochs, **options)
    return model, history


def watched(after_step=lambda history: None, after_epoch=lambda history: None):
    """A kind of history that calls these functions."""

    class Watched(History):
        def add_step(self, *step):
            super().add_step(*step)
            after_step(self)

        def add_epoch(self, *accuracies):
            super().add_epoch(*accuracies)
            after_epoch(self)

    return Watched


def test_the_history_holds_one_entry_an_epoch_and_one_loss_a_step(notebook, loaders):
    model, history = fit(notebook, loaders)
    assert len(history) == 2
    assert not history.interrupted
    assert len(history.step_loss) == 2 * len(loaders[0])
    assert history.train_loss[1] < history.train_loss[0]
    assert history.test_accuracy[-1] == evaluate(model, loaders[1])


def test_the_average_follows_the_weights_and_is_measured_beside_them(notebook, loaders):
    model = notebook["make_model"]()
    weights = []

    def by_hand(history):
        """A copy after the first step; then 0.98 of the average and 0.02 of the weights."""
        now = [parameter.detach().double() for parameter in model.parameters()]
        before = weights or now
        weights[:] = [0.98 * mean + 0.02 * new for mean, new in zip(before, now, strict=True)]

    optimizer = notebook["make_optimizer"](model)
    history, average = run(notebook, model, loaders, optimizer, 2, kind=watched(by_hand))
    for mean, expected in zip(average.parameters(), weights, strict=True):
        torch.testing.assert_close(mean.double(), expected, rtol=1e-4, atol=1e-5)
    assert history.average_accuracy[-1] == evaluate(average, loaders[1])
    assert history.average_accuracy != history.test_accuracy


def test_losses_are_weighted_by_the_size_of_their_batch(notebook, drawn):
    """With a learning rate of 0 the epoch's mean is that of all images at once."""
    images, labels = drawn
    data = BatchLoader(images[:7], labels[:7], 4, mean=0.2, std=0.3)  # batches of 4 and 3
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    history, _ = run(notebook, model, (data, data), optimizer, 1)
    expected = cross_entropy(model(data.normalise(images[:7])), labels[:7]).item()
    assert history.train_loss == [pytest.approx(expected, rel=1e-5)]
    assert history.train_accuracy == history.test_accuracy


def test_an_interrupt_keeps_the_complete_epochs(notebook, loaders, capsys):
    def stop_after_two(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    _, history = fit(notebook, loaders, 4, kind=watched(after_epoch=stop_after_two))
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

    _, history = fit(notebook, loaders, 3, loss=interrupted_loss)
    assert history.interrupted
    assert len(history) == len(history.train_loss) == 1
    assert len(history.step_loss) == len(loaders[0])


def test_an_interrupt_between_any_two_lines_leaves_lists_of_equal_length(notebook, drawn):
    """One run for every line that `utils/training.py` executes at the end of the second epoch."""
    data = BatchLoader(drawn[0][:8], drawn[1][:8], 8, mean=0.2, std=0.3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    line, lengths = 0, set()
    while True:
        history, left = History(3, data), line

        def interrupt(frame, event, argument, history=history):
            nonlocal left
            inside = frame.f_code.co_filename == training.__file__
            if event == "line" and inside and frame.f_code.co_name != "__exit__":
                left -= len(history) > 0
                if left < 0:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return interrupt

        sys.settrace(interrupt)
        try:
            notebook["train"](
                model, follow(notebook, model), data, data, cross_entropy, optimizer, history
            )
        finally:
            sys.settrace(None)
        kept = history.train_loss, history.train_accuracy, history.test_accuracy
        kept += history.average_accuracy, history.seconds, history.step_loss
        assert len({len(values) for values in kept}) == 1
        if left >= 0:  # the run ended before its turn came
            break
        assert history.interrupted or len(history) == 3
        lengths.add(len(history))
        line += 1
    assert line > 30
    assert lengths == {1, 2, 3}


def test_an_interrupt_within_the_first_epoch_is_raised_because_nothing_is_to_keep(
    notebook, loaders
):
    def stop(history):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="within epoch 1"):
        fit(notebook, loaders, kind=watched(stop))


def test_a_loss_of_nan_names_the_step(notebook, loaders):
    calls = 0

    def spoiled_loss(logits, labels):
        nonlocal calls
        calls += 1
        return cross_entropy(logits, labels) * (float("nan") if calls == 14 else 1.0)

    with pytest.raises(FloatingPointError, match=r"nan at step 4 of epoch 2 \(step 14 in all\)"):
        fit(notebook, loaders, 3, loss=spoiled_loss)


def test_a_history_keeps_the_step_at_which_its_run_diverged(notebook, loaders):
    model = notebook["make_model"]()
    history = History(2, loaders[0])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e9)
    with pytest.raises(FloatingPointError, match="lower learning rate"):
        notebook["train"](
            model, follow(notebook, model), *loaders, cross_entropy, optimizer, history
        )
    assert 2 <= history.diverged_at <= len(loaders[0])
    assert len(history) == 0


def test_the_history_reads_no_number_back_within_an_epoch(loaders):
    """Reading one would make a GPU wait."""

    class CountReads(TorchDispatchMode):
        reads = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.reads += function is torch.ops.aten._local_scalar_dense.default
            return function(*args, **(kwargs or {}))

    loss, logits, labels = torch.tensor(1.0), torch.zeros(4, 10), torch.zeros(4, dtype=torch.long)
    with History(1, loaders[0]) as history, CountReads() as mode:
        for _ in range(3):
            history.add_step(loss, logits, labels)
        assert mode.reads == 0
        history.add_epoch(0.5, 0.5)
        assert mode.reads > 0


def test_a_line_of_its_use_that_is_missing_is_named(notebook, loaders):
    history, step = History(1, loaders[0]), (1.5, torch.zeros(3, 10), torch.zeros(3))
    with pytest.raises(RuntimeError, match="with history"):
        history.add_step(*step)
    with history, pytest.raises(RuntimeError, match="call history"):
        history.add_epoch(0.5, 0.5)
    with history:
        history.add_step(*step)  # a loss that is a number already is as good
        history.add_epoch(0.5, 0.5)
    assert history.train_loss == [1.5]


def test_no_epochs_are_refused(notebook, loaders):
    with pytest.raises(ValueError, match="num_epochs must be at least 1"):
        fit(notebook, loaders, num_epochs=0)


def test_predict_keeps_the_order_of_the_images_even_if_the_loader_shuffles(loaders):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    for data in loaders:
        expected = model(data.normalise(data.images))
        torch.testing.assert_close(predict(model, data), expected, rtol=1e-4, atol=1e-5)
    assert [data.shuffle for data in loaders] == [True, False]


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
        accuracies.append(run(notebook, model, data, optimizer, 8)[0].test_accuracy[-1])
    linear, network = accuracies
    assert network > linear + 0.1
