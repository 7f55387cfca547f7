"""Gaussian splatting: projection, sorting, tiling and blending, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.reference import SplatLayer, SplatOutput, SplatSettings
from avatar.types import Camera, check_shape

from .backend import native_for
from .checks import check_floats, check_sh_terms
from .frames import Frame, LayerArrays, SplatCall, SplatImages, render


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
        ctx: Any,
        call: SplatCall,
        images: SplatImages,
        frames: list[Frame],
        layer: LayerArrays | None,
        layer_color: Tensor | None,
        *inputs: Tensor,
    ) -> tuple[Tensor | None, ...]:
        inputs = tuple(tensor.detach().contiguous() for tensor in inputs)
        ctx.frame = render(call, inputs, images, layer)
        frames.append(ctx.frame)
        ctx.layer_shape = None if layer_color is None else layer_color.shape
        ctx.save_for_backward(*inputs, images.rgb, images.alpha, images.depth)
        ctx.set_materialize_grads(False)
        if images.weights is not None:
            ctx.mark_non_differentiable(images.weights)
        return images.rgb, images.alpha, images.depth, images.weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        *inputs, rgb, alpha, depth = ctx.saved_tensors
        out = tuple(torch.empty_like(tensor) for tensor in inputs)
        # Zeros: the window of a layer may extend beyond the image.
        out_layer = rgb.new_zeros(ctx.layer_shape) if ctx.needs_input_grad[4] else None
        contiguous = tuple(None if grad is None else grad.contiguous() for grad in grads[:3])
        ctx.frame.backward(tuple(inputs), SplatImages(rgb, alpha, depth, None), contiguous, out, out_layer)
        return None, None, None, None, out_layer, *out


def _native_splat(
    call: SplatCall, with_depth: bool, with_weights: bool, layer: SplatLayer | None, *inputs: Tensor
) -> SplatOutput:
    batch, count = inputs[3].shape
    images = SplatImages.empty(
        batch, count, call.width, call.height, depth=with_depth, weights=with_weights, like=inputs[0].detach()
    )
    frames: list[Frame] = []
    color = None if layer is None else layer.images.color
    rgb, alpha, depth, weights = _Splat.apply(call, images, frames, layer_arrays(layer), color, *inputs)
    return SplatOutput(rgb, alpha, depth, weights, Prepared(frames[0], batch, count, call.width, call.height))


def layer_arrays(layer: SplatLayer | None) -> LayerArrays | None:
    """The contiguous arrays of a checked layer."""
    if layer is None:
        return None
    images = layer.images
    color, coverage, depth, stencil, fades = (
        value.detach().contiguous()
        for value in (images.color, images.coverage, images.depth, images.stencil, layer.fades)
    )
    return color, coverage, depth, stencil, images.origin.contiguous(), fades


def splat(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    camera: Camera,
    *,
    with_weights: bool = False,
    with_depth: bool = True,
    layer: SplatLayer | None = None,
    **settings: float,
) -> SplatOutput:
    """Render Gaussians by EWA projection and front-to-back alpha blending at the pixel centers.

    Differentiable in `means`, `quats`, `scales`, `opacities`, `colors` and the color of `layer`. A Gaussian with a
    non-finite value, a quaternion of zero length, or a center not beyond `near` is culled and gets zero gradients.

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
        with_weights: also return each Gaussian's blend weight summed over the pixels.
        with_depth: False skips the depth image (None) to save time.
        layer: a mesh that is seen through the Gaussians, from `layer`. At each pixel that it covers (by 0.99 or more)
            Gaussians more than 2 mm deeper are skipped. The alpha of the others is multiplied by 1 - stencil * fade.
            Its color and coverage are blended last, with the transmittance of all Gaussians.
        settings: fields of `SplatSettings`:
            near (0.01): meters along the camera axis; Gaussians not beyond it are culled.
            dilation (0.3): pixels^2 added to the diagonal of the projected covariance.
            antialias (False): scale the opacity so that dilation does not brighten small Gaussians (Mip-Splatting, Yu
            et al. 2024).
            cutoff (True): False disables alpha_min (1/255) and transmittance_min, for finite differences; slow.

    Returns:
        Images of B cameras, and the handle for `splat_features`.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_splat(means, quats, scales, opacities, colors, camera)
    check_layer(means, layer)
    if native_for(means) is not None:
        call = call_of(SplatSettings(**settings), camera.K.to(means), camera.world_to_cam.to(means), camera)  # type: ignore[arg-type]
        return _native_splat(call, with_depth, with_weights, layer, means, quats, scales, opacities, colors)
    return reference.splat(
        means,
        quats,
        scales,
        opacities,
        colors,
        camera,
        with_weights=with_weights,
        with_depth=with_depth,
        layer=layer,
        **settings,
    )


