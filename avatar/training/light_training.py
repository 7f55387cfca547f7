"""The light of a clip in training: learned from how the shading of the head changes while it turns."""

from __future__ import annotations

import copy

import torch

from avatar.model.avatar import Avatar
from avatar.model.parts.light.estimate import with_light
from avatar.model.parts.light.harmonics import ambient
from avatar.model.parts.light.head_light import HeadLight
from avatar.model.parts.light.transfer import gaussian_transfer

#: Weight of the squared difference from the light that the first colors show; a clip whose head hardly turns says
#: little about its light.
_ANCHOR = 1e-4


def start_light(avatar: Avatar) -> None:
    """Give an untrained avatar white light from everywhere, which changes no color."""
    blank, mean = torch.zeros(len(avatar), 9), avatar.rig.torso.mean_rotation
    surface = torch.zeros(len(avatar.head.v_template), 9)
    avatar.add_part(HeadLight(blank, surface, ambient(torch.ones(3)), mean))


def measure_light(avatar: Avatar) -> None:
    """Once the colors are set: bake the transfer, and take the light that the colors show; without a light nothing."""
    light = avatar.part(HeadLight)
    if light is not None:
        light.take(with_light(_on_host(avatar)))


def refresh_transfer(avatar: Avatar) -> None:
    """Bake the transfer of Gaussians that have moved; without a light nothing."""
    light = avatar.part(HeadLight)
    if light is not None:
        with torch.no_grad():
            light.transfer.copy_(gaussian_transfer(_on_host(avatar), light.surface.cpu()))


def add_light_anchor(avatar: Avatar) -> None:
    """Add the gradient of the anchor to that of the light's shape; without a light nothing.

    The shape is learned in all channels alike: apart, they would explain the camera's tone curve with colored lamps.
    """
    light = avatar.part(HeadLight)
    if light is not None and light.shape.grad is not None:
        light.shape.grad.copy_(light.shape.grad.mean(1, keepdim=True).expand(-1, 3))
        light.shape.grad.add_(light.shape.detach() - light.anchor, alpha=_ANCHOR)


def finish_light(avatar: Avatar) -> None:
    """After the last step: bake the transfer again, and find strength and tint of the light from the trained colors."""
    light = avatar.part(HeadLight)
    if light is None:
        return
    shape = light.shape.detach().clone()
    found = with_light(avatar, shape)
    found.shape.data.copy_(shape)
    light.take(found)


def _on_host(avatar: Avatar) -> Avatar:
    return avatar if avatar.offsets.device.type == "cpu" else copy.deepcopy(avatar).cpu()
