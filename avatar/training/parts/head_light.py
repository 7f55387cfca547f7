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
from avatar.training.parts.part import PartTraining, Step, Training

#: Weight of the squared difference from the light that the first colors show; a clip whose head hardly turns says
#: little about its light.
_ANCHOR = 1e-4


class LightTraining(PartTraining):
    """The light of the clip in training."""

    key = "light"

    def __init__(self, training: Training, light: HeadLight) -> None:
        """
        Args:
            training: see `PartTraining`.
            light: of its avatar.
        """
        super().__init__(training)
        self._light = light

    @classmethod
    def build(cls, avatar: Avatar, frames: TrainingFrames, config: TrainConfig) -> None:
        """Add white light from everywhere, which changes no color."""
        if config.light:
            transfer = torch.zeros(len(avatar), 9)
            surface = torch.zeros(len(avatar.head.v_template), 9)
            avatar.add_part(HeadLight(transfer, surface, ambient(torch.ones(3)), avatar.rig.torso.mean_rotation))

    @classmethod
    def of(cls, training: Training) -> LightTraining | None:
        """None for an avatar without a light."""
        light = training.avatar.part(HeadLight)
        return None if light is None else cls(training, light)

    def groups(self) -> list[Group]:
        """The shape of the light: its bands 1 and 2 over band 0."""
        return [Group(self.key, self._light.shape, self.training.config.rates.light)]

    def initialize(self, frames: TrainingFrames, contribution: Tensor) -> None:
        """Bake the transfer, and take the light that the initial colors show."""
        self._light.take(with_light(_on_host(self.training.avatar)))

    def after_backward(self, step: Step) -> None:
        """Anchor the shape to the light that the initial colors show.

        It is learned in all channels alike: apart, they would explain the camera's tone curve with colored lamps.
        """
        shape = self._light.shape
        if shape.grad is not None:
            shape.grad.copy_(shape.grad.mean(1, keepdim=True).expand(-1, 3))
            shape.grad.add_(shape.detach() - self._light.anchor, alpha=_ANCHOR)

    @torch.no_grad()
    def after_relocation(self) -> None:
        """Bake the transfer of Gaussians that have moved."""
        host = _on_host(self.training.avatar)
        self._light.transfer.copy_(gaussian_transfer(host, self._light.surface.cpu()))

    def finish(self) -> None:
        """Bake the transfer again, and find strength and tint of the light from the trained colors."""
        shape = self._light.shape.detach().clone()
        light = with_light(self.training.avatar, shape)
        light.shape.data.copy_(shape)
        self._light.take(light)


def _on_host(avatar: Avatar) -> Avatar:
    return avatar if avatar.offsets.device.type == "cpu" else copy.deepcopy(avatar).cpu()
