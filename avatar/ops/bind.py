"""Binding of Gaussians to mesh triangles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.types import Binding, Bones, DeformedGaussians, VertexStretch, check_shape

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
        gradients = [torch.empty_like(tensor) if k in _LEARNED else None for k, tensor in enumerate(inputs)]
        for k in (0, _TENSORS):
            if k < len(gradients) and not ctx.needs_input_grad[k]:
                gradients[k] = None
        contiguous = [None if grad is None else grad.contiguous() for grad in grads]
        of_outputs = (*contiguous, None) if len(grads) == 2 else tuple(contiguous)
        of_inputs = tuple(gradients[k] if k < len(gradients) else None for k in _LEARNED)
        stretch = inputs[_PLAIN:] or None
        native_for(inputs[0]).bind_backward(inputs[:_PLAIN], stretch, of_outputs, of_inputs)
        return tuple(gradients)


#: Number of inputs without stretch, then the index of the tensors of the stretch.
_PLAIN = 8
_TENSORS = 9
#: Differentiable inputs, in the order of the native functions: vertices, offsets, quats, bones (quats, translations),
#: scales, tensors.
_LEARNED = (0, 3, 4, 6, 7, 8, 9)


def bind(
    vertices: Tensor,
    binding: Binding,
    local: DeformedGaussians,
    bones: Bones,
    stretch: VertexStretch | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Transform Gaussians from their triangles' frames to the world; two bones, linear blend skinning.

    With S = 1 + tensor, the stretch there in the triangle's plane, the offset's components in the plane become S times
    themselves, and the scale along an axis a of the Gaussian is multiplied by |(S a_plane, a_normal)|. Gaussians none
    of whose corners stretches stay as they are.

    Differentiable in `vertices`, offsets, quaternions and scales of `local`, `bones`, and the tensors of `stretch`.

    Args:
        vertices: [B,V,3] meters, skull frame.
        binding: the points of the mesh that carry the N Gaussians.
        local: N Gaussians in B poses, in the frames of their triangles (`geometry.triangle_frames`); their quaternions
            are normalized here.
        bones: B poses of skull and torso.
        stretch: of the mesh in the B poses; None: the Gaussians keep offsets and scales.

    Returns:
        means [B,N,3] meters, world; quats [B,N,4] unit, world; scales [B,N,3] meters.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    native = _check(vertices, binding, local, bones)
    if stretch is not None:
        check_shape("tensors", stretch.tensors, (len(vertices), "M", reference.TENSOR_SIZE))
        check_shape("rows", stretch.rows, (vertices.shape[1],))
        check_integers("rows", stretch.rows)
        check_floats(vertices, tensors=stretch.tensors)
    if not native:
        return reference.bind(vertices, binding, local, bones, stretch)
    inputs = (
        vertices,
        binding.triangles,
        binding.bary,
        local.offsets,
        local.quats,
        binding.skin,
        bones.quats,
        bones.translations,
    )
    if stretch is None:
        means, quats = _Bind.apply(*inputs)
        return means, quats, local.scales
    means, quats, scales = _Bind.apply(*inputs, local.scales, stretch.tensors, stretch.rows)
    return means, quats, scales


def _check(vertices: Tensor, binding: Binding, local: DeformedGaussians, bones: Bones) -> bool:
    """Check the arguments of `bind` but the stretch; returns whether a native kernel takes them."""
    check_shape("vertices", vertices, ("B", "V", 3))
    check_shape("triangles", binding.triangles, ("N", 3))
    batch = len(vertices)
    count = len(binding.triangles)
    check_shape("bary", binding.bary, (count, 3))
    check_shape("skin", binding.skin, (count,))
    check_shape("offsets", local.offsets, (batch, count, 3))
    check_shape("quats", local.quats, (batch, count, 4))
    check_shape("scales", local.scales, (batch, count, 3))
    check_shape("bones.quats", bones.quats, (batch, 2, 4))
    check_shape("bones.translations", bones.translations, (batch, 2, 3))
    check_integers("triangles", binding.triangles)
    check_floats(
        vertices,
        bary=binding.bary,
        skin=binding.skin,
        offsets=local.offsets,
        quats=local.quats,
        scales=local.scales,
        **{"bones.quats": bones.quats, "bones.translations": bones.translations},
    )
    native = native_for(vertices)
    if not checks_indices(native):
        check_indices("triangles", binding.triangles, vertices.shape[1])
    return native is not None
