"""Reference of the Adam steps, and of anchors of parameters."""

from __future__ import annotations

import torch
from torch import Tensor


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
    """Reference of `avatar.ops.adam_step`, with the same arguments (Kingma and Ba 2015, algorithm 1)."""
    tail = [1] * (param.ndim - 1)
    updated = torch.ones_like(param, dtype=torch.bool) if touched is None else touched.reshape(-1, *tail)
    first = beta1 * m + (1 - beta1) * grad
    second = beta2 * v + (1 - beta2) * grad * grad
    rate = lr.reshape(-1, *tail) if isinstance(lr, Tensor) else lr
    update = rate * (first / (1 - beta1**step)) / ((second / (1 - beta2**step)).sqrt() + eps)
    m.copy_(torch.where(updated, first, m))
    v.copy_(torch.where(updated, second, v))
    param.copy_(torch.where(updated, param - update, param))


def add_anchor(grad: Tensor, param: Tensor, target: Tensor | None, weights: Tensor) -> None:
    """Reference of `avatar.ops.add_anchors`, for one parameter; the arguments are those of its anchor."""
    away = param if target is None else param - target
    grad += weights.reshape(-1, *[1] * (param.ndim - 1)) * away


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
    anchor_weight: Tensor | None = None,
) -> Tensor:
    """Reference of `avatar.ops.adam_outer_step`, with the same arguments."""
    grad_weights = torch.einsum("bnc,knc->bk", grad, param)
    outer = torch.einsum("bk,bnc->nkc", weights, grad)
    if anchor_weight is not None:
        outer = outer + anchor_weight[:, None, None] * param.transpose(0, 1)
    first = m.to(param).transpose(0, 1).clone()
    second = v.to(param).transpose(0, 1).clone()
    adam_step(param.transpose(0, 1), outer, first, second, lr, beta1, beta2, eps, step, touched)
    m.copy_(first.transpose(0, 1))
    v.copy_(second.transpose(0, 1))
    return grad_weights
