"""Gaussian splatting: projection, sorting, tiling and blending, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.reference import SplatOutput
from avatar.types import Camera, check_shape

from .backend import native_for
from .checks import check_floats, check_sh_terms
from .frames import Frame, SplatCall, SplatImages, render


@dataclass(frozen=True)
class Prepared:
    """Gaussians projected, sorted and tiled by the native kernels, for `splat_features`."""

    frame: Frame
    batch: int
    count: int
    width: int
    height: int


class _Splat(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, call: SplatCall, images: SplatImages, frames: list[Frame], *inputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        inputs = tuple(tensor.detach().contiguous() for tensor in inputs)
        ctx.frame = render(call, inputs, images)
        frames.append(ctx.frame)
        ctx.save_for_backward(*inputs, images.rgb, images.alpha, images.depth)
        ctx.set_materialize_grads(False)
        if images.weights is not None:
            ctx.mark_non_differentiable(images.weights)
        return images.rgb, images.alpha, images.depth, images.weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        *inputs, rgb, alpha, depth = ctx.saved_tensors
        out = tuple(torch.empty_like(tensor) for tensor in inputs)
        contiguous = tuple(None if grad is None else grad.contiguous() for grad in grads[:3])
        ctx.frame.backward(tuple(inputs), SplatImages(rgb, alpha, depth, None), contiguous, out)
        return None, None, None, *out


def _native_splat(call: SplatCall, with_depth: bool, with_weights: bool, *inputs: Tensor) -> SplatOutput:
    batch, count = inputs[3].shape
    images = SplatImages.empty(
        batch, count, call.width, call.height, depth=with_depth, weights=with_weights, like=inputs[0].detach()
    )
    frames: list[Frame] = []
    rgb, alpha, depth, weights = _Splat.apply(call, images, frames, *inputs)
    return SplatOutput(rgb, alpha, depth, weights, Prepared(frames[0], batch, count, call.width, call.height))


def splat(
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
    with_weights: bool = False,
    with_depth: bool = True,
    cutoff: bool = True,
) -> SplatOutput:
    """Render Gaussians by EWA projection and front-to-back alpha blending at the pixel centers.

    Differentiable in `means`, `quats`, `scales`, `opacities` and `colors`. A Gaussian with a non-finite value, a
    quaternion of zero length, or a center not beyond `near` is culled and gets zero gradients.

    On a CUDA device this synchronizes once to read the number of tile intersections (Gaussian x 16x16 tile), and
    renders again with more memory if they did not fit. During the capture of a CUDA graph it does not synchronize, and
    a frame with more intersections than any frame of its shape before gives NaN images and gradients. With
    `splat_into` the caller controls that memory.

    Args:
        means: [B,N,3] meters, world.
        quats: [B,N,4] wxyz, normalized here.
        scales: [B,N,3] meters, standard deviations.
        opacities: [B,N] 0..1.
        colors: [B,N,3], or [B,N,D,3] spherical-harmonic coefficients, D = 1, 4, 9 or 16. Those make the color
            max(0, 0.5 + sum of Y_d sh_d) for the direction from the camera's center to the mean, in world axes, with
            the order and signs of 3D Gaussian splatting (Kerbl et al. 2023).
        camera: B pinhole cameras.
        near: meters along the camera axis; Gaussians not beyond it are culled.
        dilation: pixels^2 added to the diagonal of the projected covariance.
        antialias: scale the opacity so that dilation does not brighten small Gaussians (Mip-Splatting, Yu et al. 2024).
        with_weights: also return each Gaussian's blend weight summed over the pixels.
        with_depth: False skips the depth image (None) to save time.
        cutoff: False disables alpha_min (1/255) and transmittance_min, for finite differences; slow.

    Returns:
        Images of B cameras, and the handle for `splat_features`.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_splat(means, quats, scales, opacities, colors, camera)
    if native_for(means) is not None:
        call = SplatCall(
            camera.K.to(means).contiguous(), camera.world_to_cam.to(means).contiguous(), camera.width, camera.height,
            near, dilation, int(antialias) + 2 * int(cutoff),
        )  # fmt: skip
        return _native_splat(call, with_depth, with_weights, means, quats, scales, opacities, colors)
    return reference.splat(
        means, quats, scales, opacities, colors, camera,
        near=near, dilation=dilation, antialias=antialias, with_weights=with_weights, with_depth=with_depth,
        cutoff=cutoff,
    )  # fmt: skip


def check_splat(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, camera: Camera
) -> None:
    """Check the arguments of `splat`.

    Args:
        means: [B,N,3].
        quats: [B,N,4].
        scales: [B,N,3].
        opacities: [B,N].
        colors: [B,N,3] or [B,N,D,3].
        camera: B cameras.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("means", means, ("B", "N", 3))
    batch, count = means.shape[:2]
    check_shape("quats", quats, (batch, count, 4))
    check_shape("scales", scales, (batch, count, 3))
    check_shape("opacities", opacities, (batch, count))
    if colors.ndim == 4:
        check_shape("colors", colors, (batch, count, "D", 3))
        check_sh_terms("colors", colors)
    else:
        check_shape("colors", colors, (batch, count, 3))
    check_shape("camera.K", camera.K, (batch, 3, 3))
    check_shape("camera.world_to_cam", camera.world_to_cam, (batch, 4, 4))
    check_floats(means, quats=quats, scales=scales, opacities=opacities, colors=colors)


def splat_features(prepared: object, colors: Tensor) -> Tensor:
    """Blend other per-Gaussian 3-vectors with the projection, depth order and tiles of a previous `splat`; no gradient.

    Args:
        prepared: `SplatOutput.prepared`.
        colors: [B,N,3]; non-finite values are treated as zero.

    Returns:
        [B,H,W,3] over zero.

    Raises:
        ValueError: a wrong shape, or not a handle of `splat`.
    """
    if isinstance(prepared, Prepared):
        check_shape("colors", colors, (prepared.batch, prepared.count, 3))
        colors = colors.detach().float().contiguous()
        rgb = colors.new_empty(prepared.batch, prepared.height, prepared.width, 3)
        prepared.frame.render_colors(colors, rgb)
        return rgb
    if isinstance(prepared, reference.Projected):
        batch, count = prepared.depths.shape
        check_shape("colors", colors, (batch, count, 3))
        return reference.splat_features(prepared, colors)
    raise ValueError(f"prepared: expected SplatOutput.prepared, got {type(prepared).__name__}")
