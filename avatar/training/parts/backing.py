"""The backing under skin and scalp in a training: only its colors are trained."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.model.parts.pose_blendshapes import PoseBlendshapes
from avatar.training.backing import OPAQUE
from avatar.training.parts.part import PartTraining, Step, Training

#: What stays as it is at the start.
FIXED = ("offsets", "quats", "log_scales", "logit_opacities")


class BackingTraining(PartTraining):
    """The training of an avatar with the Gaussians of `avatar.training.backing`, its last ones."""

    key = "backing"

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`."""
        super().__init__(training)
        self._first = len(training.avatar) - _count(training)

    @classmethod
    def of(cls, training: Training) -> BackingTraining | None:
        """None for an avatar without a backing."""
        return cls(training) if _count(training) else None

    @torch.no_grad()
    def initialize(self, frames: TrainingFrames, contribution: Tensor) -> None:
        """Anchor all of them, opaque: relocation leaves anchored Gaussians where they are."""
        anchors = self.training.anchors
        rows = torch.arange(self._first, len(self.training.avatar), device=anchors.rows.device)
        anchors.initial["logit_opacities"][rows] = OPAQUE
        anchors.restore(torch.cat([anchors.rows, rows]).unique(), anchors.initial)
        self._reset()

    def after_step(self, step: Step) -> None:
        """Undo what the step and its limits did to all but the colors."""
        self._reset()

    def after_relocation(self) -> None:
        """Undo the smoothing of the torso's depth."""
        self._reset()

    @torch.no_grad()
    def _reset(self) -> None:
        avatar = self.training.avatar
        for name in FIXED:
            getattr(avatar, name)[self._first :] = self.training.anchors.initial[name][self._first :]
        by_pose = avatar.part(PoseBlendshapes)
        if by_pose is not None:
            by_pose.basis[:, self._first :, :3] = 0


def _count(training: Training) -> int:
    """Number of the Gaussians of the backing in an untrained avatar."""
    return int((training.avatar.logit_opacities == torch.tensor(OPAQUE)).sum())
