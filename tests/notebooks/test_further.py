"""The second notebook's network and its optimiser, and the variants of the benchmarks."""

from itertools import pairwise

from benchmarks.runs import begin
from benchmarks.variants import ABLATION, INGREDIENTS, LADDER, WORDS, Largest, further_without

import pytest
import torch
from torch import nn
from torch.testing import assert_close


def test_windows_join_neighbours_and_patches_part_them(further):
    X = torch.arange(2 * 4 * 6 * 3).view(2, 4, 6, 3)  # (b, h, w, d)
    W = further["to_windows"](X)
    assert W.shape == (2, 2, 3, 12)
    corners = [X[1, 2, 4], X[1, 2, 5], X[1, 3, 4], X[1, 3, 5]]
    assert W[1, 1, 2].tolist() == torch.cat(corners).tolist()
    assert torch.equal(further["to_patches"](W), X)


def test_a_mixer_block_adds_to_its_input_what_its_mlps_make_of_normalised_windows(further):
    block = further["MixerBlock"](24, 16)
    W = torch.randn(2, 3, 3, 24)
    for mlp in (block.mlp1, block.mlp2):
        nn.init.zeros_(mlp[2].weight)
        nn.init.zeros_(mlp[2].bias)
    assert torch.equal(block(W), W)  # MLPs that say nothing leave the features alone
    nn.init.normal_(block.mlp2[2].weight)
    moved = block(W) - W
    assert moved.any()
    assert_close(block(3 * W + 1) - (3 * W + 1), moved, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("silent", "together"),
    [
        ("mlp2", {(0, 2), (0, 3), (1, 2), (1, 3)}),  # the first one's window around (1, 2)
        ("mlp1", {(1, 1), (1, 2), (2, 1), (2, 2)}),  # the second one's, moved on by a patch
    ],
)
def test_the_mlps_of_a_block_mix_windows_which_are_shifted_for_the_second(
    further, silent, together
):
    block = further["MixerBlock"](24, 64)
    nn.init.zeros_(getattr(block, silent)[2].weight)
    X = torch.randn(1, 4, 4, 6)
    changed = X.clone()
    changed[0, 1, 2, 5] += 1  # one feature of one of sixteen patches
    before, after = (further["to_patches"](block(further["to_windows"](x))) for x in (X, changed))
    moved = ((after - before).abs() > 1e-7)[0]  # (4, 4, 6)
    assert {tuple(place) for place in moved.any(dim=2).nonzero().tolist()} == together
    assert moved.any(dim=(0, 1)).all()  # and all of their features


def test_every_stage_halves_the_grid_and_ends_with_normalised_windows(further):
    model = further["StagedMLP"]((4, 6, 8), (5, 6, 7), 2, 10)
    X, stems, ends = torch.randn(3, 32, 32, 1), [], []
    for layer in model.layers:
        X = layer(X)
        if isinstance(layer, nn.Linear):
            stems.append(tuple(X.shape))
        elif isinstance(layer, nn.LayerNorm):
            ends.append(tuple(X.shape))
            assert_close(X.mean(dim=3), torch.zeros(X.shape[:3]), rtol=0, atol=1e-5)
    assert stems == [(3, 16, 16, 4), (3, 8, 8, 6), (3, 4, 4, 8)]
    assert ends == [(3, 8, 8, 16), (3, 4, 4, 24), (3, 2, 2, 32)]
    assert sum(isinstance(layer, further["MixerBlock"]) for layer in model.layers) == 3 * 2


def test_the_whole_image_counts(further):
    """Every pixel moves the logits: none is lost in padding it, or in a window."""
    model = further["StagedMLP"]((4, 6, 8), (5, 6, 7), 1, 10)
    images = torch.randn(1, 28, 28, requires_grad=True)
    model(images).square().sum().backward()
    assert images.grad.ne(0).all()


def test_half_of_the_images_are_flipped_and_none_is_changed_otherwise(further):
    images = torch.randn(2000, 28, 28)
    seen = further["random_flip"](images)
    same = (seen == images).flatten(1).all(dim=1)
    mirrored = (seen == images.flip(2)).flatten(1).all(dim=1)
    assert (same ^ mirrored).all()
    assert 0.45 < mirrored.float().mean() < 0.55


def test_the_mixer_answers_alike_for_an_image_and_its_mirror_image(further):
    model = further["Mixer"]((4, 6, 8), (5, 6, 7), 1, 10).eval()
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
    for mine, other, before in zip(ours, theirs, start, strict=True):
        moved = (mine - before).norm()
        assert moved > 0.05
        assert (mine - other).norm() < 0.03 * moved


