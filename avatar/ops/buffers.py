"""Splatting into preallocated buffers: no autograd, no allocation, and no synchronization on a CUDA device.

For render loops and CUDA graphs: allocate the buffers once, render many frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar import reference
from avatar.reference import SplatLayer, SplatSettings
from avatar.types import Camera, check_shape

from .backend import native_for
from .frames import (
    CpuFrame,
    CudaFrame,
    SplatImages,
    has_workspaces,
    initial_max_intersections,
    new_workspace,
)
from .splat import Prepared, call_of, check_layer, check_splat, layer_arrays


@dataclass(frozen=True)
class SplatBuffers:
    """Images and scratch memory for frames of one shape; allocated by `splat_buffers`, written by `splat_into`."""

    rgb: Tensor  # [B,H,W,3] premultiplied, over black
    alpha: Tensor  # [B,H,W] 0..1
    depth: Tensor | None  # [B,H,W] meters along the camera axis, if requested
    weights: Tensor | None  # [B,N] blend weight summed over pixels, if requested
    count: int  # N
    max_intersections: int  # tile intersections of a batch that fit into the workspace; 0: no limit
    workspace: Tensor | None  # uint8 scratch memory of the CUDA kernels

    def intersections(self) -> int:
        """Tile intersections (Gaussian x 16x16 tile) of the last rendered frame; synchronizes with the device.

        If they exceed `max_intersections`, the images are NaN; allocate larger buffers. 0 without a limit.
        """
        return 0 if self.workspace is None else int(self.workspace[:8].view(torch.int64).item())


def splat_buffers(
    batch: int,
    count: int,
    width: int,
    height: int,
    *,
    device: torch.device | str = "cpu",
    max_intersections: int | None = None,
    with_weights: bool = False,
    with_depth: bool = True,
) -> SplatBuffers:
    """Allocate float32 buffers for `splat_into`.

    Args:
        batch: images B.
        count: Gaussians per image N.
        width: pixels.
        height: pixels.
        device: of the Gaussians.
        max_intersections: on a CUDA device, the tile intersections (Gaussian x 16x16 tile) of the whole batch for
            which memory is allocated, about 20 bytes each; None: four per Gaussian, ample for a head.
        with_weights: also each Gaussian's blend weight.
        with_depth: also depth.

    Returns:
        The buffers, uninitialized.

    Raises:
        ValueError: a size is too small.
    """
    for name, value, minimum in (("batch", batch, 1), ("count", count, 0), ("width", width, 1), ("height", height, 1)):
        if value < minimum:
            raise ValueError(f"{name}: expected {minimum} or more, got {value}")
    if max_intersections is not None and max_intersections < 1:
        raise ValueError(f"max_intersections: expected 1 or more, got {max_intersections}")
    like = torch.empty(0, device=device)
    images = SplatImages.empty(batch, count, width, height, depth=with_depth, weights=with_weights, like=like)
    limit = 0
    workspace = None
    if has_workspaces(native_for(like)):
        limit = initial_max_intersections(batch, count) if max_intersections is None else max_intersections
        workspace = new_workspace(like, batch, count, width, height, limit)
    return SplatBuffers(images.rgb, images.alpha, images.depth, images.weights, count, limit, workspace)


@torch.no_grad()
def splat_into(
    buffers: SplatBuffers,
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    camera: Camera,
    *,
    layer: SplatLayer | None = None,
    **settings: float,
) -> object:
    """Render like `splat`, but into `buffers` and without gradients.

    On a CUDA device all work is queued on the current stream and nothing is read back, so a CUDA graph can capture it.
    A frame with more tile intersections than `buffers.max_intersections` gives NaN images. Render one frame before the
    capture: the first call of a kernel may load it, which is not always allowed during a capture.

    Args:
        buffers: from `splat_buffers`; overwritten.
        means: [B,N,3] meters, world; contiguous, like the next four, with the B and N of the buffers.
        quats: [B,N,4] wxyz.
        scales: [B,N,3] meters.
        opacities: [B,N] 0..1.
        colors: [B,N,3], or [B,N,D,3] spherical-harmonic coefficients.
        camera: B pinhole cameras, contiguous float32 on the device of `means`.
        layer: as for `splat`.
        settings: as for `splat`.

    Returns:
        The handle for `splat_features`, valid until the buffers are written again.

    Raises:
        ValueError: a wrong shape, dtype, device or memory layout; the text names the argument.
    """
    inputs = (means, quats, scales, opacities, colors)
    check_splat(means, quats, scales, opacities, colors, camera)
    check_layer(means, layer)
    _check_layout(buffers, inputs, camera)
    images = SplatImages(buffers.rgb, buffers.alpha, buffers.depth, buffers.weights)
    call = call_of(SplatSettings(**settings), camera.K, camera.world_to_cam, camera)  # type: ignore[arg-type]
    if native_for(means) is None:
        with_weights = buffers.weights is not None
        out = reference.splat(*inputs, camera, with_weights=with_weights, layer=layer, **settings)  # type: ignore[arg-type]
        targets = (buffers.rgb, buffers.alpha, buffers.depth, buffers.weights)
        for target, image in zip(targets, (out.rgb, out.alpha, out.depth, out.weights), strict=True):
            if target is not None and image is not None:
                target.copy_(image)
        return out.prepared
    frame: CpuFrame | CudaFrame
    if buffers.workspace is None:
        frame = CpuFrame(call, inputs, layer_arrays(layer))
        frame.render(images)
    else:
        frame = CudaFrame(call, buffers.workspace, buffers.max_intersections, layer_arrays(layer))
        frame.render(inputs, images)
    batch, count = opacities.shape
    return Prepared(frame, batch, count, camera.width, camera.height)


def _check_layout(buffers: SplatBuffers, inputs: tuple[Tensor, ...], camera: Camera) -> None:
    """Raise ValueError unless the kernels can use these tensors without a copy."""
    batch, count = inputs[3].shape
    check_shape("buffers.rgb", buffers.rgb, (batch, camera.height, camera.width, 3))
    if buffers.count != count:
        raise ValueError(f"buffers.count: expected N={count} (from means), got {buffers.count}")
    named = zip(("means", "quats", "scales", "opacities", "colors"), inputs, strict=True)
    for name, tensor in (*named, ("camera.K", camera.K), ("camera.world_to_cam", camera.world_to_cam)):
        if tensor.dtype != torch.float32 or tensor.device != buffers.rgb.device or not tensor.is_contiguous():
            raise ValueError(
                f"{name}: expected contiguous torch.float32 on {buffers.rgb.device} like the buffers, "
                f"got {'' if tensor.is_contiguous() else 'strided '}{tensor.dtype} on {tensor.device}"
            )
