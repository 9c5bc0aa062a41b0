"""Fixtures that several test files share."""

from utils.data import BatchLoader
from utils.definitions import load_definitions
from utils.standin import draw_standin

import pytest
import torch


@pytest.fixture(scope="session")
def notebook():
    """The names that the assignment's `definition` cells define."""
    return vars(load_definitions())


@pytest.fixture(scope="session")
def further():
    """The names that the second notebook's `definition` cells define."""
    return vars(load_definitions("further.ipynb"))


@pytest.fixture(scope="session")
def drawn():
    """3,000 drawn garments: `images` (3000, 28, 28) uint8 and `labels` (3000,)."""
    return draw_standin(3000, seed=0)


@pytest.fixture
def loaders(drawn):
    """A shuffled training loader of 2,500 drawn garments and a test loader of 500."""
    images, labels = drawn
    shared = {"batch_size": 256, "mean": 0.2, "std": 0.3, "source": "stand-in"}
    return (
        BatchLoader(images[:2500], labels[:2500], shuffle=True, **shared),
        BatchLoader(images[2500:], labels[2500:], **shared),
    )


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
