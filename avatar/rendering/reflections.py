"""Reflections on the irises in the images of a mesh layer."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from avatar import ops
from avatar.ops import LayerImages
from avatar.types import PosedReflections

_NEAR = 1e-3  # meters, smallest depth to divide by


def with_reflections(images: LayerImages, reflections: PosedReflections, centers: Tensor, K: Tensor) -> LayerImages:
    """The images of a layer with reflections, differentiable in their textures; may overwrite the color of `images`.

    Args:
        images: [B] of the layer.
        reflections: their textures and radii.
        centers: [B,2,3] meters, camera axes.
        K: [B,3,3] pixels.
    """
    depth = centers[..., 2:].clamp_min(_NEAR)
    pixels = (centers @ K.transpose(1, 2))[..., :2] / depth - images.origin[:, None]
    radii = reflections.radii * K[:, :1, 0] / depth[..., 0]
    return replace(
        images, color=ops.add_reflections(images.color, images.coverage, reflections.textures, pixels, radii)
    )
