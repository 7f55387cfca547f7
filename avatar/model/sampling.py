"""Widening of the Gaussians against aliasing: a low-pass filter in space and a dilation of the projected Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatar import ops
from avatar.types import DILATION


@dataclass(frozen=True)
class Sampling:
    """How an avatar's Gaussians are widened, in training and wherever it is rendered; stored in its file.

    A training image shows no detail finer than its pixels, so nothing in the training limits how thin a Gaussian is.
    Under a dilation alone, thin Gaussians look right at the trained size, and become needles and specks at a larger
    one. A low-pass filter in space has the same effect at every size (Mip-Splatting, Yu et al. 2024, section 4.1; here
    without its compensation of the opacity). The defaults change nothing: avatars of older files have them.
    """

    filter_scale: float = 0.0
    """standard deviation of the low-pass filter, meters"""
    dilation: float = DILATION
    """pixels^2 added to the diagonal of the projected covariance"""

    @staticmethod
    def of(values: Tensor) -> Sampling:
        """From `tensor()` [2]."""
        filter_scale, dilation = values.tolist()
        return Sampling(filter_scale, dilation)

    def tensor(self) -> Tensor:
        """Filter and dilation as stored in a file, float32 [2]."""
        return torch.tensor([self.filter_scale, self.dilation])

    def rounded(self) -> Sampling:
        """This sampling with the precision of a file, so that training and rendering agree."""
        return Sampling.of(self.tensor())

    def widened(self, scales: Tensor) -> Tensor:
        """sqrt(scales^2 + filter_scale^2) of scales [..., 3] in meters, with autograd; `scales` if the filter is 0."""
        return _Widened.apply(scales, self.filter_scale) if self.filter_scale else scales


class _Widened(torch.autograd.Function):
    """Five passes over the scales; autograd of the plain expression makes nine."""

    @staticmethod
    def forward(ctx: Any, scales: Tensor, filter_scale: float) -> Tensor:
        wide = ops.widen(scales, filter_scale)
        ctx.save_for_backward(scales, wide)
        return wide

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        scales, wide = ctx.saved_tensors
        return (grad * scales).div_(wide), None
