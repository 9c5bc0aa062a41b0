"""The second notebook's network and its optimiser, and the recipes that lead to it."""

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import recipes
from recipes import RECIPES


def test_a_mixer_block_adds_to_its_input_what_its_mlps_make_of_normalised_features(further):
    block = further["MixerBlock"](2, 3, 6, 16, 16)
    X = torch.randn(2, 4, 6)
    for mlp in (block.mlp1, block.mlp2):
        nn.init.zeros_(mlp[2].weight)
        nn.init.zeros_(mlp[2].bias)
    assert_close(block(X), swapped(X, 2))  # MLPs that say nothing leave the features alone
    nn.init.normal_(block.mlp2[2].weight)
    shifted = block(3 * X + 1) - swapped(3 * X + 1, 2)
    assert_close(shifted, block(X) - swapped(X, 2), rtol=1e-3, atol=1e-3)


def swapped(X, side):
    """Features (b, num_patches, dim) with rows and columns of patches swapped."""
    return X.unflatten(1, (side, side)).transpose(1, 2).flatten(1, 2)


@pytest.mark.parametrize(("segment", "features"), [(1, [2]), (3, [0, 1, 2]), (6, [*range(6)])])
def test_the_first_mlp_of_a_mixer_block_mixes_one_segment_of_one_column(further, segment, features):
    """Changing one feature of one of nine patches moves that segment of its column alone."""
    block = further["MixerBlock"](3, segment, 6, 64, 16)
    block.norm1 = nn.Identity()  # it would spread the change over the patch's features
    nn.init.zeros_(block.mlp2[2].weight)
    X = torch.randn(1, 9, 6)
    changed = X.clone()
    changed[0, 5, 2] += 1  # in the last column
    moved = (swapped(block(changed) - block(X), 3).abs() > 1e-7)[0]  # (9, 6)
    assert moved.any(dim=1).nonzero().flatten().tolist() == [2, 5, 8]
    assert moved.any(dim=0).nonzero().flatten().tolist() == features


def test_two_blocks_let_every_patch_meet_every_other(further):
    blocks = nn.Sequential(*[further["MixerBlock"](3, 6, 6, 64, 16) for _ in range(2)])
    X = torch.randn(1, 9, 6)
    changed = X.clone()
    changed[0, 5, 2] += 1
    assert ((blocks(changed) - blocks(X)).abs() > 1e-7).any(dim=2).all()


def test_the_blocks_of_a_mixer_start_by_passing_on_their_input(further):
    model = further["Mixer"](14, 8, 4, 5, 6, 3, 10).apply(further["init_mixer"])
    X = torch.randn(2, 4, 8)
    for block in list(model.blocks)[:-1]:
        assert_close(block(X), swapped(X, 2), rtol=0, atol=0)
    assert model.stem.weight.any()


def test_half_of_the_images_are_flipped_and_none_is_changed_otherwise(further):
    images = torch.randn(2000, 28, 28)
    seen = further["random_flip"](images)
    same = (seen == images).flatten(1).all(dim=1)
    mirrored = (seen == images.flip(2)).flatten(1).all(dim=1)
    assert (same ^ mirrored).all()
    assert 0.45 < mirrored.float().mean() < 0.55


def test_the_mixer_answers_alike_for_an_image_and_its_mirror_image(further):
    model = further["Mixer"](14, 8, 4, 5, 6, 2, 10).eval()
    images = torch.randn(4, 28, 28)
    assert_close(model(images), model(images.flip(2)))
    model.train()
    assert not torch.allclose(model(images), model(images))  # half of them changed, at random


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48)])
def test_orthogonalise_pushes_all_singular_values_towards_one(further, shape):
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    before = torch.linalg.svdvals(matrix)
    after = torch.linalg.svdvals(further["orthogonalise"](matrix))
    assert before.max() / before.min() > 5
    assert 0.5 < after.min() <= after.max() < 1.5


def test_muon_steps_as_torch_does(further):
    """Up to bfloat16, in which `torch.optim.Muon` computes the direction of its step."""
    ours = [nn.Parameter(torch.randn(shape)) for shape in ((64, 16), (16, 64), (32, 32))]
    theirs = [nn.Parameter(matrix.detach().clone()) for matrix in ours]
    start = [matrix.detach().clone() for matrix in ours]
    optimizers = further["Muon"](ours, 0.02), torch.optim.Muon(theirs, lr=0.02, weight_decay=0)
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other, begin in zip(ours, theirs, start, strict=True):
        moved = (mine - begin).norm()
        assert moved > 0.05
        assert (mine - other).norm() < 0.03 * moved


