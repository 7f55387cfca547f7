"""Torso Gaussians of neighboring pixels get one depth, and no pixel of the middle frame moves."""

from __future__ import annotations

import pytest
import torch
from avatar.training.torso_depth import smooth_torso_depth
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.training import torso_depth
from avatar.training.prediction import predict
from avatar.training.trainer import Trainer
from tests.avatar.training.test_relocation import trainer_of


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
    torso = avatar.rig.skin > torso_depth.MIN_SKIN
    with torch.no_grad():
        avatar.offsets[torso] += 0.02 * torch.randn(int(torso.sum()), 3, generator=torch.Generator().manual_seed(0))
    before = in_camera(trainer, middle)
    smooth_torso_depth(avatar, trainer.full, shown(trainer))
    after = in_camera(trainer, middle)
    assert torso.sum() > 2 * torso_depth.NEIGHBORS
    assert after[torso, 2].std() < 0.8 * before[torso, 2].std()
    assert torch.allclose(after[:, :2] / after[:, 2:], before[:, :2] / before[:, 2:], atol=1e-4)
    assert torch.equal(after[~torso], before[~torso])


def test_hidden_gaussians_of_the_torso_keep_their_depth(trainer: Trainer) -> None:
    before = trainer.avatar.offsets.detach().clone()
    smooth_torso_depth(trainer.avatar, trainer.full, shown(trainer, 0.1))
    assert torch.equal(trainer.avatar.offsets, before)
