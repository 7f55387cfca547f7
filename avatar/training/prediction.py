"""Gaussians of training frames, from their cached head vertices through the same path as driving."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames, pick
from avatar.model.avatar import Avatar, assemble
from avatar.model.parts.appearance import Appearances, in_recording
from avatar.rendering.backends import Rasterizer
from avatar.rendering.render import render
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
    states = frames.states
    steps = pick(frames.step, indices)
    if extra is None:
        extra = avatar.blendshapes(avatar.weights(pick(states.features, steps)))
    return assemble(avatar, states.posed_head(avatar.rig, steps), extra)


def compare(
    avatar: Avatar, frames: TrainingFrames, index: int, rasterizer: Rasterizer = "native"
) -> tuple[Tensor, Tensor]:
    """Prediction and truth [H,W,3] of image `index` on the host, matted over white, in 0..1 up to rounding.

    Args:
        avatar: the avatar.
        frames: the training frames.
        index: an image of these.
        rasterizer: that of the training.
    """
    with torch.no_grad():
        gaussians = predict(avatar, frames, torch.tensor([index]))
        out = render(gaussians, frames.view(index), rasterizer=rasterizer, with_depth=False)
    matte = frames.alpha[index].float()[..., None] / 255
    truth = frames.rgb[index].float() / 255 * matte + 1 - matte
    return out.rgb[0].cpu(), truth.cpu()
