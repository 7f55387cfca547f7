"""Steps of the Adam optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.types import check_shape

from .backend import native_for
from .checks import check_flags, check_floats
from .frames import has_workspaces


def _check_step(param: Tensor, m: Tensor, v: Tensor, step: int | Tensor) -> None:
    for name, tensor in (("m", m), ("v", v)):
        check_shape(name, tensor, tuple(param.shape))
    check_floats(param, m=m, v=v)
    if isinstance(step, Tensor):
        check_shape("step", step, (4,))
        check_floats(param, step=step)
        if not takes_schedule(param) or not _is_flat(param, m, v):
            raise ValueError("step: only contiguous parameters on a CUDA device take a schedule; give a number")
    elif step < 1:
        raise ValueError(f"step: expected 1 or more, got {step}")


def takes_schedule(param: Tensor) -> bool:
    """Whether steps on `param` take what changes with the step from memory of its device: those of CUDA kernels."""
    native = native_for(param)
    return native is not None and has_workspaces(native)


def schedule_of(factor: float, beta1: float, beta2: float, step: int) -> tuple[float, float, float, float]:
    """The values of a schedule: factor of the learning rates, two bias corrections, and 1: the step is done.

    Kept in a tensor on the device, they change from step to step while the launches stay the same, as those of a CUDA
    graph. A kernel that finds 0 in the place of the last one leaves everything as it is.
    """
    return factor, 1 / (1 - beta1**step), 1 / (1 - beta2**step), 1.0


def _corrections(beta1: float, beta2: float, step: int | Tensor) -> tuple[float, float]:
    return (1.0, 1.0) if isinstance(step, Tensor) else (1 - beta1**step, 1 - beta2**step)


def _on_device(native: Any, step: int | Tensor) -> tuple[Tensor | None, ...]:
    """The last argument of the CUDA kernels, which those of the CPU do not have."""
    return ((step if isinstance(step, Tensor) else None),) if has_workspaces(native) else ()


def _is_flat(*tensors: Tensor) -> bool:
    return all(tensor.is_contiguous() and tensor.numel() for tensor in tensors)


@torch.no_grad()
def adam_step(
    param: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    lr: float | Tensor,
    beta1: float,
    beta2: float,
    eps: float,
    step: int | Tensor,
    touched: Tensor | None = None,
) -> None:
    """One step of Adam in place on `param`, `m` and `v` (Kingma and Ba 2015).

    Args:
        param: [R,...].
        grad: in the shape of `param`.
        m: first moment, in the shape of `param`.
        v: second moment, in the shape of `param`.
        lr: learning rate, or one per row [R].
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        eps: added to the root of the second moment.
        step: 1 for the first step; or on a CUDA device a schedule [4], see `schedule_of`.
        touched: bool [R], the rows to update; the others keep `param`, `m` and `v`. None: all.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("grad", grad, tuple(param.shape))
    check_floats(param, grad=grad)
    _check_step(param, m, v, step)
    rows = param.shape[0] if param.ndim else 1
    if isinstance(lr, Tensor):
        check_shape("lr", lr, (rows,))
    check_flags("touched", touched, rows)
    native = native_for(param)
    if native is None or not _is_flat(param, m, v):
        assert not isinstance(step, Tensor)
        reference.adam_step(param, grad, m, v, lr, beta1, beta2, eps, step, touched)
        return
    rates = lr.to(param).contiguous() if isinstance(lr, Tensor) else None
    betas = (beta1, beta2, eps, *_corrections(beta1, beta2, step))
    rate = 0.0 if isinstance(lr, Tensor) else lr
    native.adam_step(param.detach(), grad.contiguous(), m, v, rates, rate, betas, touched, *_on_device(native, step))


@dataclass(frozen=True)
class AdamStep:
    """The arguments of `adam_step` that belong to one parameter."""

    param: Tensor
    grad: Tensor
    m: Tensor
    v: Tensor
    lr: float
    eps: float
    touched: Tensor | None = None


