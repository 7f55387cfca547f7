"""The part of an .avatar file that holds the light of the clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from avatar.model.avatar import Avatar
from avatar.model.avatar_checks import checksum
from avatar.model.avatar_header import LIGHT
from avatar.model.light.head_light import HeadLight


def light_tensors(avatar: Avatar) -> dict[str, Tensor]:
    """Tensors of the light by their names in the file; none for an avatar without."""
    light = avatar.light
    if light is None:
        return {}
    tensors = {
        f"{LIGHT}transfer": light.transfer.half(),
        f"{LIGHT}surface": light.surface.half(),
        f"{LIGHT}coefficients": light.coefficients,
    }
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def light_entry(avatar: Avatar) -> dict[str, Any]:
    """The entry `light` of the header, if the avatar has one."""
    tensors = light_tensors(avatar)
    return {"light": {"tensors_sha256": checksum(tensors, LIGHT)}} if tensors else {}


def restore_light(avatar: Avatar, tensors: Mapping[str, Tensor]) -> None:
    """Give `avatar` the light of a file with these tensors, which were checked (`check_light`), if it has one."""
    if f"{LIGHT}transfer" not in tensors:
        return
    transfer, surface, light = (tensors[f"{LIGHT}{name}"] for name in ("transfer", "surface", "coefficients"))
    avatar.light = HeadLight(transfer, surface, light, avatar.rig.torso.mean_rotation).requires_grad_(False)
