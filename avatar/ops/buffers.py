"""Splatting into memory that is there already: no autograd, no allocation, and on a CUDA device no waiting.

This is the form a CUDA graph can hold and a render loop should use: make the buffers once, draw many frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar import reference
from avatar.types import Camera, check_shape

from .backend import native_for
from .frames import CpuFrame, CudaFrame, Pictures, SplatCall, has_workspaces, likely_capacity, new_workspace
from .splat import Prepared, check_splat


@dataclass(frozen=True)
class SplatBuffers:
    """Pictures and scratch memory for frames of one shape; made by `splat_buffers`, written by `splat_into`."""

    rgb: Tensor  # [B,H,W,3] premultiplied, over black
    alpha: Tensor  # [B,H,W] 0..1
    depth: Tensor | None  # [B,H,W] meters along the camera axis, on request
    weights: Tensor | None  # [B,N] blend weight summed over pixels, on request
    count: int  # N
    capacity: int  # (splat, tile) pairs of the batch that fit; 0 where there is no limit
    workspace: Tensor | None  # bytes the CUDA kernels work in

    def pairs(self) -> int:
        """Pairs of a splat and a 16x16 tile in the frame drawn last; waits for the device.

        Where they exceed `capacity` the pictures are NaN; make buffers with a larger one. 0 where there is no limit.
        """
        return 0 if self.workspace is None else int(self.workspace[:8].view(torch.int64).item())


def splat_buffers(
    batch: int,
    count: int,
    width: int,
    height: int,
    *,
    device: torch.device | str = "cpu",
    capacity: int | None = None,
    with_weights: bool = False,
    with_depth: bool = True,
) -> SplatBuffers:
    """Buffers for `splat_into`, float32.

    Args:
        batch: images B.
        count: Gaussians an image N.
        width: pixels.
        height: pixels.
        device: where the Gaussians will be.
        capacity: pairs of a splat and a 16x16 tile in the whole batch to make room for, on a CUDA device; by default
            four a Gaussian, which is ample for a head. About 20 bytes each.
        with_weights: also room for each Gaussian's blend weight.
        with_depth: also room for depth.

    Raises:
        ValueError: a size is less than it can be.
    """
    for name, value, least in (("batch", batch, 1), ("count", count, 0), ("width", width, 1), ("height", height, 1)):
        if value < least:
            raise ValueError(f"{name}: expected {least} or more, got {value}")
    if capacity is not None and capacity < 1:
        raise ValueError(f"capacity: expected 1 or more, got {capacity}")
    like = torch.empty(0, device=device)
    pictures = Pictures.empty(batch, count, width, height, depth=with_depth, weights=with_weights, like=like)
    if not has_workspaces(native_for(like)):
        return SplatBuffers(pictures.rgb, pictures.alpha, pictures.depth, pictures.weights, count, 0, None)
    capacity = likely_capacity(batch, count) if capacity is None else capacity
    workspace = new_workspace(like, batch, count, width, height, capacity)
    return SplatBuffers(
        pictures.rgb, pictures.alpha, pictures.depth, pictures.weights, count, capacity, workspace
    )  # fmt: skip


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
    near: float = 0.01,
    dilation: float = 0.3,
    antialias: bool = False,
    cutoff: bool = True,
) -> object:
    """Render like `splat`, but into `buffers` and without gradients.

    On a CUDA device everything is put on the current stream and nothing is read back, so that a CUDA graph can capture
    it; a frame with more (splat, tile) pairs than the buffers hold gives pictures of NaN, see `SplatBuffers.pairs`.
    Draw one frame before the capture: the first use of a kernel may load it, which a capture need not allow.

    Args:
        buffers: from `splat_buffers`; what was in them is overwritten.
        means: [B,N,3] meters, world; contiguous, as are the next four, and of the shape the buffers were made for.
        quats: [B,N,4] wxyz.
        scales: [B,N,3] meters.
        opacities: [B,N] 0..1.
        colors: [B,N,3], or [B,N,D,3] spherical-harmonic coefficients.
        camera: B pinhole cameras, contiguous float32 on the device of `means`.
        near: as for `splat`.
        dilation: as for `splat`.
        antialias: as for `splat`.
        cutoff: as for `splat`.

    Returns:
        The handle for `splat_features`, good until the buffers are written again.

    Raises:
        ValueError: an argument's shape, dtype, device or memory layout does not fit; the text names it.
    """
    inputs = (means, quats, scales, opacities, colors)
    check_splat(means, quats, scales, opacities, colors, camera)
    _check_layout(buffers, inputs, camera)
    pictures = Pictures(buffers.rgb, buffers.alpha, buffers.depth, buffers.weights)
    call = SplatCall(
        camera.K, camera.world_to_cam, camera.width, camera.height, near, dilation, int(antialias) + 2 * int(cutoff)
    )
    if native_for(means) is None:
        out = reference.splat(
            *inputs, camera, near=near, dilation=dilation, antialias=antialias, cutoff=cutoff,
            with_weights=buffers.weights is not None,
        )  # fmt: skip
        targets = (buffers.rgb, buffers.alpha, buffers.depth, buffers.weights)
        for target, picture in zip(targets, (out.rgb, out.alpha, out.depth, out.weights), strict=True):
            if target is not None and picture is not None:
                target.copy_(picture)
        return out.prepared
    frame: CpuFrame | CudaFrame
    if buffers.workspace is None:
        frame = CpuFrame(call, inputs)
        frame.draw(pictures)
    else:
        frame = CudaFrame(call, buffers.workspace, buffers.capacity)
        frame.draw(inputs, pictures)
    batch, count = opacities.shape
    return Prepared(frame, batch, count, camera.width, camera.height)


def _check_layout(buffers: SplatBuffers, inputs: tuple[Tensor, ...], camera: Camera) -> None:
    """Raise ValueError unless the kernels can use these very tensors, without a copy."""
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
