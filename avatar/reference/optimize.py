"""Specification of the optimiser."""

from __future__ import annotations

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
) -> None:
    """Specification of `avatar.ops.adam_step` (Kingma and Ba 2015, algorithm 1)."""
    m.mul_(beta1).add_(grad, alpha=1 - beta1)
    v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    rate = lr.reshape(-1, *[1] * (param.ndim - 1)) if isinstance(lr, Tensor) else lr
    update = (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + eps)
    param.sub_(rate * update)
