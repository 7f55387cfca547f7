"""Reference of the layer: a textured mesh that is seen through Gaussians."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.types import LayerMesh

from .mesh import mesh

#: Sub-triangles along an edge of a triangle; its texels are the nodes of that grid.
TEXEL_STEPS = 4
#: Nodes (i, j) of the grid at barycentrics (i, j, TEXEL_STEPS - i - j) / TEXEL_STEPS, in the order of `texel_ids`.
TEXEL_NODES = tuple((i, j) for i in range(TEXEL_STEPS + 1) for j in range(TEXEL_STEPS + 1 - i))
#: Meters behind the layer from which on Gaussians are skipped, at pixels that it covers by SOLID or more: where it
#: fades out behind the skin, what is behind shows through the Gaussians as it does beside the layer.
DEPTH_MARGIN = 0.002
SOLID = 0.99
#: The layer ends behind the skin at this many times the second fade of its face, and starts to fade out at that.
HIDDEN_REACH = 3
#: Samples of a pixel along each axis.
SUPERSAMPLE = 2
#: Pixels beyond the image that are rasterized for the blur and the stencil, so that crops of an image agree with it.
#: A point of the layer further than this from the skin has stencil 1, and the blur is cut off there.
MARGIN = 32


@dataclass(frozen=True)
class LayerImages:
    """A window of the images of a layer; outside the window there is no layer. Only `color` has a gradient."""

    color: Tensor  # [B,h,w,3] premultiplied with coverage: 0 where that is 0
    coverage: Tensor  # [B,h,w] 0..1
    depth: Tensor  # [B,h,w] meters along the camera axis, nearest sample; 0 where no layer is
    stencil: Tensor  # [B,h,w] 0..1, how far Gaussians of the skin fade, where the layer is in front of the skin
    origin: Tensor  # [B,2] int32, x and y of the window's first pixel


def layer(
    vertices_cam: Tensor,
    shade: Tensor,
    texels: Tensor,
    mesh_: LayerMesh,
    K: Tensor,
    width: int,
    height: int,
    *,
    blur: float = 0.0,
    near: float = 0.01,
) -> LayerImages:
    """Reference of `avatar.ops.layer`, with the same arguments; the window is the whole image."""
    batch = len(vertices_cam)
    step = SUPERSAMPLE
    rows = (height + 2 * MARGIN) * step
    columns = (width + 2 * MARGIN) * step
    shift = torch.tensor([[step, 0, step * MARGIN], [0, step, step * MARGIN], [0, 0, 1]]).to(vertices_cam)
    points = vertices_cam.detach()
    K = K.to(vertices_cam)
    face, bary, depth = mesh(points, mesh_.faces, shift @ K, columns, rows, near)
    _, _, skin_depth = mesh(points, mesh_.skin, shift @ K, columns, rows, near)
    covered = face >= 0
    index = face.clamp_min(0).long()
    fades = mesh_.fades.double()[index] if len(mesh_.faces) else bary[..., :2]
    skin = covered & (fades[..., 1] <= 0)
    seen = covered & ~skin & ((skin_depth == 0) | (depth <= skin_depth))
    scale = pixels_per_meter(points, mesh_.faces, K, near)
    keep, stencil = _faded(seen, fades, scale)
    keep = torch.where(skin, 1.0, keep * covered)
    color = _sample(index, bary, shade, texels, mesh_) * keep[..., None].to(bary)
    fields = torch.cat([color, keep[..., None].to(color)], -1)
    blurred = torch.stack([_blurred(_averaged(fields[b]), blur * scale[b]) for b in range(batch)])
    nearest = _nearest(depth, keep > 0)
    stencil = torch.stack([_averaged(image[..., None].to(color))[..., 0] for image in stencil])
    inside = slice(MARGIN, MARGIN + height), slice(MARGIN, MARGIN + width)
    blurred = blurred[:, inside[0], inside[1]]
    return LayerImages(
        blurred[..., :3].contiguous(),
        blurred[..., 3].detach().contiguous(),
        nearest[:, inside[0], inside[1]].contiguous(),
        stencil[:, inside[0], inside[1]].contiguous(),
        torch.zeros(batch, 2, dtype=torch.int32, device=color.device),
    )


def _nearest(depth: Tensor, covered: Tensor) -> Tensor:
    """Depth of the nearest covered sample of each pixel, 0 where none is, from that of samples [B,h,w]."""
    batch, rows, columns = depth.shape
    blocks = (batch, rows // SUPERSAMPLE, SUPERSAMPLE, columns // SUPERSAMPLE, SUPERSAMPLE)
    return torch.where(covered, depth, torch.inf).reshape(blocks).amin((2, 4)).nan_to_num(posinf=0.0)


def pixels_per_meter(points: Tensor, faces: Tensor, K: Tensor, near: float) -> list[float]:
    """Pixels of a meter at the mean depth of the corners of `faces` beyond `near`; 0 where there are none."""
    found = []
    for b in range(len(points)):
        depth = points[b, faces.reshape(-1), 2]
        depth = depth[depth.isfinite() & (depth > near)]
        found.append(float(K[b, 0, 0] / depth.double().mean()) if len(depth) else 0.0)
    return found


def _faded(seen: Tensor, fades: Tensor, scale: list[float]) -> tuple[Tensor, Tensor]:
    """Coverage and stencil [B,h,w] of the samples.

    Args:
        seen: [B,h,w] bool, the layer is in front of the skin.
        fades: [B,h,w,2] meters, of the face of each sample.
        scale: pixels per meter of each image.
    """
    keep = []
    stencil = []
    for b in range(len(seen)):
        start, end = fades[b].unbind(-1)
        inward, away = (_meters(_distance(mask), scale[b]) for mask in (seen[b], ~seen[b]))
        stencil.append((1 - (1 - _smooth_step((inward - start) / (end - start))) ** 2) * seen[b])
        keep.append(torch.where(seen[b], 1.0, 1 - _smooth_step((away - end) / ((HIDDEN_REACH - 1) * end))))
    return torch.stack(keep), torch.stack(stencil)


def _meters(samples: Tensor, pixels_per_meter: float) -> Tensor:
    return (
        (samples - 0.5) / (SUPERSAMPLE * pixels_per_meter) if pixels_per_meter else torch.full_like(samples, torch.inf)
    )


def _smooth_step(t: Tensor) -> Tensor:
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def _distance(seen: Tensor) -> Tensor:
    """Distance of each sample [h,w] to the nearest one that is not seen, in samples; infinite beyond the margin."""
    limit = MARGIN * SUPERSAMPLE
    hidden = (~seen).nonzero().double()
    found = torch.full(seen.shape, torch.inf, dtype=torch.float64)
    rows = seen.nonzero()
    if len(hidden) and len(rows):
        for part in rows.split(1024):
            nearest = torch.cdist(part.double(), hidden, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
            found[part[:, 0], part[:, 1]] = torch.where(nearest >= limit, torch.inf, nearest)
    return found


def _sample(face: Tensor, bary: Tensor, shade: Tensor, texels: Tensor, mesh_: LayerMesh) -> Tensor:
    """Color [B,H,W,3] of the samples: linear within each sub-triangle of a face."""
    if not len(mesh_.faces) or not len(texels):
        return bary * 0
    number = {node: k for k, node in enumerate(TEXEL_NODES)}
    table = torch.tensor([[number.get((i, j), 0) for j in range(TEXEL_STEPS + 2)] for i in range(TEXEL_STEPS + 2)])
    x = bary[..., 0].clamp(0, 1) * TEXEL_STEPS
    y = bary[..., 1].clamp(0, 1) * TEXEL_STEPS
    i = x.floor().clamp_max(TEXEL_STEPS - 1)
    j = torch.minimum(y.floor(), TEXEL_STEPS - 1 - i).clamp_min(0)
    x = x - i
    y = y - j
    i = i.long()
    j = j.long()
    low = x + y <= 1
    nodes = torch.where(
        low[..., None],
        torch.stack([table[i, j], table[i + 1, j], table[i, j + 1]], -1),
        torch.stack([table[i + 1, j + 1], table[i, j + 1], table[i + 1, j]], -1),
    )
    one = torch.where(low, 1 - x - y, x + y - 1)
    two = torch.where(low, x, 1 - x)
    three = torch.where(low, y, 1 - y)
    weights = torch.stack([one, two, three], -1).clamp(0, 1)
    ids = mesh_.texel_ids[face].gather(-1, nodes)
    corners = torch.stack([shade[b][mesh_.faces[face[b]]] for b in range(len(face))])
    return (texels[ids] * weights[..., None]).sum(-2) * (corners * bary).sum(-1, keepdim=True)


def _averaged(image: Tensor) -> Tensor:
    """Mean of the samples [h s,w s,C] of each pixel: [h,w,C]."""
    step = SUPERSAMPLE
    rows, columns, channels = image.shape
    return image.reshape(rows // step, step, columns // step, step, channels).mean((1, 3))


def blur_weights(sigma: float) -> list[float]:
    """Weights of a normalized Gaussian from -r to r pixels, r = ceil(3 sigma), at most MARGIN."""
    radius = min(math.ceil(3 * sigma), MARGIN)
    weights = [math.exp(-0.5 * (k / sigma) ** 2) if sigma else 1.0 for k in range(-radius, radius + 1)]
    return [weight / sum(weights) for weight in weights]


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of an image [h,w,C] over zero, `sigma` in pixels."""
    weights = torch.tensor(blur_weights(sigma), dtype=image.dtype, device=image.device)
    radius = len(weights) // 2
    if not radius:
        return image
    for axis in (0, 1):
        padding = (0, 0, radius, radius, 0, 0) if axis == 1 else (0, 0, 0, 0, radius, radius)
        image = torch.nn.functional.pad(image, padding).unfold(axis, len(weights), 1) @ weights
    return image


