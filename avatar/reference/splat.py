"""Reference of Gaussian splatting."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from avatar.geometry.rotations import quat_to_matrix
from avatar.types import Camera

from .layer import DEPTH_MARGIN, SOLID, LayerImages, SplatLayer, whole_image
from .sh import sh_colors

#: Gaussians with a lower alpha at a pixel are skipped there (half a step of an 8-bit color).
ALPHA_MIN = 1 / 255
#: Upper limit of a Gaussian's alpha, which keeps 1 - alpha away from zero.
ALPHA_MAX = 0.999
#: A pixel whose transmittance is at or below this is finished.
TRANSMITTANCE_MIN = 1e-4
#: Depth is defined where alpha exceeds this; it is below ALPHA_MIN, so it has an effect only without the cutoff.
DEPTH_ALPHA_MIN = 1e-3
#: Limit of the slopes x/z and y/z in the Jacobian of the projection; independent of the image size, so crops agree.
SLOPE_MAX = 2.0
#: Quaternions with a smaller squared norm have no direction; their Gaussians are culled.
QUAT_NORM2_MIN = 1e-24


@dataclass(frozen=True)
class SplatOutput:
    """Output of `splat`: images over black and, if requested, each Gaussian's blend weight."""

    rgb: Tensor  # [B,H,W,3] premultiplied
    alpha: Tensor  # [B,H,W] 0..1
    depth: Tensor | None  # [B,H,W] meters along the camera axis, alpha-weighted mean, 0 on the background
    weights: Tensor | None  # [B,N] blend weight summed over pixels, no gradient
    prepared: object  # handle for `splat_features`


@dataclass(frozen=True)
class SplatSettings:
    """Keyword arguments of `splat` and `splat_into` that the projection needs; described in `avatar.ops.splat`."""

    near: float = 0.01
    dilation: float = 0.3
    antialias: bool = False
    cutoff: bool = True


@dataclass(frozen=True)
class Projected:
    """Gaussians projected to the image planes of a batch of cameras."""

    means: Tensor  # [B,N,2] pixels
    conics: Tensor  # [B,N,3] xx, xy, yy of the inverse covariance, 1/pixels^2
    opacities: Tensor  # [B,N]
    depths: Tensor  # [B,N] meters along the camera axis
    visible: Tensor  # [B,N] bool
    width: int
    height: int
    cutoff: bool
    layer: SplatLayer | None = None


def project(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    camera: Camera,
    *,
    near: float = 0.01,
    dilation: float = 0.3,
    antialias: bool = False,
    cutoff: bool = True,
) -> Projected:
    """Project Gaussians to the image plane (EWA splatting, Zwicker et al. 2001, section 4).

    A Gaussian is culled when any of its values is not finite, its center is not beyond `near`, its quaternion has zero
    length, its opacity is not positive or its covariance overflows.

    Args:
        means: [B,N,3] meters, world.
        quats: [B,N,4] wxyz, normalized here.
        scales: [B,N,3] meters.
        opacities: [B,N] 0..1.
        camera: B pinhole cameras.
        near: meters along the camera axis.
        dilation: pixels^2 added to the diagonal of the projected covariance.
        antialias: as for `avatar.ops.splat`.
        cutoff: as for `avatar.ops.splat`.

    Returns:
        The projected Gaussians.
    """
    world_to_cam = camera.world_to_cam.to(means)
    numbers = torch.cat([means, quats, scales, opacities[..., None]], -1)
    usable = numbers.isfinite().all(-1) & ((quats * quats).sum(-1) > QUAT_NORM2_MIN) & (opacities > 0)
    rotation = world_to_cam[:, None, :3, :3]
    centers = (rotation @ _keep(means, usable)[..., None]).squeeze(-1) + world_to_cam[:, None, :3, 3]
    visible = usable & (centers[..., 2] > near)
    centers = torch.where(visible[..., None], centers, centers.new_tensor([0.0, 0.0, 1.0]))
    unit = torch.nn.functional.normalize(
        torch.where(visible[..., None], quats, quats.new_tensor([1.0, 0.0, 0.0, 0.0])), dim=-1
    )
    spread = rotation @ quat_to_matrix(unit) * _keep(scales, visible)[..., None, :]
    focal = torch.stack([camera.K[:, 0, 0], camera.K[:, 1, 1]], -1).to(means)[:, None]
    principal = camera.K[:, None, :2, 2].to(means)
    slopes = centers[..., :2] / centers[..., 2:]
    magnify = focal / centers[..., 2:]
    clamped = slopes.clamp(-SLOPE_MAX, SLOPE_MAX)
    rows = magnify[..., None] * (spread[..., :2, :] - clamped[..., None] * spread[..., 2:, :])  # [B,N,2,3]
    return _projected_from_rows(
        rows,
        slopes * focal + principal,
        centers[..., 2],
        _keep(opacities, visible),
        visible,
        (camera.width, camera.height),
        dilation,
        antialias,
        cutoff,
    )


