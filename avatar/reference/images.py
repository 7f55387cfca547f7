"""Reference of the image losses."""

from __future__ import annotations

import torch
from torch import Tensor

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Reference of `avatar.ops.ssim` (Wang et al. 2004, 11x11 Gaussian window, zero padding)."""
    return ssim_map(a, b).mean((1, 2, 3))


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity [B,3,H,W] of the window around each pixel."""
    offsets = torch.arange(SSIM_WINDOW, dtype=a.dtype, device=a.device) - SSIM_WINDOW // 2
    line = torch.exp(-offsets * offsets / (2 * SSIM_SIGMA**2))
    line = line / line.sum()
    window = torch.outer(line, line).expand(3, 1, -1, -1)

    def blur(image: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(image, window, padding=SSIM_WINDOW // 2, groups=3)

    x = a.permute(0, 3, 1, 2)
    y = b.permute(0, 3, 1, 2).to(a)
    mean_x = blur(x)
    mean_y = blur(y)
    var_x = blur(x * x) - mean_x * mean_x
    var_y = blur(y * y) - mean_y * mean_y
    covariance = blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x * mean_x + mean_y * mean_y + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (var_x + var_y + SSIM_C2)
    return luminance * structure


def photometric(
    rgb: Tensor,
    alpha: Tensor,
    truth: Tensor,
    matte: Tensor,
    background: Tensor,
    ssim_weight: float,
    mask_weight: float,
    ssim_rows: tuple[int, int] = (1, 0),
) -> tuple[Tensor, Tensor]:
    """Reference of `avatar.ops.photometric`, with the same arguments."""
    backdrop = background.detach()[:, None, None]
    coverage = matte.to(rgb) / 255
    image = rgb + (1 - alpha)[..., None] * backdrop
    target = backdrop + (truth.to(rgb) / 255 - backdrop) * coverage[..., None]
    difference = image - target
    loss = (1 - ssim_weight) * difference.abs().mean((1, 2, 3)) + mask_weight * (alpha - coverage).abs().mean((1, 2))
    if ssim_weight:
        stride, first = ssim_rows
        dissimilarity = 1 - ssim_map(image, target)[:, :, first::stride]
        loss = loss + ssim_weight * stride * dissimilarity.sum((1, 2, 3)) / image[0].numel()
    return loss, difference.detach().square().mean((1, 2, 3))


def to_bytes(rgb: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """Reference of `avatar.ops.to_bytes`, without `out`."""
    image = rgb + (1 - alpha)[..., None] * background
    return (image.nan_to_num(0.0).clamp(0, 1) * 255 + 0.5).to(torch.uint8)
