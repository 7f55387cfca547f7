"""Linear blendshapes."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.records import check_shape

from .checks import check_floats


def blend(base: Tensor, basis: Tensor, weights: Tensor) -> Tensor:
    """Linear blendshapes: base [N,C] + weights [B,K] x basis [K,N,C] -> [B,N,C], differentiable in all."""
    check_shape("base", base, ("N", "C"))
    check_shape("basis", basis, ("K", *base.shape))
    check_shape("weights", weights, ("B", basis.shape[0]))
    check_floats(base, basis=basis, weights=weights)
    return torch.addmm(base.reshape(-1), weights, basis.reshape(basis.shape[0], -1)).reshape(-1, *base.shape)
