"""Reference of what the limits of a training measure and clamp."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BlendExtent:
    """Channels of R Gaussians over some frames."""

    low: Tensor  # [R,C] smallest value
    high: Tensor  # [R,C] largest value
    square: Tensor  # [R] largest sum of the squares of the channels


def blend_extent(
    base: Tensor | None, basis: Tensor, weights: Tensor, rows: Tensor, first: int, units: Tensor
) -> BlendExtent:
    """Reference of `avatar.ops.blend_extent`, with the same arguments."""
    chosen = basis[:, rows, first : first + len(units)]
    moved = (weights @ chosen.flatten(1)).view(len(weights), *chosen.shape[1:]) * units
    if base is not None:
        moved = moved + base
    return BlendExtent(moved.amin(0), moved.amax(0), moved.square().sum(2).amax(0))


def limit_scales(log_scales: Tensor, largest: Tensor, log_ratio: float, log_thinness: float) -> None:
    """Reference of `avatar.ops.limit_scales`, with the same arguments."""
    first, second, third = log_scales.unbind(1)
    middle = torch.maximum(torch.minimum(first, second), torch.minimum(torch.maximum(first, second), third))
    limited = torch.minimum(log_scales, torch.minimum(middle + log_ratio, largest)[:, None])
    limited = torch.maximum(limited, limited.amax(1, keepdim=True) - log_thinness)
    log_scales.copy_(torch.where(log_scales.isnan().any(1, keepdim=True), log_scales, limited))


def limit_texels(own: Tensor, start: Tensor, part: Tensor, factors: Tensor) -> None:
    """Reference of `avatar.ops.limit_texels`, with the same arguments."""
    colors = start * factors[part] + own
    own.add_(colors.clamp(0, 1) - colors)


def round_rings(
    values: Tensor, squares: Tensor, texels: Tensor, places: Tensor, rings: int, smoothness: float, share: float
) -> None:
    """Reference of `avatar.ops.round_rings`, with the same arguments."""
    own = values[texels]
    weight = squares[texels].sqrt().mean(1)
    total = weight.sum()
    if not total > 0:
        return
    before = places.long().clamp(0, rings - 2)[:, None]
    part = places[:, None] - before
    shares = values.new_zeros(len(places), rings).scatter_(1, before, 1 - part).scatter_(1, before + 1, part)
    weighted = shares * (weight * (rings / total))[:, None]
    unit = torch.eye(rings, dtype=values.dtype, device=values.device)
    step = unit[1:] - unit[:-1]
    matrix = weighted.T @ shares + smoothness * step.T @ step + 1e-6 * unit
    mean = shares @ torch.linalg.solve(matrix, weighted.T @ own)
    values[texels] = own + share * (mean - own)
