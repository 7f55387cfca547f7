"""Reference of the mesh rasterizer."""

from __future__ import annotations

import torch
from torch import Tensor


def mesh(
    vertices_cam: Tensor, faces: Tensor, K: Tensor, width: int, height: int, near: float = 0.01
) -> tuple[Tensor, Tensor, Tensor]:
    """Reference of `avatar.ops.mesh`: ray-plane intersections, nearest face by depth, then by index.

    The barycentric weights of the intersection of ray r with triangle (a, b, c) are M^-1 r / sum(M^-1 r), M = [a b c]
    (Olano and Greer 1997): perspective-correct without clipping.
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
        bary = (edges @ rays) / torch.where(flat, torch.ones_like(volume), volume)[..., None]
        total = bary.sum(1)
        depth = torch.where(total > 0, 1 / total, torch.inf)
        hit = ~flat & (bary >= 0).all(1) & (total > 0) & (depth > near) & (depth < best_depth)
        best_depth = torch.where(hit, depth, best_depth)
        best_face = torch.where(hit, face, best_face)
        best_bary = torch.where(hit[..., None], (bary * depth[:, None]).transpose(1, 2), best_bary)
    best_depth = torch.where(best_face >= 0, best_depth, torch.zeros_like(best_depth))
    shape = (batch, height, width)
    return best_face.reshape(shape).int(), best_bary.reshape(*shape, 3), best_depth.reshape(shape)
