"""Gaussians in place of the mesh layer, for programs that render Gaussians only."""

from __future__ import annotations

from dataclasses import replace

import torch

from avatar.geometry.rotations import SH_C0, matrix_to_quat, triangle_frames
from avatar.types import Gaussians

#: Opacity of a Gaussian of the layer, and its standard deviations: along a face relative to the square root of its
#: area, so that neighbors leave no gap, and along its normal in meters.
OPACITY, SPREAD, THICKNESS = 0.98, 0.6, 1e-4


@torch.no_grad()
def with_layer(gaussians: Gaussians) -> Gaussians:
    """`gaussians` [1,N] followed by a flat Gaussian for each face of their mesh layer; as they are without a layer.

    Each has the mean color of its face in the pose. Other programs do not fade the skin in front of the layer.
    """
    posed = gaussians.layer
    if posed is None:
        return gaussians
    vertices = posed.vertices[0] @ posed.rotation[0].T + posed.translation[0]
    corners = vertices[posed.mesh.faces]
    edges = corners[:, 1:] - corners[:, :1]
    size = (0.5 * torch.linalg.cross(edges[:, 0], edges[:, 1]).norm(dim=1)).sqrt()
    kept = size > 0
    corners, size = corners[kept], size[kept]
    colors = posed.texels[posed.mesh.texel_ids[kept]].mean(1) * posed.shade[0][posed.mesh.faces[kept]].mean(1)[:, None]
    scales = torch.stack([SPREAD * size, SPREAD * size, torch.full_like(size, THICKNESS)], 1)
    sh = gaussians.sh.new_zeros(1, len(size), *gaussians.sh.shape[2:])
    sh[0, :, 0] = (colors - 0.5) / SH_C0
    return replace(
        gaussians,
        means=torch.cat([gaussians.means, corners.mean(1)[None]], 1),
        quats=torch.cat([gaussians.quats, matrix_to_quat(triangle_frames(corners))[None]], 1),
        scales=torch.cat([gaussians.scales, scales[None]], 1),
        opacities=torch.cat([gaussians.opacities, torch.full_like(size, OPACITY)[None]], 1),
        sh=torch.cat([gaussians.sh, sh], 1),
        layer=None,
    )
