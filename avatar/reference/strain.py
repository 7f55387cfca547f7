"""Principal strains of a mesh at points of its triangles, from the stretch tensors of its vertices."""

from __future__ import annotations

import torch
from torch import Tensor

from .stretch import TENSOR_SIZE

#: Principal strains that differ by less than this count as nearly equal: their difference has a finite gradient there.
EQUAL = 1e-3
#: Factors of xx, xy, xz, yy, yz, zz in the trace and in the squared norm of a symmetric tensor.
_TRACE = (1.0, 0.0, 0.0, 1.0, 0.0, 1.0)
_NORM = (1.0, 2.0, 2.0, 1.0, 2.0, 1.0)


def principal_strains(tensors: Tensor, rows: Tensor, triangles: Tensor, bary: Tensor) -> Tensor:
    """Reference of `avatar.ops.principal_strains`, with the same arguments."""
    padded = torch.cat([tensors, tensors.new_zeros(len(tensors), 1, TENSOR_SIZE)], 1)
    weights = bary.to(tensors)[None, :, :, None]
    mean = (padded[:, rows[triangles].flatten()].unflatten(1, tuple(triangles.shape)) * weights).sum(2)
    half_trace = (mean * mean.new_tensor(_TRACE)).sum(-1) / 2
    half_norm = (mean * mean * mean.new_tensor(_NORM)).sum(-1) / 2
    # Of the two values a >= b in the plane, with a + b = 2 t and a^2 + b^2 = 2 q, (a - b)^2 / 4 = q - t^2.
    spread = ((half_norm - half_trace * half_trace).clamp_min(0) + EQUAL * EQUAL).sqrt() - EQUAL
    return torch.stack([half_trace - spread, half_trace + spread], -1)
