"""The training step of `headsplat train` itself, on images that an avatar renders of itself."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch

from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.model.avatar import Avatar
from avatar.training.config import TrainConfig
from avatar.training.trainer import Trainer
from avatar.types import JOINT_NAMES, Camera, HeadParams

FRAMES = 8
EXPRESSION = 0.3  # standard deviation of the expressions of the frames
FRACTION = 0.9  # of the schedule: at full size, after the refinement


def frames_of(avatar: Avatar, camera: Camera) -> TrainingFrames:
    """Images of `avatar` in `camera` [1] with random expressions, at the mean pose of the torso."""
    source = torch.Generator().manual_seed(4)
    still = HeadParams(
        torch.zeros(0),
        EXPRESSION * torch.randn(FRAMES, len(avatar.neutral), generator=source),
        torch.zeros(FRAMES, len(JOINT_NAMES), 3),
        torch.zeros(FRAMES, 3),
    )
    torso = avatar.rig.torso
    states = replace(
        HeadStates.of(still, avatar.head),
        rotation=torso.mean_rotation.repeat(FRAMES, 1, 1),
        translation=torso.mean_translation.repeat(FRAMES, 1),
    )
    views = replace(camera, K=camera.K.repeat(FRAMES, 1, 1), world_to_cam=camera.world_to_cam.repeat(FRAMES, 1, 1))
    rgb = torch.zeros(FRAMES, camera.height, camera.width, 3, dtype=torch.uint8)
    steps = torch.arange(FRAMES)
    frames = TrainingFrames(rgb, rgb[..., 0].clone(), views, states, steps, np.arange(FRAMES) / 25, torch.ones(FRAMES))
    for index in range(FRAMES):
        color, alpha = render_avatar_frame(avatar, frames, index)
        frames.rgb[index] = torch.from_numpy(np.rint(255 * color).astype(np.uint8))
        frames.alpha[index] = torch.from_numpy(np.rint(255 * alpha.clip(0, 1)).astype(np.uint8))
    return frames


class TrainerStep:
    """A step of a training with default settings that goes on with a copy of `avatar`; one image."""

    def __init__(self, avatar: Avatar, camera: Camera, device: torch.device) -> None:
        config = TrainConfig(size=max(camera.width, camera.height), gaussians=len(avatar))
        frames = frames_of(avatar, camera)
        subject = copy.deepcopy(avatar).train().requires_grad_()
        self.trainer = Trainer(subject, frames, config, device=device)

    def __call__(self) -> None:
        self.trainer.step(FRACTION)
