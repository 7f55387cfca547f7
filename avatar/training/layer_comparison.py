"""Differences of training frames from a mesh layer whose vertices are moved and whose parts take the best colors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.rendering.layer import layer_images
from avatar.types import LayerMesh, PosedLayer

#: Pixels count where nothing but the parts is, away from lips or lids: by their part of the pixel, and by the stencil.
_ALONE = 0.9
_CLEAR = 0.6
#: Weight of the difference of the gains of the groups from one for all, relative to that of the images.
_RIDGE = 0.02


@dataclass(frozen=True)
class LayerComparison:
    """Pixels of some frames in which a group of texels of the layer is seen, and what is drawn there."""

    layer: MeshLayer
    frames: TrainingFrames
    groups: Tensor  # [T,G] 0 or 1, group of each texel; texels without a group are not compared

    def pixels(self, index: int) -> Tensor:
        """Pixels [2,n], x and y, of frame `index` that the groups alone fill, unmoved."""
        posed = self._pose(index, self.groups, torch.zeros(()))
        images = layer_images(replace(posed, shade=torch.ones_like(posed.shade)), self.frames.view(index))
        alone = images.color[0].sum(-1) > _ALONE
        y, x = (alone & (images.stencil[0] > _CLEAR)).nonzero(as_tuple=True)
        return torch.stack([x, y]) + images.origin[0][:, None].long()

    def truth(self, index: int, pixels: Tensor) -> Tensor:
        """Colors [n,3] of frame `index` at `pixels` [2,n], 0..1."""
        return self.frames.rgb[index][pixels[1], pixels[0]].double() / 255

    def draw(self, index: int, pixels: Tensor, moved: Tensor) -> Tensor:
        """Brightness [n,G] of each group at `pixels` [2,n] of frame `index`, 0 outside the window of the layer.

        Args:
            index: a frame.
            pixels: x and y.
            moved: [V,3] or [3], meters in the skull frame that are added to the vertices.
        """
        images = layer_images(self._pose(index, self._brightness, moved), self.frames.view(index))
        height, width = images.coverage.shape[1:]
        x, y = pixels - images.origin[0][:, None].long()
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        out = self.groups.new_zeros(pixels.shape[1], self.groups.shape[1])
        out[inside] = images.color[0][y[inside], x[inside]]
        return out.double()

    @cached_property
    def _brightness(self) -> Tensor:
        """[T,G] of the texels of each group."""
        return self.groups * self.layer.start.mean(1, keepdim=True)

    @cached_property
    def _mesh(self) -> LayerMesh:
        """The faces of the groups, and those of the skin."""
        mesh = self.layer.mesh
        faces = self.groups.any(1)[mesh.texel_ids].any(1)
        return replace(mesh, faces=mesh.faces[faces], texel_ids=mesh.texel_ids[faces], fades=mesh.fades[faces])

    def _pose(self, index: int, texels: Tensor, moved: Tensor) -> PosedLayer:
        step = self.frames.step[index : index + 1]
        vertices = self.frames.states.vertices[step] + moved
        rotation = self.frames.states.rotation[step]
        translation = self.frames.states.translation[step]
        posed = self.layer.posed(vertices, rotation, translation, texels.new_ones(0), texels.contiguous())
        return replace(posed, mesh=self._mesh)


def difference(values: Tensor, target: Tensor) -> float:
    """Root mean square of `target` [n,3] minus the best combination of `values` [n,G] for each color."""
    square = values.square().mean()
    total = values.sum(1)
    one = (total @ target) / total.square().sum().clamp_min(1e-9)  # [3] gain of all groups together
    ridge = _RIDGE * len(target) * square * torch.eye(values.shape[1]).double()
    gains = torch.linalg.solve(values.T @ values + ridge, values.T @ target + ridge.sum(1)[:, None] * one)
    return float((values @ gains - target).square().mean().sqrt())
