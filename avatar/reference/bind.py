"""Reference of the binding of Gaussians to triangles."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.geometry.rotations import matrix_to_quat, quat_multiply, quat_to_matrix, triangle_frames


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
    skull_quat, torso_quat = rotations[:, 0, None], rotations[:, 1, None]
    sign = torch.where((skull_quat * torso_quat).sum(-1, keepdim=True) < 0, -1.0, 1.0).to(vertices)
    rig = torch.nn.functional.normalize((1 - torso) * skull_quat + torso * sign * torso_quat, dim=-1)
    unit = torch.nn.functional.normalize(quats, dim=-1)
    return means, quat_multiply(rig, quat_multiply(matrix_to_quat(frames), unit))