@torch.no_grad()
def adam_steps(steps: Sequence[AdamStep], beta1: float, beta2: float, step: int | Tensor) -> None:
    """`adam_step` of several parameters; on the CPU in one call, whose results have the same bits.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    together = []
    for one in steps:
        param, grad, m, v = one.param, one.grad, one.m, one.v
        native = native_for(param)
        if native is None or has_workspaces(native) or not _is_flat(param, m, v):
            adam_step(param, grad, m, v, one.lr, beta1, beta2, one.eps, step, one.touched)
            continue
        if not param.shape == grad.shape == m.shape == v.shape or one.touched is not None:
            check_shape("grad", grad, tuple(param.shape))
            check_flags("touched", one.touched, len(param))
            _check_step(param, m, v, step)
        check_floats(param, grad=grad, m=m, v=v)
        together.append((param.detach(), grad.contiguous(), m, v, one.lr, one.eps, one.touched))
    if together:
        native_for(together[0][0]).adam_steps(tuple(together), beta1, beta2, *_corrections(beta1, beta2, step))


@dataclass(frozen=True)
class Anchor:
    """An L2 term that holds the rows of a parameter to some values."""

    param: Tensor  # [R,...]
    target: Tensor | None  # in the shape of `param`; None: zeros
    weights: Tensor  # [R] gradient per unit of distance; 0: the row has none


@torch.no_grad()
def add_anchors(grads: Sequence[Tensor], anchors: Sequence[Anchor]) -> None:
    """Add to each gradient that of its anchor: weights times param - target, row by row, in place.

    Args:
        grads: in the shapes of the parameters.
        anchors: one for each of `grads`.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    together = []
    for grad, anchor in zip(grads, anchors, strict=True):
        param, target, weights = anchor.param, anchor.target, anchor.weights
        check_shape("grad", grad, tuple(param.shape))
        check_shape("weights", weights, (param.shape[0],))
        check_floats(param, grad=grad, weights=weights, **({} if target is None else {"target": target}))
        if target is not None:
            check_shape("target", target, tuple(param.shape))
        native = native_for(param)
        if native is None or has_workspaces(native) or not _is_flat(grad, param):
            reference.add_anchor(grad, param, target, weights)
        else:
            target = None if target is None else target.contiguous()
            together.append((grad, param.detach(), target, weights.contiguous()))
    if together:
        native_for(together[0][0]).add_anchors(tuple(together))


def takes_bfloat16(param: Tensor) -> bool:
    """Whether the moments of a basis `param` may have low precision: on the CPU, where memory traffic limits a step."""
    return param.device.type == "cpu" and not has_workspaces(native_for(param))


#: Up to this batch size the native step computes the weights' gradient in the same pass.
_FUSED_BATCH_MAX = 8


@torch.no_grad()
def adam_outer_step(
    param: Tensor,
    weights: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int | Tensor,
    touched: Tensor | None = None,
    anchor_weight: Tensor | None = None,
) -> Tensor:
    """One step of Adam in place on a basis whose gradient is an outer product, without storing that product.

    Args:
        param: [K,N,C]; its gradient is the sum over b of weights[b,k] grad[b,n,c], as in the backward of `blend`.
        weights: [B,K].
        grad: [B,N,C]; must be zero in rows that are not touched.
        m: [K,N,C] first moment, in the dtype of `param`; on the CPU also bfloat16 like `v`, which saves memory.
        v: [K,N,C] second moment.
        lr: learning rate.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        eps: added to the root of the second moment.
        step: as for `adam_step`.
        touched: bool [N], the rows to update; the others keep `param`, `m` and `v`. None: all.
        anchor_weight: [N], times `param` added to the gradient: an L2 anchor to zero. None: no anchor.

    Returns:
        The gradient of `weights` [B,K] for the basis before the step; no backward pass of `blend` is needed.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    _check_outer_step(param, weights, grad, (m, v), step, touched, anchor_weight)
    native = native_for(param)
    if native is None or not _is_flat(param, m, v):
        assert not isinstance(step, Tensor)
        return reference.adam_outer_step(
            param, weights, grad, m, v, lr, beta1, beta2, eps, step, touched, anchor_weight
        )
    betas = (beta1, beta2, eps, *_corrections(beta1, beta2, step))
    weights = weights.contiguous()
    grad = grad.contiguous()
    step_basis = (param.detach(), weights, grad, m, v, lr, betas, touched, anchor_weight)
    if has_workspaces(native):
        grad_weights = grad.flatten(1) @ param.flatten(1).T
        native.adam_outer_step(*step_basis, *_on_device(native, step))
    elif len(weights) > _FUSED_BATCH_MAX:
        grad_weights = grad.flatten(1) @ param.flatten(1).T
        native.adam_outer_step(*step_basis, None)
    else:
        grad_weights = torch.empty_like(weights)
        native.adam_outer_step(*step_basis, grad_weights)
    return grad_weights


def _check_outer_step(
    param: Tensor,
    weights: Tensor,
    grad: Tensor,
    moments: tuple[Tensor, Tensor],
    step: int | Tensor,
    touched: Tensor | None,
    anchor_weight: Tensor | None,
) -> None:
    """Raise ValueError unless the arguments of `adam_outer_step` have consistent shapes, dtypes and devices."""
    check_shape("param", param, ("K", "N", "C"))
    check_shape("weights", weights, ("B", param.shape[0]))
    check_shape("grad", grad, (weights.shape[0], *param.shape[1:]))
    check_floats(param, weights=weights, grad=grad)
    is_bf16 = all(moment.dtype == torch.bfloat16 for moment in moments) and takes_bfloat16(param)
    _check_step(param, *((param, param) if is_bf16 else moments), step)
    for name, moment in zip(("m", "v"), moments, strict=True):
        check_shape(name, moment, tuple(param.shape))
    check_flags("touched", touched, param.shape[1])
    if anchor_weight is not None:
        check_shape("anchor_weight", anchor_weight, (param.shape[1],))
        check_floats(param, anchor_weight=anchor_weight)
