"""An avatar of a few Gaussians on any head: driving uses only its head, trained range, neutral and mean pose."""

from __future__ import annotations

import torch

from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar, bake_identity
from avatar.model.blendshapes import Blendshapes
from avatar.model.rig import Rig
from avatar.model.torso import TorsoMap
from avatar.types import NECK, Binding, LocalGaussians


def puppet(
    head: HeadModel, trained: float = 0.3, neutral: float = 0.1, turn: float = 0.4, gaussians: int = 6
) -> Avatar:
    """An avatar with a trained range of 0..trained (components: +-trained) and rotations of +-turn radians.

    All of its Gaussians but those beyond the first 20 have blendshapes."""
    count = len(head.expression_names)
    person = bake_identity(head, head.v_template.new_zeros(head.shapedirs.shape[2]))
    low = torch.where(person.expression_limits[0] < 0, -trained, 0.0)
    span = torch.stack([torch.cat([low, torch.zeros(9)]), torch.cat([torch.full((count,), trained), torch.zeros(9)])])
    pivot = head.joint_locations(head.v_template.new_zeros(head.shapedirs.shape[2]))[NECK]
    torso = TorsoMap(axis_angle_to_matrix(torch.tensor([0.1, 0.2, 0.0])), torch.tensor([0.0, 0.05, -0.6]), pivot)
    torso.limit.copy_(torch.tensor([1.0, turn, turn, turn, 0.5, 0.5, 0.5]))
    binding = Binding(head.faces[:gaussians].clone(), torch.full((gaussians, 3), 1 / 3), torch.zeros(gaussians))
    local = LocalGaussians(
        torch.zeros(gaussians, 3),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(gaussians, 1),
        torch.full((gaussians, 3), -6.0),
        torch.zeros(gaussians),
        torch.zeros(gaussians, 3),
    )
    shapes = Blendshapes("reduced", span, 2, min(gaussians, 20))
    return Avatar(person, Rig(binding, torso), shapes, local, torch.full((count,), neutral)).requires_grad_(False)
