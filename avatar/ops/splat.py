"""Splatting: projection, sorting, tiling and blending, forward and backward."""

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
from .frames import Frame, Pictures, SplatCall, draw


@dataclass(frozen=True)
class Prepared:
    """Splats projected, sorted and tiled by the native kernels, for `splat_features`."""

    frame: Frame
    batch: int
    count: int
    width: int
    height: int


class _Splat(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, call: SplatCall, wanted: Pictures, keep: list[Frame], *inputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        inputs = tuple(tensor.detach().contiguous() for tensor in inputs)
        ctx.frame = draw(call, inputs, wanted)
        keep.append(ctx.frame)
        ctx.save_for_backward(*inputs, wanted.rgb, wanted.alpha, wanted.depth)
        ctx.set_materialize_grads(False)
        if wanted.weights is not None:
            ctx.mark_non_differentiable(wanted.weights)
        return wanted.rgb, wanted.alpha, wanted.depth, wanted.weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        *inputs, rgb, alpha, depth = ctx.saved_tensors
        out = tuple(torch.empty_like(tensor) for tensor in inputs)
        given = tuple(None if grad is None else grad.contiguous() for grad in grads[:3])
        ctx.frame.backward(tuple(inputs), Pictures(rgb, alpha, depth, None), given, out)
        return None, None, None, *out


def _native_splat(call: SplatCall, with_depth: bool, with_weights: bool, *inputs: Tensor) -> SplatOutput:
    batch, count = inputs[3].shape
    wanted = Pictures.empty(
        batch, count, call.width, call.height, depth=with_depth, weights=with_weights, like=inputs[0].detach()
    )
    keep: list[Frame] = []
    rgb, alpha, depth, weights = _Splat.apply(call, wanted, keep, *inputs)
    return SplatOutput(rgb, alpha, depth, weights, Prepared(keep[0], batch, count, call.width, call.height))


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
    """Render Gaussians by projecting them (EWA) and blending front to back at the pixel centers.

    Differentiable in `means`, `quats`, `scales`, `opacities` and `colors`. A Gaussian with any number that is not
    finite, no direction in its quaternion, or its center not beyond `near` is culled and gets zero gradients.

    On a CUDA device this waits once, for the number of (splat, tile) pairs, and runs again in more memory where they
    did not fit. A CUDA graph can capture it nevertheless: then nothing waits, and a frame with more pairs than the
    largest of its shape before has pictures and gradients of NaN. `splat_into` gives the caller that memory in hand.

    Args:
        means: [B,N,3] meters, world.
        quats: [B,N,4] wxyz, normalized here.
        scales: [B,N,3] meters, standard deviations.
        opacities: [B,N] 0..1.
        colors: [B,N,3], or [B,N,D,3] spherical-harmonic coefficients, D = 1, 4, 9 or 16. Those make the color
            max(0, 0.5 + sum of Y_d sh_d) along the direction from the camera's center to the mean, in world axes, with
            the order and signs of 3D Gaussian splatting (Kerbl et al. 2023).
        camera: B pinhole cameras.
        near: meters along the camera axis; what is not beyond is culled.
        dilation: pixels^2 added to the projected covariance's diagonal.
        antialias: scale opacity so that dilation does not brighten small splats (Mip-Splatting, Yu et al. 2024).
        with_weights: also sum each Gaussian's blend weight over the pixels.
        with_depth: False leaves the depth picture out (None) and saves its time.
        cutoff: False keeps alphas under 1/255 and pixels that are nearly opaque, for finite differences; slow.

    Raises:
        ValueError: an argument's shape, dtype or device does not fit; the text names it.
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
    """Raise ValueError unless shapes, dtypes and devices of a splat's arguments fit together."""
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
    """Blend other per-Gaussian 3-vectors with the projection, order and tiles of an earlier `splat`; no gradient.

    Args:
        prepared: `SplatOutput.prepared`.
        colors: [B,N,3], numbers that are not finite count as zero.

    Returns:
        [B,H,W,3] over zero.
    """
    if isinstance(prepared, Prepared):
        check_shape("colors", colors, (prepared.batch, prepared.count, 3))
        colors = colors.detach().float().contiguous()
        rgb = colors.new_empty(prepared.batch, prepared.height, prepared.width, 3)
        prepared.frame.draw_colors(colors, rgb)
        return rgb
    if isinstance(prepared, reference.Projected):
        batch, count = prepared.depths.shape
        check_shape("colors", colors, (batch, count, 3))
        return reference.splat_features(prepared, colors)
    raise ValueError(f"prepared: expected SplatOutput.prepared, got {type(prepared).__name__}")
