"""`deform` and `bind` on lists of tensors: tests vary single tensors of their records by index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from avatar import ops
from avatar.types import Binding, Bones, DeformedGaussians, LocalGaussians, VertexStretch


def flat_bind(*values: Tensor, function: Callable[..., Any] = ops.bind) -> tuple[Tensor, ...]:
    """`function` of vertices, triangles, bary, offsets, quats, skin, and quats and translations of the bones.

    With scales, tensors and rows of the stretch as well the Gaussians stretch.

    Returns:
        means and quats; with stretch also scales.
    """
    vertices, triangles, bary, offsets, quats, skin, turns, shifts = values[:8]
    binding, bones = Binding(triangles, bary, skin), Bones(turns, shifts)
    unread = offsets.new_empty(0)
    if len(values) == 8:
        local = DeformedGaussians(offsets, quats, torch.ones_like(offsets), unread, unread)
        return tuple(function(vertices, binding, local, bones)[:2])
    scales, tensors, rows = values[8:]
    local = DeformedGaussians(offsets, quats, scales, unread, unread)
    return tuple(function(vertices, binding, local, bones, VertexStretch(tensors, rows)))


def flat_deform(*values: Tensor, function: Callable[..., Any] = ops.deform) -> tuple[Tensor, ...]:
    """The tensors of `function` of the five of LocalGaussians, extra and units."""
    *local, extra, units = values
    return tuple(vars(function(LocalGaussians(*local), extra, units)).values())
