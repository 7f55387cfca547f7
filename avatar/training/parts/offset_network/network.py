"""What all offset networks have in common: where their Gaussians are, and what they take and give."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from avatar.model.avatar import Avatar
from avatar.model.blendshapes import CHANNELS

#: Slope of the activation below zero. Networks have no biases, so that no expression adds nothing, and twice the input
#: gives twice the offsets: outside of the training range they continue along straight lines.
SLOPE = 0.2
#: The last layer starts near zero: an untrained network leaves the Gaussians where they are.
FIRST_SCALE = 1e-2


class OffsetNetwork(nn.Module, ABC):
    """Offsets of the Gaussians of face, eyes and mouth from the expression, in place of per-Gaussian bases."""

    @abstractmethod
    def bind(self, avatar: Avatar) -> None:
        """Take the places of the Gaussians from `avatar`; again after relocation has moved them."""

    @abstractmethod
    def forward(self, soft: Tensor, vertices: Tensor) -> Tensor:
        """Offsets [B,M,CHANNELS] in the units of the blendshapes.

        Args:
            soft: [B,F] standardized, soft-clamped features (`Blendshapes.standardized`).
            vertices: [B,V,3] skull-frame vertices, meters.
        """


def no_bias(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer for a network without biases."""
    return nn.Linear(inputs, outputs, bias=False)


def last_layer(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """The same layer with small weights; it has CHANNELS outputs."""
    assert layer.weight.shape[0] == CHANNELS
    with torch.no_grad():
        layer.weight.mul_(FIRST_SCALE)
    return layer
