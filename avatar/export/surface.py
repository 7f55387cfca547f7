"""The head's mesh as other programs want it: one vertex for each pair of place and texture coordinate, and colours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.geometry import SH_C0
from avatar.head.model import HeadModel
from avatar.model import Avatar

from .pose import posed

#: metres off the surface at which a Gaussian's say in the surface's colour has fallen to e^-1: hair stands off the skin
_REACH = 0.004
_ENOUGH = 1e-3  # of the mean weight: with less a vertex takes its neighbours' colour
_SPREADS = 40


@dataclass(frozen=True)
class Seams:
    """A head's triangles with texture seams cut open: M corners stand for V vertices."""

    vertex: Tensor  # [M] int64, whose place a corner has
    uv: Tensor  # [M,2] 0..1, v from the bottom up
    faces: Tensor  # [F,3] int64, rows of the corners

    @staticmethod
    def of(head: HeadModel) -> Seams:
        """Cut `head`: vertices that nothing uses are left out."""
        pairs = head.faces * len(head.uv) + head.uv_faces
        kinds, faces = torch.unique(pairs, return_inverse=True)
        return Seams(kinds // len(head.uv), head.uv[kinds % len(head.uv)], faces)


@torch.no_grad()
def vertex_colors(avatar: Avatar) -> Tensor:
    """Colours [V,3] sRGB of the person's resting face, read off the Gaussians that lie on the mesh.

    Where none lies, the colour spreads from the neighbours; what has none, keeps the head model's.
    """
    head, gaussians = avatar.head, avatar(posed(avatar))
    colors = (0.5 + SH_C0 * gaussians.sh[0, :, 0]).clamp(0, 1)
    area = gaussians.scales[0].topk(2, dim=-1).values.prod(-1)
    say = gaussians.opacities[0] * area * torch.exp(-(avatar.offsets / _REACH).square().sum(-1))
    total = torch.zeros(len(head.v_template), 4, dtype=colors.dtype, device=colors.device)
    for corner in range(3):
        share = (say * avatar.rig.bary[:, corner])[:, None]
        total.index_add_(0, avatar.rig.triangles[:, corner], torch.cat([colors * share, share], -1))
    known = total[:, 3] > _ENOUGH * total[:, 3].mean()
    found = torch.where(known[:, None], total[:, :3] / total[:, 3:].clamp_min(1e-20), head.colors)
    return _spread(found, known, head.faces)


def _spread(colors: Tensor, known: Tensor, faces: Tensor) -> Tensor:
    """Colours [V,3] in which a vertex not `known` [V] has the mean of its known neighbours, ring after ring."""
    for _ in range(_SPREADS):
        if bool(known.all()):
            break
        total = torch.zeros(len(colors), 4, dtype=colors.dtype, device=colors.device)
        valued = torch.cat([colors, torch.ones_like(colors[:, :1])], -1) * known[:, None]
        around = valued[faces].sum(1)
        for corner in range(3):
            total.index_add_(0, faces[:, corner], around)
        reached = ~known & (total[:, 3] > 0)
        colors = torch.where(reached[:, None], total[:, :3] / total[:, 3:].clamp_min(1e-9), colors)
        known = known | reached
    return colors
