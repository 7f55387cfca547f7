"""A small avatar with every kind of tensor, made from the stored sample of version 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.model.blendshapes import Blendshapes
from avatar.model.parts.weight_network import WeightNetwork
from avatar.types import Camera

SAMPLE = Path(__file__).parents[1] / "data" / "version1.avatar"
#: A camera of 32x32 pixels that shows it.
CAMERA = Camera.facing(60, 32, 32)


def small_avatar(mode: str) -> Avatar:
    """The six Gaussians of the sample with every kind of tensor; eyes shut bend the path of a vertex."""
    avatar = load_avatar(SAMPLE)
    bend = torch.full((12, 3, 1), 0.001)
    avatar.head = replace(avatar.head, curvedirs=bend, curve_columns=torch.tensor([1]))
    avatar.rig.torso.mean_translation[2] = -0.5
    if mode == "expression":
        avatar.blendshapes = Blendshapes(
            "expression", torch.rand(9, 11, generator=torch.Generator().manual_seed(1)), 0, 6
        )
    else:
        network = WeightNetwork(11, avatar.blendshapes.basis.shape[0], 4)
        network.randomize(1)
        avatar.add_part(network.requires_grad_(False))
    return avatar
