"""Reflections on the irises, added to the images of a mesh layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar.ops import LayerImages
from avatar.types import PosedReflections

#: Indices of a window of the images, and of that part of an eye's samples.
_Window = tuple[tuple[int, slice, slice], tuple[int, int, slice, slice]]
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
    windows = _windows(first.long().tolist(), side, width, height)
    _Add.apply(images.color, reflections.textures, images.coverage, weights, windows)


def _windows(corners: list[list[list[int]]], side: int, width: int, height: int) -> list[_Window]:
    """Where the squares of `side` pixels with these first pixels are in images of width x height."""
    found = []
    for image, eyes in enumerate(corners):
        for eye, (x, y) in enumerate(eyes):
            left, right, top, bottom = max(x, 0), min(x + side, width), max(y, 0), min(y + side, height)
            if left < right and top < bottom:
                inside = (image, slice(top, bottom), slice(left, right))
                found.append((inside, (image, eye, slice(top - y, bottom - y), slice(left - x, right - x))))
    return found


class _Add(torch.autograd.Function):
    """Adds the samples of textures [2,S,S] to colors [B,h,w,3] in place; one node of autograd instead of fifty."""

    @staticmethod
    def forward(
        ctx: Any, color: Tensor, textures: Tensor, coverage: Tensor, weights: Tensor, windows: list[_Window]
    ) -> Tensor:
        added = weights[:, :, 1] @ textures @ weights[:, :, 0].transpose(2, 3)  # [B,2,side,side]
        for inside, part in windows:
            color[inside] += (added[part] * coverage[inside])[..., None]
        ctx.mark_dirty(color)
        ctx.save_for_backward(coverage, weights)
        ctx.windows = windows
        return color

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        coverage, weights = ctx.saved_tensors
        side = weights.shape[3]
        of_added = grad.new_zeros(*weights.shape[:2], side, side)
        for inside, part in ctx.windows:
            of_added[part] = grad[inside].sum(-1) * coverage[inside]
        of_textures = weights[:, :, 1].transpose(2, 3) @ of_added @ weights[:, :, 0]
        return grad, of_textures.sum(0), None, None, None
