"""The measure of the torso's error: constants do not count, motion that differs does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.types import TorsoPose
from tests.bench.torso_truth import torso_errors

IS_TEST = np.arange(40) >= 30


def swaying() -> TorsoPose:
    """A torso that turns and sways, half a meter from the camera."""
    phase = torch.linspace(0, 6, 40, dtype=torch.float64)
    turn = torch.stack([0.05 * torch.sin(phase), 0.2 * torch.sin(2 * phase), 0.03 * torch.cos(phase)], -1)
    shift = torch.stack([0.03 * torch.sin(phase), 0.01 * torch.cos(phase), -0.5 + 0.02 * torch.sin(3 * phase)], -1)
    return TorsoPose(axis_angle_to_matrix(turn), shift)


def test_another_frame_of_the_torso_and_another_scale_are_no_error() -> None:
    true = swaying()
    local = axis_angle_to_matrix(torch.tensor([0.1, -0.2, 0.05], dtype=torch.float64))
    offset = torch.tensor([0.01, 0.02, -0.01], dtype=torch.float64)
    found = TorsoPose(true.rotation @ local, 1.1 * ((true.rotation @ offset) + true.translation))
    degrees, distance = torso_errors(found, true, IS_TEST)
    assert degrees.max() < 1e-3 and distance.max() < 1e-3


def test_a_torso_that_rests_has_the_size_of_the_motion_as_error() -> None:
    true = swaying()
    still = TorsoPose(true.rotation[:1].expand(40, -1, -1), true.translation[:1].expand(40, -1))
    degrees, distance = torso_errors(still, true, IS_TEST)
    assert degrees.median() > 3 and distance.median() > 10


def test_a_wrong_rotation_is_measured_in_degrees() -> None:
    true = swaying()
    wrong = true.rotation.clone()
    wrong[30:] = axis_angle_to_matrix(torch.tensor([0.0, np.radians(2.0), 0.0]).double()) @ wrong[30:]
    degrees, _ = torso_errors(TorsoPose(wrong, true.translation), true, IS_TEST)
    assert float(degrees.median()) == pytest.approx(2.0, abs=1e-3)
