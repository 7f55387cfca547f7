"""Linear blendshapes, and local Gaussians with their offsets, activated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.types import DeformedGaussians, LocalGaussians, check_shape

from .backend import native_for
from .checks import check_floats


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, base: Tensor | None, basis: Tensor, weights: Tensor) -> Tensor:
        base = None if base is None else base.detach().contiguous()
        basis = basis.detach().contiguous()
        weights = weights.detach().contiguous()
        out = weights.new_empty(len(weights), *basis.shape[1:])
        native_for(weights).blend(base, basis, weights, out)
        ctx.save_for_backward(basis, weights)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        basis, weights = ctx.saved_tensors
        (grad,) = grads
        grad = grad.contiguous()
        needs_base, needs_basis, needs_weights = ctx.needs_input_grad
        grad_weights = None
        if needs_weights:
            grad_weights = torch.empty_like(weights)
            native_for(weights).blend_backward_weights(grad, basis, grad_weights)
        grad_basis = (weights.T @ grad.flatten(1)).reshape(basis.shape) if needs_basis else None
        return grad.sum(0) if needs_base else None, grad_basis, grad_weights


def blend(base: Tensor | None, basis: Tensor, weights: Tensor) -> Tensor:
    """Linear blendshapes: base + the sum over k of weights[:, k] basis[k], differentiable in all.

    Args:
        base: [N,C], or None for zero.
        basis: [K,N,C]; float16 is supported for inference: half the memory to read, no gradient.
        weights: [B,K].

    Returns:
        [B,N,C].

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("basis", basis, ("K", "N", "C"))
    check_shape("weights", weights, ("B", basis.shape[0]))
    if base is not None:
        check_shape("base", base, tuple(basis.shape[1:]))
        check_floats(weights, base=base)
    if basis.dtype != torch.float16:
        check_floats(weights, basis=basis)
    elif basis.requires_grad:
        raise ValueError("basis: float16 does not support gradients; train in float32")
    if native_for(weights) is None or not basis.numel():
        return reference.blend(base, basis, weights)
    return _Blend.apply(base, basis, weights)


def batch_invariant_matmul(rows: Tensor, matrix: Tensor) -> Tensor:
    """rows [B,K] @ matrix [K,N]; the bits of a row do not depend on the other rows; differentiable in both.

    A BLAS product sums in an order that depends on the number of rows, so a frame rendered live would differ from the
    same frame in a batch.
    """
    return blend(None, matrix[..., None], rows)[..., 0]


@torch.no_grad()
def batch_invariant_matmul_backward(grad: Tensor, matrix: Tensor) -> Tensor:
    """Gradient of the `rows` [B,K] of `batch_invariant_matmul` from that of its result [B,N], the bits of autograd.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("matrix", matrix, ("K", "N"))
    check_shape("grad", grad, ("B", matrix.shape[1]))
    check_floats(grad, matrix=matrix)
    native = native_for(grad)
    if native is None or not matrix.numel():
        return grad @ matrix.T
    out = grad.new_empty(len(grad), len(matrix))
    native.blend_backward_weights(grad[..., None].contiguous(), matrix.detach()[..., None].contiguous(), out)
    return out


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