def test_every_parameter_belongs_to_one_optimiser(further):
    model = further["Mixer"]((4, 6, 8), (5, 6, 7), 2, 10)
    muon, adam = further["make_mixer_optimizers"](model, 0.01, 0.02)
    owned = [p for each in (muon, adam) for group in each.param_groups for p in group["params"]]
    assert len(owned) == len({id(p) for p in owned}) == len(list(model.parameters()))
    assert len(muon.param_groups[0]["params"]) == 3 * (1 + 2 * 4)  # a stem, and four a block


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


def built(variant, loaders):
    """A variant's network, from seed 0, and its optimiser."""
    model, _, optimizer = begin(variant, 0, loaders[0])
    return model, optimizer


def test_the_variant_assignment_is_the_notebooks_network(notebook, loaders):
    model, optimizer = built(LADDER["assignment"], loaders)
    torch.manual_seed(0)
    expected = notebook["make_model"]()
    images = torch.randn(4, 28, 28)
    assert_close(model(images), expected(images), rtol=0, atol=0)
    wanted = notebook["make_optimizer"](expected)
    assert type(optimizer) is type(wanted)
    assert optimizer.defaults == wanted.defaults


def test_the_ladder_leads_to_the_notebooks_mixer(further, loaders):
    model, optimizer = built(LADDER["shift"], loaders)
    torch.manual_seed(0)
    expected = further["Mixer"](**further["mixer_sizes"], num_classes=10)
    expected.apply(further["assignment"].init_weights)
    images, seen = torch.randn(4, 28, 28), []
    for mixer in (model.train(), expected.train()):
        torch.manual_seed(2)
        seen.append(mixer(images))
    assert_close(*seen)
    assert_close(model.eval()(images), expected.eval()(images))
    muon, adam, *schedules = optimizer.parts
    assert [type(muon).__name__, type(adam).__name__] == ["Muon", "Adam"]
    assert [schedule.optimizer for schedule in schedules] == [muon, adam]
    rates = [each.defaults["lr"] for each in (muon, adam)]
    assert rates == [further["mixer_rates"][k] for k in ("muon_learning_rate", "learning_rate")]


def test_every_rung_of_the_ladder_changes_the_one_before_it_and_is_described():
    assert all(a != b for a, b in pairwise(LADDER.values()))
    assert list(LADDER) == list(WORDS)
    assert set(ABLATION) == set(INGREDIENTS)


@pytest.mark.parametrize("name", ABLATION)
def test_an_ingredient_taken_away_is_another_function_or_training(name, loaders):
    images, answers, kinds, rates = torch.randn(4, 28, 28), [], [], []
    for variant in (LADDER["shift"], ABLATION[name]):
        model, optimizer = built(variant, loaders)
        kinds.append([type(part).__name__ for part in optimizer.parts])
        rates.append([schedule.lr_lambdas[0](0) for schedule in optimizer.parts[2:]])
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
        answers.append(model.eval()(images))
    assert torch.allclose(*answers) == (name in ("schedule", "muon"))
    assert (kinds[0] == kinds[1]) == (name != "muon")
    assert (rates[0] == rates[1]) == (name != "schedule")


def test_the_mixer_without_stages_has_the_blocks_of_step_3(notebook, loaders):
    model, _ = built(ABLATION["stages"], loaders)
    sizes = [notebook[name] for name in ("patch_size", "dim", "token_hidden", "channel_hidden")]
    expected = notebook["PatchMLP"](*sizes, notebook["depth"], 10)
    expected.load_state_dict(model.state_dict())
    images = torch.randn(4, 28, 28)
    assert_close(model.eval()(images), (expected(images) + expected(images.flip(2))) / 2)


def test_words_that_the_notebook_no_longer_contains_are_an_error(monkeypatch):
    monkeypatch.setitem(INGREDIENTS, "shift", {"X[:, 2:-2]": "X"})
    with pytest.raises(
        ValueError, match=r"further.ipynb has no 'X\[:, 2:-2\]': change INGREDIENTS"
    ):
        further_without(("shift",))


def test_the_largest_network_averages_over_the_image_and_its_neighbours():
    model, images = Largest().eval(), torch.randn(2, 28, 28)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    views = [images.roll(move, (1, 2)) for move in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    alone = [super(Largest, model).forward(view) for view in (images, *views)]
    assert_close(model(images), alone[0] / 2 + sum(alone[1:]) / 8)


def test_each_block_of_the_largest_network_starts_by_passing_on_its_input():
    blocks = [layer for layer in Largest().layers if type(layer).__name__ == "MixerBlock"]
    assert len(blocks) == 6
    for block in blocks:
        W = torch.randn(2, 2, 2, block.mlp1[0].in_features)
        assert torch.equal(block(W), W)
