"""The native operations in plain PyTorch, any float dtype, dense: their specification and the tests' oracle.

Every function has the signature of its namesake in `avatar.ops`. Nothing here is meant to be fast.
Letters: B batch, N Gaussians, V vertices, F faces, H, W pixels, K bases, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .geometry import matrix_to_quat, quat_multiply, quat_to_matrix, triangle_frames
from .records import Camera

#: Splats weaker than this at a pixel are skipped there (half a step of an 8-bit colour).
ALPHA_MIN = 1 / 255
#: One splat never hides all that is behind it, which keeps 1 - alpha away from zero.
ALPHA_MAX = 0.999
#: A pixel whose transmittance is at or below this takes no further splats.
TRANSMITTANCE_MIN = 1e-4
#: Depth is defined where alpha exceeds this; it lies below ALPHA_MIN, so it matters only without the cutoff.
DEPTH_ALPHA_MIN = 1e-3
#: Slope x/z or y/z at which the Jacobian of the projection is frozen; independent of the raster, so crops agree.
SLOPE_MAX = 2.0
#: Quaternions with a smaller squared norm have no direction; their splats are culled.
QUAT_NORM2_MIN = 1e-24

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2


@dataclass(frozen=True)
class SplatOutput:
    """What `splat` returns: pictures over black and, on request, each Gaussian's part in them."""

    rgb: Tensor  # [B,H,W,3] premultiplied
    alpha: Tensor  # [B,H,W] 0..1
    depth: Tensor  # [B,H,W] metres along the camera axis, alpha-weighted mean, 0 where nothing is
    weights: Tensor | None  # [B,N] blend weight summed over pixels, no gradient
    prepared: object  # handle for `splat_features`


@dataclass(frozen=True)
class Projected:
    """Splats on the image plane of one batch of cameras."""

    means: Tensor  # [B,N,2] pixels
    conics: Tensor  # [B,N,3] xx, xy, yy of the inverse covariance, 1/pixels^2
    opacities: Tensor  # [B,N]
    depths: Tensor  # [B,N] metres along the camera axis
    visible: Tensor  # [B,N] bool
    width: int
    height: int
    cutoff: bool


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
    """Project Gaussians to image-plane splats (EWA splatting, Zwicker et al. 2001, section 4).

    Arguments as for `splat`. A Gaussian is culled when any of its numbers is not finite, its centre is not
    beyond `near`, its quaternion has no direction, its opacity is not positive or its covariance overflows.
    """
    world_to_cam = camera.world_to_cam.to(means)
    numbers = torch.cat([means, quats, scales, opacities[..., None]], -1)
    usable = numbers.isfinite().all(-1) & ((quats * quats).sum(-1) > QUAT_NORM2_MIN) & (opacities > 0)
    rotation = world_to_cam[:, None, :3, :3]
    centres = (rotation @ _keep(means, usable)[..., None]).squeeze(-1) + world_to_cam[:, None, :3, 3]
    visible = usable & (centres[..., 2] > near)
    centres = torch.where(visible[..., None], centres, centres.new_tensor([0.0, 0.0, 1.0]))
    unit = torch.nn.functional.normalize(
        torch.where(visible[..., None], quats, quats.new_tensor([1.0, 0.0, 0.0, 0.0])), dim=-1
    )
    spread = rotation @ quat_to_matrix(unit) * _keep(scales, visible)[..., None, :]
    focal = torch.stack([camera.K[:, 0, 0], camera.K[:, 1, 1]], -1).to(means)[:, None]
    middle = camera.K[:, None, :2, 2].to(means)
    slopes = centres[..., :2] / centres[..., 2:]
    magnify = focal / centres[..., 2:]
    frozen = slopes.clamp(-SLOPE_MAX, SLOPE_MAX)
    rows = magnify[..., None] * (spread[..., :2, :] - frozen[..., None] * spread[..., 2:, :])  # [B,N,2,3]
    return _splats_from_rows(
        rows, slopes * focal + middle, centres[..., 2], _keep(opacities, visible), visible,
        (camera.width, camera.height), dilation, antialias, cutoff,
    )  # fmt: skip