def test_every_parameter_belongs_to_one_optimiser(further):
    model = further["Mixer"](14, 8, 4, 5, 6, 2, 10)
    muon, adam = further["make_mixer_optimizers"](model, 0.01, 0.02)
    owned = [p for each in (muon, adam) for group in each.param_groups for p in group["params"]]
    assert len(owned) == len({id(p) for p in owned}) == len(list(model.parameters()))
    assert len(muon.param_groups[0]["params"]) == 1 + 2 * 4  # the stem, and four in each block


def test_the_learning_rate_rises_for_a_tenth_of_the_steps_and_falls_to_zero(further):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = further["warm_up_and_decay"](optimizer, 100)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates.index(max(rates)) in (9, 10)
    assert max(rates) == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.01
    assert optimizer.param_groups[0]["lr"] == 0
    assert all(rate > 0 for rate in rates)


def test_the_recipe_of_the_assignment_is_the_notebooks_network(notebook):
    torch.manual_seed(0)
    model = notebook["make_model"]()
    torch.manual_seed(0)
    built = recipes.make_model(RECIPES["assignment"])
    images = torch.randn(4, 28, 28)
    assert_close(built(images), model(images), rtol=0, atol=0)
    (optimizer,) = recipes.make_optimizer(RECIPES["assignment"], built, 10).parts
    expected = notebook["make_optimizer"](model).param_groups[0]
    got = optimizer.param_groups[0]
    assert {k: v for k, v in got.items() if k != "params"} == {
        k: v for k, v in expected.items() if k != "params"
    }


def test_the_recipe_further_is_the_notebooks_mixer(further):
    torch.manual_seed(0)
    model = further["Mixer"](**further["mixer_sizes"], num_classes=10)
    model.apply(further["init_mixer"])
    torch.manual_seed(0)
    built = recipes.make_model(RECIPES["further"])
    for mixer in (built, model):
        torch.manual_seed(1)
        for name, parameter in mixer.named_parameters():
            if "mlp" in name:  # they start at zero: blocks that differ would not show
                nn.init.normal_(parameter, std=0.1)
    images = torch.randn(4, 28, 28)
    assert_close(built.eval()(images), model.eval()(images), rtol=0, atol=0)
    *optimizers, first, second = recipes.make_optimizer(RECIPES["further"], built, 10).parts
    assert [type(optimizer).__name__ for optimizer in optimizers] == ["Muon", "Adam"]
    assert [first.optimizer, second.optimizer] == optimizers
    rates = [optimizer.defaults["lr"] for optimizer in optimizers]
    assert rates == [further["mixer_rates"][k] for k in ("muon_learning_rate", "learning_rate")]


def test_the_largest_model_averages_over_the_image_and_its_neighbours():
    small = replace(RECIPES["largest"], dim=8, segment=4, token_hidden=5, channel_hidden=6, depth=2)
    model = recipes.make_model(small).eval()
    images = torch.randn(4, 28, 28)
    views = [images.roll(move, (1, 2)) for move in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    alone = [model.logits(view) + model.logits(view.flip(2)) for view in (images, *views)]
    assert_close(model(images), alone[0] / 4 + sum(alone[1:]) / 16)


def test_every_rung_of_the_ladder_changes_the_one_before_it():
    rungs = list(RECIPES.values())
    assert next(iter(RECIPES)) == "assignment"
    assert all(a != b for a, b in pairwise(rungs))
    assert set(RECIPES) == set(recipes.INGREDIENTS)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [("width", "3", "'width' is not in a recipe"), ("dim", "wide", "'wide' is not a number")],
)
def test_a_setting_that_means_nothing_is_refused(setting, value, message):
    with pytest.raises(ValueError, match=message):
        RECIPES["further"].changed(setting, value)


def test_a_recipe_without_residuals_and_norms_has_the_blocks_of_step_3(notebook):
    plain = replace(RECIPES["further"], layer_norm=False, residual=False, segment=0, depth=2)
    built = recipes.make_model(plain)
    sizes = plain.dim, plain.token_hidden, plain.channel_hidden, plain.depth
    model = notebook["PatchMLP"](plain.patch_size, *sizes, 10)
    model.load_state_dict(built.state_dict())
    images = torch.randn(4, 28, 28)
    assert_close(built.logits(images), model(images), rtol=0, atol=0)
