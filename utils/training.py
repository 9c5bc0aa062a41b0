"""Train a classifier, keep its history, predict with it. Works for any model of images."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from utils.data import BatchLoader


@dataclass
class History:
    """What a training run has measured so far; lists grow with every epoch (one with every batch).

    Attributes:
        num_epochs: how many epochs were asked for.
        source: where the images come from, "Fashion-MNIST" or "stand-in".
        step_loss: mean loss of every training batch so far, nats per image.
        train_loss: mean loss over an epoch's training images, nats per image.
        train_accuracy: fraction of the training images right. Counted batch by batch just
            before each step, so early batches count with the weights they met.
        test_accuracy: fraction of the test images right, after the epoch.
        seconds: wall time of the epoch, the test images included.
        interrupted: whether an interrupt ended the run before `num_epochs`.
    """

    num_epochs: int
    source: str
    step_loss: list[float] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    interrupted: bool = False

    def __len__(self) -> int:
        """How many epochs are complete."""
        return len(self.train_loss)


def train(
    model: nn.Module,
    train_data: BatchLoader,
    test_data: BatchLoader | None,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer | Sequence[Optimizer],
    num_epochs: int,
    on_epoch: Callable[[History], None] | None = None,
    on_step: Callable[[History, int, int], None] | None = None,
    schedulers: Iterable[LRScheduler] = (),
) -> History:
    """Train `model` in place and return the history.

    An interrupt (Ctrl-C, or the stop button of a notebook) ends the run early and quietly:
    the history then holds the complete epochs, and its `interrupted` is true. Before the
    first epoch is complete there is nothing to return, and the interrupt is raised.

    Args:
        model: maps images (b, 28, 28) to logits (b, num_classes).
        train_data: batches to learn from.
        test_data: batches that are only measured, after every epoch; None measures nothing and
            leaves `test_accuracy` empty.
        loss_function: maps logits (b, num_classes) and labels (b,) to a mean in nats.
        optimizer: holds the model's parameters; or several, which share them out.
        num_epochs: passes over `train_data`, at least 1.
        on_epoch: called with the history after every epoch.
        on_step: called after every training step with the history, the number of images of
            this epoch seen so far, and the number of images of an epoch.
        schedulers: learning-rate schedules, moved on after every training step.

    Raises:
        ValueError: if `num_epochs` is below 1.
        FloatingPointError: if the loss stops being finite; says at which step.
        KeyboardInterrupt: at an interrupt before the first epoch is complete.
    """
    if num_epochs < 1:
        raise ValueError(f"num_epochs must be at least 1, not {num_epochs!r}.")
    history = History(num_epochs, train_data.source)
    step_done = partial(on_step, history) if on_step else None
    optimizers = [optimizer] if isinstance(optimizer, Optimizer) else optimizer
    steppers = [*optimizers, *schedulers]
    try:
        for _ in range(num_epochs):
            start = time.perf_counter()
            losses, correct = _train_epoch(model, train_data, loss_function, steppers, step_done)
            _check_finite(losses, len(history), len(train_data))
            accuracies = [] if test_data is None else [evaluate(model, test_data)]
            # All at once, so that an interrupt finds lists of equal length.
            history.step_loss += losses
            history.train_accuracy.append(correct / train_data.num_images)
            history.test_accuracy += accuracies
            history.seconds.append(time.perf_counter() - start)
            history.train_loss.append(_mean_over_images(losses, train_data))
            if on_epoch:
                on_epoch(history)
    except KeyboardInterrupt:
        if len(history) == 0:
            message = "Interrupted before the first epoch was complete: nothing to keep."
            raise KeyboardInterrupt(message) from None
        history.interrupted = True
        print(f"Interrupted after {len(history)} of {num_epochs} epochs; the history keeps them.")
    return history


def _train_epoch(
    model: nn.Module,
    train_data: BatchLoader,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    steppers: Sequence[Optimizer | LRScheduler],
    step_done: Callable[[int, int], None] | None,
) -> tuple[list[float], int]:
    """One pass over the data: the loss of every batch, and how many images were right."""
    model.train()
    losses, correct, seen = [], [], 0
    for images, labels in train_data:
        logits = model(images)
        loss = loss_function(logits, labels)
        model.zero_grad()
        loss.backward()
        for stepper in steppers:
            stepper.step()
        # Tensors, not numbers: a number would make a GPU wait for every step.
        losses.append(loss.detach())
        correct.append((logits.detach().argmax(dim=1) == labels).sum())
        if step_done:
            seen += len(labels)
            step_done(seen, train_data.num_images)
    return torch.stack(losses).tolist(), int(torch.stack(correct).sum())


def _check_finite(losses: list[float], epoch: int, steps_per_epoch: int) -> None:
    """Raise `FloatingPointError` at the first loss of the epoch that is NaN or infinite."""
    for step, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The training loss became {loss} at step {step} of epoch {epoch + 1} "
                f"(step {epoch * steps_per_epoch + step} in all). A lower learning rate or "
                "smaller initial weights usually help; then start again from a fresh model."
            )


def _mean_over_images(losses: list[float], data: BatchLoader) -> float:
    """The mean over images from the means over batches, of which the last may be smaller."""
    last = data.num_images - (len(data) - 1) * data.batch_size
    return (sum(losses[:-1]) * data.batch_size + losses[-1] * last) / data.num_images


@torch.inference_mode()
def predict(model: nn.Module, data: BatchLoader) -> Tensor:
    """The logits (n, num_classes) of all images of a loader that does not shuffle.

    Raises:
        ValueError: if the loader shuffles: its labels would not line up with the logits.
    """
    if data.shuffle:
        raise ValueError("predict needs a loader with shuffle=False, or labels get mixed up.")
    model.eval()
    return torch.cat([model(images) for images, _ in data])


@torch.inference_mode()
def evaluate(model: nn.Module, data: BatchLoader) -> float:
    """The fraction of a loader's images whose largest logit is that of their label."""
    model.eval()
    correct = [(model(images).argmax(dim=1) == labels).sum() for images, labels in data]
    return int(torch.stack(correct).sum()) / data.num_images
