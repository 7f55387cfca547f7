"""A part that headsplat does not have: how much each Gaussian glows. All that another module needs to add one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.layout import Layout, TensorLayout
from avatar.model.rig import Rig
from avatar.types import PosedHead


class Glow(AvatarPart):
    """A number of each Gaussian that is added to its color."""

    key = entry = "glow"
    title = "the glow"
    prefix = "glow."
    layout: ClassVar[Layout] = {
        "amount": TensorLayout("F32", "N", -10, 10, fill=0.25),
        "gain": TensorLayout("F32", "3", 0, 10),
    }

    def __init__(self, amount: Tensor, gain: Tensor) -> None:
        """
        Args:
            amount: [N].
            gain: [3] of the color channels.
        """
        super().__init__()
        self.amount = nn.Parameter(amount)
        self.register_buffer("gain", gain)

    gain: Tensor

    def change_colors(self, sh: Tensor, head: PosedHead, rig: Rig) -> Tensor:
        """See `AvatarPart.change_colors`."""
        return sh + self.amount[:, None, None] * self.gain

    @classmethod
    def check(cls, header: Mapping[str, object], tensors: Mapping[str, Tensor], sizes: dict[str, int]) -> None:
        """See `AvatarPart.check`."""
        if not tensors["gain"].any():
            raise ValueError("glow.gain: expected a color that is not black")


def glowing(avatar: Avatar) -> Avatar:
    """A view of `avatar` whose Gaussians glow by their first barycentric coordinate, which identifies them."""
    glow = Glow(avatar.rig.bary[:, 0].clone(), torch.tensor([1.0, 0.5, 0.25])).requires_grad_(False)
    return avatar.view(parts=[*avatar.parts.values(), glow])
