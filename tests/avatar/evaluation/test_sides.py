"""PSNR by the side from which a head is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.evaluation.scoring import camera_side, psnr_by_side
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head import load_head
from avatar.model.avatar import bake_identity


def test_psnr_is_averaged_by_the_side_of_the_camera() -> None:
    found = psnr_by_side(np.array([30.0, 20.0, 26.0, 22.0]), np.array([10.0, 90.0, 44.0, 170.0]))
    assert found == {"psnr_front": 28.0, "psnr_side": 20.0, "psnr_back": 22.0}


def test_a_side_that_no_frame_shows_has_no_column() -> None:
    assert set(psnr_by_side(np.array([30.0]), np.array([0.0]))) == {"psnr_front"}


@pytest.mark.parametrize("degrees", [0.0, 60.0, -120.0, 180.0])
def test_the_side_is_the_angle_of_the_camera_from_the_front(degrees: float, tiny: Capture) -> None:
    head = bake_identity(load_head(), torch.from_numpy(tiny.track["identity"].astype(np.float32)))
    frames = load_frames(tiny, tiny.train_indices[:2], 32, head)
    turn = axis_angle_to_matrix(torch.tensor([0.0, np.radians(degrees), 0.0]).float())
    states = frames.states
    middle = torch.tensor([0.0, 0.0, -0.6])
    turned = replace(
        states, rotation=turn.expand_as(states.rotation).contiguous(), translation=middle.expand_as(states.translation)
    )
    found = camera_side(replace(frames, states=turned))
    np.testing.assert_allclose(found, abs(degrees), atol=1.0)
