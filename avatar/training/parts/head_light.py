"""The light of a clip in training: learned from how the shading of the head changes while it turns."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar
from avatar.model.parts.light.estimate import with_light
from avatar.model.parts.light.harmonics import ambient
from avatar.model.parts.light.head_light import HeadLight
from avatar.model.parts.light.transfer import gaussian_transfer
from avatar.training.adam import Group
from avatar.training.config import TrainConfig
from avatar.training.parts.part import AvatarPartTraining, Step

#: Weight of the squared difference from the light that the first colors show; a clip whose head hardly turns says
#: little about its light.
_ANCHOR = 1e-4


class LightTraining(AvatarPartTraining[HeadLight]):
    """The light of the clip in training."""

    key = "light"
    graphed = True
    kind = HeadLight

    @classmethod
    def build(cls, avatar: Avatar, frames: TrainingFrames, config: TrainConfig) -> None:
        """Add white light from everywhere, which changes no color."""
        if config.light:
            transfer = torch.zeros(len(avatar), 9)
            surface = torch.zeros(len(avatar.head.v_template), 9)
            avatar.add_part(HeadLight(transfer, surface, ambient(torch.ones(3)), avatar.rig.torso.mean_rotation))

    def groups(self) -> list[Group]:
        """The shape of the light: its bands 1 and 2 over band 0."""
        return [Group(self.key, self.part.shape, self.training.config.rates.light)]

    def initialize(self, frames: TrainingFrames, contribution: Tensor) -> None:
        """Bake the transfer, and take the light that the initial colors show."""
        self.part.take(with_light(_on_host(self.training.avatar)))

    def after_backward(self, step: Step) -> None:
        """Anchor the shape to the light that the initial colors show.

        It is learned in all channels alike: apart, they would explain the camera's tone curve with colored lamps.
        """
        shape = self.part.shape
        if shape.grad is not None:
            shape.grad.copy_(shape.grad.mean(1, keepdim=True).expand(-1, 3))
            shape.grad.add_(shape.detach() - self.part.anchor, alpha=_ANCHOR)

    @torch.no_grad()
    def after_relocation(self) -> None:
        """Bake the transfer of Gaussians that have moved."""
        host = _on_host(self.training.avatar)
        self.part.transfer.copy_(gaussian_transfer(host, self.part.surface.cpu()))

    def finish(self) -> None:
        """Bake the transfer again, and find strength and tint of the light from the trained colors."""
        shape = self.part.shape.detach().clone()
        light = with_light(self.training.avatar, shape)
        light.shape.data.copy_(shape)
        self.part.take(light)


def _on_host(avatar: Avatar) -> Avatar:
    return avatar if avatar.offsets.device.type == "cpu" else copy.deepcopy(avatar).cpu()
