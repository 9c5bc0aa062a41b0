"""The notebook's own definitions, read from its cells: patches, blocks, network, optimiser."""

import pytest
import torch
from einops import EinopsError
from torch.testing import assert_close


@pytest.mark.parametrize("patch_size", [1, 2, 4, 7, 14, 28])
def test_patchify_keeps_every_pixel_in_reading_order(notebook, patch_size):
    images = torch.arange(2 * 28 * 28.0).reshape(2, 28, 28)
    patches = notebook["patchify"](images, patch_size)
    per_side = 28 // patch_size
    assert patches.shape == (2, per_side**2, patch_size**2)
    for row in range(per_side):
        for column in range(per_side):
            top, left = row * patch_size, column * patch_size
            expected = images[:, top : top + patch_size, left : left + patch_size].flatten(1)
            assert_close(patches[:, row * per_side + column], expected)


@pytest.mark.parametrize("patch_size", [3, 5, 56])
def test_a_patch_size_that_does_not_divide_28_is_refused(notebook, patch_size):
    problem = f"can't divide axis of length 28 in chunks of {patch_size}"
    with pytest.raises(EinopsError, match=problem):
        notebook["patchify"](torch.zeros(1, 28, 28), patch_size)


def test_mlp1_mixes_between_patches_and_mlp2_within_a_patch(notebook):
    """Changing one feature of one patch moves, after MLP 1, that feature alone."""
    block = notebook["Block"](4, 6, 16, 16)
    X = torch.randn(1, 4, 6)
    changed = X.clone()
    changed[0, 2, 3] += 1
    moved = (block.mlp1(changed.transpose(1, 2)) - block.mlp1(X.transpose(1, 2))).abs() > 1e-7
    assert moved[0, 3].any()
    assert not moved[0, [0, 1, 2, 4, 5]].any()
    assert block(X).shape == X.shape


@pytest.mark.parametrize(("patch_size", "depth"), [(14, 1), (14, 3), (7, 2)])
def test_the_network_gives_one_logit_a_class_at_any_size(notebook, patch_size, depth):
    model = notebook["PatchMLP"](patch_size, 8, 5, 6, depth, 10)
    assert len(model.blocks) == depth
    assert model(torch.randn(3, 28, 28)).shape == (3, 10)


def test_images_of_a_batch_do_not_influence_one_another(notebook):
    model = notebook["make_model"]()
    images = torch.randn(4, 28, 28)
    assert_close(model(images)[:1], model(images[:1]), rtol=1e-4, atol=1e-5)


def test_the_hyperparameters_are_those_of_the_write_up(notebook):
    optimizer = notebook["make_optimizer"](notebook["make_model"]())
    [group], [plain] = optimizer.param_groups, torch.optim.Adam([torch.zeros(1)]).param_groups
    assert type(optimizer) is torch.optim.Adam
    assert group == {**plain, "lr": 0.01, "params": group["params"]}
    assert (notebook["batch_size"], notebook["num_epochs"]) == (512, 5)
    assert isinstance(notebook["loss_function"], torch.nn.CrossEntropyLoss)
