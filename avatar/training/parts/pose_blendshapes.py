"""Training of pose blendshapes: an outer basis, as that of the expression."""

from __future__ import annotations

import torch

from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar
from avatar.model.parts.pose_blendshapes import TERMS, WIDTH, PoseBlendshapes
from avatar.training.adam import Group
from avatar.training.config import TrainConfig
from avatar.training.parts.part import AvatarPartTraining, Step, Training

#: Number of poses from which on what repeats with the pose can be distinguished from the noise of a few.
MIN_POSES = 24
#: Steps between two applications of the decay of the basis.
DECAY_EVERY = 4


class PoseBlendshapeTraining(AvatarPartTraining[PoseBlendshapes]):
    """Bases of all Gaussians; only those without blendshapes of the expression move with the pose."""

    key = "pose_blendshapes"
    kind = PoseBlendshapes
    graphed = True

    @classmethod
    def build(cls, avatar: Avatar, frames: TrainingFrames, config: TrainConfig) -> None:
        """Add a basis of zeros."""
        if config.pose_blendshapes and len(frames.states) >= MIN_POSES:
            avatar.add_part(PoseBlendshapes(torch.zeros(TERMS, len(avatar), WIDTH)))

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`."""
        super().__init__(training)
        self.part.basis.requires_grad_(False)
        self.part.keeps_blended = True
        # Before the poses of the frames are refined, their errors would be learned, and then shift the refined poses.
        refine_at = training.config.refine_at
        self._start = refine_at if refine_at < 1 else 0.0

    def variant(self, fraction: float) -> bool:
        """Whether nothing is added yet."""
        return fraction < self._start

    def offsets(self, step: Step) -> None:
        """None: they are added to those of the expression, from the start on."""
        self.part.is_zero = self.variant(step.fraction)

    def groups(self) -> list[Group]:
        """The basis."""
        return [Group(self.key, self.part.basis, self.training.config.rates.basis, axis=1, outer=True)]

    def after_backward(self, step: Step) -> None:
        """The step of the basis."""
        if self.part.is_zero:
            return
        assert self.part.blended is not None
        (weights, added), self.part.blended = self.part.blended, None
        assert added.grad is not None
        added.grad[:, : self.training.avatar.blendshapes.count, :3] = 0
        processes = self.training.processes
        gathered = processes.gather(weights), processes.gather(added.grad)
        self.training.optimizer.step_outer(self.key, step.rate, step.touched, *gathered)

    def after_step(self, step: Step) -> None:
        """Decay of the basis, as of that of the expression."""
        if (step.number + 1) % DECAY_EVERY == 0 and not self.part.is_zero:
            with torch.no_grad():
                self.part.basis.mul_(1 - DECAY_EVERY * self.training.config.decay * step.rate)

    def finish(self) -> None:
        """See `PartTraining.finish`."""
        self.part.keeps_blended = False
        self.part.blended = None
        self.part.is_zero = False
