"""Per-expression offsets of Gaussians: expression -> blend weights -> what to add to each local Gaussian.

Two modes share one form, `offsets = weights @ basis`:

- `reduced`: K learned bases; the weights are a linear map of standardised, softly clamped expression and gaze
  (after RGBAvatar, CVPR 2025). Clamped, because unclamped features explode outside the training range.
- `expression`: one basis for each expression coefficient, starting from what the mesh already does under that
  expression and masked where the mesh hardly moves (the consistency idea of GaussianBlendshapes, SIGGRAPH 2024).

Zero weights add nothing, bit for bit.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.types import HeadParams

Mode = Literal["reduced", "expression"]

#: Channels of a basis: local position 3, local rotation 4, color 3, opacity logit 1, and the unit each is kept in
#: (meters, quaternion, sRGB, logit), chosen so that one learning rate suits them all.
CHANNELS = ops.DEFORM_CHANNELS
UNITS = (0.01, 0.01, 0.01, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0)
CLAMP = 1.5


def expression_features(params: HeadParams) -> Tensor:
    """What the weights may depend on, [B,E+9]: expression, jaw rotation, both eyes' rotation (radians).

    Never the head's pose: that would tie the look to the place in front of the camera.
    """
    return torch.cat([params.expression, params.joint_rot[:, 2:].flatten(1)], -1)


class Blendshapes(nn.Module):
    """Offset sets for the first `count` Gaussians (those of face, eyes and mouth)."""

    def __init__(self, mode: Mode, features: Tensor, bases: int, count: int, mask: Tensor | None = None) -> None:
        """Start with zero offsets.

        Args:
            mode: "reduced" or "expression".
            features: [T,F] of the training frames; they set the standardisation and the range.
            bases: K for "reduced"; in "expression" mode K is F.
            count: how many Gaussians carry offsets.
            mask: [K,count] 0..1, how far each Gaussian may follow each basis; all ones when left out.
        """
        super().__init__()
        self.mode: Mode = mode
        size = features.shape[1]
        mean, spread = features.mean(0), features.std(0, correction=0).clamp_min(0.05)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.register_buffer("low", features.amin(0))
        self.register_buffer("high", features.amax(0))
        if mode == "reduced":
            soft = self._standardise(features)
            _, singular, directions = torch.linalg.svd(soft, full_matrices=False)
            keep = min(bases, int((singular > 1e-4 * singular[0].clamp_min(1e-12)).sum()), len(singular))
            scale = singular[:keep] / max(len(features), 1) ** 0.5
            components = torch.zeros(size, bases)
            components[:, :keep] = directions[:keep].T / scale.clamp_min(1e-6)
            self.register_buffer("components", components)
            self.mix = nn.Parameter(torch.eye(bases) * 0.9)
        else:
            bases = size
            self.register_buffer("components", torch.zeros(0))
            self.mix = nn.Parameter(torch.zeros(0))
        self.register_buffer("mask", torch.ones(bases, count) if mask is None else mask.clone())
        self.register_buffer("units", torch.tensor(UNITS))
        self.basis = nn.Parameter(torch.zeros(bases, count, CHANNELS))

    mean: Tensor
    spread: Tensor
    low: Tensor
    high: Tensor
    components: Tensor
    mask: Tensor
    units: Tensor

    @property
    def count(self) -> int:
        """How many Gaussians carry offsets."""
        return self.basis.shape[1]

    def _standardise(self, features: Tensor) -> Tensor:
        return CLAMP * torch.tanh((features - self.mean) / (self.spread * CLAMP))

    def weights(self, features: Tensor) -> Tensor:
        """Blend weights [B,K] for features [B,F]."""
        if self.mode == "reduced":
            return ops.batch_invariant_matmul(
                ops.batch_invariant_matmul(self._standardise(features), self.components), self.mix.T
            )
        room = 0.15 * (self.high - self.low)
        return torch.minimum(torch.maximum(features, self.low - room), self.high + room)

    def forward(self, weights: Tensor) -> Tensor:
        """Offsets [B,count,CHANNELS] in `units` for blend weights [B,K]."""
        basis = self.basis * self.mask[:, :, None] if self.mode == "expression" else self.basis
        return ops.blend(None, basis, weights)
