"""A part that headsplat does not have: how much each Gaussian glows. All that another module needs to add one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.layout import Layout, TensorLayout
from avatar.model.rig import Rig
from avatar.training.adam import Group
from avatar.training.config import TrainConfig
from avatar.training.parts.part import AvatarPartTraining, Step
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


class GlowTraining(AvatarPartTraining[Glow]):
    """Trains the glow by the images, with a term of the loss that draws it to a half."""

    key = "glow"
    kind = Glow

    @classmethod
    def build(cls, avatar: Avatar, frames: TrainingFrames, config: TrainConfig) -> None:
        """Every Gaussian glows a little at first."""
        avatar.add_part(Glow(torch.full((len(avatar),), 0.25), torch.tensor([1.0, 0.5, 0.25])))

    def groups(self) -> list[Group]:
        """The amount of each Gaussian."""
        return [Group(self.key, self.part.amount, 1e-3, axis=0)]

    def loss(self, step: Step) -> Tensor:
        """The squared distance of the glow from a half, for each image."""
        return 10.0 * len(step.indices) * (self.part.amount - 0.5).square().mean()


def glowing(avatar: Avatar) -> Avatar:
    """A view of `avatar` whose Gaussians glow by their first barycentric coordinate, which identifies them."""
    glow = Glow(avatar.rig.bary[:, 0].clone(), torch.tensor([1.0, 0.5, 0.25])).requires_grad_(False)
    return avatar.view(parts=[*avatar.parts.values(), glow])