@dataclass(frozen=True)
class SplatLayer:
    """The layer behind the Gaussians of a splat."""

    images: LayerImages
    fades: Tensor  # [B,N] 0..1 factor of the stencil for each Gaussian: 1 on the skin, 0 for hair and glasses


def whole_image(images: LayerImages, width: int, height: int) -> LayerImages:
    """The same images with a window of the whole `width` x `height` pixels."""
    rows, columns = images.coverage.shape[1:]
    origin = images.origin.tolist()
    places = []
    for b, (x, y) in enumerate(origin):
        inside_y = [y + k for k in range(rows) if 0 <= y + k < height]
        inside_x = [x + k for k in range(columns) if 0 <= x + k < width]
        places.append((b, x, y, inside_x, inside_y))

    def placed(values: Tensor) -> Tensor:
        out = []
        for b, x, y, inside_x, inside_y in places:
            image = values.new_zeros(height, width, *values.shape[3:])
            if inside_x and inside_y:
                part = values[b, inside_y[0] - y : inside_y[-1] - y + 1, inside_x[0] - x : inside_x[-1] - x + 1]
                padding = (inside_x[0], width - 1 - inside_x[-1], inside_y[0], height - 1 - inside_y[-1])
                image = torch.nn.functional.pad(part, (0, 0) * (values.ndim - 3) + padding)
            out.append(image)
        return torch.stack(out)

    return LayerImages(
        placed(images.color),
        placed(images.coverage),
        placed(images.depth),
        placed(images.stencil),
        torch.zeros_like(images.origin),
    )


def texel_colors(start: Tensor, part: Tensor, factors: Tensor, own: Tensor) -> Tensor:
    """Reference of `avatar.ops.texel_colors`."""
    return start * factors[part] + own
