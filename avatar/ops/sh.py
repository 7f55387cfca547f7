"""Rotation of spherical-harmonic coefficients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.types import check_shape

from .backend import native_for
from .checks import check_floats, check_sh_terms


class _RotateSh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        inputs = tuple(tensor.detach().contiguous() for tensor in inputs)
        out = torch.empty_like(inputs[0])
        native_for(out).rotate_sh(*inputs, out)
        ctx.save_for_backward(*inputs)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        sh, quats = ctx.saved_tensors
        out = torch.empty_like(sh), torch.empty_like(quats)
        native_for(sh).rotate_sh_backward(sh, quats, grad.contiguous(), *out)
        return out


def rotate_sh(sh: Tensor, quats: Tensor) -> Tensor:
    """Rotate functions on the sphere: coefficients [B,N,D,3] with out(R d) = sh(d).

    Differentiable in both arguments.

    Args:
        sh: [B,N,D,3] spherical-harmonic coefficients of three channels, D = 1, 4, 9 or 16, ordered as in `splat`.
        quats: [B,N,4] wxyz, normalized here; a quaternion of zero length keeps its coefficients.

    Returns:
        Coefficients [B,N,D,3].

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("sh", sh, ("B", "N", "D", 3))
    check_sh_terms("sh", sh)
    check_shape("quats", quats, (*sh.shape[:2], 4))
    check_floats(sh, quats=quats)
    return _RotateSh.apply(sh, quats) if native_for(sh) is not None else reference.rotate_sh(sh, quats)
