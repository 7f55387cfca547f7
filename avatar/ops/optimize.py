"""Steps of the optimizer."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import reference
from avatar.types import check_shape

from .backend import native_for
from .checks import check_flags, check_floats


def _check_step(param: Tensor, m: Tensor, v: Tensor, step: int) -> None:
    for name, tensor in (("m", m), ("v", v)):
        check_shape(name, tensor, tuple(param.shape))
    check_floats(param, m=m, v=v)
    if step < 1:
        raise ValueError(f"step: expected 1 or more, got {step}")


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
    step: int,
    touched: Tensor | None = None,
) -> None:
    """One step of Adam in place on `param`, `m` and `v`, all of one shape.

    Args:
        lr: one rate, or one for each row [R] of `param` [R,...].
        step: 1 for the first step.
        touched: bool [R], the rows to step; the others keep `param`, `m` and `v` whatever their gradient is.
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
        reference.adam_step(param, grad, m, v, lr, beta1, beta2, eps, step, touched)
        return
    rates = lr.to(param).contiguous() if isinstance(lr, Tensor) else None
    betas = (beta1, beta2, eps, 1 - beta1**step, 1 - beta2**step)
    rate = 0.0 if isinstance(lr, Tensor) else lr
    native.adam_step(param.detach(), grad.contiguous(), m, v, rates, rate, betas, touched)


#: Images of a step for which the native step hands back the weights' gradient in the same pass.
_DOT_IMAGES = 8


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
    step: int,
    touched: Tensor | None = None,
    pull: Tensor | None = None,
) -> Tensor:
    """One step of Adam in place on a basis whose gradient is an outer product that is never stored.

    Args:
        param: [K,N,C]; its gradient is the sum over b of weights[b,k] grad[b,n,c], as `blend` would return it.
        weights: [B,K].
        grad: [B,N,C]; must be zero in rows that are not touched.
        m: [K,N,C] first moment, in the dtype of `param`, or bfloat16 like `v` on the CPU: a third less memory to read.
        v: [K,N,C] second moment.
        step: 1 for the first step.
        touched: bool [N], the rows to step; the others keep `param`, `m` and `v`.
        pull: [N], added to the gradient times `param`: what holds a row near zero.

    Returns:
        The gradient of `weights` [B,K], from the basis as it was: `blend` needs no backward pass of its own then.
    """
    check_shape("param", param, ("K", "N", "C"))
    check_shape("weights", weights, ("B", param.shape[0]))
    check_shape("grad", grad, (weights.shape[0], *param.shape[1:]))
    check_floats(param, weights=weights, grad=grad)
    brief = m.dtype == v.dtype == torch.bfloat16 and param.device.type == "cpu"
    _check_step(param, *((param, param) if brief else (m, v)), step)
    for name, moment in (("m", m), ("v", v)):
        check_shape(name, moment, tuple(param.shape))
    check_flags("touched", touched, param.shape[1])
    if pull is not None:
        check_shape("pull", pull, (param.shape[1],))
        check_floats(param, pull=pull)
    native = native_for(param)
    if native is None or not _is_flat(param, m, v):
        return reference.adam_outer_step(param, weights, grad, m, v, lr, beta1, beta2, eps, step, touched, pull)
    betas = (beta1, beta2, eps, 1 - beta1**step, 1 - beta2**step)
    weights, grad = weights.contiguous(), grad.contiguous()
    step_basis = (param.detach(), weights, grad, m, v, lr, betas, touched, pull)
    if param.device.type == "cuda":
        by_weights = grad.flatten(1) @ param.flatten(1).T
        native.adam_outer_step(*step_basis)
    elif len(weights) > _DOT_IMAGES:
        by_weights = grad.flatten(1) @ param.flatten(1).T
        native.adam_outer_step(*step_basis, None)
    else:
        by_weights = torch.empty_like(weights)
        native.adam_outer_step(*step_basis, by_weights)
    return by_weights
