"""Scales of Gaussians widened by a low-pass filter."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import reference

from .backend import native_for
from .frames import has_workspaces


@torch.no_grad()
def widen(scales: Tensor, filter_scale: float) -> Tensor:
    """sqrt(scales^2 + filter_scale^2), without a gradient; on a CUDA device this runs as PyTorch.

    On the CPU the root is rounded correctly, which that of PyTorch is not: `rendered_loss` gives the same bits.

    Args:
        scales: [...,3] meters.
        filter_scale: meters.
    """
    native = native_for(scales)
    if native is None or has_workspaces(native):
        return reference.widen(scales, filter_scale)
    scales = scales.detach().contiguous()
    out = torch.empty_like(scales)
    native.widen(scales, filter_scale, out)
    return out
