"""Specification of the comparison of pictures."""

from __future__ import annotations

import torch
from torch import Tensor

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Specification of `avatar.ops.ssim` (Wang et al. 2004, 11x11 Gaussian window, zero padding)."""
    offsets = torch.arange(SSIM_WINDOW, dtype=a.dtype, device=a.device) - SSIM_WINDOW // 2
    line = torch.exp(-offsets * offsets / (2 * SSIM_SIGMA**2))
    line = line / line.sum()
    window = torch.outer(line, line).expand(3, 1, -1, -1)

    def blur(image: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(image, window, padding=SSIM_WINDOW // 2, groups=3)

    x, y = a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2).to(a)
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x * mean_x, blur(y * y) - mean_y * mean_y
    covariance = blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x * mean_x + mean_y * mean_y + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (var_x + var_y + SSIM_C2)
    return (luminance * structure).mean((1, 2, 3))


def photometric(
    rgb: Tensor,
    alpha: Tensor,
    truth: Tensor,
    matte: Tensor,
    background: Tensor,
    ssim_weight: float,
    mask_weight: float,
) -> tuple[Tensor, Tensor]:
    """Specification of `avatar.ops.photometric`."""
    behind = background.detach()[:, None, None]
    share = matte.to(rgb) / 255
    picture = rgb + (1 - alpha)[..., None] * behind
    target = behind + (truth.to(rgb) / 255 - behind) * share[..., None]
    difference = picture - target
    loss = (1 - ssim_weight) * difference.abs().mean((1, 2, 3)) + mask_weight * (alpha - share).abs().mean((1, 2))
    if ssim_weight:
        loss = loss + ssim_weight * (1 - ssim(picture, target))
    return loss, difference.detach().square().mean((1, 2, 3))


def to_bytes(rgb: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """Specification of `avatar.ops.to_bytes`."""
    picture = rgb + (1 - alpha)[..., None] * background
    return (picture.nan_to_num(0.0).clamp(0, 1) * 255 + 0.5).to(torch.uint8)
