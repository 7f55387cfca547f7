"""What skin the frames can show, from a head of a known pose."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.head.shading import vertex_normals
from avatar.model.avatar import bake_identity
from avatar.training.facing import EDGE, FULL, MAX_TORSO, ON_MESH, OPENING, facing, facing_part
from avatar.training.hair_height import hair_vertices
from avatar.training.trainer import Trainer
from tests.avatar.training.test_hair_height import YAW, filmed
from tests.avatar.training.test_relocation import trainer_of


@pytest.fixture
def trainer(tiny: Capture) -> Trainer:
    return trainer_of(tiny)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    model = load_head()
    return bake_identity(model, torch.zeros(model.shapedirs.shape[2]))


def test_skin_that_turns_to_the_camera_in_one_frame_is_shown(trainer: Trainer, head: HeadModel) -> None:
    trainer.avatar.head = head
    shown = facing(trainer.avatar, filmed(head, head)).numpy()
    normals = vertex_normals(head.v_template.double(), head.faces).numpy()
    skin = ~(hair_vertices(head) | head.mask(*OPENING)).numpy()
    # The camera is .6 meters away and the head turns by YAW: a normal at the angle a to the view gets a - YAW at most.
    angle = np.arctan2(np.abs(normals[:, 0]), normals[:, 2])
    level = skin & (np.abs(normals[:, 1]) < 0.2)
    assert (shown[level & (angle < YAW)] == 1).all() and (
        shown[level & (angle > YAW + np.arccos(EDGE) + 0.25)] == 0
    ).all()
    between = shown[level & (angle > YAW + np.arccos(FULL)) & (angle < YAW + np.arccos(EDGE))]
    assert len(between) > 50 and 0.2 < between.mean() < 0.8
    assert (shown[~skin] == 1).all()


def test_a_frame_from_one_side_shows_one_side(trainer: Trainer, head: HeadModel) -> None:
    trainer.avatar.head = head
    frames = filmed(head, head)
    sides = []
    for index in (0, len(frames) - 1):
        chosen = torch.tensor([index])
        one = type(frames)(
            frames.rgb[chosen], frames.alpha[chosen], frames.views(chosen), frames.states[chosen],
            torch.tensor([0]), frames.time[:1], frames.weight[chosen],
        )  # fmt: skip
        sides.append(facing(trainer.avatar, one))
    both = facing(trainer.avatar, frames)
    assert (both >= torch.maximum(*sides) - 1e-6).all()
    left = head.v_template[:, 0] > 0.03
    right, skin = head.v_template[:, 0] < -0.03, ~hair_vertices(head)
    shares = sorted((side[left & skin].mean() / side[right & skin].mean()).item() for side in sides)
    assert shares[0] < 0.8 and shares[1] > 1.25, shares


def test_gaussians_off_the_mesh_and_of_clothes_count_fully(trainer: Trainer) -> None:
    avatar, offsets = trainer.avatar, trainer.anchors.initial["offsets"]
    part = facing_part(avatar, torch.zeros(len(avatar.head.v_template)), offsets)
    skin = (offsets.norm(dim=1) < ON_MESH) & (avatar.rig.skin < MAX_TORSO)
    assert skin.any() and (~skin).any()
    assert (part[skin] == 0).all() and (part[~skin] == 1).all()


def test_skin_that_never_faces_the_camera_is_anchored(trainer: Trainer) -> None:
    """Whatever its Gaussians get of the color of pixels while those in front of them are transparent."""
    trainer.facing = torch.zeros_like(trainer.facing)
    trainer.initialize()
    part = facing_part(trainer.avatar, trainer.facing, trainer.anchors.initial["offsets"])
    assert set((part == 0).nonzero()[:, 0].tolist()) <= set(trainer.anchors.rows.tolist())
