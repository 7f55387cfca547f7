"""One batch of frames in the native kernels: the differences between CPU and CUDA.

On the CPU the native module owns the memory of a frame. On a CUDA device a frame uses a workspace that is allocated
before, so nothing synchronizes with the device; therefore the number of tile intersections (pairs of a Gaussian and a
16x16 tile) must be estimated. A frame with more intersections than its workspace can store gives NaN images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .backend import native_for
from .graphs import is_capturing

#: Maximum number of tile intersections in one image.
INTERSECTIONS_MAX = 1 << 25
#: The sorts index the intersections of a whole batch with 32 bits.
BATCH_INTERSECTIONS_MAX = (1 << 31) - 1


@dataclass(frozen=True)
class SplatCall:
    """The checked arguments of a splat that have no gradients."""

    intrinsics: Tensor  # [B,3,3]
    world_to_cam: Tensor  # [B,4,4]
    width: int
    height: int
    near: float
    dilation: float
    flags: int  # 1 antialias, 2 cutoff


@dataclass(frozen=True)
class SplatImages:
    """Output images of a splat; None for those that were not requested."""

    rgb: Tensor  # [B,H,W,3]
    alpha: Tensor  # [B,H,W]
    depth: Tensor | None  # [B,H,W]
    weights: Tensor | None  # [B,N]

    @staticmethod
    def empty(
        batch: int, count: int, width: int, height: int, *, depth: bool, weights: bool, like: Tensor
    ) -> SplatImages:
        """Uninitialized images.

        Args:
            batch: number of images B.
            count: number of Gaussians N.
            width: W, pixels.
            height: H, pixels.
            depth: whether there is a depth image.
            weights: whether there are sums of blend weights.
            like: gives dtype and device.
        """
        alpha = like.new_empty(batch, height, width)
        return SplatImages(
            like.new_empty(batch, height, width, 3),
            alpha,
            torch.empty_like(alpha) if depth else None,
            like.new_empty(batch, count) if weights else None,
        )


#: Color (None: none is blended), coverage, depth, stencil and origin of a layer's window, and fades of the Gaussians.
LayerArrays = tuple[Tensor | None, Tensor, Tensor, Tensor, Tensor, Tensor]
Inputs = tuple[Tensor, ...]
Grads = tuple[Tensor | None, ...]


def with_color(layer: LayerArrays | None, color: Tensor | None) -> LayerArrays | None:
    """The layer with another color [B,h,w,3]; None: the layer hides Gaussians, but has no color."""
    return None if layer is None else (color, *layer[1:])


class CpuFrame:
    """A batch projected, sorted and tiled in memory of the native module."""

    def __init__(self, call: SplatCall, inputs: Inputs, layer: LayerArrays | None = None) -> None:
        self._layer = layer
        self._handle = native_for(inputs[0]).prepare(
            *inputs, call.intrinsics, call.world_to_cam, call.width, call.height, call.near, call.dilation, call.flags
        )

    def render(self, images: SplatImages) -> None:
        """Rasterize into `images`."""
        native = native_for(images.rgb)
        native.rasterize(self._handle, self._layer, images.rgb, images.alpha, images.depth, images.weights)

    def render_colors(self, colors: Tensor, layer_colors: Tensor | None, rgb: Tensor) -> None:
        """Rasterize other colors [B,N,3] over those of the layer [B,h,w,3] into `rgb` [B,H,W,3]."""
        native_for(rgb).rasterize_colors(self._handle, with_color(self._layer, layer_colors), colors, rgb)

    def backward(
        self, inputs: Inputs, images: SplatImages, grads: Grads, out: Inputs, out_layer: Tensor | None
    ) -> None:
        """Gradients of `inputs` and of the layer's color, from those of the images.

        Args:
            inputs: those that were rendered.
            images: the rendered images.
            grads: of rgb, alpha and depth; None where there is none.
            out: receives the gradients of `inputs`.
            out_layer: [B,h,w,3], receives that of the layer's color; None: it has none.
        """
        native_for(images.rgb).splat_backward(
            self._handle, inputs, (images.rgb, images.alpha, images.depth), *grads, out, self._layer, out_layer
        )


class CudaFrame:
    """A batch in a workspace; only `intersections` synchronizes with the device."""

    def __init__(
        self, call: SplatCall, workspace: Tensor, max_intersections: int, layer: LayerArrays | None = None
    ) -> None:
        self._layer = layer
        self._call = call
        self._workspace = workspace
        self._max_intersections = max_intersections
        self._intersections = max_intersections  # an upper limit, unless the images are NaN

    def render(self, inputs: Inputs, images: SplatImages) -> None:
        """Project, sort and rasterize `inputs` into `images`."""
        native_for(images.rgb).splat_forward(
            inputs,
            *self._camera,
            self._workspace,
            self._max_intersections,
            (images.rgb, images.alpha, images.depth, images.weights),
            self._layer,
        )

    def render_colors(self, colors: Tensor, layer_colors: Tensor | None, rgb: Tensor) -> None:
        """Rasterize other colors [B,N,3] over those of the layer [B,h,w,3] into `rgb` [B,H,W,3]."""
        native_for(rgb).splat_colors(
            colors,
            self._workspace,
            self._max_intersections,
            bool(self._call.flags & 2),
            with_color(self._layer, layer_colors),
            rgb,
        )

    def backward(
        self, inputs: Inputs, images: SplatImages, grads: Grads, out: Inputs, out_layer: Tensor | None
    ) -> None:
        """Gradients of `inputs` and of the layer's color, from those of the images.

        Args:
            inputs: those that were rendered.
            images: the rendered images.
            grads: of rgb, alpha and depth; None where there is none.
            out: receives the gradients of `inputs`.
            out_layer: [B,h,w,3], receives that of the layer's color; None: it has none.
        """
        native = native_for(images.rgb)
        partials = images.rgb.new_empty(native.splat_partials(max(self._intersections, 1)))
        native.splat_backward(
            inputs,
            *self._camera,
            self._workspace,
            self._max_intersections,
            partials,
            (images.rgb, images.alpha, images.depth),
            grads,
            out,
            self._layer,
            out_layer,
        )

    def intersections(self) -> int:
        """Tile intersections of the last rendered frame, also if they were too many; synchronizes with the device."""
        needed = int(self._workspace[:8].view(torch.int64).item())
        self._intersections = min(needed, self._max_intersections)
        return needed

    @property
    def _camera(self) -> tuple[tuple[Tensor, Tensor], tuple[float, float, int]]:
        call = self._call
        return (call.intrinsics, call.world_to_cam), (call.near, call.dilation, call.flags)


Frame = CpuFrame | CudaFrame


def has_workspaces(native: Any) -> bool:
    """Whether these native functions use workspaces (CUDA) or own their memory (CPU)."""
    return hasattr(native, "splat_workspace")


def new_workspace(like: Tensor, batch: int, count: int, width: int, height: int, max_intersections: int) -> Tensor:
    """Allocate a workspace.

    Args:
        like: a tensor on the device.
        batch: images B.
        count: Gaussians per image N.
        width: pixels.
        height: pixels.
        max_intersections: tile intersections of the batch.

    Returns:
        [bytes] uint8.
    """
    size = native_for(like).splat_workspace(batch, count, width, height, max_intersections)
    return torch.empty(size, dtype=torch.uint8, device=like.device)


def initial_max_intersections(batch: int, count: int) -> int:
    """The limit before any frame was rendered: a head at 512x512 has 2 to 3 tile intersections per Gaussian."""
    return min(4 * batch * count + 4096, BATCH_INTERSECTIONS_MAX)


#: limit by device, batch, count, width and height
_limits: dict[tuple[torch.device, int, int, int, int], int] = {}
_MAX_LIMITS = 256  # entries of `_limits`


def render(call: SplatCall, inputs: Inputs, images: SplatImages, layer: LayerArrays | None = None) -> Frame:
    """Render contiguous float32 `inputs` over `layer` into `images`; on a CUDA device in a workspace that grows.

    On a CUDA device this synchronizes to read the number of tile intersections, except during the capture of a CUDA
    graph.

    Args:
        call: size of the images, cameras and settings.
        inputs: means [B,N,3], quats [B,N,4], scales [B,N,3], opacities [B,N], and colors as of `splat`.
        images: receive the result.
        layer: behind which Gaussians are hidden; None: there is none.

    Raises:
        ValueError: too many tile intersections.
    """
    if not has_workspaces(native_for(inputs[0])):
        frame = CpuFrame(call, inputs, layer)
        frame.render(images)
        return frame
    batch, count = inputs[3].shape
    key = (inputs[0].device, batch, count, call.width, call.height)
    limit = _limits.get(key) or initial_max_intersections(batch, count)
    while True:
        workspace = new_workspace(inputs[0], batch, count, call.width, call.height, limit)
        rendered = CudaFrame(call, workspace, limit, layer)
        rendered.render(inputs, images)
        if is_capturing(inputs[0]):
            return rendered
        intersections = rendered.intersections()
        if intersections <= limit:
            return rendered
        limit = _larger_limit(batch, intersections)
        if len(_limits) >= _MAX_LIMITS:
            _limits.clear()
        _limits[key] = limit


def allow_more(device: torch.device, batch: int, count: int, width: int, height: int) -> None:
    """Give the next frames of this shape more memory: a frame that was captured had too many tile intersections."""
    key = (device, batch, count, width, height)
    _limits[key] = _larger_limit(batch, _limits.get(key) or initial_max_intersections(batch, count))


def _larger_limit(batch: int, intersections: int) -> int:
    limit = min(batch * INTERSECTIONS_MAX, BATCH_INTERSECTIONS_MAX)
    if intersections > limit:
        where = "one image" if batch == 1 else f"{batch} images"
        raise ValueError(f"splat: more than {limit} tile intersections in {where}; use fewer or smaller Gaussians")
    return min(intersections + intersections // 4, limit)
