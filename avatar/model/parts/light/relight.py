"""Another light on an avatar: while it is rendered, or baked into its colors."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.parts.light.estimate import with_light
from avatar.model.parts.light.head_light import HeadLight, factors
from avatar.model.parts.light.lights import Light
from avatar.model.parts.mesh_layer import MeshLayer


@dataclass(frozen=True)
class Relighting:
    """Which light shines on an avatar, from where and how strongly."""

    light: Light
    turn: float = 0.0  # degrees about the vertical; 90: light from the front comes from the right of the image
    strength: float = 1.0  # 0: the light of the clip, 1: this light

    def __post_init__(self) -> None:
        """Raise HeadsplatError for a number out of its range."""
        if not -360 <= self.turn <= 360:
            raise HeadsplatError(f"--relight-turn: expected -360 to 360 degrees, got {self.turn:g}")
        if not (math.isfinite(self.strength) and 0 <= self.strength <= 1):
            raise HeadsplatError(f"--relight-strength: expected 0 to 1, got {self.strength:g}")


@torch.no_grad()
def shine(avatar: Avatar, relighting: Relighting | None) -> None:
    """Shine a light on `avatar`, in place, in all that is rendered of it; None: the light of its clip again.

    Without a `HeadLight` nothing happens: see `own_light`.
    """
    light = avatar.part(HeadLight)
    if light is None:
        return
    if relighting is None or relighting.strength == 0:
        light.show(None)
        return
    own = light.coefficients
    lighting = relighting.light.turned(relighting.turn).to(own)
    # The face is as bright as in the clip: exposure is the camera's.
    level = light.level(lighting, avatar.head).clamp_min(1e-4)
    lighting = lighting * (relighting.light.exposure * light.level(own, avatar.head).clamp_min(1e-4) / level)
    light.show(torch.lerp(own, lighting, relighting.strength))


def own_light(avatar: Avatar) -> HeadLight:
    """The light of the avatar's clip: the stored one, or else estimated from its colors, which takes seconds."""
    return avatar.part(HeadLight) or with_light(avatar)


def with_own_light(avatar: Avatar, copied: Avatar) -> Avatar:
    """`copied` with a light of its own, on which `shine` works; everything else is shared with it.

    Args:
        avatar: on the host; where it stores no light, that of its clip is estimated, which takes seconds.
        copied: the avatar or a copy of it on another device.
    """
    result = copied.view()
    result.add_part(copy.deepcopy(own_light(avatar)).to(copied.offsets.device))
    return result


def relit(avatar: Avatar, relighting: Relighting) -> Avatar:
    """A copy of `avatar` (on the host) in another light, which stays in the world while the head turns."""
    result = copy.deepcopy(avatar).requires_grad_(False)
    if relighting.strength == 0:
        return result
    if result.part(HeadLight) is None:
        result.add_part(own_light(avatar))
    shine(result, relighting)
    return result


@torch.no_grad()
def baked(avatar: Avatar) -> Avatar:
    """A copy of `avatar` whose colors are those at the mean pose in the light that shines on it, and nothing else."""
    result = copy.deepcopy(avatar).requires_grad_(False)
    light = result.part(HeadLight)
    layer = result.part(MeshLayer)
    shapes = result.blendshapes
    if light is None:
        return result
    mean = light.mean_rotation[None]
    factor = factors(result.colors, light.ratios(mean, result.rig.skin)[0])
    if layer is not None:
        layer.set_texels(light.lit_texels(layer.texels(), layer.mesh, mean))
    result.colors.mul_(factor)
    shapes.basis[:, :, 7:10] *= factor[: shapes.count]
    result.remove_part(HeadLight)
    for part in result.parts.values():
        part.scale_colors(factor)
    return result
