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
    """Of eight inputs, or of eleven with scales, tensors and rows where the Gaussians stretch."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
        inputs = tuple(tensor.detach().contiguous() for tensor in inputs)
        stretch = inputs[_PLAIN:] or None
        out = torch.empty_like(inputs[3]), torch.empty_like(inputs[4])
        scales = None if stretch is None else torch.empty_like(stretch[0])
        native_for(inputs[0]).bind(inputs[:_PLAIN], stretch, *out, scales)
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        return out if scales is None else (*out, scales)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        found = [torch.empty_like(tensor) if k in _LEARNED else None for k, tensor in enumerate(inputs)]
        for k in (0, _TENSORS):
            if k < len(found) and not ctx.needs_input_grad[k]:
                found[k] = None
        contiguous = [None if grad is None else grad.contiguous() for grad in grads]
        of_outputs = (*contiguous, None) if len(grads) == 2 else tuple(contiguous)
        of_inputs = tuple(found[k] if k < len(found) else None for k in _LEARNED)
        stretch = inputs[_PLAIN:] or None
        native_for(inputs[0]).bind_backward(inputs[:_PLAIN], stretch, of_outputs, of_inputs)
        return tuple(found)


#: Inputs of `bind`, then the index of the tensors among those of `bind_stretched`.
_PLAIN, _TENSORS = 8, 9
#: Differentiable inputs, in the order of the native functions: vertices, offsets, quats, rotations, translations,
#: scales, tensors.
_LEARNED = (0, 3, 4, 6, 7, 8, 9)


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
    inputs = (vertices, triangles, bary, offsets, quats, skin, rotations, translations)
    return (_Bind.apply if _check(*inputs) else reference.bind)(*inputs)


def bind_stretched(
    vertices: Tensor,
    triangles: Tensor,
    bary: Tensor,
    offsets: Tensor,
    quats: Tensor,
    skin: Tensor,
    rotations: Tensor,
    translations: Tensor,
    scales: Tensor,
    tensors: Tensor,
    rows: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """`bind` of Gaussians that stretch with the mesh; differentiable in `scales` and `tensors` too.

    With S = 1 + tensor, the stretch there in the triangle's plane, the offset's components in the plane become S times
    themselves, and the scale along an axis a of the Gaussian is multiplied by |(S a_plane, a_normal)|. Gaussians none
    of whose corners stretches stay as they are.

    Args:
        vertices: as the following up to `translations`, see `bind`.
        triangles: see `bind`.
        bary: see `bind`.
        offsets: see `bind`.
        quats: see `bind`.
        skin: see `bind`.
        rotations: see `bind`.
        translations: see `bind`.
        scales: [B,N,3] meters.
        tensors: [B,M,6] of the vertices that stretch, from `vertex_stretch`; interpolated by `bary`.
        rows: [V] int64, row of each vertex in `tensors`, -1 where it does not stretch (`StretchMesh.rows`).

    Returns:
        means [B,N,3] meters, world; quats [B,N,4] unit, world; scales [B,N,3] meters.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    inputs = (vertices, triangles, bary, offsets, quats, skin, rotations, translations)
    native = _check(*inputs)
    check_shape("scales", scales, tuple(offsets.shape))
    check_shape("tensors", tensors, (len(vertices), "M", reference.TENSOR_SIZE))
    check_shape("rows", rows, (vertices.shape[1],))
    check_integers("rows", rows)
    check_floats(vertices, scales=scales, tensors=tensors)
    return (_Bind.apply if native else reference.bind_stretched)(*inputs, scales, tensors, rows)


def _check(
    vertices: Tensor,
    triangles: Tensor,
    bary: Tensor,
    offsets: Tensor,
    quats: Tensor,
    skin: Tensor,
    rotations: Tensor,
    translations: Tensor,
) -> bool:
    """Check the arguments of `bind`; returns whether a native kernel takes them."""
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
    return native is not None
