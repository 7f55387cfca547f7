"""Training of wrinkles: their coefficients, with an anchor to zero where the frames hardly show the Gaussian."""

from __future__ import annotations

from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar
from avatar.model.parts.wrinkles import Wrinkles
from avatar.training.adam import EPS_OF_GAUSSIANS, Group
from avatar.training.anchors import ANCHOR_WEIGHTS
from avatar.training.config import TrainConfig
from avatar.training.parts.part import AvatarPartTraining, Step


class WrinkleTraining(AvatarPartTraining[Wrinkles]):
    """The wrinkles of an avatar in training."""

    key = "wrinkles"
    kind = Wrinkles

    @classmethod
    def build(cls, avatar: Avatar, frames: TrainingFrames, config: TrainConfig) -> None:
        """Add wrinkles whose features are limited to their range in the frames."""
        if config.wrinkles:
            wrinkles = Wrinkles(avatar.blendshapes.count)
            wrinkles.learn_limits(frames.states.vertices, avatar.rig)
            avatar.add_part(wrinkles)

    def groups(self) -> list[Group]:
        """The coefficients, with the epsilon of colors."""
        config = self.training.config
        eps = config.batch * EPS_OF_GAUSSIANS["colors"]
        return [Group(self.key, self.part.coefficients, config.rates.wrinkle, axis=0, eps=eps)]

    def after_backward(self, step: Step) -> None:
        """Anchor the coefficients of anchored Gaussians to zero."""
        anchors = self.training.anchors
        coefficients = self.part.coefficients
        if not anchors.initial or coefficients.grad is None:
            return
        hidden = anchors.rows[anchors.rows < self.part.count]
        away = coefficients.detach()[hidden]
        coefficients.grad[hidden] += self.training.config.batch * ANCHOR_WEIGHTS["colors"] * away
