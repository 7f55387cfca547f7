"""Principal strains of a mesh at points of its triangles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.reference import TENSOR_SIZE
from avatar.types import check_shape

from .backend import checks_indices, native_for
from .checks import check_floats, check_indices, check_integers


class _PrincipalStrains(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *points: Tensor) -> Tensor:
        points = tuple(tensor.detach().contiguous() for tensor in points)
        tensors, _, triangles, _ = points
        strains = tensors.new_empty(len(tensors), len(triangles), 2)
        native_for(tensors).principal_strains(points, strains)
        ctx.save_for_backward(*points)
        return strains

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        points = tuple(ctx.saved_tensors)
        tensor_grads = torch.empty_like(points[0])
        native_for(tensor_grads).principal_strains_backward(points, grads[0].contiguous(), tensor_grads)
        return tensor_grads, None, None, None


def principal_strains(tensors: Tensor, rows: Tensor, triangles: Tensor, bary: Tensor) -> Tensor:
    """The two principal strains of the skin at N points, the smaller first; compression is negative.

    The tensors of `vertex_stretch` are interpolated, so that the strain is continuous across edges. Its two values in
    the surface follow from the invariants of the tensor: trace t and squared norm q give t/2 -+ sqrt(q/2 - t^2/4).
    Exactly zero where the tensors are; finite gradients also where both values are equal. Differentiable in `tensors`.

    Args:
        tensors: [B,M,6] of the vertices that stretch, from `vertex_stretch`.
        rows: [V] int64, row of each vertex in `tensors`, -1 where it does not stretch.
        triangles: [N,3] int64, vertices of the triangle of each point.
        bary: [N,3] barycentric coordinates.

    Returns:
        [B,N,2] strains (stretch minus 1, bounded as in `vertex_stretch`).

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("tensors", tensors, ("B", "M", TENSOR_SIZE))
    check_shape("triangles", triangles, ("N", 3))
    check_shape("bary", bary, (len(triangles), 3))
    check_shape("rows", rows, ("V",))
    check_integers("rows", rows)
    check_integers("triangles", triangles)
    check_floats(tensors, bary=bary)
    native = native_for(tensors)
    if not checks_indices(native):
        check_indices("triangles", triangles, len(rows))
    if native is not None:
        return _PrincipalStrains.apply(tensors, rows, triangles, bary)
    return reference.principal_strains(tensors, rows, triangles, bary)
