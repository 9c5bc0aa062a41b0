"""The record of a training run, and predictions; the loop itself stands in the notebook.

Importing it lets oneDNN multiply matrices, where that changes no more than the order of sums.
"""

import math
import time
from dataclasses import replace
from typing import Self

from utils.data import BatchLoader

import torch
from torch import Tensor, nn


def choose_products() -> None:
    """Let oneDNN multiply float32 matrices on the CPU, if it keeps all of their digits.

    torch leaves that to MKL, which took nearly twice as long on the AMD EPYC measured. "medium"
    allows to round to bfloat16, and is all that brings oneDNN in; oneDNN rounds only where a
    processor has instructions that make it worth while (AMX), and there all stays as it was.
    """
    if torch.cuda.is_available():  # whose products would be rounded
        return
    torch.set_float32_matmul_precision("medium")
    number = 1 + 2**-12  # of more digits than bfloat16 has, and TensorFloat-32
    product = torch.full((512, 196), number) @ torch.ones(196, 128)
    if not (product == 196 * number).all():
        torch.set_float32_matmul_precision("highest")


choose_products()


class History:
    """What a training run has measured so far; lists grow with every complete epoch.

    As a context manager around the loop it ends an interrupted run (Ctrl-C, or the notebook's stop
    button) quietly and keeps its complete epochs; without one, the interrupt is raised.
    `ValueError` for a `num_epochs` below 1.

    Attributes:
        step_loss: mean loss of every training batch, nats per image.
        train_loss: mean loss over an epoch's training images, nats per image.
        train_accuracy: fraction of the training images right, each batch just before its step.
        test_accuracy: fraction of the test images right, after the epoch.
        average_accuracy: the same with the averaged weights.
        seconds: wall time of the epoch, the test images included.
        interrupted: whether it ended before `num_epochs`.
        diverged_at: number of the first step, from 1, whose loss was not finite; None without one.
    """

    def __init__(self, num_epochs: int, train_data: BatchLoader) -> None:
        if num_epochs < 1:
            raise ValueError(f"num_epochs must be at least 1, not {num_epochs!r}.")
        self.num_epochs, self.train_data = num_epochs, train_data
        self.step_loss, self.train_loss, self.train_accuracy = [], [], []
        self.test_accuracy, self.average_accuracy, self.seconds = [], [], []
        self.interrupted, self.diverged_at, self._steps = False, None, None

    def __len__(self) -> int:
        """How many epochs are complete."""
        return len(self.train_loss)

    def __enter__(self) -> Self:
        self._start_epoch()
        return self

    def _start_epoch(self) -> None:
        self._steps, self._seen, self._start = [], 0, time.perf_counter()

    def add_step(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Note one step: its mean loss (), logits (b, num_classes) and labels (b,)."""
        if self._steps is None:
            raise RuntimeError("Put `with history:` around the whole loop: it is not begun yet.")
        right = (logits.detach().argmax(dim=1) == labels).sum()
        # Both stay tensors until the epoch ends: reading a number would make a GPU wait.
        self._steps.append((torch.as_tensor(loss).detach(), right, len(labels)))
        self._seen += len(labels)

    def add_epoch(self, test_accuracy: float, average_accuracy: float) -> None:
        """Complete an epoch with its two accuracies, fractions; start the next one.

        `FloatingPointError` if a loss of the epoch is not finite; it says at which step.
        """
        if not self._steps:
            raise RuntimeError("An epoch without steps: call history.add_step after each of them.")
        losses, right, sizes = zip(*self._steps, strict=True)
        losses = torch.stack(losses).tolist()
        for step, loss in enumerate(losses, start=1):
            if not math.isfinite(loss):
                self.diverged_at = len(self.step_loss) + step
                raise FloatingPointError(
                    f"The training loss became {loss} at step {step} of epoch {len(self) + 1} "
                    f"(step {self.diverged_at} in all). A lower learning rate or smaller initial "
                    "weights usually help; then start again from a fresh model."
                )
        mean = sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / self._seen
        # In one call, which no interrupt divides: all lists are of equal length at any time.
        vars(self).update(
            step_loss=[*self.step_loss, *losses],
            train_loss=[*self.train_loss, mean],
            train_accuracy=[*self.train_accuracy, int(torch.stack(right).sum()) / self._seen],
            test_accuracy=[*self.test_accuracy, test_accuracy],
            average_accuracy=[*self.average_accuracy, average_accuracy],
            seconds=[*self.seconds, time.perf_counter() - self._start],
        )
        self._start_epoch()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, KeyboardInterrupt):
            return False
        if len(self) == 0:
            raise KeyboardInterrupt("Interrupted within epoch 1: nothing to keep.") from None
        self.interrupted = len(self) < self.num_epochs
        print(f"Interrupted after {len(self)} of {self.num_epochs} epochs; the history keeps them.")
        return True


@torch.inference_mode()
def predict(model: nn.Module, data: BatchLoader) -> Tensor:
    """The logits (n, num_classes) of all images, in their own order even if the loader shuffles."""
    model.eval()
    return torch.cat([model(images) for images, _ in replace(data, shuffle=False)])


def evaluate(model: nn.Module, data: BatchLoader | None) -> float:
    """The fraction of images whose largest logit is that of their label; NaN for no loader."""
    if data is None:
        return math.nan
    return (predict(model, data).argmax(dim=1) == data.labels).sum().item() / data.num_images
