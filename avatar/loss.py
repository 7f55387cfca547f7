"""The training loss: L1 and SSIM over a random background, and the matte."""

from __future__ import annotations

from torch import Tensor

from avatar import ops


def photometric(
    rgb: Tensor, alpha: Tensor, truth: Tensor, matte: Tensor, ssim_weight: float, mask_weight: float
) -> Tensor:
    """Scalar loss of pictures rgb [B,H,W,3], alpha [B,H,W] against truth [B,H,W,3] and matte [B,H,W], all 0..1."""
    loss = (1 - ssim_weight) * (rgb - truth).abs().mean() + mask_weight * (alpha - matte).abs().mean()
    if ssim_weight:
        loss = loss + ssim_weight * (1 - ops.ssim(rgb, truth).mean())
    return loss
