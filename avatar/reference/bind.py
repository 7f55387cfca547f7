"""Reference of the binding of Gaussians to triangles."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.geometry.rotations import matrix_to_quat, quat_multiply, quat_to_matrix, triangle_frames

from .stretch import tensors_at


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
    """Reference of `avatar.ops.bind`, with the same arguments."""
    corners = vertices[:, triangles]  # [B,N,3 corners,3]
    frames = triangle_frames(corners)
    local = torch.einsum("nk,bnkc->bnc", bary.to(vertices), corners) + (frames @ offsets[..., None]).squeeze(-1)
    torso = skin.to(vertices)[None, :, None]
    moved = local[:, None] @ quat_to_matrix(rotations).transpose(-1, -2) + translations[:, :, None]
    means = (1 - torso) * moved[:, 0] + torso * moved[:, 1]
    skull_quat = rotations[:, 0, None]
    torso_quat = rotations[:, 1, None]
    sign = torch.where((skull_quat * torso_quat).sum(-1, keepdim=True) < 0, -1.0, 1.0).to(vertices)
    rig = torch.nn.functional.normalize((1 - torso) * skull_quat + torso * sign * torso_quat, dim=-1)
    unit = torch.nn.functional.normalize(quats, dim=-1)
    return means, quat_multiply(rig, quat_multiply(matrix_to_quat(frames), unit))


def bind_stretched(
    vertices: Tensor,
    triangles: Tensor,
    bary: Tensor,
    offsets: Tensor,
    quats: Tensor,
    skin: Tensor,
    rotations: Tensor,
    translations: Tensor,
    scales: Tensor,
    tensors: Tensor,
    rows: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Reference of `avatar.ops.bind_stretched`, with the same arguments."""
    plane = triangle_frames(vertices[:, triangles])[..., :2]  # [B,N,3,2] edge and tangent
    stretch = torch.eye(2).to(vertices) + plane.mT @ tensors_at(tensors, rows, triangles, bary) @ plane
    moved = torch.cat([(stretch @ offsets[..., :2, None])[..., 0], offsets[..., 2:]], -1)
    axes = quat_to_matrix(torch.nn.functional.normalize(quats, dim=-1))
    length = torch.cat([stretch @ axes[..., :2, :], axes[..., 2:, :]], -2).norm(dim=-2)
    means, world_quats = bind(vertices, triangles, bary, moved, quats, skin, rotations, translations)
    return means, world_quats, scales * length