def _keep(values: Tensor, mask: Tensor) -> Tensor:
    """`values` with zeros (and zero gradients) where `mask` is false, also in place of non-finite values."""
    while mask.ndim < values.ndim:
        mask = mask[..., None]
    return torch.where(mask, values, torch.zeros_like(values))


def _projected_from_rows(
    rows: Tensor,
    centers: Tensor,
    depths: Tensor,
    opacities: Tensor,
    visible: Tensor,
    size: tuple[int, int],
    dilation: float,
    antialias: bool,
    cutoff: bool,
) -> Projected:
    """Conics from the rows [B,N,2,3] of the projected square-root covariance, in pixels.

    Args:
        rows: [B,N,2,3] pixels.
        centers: [B,N,2] pixels.
        depths: [B,N] meters.
        opacities: [B,N].
        visible: [B,N] bool.
        size: width and height in pixels.
        dilation: pixels^2.
        antialias: scale opacities by the change of the determinant.
        cutoff: stored for the rasterizer.

    Returns:
        The projected Gaussians.
    """
    first, second = rows.unbind(-2)
    xx = (first * first).sum(-1)
    yy = (second * second).sum(-1)
    xy = (first * second).sum(-1)
    cross = torch.linalg.cross(first, second)
    sharp = (cross * cross).sum(-1)  # determinant before dilation; this form does not cancel
    det = sharp + dilation * (xx + yy) + dilation * dilation
    visible = visible & det.isfinite() & (det > 0)
    det = torch.where(visible, det, torch.ones_like(det))
    conics = torch.stack([yy + dilation, -xy, xx + dilation], -1) / det[..., None]
    if antialias:
        ratio = torch.where(visible & (sharp > 0), sharp / det, torch.ones_like(det))
        opacities = torch.where(sharp > 0, opacities * ratio.sqrt(), torch.zeros_like(opacities))
    return Projected(centers, _keep(conics, visible), opacities, depths, visible, *size, cutoff)


def rasterize(projected: Projected, colors: Tensor, with_weights: bool = False) -> SplatOutput:
    """Blend Gaussians front to back at the pixel centers, and the layer behind them; `colors` [B,N,3]."""
    batch = colors.shape[0]
    height = projected.height
    width = projected.width
    usable = projected.visible & colors.isfinite().all(-1)
    order = torch.where(usable, projected.depths, torch.inf).argsort(dim=-1, stable=True)
    layer = projected.layer
    images = None if layer is None else whole_image(layer.images, width, height)
    alpha = torch.where(usable[..., None], _alphas(projected), 0.0)
    if layer is not None and images is not None:
        alpha = alpha * _kept(projected.depths, layer.fades, images)
    alpha = alpha.gather(1, order[..., None].expand(-1, -1, height * width))
    transmittance_min = TRANSMITTANCE_MIN if projected.cutoff else -1.0
    before = _transmittance(alpha)[:, :-1]
    alpha = torch.where(before > transmittance_min, alpha, torch.zeros_like(alpha))
    transmittance = _transmittance(alpha)
    blend = alpha * transmittance[:, :-1]  # [B,N,P] blend weights
    fields = torch.cat([_keep(colors, usable), _keep(projected.depths, usable)[..., None]], -1)
    fields = fields.gather(1, order[..., None].expand(-1, -1, 4))
    sums = torch.einsum("bnp,bnc->bpc", blend, fields)
    left = transmittance[:, -1]
    if images is not None:
        coverage = images.coverage.flatten(1)
        depth = images.depth.flatten(1)
        color = torch.cat([images.color.flatten(1, 2), (coverage * depth)[..., None]], -1)
        sums = sums + left[..., None] * color
        left = left * (1 - coverage)
    opaque = 1 - left
    solid = opaque > DEPTH_ALPHA_MIN
    depth = torch.where(solid, sums[..., 3] / torch.where(solid, opaque, torch.ones_like(opaque)), 0.0)
    weights = None
    if with_weights:
        weights = torch.zeros_like(projected.depths).scatter(1, order, blend.detach().sum(-1)).detach()
    return SplatOutput(
        sums[..., :3].reshape(batch, height, width, 3),
        opaque.reshape(batch, height, width),
        depth.reshape(batch, height, width),
        weights,
        projected,
    )


