"""Light on a layer: shade of the mouth and of the eyes, and reflections on the irises."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.reference import MOUTH_CONSTANTS, EyeSurface, MouthSurface
from avatar.types import check_shape

from .backend import checks_indices, native_for
from .checks import check_floats, check_indices, check_integers

#: Largest number of coefficients of a polynomial through the edge of a lid.
MAX_COEFFICIENTS = 16


@torch.no_grad()
def layer_shade(vertices: Tensor, mouth: MouthSurface | None, eyes: EyeSurface | None) -> Tensor:
    """Factor [B,V] of the colors at vertices: light that enters the mouth between the lips, and the lids' shadow.

    No gradient. 1 at all other vertices. On a CUDA device this runs as PyTorch.

    Args:
        vertices: [B,V,3] meters, skull frame.
        mouth: vertices inside the mouth, see `reference.mouth_light`; None: no mouth.
        eyes: vertices of the eyes, see `reference.lid_shadow`; None: no eyes.

    Raises:
        ValueError: a wrong shape, dtype, device or index; the text names the argument.
    """
    _check_shade(vertices, mouth, eyes)
    native = native_for(vertices)
    if not checks_indices(native):
        for name, surface in (("mouth", mouth), ("eyes", eyes)):
            if surface is not None:
                check_indices(f"{name}.vertices", surface.vertices, vertices.shape[1])
                check_indices(f"{name}.corners", surface.corners, vertices.shape[1])
        return reference.layer_shade(vertices, mouth, eyes)
    shade = vertices.new_ones(vertices.shape[:2])
    points = vertices.contiguous()
    if mouth is not None:
        native.light_mouth(points, *_contiguous(mouth), MOUTH_CONSTANTS, shade)
    if eyes is not None:
        native.shade_eyes(points, *_contiguous(eyes), shade)
    return shade


def _contiguous(surface: MouthSurface | EyeSurface) -> tuple[Tensor, ...]:
    return tuple(value.contiguous() for value in vars(surface).values())


def _check_shade(vertices: Tensor, mouth: MouthSurface | None, eyes: EyeSurface | None) -> None:
    check_shape("vertices", vertices, ("B", "V", 3))
    if mouth is not None:
        check_shape("mouth.normals", mouth.normals, (len(mouth.vertices), 3))
        check_shape("mouth.corners", mouth.corners, (4, 3))
        check_shape("mouth.bary", mouth.bary, (4, 3))
        check_floats(vertices, **{"mouth.normals": mouth.normals, "mouth.bary": mouth.bary})
    if eyes is not None:
        check_shape("eyes.vertices", eyes.vertices, (2, "n"))
        check_shape("eyes.fit", eyes.fit, (2, 2, "D", "L"))
        if not 0 < eyes.fit.shape[2] <= MAX_COEFFICIENTS:
            raise ValueError(f"eyes.fit: expected 1 to {MAX_COEFFICIENTS} coefficients, got {eyes.fit.shape[2]}")
        landmarks = 4 * eyes.fit.shape[3]
        check_shape("eyes.corners", eyes.corners, (landmarks, 3))
        check_shape("eyes.bary", eyes.bary, (landmarks, 3))
        check_shape("eyes.shadow", eyes.shadow, (2,))
        check_shape("eyes.reach", eyes.reach, (2,))
        floats = ("bary", "fit", "shadow", "reach")
        check_floats(vertices, **{f"eyes.{name}": getattr(eyes, name) for name in floats})
    for name, surface in (("mouth", mouth), ("eyes", eyes)):
        if surface is not None:
            check_integers(f"{name}.vertices", surface.vertices)
            check_integers(f"{name}.corners", surface.corners)


class _AddReflections(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, color: Tensor, textures: Tensor, coverage: Tensor, places: Tensor) -> Tensor:
        native_for(color).add_reflections(color.detach(), coverage, textures.detach().contiguous(), places)
        ctx.mark_dirty(color)
        ctx.save_for_backward(coverage, places)
        ctx.shape = textures.shape
        return color

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        coverage, places = ctx.saved_tensors
        out = grad.new_zeros(ctx.shape)
        native_for(grad).add_reflections_backward(grad.contiguous(), coverage, places, out)
        return grad, out, None, None


def add_reflections(color: Tensor, coverage: Tensor, textures: Tensor, centers: Tensor, radii: Tensor) -> Tensor:
    """Add two textures that are parallel to the image; differentiable in `color` and `textures`.

    Samples are bilinear, 0 beyond the texture, and count by `coverage`. On a CUDA device this runs as PyTorch.

    Args:
        color: [B,h,w,3]; may be overwritten with the result.
        coverage: [B,h,w] 0..1.
        textures: [2,S,S] gray, rows downward.
        centers: [B,2,2] x and y of the centers of the textures, pixels of `color`.
        radii: [B,2] pixels from the center of a texture to its sides, above 0. One that is not finite hides it.

    Returns:
        [B,h,w,3].

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("color", color, ("B", "h", "w", 3))
    check_shape("coverage", coverage, tuple(color.shape[:3]))
    check_shape("textures", textures, (2, "S", textures.shape[1]))
    check_shape("centers", centers, (len(color), 2, 2))
    check_shape("radii", radii, (len(color), 2))
    check_floats(color, coverage=coverage, textures=textures, centers=centers, radii=radii)
    if not checks_indices(native_for(color)):
        return reference.add_reflections(color, coverage, textures, centers, radii)
    places = torch.cat([centers, radii[..., None]], 2).detach()
    return _AddReflections.apply(color.contiguous(), textures, coverage.detach().contiguous(), places)
