"""The surface of a torso that all mattes of a walk agree on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from avatar.training.matte_sampling import hull_of_torso, sample_matte
from avatar.types import FACING_CAMERA, Camera, HeadParams

SIZE = 96
FOCAL = 130.0
CHIN = -0.11
AXIS, RADIUS = np.array([0.0, -0.25, -0.06]), 0.16  # of an upright cylinder below the chin
TOP = -0.15
DISTANCE, RAISED = 0.9, 0.1  # of the middle of its axis from the camera, and above it


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return bake_identity(load_head(), torch.zeros(load_head().shapedirs.shape[2]))


@pytest.fixture(scope="module")
def frames(head: HeadModel) -> TrainingFrames:
    """Mattes of the cylinder before a camera that goes around it."""
    count = 24
    angles = torch.linspace(0, 2 * torch.pi, count + 1)[:count]
    rotation = axis_angle_to_matrix(torch.stack([0 * angles, angles, 0 * angles], 1))
    middle = torch.tensor(AXIS).float()
    translation = torch.tensor([0.0, RAISED, -DISTANCE]) - (rotation @ middle)
    params = HeadParams(
        torch.zeros(0), torch.zeros(1, len(head.expression_names)), torch.zeros(1, 5, 3), torch.zeros(1, 3)
    )
    one = HeadStates.of(params, head)[torch.zeros(count, dtype=torch.int64)]
    K = torch.tensor([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1.0]]).repeat(count, 1, 1)
    camera = Camera(K, torch.tensor(FACING_CAMERA).float().repeat(count, 1, 1), SIZE, SIZE)
    # The cylinder is the same from all sides: rays that pass its axis nearer than its radius, below its top.
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    across = (columns - SIZE / 2) / FOCAL * DISTANCE
    height = (SIZE / 2 - rows) / FOCAL * DISTANCE
    matte = ((np.abs(across) < RADIUS) & (height < RAISED + TOP - AXIS[1])).astype(np.uint8) * 255
    alpha = torch.from_numpy(matte).repeat(count, 1, 1)
    states = HeadStates(one.params, one.vertices, one.features, rotation, translation).sitting_still()
    rgb = torch.zeros(count, SIZE, SIZE, 3, dtype=torch.uint8)
    return TrainingFrames(rgb, alpha, camera, states, torch.arange(count), np.arange(count) / 30, torch.ones(count))


def test_the_hull_is_the_surface_of_what_all_mattes_show(head: HeadModel, frames: TrainingFrames) -> None:
    points = hull_of_torso(head, frames, CHIN)
    below = points[(points[:, 1] < TOP - 0.02) & (points[:, 1] > TOP - 0.06)]
    distance = np.linalg.norm((below - AXIS)[:, [0, 2]], axis=1)
    assert len(below) > 300
    assert abs(np.median(distance) - RADIUS) < 0.02


def test_points_of_a_walk_are_on_the_hull(head: HeadModel, frames: TrainingFrames) -> None:
    points = sample_matte(head, frames, 400, np.random.default_rng(0))
    assert len(points.position) == len(points.torso) == len(points.spacing)
    below = points.position[points.torso]
    assert len(below) == 200
    assert np.ptp(below[:, 2]) > 1.5 * RADIUS  # from the front to the back, not in a plane
