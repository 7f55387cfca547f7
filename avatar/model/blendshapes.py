"""Offsets of Gaussians by expression: expression -> blendshape weights -> offsets added to each local Gaussian.

Two modes share one form, `offsets = weights @ basis`:

- `reduced`: K learned bases; the weights are a linear map of standardized, soft-clamped expression and gaze, plus what
  a small network adds (after RGBAvatar, CVPR 2025). Without the clamp, features outside the training range give offsets
  without limit.
  The bases may be divided among parts of the face, each of which depends on the features of that part only.
- `expression`: one basis for each expression coefficient, masked where the mesh hardly moves under that expression
  (the consistency idea of GaussianBlendshapes, SIGGRAPH 2024).

Zero weights add nothing, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.types import HeadParams

Mode = Literal["reduced", "expression"]

#: Channels of a basis: local position 3, local rotation 4, color 3, opacity logit 1; and the unit of each (meters,
#: quaternion, sRGB, logit), chosen so that one learning rate suits all channels.
CHANNELS = ops.DEFORM_CHANNELS
UNITS = (0.01, 0.01, 0.01, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0)
CLAMP = 1.5


def expression_features(params: HeadParams) -> Tensor:
    """Features [B,E+9] that blendshape weights depend on: expression, rotation of the jaw and of both eyes (radians).

    The pose of the head is left out: the appearance must not depend on where the head is in front of the camera.
    """
    return torch.cat([params.expression, params.joint_rot[:, 2:].flatten(1)], -1)


def principal_directions(soft: Tensor, number: int) -> Tensor:
    """Principal directions [F,number] of the rows of `soft` [T,F]; zeros beyond their rank.

    On the first one the rows have unit variance, and the others keep their variance relative to it: with unit variance
    on all, the noise of small components would weigh as much as what the face does.
    """
    _, singular, directions = torch.linalg.svd(soft, full_matrices=False)
    keep = min(number, int((singular > 1e-4 * singular[0].clamp_min(1e-12)).sum()), len(singular))
    components = torch.zeros(soft.shape[1], number)
    largest = singular[0] / max(len(soft), 1) ** 0.5
    components[:, :keep] = directions[:keep].T / largest.clamp_min(1e-6)
    return components


class Blendshapes(nn.Module):
    """Bases of offsets for the first `count` Gaussians (those of face, eyes and mouth)."""

    def __init__(
        self,
        mode: Mode,
        features: Tensor,
        bases: int,
        count: int,
        mask: Tensor | None = None,
        parts: Sequence[tuple[Tensor, int]] = (),
    ) -> None:
        """Start with zero offsets.

        Args:
            mode: "reduced" or "expression".
            features: [T,F] of the training frames; they set mean, standard deviation and range.
            bases: K of the mode "reduced"; in the mode "expression" K is F.
            count: number of Gaussians with offsets.
            mask: [K,count] 0..1, factor of each Gaussian's offsets in each basis; None: all ones. In the mode "reduced"
                it is a record of where the basis is zero: the forward pass does not apply it.
            parts: features (indices) and number of bases of each part of the face; empty: all bases depend on all
                features. In the mode "reduced" only; the numbers sum to `bases`.
        """
        super().__init__()
        self.mode: Mode = mode
        size = features.shape[1]
        mean = features.mean(0)
        spread = features.std(0, correction=0).clamp_min(0.05)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.register_buffer("low", features.amin(0))
        self.register_buffer("high", features.amax(0))
        if mode == "reduced":
            components = torch.zeros(size, bases)
            first = 0
            soft = self.standardized(features)
            for columns, number in parts or ((torch.arange(size), bases),):
                components[columns, first : first + number] = principal_directions(soft[:, columns], number)
                first += number
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
        """Number of Gaussians with offsets."""
        return self.basis.shape[1]

    def standardized(self, features: Tensor) -> Tensor:
        """Features [B,F] relative to mean and spread of the training frames, soft-clamped to -CLAMP..CLAMP."""
        return CLAMP * torch.tanh((features - self.mean) / (self.spread * CLAMP))

    def weights(self, features: Tensor, terms: Iterable[Callable[[Tensor, Tensor], Tensor]]) -> Tensor:
        """Blendshape weights [B,K] for features [B,F]; `Avatar.weights` has the terms of an avatar.

        Args:
            features: [B,F] of `expression_features`.
            terms: what else changes the weights [B,K] of the mode "reduced", given those and the standardized features.
        """
        if self.mode == "reduced":
            standardized = self.standardized(features)
            weights = ops.batch_invariant_matmul(ops.batch_invariant_matmul(standardized, self.components), self.mix.T)
            for term in terms:
                weights = term(weights, standardized)
            return weights
        margin = 0.15 * (self.high - self.low)
        return torch.minimum(torch.maximum(features, self.low - margin), self.high + margin)

    def forward(self, weights: Tensor) -> Tensor:
        """Offsets [B,count,CHANNELS] in `units` for blendshape weights [B,K]."""
        basis = self.basis * self.mask[:, :, None] if self.mode == "expression" else self.basis
        return ops.blend(None, basis, weights)
