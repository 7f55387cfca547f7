"""Blendshape offsets of local Gaussians, and activation of their parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.types import check_shape

from .backend import native_for
from .checks import check_floats

#: Position 3, rotation 4, color 3, opacity logit 1.
DEFORM_CHANNELS = 11


class _Deform(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, units: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        *local, extra = (tensor.detach().contiguous() for tensor in inputs)
        batch, count = len(extra), len(local[0])
        new = extra.new_empty
        out = (new(batch, count, 3), new(batch, count, 4), new(batch, count, 3), new(batch, count))
        sh = new(batch, count, 1, 3)
        native_for(extra).deform(tuple(local), extra, units, (*out, sh))
        ctx.save_for_backward(units, out[2], out[3], *local, extra)
        return (*out, sh)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        units, scales, opacities, *inputs = ctx.saved_tensors
        *local, extra = (torch.empty_like(tensor) for tensor in inputs)
        contiguous = tuple(grad.contiguous() for grad in grads)
        native_for(extra).deform_backward(scales, opacities, contiguous, units, tuple(local), extra)
        return None, *local, extra


def deform(
    offsets: Tensor,
    quats: Tensor,
    log_scales: Tensor,
    logit_opacities: Tensor,
    colors: Tensor,
    extra: Tensor,
    units: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Add blendshape offsets to local Gaussians and activate them; differentiable in all arguments but `units`.

    Args:
        offsets: [N,3] meters, local.
        quats: [N,4] wxyz, local.
        log_scales: [N,3] log of meters.
        logit_opacities: [N].
        colors: [N,3] display sRGB.
        extra: [B,M,11] offsets of position, quaternion, color and opacity logit of the first M Gaussians, in `units`.
        units: [11] scale of each channel of `extra`.

    Returns:
        offsets [B,N,3], quats [B,N,4], scales [B,N,3] meters, opacities [B,N] in 0..1, sh [B,N,1,3].

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("offsets", offsets, ("N", 3))
    count = len(offsets)
    check_shape("quats", quats, (count, 4))
    check_shape("log_scales", log_scales, (count, 3))
    check_shape("logit_opacities", logit_opacities, (count,))
    check_shape("colors", colors, (count, 3))
    check_shape("extra", extra, ("B", "M", DEFORM_CHANNELS))
    check_shape("units", units, (DEFORM_CHANNELS,))
    if extra.shape[1] > count:
        raise ValueError(f"extra: expected [B,M,11] with M up to N={count} (from offsets), got {list(extra.shape)}")
    local = (offsets, quats, log_scales, logit_opacities, colors)
    check_floats(
        offsets, quats=quats, log_scales=log_scales, logit_opacities=logit_opacities, colors=colors, extra=extra,
        units=units,
    )  # fmt: skip
    if native_for(offsets) is None:
        return reference.deform(*local, extra, units)
    return _Deform.apply(units.detach().contiguous(), *local, extra)
