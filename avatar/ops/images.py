"""Comparison of pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.records import check_shape

from .backend import native_for
from .checks import check_floats


class _Ssim(torch.autograd.Function):
    """The gradient is made with the value, while the blurred moments are at hand; backward scales it."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        mean = a.new_empty(len(a))
        grad = a.new_empty(a.shape) if ctx.needs_input_grad[0] else None
        native_for(a).ssim(a.detach().contiguous(), b.detach().contiguous(), mean, grad)
        ctx.grad = grad
        return mean

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.grad * grad[:, None, None, None], None


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity [B] of images [B,H,W,3] in 0..1 (Wang et al. 2004), differentiable in `a` only.

    11x11 Gaussian window of sigma 1.5, zero padding, all pixels and channels counted alike.
    """
    check_shape("a", a, ("B", "H", "W", 3))
    check_shape("b", b, tuple(a.shape))
    check_floats(a, b=b)
    return _Ssim.apply(a, b) if native_for(a) is not None else reference.ssim(a, b.detach())
