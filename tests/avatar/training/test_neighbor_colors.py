"""Colors of what the frames hardly show come from visible neighbors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from avatar.training.neighbor_colors import set_hidden_colors

from avatar.data.capture_folder import Capture
from avatar.training import anchors, neighbor_colors
from avatar.training.trainer import Trainer
from tests.avatar.training.test_relocation import CONFIG, trainer_of
from tests.avatar.training.test_torso_depth import in_camera, shown


@pytest.fixture
def trainer(tiny: Capture) -> Trainer:
    return trainer_of(tiny, replace(CONFIG, prior=False))


def test_hidden_gaussians_take_the_color_of_visible_ones_around_them(trainer: Trainer) -> None:
    avatar, first = trainer.avatar, trainer.avatar.blendshapes.count
    avatar.colors.data[first:] = torch.tensor([0.2, 0.3, 0.4])
    hidden = torch.arange(first, len(avatar), 7)
    avatar.colors.data[hidden] = torch.tensor([1.0, 0.0, 1.0])
    before = avatar.colors.detach().clone()
    contribution = shown(trainer)
    contribution[hidden] = 0.01
    set_hidden_colors(avatar, trainer.anchors, trainer.full, contribution)
    assert torch.allclose(avatar.colors[first:], torch.tensor([0.2, 0.3, 0.4]).expand(len(avatar) - first, 3))
    assert torch.equal(avatar.colors[:first], before[:first])
    assert torch.allclose(trainer.anchors.initial["colors"][first:], avatar.colors[first:])


def test_neighbors_are_near_in_the_image(trainer: Trainer) -> None:
    avatar, first = trainer.avatar, trainer.avatar.blendshapes.count
    left = in_camera(trainer, len(trainer.full) // 2)[first:, 0] < 0
    avatar.colors.data[first:] = left[:, None].float().expand(-1, 3)
    found = neighbor_colors.neighbor_colors(avatar, trainer.full, shown(trainer))
    wrong = (found[:, 0] - left.float()).abs() > 0.5
    assert wrong.float().mean() < 0.1


def test_without_visible_neighbors_colors_stay(trainer: Trainer) -> None:
    before = trainer.avatar.colors.detach().clone()
    set_hidden_colors(trainer.avatar, trainer.anchors, trainer.full, shown(trainer, 0.0))
    assert torch.equal(trainer.avatar.colors, before)


def test_the_weak_anchor_of_a_color_is_worth_the_loss_of_a_few_pixels(trainer: Trainer) -> None:
    avatar, rows = trainer.avatar, torch.arange(len(trainer.avatar))
    for name in (*anchors.ANCHOR_WEIGHTS, "basis"):
        values = getattr(avatar, name) if name != "basis" else avatar.blendshapes.basis
        values.grad = torch.zeros_like(values)
    trainer.anchors.initial["colors"] = avatar.colors.detach() - 0.25
    trainer.anchors.add_gradients(1000)
    free = rows >= avatar.blendshapes.count
    free[trainer.anchors.rows] = False
    torso = avatar.rig.skin > anchors.MIN_SKIN
    grad = avatar.colors.grad
    assert grad is not None and (free & torso).any() and (free & ~torso).any()
    assert torch.allclose(grad[free & torso], torch.tensor(anchors.TORSO_PIXELS * 0.25 / 3000))
    assert torch.allclose(grad[free & ~torso], torch.tensor(anchors.HEAD_PIXELS * 0.25 / 3000))
    assert torch.allclose(grad[trainer.anchors.rows], torch.tensor(0.25e-5))
    free[trainer.anchors.rows] = True
    assert not grad[~free].any()
