"""One batch of splats on its way through the native kernels: what differs between the processor and a CUDA device.

On the processor the native module keeps the memory of a frame. On a CUDA device a frame lives in a workspace that is
made before it, so that nothing in the frame waits for the device; the price is that the number of (splat, tile) pairs
must be guessed. A frame with more pairs than its workspace holds has pictures of NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .backend import native_for

#: Pairs of a splat and a 16x16 tile in one image that the kernels put up with.
PAIRS_MAX = 1 << 25
#: The sorts count pairs of a whole batch in 32 bits.
CAPACITY_MAX = (1 << 31) - 1


@dataclass(frozen=True)
class SplatCall:
    """Arguments of a splat that have no gradients, checked."""

    intrinsics: Tensor  # [B,3,3]
    world_to_cam: Tensor  # [B,4,4]
    width: int
    height: int
    near: float
    dilation: float
    flags: int  # 1 antialias, 2 cutoff


@dataclass(frozen=True)
class Pictures:
    """Where a splat is drawn; None for what nobody asked for."""

    rgb: Tensor  # [B,H,W,3]
    alpha: Tensor  # [B,H,W]
    depth: Tensor | None  # [B,H,W]
    weights: Tensor | None  # [B,N]

    @staticmethod
    def empty(batch: int, count: int, width: int, height: int, *, depth: bool, weights: bool, like: Tensor) -> Pictures:
        alpha = like.new_empty(batch, height, width)
        return Pictures(
            like.new_empty(batch, height, width, 3),
            alpha,
            torch.empty_like(alpha) if depth else None,
            like.new_empty(batch, count) if weights else None,
        )


Inputs = tuple[Tensor, ...]
Grads = tuple[Tensor | None, ...]


class CpuFrame:
    """Splats projected, sorted and tiled in memory of the native module."""

    def __init__(self, call: SplatCall, inputs: Inputs) -> None:
        self._handle = native_for(inputs[0]).prepare(
            *inputs, call.intrinsics, call.world_to_cam, call.width, call.height, call.near, call.dilation, call.flags
        )

    def draw(self, pictures: Pictures) -> None:
        native_for(pictures.rgb).rasterize(self._handle, pictures.rgb, pictures.alpha, pictures.depth, pictures.weights)

    def draw_colors(self, colors: Tensor, rgb: Tensor) -> None:
        native_for(rgb).rasterize_colors(self._handle, colors, rgb)

    def backward(self, inputs: Inputs, pictures: Pictures, grads: Grads, out: Inputs) -> None:
        native_for(pictures.rgb).splat_backward(
            self._handle, inputs, (pictures.rgb, pictures.alpha, pictures.depth), *grads, out
        )


class CudaFrame:
    """Splats in a workspace; drawing fills it, nothing waits for the device except `pairs`."""

    def __init__(self, call: SplatCall, workspace: Tensor, capacity: int) -> None:
        self._call, self._workspace, self._capacity = call, workspace, capacity
        self._pairs = capacity  # at most so many are there, unless the pictures are NaN

    def draw(self, inputs: Inputs, pictures: Pictures) -> None:
        native_for(pictures.rgb).splat_forward(
            inputs, *self._camera, self._workspace, self._capacity,
            (pictures.rgb, pictures.alpha, pictures.depth, pictures.weights),
        )  # fmt: skip

    def draw_colors(self, colors: Tensor, rgb: Tensor) -> None:
        native_for(rgb).splat_colors(colors, self._workspace, self._capacity, bool(self._call.flags & 2), rgb)

    def backward(self, inputs: Inputs, pictures: Pictures, grads: Grads, out: Inputs) -> None:
        native = native_for(pictures.rgb)
        moments = pictures.rgb.new_empty(native.splat_partials(max(self._pairs, 1)))
        native.splat_backward(
            inputs, *self._camera, self._workspace, self._capacity, moments,
            (pictures.rgb, pictures.alpha, pictures.depth), grads, out,
        )  # fmt: skip

    def pairs(self) -> int:
        """(splat, tile) pairs of the frame drawn last, also when they were too many; waits for the device."""
        found = int(self._workspace[:8].view(torch.int64).item())
        self._pairs = min(found, self._capacity)
        return found

    @property
    def _camera(self) -> tuple[tuple[Tensor, Tensor], tuple[float, float, int]]:
        call = self._call
        return (call.intrinsics, call.world_to_cam), (call.near, call.dilation, call.flags)


Frame = CpuFrame | CudaFrame


def has_workspaces(native: Any) -> bool:
    """Whether these native functions draw into workspaces (CUDA) or keep their own memory (CPU)."""
    return hasattr(native, "splat_workspace")


def new_workspace(like: Tensor, batch: int, count: int, width: int, height: int, capacity: int) -> Tensor:
    """Memory [bytes] uint8 for frames with up to `capacity` pairs in the batch."""
    size = native_for(like).splat_workspace(batch, count, width, height, capacity)
    return torch.empty(size, dtype=torch.uint8, device=like.device)


def likely_capacity(batch: int, count: int) -> int:
    """Pairs to make room for before any frame has been seen: a head at 512x512 has 2 to 3 a Gaussian."""
    return min(4 * batch * count + 4096, CAPACITY_MAX)


_capacities: dict[tuple[torch.device, int, int, int, int], int] = {}
_KEPT = 256  # shapes whose capacity is remembered


def draw(call: SplatCall, inputs: Inputs, pictures: Pictures) -> Frame:
    """Draw contiguous float32 `inputs` into `pictures`, with a workspace that is grown until the pairs fit.

    On a CUDA device this waits for the number of pairs once it is drawn, except while a CUDA graph captures it.

    Raises:
        ValueError: there are more pairs than the kernels put up with.
    """
    if not has_workspaces(native_for(inputs[0])):
        frame = CpuFrame(call, inputs)
        frame.draw(pictures)
        return frame
    batch, count = inputs[3].shape
    key = (inputs[0].device, batch, count, call.width, call.height)
    capacity = _capacities.get(key) or likely_capacity(batch, count)
    while True:
        workspace = new_workspace(inputs[0], batch, count, call.width, call.height, capacity)
        drawn = CudaFrame(call, workspace, capacity)
        drawn.draw(inputs, pictures)
        if _captured(inputs[0]):
            return drawn
        pairs = drawn.pairs()
        if pairs <= capacity:
            return drawn
        capacity = _larger_capacity(batch, pairs)
        if len(_capacities) >= _KEPT:
            _capacities.clear()
        _capacities[key] = capacity


def _captured(like: Tensor) -> bool:
    """Whether what is done now is only written down, to run later as a CUDA graph."""
    return like.device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _larger_capacity(batch: int, pairs: int) -> int:
    limit = min(batch * PAIRS_MAX, CAPACITY_MAX)
    if pairs > limit:
        where = "one image" if batch == 1 else f"{batch} images"
        raise ValueError(f"splat: more than {limit} tile intersections in {where}; use fewer or smaller Gaussians")
    return min(pairs + pairs // 4, limit)
