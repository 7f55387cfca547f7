"""Gaussians of an avatar in front of the paint on its surface, which take its color where they cover it.

Skin is made of translucent Gaussians at different heights over the mesh. Paint at their mean depth moves as the skin
does in every view, but those in front of it veil it. Each of them takes the color of the paint below it by the fraction
of its extent that is painted; over an edge it loses opacity as well, since behind it there is more skin of its color.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree
from torch import Tensor

from avatar.editing.surface_map import SurfaceMap
from avatar.geometry.rotations import quat_to_matrix, triangle_frames
from avatar.model.avatar import Avatar
from avatar.model.gaussian_set import GaussianSet

_SAMPLES = 16  # points of each Gaussian
_STEP = 2  # texels between two of those that points are assigned to
_FAINT = 0.02  # opacity up to which a Gaussian veils nothing
#: Meters over the paint at which a Gaussian begins to take its color, and takes all of it.
_FROM = -0.0008
_ALL = 0.0002
_EDGE = 1.0  # part of the opacity that a Gaussian over an edge of the paint loses


class Veil:
    """Where the Gaussians of an avatar are over the UV layout of its head at rest."""

    def __init__(
        self, avatar: Avatar, surface: SurfaceMap, rest: Tensor, means: Tensor, frames: Tensor, front: float
    ) -> None:
        """
        Args:
            avatar: whose Gaussians may cover paint.
            surface: the map of its head.
            rest: [V,3] meters, vertices at rest.
            means: [N,3] meters, of the Gaussians at rest.
            frames: [N,3,3] of their triangles at rest.
            front: meters over the mesh from which on a Gaussian is glasses or hair and keeps its color.
        """
        rows, columns = (part * _STEP for part in np.nonzero(surface.outer.numpy()[::_STEP, ::_STEP]))
        face = surface.face[rows, columns]
        bary = surface.bary[rows, columns]
        corners = rest[avatar.head.faces[face]]
        points = (corners * bary[..., None]).sum(1)
        tree = cKDTree(points.numpy())
        nearest = tree.query(means.numpy())[1]
        normals = triangle_frames(corners[nearest])[..., 2]
        over = ((means - points[nearest]) * normals).sum(1)
        take = (over < front) & (over > -front) & (avatar.logit_opacities.sigmoid() > _FAINT)
        #: Indices [M] of the Gaussians near the surface, and their heights [M] over the mesh in meters.
        self.index = take.nonzero()[:, 0]
        self.heights: NDArray[np.float32] = over[take].numpy()
        #: Row and column [M] of the texel below each.
        self.places = rows[nearest[take.numpy()]], columns[nearest[take.numpy()]]
        local = _normal_samples() * avatar.sampling.widened(avatar.log_scales.exp())[take, None]
        turn = frames[take] @ quat_to_matrix(torch.nn.functional.normalize(avatar.quats[take], dim=-1))
        around = means[take, None] + local @ turn.mT
        found = tree.query(around.flatten(0, 1).numpy())[1]
        #: Indices [M,S] in the image of the texels below points of each.
        self.texels = torch.from_numpy((rows * surface.size + columns)[found]).view(len(self.index), _SAMPLES)

    def set_height(self, height: NDArray[np.float32], step: int) -> None:
        """The height of the paint over the mesh, [size / step,size / step] meters, at every step-th texel."""
        at = (np.stack(self.places) - (step - 1) / 2) / step
        over = self.heights - map_coordinates(height, at, order=1, mode="nearest")
        self._weight = torch.from_numpy(((over - _FROM) / (_ALL - _FROM)).clip(0, 1)).float()

    def painted(self, own: GaussianSet, canvas: NDArray[np.uint8]) -> GaussianSet:
        """The Gaussians `own` of the avatar under the paint of a canvas [size,size,4]; the same bits beside it."""
        paint = torch.from_numpy(canvas).view(-1, 4)
        alpha = paint[:, 3][self.texels]  # [M,S]
        touched = ((alpha.amax(1) > 0) & (self._weight > 0)).nonzero()[:, 0]
        if not len(touched):
            return own
        values = paint[self.texels[touched]].float() / 255  # [T,S,4]
        covered = values[..., 3].mean(1, keepdim=True)
        color = (values[..., :3] * values[..., 3:]).mean(1) / covered.clamp_min(1e-6)
        rows = self.index[touched]
        weight = self._weight[touched]
        colors = own.local.colors.clone()
        logit_opacities = own.local.logit_opacities.clone()
        colors[rows] += covered * weight[:, None] * (color - colors[rows])
        part = covered[:, 0] / values[..., 3].amax(1)
        kept = (1 - weight * _EDGE * 4 * part * (1 - part)).clamp_min(1e-3)
        logit_opacities[rows] = (logit_opacities[rows].sigmoid() * kept).logit()
        return replace(own, local=replace(own.local, colors=colors, logit_opacities=logit_opacities))


def _normal_samples() -> Tensor:
    """Points [_SAMPLES,3] of a normal distribution with the mean 0."""
    uniform = torch.quasirandom.SobolEngine(3).draw(_SAMPLES + 1)[1:].clamp(0.01, 0.99)
    points = torch.erfinv(2 * uniform - 1) * 2**0.5
    points = points - points.mean(0)
    return points / points.square().mean(0).sqrt()
