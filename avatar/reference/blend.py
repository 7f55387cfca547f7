"""Reference of linear blendshapes and of the activation of Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.geometry.rotations import SH_C0
from avatar.types import DeformedGaussians, LocalGaussians


def blend(base: Tensor | None, basis: Tensor, weights: Tensor) -> Tensor:
    """Reference of `avatar.ops.blend`, with the same arguments."""
    sums = torch.einsum("bk,knc->bnc", weights, basis.to(weights))
    return sums if base is None else base + sums


def deform(local: LocalGaussians, extra: Tensor, units: Tensor) -> DeformedGaussians:
    """Reference of `avatar.ops.deform`, with the same arguments."""
    batch, moved = extra.shape[:2]
    more = torch.nn.functional.pad(extra * units, (0, 0, 0, len(local) - moved))
    sh = (local.colors + more[..., 7:10] - 0.5) / SH_C0
    return DeformedGaussians(
        local.offsets + more[..., :3],
        local.quats + more[..., 3:7],
        local.log_scales.exp().expand(batch, -1, -1),
        torch.sigmoid(local.logit_opacities + more[..., 10]),
        sh[:, :, None],
    )
