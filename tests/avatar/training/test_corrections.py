"""Corrections of what the frames hardly show: depth of the torso, and colors of hidden Gaussians.

Torso Gaussians of neighboring pixels get one depth, and no pixel of the middle frame moves; colors of what the frames
hardly show come from visible neighbors.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.training import anchors, corrections
from avatar.training.corrections import neighbor_colors, set_hidden_colors, smooth_torso_depth
from avatar.training.prediction import predict
from avatar.training.trainer import Trainer
from tests.avatar.training.test_relocation import CONFIG, trainer_of


@pytest.fixture
def trainer(tiny: Capture) -> Trainer:
    return trainer_of(tiny)


def in_camera(trainer: Trainer, frame: int) -> Tensor:
    """Gaussians [N,3] in the axes of the camera of a frame, meters."""
    index = torch.tensor([frame])
    with torch.no_grad():
        return trainer.full.views(index).to_camera(predict(trainer.avatar, trainer.full, index).means[0])


def shown(trainer: Trainer, value: float = 5.0) -> Tensor:
    """The same contribution [N] for all Gaussians."""
    return torch.full((len(trainer.avatar),), value)


def test_depth_of_the_torso_is_smoothed_and_the_image_of_the_middle_frame_stays(trainer: Trainer) -> None:
    avatar, middle = trainer.avatar, len(trainer.full) // 2
    torso = avatar.rig.skin > corrections.MIN_SKIN
    with torch.no_grad():
        avatar.offsets[torso] += 0.02 * torch.randn(int(torso.sum()), 3, generator=torch.Generator().manual_seed(0))
    before = in_camera(trainer, middle)
    smooth_torso_depth(avatar, trainer.full, shown(trainer))
    after = in_camera(trainer, middle)
    assert torso.sum() > 2 * corrections.DEPTH_NEIGHBORS
    assert after[torso, 2].std() < 0.8 * before[torso, 2].std()
    assert torch.allclose(after[:, :2] / after[:, 2:], before[:, :2] / before[:, 2:], atol=1e-4)
    assert torch.equal(after[~torso], before[~torso])


def test_hidden_gaussians_of_the_torso_keep_their_depth(trainer: Trainer) -> None:
    before = trainer.avatar.offsets.detach().clone()
    smooth_torso_depth(trainer.avatar, trainer.full, shown(trainer, 0.1))
    assert torch.equal(trainer.avatar.offsets, before)


@pytest.fixture
def unaided(tiny: Capture) -> Trainer:
    """A trainer without the prior of heads."""
    return trainer_of(tiny, replace(CONFIG, prior=False))


def test_hidden_gaussians_take_the_color_of_visible_ones_around_them(unaided: Trainer) -> None:
    avatar, first = unaided.avatar, unaided.avatar.blendshapes.count
    avatar.colors.data[first:] = torch.tensor([0.2, 0.3, 0.4])
    hidden = torch.arange(first, len(avatar), 7)
    avatar.colors.data[hidden] = torch.tensor([1.0, 0.0, 1.0])
    before = avatar.colors.detach().clone()
    contribution = shown(unaided)
    contribution[hidden] = 0.01
    set_hidden_colors(avatar, unaided.anchors, unaided.full, contribution)
    assert torch.allclose(avatar.colors[first:], torch.tensor([0.2, 0.3, 0.4]).expand(len(avatar) - first, 3))
    assert torch.equal(avatar.colors[:first], before[:first])
    assert torch.allclose(unaided.anchors.initial["colors"][first:], avatar.colors[first:])


def test_neighbors_are_near_in_the_image(unaided: Trainer) -> None:
    avatar, first = unaided.avatar, unaided.avatar.blendshapes.count
    left = in_camera(unaided, len(unaided.full) // 2)[first:, 0] < 0
    avatar.colors.data[first:] = left[:, None].float().expand(-1, 3)
    found = neighbor_colors(avatar, unaided.full, shown(unaided))
    wrong = (found[:, 0] - left.float()).abs() > 0.5
    assert wrong.float().mean() < 0.1


def test_without_visible_neighbors_colors_stay(unaided: Trainer) -> None:
    before = unaided.avatar.colors.detach().clone()
    set_hidden_colors(unaided.avatar, unaided.anchors, unaided.full, shown(unaided, 0.0))
    assert torch.equal(unaided.avatar.colors, before)


def test_the_weak_anchor_of_a_color_is_worth_the_loss_of_a_few_pixels(unaided: Trainer) -> None:
    avatar, rows = unaided.avatar, torch.arange(len(unaided.avatar))
    for name in (*anchors.ANCHOR_WEIGHTS, "basis"):
        values = getattr(avatar, name) if name != "basis" else avatar.blendshapes.basis
        values.grad = torch.zeros_like(values)
    unaided.anchors.initial["colors"] = avatar.colors.detach() - 0.25
    unaided.anchors.add_gradients(1000)
    free = rows >= avatar.blendshapes.count
    free[unaided.anchors.rows] = False
    torso = avatar.rig.skin > anchors.MIN_SKIN
    grad = avatar.colors.grad
    assert grad is not None and (free & torso).any() and (free & ~torso).any()
    assert torch.allclose(grad[free & torso], torch.tensor(anchors.TORSO_PIXELS * 0.25 / 3000))
    assert torch.allclose(grad[free & ~torso], torch.tensor(anchors.HEAD_PIXELS * 0.25 / 3000))
    assert torch.allclose(grad[unaided.anchors.rows], torch.tensor(0.25e-5))
    free[unaided.anchors.rows] = True
    assert not grad[~free].any()
