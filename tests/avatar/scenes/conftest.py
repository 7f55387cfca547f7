"""Two tiny avatars with a mesh layer, and a camera before them."""

from __future__ import annotations

import copy

import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.types import Camera, HeadParams

SIZE = 64


@pytest.fixture(scope="session")
def layered(tiny_avatar: Avatar) -> Avatar:
    """`tiny_avatar` with teeth, tongue and eyeballs. Read only."""
    avatar = copy.deepcopy(tiny_avatar).requires_grad_(False)
    avatar.add_part(MeshLayer(avatar.head))
    return avatar


@pytest.fixture(scope="session")
def params(tiny: Capture, layered: Avatar) -> HeadParams:
    """Eight frames with an open mouth."""
    params = layered.with_identity(tiny.params(range(8)))
    expression = params.expression.clone()
    expression[:, layered.head.expression_index("jawOpen")] = 1.0
    return HeadParams(params.identity, expression, params.joint_rot, params.translation)


@pytest.fixture(scope="session")
def camera() -> Camera:
    """A camera [1] at 1 m from the origin of a scene, of 2 SIZE x SIZE pixels."""
    view = torch.tensor([[1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, -1.0, 1.0], [0, 0, 0, 1.0]])
    K = torch.tensor([[SIZE * 1.6, 0, SIZE], [0, SIZE * 1.6, SIZE / 2], [0, 0, 1.0]])
    return Camera(K[None], view[None], 2 * SIZE, SIZE)
