"""Which skin faces the camera in some frame: of skin that never does, the frames say nothing.

Before Gaussians are opaque, those behind them get a part of the color of a pixel; and where the mesh reaches a little
over the outline of the head, its Gaussians cover background. Neither is the color of the skin there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.head.regions import Region
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar
from avatar.training.hair_height import hair_vertices

#: Cosine between the normal of skin and the direction to the camera below which a frame does not show it, and from
#: which on it does.
EDGE = 0.1
FULL = 0.35
#: Frames that are looked at.
FRAMES = 64
#: Regions that expressions open and close.
OPENING: tuple[Region, ...] = ("eyelids", "lid_interior", "lips", "lips_inner")
#: Gaussians that started farther from their triangle than this are hair, clothes or glasses, meters.
ON_MESH = 0.005
#: Gaussians with more of the torso than this are clothes.
MAX_TORSO = 0.5


@torch.no_grad()
def facing(avatar: Avatar, frames: TrainingFrames) -> Tensor:
    """How well the frames can show each vertex at most: [V] 0..1.

    It is 1 below hair, which stands off the head, and on lids and lips, which may show in any frame what they hide in
    most.

    Args:
        avatar: the avatar.
        frames: the training frames; FRAMES of them are looked at.
    """
    head = avatar.head
    largest = torch.full((len(head.v_template),), -1.0, dtype=torch.float64)
    for index in np.unique(np.linspace(0, len(frames) - 1, FRAMES).astype(int)):
        view = frames.view(int(index)).world_to_cam[0].double()
        step = frames.step[int(index)]
        rotation = view[:3, :3] @ frames.states.rotation[step].double()
        offset = view[:3, :3] @ frames.states.translation[step].double() + view[:3, 3]
        vertices = frames.vertices(int(index)).double()
        normals = vertex_normals(vertices, head.faces)
        toward = -(offset @ rotation) - vertices
        largest = largest.maximum((normals * toward).sum(1) / toward.norm(dim=1).clamp_min(1e-9))
    visibility = ((largest - EDGE) / (FULL - EDGE)).clamp(0, 1).float()
    visibility[hair_vertices(head) | head.mask(*OPENING)] = 1.0
    return visibility


def facing_part(avatar: Avatar, visibility: Tensor, initial_offsets: Tensor) -> Tensor:
    """Factor [N] of what the frames can show of each Gaussian: that of its triangle on skin, 1 off the mesh.

    Args:
        avatar: the avatar.
        visibility: [V] from `facing`.
        initial_offsets: [N,3] meters, before the first step.
    """
    on_skin = (initial_offsets.norm(dim=1) < ON_MESH) & (avatar.rig.skin < MAX_TORSO)
    return torch.where(on_skin, visibility[avatar.rig.triangles].mean(1), 1.0)
