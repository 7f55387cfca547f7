"""Reference of scales widened by a low-pass filter."""

from __future__ import annotations

from torch import Tensor


def widen(scales: Tensor, filter_scale: float) -> Tensor:
    """Reference of `avatar.ops.widen`, with the same arguments."""
    return (scales * scales).add_(filter_scale * filter_scale).sqrt_()