def _keep(values: Tensor, mask: Tensor) -> Tensor:
    """`values` with zeros (and zero gradients) where `mask` is false, whatever stood there."""
    while mask.ndim < values.ndim:
        mask = mask[..., None]
    return torch.where(mask, values, torch.zeros_like(values))


def _splats_from_rows(
    rows: Tensor,
    centres: Tensor,
    depths: Tensor,
    opacities: Tensor,
    visible: Tensor,
    size: tuple[int, int],
    dilation: float,
    antialias: bool,
    cutoff: bool,
) -> Projected:
    """Conics from the rows [B,N,2,3] of the projected square-root covariance, in pixels."""
    first, second = rows.unbind(-2)
    xx, yy = (first * first).sum(-1), (second * second).sum(-1)
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
    return Projected(centres, _keep(conics, visible), opacities, depths, visible, *size, cutoff)


def rasterize(projected: Projected, colors: Tensor, with_weights: bool = False) -> SplatOutput:
    """Blend splats front to back at the pixel centres; `colors` [B,N,3]."""
    batch = colors.shape[0]
    height, width = projected.height, projected.width
    usable = projected.visible & colors.isfinite().all(-1)
    order = torch.where(usable, projected.depths, torch.inf).argsort(dim=-1, stable=True)
    alpha = torch.where(usable[..., None], _alphas(projected), 0.0).gather(
        1, order[..., None].expand(-1, -1, height * width)
    )
    floor = TRANSMITTANCE_MIN if projected.cutoff else -1.0
    before = _transmittance_before(alpha)[:, :-1]
    alpha = torch.where(before > floor, alpha, torch.zeros_like(alpha))
    reached = _transmittance_before(alpha)
    blend = alpha * reached[:, :-1]  # [B,N,P]
    fields = torch.cat([_keep(colors, usable), _keep(projected.depths, usable)[..., None]], -1)
    fields = fields.gather(1, order[..., None].expand(-1, -1, 4))
    sums = torch.einsum("bnp,bnc->bpc", blend, fields)
    opaque = 1 - reached[:, -1]
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


def _alphas(projected: Projected) -> Tensor:
    """Each splat's alpha at each pixel [B,N,P], cut off and clamped."""
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


def _transmittance_before(alpha: Tensor) -> Tensor:
    """[B,N+1,P]: what is left before each of the N splats, and after the last."""
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
    near: float = 0.01,
    dilation: float = 0.3,
    antialias: bool = False,
    with_weights: bool = False,
    cutoff: bool = True,
) -> SplatOutput:
    """Specification of `avatar.ops.splat`."""
    projected = project(
        means, quats, scales, opacities, camera,
        near=near, dilation=dilation, antialias=antialias, cutoff=cutoff,
    )  # fmt: skip
    return rasterize(projected, colors, with_weights)


def splat_features(prepared: Projected, colors: Tensor) -> Tensor:
    """Specification of `avatar.ops.splat_features`."""
    return rasterize(prepared, colors).rgb.detach()


