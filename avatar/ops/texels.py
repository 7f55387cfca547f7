"""Colors of the texels of a layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.types import check_shape

from .backend import native_for
from .checks import check_floats, check_indices, check_integers
from .frames import has_workspaces


class _TexelColors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, start: Tensor, part: Tensor, factors: Tensor, own: Tensor) -> Tensor:
        start, part, factors, own = (value.detach().contiguous() for value in (start, part, factors, own))
        out = torch.empty_like(start)
        native_for(start).texel_colors(start, factors, part, own, out)
        ctx.save_for_backward(start, part, factors)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        start, part, factors = ctx.saved_tensors
        out = torch.empty_like(factors)
        native_for(start).texel_colors_backward(start, factors, part, grad.contiguous(), out)
        return None, None, out, grad


def texel_colors(start: Tensor, part: Tensor, factors: Tensor, own: Tensor) -> Tensor:
    """start * factors[part] + own: [T,3], differentiable in `factors` and `own`.

    Gradients do not depend on the number of threads. On a CUDA device this runs as PyTorch.

    Args:
        start: [T,3] colors of the head model.
        part: [T] int, row of `factors` for each texel.
        factors: [P,3].
        own: [T,3] added to the product.

    Raises:
        ValueError: a wrong shape, dtype, device or index; the text names the argument.
    """
    check_shape("start", start, ("T", 3))
    check_shape("part", part, (len(start),))
    check_shape("factors", factors, ("P", 3))
    check_shape("own", own, tuple(start.shape))
    check_floats(start, factors=factors, own=own)
    check_integers("part", part)
    native = native_for(start)
    if native is None or has_workspaces(native):
        check_indices("part", part, len(factors))
        return reference.texel_colors(start, part, factors, own)
    return _TexelColors.apply(start, part, factors, own)
