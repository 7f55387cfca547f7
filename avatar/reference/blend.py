"""Reference of linear blendshapes and of the activation of Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.geometry.rotations import SH_C0


def blend(base: Tensor | None, basis: Tensor, weights: Tensor) -> Tensor:
    """Reference of `avatar.ops.blend`, with the same arguments."""
    sums = torch.einsum("bk,knc->bnc", weights, basis.to(weights))
    return sums if base is None else base + sums


def deform(
    offsets: Tensor,
    quats: Tensor,
    log_scales: Tensor,
    logit_opacities: Tensor,
    colors: Tensor,
    extra: Tensor,
    units: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Reference of `avatar.ops.deform`, with the same arguments."""
    batch, moved = extra.shape[:2]
    more = torch.nn.functional.pad(extra * units, (0, 0, 0, len(offsets) - moved))
    sh = (colors + more[..., 7:10] - 0.5) / SH_C0
    return (
        offsets + more[..., :3],
        quats + more[..., 3:7],
        log_scales.exp().expand(batch, -1, -1),
        torch.sigmoid(logit_opacities + more[..., 10]),
        sh[:, :, None],
    )
