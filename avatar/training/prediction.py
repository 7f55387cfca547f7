"""Gaussians of training frames, from their cached head vertices through the same path as driving."""

from __future__ import annotations

from torch import Tensor

from avatar.data.training_frames import TrainingFrames, pick
from avatar.model.avatar import Avatar, assemble
from avatar.model.parts.appearance import Appearances, in_recording
from avatar.types import Gaussians


def predict(avatar: Avatar, frames: TrainingFrames, indices: Tensor, extra: Tensor | None = None) -> Gaussians:
    """Gaussians [B,N] in the world for images of `frames`.

    Args:
        avatar: the avatar.
        frames: the training frames.
        indices: [B] int, the images; of one recording, if `frames` has several.
        extra: [B,M,CHANNELS] blended offsets; None: from the features of the frames.
    """
    if frames.recording is not None and avatar.part(Appearances) is not None:
        avatar = in_recording(avatar, int(frames.recording[int(indices[0])]))
    states, steps = frames.states, pick(frames.step, indices)
    if extra is None:
        extra = avatar.blendshapes(avatar.weights(pick(states.features, steps)))
    return assemble(avatar, states.posed_head(avatar.rig, steps), extra)
