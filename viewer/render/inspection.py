"""What an avatar is made of, for the eye: which part carries each Gaussian, and which Gaussians matter most."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor

from avatar.geometry.rotations import SH_C0
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar

#: Turn of the hue from one part to the next: the golden section keeps any number of them apart.
_HUE_STEP = 0.61803398875
_LIGHTNESS = (0.5, 0.64, 0.78)  # of parts in turn, since some hues come close
_UNEVEN = 0.3  # difference in brightness between triangles of one part
_DARKEST = 0.5  # share of its brightness that a part keeps where the person is black
_LUMA = (0.299, 0.587, 0.114)
#: For the hash of a triangle's corners: primes of Teschner et al., Optimized Spatial Hashing, 2003.
_PRIMES = (73856093, 19349663, 83492791)
_SHADES = 64  # of triangles of one part


def part_colors(avatar: Avatar) -> Tensor:
    """A color [N,3] sRGB for each Gaussian: its hue is the part of the head it is bound to, its brightness differs
    from triangle to triangle."""
    rig = avatar.rig
    nearest = rig.triangles.gather(1, rig.bary.argmax(1, keepdim=True))[:, 0]
    colors = _vertex_colors(avatar.head).to(rig.bary)[nearest]
    mixed = rig.triangles * torch.tensor(_PRIMES, device=rig.triangles.device)
    shade = (mixed[:, 0] ^ mixed[:, 1] ^ mixed[:, 2]) % _SHADES / (_SHADES - 1)
    return colors * (1 - _UNEVEN * shade[:, None])


def _vertex_colors(head: HeadModel) -> Tensor:
    """[V,3] sRGB; where regions overlap, the smaller one shows."""
    colors = torch.full((len(head.v_template), 3), 0.6)
    places = {name: place for place, name in enumerate(sorted(head.regions))}
    for name in sorted(head.regions, key=lambda name: -int(head.regions[name].sum())):
        hue, lightness = _HUE_STEP * places[name] % 1, _LIGHTNESS[places[name] % len(_LIGHTNESS)]
        colors[head.regions[name].cpu()] = torch.tensor(colorsys.hls_to_rgb(hue, lightness, 0.8))
    return colors


def shaded(colors: Tensor, sh: Tensor) -> Tensor:
    """Coefficients [1,N,1,3] of `colors` [N,3], darker where the Gaussians' own `sh` [1,N,D,3] are."""
    own = (0.5 + SH_C0 * sh[0, :, 0]).clamp(0, 1)
    light = _DARKEST + (1 - _DARKEST) * (own @ own.new_tensor(_LUMA))
    return ((colors * light[:, None] - 0.5) / SH_C0)[None, :, None].contiguous()


def drawing_order(avatar: Avatar) -> Tensor:
    """The place [N] of each Gaussian in the order in which they are drawn where only so many are.

    Those that can fill most of a picture come first, opacity times area of a resting one: a few thousands show a face
    where as many by chance show holes.
    """
    scales = avatar.log_scales.detach().sort(1).values
    filled = avatar.logit_opacities.detach().sigmoid().log() + scales[:, 1] + scales[:, 2]
    return filled.argsort(descending=True, stable=True).argsort()