def call_of(settings: SplatSettings, intrinsics: Tensor, world_to_cam: Tensor, camera: Camera) -> SplatCall:
    """The arguments of a splat without gradients.

    Args:
        settings: of the rasterizer.
        intrinsics: [B,3,3] pixels, on the device of the Gaussians.
        world_to_cam: [B,4,4], on the device of the Gaussians.
        camera: gives the size of the images.
    """
    return SplatCall(
        intrinsics.contiguous(),
        world_to_cam.contiguous(),
        camera.width,
        camera.height,
        settings.near,
        settings.dilation,
        int(settings.antialias) + 2 * int(settings.cutoff),
    )


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


def check_layer(means: Tensor, layer: SplatLayer | None) -> None:
    """Raise ValueError unless `layer` fits Gaussians at `means` [B,N,3]; the text names the argument."""
    if layer is None:
        return
    batch, count = means.shape[:2]
    images = layer.images
    check_shape("layer.images.coverage", images.coverage, (batch, "h", "w"))
    window = tuple(images.coverage.shape)
    check_shape("layer.images.color", images.color, (*window, 3))
    check_shape("layer.images.depth", images.depth, window)
    check_shape("layer.images.stencil", images.stencil, window)
    check_shape("layer.images.origin", images.origin, (batch, 2))
    check_shape("layer.fades", layer.fades, (batch, count))
    if images.origin.dtype != torch.int32 or images.origin.device != means.device:
        raise ValueError(
            f"layer.images.origin: expected torch.int32 on {means.device}, got {images.origin.dtype} on "
            f"{images.origin.device}"
        )
    check_floats(
        means,
        **{"layer.fades": layer.fades},
        **{f"layer.images.{name}": getattr(images, name) for name in ("color", "coverage", "depth", "stencil")},
    )


def splat_features(prepared: object, colors: Tensor, layer_colors: Tensor | None = None) -> Tensor:
    """Blend other per-Gaussian 3-vectors with the projection, depth order and tiles of a previous `splat`; no gradient.

    Args:
        prepared: `SplatOutput.prepared`.
        colors: [B,N,3]; non-finite values are treated as zero.
        layer_colors: [B,h,w,3] in place of the color of the layer that was rendered, premultiplied; None: zero.

    Returns:
        [B,H,W,3] over zero.

    Raises:
        ValueError: a wrong shape, or not a handle of `splat`.
    """
    if isinstance(prepared, Prepared):
        check_shape("colors", colors, (prepared.batch, prepared.count, 3))
        colors = colors.detach().float().contiguous()
        if layer_colors is not None:
            layer_colors = layer_colors.detach().float().contiguous()
        rgb = colors.new_empty(prepared.batch, prepared.height, prepared.width, 3)
        prepared.frame.render_colors(colors, layer_colors, rgb)
        return rgb
    if isinstance(prepared, reference.Projected):
        batch, count = prepared.depths.shape
        check_shape("colors", colors, (batch, count, 3))
        return reference.splat_features(prepared, colors, layer_colors)
    raise ValueError(f"prepared: expected SplatOutput.prepared, got {type(prepared).__name__}")
