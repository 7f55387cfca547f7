"""Reflections on the irises, added to the images of a mesh layer."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.ops import LayerImages
from avatar.types import PosedReflections

_NEAR = 1e-3  # meters, smallest depth to divide by


def add_reflections(images: LayerImages, reflections: PosedReflections, centers: Tensor, K: Tensor) -> None:
    """Add reflections to the color of `images` in place, differentiable in their textures.

    A texture is parallel to the image; its samples are bilinear, and count by the coverage of the layer.

    Args:
        images: [B] of the layer.
        reflections: their textures and radii.
        centers: [B,2,3] meters, camera axes.
        K: [B,3,3] pixels.
    """
    height, width = images.coverage.shape[1:]
    if not height or not width:
        return
    depth = centers[..., 2:].clamp_min(_NEAR)
    pixels = (centers @ K.transpose(1, 2))[..., :2] / depth - images.origin[:, None]  # [B,2,2]
    radius = reflections.radii[..., None] * K[:, :1, :1] / depth  # [B,2,1]
    largest = min(float(radius.detach().max()), float(max(height, width)))
    side = int(2 * largest) + 2
    first = (pixels - side / 2).round()
    texels = reflections.textures.shape[-1]
    # Bilinear samples are products of weights along both axes: [B,2,2,side,S], for x and y.
    local = (torch.arange(0.5, side, device=K.device) + (first - pixels)[..., None]) / radius[..., None]
    at = (local + 1) * (texels / 2) - 0.5
    weights = (1 - (at[..., None] - torch.arange(texels, device=K.device)).abs()).clamp_min(0)
    added = weights[:, :, 1] @ reflections.textures @ weights[:, :, 0].transpose(2, 3)  # [B,2,side,side]
    for image, corners in enumerate(first.long().tolist()):
        for eye, (x, y) in enumerate(corners):
            left, right, top, bottom = max(x, 0), min(x + side, width), max(y, 0), min(y + side, height)
            if left < right and top < bottom:
                part = added[image, eye, top - y : bottom - y, left - x : right - x, None]
                window = images.coverage[image, top:bottom, left:right, None]
                images.color[image, top:bottom, left:right] += part * window