def mesh(
    vertices_cam: Tensor, faces: Tensor, K: Tensor, width: int, height: int, near: float = 0.01
) -> tuple[Tensor, Tensor, Tensor]:
    """Specification of `avatar.ops.mesh`: rays against planes, nearest face by depth, then by index.

    The barycentrics of the hit of ray r with triangle (a, b, c) are M^-1 r / sum(M^-1 r), M = [a b c]
    (Olano and Greer 1997): no clipping, perspective-correct as they stand.
    """
    batch = vertices_cam.shape[0]
    like = vertices_cam
    rows = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5
    columns = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5
    y, x = (axis.reshape(-1) for axis in torch.meshgrid(rows, columns, indexing="ij"))
    pixels = torch.stack([x, y, torch.ones_like(x)], 0)
    rays = torch.linalg.inv(K.to(like)) @ pixels  # [B,3,P], z = 1
    best_depth = like.new_full((batch, height * width), torch.inf)
    best_face = torch.full((batch, height * width), -1, dtype=torch.int32, device=like.device)
    best_bary = like.new_zeros(batch, height * width, 3)
    for face, corners in enumerate(faces.tolist()):
        a, b, c = vertices_cam[:, corners].unbind(1)
        edges = torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], 1)
        volume = (a * edges[:, 0]).sum(-1)[:, None]
        flat = volume == 0
        shares = (edges @ rays) / torch.where(flat, torch.ones_like(volume), volume)[..., None]
        total = shares.sum(1)
        depth = torch.where(total > 0, 1 / total, torch.inf)
        hit = ~flat & (shares >= 0).all(1) & (total > 0) & (depth > near) & (depth < best_depth)
        best_depth = torch.where(hit, depth, best_depth)
        best_face = torch.where(hit, face, best_face)
        best_bary = torch.where(hit[..., None], (shares * depth[:, None]).transpose(1, 2), best_bary)
    best_depth = torch.where(best_face >= 0, best_depth, torch.zeros_like(best_depth))
    shape = (batch, height, width)
    return best_face.reshape(shape).int(), best_bary.reshape(*shape, 3), best_depth.reshape(shape)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Specification of `avatar.ops.ssim` (Wang et al. 2004, 11x11 Gaussian window, zero padding)."""
    offsets = torch.arange(SSIM_WINDOW, dtype=a.dtype, device=a.device) - SSIM_WINDOW // 2
    line = torch.exp(-offsets * offsets / (2 * SSIM_SIGMA**2))
    line = line / line.sum()
    window = torch.outer(line, line).expand(3, 1, -1, -1)

    def blur(image: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(image, window, padding=SSIM_WINDOW // 2, groups=3)

    x, y = a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2).to(a)
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x * mean_x, blur(y * y) - mean_y * mean_y
    covariance = blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x * mean_x + mean_y * mean_y + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (var_x + var_y + SSIM_C2)
    return (luminance * structure).mean((1, 2, 3))


def bind(
    vertices: Tensor,
    triangles: Tensor,
    bary: Tensor,
    offsets: Tensor,
    quats: Tensor,
    skin: Tensor,
    rotations: Tensor,
    translations: Tensor,
) -> tuple[Tensor, Tensor]:
    """Specification of `avatar.ops.bind`."""
    corners = vertices[:, triangles]  # [B,N,3 corners,3]
    frames = triangle_frames(corners)
    local = torch.einsum("nk,bnkc->bnc", bary.to(vertices), corners) + (frames @ offsets[..., None]).squeeze(-1)
    share = skin.to(vertices)[None, :, None]
    moved = local[:, None] @ quat_to_matrix(rotations).transpose(-1, -2) + translations[:, :, None]
    means = (1 - share) * moved[:, 0] + share * moved[:, 1]
    skull, torso = rotations[:, 0, None], rotations[:, 1, None]
    sign = torch.where((skull * torso).sum(-1, keepdim=True) < 0, -1.0, 1.0).to(vertices)
    rig = torch.nn.functional.normalize((1 - share) * skull + share * sign * torso, dim=-1)
    unit = torch.nn.functional.normalize(quats, dim=-1)
    return means, quat_multiply(rig, quat_multiply(matrix_to_quat(frames), unit))


def blend(base: Tensor, basis: Tensor, weights: Tensor) -> Tensor:
    """Specification of `avatar.ops.blend`."""
    return base + torch.einsum("bk,knc->bnc", weights, basis)


def adam_step(
    param: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    lr: float | Tensor,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
) -> None:
    """Specification of `avatar.ops.adam_step` (Kingma and Ba 2015, algorithm 1)."""
    m.mul_(beta1).add_(grad, alpha=1 - beta1)
    v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    rate = lr.reshape(-1, *[1] * (param.ndim - 1)) if isinstance(lr, Tensor) else lr
    update = (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + eps)
    param.sub_(rate * update)
