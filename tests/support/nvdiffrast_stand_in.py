"""The part of nvdiffrast's interface that headsplat uses, from its public description, in NumPy on the CPU.

Not its code and not ours: pixels of clip space, row 0 at y = -1; a pixel has (u, v, z/w, number of the triangle + 1),
with u and v the weights of the first and second corner, with perspective; both sides are drawn; what is outside of
-w..w in z is clipped. A fault can be injected with `fault`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from tests.support.stand_in_modules import modules_in_place

Rast = np.ndarray
Fault = Callable[[Rast], Rast]


class RasterizeCudaContext:
    """Made once for a device."""

    def __init__(self, device: Any = None) -> None:
        self.device = device


class StandIn:
    """The package, and how often it was called."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault = fault
        self.calls = 0

    def rasterize(
        self, glctx: RasterizeCudaContext, pos: Tensor, tri: Tensor, resolution: tuple[int, int], ranges: None = None,
        grad_db: bool = True,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """[B,H,W,4] for positions [B,V,4] in clip space, triangles [T,3] int32 and (height, width)."""
        self.calls += 1
        height, width = resolution
        assert isinstance(glctx, RasterizeCudaContext) and ranges is None
        assert pos.dtype == torch.float32 and pos.is_contiguous() and pos.ndim == 3 and pos.shape[2] == 4
        assert tri.dtype == torch.int32 and tri.is_contiguous() and tri.shape[1:] == (3,) and len(tri)
        if height % 8 or width % 8:
            raise RuntimeError("width and height must be divisible by 8")
        values, triangles = pos.detach().cpu().numpy(), tri.cpu().numpy()
        rast = np.stack([_drawn(points, triangles, height, width) for points in values])
        rast = rast if self.fault is None else self.fault(rast)
        image = torch.from_numpy(np.ascontiguousarray(rast, np.float32)).to(pos.device)
        return image, image.new_zeros(*image.shape[:3], 4 if grad_db else 0)

    def interpolate(self, attr: Tensor, rast: Tensor, tri: Tensor) -> tuple[Tensor, Tensor]:
        """[B,H,W,A] of vertices [B,V,A], zero where nothing is."""
        assert attr.dtype == torch.float32 and attr.is_contiguous() and rast.is_contiguous()
        u, v, _, number = rast.unbind(-1)
        corners = tri[(number.long() - 1).clamp_min(0)].long()
        weights = torch.stack([u, v, 1 - u - v], -1)
        rows = torch.arange(len(attr), device=attr.device)[:, None, None]
        out = sum(attr[rows, corners[..., k]] * weights[..., k : k + 1] for k in range(3))
        assert isinstance(out, Tensor)
        return out * (number > 0)[..., None], attr.new_zeros(*rast.shape[:3], 0)


def _drawn(points: np.ndarray, triangles: np.ndarray, height: int, width: int) -> Rast:
    """One image, in double; all pairs of a triangle and a pixel of its bounding box at once."""
    rast = np.zeros((height * width, 4))
    corners = points.astype(np.float64)[triangles]  # [T,3,4]
    w = corners[..., 3]
    kept = (w > 0).any(1)
    numbers = np.arange(len(triangles))[kept]
    corners, w = corners[kept], w[kept]
    whole = ~(w > 1e-9).all(1)  # a triangle through the camera's plane may be anywhere
    safe = np.where(w > 1e-9, w, 1.0)
    size = np.array([width, height])
    places = (corners[..., :2] / safe[..., None] + 1) / 2 * size - 0.5
    first = np.where(whole[:, None], 0, np.clip(np.ceil(places.min(1)), 0, size)).astype(int)
    last = np.where(whole[:, None], size - 1, np.clip(np.floor(places.max(1)), -1, size - 1)).astype(int)
    spans = np.maximum(last - first + 1, 0)
    counts = spans.prod(1)
    which = np.repeat(np.arange(len(numbers)), counts)
    at = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    x, y = first[which, 0] + at % spans[which, 0], first[which, 1] + at // spans[which, 0]
    # Weights of the corners: the point of the triangle whose x/w and y/w are those of the pixel's center.
    ray = np.stack([(x + 0.5) / width * 2 - 1, (y + 0.5) / height * 2 - 1, np.ones(len(x))], 1)
    matrices = corners[..., [0, 1, 3]]
    sides = np.stack([np.cross(matrices[:, (k + 1) % 3], matrices[:, (k + 2) % 3]) for k in range(3)], 1)
    volume = np.einsum("tc,tc->t", matrices[:, 0], sides[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = np.einsum("pkc,pc->pk", sides[which], ray) / volume[which, None]
        weights = raw / raw.sum(1, keepdims=True)
        depth = np.einsum("pk,pk->p", weights, corners[which, :, 2]) / np.einsum("pk,pk->p", weights, w[which])
    hit = (volume[which] != 0) & (raw >= 0).all(1) & (raw.sum(1) > 0) & (np.abs(depth) <= 1)
    which, x, y, weights, depth = which[hit], x[hit], y[hit], weights[hit], depth[hit]
    order = np.lexsort((which, depth))[::-1]  # the nearest one is written last
    pixel = (y * width + x)[order]
    found = np.concatenate([weights[order, :2], depth[order, None], numbers[which[order], None] + 1], 1)
    rast[pixel] = found
    return rast.reshape(height, width, 4)


def flipped(rast: Rast) -> Rast:
    """Rows the other way round."""
    return rast[:, ::-1]


def shifted(rast: Rast) -> Rast:
    """The values of the pixel that is half a pixel beside, as far as two neighbors of one triangle know it."""
    out = rast.copy()
    same = rast[:, :, 1:, 3] == rast[:, :, :-1, 3]
    out[:, :, 1:, :3] = np.where(same[..., None], (rast[:, :, 1:, :3] + rast[:, :, :-1, :3]) / 2, rast[:, :, 1:, :3])
    return out


def next_triangle(rast: Rast) -> Rast:
    """Numbers without the one that is added: the triangle before the right one."""
    out = rast.copy()
    out[..., 3] = np.where(rast[..., 3] > 1, rast[..., 3] - 1, rast[..., 3])
    return out


def swapped(rast: Rast) -> Rast:
    """The weights of the first two corners exchanged."""
    return rast[..., [1, 0, 2, 3]]


def with_nan(rast: Rast) -> Rast:
    """One pixel is not a number."""
    out = rast.copy()
    out[0, 20, 20, :2] = np.nan
    return out


def raising(rast: Rast) -> Rast:
    """An error of the device."""
    raise RuntimeError("Cuda error: 700[cudaLaunchKernel]")


@contextmanager
def installed(fault: Fault | None = None) -> Iterator[StandIn]:
    """Let `nvdiffrast.torch` be the stand-in within the block."""
    stand_in = StandIn(fault)
    package, inner = ModuleType("nvdiffrast"), ModuleType("nvdiffrast.torch")
    package.__spec__ = mock.Mock()
    inner.RasterizeCudaContext = RasterizeCudaContext  # type: ignore[attr-defined]
    inner.rasterize, inner.interpolate = stand_in.rasterize, stand_in.interpolate  # type: ignore[attr-defined]
    package.torch = inner  # type: ignore[attr-defined]
    stand_ins = {"nvdiffrast": package, "nvdiffrast.torch": inner}
    with modules_in_place(stand_ins, anew="avatar.ops.nvdiffrast_adapter"):
        yield stand_in
