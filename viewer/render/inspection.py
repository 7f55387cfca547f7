"""Inspection of an avatar: colors by the part a Gaussian is bound to, and Gaussians ordered by importance."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor

from avatar.geometry.rotations import SH_C0
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar

#: Hue step from one part to the next: the golden section gives distinct hues for any number of parts.
_HUE_STEP = 0.61803398875
_LIGHTNESS = (0.5, 0.64, 0.78)  # alternates by part, since some hues are similar
_TRIANGLE_CONTRAST = 0.3  # difference in brightness between triangles of one part
_MIN_BRIGHTNESS = 0.5  # factor of a part's brightness where the Gaussians are black
_LUMA = (0.299, 0.587, 0.114)
#: For the hash of a triangle's vertices: primes of Teschner et al., Optimized Spatial Hashing, 2003.
_PRIMES = (73856093, 19349663, 83492791)
_SHADES = 64  # of triangles of one part


def part_colors(avatar: Avatar) -> Tensor:
    """Colors [N,3] sRGB of the Gaussians: the hue is the part of the head they are bound to, the brightness differs by
    triangle."""
    rig = avatar.rig
    nearest = rig.triangles.gather(1, rig.bary.argmax(1, keepdim=True))[:, 0]
    colors = _vertex_colors(avatar.head).to(rig.bary)[nearest]
    mixed = rig.triangles * torch.tensor(_PRIMES, device=rig.triangles.device)
    shade = (mixed[:, 0] ^ mixed[:, 1] ^ mixed[:, 2]) % _SHADES / (_SHADES - 1)
    return colors * (1 - _TRIANGLE_CONTRAST * shade[:, None])


def _vertex_colors(head: HeadModel) -> Tensor:
    """Colors [V,3] sRGB of the vertices; where regions overlap, of the smaller one."""
    colors = torch.full((len(head.v_template), 3), 0.6)
    numbers = {name: number for number, name in enumerate(sorted(head.regions))}
    for name in sorted(head.regions, key=lambda name: -int(head.regions[name].sum())):
        hue = _HUE_STEP * numbers[name] % 1
        lightness = _LIGHTNESS[numbers[name] % len(_LIGHTNESS)]
        colors[head.regions[name].cpu()] = torch.tensor(colorsys.hls_to_rgb(hue, lightness, 0.8))
    return colors


def shade_by_luma(colors: Tensor, sh: Tensor) -> Tensor:
    """SH coefficients [1,N,1,3] of `colors` [N,3], darker where the colors of the Gaussians' `sh` [1,N,D,3] are."""
    original = (0.5 + SH_C0 * sh[0, :, 0]).clamp(0, 1)
    brightness = _MIN_BRIGHTNESS + (1 - _MIN_BRIGHTNESS) * (original @ original.new_tensor(_LUMA))
    return ((colors * brightness[:, None] - 0.5) / SH_C0)[None, :, None].contiguous()


def importance_rank(avatar: Avatar) -> Tensor:
    """The rank [N] of each Gaussian by opacity times area at rest, largest first.

    With a limited count of Gaussians those of the lowest ranks are rendered: a few thousand show a face without the
    holes that a random selection has.
    """
    scales = avatar.log_scales.detach().sort(1).values
    coverage = avatar.logit_opacities.detach().sigmoid().log() + scales[:, 1] + scales[:, 2]
    return coverage.argsort(descending=True, stable=True).argsort()
