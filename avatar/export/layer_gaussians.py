"""Gaussians in place of the mesh layer, for programs that render Gaussians only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.geometry.rotations import SH_C0, matrix_to_quat, triangle_frames
from avatar.types import Gaussians, LayerMesh

#: Opacity of a Gaussian of the layer, and its standard deviations: along a face relative to the square root of its
#: area, so that neighbors leave no gap, and along its normal in meters.
OPACITY = 0.98
SPREAD = 0.6
THICKNESS = 1e-4


@dataclass(frozen=True)
class FaceGaussians:
    """A flat Gaussian at the centroid of each of M faces of a layer, in the frame of the face; opacity `OPACITY`."""

    faces: Tensor  # [M,3] int64 vertices
    corners: Tensor  # [M,3,3] meters
    scales: Tensor  # [M,3] meters, along the axes of `triangle_frames`
    colors: Tensor  # [M,3] sRGB, mean of the face

    @staticmethod
    def of(mesh: LayerMesh, vertices: Tensor, shade: Tensor, texels: Tensor) -> FaceGaussians:
        """The Gaussians of the faces of `mesh` that have an area.

        Args:
            mesh: of the layer.
            vertices: [V,3] meters.
            shade: [V] factor of the colors.
            texels: [T,3] colors.
        """
        corners = vertices[mesh.faces]
        edges = corners[:, 1:] - corners[:, :1]
        size = (0.5 * torch.linalg.cross(edges[:, 0], edges[:, 1]).norm(dim=1)).sqrt()
        kept = size > 0
        faces = mesh.faces[kept]
        size = size[kept]
        colors = texels[mesh.texel_ids[kept]].mean(1) * shade[faces].mean(1)[:, None]
        scales = torch.stack([SPREAD * size, SPREAD * size, torch.full_like(size, THICKNESS)], 1)
        return FaceGaussians(faces, corners[kept], scales, colors)

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def sh(self) -> Tensor:
        """Spherical harmonics [M,3] of degree 0."""
        return (self.colors - 0.5) / SH_C0


@torch.no_grad()
def with_layer(gaussians: Gaussians) -> Gaussians:
    """`gaussians` [1,N] followed by a flat Gaussian for each face of their mesh layer; as they are without a layer.

    Each has the mean color of its face in the pose. Other programs do not fade the skin in front of the layer.
    """
    posed = gaussians.layer
    if posed is None:
        return gaussians
    vertices = posed.vertices[0] @ posed.rotation[0].T + posed.translation[0]
    flat = FaceGaussians.of(posed.mesh, vertices, posed.shade[0], posed.texels)
    sh = gaussians.sh.new_zeros(1, len(flat), *gaussians.sh.shape[2:])
    sh[0, :, 0] = flat.sh
    opacities = gaussians.opacities.new_full((1, len(flat)), OPACITY)
    return replace(
        gaussians,
        means=torch.cat([gaussians.means, flat.corners.mean(1)[None]], 1),
        quats=torch.cat([gaussians.quats, matrix_to_quat(triangle_frames(flat.corners))[None]], 1),
        scales=torch.cat([gaussians.scales, flat.scales[None]], 1),
        opacities=torch.cat([gaussians.opacities, opacities], 1),
        sh=torch.cat([gaussians.sh, sh], 1),
        layer=None,
    )
