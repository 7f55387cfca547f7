"""nvdiffrast (https://github.com/NVlabs/nvdiffrast) as rasterizer of meshes, behind the contract of `ops.mesh`.

Its pixels have (u, v, z/w, number of the triangle + 1), row 0 at y = -1 of clip space, where u and v weight the first
and the second corner, with perspective. Our images have row 0 at the top and y down, so positions are given with y
down, and no row is moved. It draws both sides of a triangle. With z = w - 2 near in clip space the near plane is at the
depth `near`, and there is no far plane. Only for research and evaluation, says its license: it is never installed by
headsplat.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from avatar.reference.layer import MARGIN, SUPERSAMPLE

_STEP = 8  # sides of its images are multiples of this
_LARGEST = 2048  # pixels, of versions before 0.3.3
_contexts = threading.local()


def mesh(
    vertices_cam: Tensor, faces: Tensor, K: Tensor, width: int, height: int, near: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    """As `ops.mesh`; None for what nvdiffrast does not take: nothing to draw, or images that are too large."""
    drawn = _drawn(vertices_cam, faces, K, width, height, near)
    if drawn is None:
        return None
    rast, depth = drawn
    face = rast[..., 3].to(torch.int32) - 1
    hit = face >= 0
    first, second = rast[..., 0], rast[..., 1]
    bary = torch.stack([first, second, (1 - first - second).clamp_min(0)], -1)
    return face, bary * hit[..., None], depth * hit


def layer_depths(
    vertices_cam: Tensor, faces: Tensor, skin: Tensor, K: Tensor, width: int, height: int, near: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    """What `ops.layer` rasterizes, at the samples of images with its margin.

    Returns:
        Face [B,h,w] int64 (-1: none), depth and depth of the skin [B,h,w] meters (0: none); None as in `mesh`.
    """
    shift = K.new_zeros(3)
    shift[:2] = MARGIN
    of_samples = K + shift[:, None] * K[:, 2:]
    of_samples = torch.cat([SUPERSAMPLE * of_samples[:, :2], of_samples[:, 2:]], 1)
    columns, rows = (SUPERSAMPLE * (side + 2 * MARGIN) for side in (width, height))
    drawn = _drawn(vertices_cam, faces, of_samples, columns, rows, near)
    if drawn is None:
        return None
    rast, depth = drawn
    face = rast[..., 3].to(torch.int64) - 1
    behind = _drawn(vertices_cam, skin, of_samples, columns, rows, near)
    of_skin = torch.zeros_like(depth) if behind is None else behind[1] * (behind[0][..., 3] > 0)
    return face.contiguous(), (depth * (face >= 0)).contiguous(), of_skin.contiguous()


def _drawn(
    vertices_cam: Tensor, faces: Tensor, K: Tensor, width: int, height: int, near: float
) -> tuple[Tensor, Tensor] | None:
    """nvdiffrast's image [B,H,W,4], and depths [B,H,W] in meters, both unspecified where nothing is."""
    columns, rows = (-(-side // _STEP) * _STEP for side in (width, height))
    if not vertices_cam.numel() or not len(faces) or max(columns, rows) > _LARGEST:
        return None
    x, y, w = (vertices_cam[:, :, None] * K[:, None]).sum(-1).unbind(-1)  # a product of matrices may be less exact
    import nvdiffrast.torch as dr

    places = torch.stack([x * (2 / columns) - w, y * (2 / rows) - w, w - 2 * near, w], -1)
    triangles = faces.to(torch.int32).contiguous()
    rast, _ = dr.rasterize(_context(dr, places.device), places.contiguous(), triangles, (rows, columns), grad_db=False)
    depth, _ = dr.interpolate(w[..., None].contiguous(), rast, triangles)
    return rast[:, :height, :width], depth[:, :height, :width, 0]


def _context(dr: Any, device: torch.device) -> Any:
    """One of this thread and device: a context serves one thread."""
    known: dict[str, Any] = vars(_contexts).setdefault("known", {})
    if str(device) not in known:
        known[str(device)] = dr.RasterizeCudaContext(device=device)
    return known[str(device)]
