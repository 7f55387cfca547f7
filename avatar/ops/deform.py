"""Blendshape offsets of local Gaussians, and activation of their parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.types import DeformedGaussians, LocalGaussians, check_shape

from .backend import native_for
from .checks import check_floats

#: Position 3, rotation 4, color 3, opacity logit 1.
DEFORM_CHANNELS = 11


class _Deform(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, units: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        *local, extra = (tensor.detach().contiguous() for tensor in inputs)
        batch = len(extra)
        count = len(local[0])
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


def deform(local: LocalGaussians, extra: Tensor, units: Tensor) -> DeformedGaussians:
    """Add blendshape offsets to N local Gaussians and activate them; differentiable in all arguments but `units`.

    Args:
        local: N Gaussians.
        extra: [B,M,11] offsets of position, quaternion, color and opacity logit of the first M Gaussians, in `units`.
        units: [11] scale of each channel of `extra`.

    Returns:
        The N Gaussians in B poses.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    tensors = vars(local)
    check_shape("offsets", local.offsets, ("N", 3))
    count = len(local)
    check_shape("quats", local.quats, (count, 4))
    check_shape("log_scales", local.log_scales, (count, 3))
    check_shape("logit_opacities", local.logit_opacities, (count,))
    check_shape("colors", local.colors, (count, 3))
    check_shape("extra", extra, ("B", "M", DEFORM_CHANNELS))
    check_shape("units", units, (DEFORM_CHANNELS,))
    if extra.shape[1] > count:
        raise ValueError(f"extra: expected [B,M,11] with M up to N={count} (from offsets), got {list(extra.shape)}")
    check_floats(local.offsets, **tensors, extra=extra, units=units)
    if native_for(local.offsets) is None:
        return reference.deform(local, extra, units)
    return DeformedGaussians(*_Deform.apply(units.detach().contiguous(), *tensors.values(), extra))
