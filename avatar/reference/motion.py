"""Reference of the normal equations of rigid motions that align rendered images with target images.

A small rigid motion moves the image along a flow given by the depth of each pixel; the image changes by the product of
the flow and the image gradient (Lucas and Kanade 1981). Pixels of the torso must not follow the head's flow: each
pixel moves by the flow of each group of Gaussians times the group's blend weight.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Pixels with a lower alpha use the mean depth and weights of their neighborhood: gradients extend past a silhouette.
SOLID_ALPHA = 0.5
MIN_ALPHA = 1e-3


def rigid_normal(
    rgb: Tensor, alpha: Tensor, target: Tensor, features: Tensor, K: Tensor, pivots: Tensor, sigma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Reference of `avatar.ops.rigid_normal`, with the same arguments."""
    image = rgb + (1 - alpha)[..., None]
    residual = image - target
    cost, weight = geman_mcclure(residual, sigma)
    gx, gy = image_gradients(image)
    xx = (weight[..., None] * gx * gx).sum(-1).flatten(1)[:, None]
    xy = (weight[..., None] * gx * gy).sum(-1).flatten(1)[:, None]
    yy = (weight[..., None] * gy * gy).sum(-1).flatten(1)[:, None]
    rx = (weight[..., None] * gx * residual).sum(-1).flatten(1)[..., None]
    ry = (weight[..., None] * gy * residual).sum(-1).flatten(1)[..., None]
    values = pixel_features(features, alpha)
    blend_weights = (1 - values[..., 1] - values[..., 2], values[..., 1], values[..., 2])
    flows = [rigid_flows(values[..., 0], K, pivots[:, group]) for group in range(pivots.shape[1])]
    u = torch.cat([flow[0] * part[:, None] for flow, part in zip(flows, blend_weights, strict=False)], 1).flatten(2)
    v = torch.cat([flow[1] * part[:, None] for flow, part in zip(flows, blend_weights, strict=False)], 1).flatten(2)
    matrix = (u * xx + v * xy) @ u.transpose(1, 2) + (u * xy + v * yy) @ v.transpose(1, 2)
    return matrix, -(u @ rx + v @ ry)[..., 0], cost


def sampled_normal(
    slopes: Tensor,
    residual: Tensor,
    weight: Tensor,
    points: Tensor,
    K: Tensor,
    pivots: Tensor,
    turn: Tensor,
    motion: Tensor,
    tint: Tensor,
) -> tuple[Tensor, Tensor]:
    """Reference of `avatar.ops.sampled_normal`, with the same arguments."""
    depth = points[:, 2].clamp_min(MIN_ALPHA)
    along = -slopes[:, 0] * (K[:, 0, 0, None] / depth)[:, None]  # [B,3,M] by a shift along x
    down = -slopes[:, 1] * (K[:, 1, 1, None] / depth)[:, None]
    away = -(along * points[:, :1] + down * points[:, 1:2]) / depth[:, None]
    shift = torch.stack([along, down, away], -1)  # [B,3,M,3]
    arm = (points - pivots[..., None]).transpose(1, 2)[:, None].expand_as(shift)
    by_control = torch.einsum("bcmk,bkl,plm->bcmp", shift, turn, motion) + tint.permute(1, 2, 0)
    jacobian = torch.cat([torch.linalg.cross(arm, shift), shift, by_control], -1)
    weighted = (jacobian * weight[:, None, :, None]).flatten(1, 2)
    gradient = (weighted.transpose(1, 2) @ residual.flatten(1)[..., None])[..., 0]
    return weighted.transpose(1, 2) @ jacobian.flatten(1, 2), gradient


def geman_mcclure(residual: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Geman-McClure cost [B] and weights [B,H,W] of residuals [B,H,W,3], squared and summed over the channels.

    The cost of a pixel is s / (sigma^2 + s); its weight, times the residual, is half of the cost's derivative.
    """
    square = residual.square().sum(-1)
    shape = sigma * sigma / (sigma * sigma + square)
    return (1 - shape).sum((1, 2)), shape.square() / (sigma * sigma)


def image_gradients(image: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences [B,H,W,3] of images along x and y, zero on the border."""
    x = torch.zeros_like(image)
    y = torch.zeros_like(image)
    x[:, 1:-1, 1:-1] = 0.5 * (image[:, 1:-1, 2:] - image[:, 1:-1, :-2])
    y[:, 1:-1, 1:-1] = 0.5 * (image[:, 2:, 1:-1] - image[:, :-2, 1:-1])
    return x, y


def pixel_features(features: Tensor, alpha: Tensor) -> Tensor:
    """Mean feature [B,H,W,C] of each pixel: blended features over alpha, for low alpha those of the neighborhood."""
    side = max(3, features.shape[1] // 14) | 1
    values = torch.cat([features, alpha[..., None]], -1).permute(0, 3, 1, 2)
    pooled = F.avg_pool2d(values, side, 1, side // 2).permute(0, 2, 3, 1)
    of_pixel = features / alpha.clamp_min(MIN_ALPHA)[..., None]
    total = pooled[..., -1:]
    nearby = torch.where(total > MIN_ALPHA, pooled[..., :-1] / total.clamp_min(MIN_ALPHA), torch.zeros_like(total))
    return torch.where((alpha >= SOLID_ALPHA)[..., None], of_pixel, nearby)


def rigid_flows(depth: Tensor, K: Tensor, pivot: Tensor) -> tuple[Tensor, Tensor]:
    """Optical flow of unit rotations (1 radian) about `pivot` and unit translations (1 meter).

    Args:
        depth: [B,H,W] meters along the camera axis; zero flow where it is not positive.
        K: [B,3,3] pixels.
        pivot: [B,3] meters, camera axes.

    Returns:
        Flow along x and along y, [B,6,H,W] pixels each.
    """
    height, width = depth.shape[1:]
    x = torch.arange(width, dtype=depth.dtype, device=depth.device) + 0.5
    y = torch.arange(height, dtype=depth.dtype, device=depth.device) + 0.5
    fx = K[:, 0, 0, None, None]
    fy = K[:, 1, 1, None, None]
    cx = K[:, 0, 2, None, None]
    cy = K[:, 1, 2, None, None]
    along = (x[None, None] - cx) / fx  # the ray at depth 1
    down = (y[None, :, None] - cy) / fy
    inverse = torch.where(depth > MIN_ALPHA, 1 / depth.clamp_min(MIN_ALPHA), torch.zeros_like(depth))
    px, py, pz = (pivot[:, k, None, None] for k in range(3))
    rx = along * depth - px
    ry = down * depth - py
    rz = depth - pz
    a = fx * inverse
    c = fy * inverse
    b = -a * along
    d = -c * down
    zero = torch.zeros_like(depth)
    u = torch.stack([b * ry, a * rz - b * rx, -a * ry, a, zero, b], 1)
    v = torch.stack([d * ry - c * rz, -d * rx, c * rx, zero, c, d], 1)
    return u, v
