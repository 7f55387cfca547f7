"""Reference of the binding of Gaussians to triangles."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.geometry.rotations import matrix_to_quat, quat_multiply, quat_to_matrix, triangle_frames
from avatar.types import Binding, Bones, DeformedGaussians, VertexStretch

from .stretch import tensors_at


def bind(
    vertices: Tensor,
    binding: Binding,
    local: DeformedGaussians,
    bones: Bones,
    stretch: VertexStretch | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Reference of `avatar.ops.bind`, with the same arguments."""
    corners = vertices[:, binding.triangles]  # [B,N,3 corners,3]
    frames = triangle_frames(corners)
    unit = torch.nn.functional.normalize(local.quats, dim=-1)
    offsets = local.offsets
    scales = local.scales
    if stretch is not None:
        # In the plane of the triangle, whose axes are the first two of the frame.
        plane = frames[..., :2]
        tensors = tensors_at(stretch.tensors, stretch.rows, binding.triangles, binding.bary)
        factor = torch.eye(2).to(vertices) + plane.mT @ tensors @ plane
        offsets = torch.cat([(factor @ offsets[..., :2, None])[..., 0], offsets[..., 2:]], -1)
        axes = quat_to_matrix(unit)
        scales = scales * torch.cat([factor @ axes[..., :2, :], axes[..., 2:, :]], -2).norm(dim=-2)
    points = torch.einsum("nk,bnkc->bnc", binding.bary.to(vertices), corners)
    local_means = points + (frames @ offsets[..., None]).squeeze(-1)
    # Linear blend skinning by the two bones, skull and torso.
    torso = binding.skin.to(vertices)[None, :, None]
    moved = local_means[:, None] @ quat_to_matrix(bones.quats).transpose(-1, -2) + bones.translations[:, :, None]
    means = (1 - torso) * moved[:, 0] + torso * moved[:, 1]
    skull_quat = bones.quats[:, 0, None]
    torso_quat = bones.quats[:, 1, None]
    sign = torch.where((skull_quat * torso_quat).sum(-1, keepdim=True) < 0, -1.0, 1.0).to(vertices)
    rig = torch.nn.functional.normalize((1 - torso) * skull_quat + torso * sign * torso_quat, dim=-1)
    return means, quat_multiply(rig, quat_multiply(matrix_to_quat(frames), unit)), scales
