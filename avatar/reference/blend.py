"""Specification of linear blendshapes."""

from __future__ import annotations

import torch
from torch import Tensor


def blend(base: Tensor, basis: Tensor, weights: Tensor) -> Tensor:
    """Specification of `avatar.ops.blend`."""
    return base + torch.einsum("bk,knc->bnc", weights, basis)
