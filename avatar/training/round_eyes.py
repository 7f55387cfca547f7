"""Eyes alike and round: the texture of the eyeballs is kept close to rings around the pupil in training.

Frames show the same part of an eyeball in almost all poses, its edge under the lids hardly ever. Texel by texel, the
part that is seen becomes darker than the rest, with the outline of the lids: a rectangle that moves with the gaze.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.model.moving import move_attributes
from avatar.model.parts.eye_light import EYES
from avatar.model.parts.mesh_layer import NODE_WEIGHTS, MeshLayer

#: Meters between rings, and number of rings.
SPACING, RINGS = 4e-4, 32
#: Fraction of the difference from the rings that each application removes: streaks of an iris remain in part.
ROUNDING = 0.15
#: Weight of the difference of neighboring rings, relative to the mean evidence of a ring: rings that no frame shows
#: continue the color of those that frames show.
SMOOTHNESS = 0.1


class RoundEyes:
    """Texels of the eyes of one head, and the rings around the pupil that they belong to."""

    def __init__(self, head: HeadModel, layer: MeshLayer) -> None:
        """Args: the baked head, and its layer."""
        eye = head.mask(*EYES[:1])
        of_iris = eye & head.mask("iris")
        faces, ids = layer.mesh.faces, layer.mesh.texel_ids
        rows = eye[faces[:, 0]].nonzero()[:, 0] if of_iris.any() else faces.new_zeros(0)
        points = torch.einsum("nk,fkc->fnc", NODE_WEIGHTS, head.v_template[faces[rows]]).reshape(-1, 3)
        texels, where = ids[rows].flatten().unique(return_inverse=True)
        position = points.new_zeros(len(texels), 3).index_copy_(0, where, points)
        if len(rows):
            pupil = head.v_template[of_iris].mean(0)
            axis = torch.nn.functional.normalize(pupil - head.v_template[eye].mean(0), dim=0)
            away = position - pupil
            distance = (away - (away @ axis)[:, None] * axis).norm(dim=1)
            place = (distance / SPACING).clamp(max=RINGS - 1.001)
            rings = torch.zeros(len(texels), RINGS)
            low = place.long()
            rings.scatter_(1, low[:, None], (1 + low - place)[:, None])
            rings.scatter_(1, low[:, None] + 1, (place - low)[:, None])
        else:
            rings = torch.zeros(0, RINGS)
        self.texels, self.rings = texels, rings
        step = torch.eye(RINGS)[1:] - torch.eye(RINGS)[:-1]
        self.roughness = step.T @ step

    def to(self, device: torch.device) -> None:
        """Move to the device of the avatar."""
        move_attributes(self, device)

    @torch.no_grad()
    def __call__(self, delta: Tensor, seen: Tensor) -> None:
        """Move the texels [T,3] of both eyes towards their rings, in place.

        Args:
            delta: differences of the texels from the colors of the head.
            seen: [T,3] 0 or more, how strongly frames determine each texel.
        """
        if not len(self.texels):
            return
        own, weight = delta[self.texels], seen[self.texels].mean(1)
        total = weight.sum()
        if not total > 0:
            return
        weighted = self.rings * (weight * (RINGS / total))[:, None]
        matrix = weighted.T @ self.rings + SMOOTHNESS * self.roughness + 1e-6 * torch.eye(RINGS, device=delta.device)
        mean = self.rings @ torch.linalg.solve(matrix, weighted.T @ own)
        delta[self.texels] = own + ROUNDING * (mean - own)
