"""How rendered pictures differ from frames, as normal equations of the rigid motions that would reduce the difference.

A small rigid motion moves the picture along a flow that the depth of each pixel gives; where the flow meets a slope of
the picture, the picture changes by the product (Lucas and Kanade 1981). Pixels of the torso must not follow the head's
flow: each pixel moves with the share of each group of splats that is blended into it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Alpha below which a pixel takes its depth and shares from its neighbors: the slope of a silhouette reaches outwards.
THIN = 0.5
LEAST_ALPHA = 1e-3


def rigid_normal(
    rgb: Tensor, alpha: Tensor, target: Tensor, features: Tensor, K: Tensor, pivots: Tensor, sigma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Matrix [B,D,D], gradient [B,D] and cost [B]; arguments as for `avatar.ops.rigid_normal`."""
    picture = rgb + (1 - alpha)[..., None]
    residual = picture - target
    cost, weight = robust(residual, sigma)
    gx, gy = slopes(picture)
    xx, xy, yy = ((weight[..., None] * p * q).sum(-1).flatten(1)[:, None] for p, q in ((gx, gx), (gx, gy), (gy, gy)))
    rx, ry = ((weight[..., None] * p * residual).sum(-1).flatten(1)[..., None] for p in (gx, gy))
    values = filled(features, alpha)
    shares = (1 - values[..., 1] - values[..., 2], values[..., 1], values[..., 2])
    flows = [rigid_flows(values[..., 0], K, pivots[:, group]) for group in range(pivots.shape[1])]
    u, v = (
        torch.cat([flow[axis] * share[:, None] for flow, share in zip(flows, shares, strict=False)], 1).flatten(2)
        for axis in (0, 1)
    )
    matrix = (u * xx + v * xy) @ u.transpose(1, 2) + (u * xy + v * yy) @ v.transpose(1, 2)
    return matrix, -(u @ rx + v @ ry)[..., 0], cost


def robust(residual: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Geman-McClure cost [B] and weights [B,H,W] for residuals [B,H,W,3] that are summed in square over the channels.

    The cost of a pixel is s / (sigma^2 + s); its weight, times the residual, is half of the cost's derivative.
    """
    square = residual.square().sum(-1)
    shape = sigma * sigma / (sigma * sigma + square)
    return (1 - shape).sum((1, 2)), shape.square() / (sigma * sigma)


def slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences [B,H,W,3] of pictures along x and y, zero on the border."""
    x, y = torch.zeros_like(picture), torch.zeros_like(picture)
    x[:, 1:-1, 1:-1] = 0.5 * (picture[:, 1:-1, 2:] - picture[:, 1:-1, :-2])
    y[:, 1:-1, 1:-1] = 0.5 * (picture[:, 2:, 1:-1] - picture[:, :-2, 1:-1])
    return x, y


def filled(features: Tensor, alpha: Tensor) -> Tensor:
    """Blended per-Gaussian values [B,H,W,C] as means over what a pixel shows; thin pixels take their neighbors'."""
    side = max(3, features.shape[1] // 14) | 1
    values = torch.cat([features, alpha[..., None]], -1).permute(0, 3, 1, 2)
    around = F.avg_pool2d(values, side, 1, side // 2).permute(0, 2, 3, 1)
    own = features / alpha.clamp_min(LEAST_ALPHA)[..., None]
    total = around[..., -1:]
    near = torch.where(total > LEAST_ALPHA, around[..., :-1] / total.clamp_min(LEAST_ALPHA), torch.zeros_like(total))
    return torch.where((alpha >= THIN)[..., None], own, near)


def rigid_flows(depth: Tensor, K: Tensor, pivot: Tensor) -> tuple[Tensor, Tensor]:
    """Picture motion along x and y [B,6,H,W] (pixels) for turns (a radian each) about `pivot` and shifts (a meter).

    Args:
        depth: [B,H,W] meters along the camera axis; no flow where it is not positive.
        K: [B,3,3] pixels.
        pivot: [B,3] meters, camera axes.
    """
    height, width = depth.shape[1:]
    x = torch.arange(width, dtype=depth.dtype, device=depth.device) + 0.5
    y = torch.arange(height, dtype=depth.dtype, device=depth.device) + 0.5
    fx, fy, cx, cy = (K[:, i, j, None, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    along, down = (x[None, None] - cx) / fx, (y[None, :, None] - cy) / fy  # the ray at depth 1
    near = torch.where(depth > LEAST_ALPHA, 1 / depth.clamp_min(LEAST_ALPHA), torch.zeros_like(depth))
    px, py, pz = (pivot[:, k, None, None] for k in range(3))
    rx, ry, rz = along * depth - px, down * depth - py, depth - pz
    a, c = fx * near, fy * near
    b, d = -a * along, -c * down
    zero = torch.zeros_like(depth)
    u = torch.stack([b * ry, a * rz - b * rx, -a * ry, a, zero, b], 1)
    v = torch.stack([d * ry - c * rz, -d * rx, c * rx, zero, c, d], 1)
    return u, v
