"""Wrinkles: color and opacity of Gaussians by the local strain of the mesh, on top of the blendshapes.

After BlendFields (Kania et al., CVPR 2023): a wrinkle depends on the deformation of the skin around it, not on the
expression of the whole face, so that combinations of expressions that no frame showed have their wrinkles, too. Skin
without strain is as without wrinkles, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.model.avatar import Avatar, AvatarPart, BlendSource
from avatar.model.layout import Layout, TensorLayout
from avatar.model.rig import Rig
from avatar.types import PosedHead, VertexStretch

#: Features of each Gaussian: compression of the smaller principal strain, extension of the larger one.
FEATURES = 2
#: Channels of the offsets of blendshapes that wrinkles change: color and opacity logit.
FIRST_CHANNEL = 7
CHANNELS = 4
#: A strain below this is none: rounding in a mesh that only turns stays below it.
MIN_STRAIN = 2e-3
#: Features are limited to so many times their largest value in the training frames.
MARGIN = 1.3
_CHUNK = 16  # frames


class Wrinkles(AvatarPart):
    """Coefficients of the strain features of the first M Gaussians, those with blendshapes."""

    key = entry = "wrinkles"
    title = "the wrinkles"
    prefix = "wrinkles."
    layout: ClassVar[Layout] = {
        "coefficients": TensorLayout("F32", f"M {FEATURES} {CHANNELS}", -1e4, 1e4),
        "limit": TensorLayout("F32", f"M {FEATURES}", 0, 1e4),
    }

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

    def add_offsets(self, extra: Tensor, head: PosedHead, stretch: VertexStretch | None, rig: Rig) -> Tensor:
        """See `AvatarPart.add_offsets`."""
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

    def header_entry(self) -> dict[str, Any]:
        """See `AvatarPart.header_entry`."""
        return {"gaussians": self.count}

    @classmethod
    def restore(cls, avatar: Avatar, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Wrinkles:
        """See `AvatarPart.restore`."""
        if avatar.rig.stretch is None:
            raise ValueError("wrinkles.coefficients: no vertex of avatar.rig.stretch stretches")
        wrinkles = cls(len(tensors["coefficients"]))
        wrinkles.load_state_dict(tensors)
        return wrinkles

    @torch.no_grad()
    def scale_colors(self, factor: Tensor) -> None:
        """See `AvatarPart.scale_colors`."""
        self.coefficients[..., :3] *= factor[: self.count, None]

    @torch.no_grad()
    def mix_channels(self, matrix: Tensor) -> None:
        """See `AvatarPart.mix_channels`."""
        self.coefficients[..., :3] = self.coefficients[..., :3] @ matrix.T

    @classmethod
    def blend(cls, sources: Sequence[BlendSource], mixed: Avatar) -> Wrinkles | None:
        """See `AvatarPart.blend`; opacities change as much as those of the blend do."""
        wrinkles = super().blend(sources, mixed)
        if wrinkles is not None:
            slope = [source.logit_slope[: source.avatar.blendshapes.count, None] for source in sources]
            wrinkles.coefficients[..., -1] *= torch.cat(slope)
        return wrinkles
