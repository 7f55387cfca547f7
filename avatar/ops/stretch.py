"""Stretch of a mesh against its neutral shape, at its vertices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.reference import TENSOR_SIZE, StretchMesh
from avatar.types import check_shape

from .backend import native_for
from .checks import check_floats


class _VertexStretch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vertices: Tensor, *mesh: Tensor) -> Tensor:
        vertices = vertices.detach().contiguous()
        tensors = vertices.new_empty(len(vertices), len(mesh[-1]), TENSOR_SIZE)
        native_for(vertices).vertex_stretch(vertices, mesh, tensors)
        ctx.save_for_backward(vertices, *mesh)
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        vertices, *mesh = ctx.saved_tensors
        vertex_grads = torch.empty_like(vertices)
        native_for(vertices).vertex_stretch_backward(vertices, tuple(mesh), grads[0].contiguous(), vertex_grads)
        return vertex_grads, *(None for _ in mesh)


def vertex_stretch(vertices: Tensor, mesh: StretchMesh) -> Tensor:
    """How much a mesh stretches at its vertices: symmetric tensors in the skull frame, zero for the neutral mesh.

    F maps a neutral triangle to the posed one; B = F F^T has the squared stretches along its principal directions. The
    tensor of a triangle is f(B) - 1 in the posed plane, f(x) = 1 + 4 (x - 1) / (x + 7): the square root to first order
    at 1 and exact at 9, but within 3/7..5 for any x. That of a vertex is the mean of its triangles', weighted by their
    neutral areas, so that the stretch is continuous across edges. Differentiable in `vertices`.

    Args:
        vertices: [B,V,3] meters, skull frame.
        mesh: from `stretch_mesh`.

    Returns:
        [B,M,6] xx, xy, xz, yy, yz, zz of the M vertices `mesh.vertices`.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("vertices", vertices, ("B", len(mesh.rows), 3))
    check_floats(vertices, inverse=mesh.inverse, weights=mesh.weights)
    if native_for(vertices) is None:
        return reference.vertex_stretch(vertices, mesh)
    return _VertexStretch.apply(vertices, *mesh.tensors())
