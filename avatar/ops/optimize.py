"""Steps of the optimiser."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import reference
from avatar.records import check_shape

from .backend import native_for
from .checks import check_floats


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
) -> None:
    """One step of Adam in place on `param`, `m` and `v`, all of one shape.

    Args:
        lr: one rate, or one for each row [R] of `param` [R,...].
        step: 1 for the first step.
    """
    for name, tensor in (("grad", grad), ("m", m), ("v", v)):
        check_shape(name, tensor, tuple(param.shape))
    check_floats(param, grad=grad, m=m, v=v)
    if isinstance(lr, Tensor):
        check_shape("lr", lr, (param.shape[0],))
    if step < 1:
        raise ValueError(f"step: expected 1 or more, got {step}")
    native = native_for(param)
    if native is None or not param.numel() or not all(tensor.is_contiguous() for tensor in (param, m, v)):
        reference.adam_step(param, grad, m, v, lr, beta1, beta2, eps, step)
        return
    rates = lr.to(param).contiguous() if isinstance(lr, Tensor) else None
    native.adam_step(
        param.detach(), grad.contiguous(), m, v, rates, 0.0 if isinstance(lr, Tensor) else lr, beta1, beta2, eps,
        1 - beta1**step, 1 - beta2**step,
    )  # fmt: skip
