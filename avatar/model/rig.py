"""Gaussians bound to triangles of the mesh and skinned to two rigid bones, the skull and the torso."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avatar.geometry.rotations import matrix_to_quat
from avatar.model.stretch import Stretch
from avatar.model.torso import Torso, TorsoMap
from avatar.types import Binding, Bones, PosedHead, VertexStretch


class Rig(nn.Module):
    """The fixed part of the binding: triangle, barycentric coordinates and skinning weight of each Gaussian."""

    def __init__(self, binding: Binding, torso: TorsoMap) -> None:
        """
        Args:
            binding: the points of the mesh that carry the N Gaussians.
            torso: gives the pose of the torso where it is not known.
        """
        super().__init__()
        self.register_buffer("triangles", binding.triangles.to(torch.int64).contiguous())
        self.register_buffer("bary", binding.bary.contiguous())
        self.register_buffer("skin", binding.skin.contiguous())
        self.torso = torso
        self.stretch: Stretch | None = None  # None in avatars of older files: Gaussians keep their size

    triangles: Tensor
    bary: Tensor
    skin: Tensor

    def __len__(self) -> int:
        return len(self.skin)

    @property
    def binding(self) -> Binding:
        """The points of the mesh that carry the Gaussians."""
        return Binding(self.triangles, self.bary, self.skin)

    def vertex_stretch(self, vertices: Tensor) -> VertexStretch | None:
        """Stretch of the mesh with skull-frame vertices [B,V,3]; None where nothing stretches."""
        return None if self.stretch is None else VertexStretch(self.stretch(vertices), self.stretch.rows)

    def posed_head(
        self, vertices: Tensor, rotation: Tensor, translation: Tensor, torso: Torso | None = None
    ) -> PosedHead:
        """The head in B poses, from its mesh and the pose of its skull.

        Args:
            vertices: [B,V,3] meters, skull frame.
            rotation: [B,3,3] skull frame -> world.
            translation: [B,3] meters, origin of the skull frame in the world.
            torso: the torso in the B poses where it is known; None: from the torso map.
        """
        return PosedHead(vertices, rotation, self.bones(rotation, translation, torso))

    def bones(self, rotation: Tensor, translation: Tensor, torso: Torso | None = None) -> Bones:
        """The bones of `posed_head`, with the same arguments."""
        chest = self.torso(rotation, translation) if torso is None else torso.pose(self.torso, rotation, translation)
        quats = matrix_to_quat(torch.stack([rotation, chest.rotation], 1))
        return Bones(quats, torch.stack([translation, chest.translation], 1))
