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
    depth = centers[..., 2].clamp_min(_NEAR)
    pixels = (centers @ K.transpose(1, 2))[..., :2] / depth[..., None] - images.origin[:, None]  # [B,2,2]
    radius = reflections.radii * K[:, :1, 0] / depth
    side = int(2 * radius.clamp_max(max(height, width)).max()) + 2
    first = (pixels - side / 2).round()
    at = first[..., None] + torch.arange(side, device=K.device)  # [B,2,2,side], x and y
    local = (at + 0.5 - pixels[..., None]) / radius[..., None, None]
    x, y = local.unbind(2)
    grid = torch.stack([x[:, :, None].expand(-1, -1, side, -1), y[..., None].expand(-1, -1, -1, side)], -1)
    batch = len(centers)
    textures = reflections.textures.expand(batch, -1, -1, -1).flatten(0, 1)[:, None]
    added = torch.nn.functional.grid_sample(textures, grid.flatten(0, 1), align_corners=False)
    added = added.reshape(batch, 2, side, side)
    rows, columns = at[:, :, 1].long(), at[:, :, 0].long()
    inside = ((rows >= 0) & (rows < height))[..., None] & ((columns >= 0) & (columns < width))[:, :, None]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    index = (
        torch.arange(batch, device=K.device)[:, None, None, None],
        rows[..., None],
        columns[:, :, None],
    )
    weight = images.coverage[index] * inside
    images.color.index_put_(index, (added * weight)[..., None].expand(*added.shape, 3), accumulate=True)
