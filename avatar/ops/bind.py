"""Binding of Gaussians to mesh triangles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.types import check_shape

from .backend import checks_indices, native_for
from .checks import check_floats, check_indices, check_integers


class _Bind(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        inputs = tuple(tensor.detach().contiguous() for tensor in inputs)
        means, quats = torch.empty_like(inputs[3]), torch.empty_like(inputs[4])
        native_for(inputs[0]).bind(inputs, means, quats)
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        return means, quats

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        vertices, _, _, offsets, quats, _, rotations, translations = (
            torch.empty_like(tensor) if tensor.is_floating_point() else None for tensor in inputs
        )
        vertices = vertices if ctx.needs_input_grad[0] else None
        contiguous = (None if grad is None else grad.contiguous() for grad in grads)
        native_for(inputs[0]).bind_backward(inputs, *contiguous, vertices, offsets, quats, rotations, translations)
        return vertices, None, None, offsets, quats, None, rotations, translations


def bind(
    vertices: Tensor,
    triangles: Tensor,
    bary: Tensor,
    offsets: Tensor,
    quats: Tensor,
    skin: Tensor,
    rotations: Tensor,
    translations: Tensor,
) -> tuple[Tensor, Tensor]:
    """Transform Gaussians from their triangles' frames to the world; two bones, linear blend skinning.

    Differentiable in `vertices`, `offsets`, `quats`, `rotations` and `translations`.

    Args:
        vertices: [B,V,3] meters, skull frame.
        triangles: [N,3] int64, vertex indices of each Gaussian's triangle.
        bary: [N,3], rows sum to 1.
        offsets: [B,N,3] meters along the axes of the triangle's frame (`geometry.triangle_frames`).
        quats: [B,N,4] wxyz relative to the triangle's frame, normalized here.
        skin: [N] 0..1, skin weight of the second bone.
        rotations: [B,2,4] unit wxyz, skull then torso.
        translations: [B,2,3] meters; a bone moves x to R x + t.

    Returns:
        means [B,N,3] meters, world; quats [B,N,4] unit, world.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("vertices", vertices, ("B", "V", 3))
    check_shape("triangles", triangles, ("N", 3))
    batch, count = vertices.shape[0], triangles.shape[0]
    check_shape("bary", bary, (count, 3))
    check_shape("offsets", offsets, (batch, count, 3))
    check_shape("quats", quats, (batch, count, 4))
    check_shape("skin", skin, (count,))
    check_shape("rotations", rotations, (batch, 2, 4))
    check_shape("translations", translations, (batch, 2, 3))
    check_integers("triangles", triangles)
    check_floats(
        vertices, bary=bary, offsets=offsets, quats=quats, skin=skin, rotations=rotations, translations=translations
    )
    native = native_for(vertices)
    if not checks_indices(native):
        check_indices("triangles", triangles, vertices.shape[1])
    run = _Bind.apply if native is not None else reference.bind
    return run(vertices, triangles, bary, offsets, quats, skin, rotations, translations)
