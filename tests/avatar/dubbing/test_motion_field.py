"""Fields of motion between two poses of a mesh, rasterized."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from avatar.dubbing.motion_field import MotionField, MotionFields
from avatar.dubbing.parts import vertex_weights
from avatar.head import load_head
from avatar.types import Bones, Camera, PosedHead

HEAD = load_head()
CAMERA = Camera.facing(180, 96, 96)


def posed(jaw: float = 0.0, x: float = 0.0) -> PosedHead:
    params = HEAD.neutral_params()
    params.expression[:, HEAD.expression_index("jawOpen")] = jaw
    head = PosedHead.in_skull_frame(HEAD.skull_vertices(params))
    moved = head.bones.translations + torch.tensor([x, 0.0, -0.6])
    return PosedHead(head.vertices, head.rotation, Bones(head.bones.quats, moved))


@cache
def between(jaw: float, x: float = 0.0) -> MotionField:
    return MotionFields(HEAD, *vertex_weights(HEAD, "mouth")).between(posed(), posed(jaw, x), CAMERA)


def grid() -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(96), np.arange(96)), -1)


def test_the_same_pose_moves_nothing_and_hides_nothing() -> None:
    field = between(0.0)
    assert np.array_equal(field.source, grid()) and field.seen.min() == 1


def test_a_head_that_moves_takes_its_pixels_along() -> None:
    field = between(0.0, 0.01)  # meters: three pixels to the right
    face = field.mask > 0.9
    flow = (field.source - grid())[face & (field.seen > 0)]
    assert face.any() and np.abs(flow[:, 1]).max() < 0.2
    assert abs(np.median(flow[:, 0]) + 3) < 0.7


def test_a_jaw_that_opens_shows_what_the_film_does_not() -> None:
    field = between(0.8)
    mouth = field.inside > 0.9
    assert (field.seen[mouth] == 0).any(), "the mouth was closed"
    chin = (field.source - grid())[..., 1][field.mask > 0.5]
    assert chin.min() < -2, "the chin is lower than in the film"
    assert np.abs(field.source - grid())[field.mask == 0].max() < 1.5, "the rest of the film stays"
