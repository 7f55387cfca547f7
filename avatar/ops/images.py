"""Image losses (SSIM, photometric loss) and conversion to bytes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.types import check_shape

from .backend import native_for
from .checks import check_bytes, check_floats, check_ssim_rows
from .frames import has_workspaces


class _Ssim(torch.autograd.Function):
    """The forward pass also computes the gradient, which shares the blurred moments; backward scales it."""

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

    11x11 Gaussian window with sigma 1.5, zero padding, equal weight for all pixels and channels.
    """
    check_shape("a", a, ("B", "H", "W", 3))
    check_shape("b", b, tuple(a.shape))
    check_floats(a, b=b)
    return _Ssim.apply(a, b) if native_for(a) is not None else reference.ssim(a, b.detach())


class _Photometric(torch.autograd.Function):
    """The forward pass also computes the gradients, which share the composed images; backward scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        rgb: Tensor,
        alpha: Tensor,
        truth: Tensor,
        matte: Tensor,
        background: Tensor,
        settings: tuple[float, float, int, int],
    ) -> tuple[Tensor, Tensor]:
        rgb = rgb.detach().contiguous()
        alpha = alpha.detach().contiguous()
        loss = rgb.new_empty(len(rgb))
        mse = rgb.new_empty(len(rgb))
        grads = (torch.empty_like(rgb), torch.empty_like(alpha)) if any(ctx.needs_input_grad[:2]) else (None, None)
        native_for(rgb).photometric(
            rgb, alpha, truth.contiguous(), matte.contiguous(), background.contiguous(), *settings, loss, mse, *grads
        )
        ctx.grads = grads
        ctx.mark_non_differentiable(mse)
        return loss, mse

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_rgb, grad_alpha = ctx.grads
        if grad_rgb.device.type == "cpu" and bool((grads[0] == 1).all()):  # the sum of the losses: no scaling
            return grad_rgb, grad_alpha, None, None, None, None
        scale = grads[0][:, None, None]
        return grad_rgb * scale[..., None], grad_alpha * scale, None, None, None, None


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
    """Photometric loss of rendered images over a background: L1, SSIM and a matte term in one pass.

    loss = (1 - ssim_weight) mean|p - t| + ssim_weight (1 - ssim(p, t)) + mask_weight mean|alpha - matte|, where
    p = rgb + (1 - alpha) background and t = background + (truth - background) matte.

    With `ssim_rows` (n, first), only windows centered on the rows first, first + n, ... count, and n times as much:
    the mean over first = 0..n-1 of the loss, and of its gradient, is that of all rows.

    Args:
        rgb: [B,H,W,3] premultiplied, from `splat`.
        alpha: [B,H,W] 0..1.
        truth: [B,H,W,3] uint8 sRGB.
        matte: [B,H,W] uint8, 255 for the person.
        background: [B,3] 0..1.
        ssim_weight: 0..1, weight of 1 - SSIM; L1 has the remainder.
        mask_weight: weight of the matte term.
        ssim_rows: stride of the rows and the first of them, 0..stride-1; the stride is at most that of a window, 11.

    Returns:
        loss [B], differentiable in `rgb` and `alpha` only; mean of (p - t)^2 [B], no gradient.

    Raises:
        ValueError: a wrong shape, dtype, device or row; the text names the argument.
    """
    check_shape("rgb", rgb, ("B", "H", "W", 3))
    check_shape("alpha", alpha, tuple(rgb.shape[:3]))
    check_shape("truth", truth, tuple(rgb.shape))
    check_shape("matte", matte, tuple(rgb.shape[:3]))
    check_shape("background", background, (rgb.shape[0], 3))
    check_floats(rgb, alpha=alpha, background=background)
    check_bytes(rgb, truth=truth, matte=matte)
    check_ssim_rows(ssim_rows)
    if native_for(rgb) is None:
        return reference.photometric(rgb, alpha, truth, matte, background, ssim_weight, mask_weight, ssim_rows)
    return _Photometric.apply(rgb, alpha, truth, matte, background.detach(), (ssim_weight, mask_weight, *ssim_rows))


@torch.no_grad()
def to_bytes(rgb: Tensor, alpha: Tensor, background: Tensor, out: Tensor | None = None) -> Tensor:
    """Compose images over a background and round to bytes; no gradient.

    Args:
        rgb: [B,H,W,3] premultiplied, from `splat`.
        alpha: [B,H,W] 0..1.
        background: [3] 0..1.
        out: [B,H,W,3] uint8 to write to; None: allocated.

    Returns:
        [B,H,W,3] uint8; `out` if it was given.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("rgb", rgb, ("B", "H", "W", 3))
    check_shape("alpha", alpha, tuple(rgb.shape[:3]))
    check_shape("background", background, (3,))
    check_floats(rgb, alpha=alpha, background=background)
    out = torch.empty(rgb.shape, dtype=torch.uint8, device=rgb.device) if out is None else out
    check_shape("out", out, tuple(rgb.shape))
    check_bytes(rgb, out=out)
    native = native_for(rgb)
    if native is None or has_workspaces(native) or not out.is_contiguous():  # there is no CUDA kernel of it
        return out.copy_(reference.to_bytes(rgb, alpha, background))
    native.to_bytes(rgb.detach().contiguous(), alpha.detach().contiguous(), background.contiguous(), out)
    return out