def _kept(depths: Tensor, fades: Tensor, images: LayerImages) -> Tensor:
    """Factor [B,N,P] of the alpha of each Gaussian at each pixel in front of a layer over the whole image."""
    depth = images.depth.flatten(1)[:, None].detach()
    stencil = images.stencil.flatten(1)[:, None].detach()
    open_behind = (depth == 0) | (images.coverage.flatten(1)[:, None].detach() < SOLID)
    in_front = open_behind | (depths.detach()[..., None] <= depth + DEPTH_MARGIN)
    return in_front * (1 - stencil * fades.detach()[..., None])


def _alphas(projected: Projected) -> Tensor:
    """Alpha [B,N,P] of each Gaussian at each pixel, limited by ALPHA_MIN and ALPHA_MAX."""
    like = projected.means
    rows = torch.arange(projected.height, dtype=like.dtype, device=like.device) + 0.5
    columns = torch.arange(projected.width, dtype=like.dtype, device=like.device) + 0.5
    y, x = (axis.reshape(-1) for axis in torch.meshgrid(rows, columns, indexing="ij"))
    dx = x - projected.means[..., :1]
    dy = y - projected.means[..., 1:]
    xx, xy, yy = (part[..., None] for part in projected.conics.unbind(-1))
    raw = projected.opacities[..., None] * torch.exp(-0.5 * (xx * dx * dx + yy * dy * dy) - xy * dx * dy)
    if projected.cutoff:
        raw = torch.where(raw >= ALPHA_MIN, raw, torch.zeros_like(raw))
    return raw.clamp_max(ALPHA_MAX)


def _transmittance(alpha: Tensor) -> Tensor:
    """Transmittance [B,N+1,P] before each of the N Gaussians, and after the last."""
    first = torch.ones_like(alpha[:, :1]) if alpha.shape[1] else alpha.new_ones(alpha.shape[0], 1, alpha.shape[2])
    return torch.cat([first, 1 - alpha], 1).cumprod(1)


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
    """Reference of `avatar.ops.splat`, with the same arguments."""
    values = asdict(SplatSettings(**settings))  # type: ignore[arg-type]
    projected = project(means, quats, scales, opacities, camera, **values)
    projected = replace(projected, layer=layer)
    if colors.ndim == 4:
        usable = projected.visible & colors.isfinite().all(-1).all(-1)
        projected = replace(projected, visible=usable)
        colors = sh_colors(_keep(colors, usable), _keep(means, usable), camera)
    out = rasterize(projected, colors, with_weights)
    return out if with_depth else replace(out, depth=None)


def splat_features(prepared: Projected, colors: Tensor, layer_colors: Tensor | None = None) -> Tensor:
    """Reference of `avatar.ops.splat_features`, with the same arguments."""
    if prepared.layer is not None:
        images = prepared.layer.images
        color = torch.zeros_like(images.color) if layer_colors is None else layer_colors
        prepared = replace(prepared, layer=replace(prepared.layer, images=replace(images, color=color)))
    return rasterize(prepared, colors).rgb.detach()
