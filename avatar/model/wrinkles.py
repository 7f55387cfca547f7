"""Wrinkles: color and opacity of Gaussians by the local strain of the mesh, on top of the blendshapes.

After BlendFields (Kania et al., CVPR 2023): a wrinkle depends on the deformation of the skin around it, not on the
expression of the whole face, so that combinations of expressions that no frame showed have their wrinkles, too. Skin
without strain is as without wrinkles, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.model.rig import Rig
from avatar.types import VertexStretch

#: Features of each Gaussian: compression of the smaller principal strain, extension of the larger one.
FEATURES = 2
#: Channels of the offsets of blendshapes that wrinkles change: color and opacity logit.
FIRST_CHANNEL, CHANNELS = 7, 4
#: A strain below this is none: rounding in a mesh that only turns stays below it.
MIN_STRAIN = 2e-3
#: Features are limited to so many times their largest value in the training frames.
MARGIN = 1.3
_CHUNK = 16  # frames


class Wrinkles(nn.Module):
    """Coefficients of the strain features of the first M Gaussians, those with blendshapes."""

    def __init__(self, count: int) -> None:
        """Start with none: `count` Gaussians, all coefficients zero and features unlimited."""
        super().__init__()
        self.coefficients = nn.Parameter(torch.zeros(count, FEATURES, CHANNELS))
        self.register_buffer("limit", torch.full((count, FEATURES), 1e3))

    limit: Tensor

    @property
    def count(self) -> int:
        """Number of Gaussians with wrinkles, M."""
        return len(self.coefficients)

    def features(self, stretch: VertexStretch | None, rig: Rig) -> Tensor:
        """Compression and extension [B,M,2] of the skin, from 0 on, up to the limit.

        Args:
            stretch: of the mesh in the B poses, from `rig.vertex_stretch`.
            rig: which triangle carries each Gaussian; it stretches.
        """
        if stretch is None:
            raise ValueError("wrinkles need a rig that stretches")
        chosen = rig.triangles[: self.count], rig.bary[: self.count]
        strains = ops.principal_strains(stretch.tensors, stretch.rows, *chosen)
        sign = strains.new_tensor([-1.0, 1.0])
        return torch.minimum((strains * sign - MIN_STRAIN).clamp_min(0), self.limit)

    def forward(self, extra: Tensor, stretch: VertexStretch | None, rig: Rig) -> Tensor:
        """Offsets `extra` [B,M,11] of blendshapes, in their units, with the wrinkles added.

        Args:
            extra: [B,M,11] from `Blendshapes`.
            stretch: of the mesh in the B poses, from `rig.vertex_stretch`.
            rig: of the avatar.
        """
        features = self.features(stretch, rig)
        added = features[:, :, :1] * self.coefficients[:, 0] + features[:, :, 1:] * self.coefficients[:, 1]
        return torch.cat([extra[..., :FIRST_CHANNEL], extra[..., FIRST_CHANNEL:] + added], -1)

    @torch.no_grad()
    def learn_limits(self, vertices: Tensor, rig: Rig) -> None:
        """Limit features to MARGIN times their range in training frames with vertices [T,V,3]."""
        self.limit.fill_(1e3)
        largest = torch.zeros_like(self.limit)
        for part in vertices.split(_CHUNK):
            largest = torch.maximum(largest, self.features(rig.vertex_stretch(part), rig).amax(0))
        self.limit.copy_(MARGIN * largest)
